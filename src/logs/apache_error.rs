//! Apache httpd error-log lines -> what happened to a connection or to the process.

use super::stamp::{self, Date, Memo};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, text};
use crate::model::{HopEvent, HopKind, HopLine, Line, LocalZone, RecordRef};

#[derive(Debug)]
pub(super) struct ApacheError;

impl LogFormat for ApacheError {
    fn name(&self) -> &'static str {
        "apache-error"
    }
    fn title(&self) -> &'static str {
        "Apache error log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "[Fri Nov 20 20:58:16.441303 2026] [proxy:debug] [pid 811:tid 140] proxy_util.c(2531): [client 192.0.2.17:54516] AH10223: proxy: websocket: tunneling returns (504)",
            "[Fri Nov 20 20:58:16.441303 2026] [proxy:error] [pid 811:tid 140] (111)Connection refused: AH00957: HTTP: attempt to connect to 10.8.0.3:8080 (10.8.0.3:8080) failed",
            "[Fri Nov 20 20:58:16.441303 2026] [mpm_event:notice] [pid 1:tid 1] AH00491: caught SIGTERM, shutting down",
            "[Fri Nov 20 20:58:16 2026] [error] [client 192.0.2.17] File does not exist: /srv/www/favicon.ico",
            "[Fri Nov 20 20:58:16.441303 2026] [proxy_http:error] [pid 811:tid 140] (70007)The timeout specified has expired: [client 192.0.2.17:54516] AH01102: error reading status line from remote server 10.8.0.3:8080",
        ]
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader {
            memo: Memo::default(),
            assumed: options.assumed_zone,
        })
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let Some(head) = head(line) else {
            return Vec::new();
        };
        let mut all = vec![
            ("time".to_owned(), text::string(head.date)),
            ("level".to_owned(), text::string(head.level)),
        ];
        for (name, value) in [("pid", head.pid), ("client", head.client)] {
            if !value.is_empty() {
                all.push((name.to_owned(), text::string(value)));
            }
        }
        all.push(("message".to_owned(), text::string(head.message)));
        all.push(("event".to_owned(), format!("{:?}", classify(head.message))));
        all
    }
}

struct Head<'a> {
    date: &'a [u8],
    /// With its module: `proxy:error`.
    level: &'a [u8],
    pid: &'a [u8],
    client: &'a [u8],
    message: &'a [u8],
}

/// `[date] [module:level] [pid N:tid N] file.c(line): [client ip:port] AHnnnnn: text` (httpd, ErrorLogFormat's default).
fn head(line: &[u8]) -> Option<Head<'_>> {
    let (date, rest) = text::cut(line.strip_prefix(b"[")?, b']')?;
    if date.get(3) != Some(&b' ') {
        return None;
    }
    let (level, mut rest) = text::cut(rest.strip_prefix(b" [")?, b']')?;
    let name = level.rsplit(|c| *c == b':').next().unwrap_or(level);
    let known = name.starts_with(b"trace")
        || matches!(
            name,
            b"emerg" | b"alert" | b"crit" | b"error" | b"warn" | b"notice" | b"info" | b"debug"
        );
    if !known {
        return None;
    }
    let mut head = Head {
        date,
        level,
        pid: b"",
        client: b"",
        message: b"",
    };
    if let Some((pid, after)) = rest
        .strip_prefix(b" [pid ")
        .and_then(|r| text::cut(r, b']'))
    {
        head.pid = pid.split(|c| *c == b':').next().unwrap_or(pid);
        rest = after;
    }
    rest = rest.trim_ascii_start();
    // The place in the source stands there at debug and trace levels.
    if let Some((place, after)) = text::cut(rest, b' ')
        && place.ends_with(b"):")
        && text::contains(place, b".c(")
    {
        rest = after;
    }
    // What the system said stands before the client (`%E: [client %a]`).
    let said = rest
        .first()
        .filter(|c| **c == b'(')
        .and_then(|_| memchr::memmem::find(rest, b": [client "));
    if let Some(at) = said
        && let Some((client, _)) = rest.get(at + 10..).and_then(|r| text::cut(r, b']'))
    {
        head.client = client;
    }
    if let Some((client, after)) = rest
        .strip_prefix(b"[client ")
        .or_else(|| rest.strip_prefix(b"[remote "))
        .and_then(|r| text::cut(r, b']'))
    {
        head.client = client;
        rest = after.trim_ascii_start();
    }
    head.message = rest;
    Some(head)
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    head(line).is_some_and(|h| stamp::asctime(h.date).is_some())
}

