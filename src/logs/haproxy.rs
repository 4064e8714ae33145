//! HAProxy log lines (http and tcp, with or without a syslog prefix) and its process lines -> tunnels and hop events.

use super::stamp::{self, Memo};
use super::text::near::word;
use super::{Block, Skimmed};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, gate, haproxy_json, is_line, text};
use crate::model::{
    HopEvent, HopKind, HopLine, Line, LocalZone, MILLI_NS, RecordRef, Stamp, TunnelLine, Zone,
};

#[derive(Debug)]
pub(super) struct Haproxy;

impl LogFormat for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }
    fn title(&self) -> &'static str {
        "HAProxy log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"Nov 20 21:42:53 lb1 haproxy[3015]: 192.0.2.14:33605 [20/Nov/2026:21:42:46.885] fe_ws be_ws/web1 0/0/0/1/6706 101 222 - - cD-- 8/8/7/7/0 0/0 "GET /ws?s=1 HTTP/1.1""#,
            r#"<134>Nov 20 20:53:04 localhost haproxy[23765]: 127.0.0.1:33480 [20/Nov/2026:20:53:52.019] fe_tcp be_tcp/app1 1/0/3002 129 cD 1/1/0/0/0 0/0"#,
            r#"<142>1 2026-11-20T20:53:55.021918+00:00 - haproxy 23765 - - 127.0.0.1:53170 [20/Nov/2026:20:52:58.600] fe~ be/<NOSRV> 0/1001/-1/-1/1001 503 217 - - sQ-- 2/2/1/0/0 0/1 {websocket|x} "GET /q HTTP/1.1""#,
            r#"2001:db8::7:53170 [20/Nov/2026:20:52:58.600] fe be/a 0/0/0/1/1003 101 144 - - ---- 1/1/0/0/0 0/0 "GET /echo HTTP/1.1""#,
            r#"<129>1 2026-11-20T20:53:55.021918+00:00 - haproxy 23765 - - Server be_down/app1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms. 0 active and 0 backup servers left."#,
            "2026-11-20T20:53:04+00:00 lb1 haproxy[23765]: Proxy fe_fin stopped (cumulated conns: FE: 6, BE: 0).",
        ]
    }
    fn parts_between(&self, before: &[u8], after: &[u8]) -> bool {
        is_line(before) && is_line(after)
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader {
            memo: Memo::default(),
            assumed: options.assumed_zone,
            front: Front::default(),
        })
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let (prefix, message) = prefix(line);
        let mut all = Vec::new();
        if prefix.program {
            let head = &line[..line.len() - message.len()];
            all.push(("syslog".to_owned(), text::string(head.trim_ascii())));
        }
        let Some(parts) = parts(message) else {
            all.push(("message".to_owned(), text::string(message)));
            if let Some(what) = process(message) {
                all.push(("event".to_owned(), format!("{what:?}")));
            }
            return all;
        };
        let mut push = |k: &str, v: &[u8]| all.push((k.to_owned(), text::string(v)));
        push("client", parts.client);
        push("accept_date", parts.date);
        push("frontend", parts.frontend);
        push("backend/server", parts.backend);
        push(
            if parts.http {
                "TR/Tw/Tc/Tr/Ta"
            } else {
                "Tw/Tc/Tt"
            },
            parts.timers,
        );
        if parts.http {
            push("status", parts.status);
        }
        push("bytes", parts.bytes);
        push("termination_state", parts.state);
        push("rest", parts.rest);
        all
    }
}

/// What a syslog header in front of the message says.
#[derive(Default)]
struct Prefix {
    /// There is one, and it names HAProxy.
    program: bool,
    /// It names another program.
    other: bool,
    pid: Option<u32>,
    rfc5424: Option<stamp::Date>,
    /// RFC 3164: year missing; the bytes begin at its date.
    rfc3164: Option<usize>,
}

