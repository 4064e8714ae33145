//! Apache httpd access lines (common, combined, vhost_combined, with what mod_logio and `%D` add) -> tunnels.

use super::access::{blank, matters};
use super::stamp::Memo;
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{HopKind, Line, LocalZone, MICRO_NS, RecordRef, SECOND_NS};

#[derive(Debug)]
pub(super) struct ApacheAccess;

impl LogFormat for ApacheAccess {
    fn name(&self) -> &'static str {
        "apache-access"
    }
    fn title(&self) -> &'static str {
        "Apache access log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"192.0.2.17 - - [20/Nov/2026:20:57:56 +0000] "GET /idle HTTP/1.1" 101 - "-" "wslab/1 (idle)""#,
            r#"192.0.2.17 - - [20/Nov/2026:20:57:56 +0000] "GET /idle HTTP/1.1" 101 12 "-" "wslab/1 (idle)" 4002624"#,
            r#"chat.example.test:443 192.0.2.17 - bob [20/Nov/2026:20:57:56 +0000] "GET /idle HTTP/1.1" 101 129 "-" "wslab/1 (idle)""#,
            r#"192.0.2.17:54516 [20/Nov/2026:20:57:56 +0000] "GET /idle HTTP/1.1" 101 B=0 I=178 O=129 D=4002624 X=- k=0"#,
        ]
    }
    fn shares_layout(&self) -> bool {
        true
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader::new(options.assumed_zone))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let Some(e) = entry(line) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for (name, value) in [
            ("vhost", e.vhost),
            ("client", e.client),
            ("start", e.date),
            ("request", e.request),
            ("status", e.status),
            ("bytes", e.bytes),
            ("user_agent", e.user_agent),
            ("%D (us)", e.life_us),
            ("%T (s)", e.life_s),
            ("%I", e.received),
            ("%O", e.sent),
        ] {
            if !value.is_empty() {
                all.push((name.to_owned(), text::string(value)));
            }
        }
        all
    }
}

/// A line's places (httpd, mod_log_config); empty = not in this layout.
#[derive(Debug, Default)]
struct Entry<'a> {
    vhost: &'a [u8],
    client: &'a [u8],
    date: &'a [u8],
    request: &'a [u8],
    status: &'a [u8],
    bytes: &'a [u8],
    user_agent: &'a [u8],
    forwarded_for: &'a [u8],
    life_us: &'a [u8],
    life_s: &'a [u8],
    received: &'a [u8],
    sent: &'a [u8],
    /// Nothing but Apache writes it so.
    marked: bool,
}

fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut e = Entry::default();
    let at = memchr::memmem::find(line.get(..line.len().min(512))?, b" [")?;
    let mut names = line[..at].split(|c| *c == b' ');
    let first = names.next()?;
    let second = names.next();
    match second {
        // `%v:%p %h %l %u`: the name of the site before the client.
        Some(second) if names.clone().count() >= 2 => {
            let (_, port) = text::cut(first, b':')?;
            text::unsigned(port)?;
            (e.vhost, e.client, e.marked) = (first, second, true);
        }
        _ => e.client = first,
    }
    if e.client.is_empty() {
        return None;
    }
    let (date, rest) = text::cut(&line[at + 2..], b']')?;
    let rest = rest.strip_prefix(b" \"")?;
    let end = text::quoted(rest, b'"')?;
    (e.date, e.request) = (date, &rest[..end]);
    let rest = rest[end + 1..].strip_prefix(b" ")?;
    let (status, mut rest) = text::cut(rest, b' ').unwrap_or((rest, b""));
    text::any_status(status)?;
    e.status = status;
    if !rest.is_empty() && !head_is_pair(rest) {
        let (bytes, after) = text::cut(rest, b' ').unwrap_or((rest, b""));
        if text::unsigned(bytes).is_none() && bytes != b"-" {
            return None;
        }
        (e.bytes, rest) = (bytes, after);
        // nginx writes 0 where Apache's %b has nothing to say.
        e.marked |= bytes == b"-";
    }
    tail(rest, &mut e);
    Some(e)
}

fn head_is_pair(rest: &[u8]) -> bool {
    let word = rest.split(|c| *c == b' ').next().unwrap_or(rest);
    memchr::memchr(b'=', word).is_some()
}

