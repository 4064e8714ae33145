//! Kubernetes events (`kubectl get events`, as a table, a JSON list or one object per line) -> deaths, starts and stops of containers.

use super::journal::killed;
use super::{Found, HostFormat, HostReader};
use crate::model::{AppEvent, RecordRef};
use crate::text::json::{self, Top};
use crate::text::peel::Outer;
use crate::text::records::Verdict;
use crate::text::stamp::{self, Date};
use crate::text::{self, contains};
use std::borrow::Cow;

#[derive(Debug)]
pub(super) struct KubeEvents;

impl HostFormat for KubeEvents {
    fn name(&self) -> &'static str {
        "kube-events"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "LAST SEEN   TYPE      REASON      OBJECT       MESSAGE\n2m10s       Warning   OOMKilling  node/n1      Memory cgroup out of memory: Killed process 811 (node)",
            "2026-11-20T20:48:09Z   Normal    Killing     pod/chat-0   Stopping container app",
            r#"{"involvedObject":{"kind":"Pod","name":"chat-0"},"lastTimestamp":"2026-11-20T20:48:09Z","reason":"Killing","message":"Stopping container app","type":"Normal"}"#,
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader)
    }
    fn fields(&self, line: &[u8], _: &Outer) -> Vec<(String, String)> {
        let Some(event) = event(line) else {
            return vec![("header".to_owned(), text::string(line))];
        };
        [
            ("reason", event.reason.as_ref()),
            ("object", event.object.as_ref()),
            ("message", event.message.as_ref()),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), text::string(v)))
        .collect()
    }
}

struct Event<'a> {
    /// `None` = an age, or nothing.
    date: Option<Date>,
    reason: Cow<'a, [u8]>,
    object: Cow<'a, [u8]>,
    message: Cow<'a, [u8]>,
}

fn event(line: &[u8]) -> Option<Event<'_>> {
    if line.first() == Some(&b'{') {
        of_json(line)
    } else {
        of_row(line)
    }
}

fn of_json(line: &[u8]) -> Option<Event<'_>> {
    let mut e = Event {
        date: None,
        reason: Cow::Borrowed(b""),
        object: Cow::Borrowed(b""),
        message: Cow::Borrowed(b""),
    };
    let mut involved = false;
    let (mut last, mut other) = (None, None);
    for (key, value) in Top::new(line) {
        match key {
            b"involvedObject" | b"regarding" => {
                involved = true;
                for (key, value) in Top::new(value) {
                    if key == b"name" {
                        e.object = json::plain(value);
                    }
                }
            }
            b"reason" => e.reason = json::plain(value),
            b"message" | b"note" => e.message = json::plain(value),
            b"lastTimestamp" => last = stamp::iso(&json::plain(value)),
            b"eventTime" | b"firstTimestamp" | b"deprecatedLastTimestamp" => {
                other = stamp::iso(&json::plain(value)).or(other);
            }
            _ => {}
        }
    }
    e.date = last.or(other);
    (involved && !e.reason.is_empty()).then_some(e)
}

/// `2m10s  Warning  BackOff  pod/chat-0  message`, with an age or a date in front.
fn of_row(line: &[u8]) -> Option<Event<'_>> {
    let (when, rest) = text::cut(line.trim_ascii(), b' ')?;
    let date = stamp::iso(when);
    let age = when.first().is_some_and(u8::is_ascii_digit)
        && when
            .last()
            .is_some_and(|c| matches!(c, b's' | b'm' | b'h' | b'd'))
        && when
            .iter()
            .all(|c| c.is_ascii_digit() || matches!(c, b's' | b'm' | b'h' | b'd'))
        || when == b"<unknown>";
    if date.is_none() && !age {
        return None;
    }
    let (kind, rest) = text::cut(rest.trim_ascii_start(), b' ')?;
    if !matches!(kind, b"Normal" | b"Warning") {
        return None;
    }
    let (reason, rest) = text::cut(rest.trim_ascii_start(), b' ')?;
    let (object, message) = text::cut(rest.trim_ascii_start(), b' ')?;
    let (_, name) = text::cut(object, b'/')?;
    Some(Event {
        date,
        reason: Cow::Borrowed(reason),
        object: Cow::Borrowed(name),
        message: Cow::Borrowed(message.trim_ascii()),
    })
}

/// What a reason means (kubelet, `pkg/kubelet/events`).
fn classify(e: &Event<'_>) -> Option<(AppEvent, Option<u32>)> {
    let said = || {
        let message = &e.message[..e.message.len().min(512)];
        format!("{}: {}", text::string(&e.reason), text::string(message))
    };
    let crashed = || AppEvent::Crashed { message: said() };
    match e.reason.as_ref() {
        b"OOMKilling" | b"SystemOOM" => Some((crashed(), killed(&e.message))),
        b"Evicted" | b"ContainerDied" => Some((crashed(), None)),
        b"BackOff" | b"CrashLoopBackOff" if contains(&e.message, b"restarting failed") => {
            Some((crashed(), None))
        }
        b"Killing" | b"Preempting" => Some((AppEvent::Stopping, None)),
        b"Started" => Some((AppEvent::Listening { port: None }, None)),
        _ => None,
    }
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
        let Some(event) = event(line) else {
            let header = line.starts_with(b"LAST SEEN")
                || contains(line, b" REASON ") && contains(line, b" MESSAGE");
            return if header {
                Verdict::Used
            } else {
                Verdict::Odd("unknown-line")
            };
        };
        let what = classify(&event);
        match event.date {
            Some(date) => {
                let at = found.dated(date);
                if let Some((what, pid)) = what {
                    found.event(record, at, what, pid, text::kept(&event.object));
                }
            }
            None if what.is_some() => found.note(
                "relative-time",
                record,
                "ages, without a date: not on the time line; write it with kubectl get events -o json",
            ),
            None => {}
        }
        Verdict::Used
    }
}
