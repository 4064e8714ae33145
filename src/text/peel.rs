//! A line as a container runtime, service manager or log service wrote it -> the line that the program wrote, and what the wrapper says of it.

use super::json::{self, Top};
use super::lines::MAX_LINE;
use super::stamp;
use crate::model::{RecordRef, Stamp};
use memchr::memmem;
use std::borrow::Cow;

/// What a wrapper says of its line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outer {
    pub(crate) stamp: Option<Stamp>,
    /// The program as the journal names it: `haproxy`, `kernel`.
    pub(crate) program: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) host: Option<String>,
}

impl Outer {
    /// What the inner wrapper says goes before what the outer one said.
    fn within(self, outer: Self) -> Self {
        Self {
            stamp: self.stamp.or(outer.stamp),
            program: self.program.or(outer.program),
            pid: self.pid.or(outer.pid),
            host: self.host.or(outer.host),
        }
    }
}

/// What became of a line.
#[derive(Debug)]
pub(crate) enum Fed<'a> {
    /// Not wrapped.
    Plain,
    Peeled(RecordRef, Cow<'a, [u8]>, Outer),
    /// A part of a record that goes on.
    Part,
}

/// A record in several lines, so far.
#[derive(Debug)]
struct Pending {
    /// The stream whose parts these are: `stdout`, `stderr`.
    stream: u8,
    record: RecordRef,
    bytes: Vec<u8>,
}

/// An entry of `journalctl -o export`, so far.
#[derive(Debug)]
struct Entry {
    record: RecordRef,
    message: Vec<u8>,
    outer: Outer,
    /// A field whose value is its length in 8 bytes and then the bytes, lines ends and all.
    binary: Option<(Vec<u8>, Vec<u8>)>,
}

/// JSON lines looked at for a log service's wrapping, which a file has from its beginning or not at all.
const PATIENCE: u32 = 64;
/// Wrappers in one another: compose around a time stamp around a container's line.
const LAYERS: usize = 4;
/// The runtime cuts longer lines (Docker's json-file at 16 KiB).
const DOCKER_CUT: usize = 16 * 1024;

/// Takes wrappers off, and joins what they cut into pieces.
#[derive(Debug, Default)]
pub(crate) struct Peeler {
    pending: Vec<Pending>,
    entry: Option<Entry>,
    bare_json: u32,
}

/// One layer off.
struct Layer<'a> {
    line: Cow<'a, [u8]>,
    outer: Outer,
    /// The line goes on in the next one of this stream.
    part: Option<u8>,
    /// The stream, where parts may have come before.
    ends: Option<u8>,
}

impl<'a> Layer<'a> {
    fn new(line: impl Into<Cow<'a, [u8]>>, stamp: Option<Stamp>) -> Self {
        Self {
            line: line.into(),
            outer: Outer {
                stamp,
                ..Outer::default()
            },
            part: None,
            ends: None,
        }
    }
}

fn through(first: RecordRef, last: RecordRef) -> RecordRef {
    let end = last.start + u64::from(last.len);
    RecordRef {
        len: u32::try_from(end.saturating_sub(first.start)).unwrap_or(u32::MAX),
        ..first
    }
}

