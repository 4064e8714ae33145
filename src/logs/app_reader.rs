//! An application's log, JSON records and console text mixed as they come -> what it says of connections and of itself.

use super::Skimmed;
use super::app_console::{Front, front, of_text};
use super::app_event::{self, Level};
use super::app_fields::{self, Fields};
use super::app_roles::Roles;
use super::app_trace::{Mark, is_binary};
use super::{
    FieldMap, LineReader, LogOptions, Out, Outcome, app_text, gate, haproxy, is_foreign_json,
    is_foreign_text, json, shape, stamp, text,
};
use crate::model::{
    AppEvent, AppLine, Line, LocalZone, RecordRef, SECOND_NS, Stamp, Zone, ZoneBasis,
};
use crate::text::records::Sample;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Which of the two shapes the file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Json,
    Text,
}

/// An object that `util.inspect` broke over several lines is joined up to these.
const MAX_OBJECT_LINES: u32 = 64;
const MAX_OBJECT_BYTES: usize = 16 * 1024;

/// Lines without a stamp after a record: a crash, a trace.
#[derive(Debug)]
struct Block {
    record: RecordRef,
    at: Stamp,
    message: Option<String>,
    /// The line the message stands on.
    said_at: RecordRef,
    /// The process's last words: nobody writes these and goes on.
    died: bool,
    trace: bool,
    python: bool,
}

#[derive(Debug)]
struct Open {
    record: RecordRef,
    bytes: Vec<u8>,
    lines: u32,
}

#[derive(Debug)]
pub(super) struct Reader {
    own: Own,
    assumed: LocalZone,
    block: Option<Block>,
    open: Option<Open>,
    /// A line of pino-pretty, whose fields follow on lines of their own.
    pretty: Option<Open>,
    /// The last record was itself about an error: a trace after it is its own.
    after_error: bool,
    /// That record told no more than an error: what it named, for the trace after it.
    error: Option<AppLine>,
    gate: Option<Gate>,
    shapes: shape::Shapes,
    /// Of the record before, if it was passed over by its shape: the file's span has it.
    last_time: Vec<u8>,
    map: FieldMap,
    /// What was found under which key, and in how many records that was looked at.
    found: BTreeSet<(&'static str, String)>,
    looked: u32,
}

/// Records that are looked at to tell what was found under which key.
const LOOKED_AT: u32 = 256;

/// Where this file's JSON records keep what is needed of one that tells nothing.
#[derive(Debug)]
struct Gate {
    time: gate::Spot,
    message: gate::Spot,
}

impl Gate {
    fn learn(line: &[u8], leaves: &[json::Leaf<'_>], assumed: LocalZone) -> Option<Self> {
        let at_top = |names: &[&[u8]]| {
            leaves
                .iter()
                .find(|l| l.depth == 1 && l.kind != json::Kind::Tree && names.contains(&l.key))
        };
        let time = at_top(&[
            b"time",
            b"timestamp",
            b"ts",
            b"@timestamp",
            b"asctime",
            b"@t",
        ])?;
        let message = at_top(&[b"msg", b"message", b"event", b"@m", b"@mt"])?;
        app_fields::time(time.value, assumed)?;
        Some(Self {
            time: gate::Spot::learn(line, time.value)?,
            message: gate::Spot::learn(line, message.value)?,
        })
    }
}

impl Reader {
    pub(super) fn new(own: Own, options: &LogOptions) -> Self {
        Self {
            own,
            assumed: options.assumed_zone,
            map: options.map.clone(),
            found: BTreeSet::new(),
            looked: 0,
            block: None,
            open: None,
            pretty: None,
            after_error: false,
            error: None,
            gate: None,
            shapes: shape::Shapes::default(),
            last_time: Vec::new(),
        }
    }

    const fn of(&self, shape: Own) -> Outcome {
        if matches!(
            (self.own, shape),
            (Own::Json, Own::Json) | (Own::Text, Own::Text)
        ) {
            Outcome::Used
        } else {
            Outcome::Beside
        }
    }