/// The syslog header (RFC 3164 4.1, RFC 5424 6.2), where there is one, and the message after it.
fn prefix(line: &[u8]) -> (Prefix, &[u8]) {
    let mut prefix = Prefix::default();
    let mut rest = line;
    if let Some((pri, after)) = rest.strip_prefix(b"<").and_then(|r| text::cut(r, b'>'))
        && pri.len() <= 3
        && text::unsigned(pri).is_some()
    {
        rest = after;
    }
    let whole = rest;
    if let Some(after) = rest.strip_prefix(b"1 ")
        && let Some(date) = stamp::iso(after)
    {
        // host program pid msgid structured-data
        let mut words = after[date.len..]
            .trim_ascii_start()
            .splitn(6, |c| *c == b' ');
        let (_, program, pid) = (words.next(), words.next(), words.next());
        let (_, _, message) = (words.next(), words.next(), words.next());
        prefix.rfc5424 = Some(date);
        return named(prefix, program, pid, message.unwrap_or(b""), rest);
    }
    let date_len = match (stamp::syslog(rest, None), stamp::iso(rest)) {
        (Some((_, n)), _) => {
            prefix.rfc3164 = Some(line.len() - rest.len());
            n
        }
        (None, Some(date)) => {
            prefix.rfc5424 = Some(date);
            date.len
        }
        (None, None) => return (prefix, whole),
    };
    rest = rest[date_len..].trim_ascii_start();
    // `log stdout format timed` (and `iso`) has the date alone in front.
    if parts(rest).is_some() {
        return (prefix, rest);
    }
    // `haproxy[23765]: ` with or without a host name before it.
    for _ in 0..2 {
        let Some((word, after)) = text::cut(rest, b' ') else {
            break;
        };
        if let Some(tag) = word.strip_suffix(b":") {
            let (program, pid) = match text::cut(tag, b'[') {
                Some((p, pid)) => (p, pid.strip_suffix(b"]")),
                None => (tag, None),
            };
            return named(prefix, Some(program), pid, after, whole);
        }
        rest = after;
    }
    (prefix, whole)
}

fn named<'a>(
    mut prefix: Prefix,
    program: Option<&[u8]>,
    pid: Option<&[u8]>,
    message: &'a [u8],
    whole: &'a [u8],
) -> (Prefix, &'a [u8]) {
    let Some(program) = program else {
        return (prefix, whole);
    };
    prefix.program = text::contains(program, b"haproxy");
    prefix.other = !prefix.program;
    prefix.pid = pid
        .and_then(text::unsigned)
        .and_then(|p| u32::try_from(p).ok());
    (prefix, message.trim_ascii())
}

/// A line of `option httplog` or `option tcplog` (HAProxy configuration manual, 8.2.2 and 8.2.3).
struct Parts<'a> {
    client: &'a [u8],
    date: &'a [u8],
    frontend: &'a [u8],
    backend: &'a [u8],
    timers: &'a [u8],
    status: &'a [u8],
    bytes: &'a [u8],
    state: &'a [u8],
    /// Counters, captured headers, request.
    rest: &'a [u8],
    http: bool,
}

fn parts(message: &[u8]) -> Option<Parts<'_>> {
    let (client, rest) = text::cut(message, b' ')?;
    let (date, rest) = text::cut(rest.strip_prefix(b"[")?, b']')?;
    let rest = rest.strip_prefix(b" ")?;
    let (frontend, rest) = text::cut(rest, b' ')?;
    let (backend, rest) = text::cut(rest, b' ')?;
    let (timers, rest) = text::cut(rest, b' ')?;
    if !timers
        .iter()
        .all(|c| c.is_ascii_digit() || matches!(c, b'/' | b'-' | b'+'))
    {
        return None;
    }
    let http = match memchr::memchr_iter(b'/', timers).count() {
        4 => true,
        2 => false,
        _ => return None,
    };
    let (status, rest) = if http {
        text::cut(rest, b' ')?
    } else {
        (&b""[..], rest)
    };
    let (bytes, rest) = text::cut(rest, b' ')?;
    // Captured request and response cookies stand between in http mode.
    let mut rest = rest;
    // Formats of one's own often leave them out.
    let bare = text::cut(rest, b' ').is_some_and(|(word, _)| is_state(word));
    if http && !bare {
        rest = text::cut(rest, b' ')?.1;
        rest = text::cut(rest, b' ')?.1;
    }
    let (state, rest) = text::cut(rest, b' ')?;
    (state.len() == if http { 4 } else { 2 }).then_some(Parts {
        client,
        date,
        frontend,
        backend,
        timers,
        status,
        bytes,
        state,
        rest,
        http,
    })
}

