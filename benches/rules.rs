//! The pack, and connections made up by chance -> how long loading, weighing and explaining take. `cargo bench --bench rules`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use wsdrop::diagnose::fact::{Row, Value, Witnesses};
use wsdrop::diagnose::{Names, Pack, compose, explain, weigh};
use wsdrop::model::Outcome;

/// Marsaglia's xorshift: the same connections on every run and machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn of(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Connections like those of the samples: the facts of one and a handful of another, with other durations and counts, some of them
/// unobserved, from other sources; and whether their handshakes failed.
fn connections(pack: &Pack, n: usize) -> Vec<(Row, bool)> {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let samples: Vec<_> = pack
        .rules
        .iter()
        .flat_map(|rule| rule.samples.iter().map(move |s| (rule, s)))
        .collect();
    let pick = |chance: &mut Chance| samples[chance.of(samples.len() as u64) as usize];
    (0..n)
        .map(|_| {
            let (rule, sample) = pick(&mut chance);
            let mut row = sample.row();
            let (_, other) = pick(&mut chance);
            for (fact, value) in other.facts.iter().take(chance.of(6) as usize) {
                row.readings[*fact].value = Some(value.clone());
            }
            for reading in &mut row.readings {
                match &mut reading.value {
                    Some(Value::Duration(ns)) if chance.of(2) == 0 => {
                        *ns = chance.of(120_000_000_000) as i64;
                    }
                    Some(Value::Count(n)) if chance.of(4) == 0 => *n = chance.of(12) as i64,
                    _ => {}
                }
                if chance.of(8) == 0 {
                    reading.value = None;
                }
                reading.witness = Witnesses {
                    capture: chance.of(2) == 0,
                    proxy_log: chance.of(3) == 0,
                    app_log: chance.of(3) == 0,
                    ..Witnesses::default()
                };
            }
            (row, sample.handshake_failed(rule))
        })
        .collect()
}

fn rules(c: &mut Criterion) {
    let pack = Pack::builtin();
    // As few as stay in the cache, where a row is when it was just extracted.
    let rows = connections(&pack, 200);

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
                let verdict = compose::verdict(&pack, row, &weighed, &names, outcome);
                // Why not, of every rule there is, and not of the rivals alone.
                let tests: Vec<_> = pack
                    .rules
                    .iter()
                    .map(|r| explain::why_not(r, row))
                    .collect();
                black_box((verdict, tests))
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, rules);
criterion_main!(benches);