    /// JSON from its first brace; `None` = it is no record of an application.
    fn json(
        &mut self,
        record: RecordRef,
        object: &[u8],
        front: Option<&Front<'_>>,
        out: &mut Out<'_>,
    ) -> Option<Outcome> {
        let mut leaves = Vec::new();
        if !json::scan(object, &mut leaves) || leaves.is_empty() {
            return None;
        }
        if front.is_none() && is_foreign_json(&leaves) {
            return Some(Outcome::Odd("unknown-line"));
        }
        let mut fields = Fields::json(&leaves, self.assumed, &self.map);
        if self.looked < LOOKED_AT {
            self.looked += 1;
            app_fields::meanings(&leaves, self.assumed, &self.map, &mut self.found);
        }
        if let Some(front) = front {
            if fields.message.is_empty() {
                let end = front.message.len() - object.len().min(front.message.len());
                fields.message = Cow::Borrowed(&front.message[..end]);
            }
            fields.time = fields.time.take().or(front.time);
            fields.pid = fields.pid.or(front.pid);
            fields.hostname = fields
                .hostname
                .take()
                .or_else(|| front.hostname.map(text::string));
        }
        if !fields.is_record() {
            return None;
        }
        let epoch = Zone {
            offset_s: 0,
            basis: ZoneBasis::Epoch,
        };
        let Some((at, zone)) = fields.time.or_else(|| out.outer.map(|s| (s, epoch))) else {
            if self.block.is_some() {
                return None;
            }
            return Some(Outcome::Odd(front.map_or("no-time", Front::lacks)));
        };
        let silent = self.record(record, &fields, at, Some(zone), out);
        // Where the user told what keys mean, any of them may decide: every record is read.
        if front.is_none() && self.map.is_empty() {
            if self.gate.is_none() {
                self.gate = Gate::learn(object, &leaves, self.assumed);
            }
            if silent && !fields.has_stack && fields.level < Level::Error {
                let roles = Roles::new(&leaves, self.assumed);
                self.shapes.learn(object, &leaves, &mut |i| roles.of(i));
            }
        }
        Some(self.of(Own::Json))
    }

    /// Bytes of the record that `text` begins with, if its shape is known not to tell anything; the file's span still takes its time in.
    fn pass_shape(&mut self, text: &[u8], out: &mut Out<'_>) -> Option<usize> {
        if self.block.is_some() || self.open.is_some() {
            return None;
        }
        let fit = self.shapes.fit(text)?;
        if self.last_time != fit.time {
            let (at, zone) = app_fields::time(fit.time, self.assumed)?;
            out.saw(at);
            out.zone(zone);
            fit.time.clone_into(&mut self.last_time);
        }
        self.after_error = false;
        Some(fit.len)
    }

    /// A record that has none of the words that could make it tell something; the file's span still takes its time in.
    fn pass_by(&mut self, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        if self.pass_shape(line, out).is_some() {
            return Some(self.of(Own::Json));
        }
        self.last_time.clear();
        if line.first() != Some(&b'{') {
            return None;
        }
        let gate = self.gate.as_ref()?;
        if line.last() != Some(&b'}')
            || self.block.is_some()
            || self.open.is_some()
            || text::contains(line, b"\\u")
            || gate::may_tell(line)
        {
            return None;
        }
        gate.message.value(line)?;
        let (at, zone) = app_fields::time(gate.time.value(line)?, self.assumed)?;
        out.saw(at);
        out.zone(zone);
        self.after_error = false;
        Some(self.of(Own::Json))
    }

