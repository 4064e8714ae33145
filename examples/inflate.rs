//! A gzipped file -> nothing: how long the decompressor alone takes, to be held against `wsdrop sources --jobs 1` on the same file.
//!
//! `cargo run --release --example inflate -- access.log.gz`

use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let begun = Instant::now();
    let mut input = MultiGzDecoder::new(BufReader::with_capacity(256 << 10, File::open(&path)?));
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0_u64;
    loop {
        match input.read(&mut buffer)? {
            0 => break,
            n => bytes += n as u64,
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{bytes} bytes in {seconds:.2} s: {:.0} MB/s",
        bytes as f64 / 1e6 / seconds
    );
    Ok(())
}
