//! Captures made up in memory -> how long the capture stage alone takes for them. `cargo bench --bench capture`.

#[path = "../examples/gen_capture.rs"]
#[allow(dead_code)]
mod gen_capture;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gen_capture::Options;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use wsdrop::capture::{KeyLog, Vantage};
use wsdrop::model::SourceId;

fn captures(c: &mut Criterion) {
    let all = [
        ("pcap", Options::default()),
        (
            "pcapng",
            Options {
                pcapng: true,
                ..Options::default()
            },
        ),
        (
            "small packets",
            Options {
                payload: 60,
                ..Options::default()
            },
        ),
        (
            "many legs, few of them upgraded",
            Options {
                flows: 200_000,
                other: 90,
                http: 8,
                ..Options::default()
            },
        ),
    ];
    let keys = Arc::new(KeyLog::default());
    for (name, options) in all {
        let mut bytes = Vec::new();
        let packets = gen_capture::run(&options, &mut bytes).map_or(0, |(packets, _)| packets);
        let mut group = c.benchmark_group(format!("capture/{name}"));
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(5));
        for (unit, throughput) in [
            ("packets", Throughput::Elements(packets)),
            ("bytes", Throughput::Bytes(bytes.len() as u64)),
        ] {
            group.throughput(throughput);
            group.bench_function(unit, |b| {
                b.iter(|| {
                    let mut vantage = Vantage::new(0, (0, 1), &keys);
                    let mut input = bytes.as_slice();
                    let summary = vantage.read(SourceId(0), &mut input, None, &mut |_| {});
                    black_box((summary.packets, Vantage::finish(vec![vantage]).len()))
                })
            });
        }
        group.finish();
    }
}

criterion_group!(benches, captures);
criterion_main!(benches);
