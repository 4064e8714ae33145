//! An application's log, JSON records and console text mixed as they come -> what it says of connections and of itself.

use super::Skimmed;
use super::app_event::{self, Level};
use super::app_fields::{self, Fields};
use super::app_names;
use super::app_roles::Roles;
use super::app_trace::{Mark, is_binary};
use super::{
    FieldMap, LineReader, LogOptions, Out, Outcome, app_text, gate, haproxy, is_foreign_json,
    is_foreign_text, json, stamp, text,
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
    /// The last record was itself about an error: a trace after it is its own.
    after_error: bool,
    gate: Option<Gate>,
    shapes: gate::Shapes,
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

/// What stands before an application's own words in a console line.
struct Front<'a> {
    time: Option<(Stamp, Zone)>,
    no_year: bool,
    pid: Option<u32>,
    hostname: Option<&'a [u8]>,
    message: &'a [u8],
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
            after_error: false,
            gate: None,
            shapes: gate::Shapes::default(),
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
            return Some(Outcome::Odd("no-time"));
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

    /// A record of a shape that is known not to tell anything; the file's span still takes its time in.
    fn pass_shape(&mut self, line: &[u8], out: &mut Out<'_>) -> bool {
        if self.block.is_some() || self.open.is_some() {
            return false;
        }
        let fit = self.shapes.fit(line);
        let Some((at, zone)) = fit.and_then(|fit| app_fields::time(fit.time, self.assumed)) else {
            return false;
        };
        out.saw(at);
        out.zone(zone);
        self.after_error = false;
        true
    }

    /// A record that has none of the words that could make it tell something; the file's span still takes its time in.
    fn pass_by(&mut self, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        if line.first() != Some(&b'{') {
            return None;
        }
        if self.pass_shape(line, out) {
            return Some(self.of(Own::Json));
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
            out.emit(Line::App(AppLine {
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
                client_port: fields.client_port.filter(|_| !own_address),
                uri: fields.uri.clone(),
                ws_key: fields.ws_key.clone(),
                request_id: fields.request_id.clone(),
            }));
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
            return Outcome::Odd(if front.no_year { "no-year" } else { "no-time" });
        };
        let mut fields = of_text(front.message, self.assumed, &self.map);
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
        } else {
            return;
        };
        out.emit(Line::App(AppLine {
            record: if block.said_at.ordinal > 0 {
                block.said_at
            } else {
                block.record
            },
            at: block.at,
            what,
            pid: None,
            hostname: None,
            connection_id: None,
            session: None,
            client: Vec::new(),
            client_port: None,
            uri: None,
            ws_key: None,
            request_id: None,
        }));
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
        gate::skim(block, from, |line, _| {
            line.first() == Some(&b'{') && self.pass_shape(line, out)
        })
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
        if let Some(open) = self.open.take() {
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

/// The date, program and level in front of a console line; `None` where there is no date.
fn front<'a>(line: &'a [u8], assumed: LocalZone, out: &Out<'_>) -> Option<Front<'a>> {
    let mut rest = line;
    if let Some((pri, after)) = rest.strip_prefix(b"<").and_then(|r| text::cut(r, b'>'))
        && pri.len() <= 3
        && text::unsigned(pri).is_some()
    {
        rest = after.strip_prefix(b"1 ").unwrap_or(after);
    }
    // Ruby's Logger: `I, [2026-11-20T20:48:09.123456 #1234]  INFO -- : message`.
    if let [b'A'..=b'Z', b',', b' ', b'[', after @ ..] = rest
        && let Some(date) = stamp::iso(after)
    {
        let (process, message) = text::cut(&after[date.len..], b']')?;
        let process = process.trim_ascii();
        let pid = process.strip_prefix(b"#").and_then(text::unsigned);
        return Some(Front {
            time: Some(date.stamp(assumed)),
            no_year: false,
            pid: pid.and_then(|p| u32::try_from(p).ok()),
            hostname: None,
            message: message.trim_ascii(),
        });
    }
    // Daphne: `127.0.0.1:1234 - - [20/Nov/2026:20:48:04] "WSCONNECT /ws" - -`.
    if let Some(date) = daphne(rest) {
        return Some(Front {
            time: Some(date.stamp(assumed)),
            no_year: false,
            pid: None,
            hostname: None,
            message: rest,
        });
    }
    let bracket = rest.first() == Some(&b'[');
    let inner = if bracket { &rest[1..] } else { rest };
    let whole = Front {
        time: None,
        no_year: false,
        pid: None,
        hostname: None,
        message: b"",
    };
    if let Some(date) = stamp::iso(inner)
        .or_else(|| stamp::clf(inner))
        .or_else(|| stamp::asctime(inner))
    {
        let after = &inner[date.len..];
        let after = if bracket {
            after.strip_prefix(b"]")?
        } else {
            after
        };
        // A date is a word of its own.
        if !after.is_empty() && !matches!(after[0], b' ' | b'\t' | b':' | b'|' | b',' | b'-' | b']')
        {
            return None;
        }
        let message = after.trim_ascii_start();
        let message = message
            .strip_prefix(b":")
            .unwrap_or(message)
            .trim_ascii_start();
        let found = Front {
            time: Some(date.stamp(assumed)),
            message,
            ..whole
        };
        return Some(program(found));
    }
    if let Some((date, len)) = stamp::syslog(inner, out.near()) {
        let message = inner[len..].trim_ascii_start();
        let time = date.map(|d| d.stamp(assumed));
        return Some(program(Front {
            time,
            no_year: date.is_none(),
            message,
            ..whole
        }));
    }
    // logfmt: `time=... level=INFO msg="ws close"`, with the time anywhere.
    if memchr::memchr(b'=', line).is_some_and(|at| at < 64) {
        let mut time = None;
        let mut others = 0;
        for (key, value) in text::Pairs(line) {
            let mut buffer = [0; 32];
            match super::access::normal(key, &mut buffer) {
                b"time" | b"ts" | b"timestamp" | b"t" => {
                    time = time.or_else(|| app_fields::time(value, assumed))
                }
                b"level" | b"msg" | b"lvl" | b"message" | b"event" => others += 1,
                _ => {}
            }
        }
        if time.is_some() && others > 0 {
            return Some(Front {
                time,
                message: line,
                ..whole
            });
        }
    }
    None
}

/// The date of Daphne's line about a WebSocket.
pub(super) fn daphne(line: &[u8]) -> Option<stamp::Date> {
    let at = memchr::memmem::find(line, b"] \"WS")?;
    let from = memchr::memrchr(b'[', &line[..at])? + 1;
    let (peer, _) = text::cut(line, b' ')?;
    text::address(peer)?;
    stamp::clf(&line[from..at]).or_else(|| stamp::iso(&line[from..at]))
}

/// `host program[pid]: ` of a syslog line.
fn program(mut front: Front<'_>) -> Front<'_> {
    let mut rest = front.message;
    let mut host = None;
    for _ in 0..2 {
        let Some((word, after)) = text::cut(rest, b' ') else {
            return front;
        };
        if let Some(tag) = word.strip_suffix(b"]:")
            && let Some((_, pid)) = text::cut(tag, b'[')
            && let Some(pid) = text::unsigned(pid)
        {
            front.pid = u32::try_from(pid).ok();
            front.hostname = host;
            front.message = after.trim_ascii_start();
            return front;
        }
        if !word
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_'))
        {
            return front;
        }
        host = Some(word);
        rest = after;
    }
    front
}

/// What the words of a console line hold: level, pairs, an inspected object, addresses.
fn of_text<'a>(message: &'a [u8], assumed: LocalZone, map: &FieldMap) -> Fields<'a> {
    let mut fields = Fields::default();
    let mut told = Vec::new();
    let mut pairs = 0;
    let mut given = false;
    for (key, value) in text::Pairs(message) {
        pairs += 1;
        given |= matches!(key, b"msg" | b"message" | b"event");
        match map.meaning(key, String::new) {
            Some(meaning) => told.push((meaning, Cow::Borrowed(value))),
            None => fields.put(key, b"", Cow::Borrowed(value), 1, assumed),
        }
        if pairs > 128 {
            break;
        }
    }
    for word in message
        .split(|c| matches!(c, b' ' | b'\t'))
        .filter(|w| !w.is_empty())
        .take(6)
    {
        if fields.level != Level::Unknown {
            break;
        }
        let bare = word.strip_prefix(b"[").unwrap_or(word);
        let bare = bare.strip_suffix(b":").unwrap_or(bare);
        let bare = bare.strip_suffix(b"]").unwrap_or(bare);
        // `error` in lower case may be any word of the sentence.
        if bare.len() >= 3 && (bare.iter().all(u8::is_ascii_uppercase) || word.len() > bare.len()) {
            fields.level = Level::of(bare);
        }
    }
    if let Some(at) = memchr::memchr(b'{', message) {
        app_fields::inspected(&message[at..], |key, value| {
            let value = Cow::Owned(value.to_vec());
            match map.meaning(key, String::new) {
                Some(meaning) => told.push((meaning, value)),
                None => fields.put(key, b"", value, 1, assumed),
            }
        });
    }
    if !given {
        fields.message = Cow::Borrowed(message);
    }
    addresses(message, &mut fields);
    for (meaning, value) in told {
        fields.told(meaning, value, assumed);
    }
    if fields.session.is_none() && fields.connection_id.is_none() && fields.id.is_none() {
        app_names::named(message, &mut fields);
    }
    // ActionCable: `Finished "/cable" [WebSocket] for 127.0.0.1 at ...` is the close, without a code.
    if text::contains(message, b"Finished \"") && text::contains(message, b"[WebSocket]") {
        fields.event = Cow::Borrowed(b"socket closed");
    }
    // uvicorn: `"WebSocket /path" 403`.
    if let Some(at) = memchr::memmem::find(message, b"\"WebSocket /")
        && let Some(status) = message[at..]
            .rsplit(|c| *c == b' ')
            .next()
            .and_then(text::status)
        && status >= 400
    {
        fields.status = Some(status);
        fields.event = Cow::Borrowed(b"upgrade rejected");
    }
    fields
}

/// The first address among the words, and a request's path.
fn addresses(message: &[u8], fields: &mut Fields<'_>) {
    let mut before: &[u8] = b"";
    let mut tuple = false;
    for raw in message
        .split(|c| matches!(c, b' ' | b'\t' | b'\n'))
        .filter(|w| !w.is_empty())
        .take(64)
    {
        let word = trim(raw);
        if tuple {
            tuple = false;
            if fields.client_port.is_none() {
                fields.client_port = text::unsigned(word).and_then(|p| u16::try_from(p).ok());
            }
        }
        // Go's `read tcp LOCAL->PEER:`.
        let word = memchr::memmem::find(word, b"->").map_or(word, |at| trim(&word[at + 2..]));
        if word.len() >= 7
            && (memchr::memchr_iter(b'.', word).count() >= 3
                || memchr::memchr_iter(b':', word).count() >= 2)
            && let Some((ip, port)) = text::address(word)
        {
            if fields.client.is_empty() {
                fields.client.push(ip);
                fields.client_port = fields.client_port.or(port);
                // Python's `('10.0.0.1', 5678)`.
                tuple = port.is_none() && raw.ends_with(b"',");
            }
            fields.port = fields.port.or(port);
        } else if matches!(
            before,
            b"GET"
                | b"WebSocket"
                | b"WSCONNECT"
                | b"WSCONNECTING"
                | b"WSDISCONNECT"
                | b"WSREJECT"
                | b"path"
                | b"url"
                | b"uri"
        ) && word.first() == Some(&b'/')
        {
            fields.uri.get_or_insert_with(|| text::string(word));
        } else if let Some(at) = memchr::memmem::find(word, b"://") {
            let host = word[at + 3..].split(|c| *c == b'/').next().unwrap_or(b"");
            let port = host.rsplit(|c| *c == b':').next().and_then(text::unsigned);
            fields.port = fields
                .port
                .or_else(|| port.and_then(|p| u16::try_from(p).ok()));
        } else if before == b"port" || before == b"on" {
            let digits = word.rsplit(|c| *c == b':').next().unwrap_or(word);
            let digits = digits.strip_suffix(b"/").unwrap_or(digits);
            fields.port = fields
                .port
                .or_else(|| text::unsigned(digits).and_then(|p| u16::try_from(p).ok()));
        }
        before = word;
    }
}

pub(super) fn trim(mut word: &[u8]) -> &[u8] {
    while let Some((first, rest)) = word.split_first() {
        if !matches!(first, b'(' | b'\'' | b'"' | b'<' | b',') {
            break;
        }
        word = rest;
    }
    while let Some((last, rest)) = word.split_last() {
        if !matches!(last, b')' | b'\'' | b'"' | b'>' | b',' | b'.' | b';' | b':') {
            break;
        }
        word = rest;
    }
    word
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