    /// Emits what a record means; true = none of its words means anything, and it names no connection.
    fn record(
        &mut self,
        record: RecordRef,
        fields: &Fields<'_>,
        at: Stamp,
        zone: Option<Zone>,
        out: &mut Out<'_>,
    ) -> bool {
        let events = app_event::classify(&fields.said());
        let restarted = matches!(events.first(), Some(AppEvent::Listening { .. }));
        self.flush(restarted, out);
        if let Some(zone) = zone {
            out.saw(at);
            out.zone(zone);
        }
        self.error = None;
        self.after_error = fields.level >= Level::Error
            || events.iter().any(|e| {
                matches!(
                    e,
                    AppEvent::Error { .. }
                        | AppEvent::Exception { .. }
                        | AppEvent::Crashed { .. }
                        | AppEvent::Exhausted { .. }
                )
            });
        let silent = events == [AppEvent::Other] && fields.connection_id.is_none();
        let connection_id = fields.connection_id.clone().or_else(|| fields.id.clone());
        let names = &out.outer_names;
        let pid = fields.pid.or(names.pid);
        let hostname = fields.hostname.clone().or_else(|| names.host.clone());
        for what in events {
            // A bare `id` may be anything's; alone it makes no line of a connection.
            if what == AppEvent::Other && fields.connection_id.is_none() {
                continue;
            }
            // The address in "listening on ..." is the application's own.
            let own_address = matches!(what, AppEvent::Listening { .. });
            let line = AppLine {
                record,
                at,
                what,
                pid,
                hostname: hostname.clone(),
                connection_id: connection_id.clone(),
                session: fields.session.clone(),
                client: if own_address {
                    Vec::new()
                } else {
                    fields.client.clone()
                },
                // Behind a proxy whose headers have no port, servers write 0.
                client_port: fields.client_port.filter(|&p| p != 0 && !own_address),
                uri: fields.uri.clone(),
                ws_key: fields.ws_key.clone(),
                request_id: fields.request_id.clone(),
            };
            if matches!(line.what, AppEvent::Error { code: None, .. }) {
                self.error = Some(line.clone());
            }
            out.emit(Line::App(line));
        }
        silent && !fields.words().into_iter().any(gate::may_tell)
    }

    /// A console line with a date in front.
    fn text(&mut self, record: RecordRef, front: &Front<'_>, out: &mut Out<'_>) -> Outcome {
        if let Some(at) = memchr::memmem::find(front.message, b"{\"")
            && let Some(outcome) = self.json(record, &front.message[at..], Some(front), out)
        {
            return outcome;
        }
        let Some((at, zone)) = front.time else {
            return Outcome::Odd(front.lacks());
        };
        let mut fields = of_text(front.message, self.assumed, &self.map);
        if front.level != Level::Unknown {
            fields.level = front.level;
        }
        fields.pid = fields.pid.or(front.pid);
        fields.hostname = fields
            .hostname
            .take()
            .or_else(|| front.hostname.map(text::string));
        self.record(record, &fields, at, Some(zone), out);
        self.of(Own::Text)
    }

    /// A line that has no date: part of the record before it, or a console call without a stamp.
    fn bare(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        if is_binary(line) {
            return Outcome::Odd("binary-line");
        }
        let mark = Mark::of(line);
        let inspected = line.ends_with(b"}") && text::contains(line, b"{ ");
        if let Some(outer) = out.outer
            && mark == Mark::None
            && !line.first().is_some_and(u8::is_ascii_whitespace)
        {
            let fields = of_text(line, self.assumed, &self.map);
            self.record(
                record,
                &fields,
                outer,
                Some(Zone {
                    offset_s: 0,
                    basis: ZoneBasis::Epoch,
                }),
                out,
            );
            return self.of(Own::Text);
        }
        let Some(recent) = out.recent() else {
            return Outcome::Odd(if inspected && tells(line, self.assumed, &self.map) {
                "no-time"
            } else {
                "unknown-line"
            });
        };
        // Not earlier than the record before it, and nobody knows how much later.
        let at = Stamp::new(recent.at, recent.tick_ns.max(SECOND_NS));
        if mark == Mark::None
            && inspected
            && self.block.is_none()
            && tells(line, self.assumed, &self.map)
        {
            let fields = of_text(line, self.assumed, &self.map);
            self.record(record, &fields, at, None, out);
            return self.of(Own::Text);
        }
        let block = self.block.get_or_insert(Block {
            record,
            at,
            message: None,
            said_at: record,
            died: false,
            trace: false,
            python: false,
        });
        match mark {
            Mark::None => {}
            Mark::Trace => block.trace = true,
            Mark::Traceback => (block.trace, block.python) = (true, true),
            Mark::Died => block.died = true,
            // Python's traces have carets as well, after their first line.
            Mark::Caret => block.died |= !block.trace,
            Mark::Error | Mark::LastWords => {
                block.died |= mark == Mark::LastWords;
                // Python names the exception at the end of its trace, the others at the beginning.
                if block.message.is_none() || block.python {
                    block.message = Some(text::string(
                        &line.trim_ascii()[..line.trim_ascii().len().min(512)],
                    ));
                    block.said_at = record;
                }
            }
        }
        Outcome::Beside
    }