/// A termination state with its two flags of cookies (HAProxy configuration manual, 8.5).
pub(super) fn is_state(word: &[u8]) -> bool {
    let [cause, phase, sent, set] = word else {
        return false;
    };
    b"CSPLRIDUKcs-".contains(cause)
        && b"RQCHDLT-".contains(phase)
        && b"NIDEVOU-".contains(sent)
        && b"NIUPRD-".contains(set)
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    let (prefix, message) = prefix(line);
    prefix.program || parts(message).is_some() || haproxy_json::looks(message)
}

fn process(message: &[u8]) -> Option<HopEvent> {
    let has = |what: &[u8]| text::contains(message, what);
    let named = message.starts_with(b"Server ")
        || message.starts_with(b"Proxy ")
        || message.starts_with(b"backend ")
        || message.starts_with(b"Backup Server ")
        || message.starts_with(b"Health check for server ");
    Some(
        if has(b": Connection closed during SSL handshake")
            || has(b": SSL handshake failure") && has(b" alert ")
        {
            HopEvent::TlsLeft
        } else if has(b": SSL handshake failure") {
            HopEvent::TlsFailed
        } else if named && has(b" has no server available") {
            HopEvent::NoLiveUpstreams
        } else if named && (has(b" is DOWN") || has(b" is going DOWN") || has(b" is stopping")) {
            HopEvent::UpstreamDown
        } else if named && (has(b" is UP") || has(b" is going UP") || has(b" is READY")) {
            HopEvent::UpstreamUp
        } else if has(b"reached process FD limit") || has(b"Too many open files") {
            HopEvent::DescriptorsExhausted
        } else if has(b"reached the configured maxconn") {
            HopEvent::WorkerConnections
        } else if message.starts_with(b"Proxy ") && has(b" started")
            || has(b"Loading success")
            || has(b"New worker ")
        {
            HopEvent::Started
        } else if has(b"Reloading HAProxy") {
            HopEvent::Reload
        } else if message.starts_with(b"Stopping ") || has(b"Former worker ") && has(b" exited") {
            HopEvent::Draining
        } else if named && has(b" stopped (") {
            HopEvent::Exiting
        } else if has(b"Exiting Master process") || has(b"All workers exited") {
            HopEvent::Stopped
        } else if named
            || message.starts_with(b"[NOTICE]")
            || message.starts_with(b"[WARNING]")
            || message.starts_with(b"[ALERT]")
        {
            HopEvent::Other
        } else {
            return None;
        },
    )
}

struct Reader {
    memo: Memo,
    assumed: LocalZone,
    /// What stood before the message of the last line: all of it but an RFC 3164 date says nothing of a request.
    front: Front,
}

/// `<134>Nov 20 21:42:53 lb1 haproxy[3015]: `, or nothing.
#[derive(Default)]
struct Front {
    text: Vec<u8>,
    /// Where the date stands.
    date: Option<usize>,
}

/// Bytes of an RFC 3164 date.
const DATE: usize = 15;

impl Front {
    fn learn(&mut self, line: &[u8], prefix: &Prefix, message: &[u8]) {
        // A date with its zone says how to read the others.
        let Some(text) = line
            .get(..line.len() - message.len())
            .filter(|_| prefix.rfc5424.is_none())
        else {
            self.text.clear();
            return;
        };
        text.clone_into(&mut self.text);
        self.date = prefix.rfc3164;
    }

    fn message<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let (front, message) = line.split_at_checked(self.text.len())?;
        let same = |from: usize, to: usize| front.get(from..to) == self.text.get(from..to);
        let fits = match self.date {
            // A wrapper's time stamp has dashes.
            None => front == self.text && message.get(4) != Some(&b'-'),
            // Most lines are of the second of the line before.
            Some(at) => {
                same(0, at)
                    && same(at + DATE, front.len())
                    && (same(at, at + DATE) || stamp::syslog(&front[at..], None).is_some())
            }
        };
        fits.then_some(message)
    }
}

/// What decides about a request's line without captured headers.
struct Bare<'a> {
    /// Of the accept.
    date: &'a [u8],
    /// The whole time.
    total: &'a [u8],
    status: &'a [u8],
    /// The request line, with the quote behind it.
    request: &'a [u8],
}

impl Bare<'_> {
    /// The path that was asked for by a request which failed.
    fn refused(&self) -> Option<&[u8]> {
        let request = self.request.strip_suffix(b"\"").unwrap_or(self.request);
        let (_, uri) = text::request(request).filter(|_| gate::is_refusal(self.status))?;
        (!uri.starts_with(b"<BADREQ>")).then(|| text::relative(uri).0)
    }
}

