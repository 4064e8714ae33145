//! A log's lines -> what each says of a tunnel, a hop or an application.

mod access;
mod alb;
mod apache_access;
mod apache_error;
mod app_console;
mod app_event;
mod app_fields;
mod app_json;
mod app_names;
mod app_reader;
mod app_roles;
mod app_sentence;
mod app_text;
mod app_trace;
mod app_words;
mod aws;
mod caddy;
mod cloud;
mod envoy;
mod field_map;
mod gate;
mod haproxy;
mod haproxy_json;
mod heroku;
mod nginx_access;
mod nginx_error;
mod own_layout;
mod proxy_pairs;
mod shape;
mod traefik;
mod w3c;
mod words;

pub use crate::text::lines::{Block, Skimmed};
pub use field_map::{FieldMap, Meaning};

use crate::model::attempt::{is_meant_for_websocket, path_number};
use crate::model::{
    Anomaly, Attempt, HopSettings, Line, LocalZone, Moment, OneCopy, RecordRef, SourceId, Stamp,
    Zone, add_anomaly,
};
use crate::text::peel::Outer;
use crate::text::records::{self, Verdict};
use crate::text::{self, json, stamp};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

/// What the reader of logs has to know beside the bytes.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// nginx `log_format` definitions by name, from the case's configuration and the command line.
    pub nginx_formats: Vec<(String, String)>,
    /// That of stamps which carry none.
    pub assumed_zone: LocalZone,
    /// A moment of the same incident, from another source: it gives dates without a year theirs where the file has no other date.
    pub near: Option<Moment>,
    /// What the case's configuration says of its routes.
    pub settings: Arc<Vec<HopSettings>>,
    /// Keys of application records whose meaning was told.
    pub map: FieldMap,
}

/// A request that failed, on a path of which this file does not know whether it speaks WebSocket: to be read again if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOff {
    pub record: RecordRef,
    /// `model::attempt::path_number`
    pub path: u64,
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
    /// What the records of an application say, and under which of their keys: `client`, `clientIp`.
    pub fields: Vec<(String, String)>,
    pub anomalies: Vec<Anomaly>,
    pub put_off: Vec<PutOff>,
    /// Lines of any kind, blank ones as well.
    pub lines: u64,
    /// What a line means was told by lines far before it.
    in_order: bool,
}

impl LogSummary {
    /// Of a part of a log, the `first` or one behind it: reading them in order would have changed nothing.
    pub fn stands_alone(&self, first: bool) -> bool {
        let lacks = |a: &Anomaly| matches!(a.kind.as_str(), "no-time" | "no-year");
        !self.in_order && (first || !self.anomalies.iter().any(lacks))
    }

    /// Puts the part behind this one to it, which begins at byte `start`.
    pub fn append(&mut self, next: Self, start: u64) {
        let Self {
            records,
            used,
            odd,
            first,
            last,
            zone,
            fields,
            anomalies,
            put_off,
            lines,
            in_order,
        } = next;
        let before = self.lines;
        for mut a in anomalies {
            let at = a.first_record + before;
            add_anomaly(&mut self.anomalies, &a.kind, a.count, at, a.note);
            for record in &mut a.records {
                record.moved(before, start);
            }
            if let Some(known) = self.anomalies.iter_mut().find(|known| known.kind == a.kind) {
                known.keep(&a.records);
            }
        }
        self.put_off.extend(put_off.into_iter().map(|mut p| {
            p.record.moved(before, start);
            p
        }));
        self.records += records;
        self.used += used;
        self.odd += odd;
        self.lines += lines;
        self.first = self.first.into_iter().chain(first).min();
        self.last = self.last.max(last);
        self.zone = self.zone.or(zone);
        self.fields.extend(fields);
        self.fields.sort();
        self.fields.dedup();
        self.in_order |= in_order;
    }
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

/// Where a reader puts what it read, and what it may ask about the lines around.
pub struct Out<'a> {
    emit: &'a mut dyn FnMut(Line),
    /// The stamp that a container runtime, service manager or log service put before the line.
    pub outer: Option<Stamp>,
    /// What else the wrapper says: program, process, host.
    outer_names: Outer,
    first: Option<Stamp>,
    last: Option<Stamp>,
    zone: Option<Zone>,
    recent: Option<Stamp>,
    elsewhere: Option<Moment>,
    fields: Vec<(String, String)>,
    /// What the lines to come mean depends on those that were read.
    in_order: bool,
    source: SourceId,
    /// `None` = failed requests are passed on, whatever their path is for.
    paths: Option<Paths>,
    words: OneCopy,
}