/// What a message means; `AHnnnnn` numbers do not change between versions, texts do.
fn classify(message: &[u8]) -> HopEvent {
    let has = |what: &[u8]| text::contains(message, what);
    let number = memchr::memmem::find(message, b"AH")
        .and_then(|at| message.get(at + 2..at + 7))
        .and_then(text::unsigned);
    if has(b"(24)Too many open files") || has(b"(23)Too many open files") {
        return HopEvent::DescriptorsExhausted;
    }
    match number {
        Some(10223) => {
            return if has(b"(504)") {
                HopEvent::IdleTimeout
            } else if has(b"(500)") {
                HopEvent::ResetWhileUpgraded
            } else {
                HopEvent::Other
            };
        }
        // Connecting to the backend.
        Some(957 | 1114 | 2452 | 2454) => {
            return if has(b"(111)") || has(b"onnection refused") || number == Some(1114) {
                HopEvent::UpstreamRefused
            } else {
                HopEvent::UpstreamUnreachable
            };
        }
        Some(959) => return HopEvent::UpstreamDown,
        // Reading the backend's answer.
        Some(1102 | 1110 | 898 | 1068) => {
            return if has(b"(70007)") || has(b"imeout") {
                HopEvent::HandshakeTimeout
            } else {
                HopEvent::UpstreamClosedEarly
            };
        }
        Some(161 | 484 | 485 | 286 | 288 | 3490) => return HopEvent::WorkerConnections,
        Some(169 | 491 | 294) => return HopEvent::Stopped,
        Some(171 | 173 | 493 | 494 | 297) => return HopEvent::Reload,
        Some(492) => return HopEvent::Draining,
        Some(163 | 489 | 292) => return HopEvent::Started,
        Some(51 | 52) => return HopEvent::WorkerKilled,
        Some(2004 | 2008 | 2039 | 1998) => return HopEvent::TlsFailed,
        _ => {}
    }
    if has(b"caught SIGTERM") {
        HopEvent::Stopped
    } else if has(b"resuming normal operations") {
        HopEvent::Started
    } else if has(b"raceful restart") || has(b"SIGHUP received") {
        HopEvent::Reload
    } else if has(b"exit signal ") {
        HopEvent::WorkerKilled
    } else if has(b"MaxRequestWorkers") || has(b"MaxClients setting") {
        HopEvent::WorkerConnections
    } else if has(b"SSL handshake") || has(b"SSL Library Error") {
        HopEvent::TlsFailed
    } else {
        HopEvent::Other
    }
}

struct Reader {
    memo: Memo,
    assumed: LocalZone,
}