fn bare(message: &[u8]) -> Option<Bare<'_>> {
    let (client, rest) = word(message)?;
    let (date, rest) = rest.strip_prefix(b"[")?.split_at_checked(24)?;
    let (_, rest) = word(rest.strip_prefix(b"] ")?)?;
    let (_, rest) = word(rest)?;
    let (timers, total, rest) = timers(rest)?;
    let (status, rest) = rest.split_at_checked(3)?;
    if client.is_empty() || timers != 5 {
        return None;
    }
    let (_, rest) = word(rest.strip_prefix(b" ")?)?;
    // Cookies captured, the state, counters, the request.
    let rest = match rest.strip_prefix(b"- - ") {
        Some(rest) => rest,
        None => word(word(rest)?.1)?.1,
    };
    let (state, rest) = word(rest)?;
    let counters = rest.iter().position(|c| !COUNTER[usize::from(*c)])?;
    let request = rest[counters..].strip_prefix(b"\"")?;
    (state.len() == 4).then_some(Bare {
        date,
        total,
        status,
        request,
    })
}

/// What stands in the counters, and between them.
const COUNTER: [bool; 256] = {
    let mut counter = [false; 256];
    let mut c = 0;
    while c < 256 {
        counter[c] = is_counter(c as u8) || c as u8 == b' ';
        c += 1;
    }
    counter
};

const fn is_counter(c: u8) -> bool {
    matches!(c, b'0'..=b'9' | b'/' | b'-' | b'+')
}

/// How many timers stand here, the last of them, and what follows the blank behind it.
fn timers(text: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let (mut count, mut last) = (1, 0);
    for (at, c) in text.iter().enumerate() {
        match c {
            b' ' => return Some((count, &text[last..at], &text[at + 1..])),
            b'/' => (count, last) = (count + 1, at + 1),
            c if !is_counter(*c) => return None,
            _ => {}
        }
    }
    None
}

impl LineReader for Reader {
    fn skim(&mut self, block: Block<'_>, from: usize, out: &mut Out<'_>) -> Skimmed {
        let Self {
            memo,
            assumed,
            front,
        } = self;
        let mut pass = |line: &[u8], place: gate::Place| {
            let bare = bare(front.message(line)?)?;
            let (start, zone) = memo.get(bare.date, stamp::clf)?.stamp(*assumed);
            if !gate::is_plain(bare.status) {
                let record = place.record(out.source, line.len());
                out.puts_off(record, bare.refused()?).then_some(())?;
            }
            let early = bare.total.first() == Some(&b'+');
            let life = stamp::decimal(bare.total, MILLI_NS).filter(|_| !early);
            out.saw(life.map_or(start, |life| start.plus(life)));
            out.zone(zone);
            Some(())
        };
        gate::skim(block, from, |line, place| pass(line, place).is_some())
    }

    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        let (mut prefix, message) = prefix(line);
        if let Some(program) = out.program() {
            prefix.program |= program.contains("haproxy");
            prefix.pid = prefix.pid.or(out.outer_names.pid);
        }
        if prefix.other {
            return Outcome::Odd("unknown-line");
        }
        if message.first() == Some(&b'{')
            && let Some(outcome) = haproxy_json::read(record, message, self.assumed, out)
        {
            return outcome;
        }
        match parts(message) {
            Some(parts) => {
                if out.outer.is_none() {
                    self.front.learn(line, &prefix, message);
                }
                self.tunnel(record, &prefix, &parts, out)
            }
            None => self.process(record, line, &prefix, message, out),
        }
    }
}

