//! A number of rows -> whether the engine, the plain weighing of each rule and the explanation agree on all of them:
//! `cargo run --release --example agree -- 1000000`.

use std::process::ExitCode;
use wsdrop::diagnose::chance::Chance;
use wsdrop::diagnose::{Pack, agree};

fn main() -> ExitCode {
    let wanted: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(100_000);
    let pack = Pack::builtin();
    let mut chance = Chance::default();
    let mut done = 0;
    while done < wanted {
        // As many like connections there are as like none.
        let mut rows = chance.connections(&pack, 500);
        rows.extend((0..500).map(|n| (chance.row(), n % 2 == 0)));
        for (row, failed) in rows.iter().take(wanted - done) {
            if let Some(said) = agree::disagreement(&pack, row, *failed) {
                eprintln!("row {done}: {said}");
                return ExitCode::FAILURE;
            }
            done += 1;
        }
    }
    println!("{done} rows: the engine, the plain weighing of each rule and the explanation agree");
    ExitCode::SUCCESS
}