impl Peeler {
    /// Takes in a line that is not blank.
    pub(crate) fn feed<'a>(&mut self, record: RecordRef, line: &'a [u8]) -> Fed<'a> {
        if self.entry.is_some() || line.starts_with(b"__CURSOR=") {
            return self.export(record, line);
        }
        let Some(first) = self.layer(line) else {
            return Fed::Plain;
        };
        let Layer {
            mut line,
            mut outer,
            part,
            ends,
        } = first;
        let mut record = record;
        if let Some(stream) = part {
            self.keep(stream, record, &line);
            return Fed::Part;
        }
        if let Some(stream) = ends
            && let Some(at) = self.pending.iter().position(|p| p.stream == stream)
        {
            let mut before = self.pending.swap_remove(at);
            extend(&mut before.bytes, &line);
            record = through(before.record, record);
            line = Cow::Owned(before.bytes);
        }
        for _ in 1..LAYERS {
            let inner = match self.layer(&line) {
                Some(inner) if inner.part.is_none() => inner,
                _ => break,
            };
            outer = inner.outer.within(outer);
            line = match (inner.line, &line) {
                (Cow::Owned(bytes), _) => Cow::Owned(bytes),
                (Cow::Borrowed(slice), Cow::Owned(_)) => Cow::Owned(slice.to_vec()),
                // A borrowed layer is the end of the line it was cut from.
                (Cow::Borrowed(slice), Cow::Borrowed(whole)) => {
                    Cow::Borrowed(&whole[whole.len() - slice.len()..])
                }
            };
        }
        Fed::Peeled(record, line, outer)
    }

    /// A line that begins with this byte can be taken as it stands, unless it is one of those that a wrapper writes: nothing is under way,
    /// and JSON has been the program's own for long enough.
    pub(crate) fn is_bare(&self, first: u8) -> bool {
        self.entry.is_none()
            && self.pending.is_empty()
            && (first != b'{' || self.bare_json >= PATIENCE)
    }

    /// Bytes of any kind are expected.
    pub(crate) fn in_binary(&self) -> bool {
        self.entry.as_ref().is_some_and(|e| e.binary.is_some())
    }

    fn keep(&mut self, stream: u8, record: RecordRef, line: &[u8]) {
        match self.pending.iter_mut().find(|p| p.stream == stream) {
            Some(before) => {
                extend(&mut before.bytes, line);
                before.record = through(before.record, record);
            }
            None => self.pending.push(Pending {
                stream,
                record,
                bytes: line.to_vec(),
            }),
        }
    }

    fn layer<'a>(&mut self, line: &'a [u8]) -> Option<Layer<'a>> {
        match *line.first()? {
            b'{' => docker(line).or_else(|| self.service(line)),
            b'1'..=b'9' => stamped(line),
            b'[' => kubectl_prefix(line),
            c if c.is_ascii_lowercase() => compose(line).or_else(|| stern(line)),
            _ => None,
        }
    }

    /// A log service's JSON around a line.
    fn service<'a>(&mut self, line: &'a [u8]) -> Option<Layer<'a>> {
        if self.bare_json >= PATIENCE {
            return None;
        }
        let found = if memmem::find(line, b"\"__REALTIME_TIMESTAMP\"").is_some() {
            journal(line)
        } else if memmem::find(line, b"\"ingestionTime\"").is_some()
            || memmem::find(line, b"\"logStreamName\"").is_some()
        {
            cloud_watch(line)
        } else if memmem::find(line, b"\"insertId\"").is_some()
            || memmem::find(line, b"\"logName\"").is_some()
        {
            stackdriver(line)
        } else {
            None
        };
        match &found {
            Some(_) => self.bare_json = 0,
            None => self.bare_json += 1,
        }
        found
    }

    /// A line of `journalctl -o export`: `KEY=value`, or a key alone before a binary value.
    fn export<'a>(&mut self, record: RecordRef, line: &[u8]) -> Fed<'a> {
        let fresh = || Entry {
            record,
            message: Vec::new(),
            outer: Outer::default(),
            binary: None,
        };
        let mut done = None;
        let in_binary = self.in_binary();
        if line.starts_with(b"__CURSOR=") && !in_binary {
            done = self.entry.replace(fresh());
        }
        let entry = self.entry.get_or_insert_with(fresh);
        entry.record = through(entry.record, record);
        if let Some((key, bytes)) = &mut entry.binary {
            extend(bytes, line);
            extend(bytes, b"\n");
            let Some((size, value)) = bytes.split_first_chunk::<8>() else {
                return Fed::Part;
            };
            let size = usize::try_from(u64::from_le_bytes(*size)).unwrap_or(usize::MAX);
            if value.len() > size || bytes.len() >= MAX_LINE {
                let value = value[..size.min(value.len())].to_vec();
                let key = std::mem::take(key);
                entry.binary = None;
                entry.set(&key, &value);
            }
        } else if let Some((key, value)) = super::cut(line, b'=') {
            entry.set(key, value);
        } else {
            entry.binary = Some((line.to_vec(), Vec::new()));
        }
        match done {
            Some(e) => Fed::Peeled(e.record, Cow::Owned(e.message), e.outer),
            None => Fed::Part,
        }
    }

    /// A blank line: an entry that is over.
    pub(crate) fn blank(&mut self) -> Option<(RecordRef, Vec<u8>, Outer)> {
        if let Some(Entry {
            binary: Some((_, bytes)),
            ..
        }) = &mut self.entry
        {
            extend(bytes, b"\n");
            return None;
        }
        self.entry.take().map(|e| (e.record, e.message, e.outer))
    }

    /// The file is over: what was still under way.
    pub(crate) fn finish(self) -> Vec<(RecordRef, Vec<u8>, Outer)> {
        let entry = self.entry.map(|e| (e.record, e.message, e.outer));
        let pending = self
            .pending
            .into_iter()
            .map(|p| (p.record, p.bytes, Outer::default()));
        entry.into_iter().chain(pending).collect()
    }
}