fn date(text: &[u8]) -> Option<Date> {
    stamp::asctime(text)
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        let Some(head) = head(line) else {
            // A module's own words, or the words of a program it ran, in several lines.
            return if out.recent().is_some() && !text::contains(line, b"\":") && line[0] != b'[' {
                Outcome::Beside
            } else {
                Outcome::Odd("unknown-line")
            };
        };
        let Some(date) = self.memo.get(head.date, date) else {
            return Outcome::Odd("unknown-line");
        };
        let (at, zone) = date.stamp(self.assumed);
        out.saw(at);
        out.zone(zone);
        let what = classify(head.message);
        if what == HopEvent::Other {
            return Outcome::Used;
        }
        let client = text::address(head.client);
        let upstream = [
            &b"attempt to connect to "[..],
            b"backend: ",
            b"worker for (",
        ]
        .iter()
        .find_map(|mark| {
            let at = memchr::memmem::find(head.message, mark)? + mark.len();
            let rest = &head.message[at..];
            let end = memchr::memchr3(b' ', b')', b',', rest).unwrap_or(rest.len());
            text::socket(&rest[..end])
        });
        out.emit(Line::Hop(HopLine {
            record,
            hop: HopKind::Apache,
            at,
            level: Some(text::string(
                head.level.rsplit(|c| *c == b':').next().unwrap_or(b""),
            )),
            pid: text::unsigned(head.pid).and_then(|p| u32::try_from(p).ok()),
            what,
            serial: None,
            client: client.map(|(ip, _)| ip),
            client_port: client.and_then(|(_, port)| port),
            uri: text::between(head.message, b"returned by ", b",").and_then(text::kept),
            upstream,
            host: None,
        }));
        Outcome::Used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_stands_behind_what_the_system_said() {
        let line = b"[Fri Nov 20 20:58:16.441303 2026] [proxy_http:error] [pid 811:tid 140] (70007)The timeout specified has expired: [client 192.0.2.17:54516] AH01102: error reading status line from remote server 10.8.0.3:8080";
        let head = head(line).expect("a line of the error log");
        assert_eq!(head.client, b"192.0.2.17:54516");
        assert_eq!(classify(head.message), HopEvent::HandshakeTimeout);
    }

    #[test]
    fn messages() {
        use HopEvent as E;
        for (message, want) in [
            (
                "AH10223: proxy: websocket: tunneling returns (504)",
                E::IdleTimeout,
            ),
            (
                "AH10223: proxy: websocket: tunneling returns (500)",
                E::ResetWhileUpgraded,
            ),
            ("AH10223: proxy: websocket: tunneling returns (0)", E::Other),
            (
                "AH10212: proxy: websocket: tunnel running (timeout 4.000000)",
                E::Other,
            ),
            (
                "(111)Connection refused: AH00957: HTTP: attempt to connect to 127.0.0.1:8080 (127.0.0.1) failed",
                E::UpstreamRefused,
            ),
            (
                "(110)Connection timed out: AH00957: HTTP: attempt to connect to 127.0.0.1:8080 (127.0.0.1) failed",
                E::UpstreamUnreachable,
            ),
            (
                "AH01114: HTTP: failed to make connection to backend: 127.0.0.1",
                E::UpstreamRefused,
            ),
            (
                "AH00959: ap_proxy_connect_backend disabling worker for (127.0.0.1:8080) for 60s",
                E::UpstreamDown,
            ),
            (
                "(70007)The timeout specified has expired: AH01102: error reading status line from remote server 127.0.0.1:8080",
                E::HandshakeTimeout,
            ),
            (
                "(104)Connection reset by peer: AH01102: error reading status line from remote server 127.0.0.1:8080",
                E::UpstreamClosedEarly,
            ),
            (
                "AH00898: Error reading from remote server returned by /ws",
                E::UpstreamClosedEarly,
            ),
            (
                "AH00484: server reached MaxRequestWorkers setting, consider raising the MaxRequestWorkers setting",
                E::WorkerConnections,
            ),
            ("AH00491: caught SIGTERM, shutting down", E::Stopped),
            (
                "AH00493: SIGUSR1 received.  Doing graceful restart",
                E::Reload,
            ),
            (
                "AH00489: Apache/2.4.71 (Unix) configured -- resuming normal operations",
                E::Started,
            ),
            (
                "AH00052: child pid 15134 exit signal Segmentation fault (11)",
                E::WorkerKilled,
            ),
            (
                "(24)Too many open files: AH00554: process_sockets failed",
                E::DescriptorsExhausted,
            ),
            ("AH01276: Cannot serve directory /srv/www/", E::Other),
        ] {
            assert_eq!(classify(message.as_bytes()), want, "{message}");
        }
    }
}
