//! A rule and one row after the other -> the tests of its lines in words, one copy of those that come out the same again.

use super::eval;
use super::explain::{distance, say, wanted};
use super::fact::{FACTS, Row, Value};
use super::rule::{Line, Rule, Want};
use crate::model::{Cause, OneCopy, RecordRef, Test, Word};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::sync::Arc;

/// Answers of one line that are remembered; most have three.
const ANSWERS: usize = 8;

/// A line as it was told before.
#[derive(Debug)]
struct Known {
    wanted: Word,
    /// Those that name no record.
    answers: Vec<(Option<Value>, Arc<Test>)>,
}

/// What a fact of the row at hand is in words, and where it stands.
#[derive(Debug)]
struct Seen {
    fact: usize,
    say: Word,
    records: Arc<[RecordRef]>,
}

/// Memory of what was told of earlier rows: a crash that takes ten thousand connections with it says the same of each.
#[derive(Debug, Default)]
pub struct Told {
    /// By the rule's cause and the line's place in it; a user's own rules are told anew.
    lines: HashMap<(Cause, usize), Known, FixedState>,
    words: OneCopy,
    /// Of the row at hand.
    seen: Vec<Seen>,
}

impl Told {
    pub(super) fn word(&mut self, text: &str) -> Word {
        self.words.copy(text)
    }

    /// What follows is about another row.
    pub(super) fn next(&mut self) {
        self.seen.clear();
    }

    /// Each evidence line of a rule, as it came out for the row at hand.
    pub fn why_not(&mut self, rule: &Rule, row: &Row) -> Vec<Arc<Test>> {
        if rule.own.is_some() {
            let anew = |line: &Line| {
                let wanted = self.words.copy(&wanted(&line.condition));
                Arc::new(self.test(rule, line, wanted, row))
            };
            return rule.evidence.iter().map(anew).collect();
        }
        let lines = rule.evidence.iter().enumerate();
        lines.map(|line| self.known(rule, line, row)).collect()
    }

    fn known(&mut self, rule: &Rule, (at, line): (usize, &Line), row: &Row) -> Arc<Test> {
        let fact = line.condition.fact;
        let value = eval::value(row, fact);
        let placed = row.at(fact).is_some_and(|r| !r.records.is_empty());
        // Beside a value these look at other facts as well.
        let alone = !matches!(
            line.condition.want,
            Want::NearAny { .. } | Want::Reaches { .. } | Want::Below { .. }
        );
        let again = !placed && (alone || value.is_none());
        let key = (rule.cause, at);
        let known = self.lines.entry(key).or_insert_with(|| Known {
            wanted: self.words.copy(&wanted(&line.condition)),
            answers: Vec::new(),
        });
        if again && let Some((_, test)) = known.answers.iter().find(|(v, _)| v.as_ref() == value) {
            return Arc::clone(test);
        }
        let wanted = Word::clone(&known.wanted);
        let test = Arc::new(self.test(rule, line, wanted, row));
        if again
            && let Some(known) = self.lines.get_mut(&key)
            && known.answers.len() < ANSWERS
        {
            known.answers.push((value.cloned(), Arc::clone(&test)));
        }
        test
    }

    fn test(&mut self, rule: &Rule, line: &Line, wanted: Word, row: &Row) -> Test {
        let fact = line.condition.fact;
        let (seen, records) = self.seen(fact, row);
        Test {
            cause: rule.cause,
            fact: FACTS.get(fact).map_or("", |f| f.name).into(),
            wanted,
            seen,
            truth: eval::truth(&line.condition, row),
            required: line.required,
            distance: distance(&line.condition, row).map(|d| self.words.copy(&d.say(fact))),
            records,
        }
    }

    /// Several rules ask for the same fact.
    fn seen(&mut self, fact: usize, row: &Row) -> (Word, Arc<[RecordRef]>) {
        let known = self.seen.iter().find(|s| s.fact == fact);
        if let Some(known) = known {
            return (Word::clone(&known.say), Arc::clone(&known.records));
        }
        let said = eval::value(row, fact).map_or_else(|| "not observed".into(), say);
        let say = self.words.copy(&said);
        let records = row.at(fact).map_or(&[][..], |r| &r.records);
        let records: Arc<[RecordRef]> = records.iter().map(|(record, _)| *record).collect();
        self.seen.push(Seen {
            fact,
            say: Word::clone(&say),
            records: Arc::clone(&records),
        });
        (say, records)
    }
}
