//! A frame of the application -> whether it is a heartbeat: Engine.IO, MQTT, OCPP, Phoenix, SignalR, STOMP, SockJS, JSON and bare words.

use super::frame::{Decoded, fingerprint};
use crate::model::BeatKind;

/// What could be a heartbeat, or the answer to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) kind: BeatKind,
    pub(super) pong: bool,
    /// Of what ping and pong share; 0 where they share nothing.
    pub(super) hash: u64,
    /// The pong answers the ping of the same hash, and no other.
    pub(super) strict: bool,
}

impl Beat {
    pub(super) const fn ping(kind: BeatKind) -> Self {
        Self {
            kind,
            pong: false,
            hash: 0,
            strict: false,
        }
    }

    const fn pong(kind: BeatKind) -> Self {
        Self {
            pong: true,
            ..Self::ping(kind)
        }
    }

    /// A call, or its answer, by the id that both carry.
    fn call(kind: BeatKind, pong: bool, id: &str) -> Self {
        Self {
            kind,
            pong,
            hash: fingerprint(id.as_bytes()),
            strict: true,
        }
    }
}

/// The heartbeat that a frame could be; of a long message only its start is known.
pub(super) fn application_beat(frame: &Decoded) -> Option<Beat> {
    if !frame.fin {
        return None;
    }
    let (body, whole) = match (&frame.inflated, frame.rsv) {
        (Some(text), _) => (text.as_slice(), true),
        (None, 0) => (&*frame.body, frame.whole),
        (None, _) => return None,
    };
    match frame.opcode {
        1 => text_beat(body, whole),
        2 if whole => binary_beat(body),
        _ => None,
    }
}

fn binary_beat(body: &[u8]) -> Option<Beat> {
    match body {
        [0xC0, 0] => Some(Beat::ping(BeatKind::Mqtt)),
        [0xD0, 0] => Some(Beat::pong(BeatKind::Mqtt)),
        // MessagePack, behind its length: an array of one number.
        [2, 0x91, 6] => Some(Beat::ping(BeatKind::SignalR)),
        b"\n" | b"\r\n" => Some(Beat::ping(BeatKind::Stomp)),
        _ => None,
    }
}

/// Whether a text that begins so could be one: [`text_beat`] looks closer.
pub(super) const fn begins_beat(first: u8) -> bool {
    first.is_ascii_whitespace() || matches!(first, b'2' | b'3' | b'h' | b'p' | b'P' | b'{' | b'[')
}

/// The same of a message's text; `whole` = it ends where the text does.
pub(super) fn text_beat(text: &[u8], whole: bool) -> Option<Beat> {
    if whole && matches!(text, b"\n" | b"\r\n") {
        return Some(Beat::ping(BeatKind::Stomp));
    }
    match (text.trim_ascii(), whole) {
        (b"2", true) => Some(Beat::ping(BeatKind::EngineIo)),
        (b"3", true) => Some(Beat::pong(BeatKind::EngineIo)),
        (b"h", true) => Some(Beat::ping(BeatKind::SockJs)),
        (b"{\"type\":6}\x1e", true) => Some(Beat::ping(BeatKind::SignalR)),
        (word, true) if word.eq_ignore_ascii_case(b"ping") => Some(Beat::ping(BeatKind::Word)),
        (word, true) if word.eq_ignore_ascii_case(b"pong") => Some(Beat::pong(BeatKind::Word)),
        (body @ [b'{', ..], _) if could_be_json(body) => json_beat(&compact(body), whole),
        (body @ [b'[', ..], _) if could_be_call(body) => call_beat(&compact(body), whole),
        _ => None,
    }
}

/// Whether one of the words that tell a heartbeat stands in it: nearly every message is none, and shows it here.
fn could_be_json(body: &[u8]) -> bool {
    let word = |at: usize| {
        let word = body.get(at..at + 4).unwrap_or_default();
        word.eq_ignore_ascii_case(b"ping") || word.eq_ignore_ascii_case(b"pong")
    };
    memchr::memchr2_iter(b'p', b'P', body).any(word)
        || body.ends_with(b"}") && memchr::memmem::find(body, b"\"ka\"").is_some()
}

