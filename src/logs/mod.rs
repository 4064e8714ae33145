//! A log's lines -> what each says of a tunnel, a hop or an application.

mod access;
mod alb;
mod app_event;
mod app_fields;
mod app_json;
mod app_reader;
mod app_text;
mod app_trace;
mod app_words;
mod envoy;
mod haproxy;
mod json;
mod lines;
mod nginx_access;
mod nginx_error;
mod peel;
mod proxy_pairs;
mod stamp;
mod text;

use crate::model::{Anomaly, Line, Moment, RecordRef, SourceId, Stamp, Zone, add_anomaly};
use std::io::Read;

/// What the reader of logs has to know beside the bytes.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// nginx `log_format` definitions by name, from the case's configuration and the command line.
    pub nginx_formats: Vec<(String, String)>,
    /// Seconds east of UTC for stamps without a zone.
    pub assumed_offset_s: i32,
}

/// A format that fits a file, with what it learnt from the file's first lines.
#[derive(Debug, Clone)]
pub struct Choice {
    /// As registered in `FORMATS`.
    pub name: &'static str,
}

#[derive(Debug, Clone, Default)]
pub struct LogSummary {
    /// Lines that are not blank: `records = used + odd`.
    pub records: u64,
    pub used: u64,
    pub odd: u64,
    pub first: Option<Stamp>,
    pub last: Option<Stamp>,
    pub zone: Option<Zone>,
    pub anomalies: Vec<Anomaly>,
}

/// What a reader made of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Understood as a line of this format.
    Used,
    /// Understood, but not what the format is known by: a continuation, or a line that other formats have as well.
    Beside,
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

/// Where a reader puts what it read, and what it may ask about the lines around.
pub struct Out<'a> {
    emit: &'a mut dyn FnMut(Line),
    /// The stamp that a container or service manager put before the line.
    pub outer: Option<Stamp>,
    first: Option<Stamp>,
    last: Option<Stamp>,
    zone: Option<Zone>,
    recent: Option<Stamp>,
}

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out")
            .field("first", &self.first)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl<'a> Out<'a> {
    fn new(emit: &'a mut dyn FnMut(Line)) -> Self {
        Self {
            emit,
            outer: None,
            first: None,
            last: None,
            zone: None,
            recent: None,
        }
    }

    pub fn emit(&mut self, line: Line) {
        (self.emit)(line);
    }

    /// A record's stamp, whether the record is passed on or not.
    pub fn saw(&mut self, stamp: Stamp) {
        self.recent = Some(stamp);
        if self.first.is_none_or(|f| stamp < f) {
            self.first = Some(stamp);
        }
        if self.last.is_none_or(|l| stamp > l) {
            self.last = Some(stamp);
        }
    }

    /// How the stamps' zone is known; the first line that says so counts.
    pub fn zone(&mut self, zone: Zone) {
        if self.zone.is_none() {
            self.zone = Some(zone);
        }
    }

    /// The stamp of the last record that had one.
    pub const fn recent(&self) -> Option<Stamp> {
        self.recent
    }

    /// A moment near this line, to find the year of a date without one.
    pub fn near(&self) -> Option<Moment> {
        self.outer.or(self.recent).map(|s| s.at)
    }
}

/// Reads the lines of one file.
pub trait LineReader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome;
    /// The file is over.
    fn finish(&mut self, _out: &mut Out<'_>) {}
}

/// A kind of log. Adding one is a file and a line in `FORMATS`.
pub trait LogFormat: Sync {
    /// Stable, kebab-case.
    fn name(&self) -> &'static str;
    /// What it is, for people: `nginx access log`.
    fn title(&self) -> &'static str;
    /// Lines that this format reads and no other one does.
    fn samples(&self) -> &'static [&'static str];
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader>;
    /// Field and value of everything that is read from one line.
    fn fields(&self, options: &LogOptions, line: &[u8]) -> Vec<(String, String)>;
}

/// Every format; where two read a file equally well, the earlier one is taken.
pub const FORMATS: &[&dyn LogFormat] = &[
    &nginx_access::NginxAccess,
    &nginx_error::NginxError,
    &alb::AlbAccess,
    &haproxy::Haproxy,
    &envoy::Envoy,
    &proxy_pairs::ProxyPairs,
    &app_json::AppJson,
    &app_text::AppText,
];

fn find(name: &str) -> Option<&'static dyn LogFormat> {
    FORMATS.iter().copied().find(|f| f.name() == name)
}

/// Lines looked at to choose a format.
const SNIFF_LINES: usize = 200;
const SNIFF_BYTES: usize = 64 * 1024;

