//! An analysis, or a record, for one to look at over another's shoulder -> the same with its secrets taken out of every text that a screen shows.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::model::{Analysis, Judged, Raw, Test, Word};

use super::Redactor;

/// The same analysis; ids, places and times are as they were, so that a cursor stays where it is.
pub fn analysis(redactor: &Redactor, plain: &Analysis) -> Analysis {
    let mut veiled = plain.clone();
    let text = |t: &mut String| *t = redactor.text(t);
    let word = |w: &mut Word| *w = redactor.text(w).into();
    let mut tests = Tests::new();
    for judged in &mut veiled.connections {
        connection(redactor, judged, &mut tests);
    }
    for finding in &mut veiled.findings {
        text(&mut finding.say);
        finding.fix.iter_mut().for_each(word);
    }
    for incident in &mut veiled.incidents {
        text(&mut incident.say);
        incident.fix.iter_mut().for_each(word);
    }
    for mark in &mut veiled.marks {
        text(&mut mark.say);
    }
    for source in &mut veiled.sources {
        source.reason.iter_mut().for_each(text);
        source.vantage.iter_mut().for_each(text);
        for anomaly in &mut source.anomalies {
            text(&mut anomaly.note);
        }
    }
    veiled
}

/// Tests that many verdicts share, by where they are: they stay one.
type Tests = HashMap<*const Test, Arc<Test>>;

fn connection(redactor: &Redactor, judged: &mut Judged, tests: &mut Tests) {
    let text = |t: &mut String| *t = redactor.text(t);
    let c = &mut judged.connection;
    let token = |t: &mut String| *t = redactor.token(t);
    c.client.identity.iter_mut().for_each(token);
    let word = |w: &mut Word| *w = redactor.text(w).into();
    c.request.uri.iter_mut().for_each(word);
    c.request.host.iter_mut().for_each(word);
    c.request.user_agent.iter_mut().for_each(word);
    for event in &mut c.events {
        text(&mut event.say);
    }
    let v = &mut judged.verdict;
    text(&mut v.sentence);
    v.fix.iter_mut().for_each(word);
    for evidence in &mut v.evidence {
        word(&mut evidence.say);
    }
    for rival in &mut v.rivals {
        word(&mut rival.why);
    }
    for untestable in &mut v.untestable {
        word(&mut untestable.needs);
    }
    for test in &mut v.tests {
        let veiled = tests.entry(Arc::as_ptr(test)).or_insert_with(|| {
            let mut veiled = Test::clone(test);
            word(&mut veiled.wanted);
            word(&mut veiled.seen);
            Arc::new(veiled)
        });
        *test = Arc::clone(veiled);
    }
}

/// The same record. Of a packet the headers stay; what it carried is gone.
pub fn raw(redactor: &Redactor, plain: Raw) -> Raw {
    match plain {
        Raw::Line {
            lines,
            focus,
            fields,
        } => Raw::Line {
            lines: lines
                .into_iter()
                .map(|(n, line)| (n, redactor.text(&line)))
                .collect(),
            focus,
            fields: fields
                .into_iter()
                .map(|(name, value)| {
                    let value = redactor.text(&value);
                    (name, value)
                })
                .collect(),
        },
        Raw::Packet {
            number,
            tree,
            bytes,
            payload,
        } if redactor.what().payload => {
            let carried = carried(&tree, bytes.len());
            let hidden = bytes.len().saturating_sub(carried.start);
            let mut tree: Vec<_> = tree
                .into_iter()
                .filter(|(_, _, at)| at.start < carried.start)
                .collect();
            if hidden > 0 {
                let say = format!("{hidden} bytes of payload, hidden");
                tree.push((0, say, carried.start..carried.start));
            }
            Raw::Packet {
                number,
                tree,
                bytes: bytes.get(..carried.start).unwrap_or_default().to_vec(),
                payload: payload.map(|_| b"[payload]".to_vec()),
            }
        }
        other => other,
    }
}

/// What lies behind the headers: it begins where the tree tells of payload; all of a packet that nothing could be read of.
fn carried(tree: &[(usize, String, Range<usize>)], len: usize) -> Range<usize> {
    let payload = tree.iter().find(|(_, say, _)| say.starts_with("payload, "));
    // A part of a fragmented packet is told of as a whole: no header of it is known but those before.
    let whole = tree.first().map(|(_, _, at)| at.clone());
    let headers = || {
        let parts = tree.iter().map(|(_, _, at)| at);
        parts
            .filter(|at| Some(*at) != whole.as_ref())
            .map(|at| at.end)
            .max()
    };
    let from = payload.map(|(_, _, at)| at.start).or_else(headers);
    from.unwrap_or(0).min(len)..len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Redact;

    #[test]
    fn what_a_packet_carried_is_gone_and_its_headers_stay() {
        let packet = |tree: Vec<(usize, String, Range<usize>)>| Raw::Packet {
            number: 1,
            tree,
            bytes: b"headers|secret".to_vec(),
            payload: Some(b"secret".to_vec()),
        };
        let node = |say: &str, at| (0, say.to_owned(), at);
        let whole = node("Ethernet packet, 14 bytes", 0..14);
        let check = |tree, expected: &[u8]| {
            let redactor = Redactor::new(Redact::SHARED, &crate::model::fixture::fixture());
            let Raw::Packet {
                tree,
                bytes,
                payload,
                ..
            } = raw(&redactor, packet(tree))
            else {
                panic!("a packet")
            };
            assert_eq!(bytes, expected);
            assert_eq!(payload.as_deref(), Some(&b"[payload]"[..]));
            assert!(
                tree.iter().all(|(_, say, _)| !say.contains("secret")),
                "{tree:?}"
            );
        };
        check(
            vec![
                whole.clone(),
                node("TCP", 0..8),
                node("payload, 6 bytes", 8..14),
                node("HTTP request: GET /secret", 8..14),
            ],
            b"headers|",
        );
        check(vec![whole.clone(), node("TCP", 0..8)], b"headers|");
        check(vec![whole.clone()], b"");
        let part = "part of a fragmented packet: 6 bytes from byte 8 on";
        check(
            vec![whole, node("IPv4", 0..8), node(part, 0..14)],
            b"headers|",
        );
    }
}