    /// The lines without a stamp are over: what did they tell?
    fn flush(&mut self, ends_process: bool, out: &mut Out<'_>) {
        let Some(block) = self.block.take() else {
            return;
        };
        let uncaught = block.trace && block.python && !self.after_error && ends_process;
        let what = if block.died || uncaught {
            AppEvent::Crashed {
                message: block.message.unwrap_or_default(),
            }
        } else if block.trace
            && !self.after_error
            && let Some(message) = block.message
        {
            AppEvent::Exception { message }
        } else if block.trace
            && let Some(error) = self.error.take()
            && let Some(message) = block.message
        {
            // What the record calls an error, its trace shows to be an exception.
            let record = block.record;
            let what = AppEvent::Exception { message };
            out.emit(Line::App(AppLine {
                record,
                what,
                ..error
            }));
            return;
        } else {
            return;
        };
        let record = if block.said_at.ordinal > 0 {
            block.said_at
        } else {
            block.record
        };
        out.emit(Line::App(AppLine::new(record, block.at, what)));
    }

    fn whole(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        if line.trim_ascii_start().first() == Some(&b'{') {
            if let Some(outcome) = self.json(record, line.trim_ascii_start(), None, out) {
                return outcome;
            }
            // A crash prints the source that failed, which may look like this.
            if self.block.is_none() && text::contains(line, b"\":") {
                return Outcome::Odd("unknown-line");
            }
            return self.bare(record, line, out);
        }
        match front(line, self.assumed, out) {
            Some(_) if is_foreign_text(line) => Outcome::Odd("unknown-line"),
            Some(found) => self.text(record, &found, out),
            None if haproxy::looks(line) => Outcome::Odd("unknown-line"),
            None => self.bare(record, line, out),
        }
    }
}

impl LineReader for Reader {
    fn skim(&mut self, block: super::Block<'_>, from: usize, out: &mut Out<'_>) -> Skimmed {
        gate::skim_ahead(block, from, |text, _| self.pass_shape(text, out))
    }

    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let plain;
        let line = if memchr::memchr(0x1b, line).is_some() {
            plain = app_text::uncoloured(line);
            plain.as_slice()
        } else {
            line
        };
        let line = line.trim_ascii_end();
        if let Some(outcome) = self.pass_by(line, out) {
            return outcome;
        }
        if let Some(mut held) = self.pretty.take() {
            if held.lines < MAX_OBJECT_LINES
                && held.bytes.len() < MAX_OBJECT_BYTES
                && let Some((key, value)) = pretty_field(line)
            {
                held.bytes.push(b' ');
                held.bytes.extend_from_slice(key);
                held.bytes.push(b'=');
                held.bytes.extend_from_slice(value);
                held.lines += 1;
                out.in_order = true;
                self.pretty = Some(held);
                return Outcome::Beside;
            }
            self.whole(held.record, &held.bytes, out);
        }
        if is_pretty(line) {
            let outcome = match front(line, self.assumed, out) {
                Some(found) if found.time.is_none() => Outcome::Odd(found.lacks()),
                _ => self.of(Own::Text),
            };
            // Its fields are its own, also where nothing tells its day.
            self.pretty = Some(Open {
                record,
                bytes: line.to_vec(),
                lines: 1,
            });
            return outcome;
        }
        if let Some(mut open) = self.open.take() {
            open.bytes.push(b'\n');
            open.bytes.extend_from_slice(line);
            open.lines += 1;
            let closed = line.first() == Some(&b'}');
            if closed || open.lines > MAX_OBJECT_LINES || open.bytes.len() > MAX_OBJECT_BYTES {
                self.whole(open.record, &open.bytes, out);
            } else {
                self.open = Some(open);
            }
            return Outcome::Beside;
        }
        // `socket closed {` begins an object that goes on.
        if line.ends_with(b" {")
            && line.len() < MAX_OBJECT_BYTES
            && !line.first().is_some_and(u8::is_ascii_whitespace)
        {
            let dated = front(line, self.assumed, out).is_some_and(|f| f.time.is_some());
            if dated
                || self.block.is_none()
                    && (out.outer.is_some() || out.recent().is_some())
                    && tells(line, self.assumed, &self.map)
            {
                self.open = Some(Open {
                    record,
                    bytes: line.to_vec(),
                    lines: 1,
                });
                return self.of(Own::Text);
            }
        }
        self.whole(record, line, out)
    }