impl Entry {
    fn set(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"MESSAGE" => self.message = value.to_vec(),
            _ => journal_field(&mut self.outer, key, value),
        }
    }
}

fn extend(bytes: &mut Vec<u8>, more: &[u8]) {
    let room = MAX_LINE.saturating_sub(bytes.len());
    bytes.extend_from_slice(&more[..more.len().min(room)]);
}

/// A field of the journal (systemd.journal-fields) beside the message.
fn journal_field(outer: &mut Outer, key: &[u8], value: &[u8]) {
    let number = || super::unsigned(value).and_then(|n| u32::try_from(n).ok());
    match key {
        b"__REALTIME_TIMESTAMP" => outer.stamp = stamp::epoch(value),
        b"SYSLOG_IDENTIFIER" => outer.program = Some(super::string(value)),
        b"_COMM" if outer.program.is_none() => outer.program = Some(super::string(value)),
        b"_PID" => outer.pid = number(),
        b"SYSLOG_PID" if outer.pid.is_none() => outer.pid = number(),
        b"_HOSTNAME" => outer.host = Some(super::string(value)),
        _ => {}
    }
}

/// `journalctl -o json`: the message is text, or a list of bytes where it is no UTF-8.
fn journal(line: &[u8]) -> Option<Layer<'_>> {
    let mut message: Cow<'_, [u8]> = Cow::Borrowed(b"");
    let mut outer = Outer::default();
    for (key, value) in Top::new(line) {
        match key {
            b"MESSAGE" if value.first() == Some(&b'[') => {
                let bytes = value[1..]
                    .split(|c| matches!(c, b',' | b']'))
                    .filter_map(|n| super::unsigned(n.trim_ascii()))
                    .filter_map(|n| u8::try_from(n).ok());
                message = Cow::Owned(bytes.collect());
            }
            b"MESSAGE" if value != b"null" => message = json::plain(value),
            _ => journal_field(&mut outer, key, &json::plain(value)),
        }
    }
    outer.stamp?;
    Some(Layer {
        line: message,
        outer,
        part: None,
        ends: None,
    })
}

/// An event of `aws logs filter-log-events` or `get-log-events`.
fn cloud_watch(line: &[u8]) -> Option<Layer<'_>> {
    let (mut message, mut at) = (None, None);
    for (key, value) in Top::new(line) {
        match key {
            b"message" => message = Some(json::plain(value)),
            b"timestamp" => at = stamp::epoch(value),
            _ => {}
        }
    }
    let mut message = message?;
    let trimmed = message.trim_ascii_end().len();
    match &mut message {
        Cow::Owned(bytes) => bytes.truncate(trimmed),
        Cow::Borrowed(slice) => *slice = &slice[..trimmed],
    }
    Some(Layer::new(message, Some(at?)))
}

/// A Cloud Logging entry around a program's own line; a load balancer's request is not one.
fn stackdriver(line: &[u8]) -> Option<Layer<'_>> {
    let (mut payload, mut at) = (None, None);
    let mut host = None;
    for (key, value) in Top::new(line) {
        match key {
            b"textPayload" | b"jsonPayload" => payload = Some(json::plain(value)),
            b"timestamp" => {
                at = value
                    .strip_prefix(b"\"")
                    .and_then(stamp::iso)
                    .map(|d| d.utc());
            }
            b"httpRequest" => return None,
            b"resource" => {
                host = super::between(value, b"\"pod_name\":", b",")
                    .map(|v| super::string(&json::plain(v.trim_ascii())));
            }
            _ => {}
        }
    }
    let mut layer = Layer::new(payload?, Some(at?));
    layer.outer.host = host;
    Some(layer)
}