/// Referer, user agent and whatever the site adds.
fn tail<'a>(mut rest: &'a [u8], e: &mut Entry<'a>) {
    let mut quoted = 0;
    let mut bare: Vec<&[u8]> = Vec::new();
    while let Some(c) = rest.first() {
        if *c == b' ' {
            rest = &rest[1..];
        } else if *c == b'"' {
            let Some(end) = text::quoted(&rest[1..], b'"') else {
                return;
            };
            let value = &rest[1..=end];
            match quoted {
                1 => e.user_agent = value,
                n if n > 1 && !text::addresses(value).is_empty() => e.forwarded_for = value,
                _ => {}
            }
            quoted += 1;
            rest = &rest[end + 2..];
        } else {
            let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            match word {
                [b'D', b'=', value @ ..] => e.life_us = value,
                [b'T', b'=', value @ ..] => e.life_s = value,
                [b'I', b'=', value @ ..] => e.received = value,
                [b'O', b'=', value @ ..] => e.sent = value,
                [_, b'=', ..] => continue,
                _ => {
                    bare.push(word);
                    continue;
                }
            }
            e.marked = true;
        }
    }
    // A whole number after the user agent is %D: nginx's times have three decimals.
    if let [word] = bare.as_slice()
        && quoted == 2
        && word.len() >= 3
        && text::unsigned(word).is_some()
    {
        (e.life_us, e.marked) = (word, true);
    }
}

/// Reads what nginx's combined format may be as well, by Apache's meaning: the stamp is that of the request's start.
#[derive(Debug)]
pub(super) struct Reader {
    memo: Memo,
    assumed: LocalZone,
    sure: bool,
}

impl Reader {
    pub(super) fn new(assumed: LocalZone) -> Self {
        Self {
            memo: Memo::default(),
            assumed,
            sure: false,
        }
    }

    /// The line is Apache's and no other's, and was read; `None` = it may be anybody's.
    pub(super) fn marked(
        &mut self,
        record: RecordRef,
        line: &[u8],
        out: &mut Out<'_>,
    ) -> Option<Outcome> {
        let e = entry(line).filter(|e| e.marked || self.sure)?;
        self.sure = true;
        self.record(record, &e, out)
    }

    fn record(&mut self, record: RecordRef, e: &Entry<'_>, out: &mut Out<'_>) -> Option<Outcome> {
        let (start, zone) = self.memo.get(e.date, stamp::clf)?.stamp(self.assumed);
        let life_ns =
            stamp::decimal(e.life_us, MICRO_NS).or_else(|| stamp::decimal(e.life_s, SECOND_NS));
        let end = life_ns.map(|life| start.plus(life));
        out.saw(end.unwrap_or(start));
        out.zone(zone);
        let mut tunnel = blank(record, HopKind::Apache);
        tunnel.status = text::any_status(e.status);
        let request = text::request(e.request);
        if request.is_none() || !matters(&tunnel) {
            return Some(Outcome::Used);
        }
        let client = text::address(e.client);
        let (method, uri) = request.unzip();
        tunnel.start = Some(start);
        tunnel.end = end;
        tunnel.life_ns = life_ns;
        tunnel.client = client.map(|(ip, _)| ip);
        tunnel.client_port = client.and_then(|(_, port)| port);
        tunnel.forwarded_for = text::addresses(e.forwarded_for);
        tunnel.method = method.map(text::word);
        tunnel.uri = uri.map(|u| text::word(text::relative(u).0));
        tunnel.host = text::cut(e.vhost, b':').map(|(name, _)| text::word(name));
        tunnel.bytes_to_client = text::unsigned(e.sent).or_else(|| text::unsigned(e.bytes));
        tunnel.bytes_to_server = text::unsigned(e.received);
        tunnel.user_agent = text::present(e.user_agent).map(text::word);
        out.emit(Line::Tunnel(tunnel));
        Some(Outcome::Used)
    }
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        let Some(e) = entry(line).filter(|_| !super::traefik::looks(line)) else {
            return Outcome::Odd("unknown-line");
        };
        let marked = e.marked;
        self.sure |= marked;
        match self.record(record, &e, out) {
            Some(Outcome::Used) if !marked => Outcome::Beside,
            other => other.unwrap_or(Outcome::Odd("unknown-line")),
        }
    }
}
