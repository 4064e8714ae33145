//! The pack, and connections made up by chance -> how long loading, weighing and explaining take. `cargo bench --bench rules`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use wsdrop::diagnose::chance::Chance;
use wsdrop::diagnose::told::Told;
use wsdrop::diagnose::{Composer, Names, Pack, weigh};
use wsdrop::model::Outcome;

fn rules(c: &mut Criterion) {
    let pack = Pack::builtin();
    // As few as stay in the cache, where a row is when it was just extracted.
    let rows = Chance::default().connections(&pack, 200);

    c.bench_function("load and check the pack", |b| {
        b.iter(|| black_box(Pack::builtin()));
    });

    let mut million = c.benchmark_group("weigh against the whole pack");
    million.throughput(Throughput::Elements(1_000_000));
    million.sample_size(10);
    million.measurement_time(Duration::from_secs(8));
    million.bench_function("1,000,000 connections", |b| {
        b.iter(|| {
            for _ in 0..5_000 {
                for (row, failed) in &rows {
                    black_box(weigh(&pack, row, *failed).best);
                }
            }
        });
    });
    million.finish();

    c.bench_function("one full explanation", |b| {
        let mut at = 0;
        let (mut composer, mut told) = (Composer::new(&pack), Told::default());
        b.iter_batched(
            || {
                at = (at + 1) % rows.len();
                &rows[at]
            },
            |(row, failed)| {
                let weighed = weigh(&pack, row, *failed);
                let outcome = if *failed {
                    Outcome::FailedHandshake
                } else {
                    Outcome::Drop
                };
                let names = Names::default();
                let verdict = composer.verdict(row, &weighed, &names, outcome);
                // Why not, of every rule there is, and not of the rivals alone.
                let tests: Vec<_> = pack.rules.iter().map(|r| told.why_not(r, row)).collect();
                black_box((verdict, tests))
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, rules);
criterion_main!(benches);
