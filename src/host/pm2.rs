//! PM2's own log -> exits, starts and stops of the applications it runs.

use super::{Found, HostFormat, HostReader};
use crate::model::{AppEvent, RecordRef};
use crate::text::peel::Outer;
use crate::text::records::Verdict;
use crate::text::stamp::{self, Date};
use crate::text::{self, contains};

#[derive(Debug)]
pub(super) struct Pm2;

impl HostFormat for Pm2 {
    fn name(&self) -> &'static str {
        "pm2"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "2026-11-20T21:18:33: PM2 log: App [api:0] exited with code [1] via signal [SIGINT]",
            "2026-11-20T21:18:34: PM2        | App [api:0] online",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader)
    }
    fn fields(&self, line: &[u8], _: &Outer) -> Vec<(String, String)> {
        let Some((date, message)) = split(line) else {
            return Vec::new();
        };
        let mut all = vec![
            ("time".to_owned(), date.utc().rfc3339()),
            ("message".to_owned(), text::string(message)),
        ];
        if let Some(what) = classify(message) {
            all.push(("event".to_owned(), format!("{what:?}")));
        }
        all
    }
}

/// `2026-11-20T21:18:33: PM2 log: message`, or with the daemon's name in a column.
fn split(line: &[u8]) -> Option<(Date, &[u8])> {
    let date = stamp::iso(line)?;
    let rest = line[date.len..].strip_prefix(b": ")?;
    let rest = rest.strip_prefix(b"PM2")?;
    let message = match rest
        .strip_prefix(b" log: ")
        .or_else(|| rest.strip_prefix(b" error: "))
    {
        Some(message) => message,
        None => rest.trim_ascii_start().strip_prefix(b"| ")?,
    };
    Some((date, message.trim_ascii()))
}

fn classify(message: &[u8]) -> Option<AppEvent> {
    let said = || text::string(&message[..message.len().min(512)]);
    let has = |what: &[u8]| contains(message, what);
    if has(b"--max-memory-restart") || has(b"max memory limit") {
        return Some(AppEvent::Exhausted { message: said() });
    }
    if has(b"exited with code [") {
        let clean =
            has(b"code [0]") && !has(b"[SIGKILL]") && !has(b"[SIGSEGV]") && !has(b"[SIGABRT]");
        return (!clean).then(|| AppEvent::Crashed { message: said() });
    }
    if message.starts_with(b"App [") && message.ends_with(b"] online") {
        return Some(AppEvent::Listening { port: None });
    }
    if message.starts_with(b"Stopping app:") {
        return Some(AppEvent::Stopping);
    }
    None
}

struct Reader;

impl HostReader for Reader {
    fn line(
        &mut self,
        record: RecordRef,
        line: &[u8],
        _: &Outer,
        found: &mut Found<'_>,
    ) -> Verdict {
        let Some((date, message)) = split(line) else {
            return Verdict::Odd("unknown-line");
        };
        let at = found.dated(date);
        if let Some(what) = classify(message) {
            found.event(record, at, what, None, None);
        }
        Verdict::Used
    }
}
