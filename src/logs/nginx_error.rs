//! nginx error-log lines -> what happened to a connection or to the process.

use super::json::{self, Kind, Leaf};
use super::stamp::{self, Memo};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, text};
use crate::model::{HopEvent, HopKind, HopLine, Line, LocalZone, RecordRef};

#[derive(Debug)]
pub(super) struct NginxError;

impl LogFormat for NginxError {
    fn name(&self) -> &'static str {
        "nginx-error"
    }
    fn title(&self) -> &'static str {
        "nginx error log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"2026/11/20 20:48:09 [info] 11065#11065: *57 upstream timed out (110: Connection timed out) while proxying upgraded connection, client: 127.0.0.1, server: , request: "GET /idle HTTP/1.1", upstream: "http://127.0.0.1:18001/idle", host: "ws.test""#,
            "2026/11/20 20:49:26 [notice] 11064#11064: signal 1 (SIGHUP) received from 14792, reconfiguring",
            "2026/11/20 20:50:46 [crit] 17480#17480: accept4() failed (24: Too many open files)",
            "2026/11/20 20:49:34 [emerg] 15030#15030: bind() to 0.0.0.0:80 failed (98: Address already in use)",
            r#"{"level":"info","timestamp":"2026-11-20T20:48:09+00:00","pid":11065,"tid":11065,"cnum":57,"msg":"upstream timed out (110: Connection timed out) while proxying upgraded connection","client":"192.0.2.17","server":"","request":"GET /idle HTTP/1.1","upstream":"http://192.0.2.2:18001/idle","errno":110,"errtext":"Connection timed out"}"#,
        ]
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader {
            memo: Memo::default(),
            assumed: options.assumed_zone,
        })
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        if line.first() == Some(&b'{') {
            return json::fields(line);
        }
        let Some(head) = head(line) else {
            return Vec::new();
        };
        let mut all = vec![
            ("time".to_owned(), text::string(&line[..19])),
            ("level".to_owned(), text::string(head.level)),
            ("pid".to_owned(), text::string(head.pid)),
        ];
        if let Some(serial) = head.serial {
            all.push(("connection".to_owned(), serial.to_string()));
        }
        let (message, tail) = split(head.message);
        all.push(("message".to_owned(), text::string(message)));
        for key in KEYS {
            if let Some(value) = field(tail, key) {
                all.push((
                    key.trim_matches([',', ' ', ':']).to_owned(),
                    text::string(value),
                ));
            }
        }
        all.push(("event".to_owned(), format!("{:?}", classify(message))));
        all
    }
}

const KEYS: &[&str] = &[
    ", client: ",
    ", server: ",
    ", request: ",
    ", subrequest: ",
    ", upstream: ",
    ", host: ",
    ", referrer: ",
];

struct Head<'a> {
    level: &'a [u8],
    pid: &'a [u8],
    serial: Option<u64>,
    message: &'a [u8],
}

/// `2026/11/20 20:48:09 [info] 11065#11065: *57 message`: the grammar of `ngx_log_error_core`.
fn head(line: &[u8]) -> Option<Head<'_>> {
    let rest = line.get(19..)?.strip_prefix(b" [")?;
    if line[4] != b'/' {
        return None;
    }
    let (level, rest) = text::cut(rest, b']')?;
    if !matches!(
        level,
        b"debug" | b"info" | b"notice" | b"warn" | b"error" | b"crit" | b"alert" | b"emerg"
    ) {
        return None;
    }
    let (pid, rest) = text::cut(rest.strip_prefix(b" ")?, b'#')?;
    let (tid, rest) = text::cut(rest, b':')?;
    text::unsigned(pid)?;
    text::unsigned(tid)?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let serial = rest
        .strip_prefix(b"*")
        .and_then(|r| text::cut(r, b' '))
        .and_then(|(n, rest)| Some((text::unsigned(n)?, rest)));
    let (serial, message) = match serial {
        Some((n, rest)) => (Some(n), rest),
        None => (None, rest),
    };
    Some(Head {
        level,
        pid,
        serial,
        message,
    })
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    head(line).is_some()
}