/// What is known of paths while a file is read.
struct Paths {
    settings: Arc<Vec<HopSettings>>,
    /// Whether requests of a path are passed on at once.
    known: HashMap<u64, bool, FixedState>,
    put_off: Vec<PutOff>,
}

/// Paths remembered at a time; those of one more are looked at again.
const MAX_PATHS: usize = 4096;

impl Paths {
    fn new(settings: &Arc<Vec<HopSettings>>) -> Self {
        Self {
            settings: Arc::clone(settings),
            known: HashMap::default(),
            put_off: Vec::new(),
        }
    }

    fn speaks_websocket(&mut self, uri: &str) {
        self.known.insert(path_number(uri.as_bytes()), true);
    }

    /// True where nothing says so far that its path is for WebSockets.
    fn puts_off(&mut self, record: RecordRef, uri: &[u8]) -> bool {
        let path = path_number(uri);
        let passed_on = match self.known.get(&path) {
            Some(passed_on) => *passed_on,
            None => {
                let Ok(uri) = std::str::from_utf8(uri) else {
                    return false;
                };
                if self.known.len() > MAX_PATHS {
                    self.known.retain(|_, passed_on| *passed_on);
                }
                let passed_on = is_meant_for_websocket(uri, &self.settings);
                self.known.insert(path, passed_on);
                passed_on
            }
        };
        if !passed_on {
            self.put_off.push(PutOff { record, path });
        }
        !passed_on
    }
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
            outer_names: Outer::default(),
            first: None,
            last: None,
            zone: None,
            recent: None,
            elsewhere: None,
            source: SourceId(0),
            paths: None,
            words: OneCopy::default(),
            fields: Vec::new(),
            in_order: false,
        }
    }

    fn wrapped_in(&mut self, outer: &Outer) {
        self.outer = outer.stamp;
        if self.outer_names != *outer {
            self.outer_names.clone_from(outer);
        }
    }

    /// The line is as its program wrote it.
    fn unwrapped(&mut self) {
        if self.outer.is_some() || self.outer_names != Outer::default() {
            self.outer = None;
            self.outer_names = Outer::default();
        }
    }

    /// The program that the wrapper names.
    fn program(&self) -> Option<&str> {
        self.outer_names.program.as_deref()
    }

    pub fn emit(&mut self, mut line: Line) {
        if let (Some(paths), Line::Tunnel(tunnel)) = (&mut self.paths, &line)
            && let Some(uri) = &tunnel.uri
        {
            if tunnel.says_websocket() {
                paths.speaks_websocket(uri);
            } else if tunnel.attempt(&[]) == Attempt::OfPath
                && paths.puts_off(tunnel.record, uri.as_bytes())
            {
                return;
            }
        }
        if let Line::Tunnel(tunnel) = &mut line {
            words::share(&mut self.words, tunnel);
        }
        (self.emit)(line);
    }

    /// A request failed of which the line does not say whether it was one for a WebSocket. True = it is put off, and nothing is to be
    /// emitted for it now.
    fn puts_off(&mut self, record: RecordRef, uri: &[u8]) -> bool {
        self.paths
            .as_mut()
            .is_some_and(|paths| paths.puts_off(record, uri))
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
        self.outer.or(self.recent).map(|s| s.at).or(self.elsewhere)
    }
}

/// Reads the lines of one file.
pub trait LineReader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome;
    /// Passes over lines that begin at `from` and can be seen not to matter without being taken apart: `line` would have emitted
    /// nothing for any of them. Whoever has no such look reads every line.
    fn skim(&mut self, _block: Block<'_>, _from: usize, _out: &mut Out<'_>) -> Skimmed {
        Skimmed::default()
    }
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
    /// Where one line shows this format, those that may be another's as well (`Outcome::Beside`) are its own.
    fn shares_layout(&self) -> bool {
        false
    }
    /// Nothing that is said behind these two lines, which follow each other, depends on anything before them.
    fn parts_between(&self, _before: &[u8], _after: &[u8]) -> bool {
        false
    }
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
    &apache_access::ApacheAccess,
    &apache_error::ApacheError,
    &traefik::Traefik,
    &caddy::Caddy,
    &w3c::CloudFront,
    &w3c::Iis,
    &aws::NlbTls,
    &aws::ClassicElb,
    &aws::AlbConnection,
    &cloud::Cloudflare,
    &cloud::GcpLb,
    &cloud::Azure,
    &heroku::HerokuRouter,
    &app_json::AppJson,
    &app_text::AppText,
];

