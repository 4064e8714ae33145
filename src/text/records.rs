//! A text file's bytes -> its records out of their wrappers, each handed to whoever reads its format, and the count of what became of them.

use super::lines::{Block, RawLine, Sink, Skimmed};
use super::peel::{Fed, Outer, Peeler};
use super::{elements, lines};
use crate::model::{Anomaly, ODD_KEPT, RecordRef, SourceId, add_anomaly};
use std::io::Read;

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Used,
    /// Not understood: the name of an anomaly in `ODD`.
    Odd(&'static str),
}

/// Kinds of odd lines and what they mean to the reader.
const ODD: &[(&str, &str)] = &[
    ("unknown-line", "lines that are not of this file's format"),
    (
        "no-time",
        "lines without a time stamp, and none before them to take it from",
    ),
    (
        "no-year",
        "dates without a year, and no other date in the file to take it from",
    ),
    ("binary-line", "lines that hold no text"),
    ("truncated-tail", "the last line is cut off"),
];

#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Lines that are not blank: `records = used + odd`.
    pub(crate) records: u64,
    pub(crate) used: u64,
    pub(crate) odd: u64,
    /// Blank ones as well.
    pub(crate) lines: u64,
    pub(crate) anomalies: Vec<Anomaly>,
}

/// One line's part in the counting, before the file is over.
struct Counter {
    tally: Tally,
    odd: Vec<(&'static str, u64, Vec<RecordRef>)>,
}

impl Counter {
    fn count(&mut self, verdict: Verdict, record: RecordRef) {
        self.tally.records += 1;
        self.judge(verdict, record);
    }

    fn judge(&mut self, verdict: Verdict, record: RecordRef) {
        let Verdict::Odd(kind) = verdict else {
            self.tally.used += 1;
            return;
        };
        self.tally.odd += 1;
        match self.odd.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, count, records)) => {
                *count += 1;
                if records.len() < ODD_KEPT {
                    records.push(record);
                }
            }
            None => self.odd.push((kind, 1, vec![record])),
        }
    }
}

/// How many bytes of the beginning tell whether a file is one JSON list.
const HEAD: usize = 4096;

/// Who reads a file's records.
pub(crate) trait Reader {
    fn record(&mut self, record: RecordRef, line: &[u8], outer: &Outer) -> Verdict;
    /// Passes over bare lines that begin at `from`, all of which `record` would have found used; not a blank one, nor one that a wrapper
    /// begins with.
    fn skim(&mut self, _block: Block<'_>, _from: usize) -> Skimmed {
        Skimmed::default()
    }
}

/// Takes every record one by one.
struct Each<'a>(&'a mut dyn FnMut(RecordRef, &[u8], &Outer) -> Verdict);

impl Reader for Each<'_> {
    fn record(&mut self, record: RecordRef, line: &[u8], outer: &Outer) -> Verdict {
        (self.0)(record, line, outer)
    }
}

/// Lines on their way out of the wrappers.
struct Unwrapping<'a, R> {
    source: SourceId,
    peeler: Peeler,
    counter: Counter,
    none: Outer,
    reader: &'a mut R,
}

impl<R: Reader> Sink for Unwrapping<'_, R> {
    fn skim(&mut self, block: Block<'_>, from: usize) -> Skimmed {
        let bare = block
            .bytes
            .get(from)
            .is_some_and(|c| self.peeler.is_bare(*c));
        // The first line may have a byte order mark, or zeros in front.
        if !bare || self.counter.tally.records == 0 {
            return Skimmed::default();
        }
        let skimmed = self.reader.skim(block, from);
        self.counter.tally.records += skimmed.lines;
        self.counter.tally.used += skimmed.lines;
        skimmed
    }

    fn line(&mut self, raw: RawLine<'_>) {
        let Self {
            source,
            peeler,
            counter,
            none,
            reader,
        } = self;
        let mut line = raw.bytes;
        if raw.ordinal == 1 {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        let record = RecordRef {
            source: *source,
            ordinal: raw.ordinal,
            start: raw.start,
            len: u32::try_from(raw.bytes.len()).unwrap_or(u32::MAX),
        };
        if line.first() == Some(&0) && !peeler.in_binary() {
            // A log cut while its writer had it open begins with zeros.
            let zeros = line.iter().take_while(|c| **c == 0).count();
            line = &line[zeros..];
            if line.trim_ascii().is_empty() {
                counter.count(Verdict::Odd("binary-line"), record);
                return;
            }
        }
        let tail = raw.last && raw.ordinal > 1;
        let cut = |verdict| match verdict {
            Verdict::Odd(_) if tail => Verdict::Odd("truncated-tail"),
            other => other,
        };
        if line.trim_ascii().is_empty() {
            // A blank line ends what was written in several.
            if let Some((record, line, outer)) = peeler.blank() {
                counter.tally.used = counter.tally.used.saturating_sub(1);
                counter.judge(reader.record(record, &line, &outer), record);
            }
            return;
        }
        match peeler.feed(record, line) {
            Fed::Plain => counter.count(cut(reader.record(record, line, none)), record),
            Fed::Peeled(record, inner, outer) => {
                let verdict = if inner.trim_ascii().is_empty() {
                    Verdict::Used
                } else {
                    cut(reader.record(record, &inner, &outer))
                };
                counter.count(verdict, record);
            }
            Fed::Part => counter.count(Verdict::Used, record),
        }
    }
}

