//! Logs made in memory -> how fast each format is read. `cargo bench --bench logs`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use wsdrop::logs::{self, LogOptions};
use wsdrop::model::SourceId;

#[path = "../examples/gen_logs.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the generator is a program of its own"
)]
mod gen_logs;

/// Bytes of each log: more than the caches hold.
const SIZE: u64 = 64 << 20;

fn log(kind: &str, websockets: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(SIZE as usize + 1024);
    gen_logs::write(kind, SIZE, websockets, &mut text).expect("memory takes all of it");
    text
}

fn read(c: &mut Criterion) {
    let options = LogOptions::default();
    let mut group = c.benchmark_group("read a log");
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(4));
    for kind in gen_logs::KINDS {
        for (mix, websockets) in [("1 % WebSockets", 1), ("half WebSockets", 50)] {
            let text = log(kind, websockets);
            let head = &text[..64 * 1024];
            let choice = logs::sniff(head, &options, None).expect("a known format");
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(format!("{kind}, {mix}"), |b| {
                b.iter(|| {
                    let mut kept = 0u64;
                    let summary = logs::read(
                        SourceId(0),
                        &choice,
                        &options,
                        &mut &text[..],
                        &mut |_| (),
                        &mut |line| {
                            black_box(&line);
                            kept += 1;
                        },
                    );
                    assert_eq!(summary.odd, 0);
                    black_box((kept, summary.records))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