/// The same of calls: all but OCPP's results name what they are about.
fn could_be_call(body: &[u8]) -> bool {
    let result = body.get(1..).unwrap_or_default().trim_ascii_start();
    result.starts_with(b"3")
        || memchr::memchr2_iter(b'H', b'p', body).any(|at| {
            let word = body.get(at..).unwrap_or_default();
            word.starts_with(b"Heartbeat") || word.starts_with(b"phoenix")
        })
}

/// Text without its white space; what is no UTF-8 at its end was cut off.
fn compact(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn json_beat(text: &str, whole: bool) -> Option<Beat> {
    const KEYS: [&str; 8] = [
        "type", "event", "op", "action", "cmd", "method", "t", "command",
    ];
    if whole && text == "{\"type\":\"ka\"}" {
        return Some(Beat::ping(BeatKind::GraphqlKeepAlive));
    }
    let lower = text.to_ascii_lowercase();
    // Of a message that goes on, the first field alone tells what it is.
    let says = |key: &str, word: &str| {
        let field = format!("\"{key}\":\"{word}\"");
        match whole {
            true => lower.contains(&field),
            false => lower.get(1..).is_some_and(|t| t.starts_with(&field)),
        }
    };
    // `{"ping":1492420473027}`, answered with the same number.
    let number = |word: &str| {
        let value = lower.strip_prefix(&format!("{{\"{word}\":"))?;
        let value = value.strip_suffix('}').filter(|_| whole)?;
        (!value.is_empty() && value.bytes().all(|b| b.is_ascii_digit())).then_some(value)
    };
    for (word, beat) in [
        ("ping", Beat::ping(BeatKind::Json)),
        ("pong", Beat::pong(BeatKind::Json)),
    ] {
        if KEYS.iter().any(|key| says(key, word))
            || (whole && lower == format!("{{\"{word}\":{{}}}}"))
        {
            return Some(beat);
        }
        if let Some(value) = number(word) {
            let hash = fingerprint(value.as_bytes());
            return Some(Beat { hash, ..beat });
        }
    }
    None
}

/// Calls as JSON arrays: OCPP's `[2,"id","Heartbeat",{}]` and its result `[3,"id",...`, Phoenix' `[null,"id","phoenix","heartbeat",{}]`.
fn call_beat(text: &str, whole: bool) -> Option<Beat> {
    let quoted = |rest: &str| -> Option<(String, String)> {
        let (id, rest) = rest.strip_prefix('"')?.split_once('"')?;
        Some((id.to_owned(), rest.to_owned()))
    };
    if let Some(rest) = text.strip_prefix("[2,") {
        let (id, rest) = quoted(rest)?;
        return (whole && rest == ",\"Heartbeat\",{}]")
            .then(|| Beat::call(BeatKind::Ocpp, false, &id));
    }
    if let Some(rest) = text.strip_prefix("[3,") {
        let (id, rest) = quoted(rest)?;
        return rest
            .starts_with(',')
            .then(|| Beat::call(BeatKind::Ocpp, true, &id));
    }
    let (_, rest) = text.strip_prefix('[')?.split_once(',')?;
    let (id, rest) = quoted(rest)?;
    if whole && rest == ",\"phoenix\",\"heartbeat\",{}]" {
        return Some(Beat::call(BeatKind::Phoenix, false, &id));
    }
    rest.starts_with(",\"phoenix\",\"phx_reply\"")
        .then(|| Beat::call(BeatKind::Phoenix, true, &id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mark, Moment, RecordRef, SourceId};
    use BeatKind::{
        EngineIo, GraphqlKeepAlive, Json, Mqtt, Ocpp, Phoenix, SignalR, SockJs, Stomp, Word,
    };

    /// As a decoder hands it up: at most 60 bytes of the payload.
    fn beat(opcode: u8, payload: &[u8]) -> Option<Beat> {
        let record = RecordRef {
            source: SourceId(0),
            ordinal: 1,
            start: 0,
            len: 0,
        };
        application_beat(&Decoded {
            mark: Mark {
                at: Moment(0),
                record,
            },
            fin: true,
            rsv: 0,
            opcode,
            masked: false,
            len: payload.len() as u64,
            body: super::super::frame::Body::unmasked(payload.get(..60).unwrap_or(payload), &[]),
            whole: payload.len() <= 60,
            hash: None,
            faults: 0,
            inflated: None,
        })
    }

    #[test]
    fn heartbeats_of_applications() {
        let (ping, pong) = (false, true);
        let uuid = "3b6ea1f0-54ad-4f0e-9b5c-0d0f1f6c3a11";
        let call = format!("[2,\"{uuid}\",\"Heartbeat\",{{}}]");
        let result = format!("[3,\"{uuid}\",{{\"currentTime\":\"2026-11-20T21:41:07.253Z\"}}]");
        for (opcode, payload, expected) in [
            (1, "2", Some((EngineIo, ping))),
            (1, "3", Some((EngineIo, pong))),
            (1, "PING", Some((Word, ping))),
            (1, "h", Some((SockJs, ping))),
            (1, "\n", Some((Stomp, ping))),
            (2, "\n", Some((Stomp, ping))),
            (1, "\r\n", Some((Stomp, ping))),
            (1, r#"{ "type" : "pong" }"#, Some((Json, pong))),
            (1, r#"{"op":"ping","t":1}"#, Some((Json, ping))),
            (1, r#"{"id":7,"method":"PING"}"#, Some((Json, ping))),
            (1, r#"{"ping":1492420473027}"#, Some((Json, ping))),
            (1, r#"{"pong":1492420473027}"#, Some((Json, pong))),
            (
                1,
                r#"{"type":"ping","payload":{"sentAt":"2026-11-20T21:41:07.253Z","seq":17}}"#,
                Some((Json, ping)),
            ),
            (1, r#"{"type":"ka"}"#, Some((GraphqlKeepAlive, ping))),
            (1, "{\"type\":6}\u{1e}", Some((SignalR, ping))),
            (2, "\u{2}\u{91}\u{6}", None),
            (1, call.as_str(), Some((Ocpp, ping))),
            (1, result.as_str(), Some((Ocpp, pong))),
            (1, r#"[2, "17", "Heartbeat", {}]"#, Some((Ocpp, ping))),
            (1, r#"[2,"17","StatusNotification",{}]"#, None),
            (
                1,
                r#"[null,"5","phoenix","heartbeat",{}]"#,
                Some((Phoenix, ping)),
            ),
            (
                1,
                r#"[null,"5","phoenix","phx_reply",{"status":"ok","response":{}}]"#,
                Some((Phoenix, pong)),
            ),
            (2, "2", None),
            (1, "22", None),
            (1, r#"{"type":"message","text":"ping"}"#, None),
            (1, r#"{"type":1,"target":"ping"}"#, None),
            (1, "", None),
            (1, "[", None),
            (1, "{", None),
        ] {
            let got = beat(opcode, payload.as_bytes()).map(|b| (b.kind, b.pong));
            assert_eq!(got, expected, "{payload:?}");
        }
        for (payload, expected) in [
            (&[0xC0, 0][..], (Mqtt, ping)),
            (&[0xD0, 0], (Mqtt, pong)),
            (&[2, 0x91, 6], (SignalR, ping)),
        ] {
            let got = beat(2, payload).map(|b| (b.kind, b.pong));
            assert_eq!(got, Some(expected), "{payload:?}");
        }
    }

    #[test]
    fn a_result_answers_its_own_call() {
        let hash = |text: &str| beat(1, text.as_bytes()).map(|b| (b.hash, b.strict));
        let sent = hash(r#"[2,"a1","Heartbeat",{}]"#);
        assert_eq!(hash(r#"[3,"a1",{"currentTime":"x"}]"#), sent);
        assert_ne!(hash(r#"[3,"a2",{"currentTime":"x"}]"#), sent);
    }
}
