//! Records and console lines of applications -> what each says.

use super::*;

#[test]
fn a_crash_without_stamps_takes_the_time_of_the_record_before() {
    let text = concat!(
        "{\"event\":\"connect\",\"clientId\":\"192.0.2.1\",\"time\":1795208316579}\n",
        "<anonymous_script>:1\n{\"type\":\"order\",\"items\":[1,2\n\n\nSyntaxError: Expected ',' in JSON at position 28\n",
        "    at JSON.parse (<anonymous>)\n    at handle (file:///srv/app/server.mjs:77:20)\n\nNode.js v20.20.2\n",
        "{\"event\":\"connect\",\"clientId\":\"192.0.2.1\",\"time\":1795208317579}\n",
    );
    let (name, summary, lines) = sniffed(&LogOptions::default(), text.as_bytes());
    assert_eq!((name, summary.records, summary.odd), ("app-json", 8, 0));
    let lines = app(&lines);
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[1].what,
        AppEvent::Crashed {
            message: "SyntaxError: Expected ',' in JSON at position 28".into()
        }
    );
    assert_eq!(
        (lines[1].at.at, lines[1].record.ordinal),
        (lines[0].at.at, 6)
    );
}

#[test]
fn a_trace_that_was_survived_is_no_crash() {
    let text = "2026-11-20 21:43:56,005 INFO x started\nTraceback (most recent call last):\n  File \"a.py\", line 1\nValueError: bad\n2026-11-20 21:43:57,005 INFO x connection closed\n";
    let (_, summary, lines) = sniffed(&LogOptions::default(), text.as_bytes());
    assert_eq!(summary.odd, 0);
    let what: Vec<_> = app(&lines).iter().map(|l| l.what.clone()).collect();
    assert_eq!(
        what,
        [
            AppEvent::Exception {
                message: "ValueError: bad".into()
            },
            AppEvent::Close {
                code: None,
                reason: String::new()
            },
        ]
    );
}

#[test]
fn records_of_the_runbooks_and_of_every_logger() {
    let close = AppEvent::Close {
        code: Some(1006),
        reason: String::new(),
    };
    let all = samples("app-json");
    for (i, sample) in all.iter().enumerate() {
        let (_, lines) = read_all("app-json", &LogOptions::default(), sample.as_bytes());
        let want = match i {
            0 => AppEvent::Open,
            2 => AppEvent::Error {
                code: Some("ECONNRESET".into()),
                message: "read ECONNRESET".into(),
            },
            3 => AppEvent::HeartbeatMissed,
            4 => AppEvent::Error {
                code: Some("ECONNRESET".into()),
                message: "...".into(),
            },
            _ => close.clone(),
        };
        assert_eq!(
            app(&lines)
                .iter()
                .map(|l| l.what.clone())
                .collect::<Vec<_>>(),
            [want],
            "{sample}"
        );
    }
    let (_, lines) = read_all(
        "app-text",
        &LogOptions::default(),
        samples("app-text")[1].as_bytes(),
    );
    let line = app(&lines)[0];
    assert_eq!(
        (&line.what, line.session.as_deref()),
        (&close, Some("7f3a..."))
    );
}

#[test]
fn console_lines_of_many_programs() {
    let check = |line: &str, what: AppEvent, client: Option<&str>| {
        let (_, summary, lines) = sniffed(&LogOptions::default(), line.as_bytes());
        assert_eq!(summary.odd, 0, "{line}");
        let got = app(&lines);
        assert_eq!(got.first().map(|l| &l.what), Some(&what), "{line}");
        let address = got[0].client.first().map(|ip| match got[0].client_port {
            Some(port) => std::net::SocketAddr::new(*ip, port).to_string(),
            None => ip.to_string(),
        });
        assert_eq!(address.as_deref(), client, "{line}");
    };
    let close = |code: Option<u16>, reason: &str| AppEvent::Close {
        code,
        reason: reason.into(),
    };
    check(
        "2026-11-20 21:43:56.005 [http-1] INFO  c.e.Ws - Connection closed for ('10.0.0.1', 5678), CloseStatus[code=1006, reason=null]",
        close(Some(1006), ""),
        Some("10.0.0.1:5678"),
    );
    check(
        "Nov 20 21:43:56 app1 node[123]: {\"level\":30,\"time\":1795210749007,\"msg\":\"ws open\",\"ip\":\"::ffff:10.77.1.12\"}",
        AppEvent::Open,
        Some("10.77.1.12"),
    );
    check(
        "2026-11-20T21:43:56Z INFO:     127.0.0.1:34440 - \"WebSocket /a\" [accepted]",
        AppEvent::Open,
        Some("127.0.0.1:34440"),
    );
    check(
        "2026-11-20T21:43:56Z INFO:     127.0.0.1:34440 - \"WebSocket /a\" 403",
        AppEvent::Rejected { status: Some(403) },
        Some("127.0.0.1:34440"),
    );
    check(
        "2026/11/20 21:43:56 ws.go:42: read tcp 10.77.4.2:8080->10.77.1.5:3333: i/o timeout",
        AppEvent::ReadTimedOut,
        Some("10.77.1.5:3333"),
    );
    check(
        "2026-11-20T21:43:56Z received SIGTERM, draining 12 connections",
        AppEvent::Stopping,
        None,
    );
    check(
        "2026-11-20T21:43:56Z Server listening at http://0.0.0.0:3000",
        AppEvent::Listening { port: Some(3000) },
        None,
    );
    check(
        "2026-11-20 21:43:56,005 INFO websockets.server server listening on 10.77.4.2:8090",
        AppEvent::Listening { port: Some(8090) },
        None,
    );
    check(
        "{\"level\":\"error\",\"ts\":1795209513.79,\"msg\":\"read failed\",\"error\":\"websocket: close 1006 (abnormal closure): unexpected EOF\",\"remote\":\"10.0.0.1:5000\"}",
        close(
            Some(1006),
            "websocket: close 1006 (abnormal closure): unexpected EOF",
        ),
        Some("10.0.0.1:5000"),
    );
    check(
        "2026-11-20T21:43:56Z closing connection 10.0.0.1:5000 code 4401 token expired",
        close(Some(4401), ""),
        Some("10.0.0.1:5000"),
    );
}

#[test]
fn an_object_over_several_lines_is_one_record() {
    let text = "2026-11-20T21:43:56.005Z socket closed {\n  sessionId: 'a1',\n  code: 1006\n}\n2026-11-20T21:43:57Z x\n";
    let (_, summary, lines) = sniffed(&LogOptions::default(), text.as_bytes());
    assert_eq!((summary.records, summary.odd), (5, 0));
    let lines = app(&lines);
    assert_eq!(
        lines[0].what,
        AppEvent::Close {
            code: Some(1006),
            reason: String::new()
        }
    );
    assert_eq!(
        (lines[0].session.as_deref(), lines[0].record.ordinal),
        (Some("a1"), 1)
    );
}