/// nginx Plus from 1.29.8 on with `error_log FILE LEVEL json` (nginx.org ngx_core_module).
pub(super) fn is_json(leaves: &[Leaf<'_>]) -> bool {
    let has = |name: &[u8]| {
        leaves
            .iter()
            .any(|l| l.depth == 1 && l.key == name && l.kind != Kind::Tree)
    };
    has(b"tid") && has(b"pid") && has(b"level") && has(b"msg") && has(b"timestamp")
}

/// The message, and the parts that `ngx_http_log_error_handler` adds.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memmem::find(message, b", client: ") {
        Some(at) => message.split_at(at),
        None => (message, b""),
    }
}

fn field<'a>(tail: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(tail, key.as_bytes())? + key.len();
    let rest = &tail[at..];
    if let Some(inner) = rest.strip_prefix(b"\"") {
        return Some(&inner[..memchr::memchr(b'"', inner).unwrap_or(inner.len())]);
    }
    Some(&rest[..memchr::memchr(b',', rest).unwrap_or(rest.len())])
}

/// What a message means; the table of log-format notes 1.2 and 1.3.
fn classify(message: &[u8]) -> HopEvent {
    let has = |what: &[u8]| text::contains(message, what);
    let upgraded = has(b"while proxying upgraded connection") || has(b"while proxying connection");
    if has(b"(24: Too many open files") || has(b"(23: Too many open files") {
        return HopEvent::DescriptorsExhausted;
    }
    if has(b"worker_connections are not enough") {
        return HopEvent::WorkerConnections;
    }
    if has(b"no live upstreams") {
        return HopEvent::NoLiveUpstreams;
    }
    if message.starts_with(b"client timed out") {
        return HopEvent::ClientTimeout;
    }
    let tls = has(b"SSL_") || has(b"SSL handshake") || has(b"(SSL:");
    // An alert in the text is one that the peer sent (OpenSSL's reasons above 1000).
    if tls
        && !upgraded
        && (has(b" alert ") || message.starts_with(b"peer closed connection in SSL"))
    {
        return HopEvent::TlsLeft;
    }
    if has(b"SSL_") || has(b"SSL handshake") || has(b"while SSL handshaking") || has(b"(SSL:") {
        return HopEvent::TlsFailed;
    }
    if has(b"upstream timed out") || message.starts_with(b"connection timed out") {
        return if upgraded {
            HopEvent::IdleTimeout
        } else if has(b"while connecting to upstream") {
            HopEvent::UpstreamUnreachable
        } else if has(b"while reading response header") || has(b"while sending request") {
            HopEvent::HandshakeTimeout
        } else {
            HopEvent::Other
        };
    }
    if has(b"client prematurely closed connection") || has(b"client closed prematurely") {
        return HopEvent::ClientLeftEarly;
    }
    if has(b"upstream prematurely closed connection") || has(b"upstream closed prematurely") {
        return if upgraded {
            HopEvent::Other
        } else {
            HopEvent::UpstreamClosedEarly
        };
    }
    if has(b"connect() failed (") || has(b"connect() to ") {
        // 111 refused; 11 a Unix socket whose queue is full, 2 one that is not there.
        return if has(b"(111:") || has(b"(11:") || has(b"(2:") {
            HopEvent::UpstreamRefused
        } else {
            HopEvent::UpstreamUnreachable
        };
    }
    if has(b"host not found in upstream")
        || has(b"could not be resolved")
        || has(b"could not be resolve")
    {
        return HopEvent::UpstreamUnreachable;
    }
    if has(b"failed (110:") && upgraded {
        return HopEvent::TcpTimeout;
    }
    if has(b"failed (104:") || has(b"failed (32:") {
        return if upgraded {
            HopEvent::ResetWhileUpgraded
        } else if has(b"upstream") {
            HopEvent::UpstreamClosedEarly
        } else {
            HopEvent::Other
        };
    }
    if has(b"upstream server temporarily disabled") {
        return HopEvent::UpstreamDown;
    }
    lifecycle(message)
}

fn lifecycle(message: &[u8]) -> HopEvent {
    if let Some(rest) = message.strip_prefix(b"signal ") {
        return match text::cut(rest, b' ').and_then(|(n, _)| text::unsigned(n)) {
            Some(1) => HopEvent::Reload,
            Some(3) => HopEvent::Draining,
            Some(2 | 15) => HopEvent::Stopped,
            _ => HopEvent::Other,
        };
    }
    if message.starts_with(b"worker process ") {
        if text::contains(message, b" exited on signal ") {
            return HopEvent::WorkerKilled;
        }
        if text::contains(message, b" exited with code ") && !message.ends_with(b" code 0") {
            return HopEvent::WorkerKilled;
        }
    }
    match message {
        b"gracefully shutting down" => HopEvent::Draining,
        b"exiting" => HopEvent::Exiting,
        b"start worker processes" => HopEvent::Started,
        _ => HopEvent::Other,
    }
}

