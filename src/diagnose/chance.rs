//! Numbers of a simple generator -> rows of facts, to weigh many of them: like connections there are, and like none.

use super::fact::{FACTS, FactType, NamedDuration, Reading, Row, Value, Witnesses};
use super::pack::Pack;
use super::rule::{Rule, Sample};

/// Marsaglia's xorshift: the same rows on every run and machine.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Default for Chance {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `n`, which is not 0.
    pub fn of(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(usize::try_from(self.of(all.len() as u64)).ok()?)
    }

    fn witness(&mut self) -> Witnesses {
        Witnesses {
            capture: self.of(2) == 0,
            proxy_log: self.of(3) == 0,
            app_log: self.of(3) == 0,
            ..Witnesses::default()
        }
    }

    /// Connections like those of the samples: the facts of one and a handful of another, with other durations and counts, some of them
    /// unobserved, from other sources; and whether their handshakes failed.
    pub fn connections(&mut self, pack: &Pack, n: usize) -> Vec<(Row, bool)> {
        let samples: Vec<(&Rule, &Sample)> = pack
            .rules
            .iter()
            .flat_map(|rule| rule.samples.iter().map(move |s| (rule, s)))
            .collect();
        (0..n)
            .filter_map(|_| {
                let (rule, sample) = *self.pick(&samples)?;
                let (_, other) = *self.pick(&samples)?;
                let mut row = sample.row();
                let some = usize::try_from(self.of(6)).ok()?;
                for (fact, value) in other.facts.iter().take(some) {
                    let value = Some(value.clone());
                    row.put(
                        *fact,
                        Reading {
                            value,
                            ..Reading::default()
                        },
                    );
                }
                row.change(|reading| {
                    match &mut reading.value {
                        Some(Value::Duration(ns)) if self.of(2) == 0 => {
                            *ns = i64::try_from(self.of(120_000_000_000)).unwrap_or(0);
                        }
                        Some(Value::Count(n)) if self.of(4) == 0 => {
                            *n = i64::try_from(self.of(12)).unwrap_or(0);
                        }
                        _ => {}
                    }
                    if self.of(8) == 0 {
                        reading.value = None;
                    }
                    reading.witness = self.witness();
                });
                Some((row, sample.handshake_failed(rule)))
            })
            .collect()
    }

    /// Any facts at all, half of them observed: what no connection ever shows, and every condition meets.
    pub fn row(&mut self) -> Row {
        let mut row = Row::new();
        for (fact, spec) in FACTS.iter().enumerate() {
            if self.of(2) == 0 {
                continue;
            }
            let reading = Reading {
                value: self.value(spec.kind),
                records: Vec::new(),
                witness: self.witness(),
            };
            row.put(fact, reading);
        }
        row
    }

    fn value(&mut self, kind: FactType) -> Option<Value> {
        /// Milliseconds: values that time-outs have, what is just beside them, and what is far.
        const TIMES: &[i64] = &[
            0, 300, 1_000, 2_000, 30_000, 59_600, 60_000, 61_300, 350_000, 7_200_000,
        ];
        const COUNTS: &[i64] = &[
            0, 1, 2, 3, 9, 401, 426, 502, 504, 1000, 1001, 1006, 1009, 1011, 4401,
        ];
        let time = |chance: &mut Self| Some(chance.pick(TIMES)? * 1_000_000);
        Some(match kind {
            FactType::Bool => Value::Bool(self.of(2) == 0),
            FactType::Duration => Value::Duration(time(self)?),
            FactType::Count => Value::Count(*self.pick(COUNTS)?),
            FactType::Word(words) => Value::Word(self.pick(words)?),
            FactType::Durations => {
                let n = self.of(3);
                let one = |chance: &mut Self| {
                    Some(NamedDuration {
                        ns: time(chance)?,
                        name: "a time-out".to_owned(),
                        hop: "nginx".to_owned(),
                    })
                };
                Value::Durations((0..n).filter_map(|_| one(self)).collect())
            }
        })
    }
}
