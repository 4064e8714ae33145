//! A console line of an application -> the date and program in front of its words, and what stands in them.

use super::app_event::Level;
use super::app_fields::{self, Fields};
use super::app_names;
use super::{FieldMap, Out, stamp, text};
use crate::model::{LocalZone, Stamp, Zone};
use std::borrow::Cow;

/// What stands before an application's own words in a console line.
pub(super) struct Front<'a> {
    pub(super) time: Option<(Stamp, Zone)>,
    pub(super) no_year: bool,
    pub(super) pid: Option<u32>,
    pub(super) hostname: Option<&'a [u8]>,
    /// Where it stands before the date.
    pub(super) level: Level,
    pub(super) message: &'a [u8],
}

impl Front<'_> {
    /// What a line without a time is called.
    pub(super) const fn lacks(&self) -> &'static str {
        if self.no_year { "no-year" } else { "no-time" }
    }
}

/// The date, program and level in front of a console line; `None` where there is no date.
pub(super) fn front<'a>(line: &'a [u8], assumed: LocalZone, out: &Out<'_>) -> Option<Front<'a>> {
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
            level: Level::Unknown,
            message: message.trim_ascii(),
        });
    }
    if let Some((level, date, message)) = level_first(rest).or_else(|| tornado(rest)) {
        return Some(Front {
            time: Some(date.stamp(assumed)),
            no_year: false,
            pid: None,
            hostname: None,
            level,
            message,
        });
    }
    // Daphne: `127.0.0.1:1234 - - [20/Nov/2026:20:48:04] "WSCONNECT /ws" - -`.
    if let Some(date) = daphne(rest) {
        return Some(Front {
            time: Some(date.stamp(assumed)),
            no_year: false,
            pid: None,
            hostname: None,
            level: Level::Unknown,
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
        level: Level::Unknown,
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
    // pino-pretty: `[21:42:53.123] INFO (1234): message`, with a day from elsewhere.
    if bracket
        && let Some((date, len)) = stamp::time_of_day(inner, out.near())
        && let Some(after) = inner[len..].strip_prefix(b"] ")
    {
        let (pid, message) = match text::between(after, b" (", b"): ") {
            Some(pid) if text::unsigned(pid).is_some() => (
                text::unsigned(pid).and_then(|p| u32::try_from(p).ok()),
                after,
            ),
            _ => (None, after),
        };
        return Some(Front {
            time: date.map(|d| d.stamp(assumed)),
            no_year: date.is_none(),
            pid,
            message,
            ..whole
        });
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

/// Python's `%(levelname)s %(asctime)s ...`, as Django's documentation has it: `INFO 2026-11-20 20:48:09,123 chat.consumers 1234 message`.
fn level_first(line: &[u8]) -> Option<(Level, stamp::Date, &[u8])> {
    let (word, rest) = text::cut(line, b' ')?;
    let bare = word.strip_prefix(b"[").unwrap_or(word);
    let bare = bare.strip_suffix(b":").unwrap_or(bare);
    let bare = bare.strip_suffix(b"]").unwrap_or(bare);
    let upper = bare.len() >= 4 && bare.iter().all(u8::is_ascii_uppercase);
    let level = Level::of(bare);
    if !upper || level == Level::Unknown {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let inner = rest.strip_prefix(b"[");
    let date = stamp::iso(inner.unwrap_or(rest))?;
    let after = &inner.unwrap_or(rest)[date.len..];
    let after = match inner {
        Some(_) => after.strip_prefix(b"]")?,
        None => after,
    };
    let ends = after.is_empty() || matches!(after[0], b' ' | b'\t' | b':' | b'|' | b'-');
    ends.then(|| (level, date, after.trim_ascii_start()))
}

/// Tornado's own: `[I 261120 20:48:09 web:2348] message`, the year in two digits.
fn tornado(line: &[u8]) -> Option<(Level, stamp::Date, &[u8])> {
    let (head, message) = text::cut(line.strip_prefix(b"[")?, b']')?;
    let [letter, b' ', y1, y2, m1, m2, d1, d2, b' ', clock @ ..] = head else {
        return None;
    };
    let level = match letter {
        b'D' | b'I' => Level::Low,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'C' => Level::Fatal,
        _ => return None,
    };
    let (clock, place) = text::cut(clock, b' ')?;
    memchr::memchr(b':', place)?;
    let day = [b'2', b'0', *y1, *y2, b'-', *m1, *m2, b'-', *d1, *d2, b' '];
    let date = stamp::iso(&[&day[..], clock].concat())?;
    Some((level, date, message.trim_ascii_start()))
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
pub(super) fn of_text<'a>(message: &'a [u8], assumed: LocalZone, map: &FieldMap) -> Fields<'a> {
    let mut fields = Fields::default();
    let mut told = Vec::new();
    let mut pairs = 0;
    let mut given = false;
    for (key, value) in text::Pairs(message) {
        pairs += 1;
        given |= matches!(key, b"msg" | b"message" | b"event");
        // `client_error session=u7: message`: the sentence goes on.
        let value = to_the_end(key, value, message)
            .unwrap_or_else(|| value.strip_suffix(b":").unwrap_or(value));
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
    if fields.session.is_none() && fields.connection_id.is_none() && fields.id.is_none() {
        app_names::token(message, &mut fields);
    }
    // ActionCable: `Finished "/cable" [WebSocket] for 127.0.0.1 at ...` is the close, without a code.
    if text::contains(message, b"Finished \"") && text::contains(message, b"[WebSocket]") {
        fields.event = Cow::Borrowed(b"socket closed");
    }
    // The same of its opening.
    if text::contains(message, b"Started GET \"") && text::contains(message, b"[WebSocket]") {
        fields.event = Cow::Borrowed(b"socket opened");
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

/// An error that stands last and without quotes is all that follows: `err=websocket: read limit exceeded`.
fn to_the_end<'a>(key: &[u8], value: &[u8], message: &'a [u8]) -> Option<&'a [u8]> {
    let error = matches!(key, b"err" | b"error" | b"exception");
    if !error || value.is_empty() {
        return None;
    }
    let mark = [b" ", key, b"=", value].concat();
    let at = memchr::memmem::rfind(message, &mark)? + key.len() + 2;
    let rest = message.get(at..)?;
    memchr::memchr2(b'=', b'"', rest).is_none().then_some(rest)
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