struct Reader {
    memo: Memo,
    assumed: LocalZone,
}

impl Reader {
    fn json(&self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        let mut leaves = Vec::new();
        if !json::scan(line, &mut leaves) || !is_json(&leaves) {
            return None;
        }
        let get = |name: &[u8]| {
            leaves
                .iter()
                .find(|l| l.depth == 1 && l.key == name && l.kind != Kind::Tree)
                .map(Leaf::text)
        };
        let (at, zone) = match stamp::epoch(&get(b"timestamp")?) {
            Some(_) => return None,
            None => stamp::iso(&get(b"timestamp")?)?.stamp(self.assumed),
        };
        out.saw(at);
        out.zone(zone);
        // The number of the error stands beside the message, not in it.
        let message = get(b"msg")?;
        let message = match get(b"errno") {
            Some(errno) if !text::contains(&message, b"failed (") && errno.as_ref() != b"0" => {
                let at =
                    memchr::memmem::find(&message, b" failed").map_or(message.len(), |at| at + 7);
                let (front, back) = message.split_at(at);
                [front, b" (", errno.as_ref(), b":)", back].concat()
            }
            _ => message.into_owned(),
        };
        let what = classify(&message);
        let level = get(b"level")?;
        let bad = matches!(level.as_ref(), b"error" | b"crit" | b"alert" | b"emerg");
        let number = |name: &[u8]| get(name).and_then(|v| text::unsigned(&v));
        let serial = number(b"cnum").filter(|n| *n > 0);
        if what == HopEvent::Other && !(bad && serial.is_some() && get(b"client").is_some()) {
            return Some(Outcome::Used);
        }
        let client = get(b"client").and_then(|c| text::address(&c));
        out.emit(Line::Hop(HopLine {
            record,
            hop: HopKind::Nginx,
            at,
            level: Some(text::string(&level)),
            pid: number(b"pid").and_then(|p| u32::try_from(p).ok()),
            what,
            serial,
            client: client.map(|(ip, _)| ip),
            client_port: client.and_then(|(_, port)| port),
            uri: get(b"request").and_then(|r| text::request(&r).map(|(_, uri)| text::string(uri))),
            upstream: get(b"upstream").and_then(|u| upstream(&u)),
            host: get(b"host").and_then(|h| text::kept(&h)),
        }));
        Some(Outcome::Used)
    }
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        if line.first() == Some(&b'{') {
            return self
                .json(record, line, out)
                .unwrap_or(Outcome::Odd("unknown-line"));
        }
        let Some(head) = head(line) else {
            return Outcome::Odd("unknown-line");
        };
        let Some(date) = line.get(..19).and_then(|d| self.memo.get(d, stamp::iso)) else {
            return Outcome::Odd("unknown-line");
        };
        let (at, zone) = date.stamp(self.assumed);
        out.saw(at);
        out.zone(zone);
        let (message, tail) = split(head.message);
        let what = classify(message);
        let bad = matches!(head.level, b"error" | b"crit" | b"alert" | b"emerg");
        // What nobody understands is kept only where it is about a request that went wrong.
        if what == HopEvent::Other && !(bad && head.serial.is_some() && !tail.is_empty()) {
            return Outcome::Used;
        }
        let client = field(tail, ", client: ").and_then(text::address);
        out.emit(Line::Hop(HopLine {
            record,
            hop: HopKind::Nginx,
            at,
            level: Some(text::string(head.level)),
            pid: text::unsigned(head.pid).and_then(|p| u32::try_from(p).ok()),
            what,
            serial: head.serial,
            client: client.map(|(ip, _)| ip),
            client_port: client.and_then(|(_, port)| port),
            uri: field(tail, ", request: ")
                .and_then(text::request)
                .map(|(_, uri)| text::string(uri)),
            upstream: field(tail, ", upstream: ").and_then(upstream),
            host: field(tail, ", host: ").and_then(text::kept),
        }));
        Outcome::Used
    }
}

