//! An access log of any length, made as it is read -> how long tying its tunnels to connections takes afterwards, and in how much memory.
//!
//! `cargo run --release --example correlate_logs -- [--lines 50000000] [--websockets 2] [--kind alb]`

use std::io::Read;
use std::time::Instant;
use wsdrop::correlate::{self, Observations};
use wsdrop::logs::{self, LogOptions};
use wsdrop::model::{Clock, Connection, Line, Source, SourceId, SourceKind};

#[path = "gen_logs.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the generator is a program of its own"
)]
mod gen_logs;

/// So many lines of the generator as a stream.
struct Stream {
    lines: gen_logs::Lines,
    left: u64,
    text: Vec<u8>,
    taken: usize,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.taken == self.text.len() {
            self.text.clear();
            self.taken = 0;
            while self.left > 0 && self.text.len() < buffer.len() {
                self.lines.next(&mut self.text)?;
                self.left -= 1;
            }
        }
        let from = &self.text[self.taken..];
        let n = from.len().min(buffer.len());
        buffer[..n].copy_from_slice(&from[..n]);
        self.taken += n;
        Ok(n)
    }
}

/// Of `/proc/self/status`, in MB.
fn memory(what: &str) -> String {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|s| {
            let line = s.lines().find(|l| l.starts_with(what))?;
            let kb: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(format!("{} MB", kb / 1024))
        })
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Seconds that this program has had a processor; what else the machine does is not in it.
fn processor() -> f64 {
    std::fs::read_to_string("/proc/self/schedstat")
        .ok()
        .and_then(|s| s.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(f64::NAN, |ns| ns / 1e9)
}

fn source(summary: &logs::LogSummary, kind: &'static str) -> Source {
    Source {
        id: SourceId(0),
        path: "access.log".to_owned(),
        kind: SourceKind::Log(kind),
        compression: None,
        bytes: 0,
        vantage: None,
        records: summary.records,
        used: summary.used,
        odd: summary.odd,
        first: summary.first,
        last: summary.last,
        zone: summary.zone,
        clock: Clock::default(),
        fields: Vec::new(),
        anomalies: Vec::new(),
        reason: None,
        named: true,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut count, mut websockets, mut kind) = (50_000_000u64, 2u64, "alb".to_owned());
    let mut words = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        match name.as_str() {
            "--lines" => count = value.parse()?,
            "--websockets" => websockets = value.parse()?,
            "--kind" => kind = value,
            _ => return Err(format!("{name}: only --lines, --websockets and --kind").into()),
        }
    }
    let stream = |left| Stream {
        lines: gen_logs::Lines::new(&kind, websockets),
        left,
        text: Vec::new(),
        taken: 0,
    };
    let mut head = Vec::new();
    stream(200).read_to_end(&mut head)?;
    let options = LogOptions::default();
    let choice = logs::sniff(&head, &options, None).ok_or("no known format")?;

    let (begun, before) = (Instant::now(), processor());
    let mut observations = Observations::default();
    let mut input = stream(count);
    let summary = logs::read(
        SourceId(0),
        &choice,
        &options,
        &mut input,
        &mut |_| (),
        &mut |line| observations.lines.push(line),
    );
    println!(
        "{} lines generated and read in {:.1} s of processor time ({:.1} s passed), {} kept ({} bytes each beside their words), {} put off ({} bytes each), {} in memory",
        summary.records,
        processor() - before,
        begun.elapsed().as_secs_f64(),
        observations.lines.len(),
        size_of::<Line>(),
        summary.put_off.len(),
        size_of::<logs::PutOff>(),
        memory("VmRSS")
    );
    let (begun, before) = (Instant::now(), processor());
    let mut sources = [source(&summary, choice.name)];
    let (connections, _) = correlate::correlate(observations, &mut sources);
    println!(
        "{} connections in {:.2} s of processor time ({:.2} s passed), {} at most; a connection is {} bytes beside its lines",
        connections.len(),
        processor() - before,
        begun.elapsed().as_secs_f64(),
        memory("VmHWM"),
        size_of::<Connection>()
    );
    Ok(())
}
