//! Heroku router lines (logfmt behind a syslog-like head) and the platform's words on dynos -> tunnels and process events.

use super::access::{blank, matters};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{
    AppEvent, AppLine, HopKind, Line, MILLI_NS, RecordRef, Stamp, Word, Zone, ZoneBasis,
};

#[derive(Debug)]
pub(super) struct HerokuRouter;

impl LogFormat for HerokuRouter {
    fn name(&self) -> &'static str {
        "heroku-router"
    }
    fn title(&self) -> &'static str {
        "Heroku router and platform log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"2026-11-20T21:46:48.472964+00:00 heroku[router]: at=error code=H15 desc="Idle connection" method=GET path="/ws" host=app.example.test request_id=0e56 fwd="203.0.113.7" dyno=web.1 connect=1ms service=102336ms status=503 bytes= protocol=http"#,
            r#"2026-11-20T21:46:48.472964+00:00 heroku[router]: at=info method=GET path="/ws" host=app.example.test request_id=0e57 fwd="203.0.113.7, 198.51.100.2" dyno=web.1 connect=0ms service=61020ms status=101 bytes=129 protocol=https"#,
            "2026-11-20T21:46:50.101010+00:00 heroku[web.1]: State changed from up to crashed",
            "2026-11-20T21:46:50.101010+00:00 heroku[web.1]: Error R14 (Memory quota exceeded)",
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader)
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let Some((at, process, message)) = head(line, None) else {
            return Vec::new();
        };
        let mut all = vec![
            ("time".to_owned(), at.rfc3339()),
            ("process".to_owned(), text::string(process)),
        ];
        if process == b"router" {
            all.extend(text::Pairs(message).map(|(k, v)| (text::string(k), text::string(v))));
        } else {
            all.push(("message".to_owned(), text::string(message)));
        }
        all
    }
}

/// `2026-11-20T21:46:48.472964+00:00 heroku[router]: ...`, or the `heroku/router` of log drains.
fn head(line: &[u8], outer: Option<Stamp>) -> Option<(Stamp, &[u8], &[u8])> {
    let (at, rest) = match stamp::iso(line).filter(|d| d.offset_s.is_some()) {
        Some(date) => (date.utc(), line[date.len..].trim_ascii_start()),
        None => (outer?, line),
    };
    let from = memchr::memmem::find(rest.get(..rest.len().min(96))?, b"heroku")?;
    let rest = &rest[from + 6..];
    let (process, message) = match rest.first()? {
        b'[' => text::cut(&rest[1..], b']')?,
        b'/' => {
            let (process, rest) = text::cut(&rest[1..], b':')?;
            return Some((at, process, rest.trim_ascii()));
        }
        _ => return None,
    };
    Some((at, process, message.strip_prefix(b":")?.trim_ascii()))
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    head(line, None).is_some()
}

struct Reader;

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let Some((at, process, message)) = head(line, out.outer) else {
            // The application's own lines stand among the router's.
            return if stamp::iso(line).is_some() && text::contains(line, b" app[") {
                Outcome::Beside
            } else {
                Outcome::Odd("unknown-line")
            };
        };
        out.saw(at);
        out.zone(Zone {
            offset_s: 0,
            basis: ZoneBasis::Line,
        });
        if process == b"router" {
            router(record, at, message, out);
        } else if let Some(what) = dyno(message) {
            out.emit(Line::App(AppLine {
                hostname: Some(text::string(process)),
                ..AppLine::new(record, at, what)
            }));
        }
        Outcome::Used
    }
}

/// The stamp is that of the end; `service` is the life.
fn router(record: RecordRef, end: Stamp, message: &[u8], out: &mut Out<'_>) {
    let mut t = blank(record, HopKind::Heroku);
    t.end = Some(end);
    let (mut code, mut text_of) = (None, None);
    for (key, value) in text::Pairs(message) {
        match key {
            b"method" => t.method = text::present(value).map(text::word),
            b"path" => t.uri = text::present(value).map(text::word),
            b"host" => t.host = text::present(value).map(text::word),
            b"request_id" => t.request_id = text::present(value).map(text::word),
            // The router adds its own peer at the end of the list.
            b"fwd" => t.forwarded_for = text::addresses(value),
            b"service" => {
                t.life_ns = stamp::decimal(value.strip_suffix(b"ms").unwrap_or(value), MILLI_NS);
            }
            b"status" => t.status = text::any_status(value),
            b"bytes" => t.bytes_to_client = text::unsigned(value),
            b"code" => code = text::kept(value),
            b"desc" => text_of = text::kept(value),
            _ => {}
        }
    }
    t.client = t.forwarded_for.pop();
    t.start = t.life_ns.map(|life| end.plus(-life));
    // H15 ends a WebSocket that was idle for 55 s, and is written with 503 although 101 was sent.
    if code.as_deref() == Some("H15") && t.status == Some(503) {
        t.status = Some(101);
    }
    t.termination = match (code, text_of) {
        (Some(code), Some(text)) => Some(format!("{code} {text}").into()),
        (one, other) => one.or(other).map(Word::from),
    };
    if matters(&t) {
        out.emit(Line::Tunnel(t));
    }
}

/// What the platform says of a dyno (Heroku Dev Center, error codes and dyno states).
fn dyno(message: &[u8]) -> Option<AppEvent> {
    let has = |what: &[u8]| text::contains(message, what);
    let said = || text::string(&message[..message.len().min(512)]);
    if has(b"to crashed") || has(b"exited with status 137") || has(b"exited with status 134") {
        Some(AppEvent::Crashed { message: said() })
    } else if has(b"Error R14") || has(b"Error R15") {
        Some(AppEvent::Exhausted { message: said() })
    } else if has(b"Stopping all processes with SIGTERM") || has(b"Restarting") || has(b"Cycling") {
        Some(AppEvent::Stopping)
    } else if has(b"from starting to up") {
        Some(AppEvent::Listening { port: None })
    } else {
        None
    }
}