/// The address in `http://127.0.0.1:18001/idle` or `127.0.0.1:18001`.
fn upstream(url: &[u8]) -> Option<std::net::SocketAddr> {
    let rest = memchr::memmem::find(url, b"://").map_or(url, |at| &url[at + 3..]);
    text::socket(&rest[..memchr::memchr(b'/', rest).unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, want: HopEvent) {
        assert_eq!(classify(split(message.as_bytes()).0), want, "{message}");
    }

    #[test]
    fn messages() {
        use HopEvent as E;
        for (message, want) in [
            (
                "upstream timed out (110: Connection timed out) while proxying upgraded connection, client: 1.2.3.4",
                E::IdleTimeout,
            ),
            (
                "upstream timed out (110: Connection timed out) while reading response header from upstream, client: 1.2.3.4",
                E::HandshakeTimeout,
            ),
            (
                "upstream timed out (110: Connection timed out) while connecting to upstream, client: 1.2.3.4",
                E::UpstreamUnreachable,
            ),
            (
                "upstream timed out (110: Connection timed out) while SSL handshaking to upstream, client: 1.2.3.4",
                E::TlsFailed,
            ),
            (
                "client timed out (110: Connection timed out) while proxying upgraded connection, client: 1.2.3.4",
                E::ClientTimeout,
            ),
            (
                "recv() failed (104: Connection reset by peer) while proxying upgraded connection, client: 1.2.3.4",
                E::ResetWhileUpgraded,
            ),
            (
                "send() failed (104: Connection reset by peer) while proxying upgraded connection, client: 1.2.3.4",
                E::ResetWhileUpgraded,
            ),
            (
                "recv() failed (110: Connection timed out) while proxying upgraded connection, client: 1.2.3.4",
                E::TcpTimeout,
            ),
            (
                "recv() failed (104: Connection reset by peer) while reading response header from upstream, client: 1.2.3.4",
                E::UpstreamClosedEarly,
            ),
            (
                "upstream prematurely closed connection while reading response header from upstream, client: 1.2.3.4",
                E::UpstreamClosedEarly,
            ),
            (
                "connect() failed (111: Connection refused) while connecting to upstream, client: 1.2.3.4",
                E::UpstreamRefused,
            ),
            (
                "connect() failed (113: No route to host) while connecting to upstream, client: 1.2.3.4",
                E::UpstreamUnreachable,
            ),
            (
                "connect() to unix:/run/app.sock failed (2: No such file or directory) while connecting to upstream, client: 1.2.3.4",
                E::UpstreamRefused,
            ),
            (
                "no live upstreams while connecting to upstream, client: 1.2.3.4",
                E::NoLiveUpstreams,
            ),
            ("20 worker_connections are not enough", E::WorkerConnections),
            (
                "512 worker_connections are not enough while connecting to upstream, client: 1.2.3.4",
                E::WorkerConnections,
            ),
            (
                "accept4() failed (24: Too many open files)",
                E::DescriptorsExhausted,
            ),
            (
                "socket() failed (24: Too many open files) while connecting to upstream, client: 1.2.3.4",
                E::DescriptorsExhausted,
            ),
            (
                "epoll_wait() reported that client prematurely closed connection, so upstream connection is closed too while sending request to upstream, client: 1.2.3.4",
                E::ClientLeftEarly,
            ),
            (
                "SSL_do_handshake() failed (SSL: error:0A000412) while SSL handshaking, client: 1.2.3.4",
                E::TlsFailed,
            ),
            (
                "peer closed connection in SSL handshake while SSL handshaking, client: 1.2.3.4",
                E::TlsLeft,
            ),
            (
                "SSL_read() failed (SSL: error:0A000418:SSL routines::tlsv1 alert unknown ca:SSL alert number 48) while waiting for request, client: 1.2.3.4",
                E::TlsLeft,
            ),
            (
                "signal 1 (SIGHUP) received from 14792, reconfiguring",
                E::Reload,
            ),
            (
                "signal 3 (SIGQUIT) received from 1, shutting down",
                E::Draining,
            ),
            ("signal 15 (SIGTERM) received from 1, exiting", E::Stopped),
            ("signal 17 (SIGCHLD) received from 365", E::Other),
            ("gracefully shutting down", E::Draining),
            ("exiting", E::Exiting),
            ("exit", E::Other),
            ("worker process 15134 exited on signal 9", E::WorkerKilled),
            ("worker process 15134 exited with code 0", E::Other),
            ("start worker processes", E::Started),
            ("client 10.0.0.1 closed keepalive connection", E::Other),
        ] {
            check(message, want);
        }
    }
}