/// A line of a format that has no others than those which stand alone.
fn is_line(line: &[u8]) -> bool {
    line.first().is_some_and(u8::is_ascii_graphic)
}

/// A JSON record with another program's own names in it: no application's.
fn is_foreign_json(leaves: &[json::Leaf<'_>]) -> bool {
    nginx_access::is_access(leaves)
        || nginx_error::is_json(leaves)
        || envoy::is_envoy(leaves)
        || traefik::is_traefik(leaves)
        || caddy::is_caddy(leaves)
        || cloud::is_cloudflare(leaves)
        || cloud::is_gcp(leaves)
        || cloud::is_azure(leaves)
}

/// A line of another program's own shape, with a date in front as an application's may have it.
fn is_foreign_text(line: &[u8]) -> bool {
    nginx_error::looks(line)
        || haproxy::looks(line)
        || envoy::looks(line)
        || proxy_pairs::looks(line)
        || apache_error::looks(line)
        || aws::looks(line)
        || caddy::looks(line)
        || heroku::looks(line)
        || w3c::looks(line)
}

fn find(name: &str) -> Option<&'static dyn LogFormat> {
    FORMATS.iter().copied().find(|f| f.name() == name)
}

/// The format that reads the first lines of this file, by content alone; `forced` names one (`--as`).
pub fn sniff(head: &[u8], options: &LogOptions, forced: Option<&str>) -> Option<Choice> {
    if let Some(name) = forced {
        return find(name).map(|f| Choice { name: f.name() });
    }
    let samples = records::samples(head);
    let mut best: Option<(usize, &'static str)> = None;
    for format in FORMATS {
        let mut reader = format.open(options);
        let mut ignore = |_: Line| ();
        let mut out = Out::new(&mut ignore);
        let (mut read, mut odd, mut beside) = (0usize, 0usize, 0usize);
        // Whose layout it is more than another's wins where both read all of it.
        let more = |read, most| read > most || format.shares_layout() && read == most;
        for (sample, left) in samples.iter().zip((0..samples.len()).rev()) {
            out.wrapped_in(&sample.outer);
            match reader.line(sample.record, &sample.line, &mut out) {
                // A line of the format that lacks its time is a line of the format.
                Outcome::Used | Outcome::Odd("no-time" | "no-year") => read += 1,
                Outcome::Odd(_) => odd += 1,
                Outcome::Beside => beside += 1,
            }
            let shared = if format.shares_layout() { beside } else { 0 };
            let at_most = read + shared + left;
            if at_most < odd || best.is_some_and(|(most, _)| !more(at_most, most)) {
                break;
            }
        }
        if read > 0 && format.shares_layout() {
            (read, beside) = (read + beside, 0);
        }
        // Nine lines of trace to one record is a crash; more is a text that has a date in it.
        if read > 0
            && read >= odd
            && beside <= read * 9
            && best.is_none_or(|(most, _)| more(read, most))
        {
            best = Some((read, format.name()));
        }
    }
    best.map(|(_, name)| Choice { name })
}

/// How many of the first lines a format cannot read; `None` where there is no such format.
pub fn odd_lines(head: &[u8], options: &LogOptions, name: &str) -> Option<usize> {
    let mut reader = find(name)?.open(options);
    let mut ignore = |_: Line| ();
    let mut out = Out::new(&mut ignore);
    let odd = |sample: &records::Sample| {
        out.wrapped_in(&sample.outer);
        let outcome = reader.line(sample.record, &sample.line, &mut out);
        matches!(outcome, Outcome::Odd(_))
    };
    Some(
        records::samples(head)
            .iter()
            .map(odd)
            .filter(|odd| *odd)
            .count(),
    )
}

/// The nginx `log_format` that the first lines were written with, told by nothing but their content; `None` where it is not sure.
pub fn infer_layout(head: &[u8]) -> Option<String> {
    own_layout::infer(head)
}

/// An access log, in whatever layout: its first lines have requests and stamps.
pub fn is_access_log(head: &[u8]) -> bool {
    own_layout::is_access_log(head)
}

/// An application's lines that tell of connections and carry no time.
pub fn lacks_times(head: &[u8]) -> bool {
    app_reader::lack_times(&records::samples(head))
}

/// A log of this beginning may be read in parts: its lines are as their program wrote them.
pub fn has_parts(choice: &Choice, head: &[u8]) -> bool {
    let bare = |s: &records::Sample| s.outer == Outer::default();
    !text::elements::is_list(head)
        && records::samples(head).iter().all(bare)
        && between_lines(choice, head).is_some()
}

/// The first place in these bytes where a line begins that nothing before it is needed for; they may begin and end within a line.
pub fn between_lines(choice: &Choice, bytes: &[u8]) -> Option<usize> {
    let format = find(choice.name)?;
    let mut ends = memchr::memchr_iter(b'\n', bytes);
    let mut before = ends.next()? + 1;
    let mut begin = ends.next()? + 1;
    for end in ends {
        if format.parts_between(&bytes[before..begin - 1], &bytes[begin..end]) {
            return Some(begin);
        }
        (before, begin) = (begin, end + 1);
    }
    None
}

/// A format at work on a file.
struct Reading<'a> {
    reader: Box<dyn LineReader>,
    out: Out<'a>,
}