/// Docker's json-file: `{"log":"<line>\n","stream":"stdout","time":"..."}`.
fn docker(line: &[u8]) -> Option<Layer<'_>> {
    let rest = line.strip_prefix(b"{\"log\":\"")?;
    let end = super::quoted(rest, b'"')?;
    let tail = &rest[end..];
    let stream = memmem::find(tail, b"\"stream\":\"std").and_then(|at| tail.get(at + 13))?;
    let stamp = super::between(tail, b"\"time\":\"", b"\"")
        .and_then(stamp::iso)
        .map(|d| d.utc());
    let mut line = super::unescape(&rest[..end]);
    let whole = line.last() == Some(&b'\n') || line.len() < DOCKER_CUT;
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    let mut layer = Layer::new(line, stamp);
    if whole {
        layer.ends = Some(*stream);
    } else {
        layer.part = Some(*stream);
    }
    Some(layer)
}

/// A time stamp that somebody else than the program put first: CRI's `<stamp> stdout F <line>`, `kubectl logs --timestamps`,
/// `docker logs -t`, Heroku's `<stamp> app[web.1]: <line>`, CloudWatch's exports and `aws logs tail`.
fn stamped(line: &[u8]) -> Option<Layer<'_>> {
    if line.get(4) != Some(&b'-') || line.get(10) != Some(&b'T') {
        return None;
    }
    let date = stamp::iso(line).filter(|d| d.offset_s.is_some())?;
    let rest = line[date.len..].strip_prefix(b" ")?;
    let stamp = Some(date.utc());
    if let Some(after) = rest.strip_prefix(b"std") {
        let (stream, flags) = after
            .strip_prefix(b"out ")
            .map(|r| (b'o', r))
            .or_else(|| after.strip_prefix(b"err ").map(|r| (b'e', r)))?;
        let (tag, inner) = super::cut(flags, b' ').unwrap_or((flags, b""));
        let part = match tag {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        let mut layer = Layer::new(inner, stamp);
        if part {
            layer.part = Some(stream);
        } else {
            layer.ends = Some(stream);
        }
        return Some(layer);
    }
    if let Some(after) = rest.strip_prefix(b"app[") {
        let (_, inner) = super::cut(after, b']')?;
        return Some(Layer::new(inner.strip_prefix(b": ")?, stamp));
    }
    // Nine digits are a container runtime's; fewer may be the program's own, unless its line begins anew after them.
    if date.tick_ns == 1 || begins(rest) {
        return Some(Layer::new(rest, stamp));
    }
    let (stream, inner) = super::cut(rest, b' ')?;
    (memchr::memchr(b'/', stream).is_some() && begins(inner)).then(|| Layer::new(inner, stamp))
}

/// It begins as a program's own line does: with its date, its peer or its brace.
fn begins(line: &[u8]) -> bool {
    let dated = |text: &[u8]| {
        stamp::iso(text).is_some() || stamp::clf(text).is_some() || stamp::asctime(text).is_some()
    };
    match line.first() {
        Some(b'{') => line.ends_with(b"}") && line.get(1) == Some(&b'"'),
        Some(b'[') => dated(&line[1..]),
        Some(c) if c.is_ascii_hexdigit() || *c == b':' => {
            dated(line)
                || super::cut(line, b' ').is_some_and(|(word, rest)| {
                    super::address(word).is_some()
                        && (rest.starts_with(b"- ")
                            || rest.first() == Some(&b'[')
                                && rest.get(1..).and_then(stamp::clf).is_some())
                })
        }
        _ => false,
    }
}

/// `[pod/web-1/nginx] <line>`: `kubectl logs --prefix`.
fn kubectl_prefix(line: &[u8]) -> Option<Layer<'_>> {
    let (name, inner) = super::cut(line.strip_prefix(b"[pod/")?, b']')?;
    let mut layer = Layer::new(inner.strip_prefix(b" ")?, None);
    layer.outer.host = name.split(|c| *c == b'/').next().map(super::string);
    Some(layer)
}

/// `app-1  | <line>`: compose.
fn compose(line: &[u8]) -> Option<Layer<'_>> {
    let name = line
        .iter()
        .take(48)
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        .count();
    let blanks = line[name..].iter().take_while(|c| **c == b' ').count();
    let inner = line[name + blanks..].strip_prefix(b"| ")?;
    (blanks > 0).then(|| Layer::new(inner, None))
}