/// The format that reads the first lines of this file, by content alone; `forced` names one (`--as`).
pub fn sniff(head: &[u8], options: &LogOptions, forced: Option<&str>) -> Option<Choice> {
    if let Some(name) = forced {
        return find(name).map(|f| Choice { name: f.name() });
    }
    let head = &head[..head.len().min(SNIFF_BYTES)];
    // A head that ends within a line: that line says nothing.
    let whole = match memchr::memrchr(b'\n', head) {
        Some(at) if head.len() > SNIFF_BYTES / 2 => &head[..=at],
        _ => head,
    };
    let mut best: Option<(usize, &'static str)> = None;
    for format in FORMATS {
        let mut reader = format.open(options);
        let mut ignore = |_: Line| ();
        let mut out = Out::new(&mut ignore);
        let (mut read, mut odd, mut beside) = (0usize, 0usize, 0usize);
        for (i, line) in whole.split(|c| *c == b'\n').enumerate() {
            if read + odd >= SNIFF_LINES {
                break;
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let record = RecordRef {
                source: SourceId(0),
                ordinal: i as u64 + 1,
                start: 0,
                len: 0,
            };
            match one(reader.as_mut(), record, line, &mut out) {
                // A line of the format that lacks its time is a line of the format.
                Some(Outcome::Used | Outcome::Odd("no-time" | "no-year")) => read += 1,
                Some(Outcome::Odd(_)) => odd += 1,
                Some(Outcome::Beside) => beside += 1,
                None => {}
            }
        }
        // Nine lines of trace to one record is a crash; more is a text that has a date in it.
        if read > 0 && read >= odd && beside <= read * 9 && best.is_none_or(|(most, _)| read > most)
        {
            best = Some((read, format.name()));
        }
    }
    best.map(|(_, name)| Choice { name })
}

/// One line through its wrappers to its reader; `None` = blank.
fn one(
    reader: &mut dyn LineReader,
    record: RecordRef,
    line: &[u8],
    out: &mut Out<'_>,
) -> Option<Outcome> {
    let mut line = line;
    if record.ordinal == 1 {
        line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    }
    if line.first() == Some(&0) {
        // A log cut while its writer had it open begins with zeros.
        let zeros = line.iter().take_while(|c| **c == 0).count();
        line = &line[zeros..];
        if line.trim_ascii().is_empty() {
            return Some(Outcome::Odd("binary-line"));
        }
    }
    if line.trim_ascii().is_empty() {
        return None;
    }
    out.outer = None;
    Some(match peel::peel(line) {
        None => reader.line(record, line, out),
        Some(peeled) => {
            out.outer = peeled.stamp;
            if peeled.line.trim_ascii().is_empty() {
                return Some(Outcome::Beside);
            }
            reader.line(record, &peeled.line, out)
        }
    })
}

/// Reads a whole log.
pub fn read(
    source: SourceId,
    choice: &Choice,
    options: &LogOptions,
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    emit: &mut dyn FnMut(Line),
) -> LogSummary {
    let mut summary = LogSummary::default();
    let Some(format) = find(choice.name) else {
        add_anomaly(
            &mut summary.anomalies,
            "unknown-format",
            1,
            0,
            "no such log format; nothing was read",
        );
        return summary;
    };
    let mut reader = format.open(options);
    let mut out = Out::new(emit);
    let mut odd: Vec<(&'static str, u64, u64)> = Vec::new();
    let ended = lines::split(input, progress, |raw| {
        let record = RecordRef {
            source,
            ordinal: raw.ordinal,
            start: raw.start,
            len: u32::try_from(raw.bytes.len()).unwrap_or(u32::MAX),
        };
        let Some(outcome) = one(reader.as_mut(), record, raw.bytes, &mut out) else {
            return;
        };
        summary.records += 1;
        let kind = match outcome {
            Outcome::Used | Outcome::Beside => {
                summary.used += 1;
                return;
            }
            Outcome::Odd(_) if raw.last && raw.ordinal > 1 => "truncated-tail",
            Outcome::Odd(kind) => kind,
        };
        summary.odd += 1;
        match odd.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, count, _)) => *count += 1,
            None => odd.push((kind, 1, raw.ordinal)),
        }
    });
    reader.finish(&mut out);
    (summary.first, summary.last, summary.zone) = (out.first, out.last, out.zone);
    for (kind, count, first) in odd {
        let note = ODD
            .iter()
            .find(|(k, _)| *k == kind)
            .map_or("", |(_, note)| *note);
        add_anomaly(&mut summary.anomalies, kind, count, first, note);
    }
    if ended.overlong > 0 {
        summary.records += ended.overlong;
        summary.odd += ended.overlong;
        let note = "lines over 1 MiB were skipped";
        add_anomaly(
            &mut summary.anomalies,
            "overlong-line",
            ended.overlong,
            ended.first_overlong,
            note,
        );
    }
    if let Some((kind, after)) = ended.broken {
        let note = format!("reading broke off ({kind}); what came before it was read");
        add_anomaly(&mut summary.anomalies, "unreadable-tail", 1, after, note);
    }
    summary
}

/// Field and value of everything that was read from one line, for the Raw view.
pub fn fields(choice: &Choice, options: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(format) = find(choice.name) else {
        return Vec::new();
    };
    match peel::peel(line) {
        None => format.fields(options, line),
        Some(peeled) => {
            let mut all = Vec::new();
            if let Some(stamp) = peeled.stamp {
                all.push(("wrapper time".to_owned(), stamp.rfc3339()));
            }
            all.extend(format.fields(options, &peeled.line));
            all
        }
    }
}

#[cfg(test)]
mod tests;