impl records::Reader for Reading<'_> {
    fn record(&mut self, record: RecordRef, line: &[u8], outer: &Outer) -> Verdict {
        self.out.wrapped_in(outer);
        match self.reader.line(record, line, &mut self.out) {
            Outcome::Used | Outcome::Beside => Verdict::Used,
            Outcome::Odd(kind) => Verdict::Odd(kind),
        }
    }

    fn skim(&mut self, block: Block<'_>, from: usize) -> Skimmed {
        self.out.unwrapped();
        self.reader.skim(block, from, &mut self.out)
    }
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
    let Some(format) = find(choice.name) else {
        let mut summary = LogSummary::default();
        add_anomaly(
            &mut summary.anomalies,
            "unknown-format",
            1,
            0,
            "no such log format; nothing was read",
        );
        return summary;
    };
    let mut out = Out::new(emit);
    out.source = source;
    out.elsewhere = options.near;
    out.paths = Some(Paths::new(&options.settings));
    let mut reading = Reading {
        reader: format.open(options),
        out,
    };
    let tally = records::read_with(source, input, progress, &mut reading);
    let Reading {
        mut reader,
        mut out,
    } = reading;
    reader.finish(&mut out);
    LogSummary {
        records: tally.records,
        used: tally.used,
        odd: tally.odd,
        first: out.first,
        last: out.last,
        zone: out.zone,
        fields: out.fields,
        anomalies: tally.anomalies,
        put_off: out.paths.map(|p| p.put_off).unwrap_or_default(),
        lines: tally.lines,
        in_order: out.in_order,
    }
}

/// Reads records that were put off: `next` gives each with its bytes.
pub fn read_again(
    choice: &Choice,
    options: &LogOptions,
    next: &mut dyn FnMut() -> Option<(RecordRef, Vec<u8>)>,
    emit: &mut dyn FnMut(Line),
) {
    let Some(format) = find(choice.name) else {
        return;
    };
    let mut reader = format.open(options);
    let mut out = Out::new(emit);
    while let Some((record, bytes)) = next() {
        if let Some(sample) = records::only(&bytes) {
            out.wrapped_in(&sample.outer);
            reader.line(record, &sample.line, &mut out);
        }
    }
}

/// Field and value of everything that was read from one line, for the Raw view.
pub fn fields(choice: &Choice, options: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
    let (Some(format), Some(sample)) = (find(choice.name), records::only(line)) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if let Some(stamp) = sample.outer.stamp {
        all.push(("wrapper time".to_owned(), stamp.rfc3339()));
    }
    all.extend(format.fields(options, &sample.line));
    all
}

#[cfg(test)]
mod harm_tests;
#[cfg(test)]
mod lifecycle_tests;
#[cfg(test)]
mod skim_tests;
#[cfg(test)]
mod tests;
