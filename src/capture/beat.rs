//! A frame of the application -> whether it is a heartbeat: Engine.IO 4 (`2`, `3`), bare words and JSON `ping` and `pong`.

use super::frame::Decoded;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    Ping,
    Pong,
}

/// Heartbeats of the application: Engine.IO 4 (`2`, `3`), and JSON or bare words `ping` and `pong`.
pub(super) fn application_beat(frame: &Decoded) -> Option<Beat> {
    if frame.opcode != 1 || !frame.fin {
        return None;
    }
    match (&frame.inflated, frame.rsv) {
        (Some(text), _) => text_beat(text),
        (None, 0) if frame.whole => text_beat(&frame.body),
        (None, _) => None,
    }
}

/// The same of a message's text.
pub(super) fn text_beat(text: &[u8]) -> Option<Beat> {
    let body = text.trim_ascii();
    match body {
        b"2" => return Some(Beat::Ping),
        b"3" => return Some(Beat::Pong),
        _ if body.eq_ignore_ascii_case(b"ping") => return Some(Beat::Ping),
        _ if body.eq_ignore_ascii_case(b"pong") => return Some(Beat::Pong),
        [b'{', .., b'}'] => {}
        _ => return None,
    }
    let text = std::str::from_utf8(body).ok()?;
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let says = |word: &str| {
        ["type", "event", "op", "action", "cmd"]
            .iter()
            .any(|key| compact.contains(&format!("\"{key}\":\"{word}\"")))
    };
    if says("ping") {
        Some(Beat::Ping)
    } else if says("pong") {
        Some(Beat::Pong)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Mark, Moment, RecordRef, SourceId};

    #[test]
    fn heartbeats_of_applications() {
        let beat = |opcode, text: &str| {
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
                len: text.len() as u64,
                body: text.as_bytes().to_vec(),
                whole: true,
                hash: None,
                faults: 0,
                inflated: None,
            })
        };
        for (opcode, text, expected) in [
            (1, "2", Some(Beat::Ping)),
            (1, "3", Some(Beat::Pong)),
            (1, "PING", Some(Beat::Ping)),
            (1, r#"{ "type" : "pong" }"#, Some(Beat::Pong)),
            (1, r#"{"op":"ping","t":1}"#, Some(Beat::Ping)),
            (2, "2", None),
            (1, "22", None),
            (1, r#"{"type":"message","text":"ping"}"#, None),
            (1, "", None),
        ] {
            assert_eq!(beat(opcode, text), expected, "{text}");
        }
    }
}
