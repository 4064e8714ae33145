//! Packets of legs with heartbeats of applications -> who beats, how often, and what became of it.

use super::*;
use crate::model::{BeatKind, heartbeats};

fn framed(opcode: u8, up: bool, payload: &[u8]) -> Vec<u8> {
    frame::encode(true, opcode, up.then_some([1, 2, 3, 4]), payload)
}

/// The heartbeats of a leg on which both sides say this every 5 s: kind, from the client, seen, unanswered, period in ms.
fn check(
    rounds: usize,
    list: &[(bool, u8, &[u8])],
    expected: &[(BeatKind, bool, usize, Option<usize>, Option<i64>)],
) {
    let mut s = Script::upgraded();
    for _ in 0..rounds {
        let begun = s.at_ms;
        for (up, opcode, payload) in list {
            s.send(*up, ACK, &framed(*opcode, *up, payload));
        }
        s.wait(5000 - (s.at_ms - begun));
    }
    let got: Vec<_> = heartbeats(&one(&s))
        .iter()
        .map(|h| {
            let up = h.direction == Direction::ToServer;
            let period = h.period_ns.map(|p| p / MILLI_NS);
            (h.kind, up, h.sent, h.unanswered, period)
        })
        .collect();
    assert_eq!(got, expected, "{list:?}");
}

#[test]
fn heartbeats_of_every_kind_are_told() {
    let every = Some(5000);
    let (up, down) = (true, false);
    check(
        4,
        &[(down, 1, b"2"), (up, 1, b"3")],
        &[(BeatKind::EngineIo, down, 4, Some(0), every)],
    );
    check(
        4,
        &[(up, 2, &[0xC0, 0]), (down, 2, &[0xD0, 0])],
        &[(BeatKind::Mqtt, up, 4, Some(0), every)],
    );
    check(
        4,
        &[
            (up, 1, b"[2,\"7\",\"Heartbeat\",{}]"),
            (
                down,
                1,
                b"[3,\"7\",{\"currentTime\":\"2026-11-20T21:41:07.253Z\"}]",
            ),
        ],
        &[(BeatKind::Ocpp, up, 4, Some(0), every)],
    );
    check(
        4,
        &[
            (
                up,
                1,
                br#"{"type":"ping","payload":{"at":"2026-11-20T21:41:07.253Z","n":1234567}}"#,
            ),
            (down, 1, br#"{"type":"pong"}"#),
        ],
        &[(BeatKind::Json, up, 4, Some(0), every)],
    );
    check(
        4,
        &[(up, 1, b"{\"type\":6}\x1e"), (down, 1, b"{\"type\":6}\x1e")],
        &[
            (BeatKind::SignalR, down, 4, None, every),
            (BeatKind::SignalR, up, 4, None, every),
        ],
    );
    check(
        4,
        &[(down, 1, b"\n")],
        &[(BeatKind::Stomp, down, 4, None, every)],
    );
    check(
        4,
        &[(down, 9, b"x"), (up, 10, b"x")],
        &[(BeatKind::Frame, down, 4, Some(0), every)],
    );
    // Nobody ever answered: whether it was a heartbeat is not known.
    check(4, &[(down, 1, br#"{"type":"ping"}"#)], &[]);
    check(1, &[(down, 1, b"\n")], &[]);
}

#[test]
fn violations_are_anomalies_with_their_packet() {
    let mut s = Script::upgraded();
    s.up(ACK, &framed(1, false, b"bare"))
        .down(ACK, &framed(1, true, b"masked"))
        .down(ACK, &framed(8, false, &1005u16.to_be_bytes()));
    let (_, legs, summary) = read_bytes(&pcap(&s.sent, 65_535));
    let mut kinds: Vec<(String, u64)> = summary
        .anomalies
        .iter()
        .map(|a| (a.kind.clone(), a.first_record))
        .collect();
    kinds.sort();
    let expected = [
        ("close-code-not-allowed", 9),
        ("masked-to-client", 8),
        ("unmasked-to-server", 7),
    ];
    assert_eq!(kinds, expected.map(|(k, n)| (k.to_owned(), n)));
    assert_eq!(legs[0].violations.len(), 3);
}

#[test]
fn an_answer_grants_nothing_unasked() {
    let check = |asked: &str, granted: &str, expected: &[&str]| {
        let with = |head: &[u8], field: &str| {
            let head = String::from_utf8_lossy(head);
            head.replacen("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"), 1)
        };
        let mut s = Script::opened();
        s.up(ACK, with(REQUEST, asked).as_bytes());
        s.down(ACK, with(RESPONSE, granted).as_bytes());
        s.up(ACK, &hello(true));
        let (_, legs, summary) = read_bytes(&pcap(&s.sent, 65_535));
        assert_eq!(legs[0].violations, expected, "{asked} {granted}");
        let kinds: Vec<&str> = summary.anomalies.iter().map(|a| a.kind.as_str()).collect();
        assert_eq!(kinds, expected, "{asked} {granted}");
    };
    let (offer, chat) = (
        "Sec-WebSocket-Protocol: chat, mqtt",
        "Sec-WebSocket-Protocol: chat",
    );
    check(offer, chat, &[]);
    check("X: y", chat, &["subprotocol-not-offered"]);
    check(offer, "X: y", &[]);
    check(
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Extensions: permessage-deflate;client_max_window_bits=12",
        &[],
    );
    check(
        "X: y",
        "Sec-WebSocket-Extensions: permessage-deflate",
        &["extension-not-offered"],
    );
}