/// `web-7d4b9c5f6-abcde nginx <line>`: stern.
fn stern(line: &[u8]) -> Option<Layer<'_>> {
    let name = |word: &[u8]| {
        !word.is_empty()
            && word
                .iter()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'.'))
    };
    let (pod, rest) = super::cut(line, b' ')?;
    if pod.len() > 253 || memchr::memchr(b'-', pod).is_none() || !name(pod) {
        return None;
    }
    let (container, inner) = super::cut(rest, b' ')?;
    if !name(container) || !begins(inner) {
        return None;
    }
    let mut layer = Layer::new(inner, None);
    layer.outer.host = Some(super::string(pod));
    Some(layer)
}

#[cfg(test)]
mod tests {
    use super::super::string;
    use super::*;
    use crate::model::SourceId;

    fn record(ordinal: u64, start: u64, len: usize) -> RecordRef {
        RecordRef {
            source: SourceId(0),
            ordinal,
            start,
            len: len as u32,
        }
    }

    /// The records of a text, each with its stamp.
    fn peeled(text: &[u8]) -> Vec<(String, Option<String>, Outer)> {
        let mut peeler = Peeler::default();
        let mut all = Vec::new();
        let mut start = 0;
        for (i, line) in text.split(|c| *c == b'\n').enumerate() {
            if line.is_empty() {
                all.extend(peeler.blank().map(|(_, l, o)| (l, o)));
            } else {
                match peeler.feed(record(i as u64 + 1, start, line.len()), line) {
                    Fed::Plain => all.push((line.to_vec(), Outer::default())),
                    Fed::Peeled(_, l, o) => all.push((l.into_owned(), o)),
                    Fed::Part => {}
                }
            }
            start += line.len() as u64 + 1;
        }
        all.extend(peeler.finish().into_iter().map(|(_, l, o)| (l, o)));
        all.into_iter()
            .map(|(l, o)| (string(&l), o.stamp.map(Stamp::rfc3339), o))
            .collect()
    }