/// Calls `each` with every record, out of its wrappers. A record that was written in several lines is handed over once, at its
/// last one; each of those lines counts.
pub(crate) fn read(
    source: SourceId,
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(RecordRef, &[u8], &Outer) -> Verdict,
) -> Tally {
    read_with(source, input, progress, &mut Each(each))
}

/// The same for a reader that may pass over lines it does not have to look at.
pub(crate) fn read_with(
    source: SourceId,
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    reader: &mut impl Reader,
) -> Tally {
    let mut head = Vec::with_capacity(HEAD);
    let failed = (&mut *input)
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .err()
        .map(|e| e.kind());
    let list = elements::is_list(&head);
    let rest_bytes = if failed.is_some() { 0 } else { u64::MAX };
    let mut whole = head.as_slice().chain(input.take(rest_bytes));
    let mut unwrapping = Unwrapping {
        source,
        peeler: Peeler::default(),
        counter: Counter {
            tally: Tally::default(),
            odd: Vec::new(),
        },
        none: Outer::default(),
        reader,
    };
    let ended = if list {
        elements::split(&mut whole, progress, |raw| unwrapping.line(raw))
    } else {
        lines::split(&mut whole, progress, &mut unwrapping)
    };
    let Unwrapping {
        peeler,
        mut counter,
        reader,
        ..
    } = unwrapping;
    for (record, line, outer) in peeler.finish() {
        counter.tally.used = counter.tally.used.saturating_sub(1);
        counter.judge(reader.record(record, &line, &outer), record);
    }
    let Counter { mut tally, odd } = counter;
    tally.lines = ended.lines;
    for (kind, count, records) in odd {
        let first = records.first().map_or(0, |r| r.ordinal);
        let note = ODD
            .iter()
            .find(|(k, _)| *k == kind)
            .map_or("", |(_, note)| *note);
        add_anomaly(&mut tally.anomalies, kind, count, first, note);
        if let Some(anomaly) = tally.anomalies.last_mut() {
            anomaly.keep(&records);
        }
    }
    if ended.overlong > 0 {
        tally.records += ended.overlong;
        tally.odd += ended.overlong;
        add_anomaly(
            &mut tally.anomalies,
            "overlong-line",
            ended.overlong,
            ended.first_overlong,
            "lines over 1 MiB were skipped",
        );
    }
    let broken = ended
        .broken
        .or_else(|| failed.map(|kind| (kind, tally.records)));
    if let Some((kind, after)) = broken {
        let note = format!("reading broke off ({kind}); what came before it was read");
        add_anomaly(&mut tally.anomalies, "unreadable-tail", 1, after, note);
    }
    tally
}

/// A record of a file's head, kept to be tried on several formats.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) record: RecordRef,
    pub(crate) line: Vec<u8>,
    pub(crate) outer: Outer,
}

/// Records and bytes looked at to choose a format.
const SNIFF_RECORDS: usize = 200;
const SNIFF_BYTES: usize = 64 * 1024;

/// The first records of a file.
pub(crate) fn samples(head: &[u8]) -> Vec<Sample> {
    let mut cut = head.len() > SNIFF_BYTES / 2;
    let head = &head[..head.len().min(SNIFF_BYTES)];
    // A head that ends within a line: that line says nothing.
    let whole = match memchr::memrchr(b'\n', head) {
        Some(at) if cut && !elements::is_list(head) => {
            cut = false;
            &head[..=at]
        }
        _ => head,
    };
    let mut all: Vec<Sample> = Vec::new();
    read(
        SourceId(0),
        &mut &whole[..],
        &mut |_| (),
        &mut |record, line, outer| {
            if all.len() < SNIFF_RECORDS {
                all.push(Sample {
                    record,
                    line: line.to_vec(),
                    outer: outer.clone(),
                });
            }
            Verdict::Used
        },
    );
    if cut && all.len() > 1 && elements::is_list(whole) {
        all.pop();
    }
    all
}

/// The one record in the bytes of a record's place in the file, out of its wrappers.
pub(crate) fn only(bytes: &[u8]) -> Option<Sample> {
    let bytes = bytes.trim_ascii_end();
    if super::json::is_one(bytes) {
        // An element of a list may stand over several lines.
        let record = RecordRef {
            source: SourceId(0),
            ordinal: 1,
            start: 0,
            len: 0,
        };
        let (line, outer) = match Peeler::default().feed(record, bytes) {
            Fed::Peeled(_, line, outer) => (line.into_owned(), outer),
            Fed::Plain | Fed::Part => (bytes.to_vec(), Outer::default()),
        };
        return Some(Sample {
            record,
            line,
            outer,
        });
    }
    let mut last = None;
    read(
        SourceId(0),
        &mut &bytes[..],
        &mut |_| (),
        &mut |record, line, outer| {
            last = Some(Sample {
                record,
                line: line.to_vec(),
                outer: outer.clone(),
            });
            Verdict::Used
        },
    );
    last
}