impl Reader {
    fn tunnel(
        &mut self,
        record: RecordRef,
        prefix: &Prefix,
        parts: &Parts<'_>,
        out: &mut Out<'_>,
    ) -> Outcome {
        let Some(date) = self.memo.get(parts.date, stamp::clf) else {
            return Outcome::Odd("unknown-line");
        };
        let assumed = self.assumed;
        let (start, mut zone) = match prefix.rfc5424.and_then(|d| d.offset_s) {
            // One program on one host wrote both dates.
            Some(offset) => date.stamp(LocalZone::Fixed(offset)),
            None => date.stamp(assumed),
        };
        if prefix.rfc5424.is_some_and(|d| d.offset_s.is_some()) {
            zone = Zone {
                basis: crate::model::ZoneBasis::Line,
                ..zone
            };
        }
        // `+` = logged at the answer, not at the end.
        let total = parts.timers.rsplit(|c| *c == b'/').next().unwrap_or(b"");
        let early = total.first() == Some(&b'+');
        let life_ns = stamp::decimal(total, MILLI_NS).filter(|_| !early);
        let end = life_ns.map(|life| start.plus(life));
        out.saw(end.unwrap_or(start));
        out.zone(zone);

        let status = text::any_status(parts.status);
        let request = memchr::memchr(b'"', parts.rest).map(|at| {
            let inner = &parts.rest[at + 1..];
            inner.strip_suffix(b"\"").unwrap_or(inner)
        });
        let (method, uri) = request.and_then(text::request).unzip();
        let uri = uri.filter(|u| !u.starts_with(b"<BADREQ>"));
        let captured = &parts.rest[..memchr::memchr(b'"', parts.rest).unwrap_or(parts.rest.len())];
        let asked = captured
            .windows(9)
            .any(|w| w.eq_ignore_ascii_case(b"websocket"))
            .then_some(true);
        let wanted = !parts.http
            || asked.is_some()
            || uri.is_some() && status.is_none_or(|s| s == 101 || s >= 400);
        if !wanted {
            return Outcome::Used;
        }
        if parts.http
            && asked.is_none()
            && status.is_some_and(|s| s >= 400)
            && uri.is_some_and(|uri| out.puts_off(record, text::relative(uri).0))
        {
            return Outcome::Used;
        }
        let client = text::address(parts.client);
        out.emit(Line::Tunnel(TunnelLine {
            record,
            hop: HopKind::Haproxy,
            start: Some(start),
            end,
            life_ns,
            client: client.map(|(ip, _)| ip),
            client_port: client.and_then(|(_, port)| port),
            forwarded_for: Vec::new(),
            // The log names servers, it does not give their addresses.
            upstream_local: None,
            upstream: None,
            method: method.map(text::word),
            uri: uri.map(|u| text::word(text::relative(u).0)),
            host: None,
            status,
            upstream_status: None,
            bytes_to_client: text::unsigned(parts.bytes.strip_prefix(b"+").unwrap_or(parts.bytes)),
            bytes_to_server: None,
            upgrade_asked: asked,
            termination: Some(text::word(parts.state)),
            user_agent: None,
            request_id: None,
            ws_key: None,
            serial: None,
        }));
        Outcome::Used
    }

    fn process(
        &mut self,
        record: RecordRef,
        line: &[u8],
        prefix: &Prefix,
        message: &[u8],
        out: &mut Out<'_>,
    ) -> Outcome {
        let what = match process(message) {
            Some(what) => what,
            None if prefix.program => HopEvent::Other,
            None => return Outcome::Odd("unknown-line"),
        };
        let dated = match (prefix.rfc5424, prefix.rfc3164) {
            (Some(date), _) => Some(date),
            // `fe/1: SSL handshake failure` has the accept date in brackets.
            (None, _)
                if text::between(message, b" [", b"]")
                    .and_then(stamp::clf)
                    .is_some() =>
            {
                text::between(message, b" [", b"]").and_then(stamp::clf)
            }
            (None, Some(at)) => match stamp::syslog(line.get(at..).unwrap_or(b""), out.near()) {
                Some((Some(date), _)) => Some(date),
                Some((None, _)) if what == HopEvent::Other => return Outcome::Used,
                _ => return Outcome::Odd("no-year"),
            },
            (None, None) => None,
        };
        let at: Stamp = match dated {
            Some(date) => {
                let (at, zone) = date.stamp(self.assumed);
                out.saw(at);
                out.zone(zone);
                at
            }
            None => match out.outer.or_else(|| out.recent()) {
                Some(at) => at,
                None if what == HopEvent::Other => return Outcome::Used,
                None => return Outcome::Odd("no-time"),
            },
        };
        if what == HopEvent::Other {
            return Outcome::Used;
        }
        let client = text::cut(message, b' ').and_then(|(word, _)| text::address(word));
        out.emit(Line::Hop(HopLine {
            record,
            hop: HopKind::Haproxy,
            at,
            level: None,
            pid: prefix.pid,
            what,
            serial: None,
            client: client.map(|(ip, _)| ip),
            client_port: client.and_then(|(_, port)| port),
            uri: None,
            upstream: None,
            host: None,
        }));
        Outcome::Used
    }
}