    fn check(text: &str, want: &[(&str, Option<&str>)]) {
        let got = peeled(text.as_bytes());
        let got: Vec<_> = got
            .iter()
            .map(|(l, s, _)| (l.as_str(), s.as_deref()))
            .collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn wrappers() {
        const AT: Option<&str> = Some("2026-11-20T20:48:09.123456789Z");
        for (line, inner, at) in [
            (
                r#"{"log":"{\"a\":1}\n","stream":"stdout","time":"2026-11-20T20:48:09.123456789Z"}"#,
                r#"{"a":1}"#,
                AT,
            ),
            ("2026-11-20T20:48:09.123456789Z stdout F hello", "hello", AT),
            ("2026-11-20T20:48:09.123456789Z hello", "hello", AT),
            ("app-1  | hello", "hello", None),
            ("app-1  | 2026-11-20T20:48:09.123456789Z hello", "hello", AT),
            (
                r#"web-7d4b9c5f6-abcde nginx 192.0.2.1 - - [20/Nov/2026:20:48:04 +0000] "GET"#,
                r#"192.0.2.1 - - [20/Nov/2026:20:48:04 +0000] "GET"#,
                None,
            ),
            (
                r#"[pod/web-0/app] 2026-11-20T20:48:09.123456789Z {"a":1}"#,
                r#"{"a":1}"#,
                AT,
            ),
            (
                "2026-11-20T20:48:09.123456+00:00 app[web.1]: hello",
                "hello",
                Some("2026-11-20T20:48:09.123456Z"),
            ),
            (
                r#"2026-11-20T20:48:09.123Z {"a":1}"#,
                r#"{"a":1}"#,
                Some("2026-11-20T20:48:09.123Z"),
            ),
            (
                "2026-11-20T20:48:09+00:00 web/app/0f1e 2026/11/20 20:48:09 [info] 1#1: x",
                "2026/11/20 20:48:09 [info] 1#1: x",
                Some("2026-11-20T20:48:09Z"),
            ),
            (
                r#"{"logStreamName":"a","timestamp":1795207689123,"message":"hello\n","ingestionTime":1795207690000,"eventId":"1"}"#,
                "hello",
                Some("2026-11-20T20:48:09.123Z"),
            ),
            (
                r#"{"insertId":"x","resource":{"type":"k8s_container","labels":{"pod_name":"web-0"}},"jsonPayload":{"msg":"hi"},"timestamp":"2026-11-20T20:48:09.123456789Z","logName":"l"}"#,
                r#"{"msg":"hi"}"#,
                AT,
            ),
            (
                r#"{"insertId":"x","textPayload":"hello","timestamp":"2026-11-20T20:48:09.123456789Z"}"#,
                "hello",
                AT,
            ),
        ] {
            check(line, &[(inner, at)]);
        }
        for plain in [
            r#"{"log":"x"}"#,
            "2026-11-20T20:48:09Z INFO std",
            "2026-11-20T20:53:04+00:00 lb1 haproxy[23765]: 127.0.0.1:1 [20/Nov/2026:20:53:52.019] a b/c",
            "socket closed",
            r#"{"insertId":"x","httpRequest":{"status":101},"jsonPayload":{"statusDetails":"x"},"timestamp":"2026-11-20T20:48:09Z"}"#,
        ] {
            check(plain, &[(plain, None)]);
        }
    }

    #[test]
    fn pieces_are_joined_by_stream() {
        check(
            "2026-11-20T20:48:09Z stdout P {\"a\":\n2026-11-20T20:48:09Z stderr F oops\n2026-11-20T20:48:09Z stdout P 1,\n2026-11-20T20:48:10Z stdout F \"b\":2}",
            &[
                ("oops", Some("2026-11-20T20:48:09Z")),
                ("{\"a\":1,\"b\":2}", Some("2026-11-20T20:48:10Z")),
            ],
        );
        let long = "x".repeat(DOCKER_CUT);
        let text = format!(
            "{{\"log\":\"{long}\",\"stream\":\"stdout\"}}\n{{\"log\":\"yz\\n\",\"stream\":\"stdout\"}}"
        );
        let (first, last) = text.split_once('\n').expect("two lines");
        let mut peeler = Peeler::default();
        let part = peeler.feed(record(1, 0, first.len()), first.as_bytes());
        assert!(matches!(part, Fed::Part));
        let start = first.len() as u64 + 1;
        match peeler.feed(record(2, start, last.len()), last.as_bytes()) {
            Fed::Peeled(record, line, _) => assert_eq!(
                (
                    record.ordinal,
                    record.start,
                    record.len as usize,
                    line.len()
                ),
                (1, 0, text.len(), DOCKER_CUT + 2)
            ),
            other => panic!("{other:?}"),
        }
        // Cut off before its end: what came is handed over.
        check("2026-11-20T20:48:09Z stdout P half", &[("half", None)]);
    }

    #[test]
    fn the_journal_in_both_of_its_shapes() {
        let named = |text: &[u8]| {
            let all = peeled(text);
            let (line, at, outer) = all.into_iter().next().expect("an entry");
            (
                line,
                at.unwrap_or_default(),
                outer.program.unwrap_or_default(),
                outer.pid,
            )
        };
        let want = |line: &str| {
            (
                line.to_owned(),
                "2026-11-20T20:48:09.123456Z".to_owned(),
                "haproxy".to_owned(),
                Some(7),
            )
        };
        assert_eq!(
            named(br#"{"_PID":"7","__REALTIME_TIMESTAMP":"1795207689123456","MESSAGE":"a \"b\"","SYSLOG_IDENTIFIER":"haproxy","_COMM":"h"}"#),
            want("a \"b\"")
        );
        assert_eq!(
            named(br#"{"MESSAGE":[97,10,98],"__REALTIME_TIMESTAMP":"1795207689123456","_COMM":"haproxy","_PID":"7"}"#),
            want("a\nb")
        );
        assert_eq!(
            named(b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795207689123456\nMESSAGE=hello\nSYSLOG_IDENTIFIER=haproxy\n_PID=7\n\n__CURSOR=s=2\nMESSAGE=x\n"),
            want("hello")
        );
        // A length of ten holds a line end itself.
        assert_eq!(
            named(b"__CURSOR=s=1\nMESSAGE\n\x0a\0\0\0\0\0\0\0line\n\nmore\n__REALTIME_TIMESTAMP=1795207689123456\n_COMM=haproxy\n_PID=7\n\n"),
            want("line\n\nmore")
        );
    }
}
