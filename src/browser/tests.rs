//! Recordings of browsers -> what is made of them.

use super::*;
use crate::model::{Direction, HopKind, LegProtocol, SECOND_NS, TunnelLine};
use proptest::prelude::*;

fn told(text: &[u8]) -> (BrowserSummary, Vec<LegObservation>, Vec<TunnelLine>) {
    let name = sniff(text).expect("a browser's recording");
    let (mut legs, mut lines) = (Vec::new(), Vec::new());
    let summary = read(
        SourceId(0),
        name,
        &mut &text[..],
        &mut |_| (),
        &mut |seen| match seen {
            Seen::Leg(leg) => legs.push(*leg),
            Seen::Line(line) => {
                if let Line::Tunnel(t) = *line {
                    lines.push(t);
                }
            }
        },
    );
    assert_eq!(summary.records, summary.used + summary.odd, "{summary:?}");
    (summary, legs, lines)
}

/// Constants and events as Chrome 156 wrote them, cut down to what one WebSocket needs.
const CONSTANTS: &str = r#"{"constants":{"addressFamily":{},"clientInfo":{"name":"Chrome","os_type":"Linux: 6.1 (x86_64)","version":"156.0.7000.1"},"logEventTypes":{"HTTP_STREAM_REQUEST_BOUND_TO_JOB":1,"HTTP_TRANSACTION_READ_RESPONSE_HEADERS":2,"HTTP_TRANSACTION_SEND_REQUEST_HEADERS":3,"NETWORK_CHANGED":4,"REQUEST_ALIVE":5,"SOCKET_ALIVE":6,"SOCKET_BYTES_RECEIVED":7,"SOCKET_BYTES_SENT":8,"SOCKET_IN_USE":9,"SOCKET_READ_ERROR":10,"TCP_CONNECT":11,"URL_REQUEST_START_JOB":12,"WEBSOCKET_RECV_FRAME_HEADER":13,"WEBSOCKET_SENT_FRAME_HEADER":14,"WEBSOCKET_UPGRADE_FAILURE":15},"netError":{"ERR_CONNECTION_REFUSED":-102,"ERR_CONNECTION_RESET":-101,"ERR_NETWORK_CHANGED":-21},"timeTickOffset":1796003202211},
"events": [
"#;

fn event(time: u64, kind: u32, id: u32, phase: u8, params: &str) -> String {
    format!(
        "{{\"params\":{params},\"phase\":{phase},\"source\":{{\"id\":{id},\"start_time\":\"1\",\"type\":1}},\"time\":\"{time}\",\"type\":{kind}}},\n"
    )
}

/// A WebSocket that was accepted, up to its 101 at 100 ms.
fn accepted() -> String {
    let mut log = CONSTANTS.to_owned();
    log += &event(
        0,
        12,
        137,
        1,
        r#"{"url":"ws://app.example:18900/ws?session=tok-abc123"}"#,
    );
    log += &event(1, 11, 143, 1, r#"{"address_list":["192.0.2.8:18900"]}"#);
    log += &event(
        2,
        11,
        143,
        2,
        r#"{"local_address":"198.51.100.7:52946","remote_address":"192.0.2.8:18900"}"#,
    );
    log += &event(
        2,
        9,
        143,
        1,
        r#"{"source_dependency":{"id":139,"type":17}}"#,
    );
    log += &event(
        3,
        1,
        137,
        0,
        r#"{"source_dependency":{"id":139,"type":17}}"#,
    );
    log += &event(
        3,
        3,
        137,
        0,
        r#"{"headers":["Host: app.example:18900","Upgrade: websocket","Sec-WebSocket-Key: O6Q2j0PpAAh9EtsEqvIQzw==","User-Agent: X"]}"#,
    );
    log += &event(3, 8, 143, 0, r#"{"byte_count":502}"#);
    log += &event(100, 7, 143, 0, r#"{"byte_count":129}"#);
    log += &event(
        100,
        2,
        137,
        0,
        r#"{"headers":["HTTP/1.1 101 Switching Protocols","Server: nginx/1.22.1"]}"#,
    );
    log += &event(100, 5, 137, 2, r#"{"net_error":-173}"#);
    log
}

fn frame(time: u64, sent: bool, opcode: u8, len: u64) -> String {
    event(
        time,
        if sent { 14 } else { 13 },
        137,
        0,
        &format!(
            "{{\"final\":true,\"masked\":{sent},\"opcode\":{opcode},\"payload_length\":{len}}}"
        ),
    )
}

#[test]
fn ends_of_a_websocket_in_a_net_export() {
    let gone = event(5000, 6, 143, 2, "{}");
    let check = |name: &str, rest: String, say: &str| {
        let (summary, legs, lines) = told((accepted() + &rest).as_bytes());
        assert_eq!(summary.odd, 0, "{name}: {summary:?}");
        assert!(lines.is_empty(), "{name}");
        let [leg] = legs.as_slice() else {
            panic!("{name}: {} legs", legs.len());
        };
        assert_eq!(leg.client.to_string(), "198.51.100.7:52946");
        assert_eq!(leg.protocol, LegProtocol::WebSocket);
        let mark = |m: Option<crate::model::Mark>| {
            m.map_or("-".to_owned(), |m| {
                ((m.at.0 / 1_000_000) - 1_796_003_202_211).to_string()
            })
        };
        let close = |d: Direction| {
            leg.flow(d).close.as_ref().map_or("-".to_owned(), |c| {
                format!(
                    "{}@{}",
                    if c.hidden {
                        "hidden".to_owned()
                    } else {
                        format!("{:?} {}", c.code, c.reason)
                    },
                    mark(Some(c.mark))
                )
            })
        };
        let got = format!(
            "last {}/{} close {}/{} fin {}/{} rst {} pings {}",
            mark(leg.to_server.last_payload),
            mark(leg.to_client.last_payload),
            close(Direction::ToServer),
            close(Direction::ToClient),
            mark(leg.to_server.fin),
            mark(leg.to_client.fin),
            mark(leg.to_client.rst.map(|r| r.mark)),
            leg.pings
                .iter()
                .map(|p| format!("{}>{}", mark(Some(p.sent)), mark(p.answered)))
                .collect::<Vec<_>>()
                .join(","),
        );
        assert_eq!(got, say, "{name}");
    };
    check(
        "cut by the server",
        frame(110, true, 1, 12)
            + &frame(120, false, 1, 17)
            + &event(5000, 7, 143, 0, r#"{"byte_count":0}"#)
            + &gone,
        "last 110/120 close -/- fin -/5000 rst - pings ",
    );
    check(
        "reset",
        frame(110, true, 1, 12)
            + &event(5000, 10, 143, 0, r#"{"net_error":-101,"os_error":104}"#)
            + &gone,
        "last 110/100 close -/- fin -/- rst 5000 pings ",
    );
    check(
        "the browser lost its network",
        event(4000, 4, 3, 0, "{}") + &event(5000, 10, 143, 0, r#"{"net_error":-21}"#) + &gone,
        "last 3/100 close -/- fin 5000/- rst - pings ",
    );
    check(
        "the browser closed its socket",
        gone.clone(),
        "last 3/100 close -/- fin 5000/- rst - pings ",
    );
    check(
        "pings of the server, and a Close whose code is not in the log",
        frame(1000, false, 9, 2)
            + &frame(1001, true, 10, 2)
            + &frame(2000, false, 9, 2)
            + &frame(3000, false, 8, 6)
            + &frame(3000, true, 8, 6)
            + &event(3010, 7, 143, 0, r#"{"byte_count":0}"#)
            + &gone,
        "last 3000/3000 close hidden@3000/hidden@3000 fin -/3010 rst - pings 1000>1001,2000>-",
    );
    // Code 1011, "oops": the server's frame, then the client's with mask 01 02 03 04.
    check(
        "raw bytes were included",
        event(
            2999,
            7,
            143,
            0,
            r#"{"byte_count":8,"bytes":"iAYD829vcHM="}"#,
        ) + &frame(3000, false, 8, 6)
            + &frame(3000, true, 8, 6)
            + &event(
                3000,
                8,
                143,
                0,
                r#"{"byte_count":12,"bytes":"iIYBAgMEAvFsa3Fx"}"#,
            )
            + &event(3010, 7, 143, 0, r#"{"byte_count":0}"#),
        "last 3000/3000 close Some(1011) oops@3000/Some(1011) oops@3000 fin -/3010 rst - pings ",
    );
}

#[test]
fn handshakes_that_failed_in_a_net_export() {
    let refused = CONSTANTS.to_owned()
        + &event(0, 12, 9, 1, r#"{"url":"wss://app.example/ws"}"#)
        + &event(2, 5, 9, 2, r#"{"net_error":-102}"#);
    let (summary, legs, lines) = told(refused.as_bytes());
    assert!(legs.is_empty());
    assert_eq!(
        summary.vantage.as_deref(),
        Some("Chrome 156 on Linux"),
        "{summary:?}"
    );
    assert_eq!(
        lines[0].termination.as_deref(),
        Some("net::ERR_CONNECTION_REFUSED")
    );
    assert_eq!(lines[0].uri.as_deref(), Some("/ws"));
    let head = accepted();
    let head = head
        .split_once("{\"params\":{\"headers\":[\"HTTP/1.1 101")
        .expect("an answer")
        .0;
    let rejected = head.to_owned()
        + &event(
            50,
            15,
            137,
            0,
            r#"{"message":"Error during WebSocket handshake: Unexpected response code: 403","net_error":-2}"#,
        )
        + &event(50, 5, 137, 2, r#"{"net_error":-320}"#)
        + &event(51, 6, 143, 2, "{}");
    let (_, legs, _) = told(rejected.as_bytes());
    assert_eq!(legs[0].protocol, LegProtocol::UpgradeRefused);
    assert_eq!(legs[0].response.as_ref().map(|r| r.status), Some(403));
}

const HAR: &str = r#"{
  "log": {
    "version": "1.2",
    "creator": { "name": "WebInspector", "version": "537.36" },
    "pages": [ { "id": "page_1", "title": "entries" } ],
    "entries": [
      { "startedDateTime": "2026-11-20T20:48:00.000Z", "time": 12.5, "request": { "method": "GET", "url": "https://app.example/", "headers": [] }, "response": { "status": 200 } },
      {
        "_resourceType": "websocket",
        "_webSocketMessages": [
          { "type": "send", "time": 1795207681.25, "opcode": 1, "data": "{\"a\":\"}\"}" },
          { "type": "receive", "time": 1795207682.5, "opcode": 1, "data": "x" }
        ],
        "startedDateTime": "2026-11-20T20:48:01.000Z",
        "time": 61500.0,
        "serverIPAddress": "192.0.2.8",
        "request": { "method": "GET", "url": "wss://app.example/ws?session=tok-abc123", "headers": [ { "name": "Sec-WebSocket-Key", "value": "JB6Nv/EnzithyzUkBMb6IA==" }, { "name": "User-Agent", "value": "X" } ] },
        "response": { "status": 101 }
      },
      { "_resourceType": "websocket", "_webSocketMessages": [ { "type": "receive", "time": 1795207682.0 } ], "startedDateTime": "2026-11-20T20:48:01.000Z", "time": 1000.2, "request": { "method": "GET", "url": "wss://app.example/open" }, "response": { "status": 101 } },
      { "_resourceType": "websocket", "startedDateTime": "2026-11-20T20:48:01.000Z", "time": 30, "request": { "method": "GET", "url": "ws://app.example/no" }, "response": { "status": 0, "_error": "net::ERR_CONNECTION_REFUSED" } },
      { "request": {} }
    ]
  }
}"#;

#[test]
fn websockets_of_a_har() {
    let (summary, legs, lines) = told(HAR.as_bytes());
    assert!(legs.is_empty());
    assert_eq!((summary.records, summary.used, summary.odd), (5, 4, 1));
    let got: Vec<_> = lines
        .iter()
        .map(|l| {
            (
                l.uri.as_deref().unwrap_or_default(),
                l.status,
                l.life_ns.map(|n| n / SECOND_NS),
                l.termination.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        got,
        [
            (
                "/ws?session=tok-abc123",
                Some(101),
                Some(61),
                Some("2 messages, the last 60 s before the end")
            ),
            ("/open", Some(101), None, None),
            ("/no", None, Some(0), Some("net::ERR_CONNECTION_REFUSED")),
        ]
    );
    assert!(lines.iter().all(|l| l.hop == HopKind::Client));
    assert_eq!(
        lines[0].upstream.map(|u| u.to_string()).as_deref(),
        Some("192.0.2.8:443")
    );
    let span = &HAR.as_bytes()[lines[0].record.start as usize..][..lines[0].record.len as usize];
    assert!(span.starts_with(b"{") && span.ends_with(b"}"));
    let cut = &HAR.as_bytes()[..HAR.find("\"_error\"").expect("there")];
    let (summary, _, lines) = told(cut);
    assert_eq!(
        (summary.odd, lines.len(), summary.anomalies[0].kind.as_str()),
        (1, 2, "truncated-tail")
    );
}

#[test]
fn nothing_else_is_a_browsers() {
    for text in [
        "",
        r#"{"log":"GET /ws\n","stream":"stdout","time":"2026-11-20T20:48:09Z"}"#,
        r#"{"constants":{"a":1}}"#,
        r#"{"log":{"level":"info"},"msg":"x"}"#,
        "{\"events\": [",
    ] {
        assert_eq!(sniff(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(tail in prop::collection::vec(any::<u8>(), 0..300), at in 0..4000usize) {
        for base in [accepted() + &frame(3, false, 8, 6), HAR.to_owned()] {
            let mut bytes = base.into_bytes();
            let at = at.min(bytes.len());
            bytes.splice(at..(at + tail.len()).min(bytes.len()), tail.iter().copied());
            for format in FORMATS {
                let s = (format.read)(SourceId(0), &mut &bytes[..], &mut |_| (), &mut |_| ());
                prop_assert_eq!(s.records, s.used + s.odd);
            }
        }
    }
}