    fn finish(&mut self, out: &mut Out<'_>) {
        for open in [self.pretty.take(), self.open.take()].into_iter().flatten() {
            self.whole(open.record, &open.bytes, out);
        }
        self.flush(true, out);
        out.fields = self
            .found
            .iter()
            .map(|(meaning, key)| ((*meaning).to_owned(), key.clone()))
            .collect();
    }
}

/// `[21:42:53.123] INFO (1234): message`.
fn is_pretty(line: &[u8]) -> bool {
    line.first() == Some(&b'[')
        && line.get(3) == Some(&b':')
        && line.get(6) == Some(&b':')
        && stamp::time_of_day(&line[1..], None)
            .is_some_and(|(_, len)| line[1 + len..].starts_with(b"] "))
}

/// `    key: "value"` below it, and what lies deeper: `"code": "ECONNRESET",`.
fn pretty_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = line.strip_prefix(b"    ")?.trim_ascii();
    let (key, value) = text::cut(text, b':')?;
    let key = key.strip_prefix(b"\"").unwrap_or(key);
    let key = key.strip_suffix(b"\"").unwrap_or(key);
    let value = value.strip_prefix(b" ")?;
    let value = value.strip_suffix(b",").unwrap_or(value);
    let named = !key.is_empty() && key.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_');
    (named && value != b"{" && value != b"[").then_some((key, value))
}

/// The line says something of a connection.
fn tells(line: &[u8], assumed: LocalZone, map: &FieldMap) -> bool {
    let fields = of_text(line, assumed, map);
    app_event::classify(&fields.said())
        .first()
        .is_some_and(|e| *e != AppEvent::Other)
}

/// Fewer lines that tell something may be any text's.
const FEW: usize = 3;

/// Half of the lines, and some of them, tell of connections or of the program's own life, and none says when.
pub(super) fn lack_times(samples: &[Sample]) -> bool {
    let (options, mut ignore) = (LogOptions::default(), |_: Line| ());
    let out = Out::new(&mut ignore);
    let zone = options.assumed_zone;
    let timed = |s: &Sample| {
        s.outer.stamp.is_some() || front(&s.line, zone, &out).is_some() || is_binary(&s.line)
    };
    let telling = samples
        .iter()
        .filter(|s| tells(&s.line, zone, &options.map))
        .count();
    telling >= FEW && telling * 2 >= samples.len() && !samples.iter().any(timed)
}

/// What was read from one line.
pub(super) fn fields(line: &[u8], options: &LogOptions) -> Vec<(String, String)> {
    let assumed = options.assumed_zone;
    let plain = app_text::uncoloured(line);
    let line = plain.trim_ascii_end();
    let object = line.trim_ascii_start();
    if object.first() == Some(&b'{') {
        let all = json::fields(object);
        if !all.is_empty() {
            return all;
        }
    }
    let mut ignore = |_: Line| ();
    let out = Out::new(&mut ignore);
    let mut all = Vec::new();
    let message = match front(line, assumed, &out) {
        Some(front) => {
            if let Some((at, _)) = front.time {
                all.push(("time".to_owned(), at.rfc3339()));
            }
            if let Some(pid) = front.pid {
                all.push(("pid".to_owned(), pid.to_string()));
            }
            front.message
        }
        None => line,
    };
    all.push(("message".to_owned(), text::string(message)));
    all.extend(text::Pairs(message).map(|(k, v)| (text::string(k), text::string(v))));
    if let Some(at) = memchr::memchr(b'{', message) {
        let object = json::fields(&message[at..]);
        if object.is_empty() {
            app_fields::inspected(&message[at..], |k, v| {
                all.push((text::string(k), text::string(v)))
            });
        } else {
            all.extend(object);
        }
    }
    let said = of_text(message, assumed, &options.map);
    for event in app_event::classify(&said.said()) {
        all.push(("event".to_owned(), format!("{event:?}")));
    }
    all
}
