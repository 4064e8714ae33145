//! What the libraries say when a WebSocket opens, closes or fails -> the event that each line has to be read as.

use super::*;
use crate::model::AppEvent;

/// What a line has to be read as; reasons and messages are the line's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Open,
    Close(Option<u16>),
    /// The peer was given up; with its close in the same line.
    Missed,
    ReadTimedOut,
    MissedAndClosed(Option<u16>),
    Error(Option<&'static str>),
    Rejected(Option<u16>),
    Backpressure,
    Exception,
    Exhausted,
    Listening(Option<u16>),
    Stopping,
    Nothing,
}

fn read_as(line: &str) -> Vec<AppEvent> {
    let name = sniff(line.as_bytes(), &LogOptions::default(), None)
        .unwrap_or_else(|| panic!("no format: {line}"))
        .name;
    assert!(name.starts_with("app-"), "{name}: {line}");
    let mut events = Vec::new();
    let summary = read(
        SourceId(0),
        &Choice { name },
        &LogOptions::default(),
        &mut line.as_bytes(),
        &mut |_| (),
        &mut |l| {
            if let Line::App(a) = l
                && a.what != AppEvent::Other
            {
                events.push(a.what);
            }
        },
    );
    assert_eq!(summary.odd, 0, "{line}");
    events
}

fn check(line: &str, want: Is) {
    let events = read_as(line);
    let fits = match (want, events.as_slice()) {
        (Is::Nothing, [])
        | (Is::Open, [AppEvent::Open])
        | (Is::Missed, [AppEvent::HeartbeatMissed])
        | (Is::ReadTimedOut, [AppEvent::ReadTimedOut])
        | (Is::Backpressure, [AppEvent::Backpressure, ..])
        | (Is::Exception, [AppEvent::Exception { .. }])
        | (Is::Exhausted, [AppEvent::Exhausted { .. }])
        | (Is::Stopping, [AppEvent::Stopping]) => true,
        (Is::Close(code), [AppEvent::Close { code: got, .. }])
        | (
            Is::MissedAndClosed(code),
            [AppEvent::HeartbeatMissed, AppEvent::Close { code: got, .. }],
        ) => code == *got,
        (Is::Error(code), [AppEvent::Error { code: got, .. }]) => code == got.as_deref(),
        (Is::Rejected(status), [AppEvent::Rejected { status: got }]) => status == *got,
        (Is::Listening(port), [AppEvent::Listening { port: got }]) => port == *got,
        _ => false,
    };
    assert!(fits, "{line}\n wanted {want:?}, read as {events:?}");
}

/// Words of no library: nouns, verbs and codes about a peer that is named.
#[test]
fn sentences_of_applications() {
    texts(&[
        ("client_joined session=u-35587 from 192.0.2.13", Is::Open),
        (
            "client_gone session=u-35587 code=1006",
            Is::Close(Some(1006)),
        ),
        (
            "client_kicked session=u-29878 code=4408 (too long)",
            Is::Close(Some(4408)),
        ),
        (
            "client_error session=u-68177: Max payload size exceeded",
            Is::Error(None),
        ),
        ("client_dead session=u-61506 after 2 pings", Is::Missed),
        ("New connection from 192.0.2.19 (u-75016)", Is::Open),
        (
            "Connection closed for u-75016: 1006 ",
            Is::Close(Some(1006)),
        ),
        (
            "Buffer limit exceeded for u-75016 (13000000 bytes), terminating",
            Is::Backpressure,
        ),
        (
            "policy violation session=u-71369 code=3000 reason=unauthorized",
            Is::Close(Some(3000)),
        ),
        ("request failed user=u-71369 code=4001", Is::Error(None)),
        ("user left room 5 user=u-71369", Is::Nothing),
        ("serving port=8080", Is::Listening(Some(8080))),
        ("192.0.2.18 connected as dev_558328", Is::Open),
        ("dev_558328 hung up with 4001", Is::Close(Some(4001))),
        ("lost contact with u-34975, cutting it", Is::Missed),
        (
            "conn_close conn=7 addr=192.0.2.1 uid=u-1 rc=1006",
            Is::Close(Some(1006)),
        ),
    ]);
    check(
        r#"{"name":"gw","pid":30402,"level":40,"connId":"4b680f7e","sessionId":"u-61506","missed":1,"msg":"Connection is dead","time":"2026-11-30T13:39:21.302Z","v":0}"#,
        Is::Missed,
    );
    check(
        r#"{"level":"info","time":"2026-11-30T13:42:47.831Z","pid":9183,"port":8081,"message":"up"}"#,
        Is::Listening(Some(8081)),
    );
}

/// pino-pretty: the time of day alone, and a field in a line.
#[test]
fn fields_on_lines_of_their_own() {
    let text = "[13:38:26.244] INFO (26987): peer up\n    cid: \"3cc364de\"\n    remote: \"192.0.2.11\"\n\
        [13:38:31.984] INFO (26987): peer down\n    cid: \"3cc364de\"\n    closeCode: 1006\n    closeReason: \"\"\n";
    let mut events = Vec::new();
    let options = LogOptions {
        near: Some(Moment(1_795_210_948_000_000_000)),
        ..LogOptions::default()
    };
    let name = sniff(text.as_bytes(), &LogOptions::default(), None)
        .expect("a format")
        .name;
    let summary = read(
        SourceId(0),
        &Choice { name },
        &options,
        &mut text.as_bytes(),
        &mut |_| (),
        &mut |l| {
            if let Line::App(a) = l {
                events.push((a.what, a.connection_id));
            }
        },
    );
    let id = || Some("3cc364de".to_owned());
    let close = AppEvent::Close {
        code: Some(1006),
        reason: String::new(),
    };
    assert_eq!(events, [(AppEvent::Open, id()), (close, id())]);
    assert_eq!(
        (summary.odd, summary.first.map(|s| s.rfc3339())),
        (0, Some("2026-11-20T13:38:26.244Z".to_owned()))
    );
}

/// Python's servers write an error, and the trace of the exception below it.
#[test]
fn traces_below_an_error() {
    let text = "2026-11-30 13:39:46,421 INFO websockets.server connection closed\n\
        2026-11-30 13:39:46,421 ERROR aiohttp.server Error handling request from 192.0.2.2\n\
        Traceback (most recent call last):\n  File \"/app/srv.py\", line 58, in handler\n    {}[\"x\"]\nKeyError: 'x'\n\
        2026-11-30 13:39:46,482 INFO websockets.server connection closed\n";
    let events = read_as(text);
    let named =
        |e: &AppEvent| matches!(e, AppEvent::Exception { message } if message == "KeyError: 'x'");
    assert_eq!(events.iter().filter(|e| named(e)).count(), 1, "{events:?}");
}

/// Each behind a date, as a console writes it.
fn texts(table: &[(&str, Is)]) {
    for (message, want) in table {
        check(&format!("2026-11-20T20:48:09.123Z {message}"), *want);
    }
}

/// Each as the reason of a closing that a JSON logger wrote.
fn reasons(table: &[(&str, Option<u16>, Is)]) {
    for (reason, code, want) in table {
        let code = code.map_or(String::new(), |c| format!(r#","code":{c}"#));
        let line = format!(
            r#"{{"level":30,"time":1795207689123,"socketId":"a1","msg":"disconnect","reason":"{reason}"{code}}}"#
        );
        check(&line, *want);
        // After lines that taught the reader what to pass by.
        let quiet = r#"{"level":30,"time":1795207689122,"msg":"request completed"}"#;
        check(&format!("{quiet}\n{quiet}\n{line}\n{quiet}"), *want);
    }
}

#[test]
fn connections_that_became_too_old() {
    for said in [
        "max connection age reached",
        "closing: maximum connection lifetime",
        "max_connection_duration",
    ] {
        let line = format!(r#"{{"level":30,"time":1795207689123,"connId":"c7","msg":"{said}"}}"#);
        check(&line, Is::Close(None));
        let events = read_as(&line);
        let AppEvent::Close { reason, .. } = &events[0] else {
            panic!("{events:?}");
        };
        assert_eq!(reason, said);
    }
    // Nobody's: a setting that the program tells.
    check(
        r#"{"level":30,"time":1795207689123,"msg":"max connection age is 30m"}"#,
        Is::Nothing,
    );
}

#[test]
fn socket_io() {
    reasons(&[
        ("transport close", None, Is::Close(None)),
        ("transport error", None, Is::Close(None)),
        ("parse error", None, Is::Close(None)),
        ("forced close", None, Is::Close(None)),
        ("forced server close", None, Is::Close(None)),
        ("ping timeout", None, Is::MissedAndClosed(None)),
        ("client namespace disconnect", None, Is::Close(None)),
        ("server namespace disconnect", None, Is::Close(None)),
        ("io server disconnect", None, Is::Close(None)),
        ("server shutting down", None, Is::Close(None)),
    ]);
    texts(&[
        ("socket a1 disconnected: transport close", Is::Close(None)),
        ("engine connection_error 3 Bad request", Is::Error(None)),
    ]);
}

#[test]
fn node_ws_and_micro_web_sockets() {
    reasons(&[
        ("", Some(1006), Is::Close(Some(1006))),
        ("", Some(1005), Is::Close(Some(1005))),
        (
            "WebSocket timed out from inactivity",
            Some(1006),
            Is::MissedAndClosed(Some(1006)),
        ),
        (
            "Received too big message",
            Some(1006),
            Is::Close(Some(1006)),
        ),
        ("Received invalid UTF-8", Some(1006), Is::Close(Some(1006))),
    ]);
    texts(&[
        (
            "Error: Invalid WebSocket frame: RSV1 must be clear",
            Is::Error(None),
        ),
        ("RangeError: Max payload size exceeded", Is::Exception),
        ("Unexpected server response: 502", Is::Error(None)),
        ("Opening handshake has timed out", Is::Error(None)),
        (
            "WebSocket was closed before the connection was established",
            Is::Error(None),
        ),
        (
            "connect EMFILE 127.0.0.1:18031 - Local (undefined:undefined)",
            Is::Exhausted,
        ),
        (
            "Missing or invalid Sec-WebSocket-Version header",
            Is::Rejected(None),
        ),
        (
            "(node:3492) MaxListenersExceededWarning: Possible EventEmitter memory leak detected. 11 message listeners added",
            Is::Nothing,
        ),
    ]);
}

#[test]
fn python() {
    texts(&[
        ("INFO websockets.server connection open", Is::Open),
        ("INFO websockets.server connection closed", Is::Close(None)),
        (
            "INFO websockets.server connection rejected (426 Upgrade Required)",
            Is::Rejected(Some(426)),
        ),
        (
            "ERROR websockets.server connection handler failed",
            Is::Exception,
        ),
        (
            "ERROR websockets.server opening handshake failed",
            Is::Error(None),
        ),
        (
            "ConnectionClosedError: no close frame received or sent",
            Is::Close(Some(1006)),
        ),
        (
            "ConnectionClosedError: sent 1011 (internal error) keepalive ping timeout; no close frame received",
            Is::MissedAndClosed(Some(1011)),
        ),
        (
            "ConnectionClosedOK: received 1000 (OK) done; then sent 1000 (OK) done",
            Is::Close(Some(1000)),
        ),
        (
            "received 1001 (going away); then sent 1001 (going away)",
            Is::Close(Some(1001)),
        ),
        (
            "InvalidMessage: did not receive a valid HTTP response",
            Is::Error(None),
        ),
        (
            "TimeoutError: timed out during opening handshake",
            Is::Error(None),
        ),
        (
            "INFO:     127.0.0.1:34440 - \"WebSocket /clean\" [accepted]",
            Is::Open,
        ),
        (
            "INFO:     127.0.0.1:34440 - \"WebSocket /reject\" 403",
            Is::Rejected(Some(403)),
        ),
        (
            "INFO:     connection rejected (403 Forbidden)",
            Is::Rejected(Some(403)),
        ),
        ("ERROR:    Exception in ASGI application", Is::Exception),
        ("INFO:     Shutting down", Is::Stopping),
        (
            "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)",
            Is::Listening(Some(8000)),
        ),
        ("OSError: [Errno 24] Too many open files", Is::Exhausted),
    ]);
    let daphne = |event: &str| {
        format!("192.0.2.7:1234 - - [20/Nov/2026:20:48:04] \"{event} /ws/chat/\" - -")
    };
    check(&daphne("WSCONNECT"), Is::Open);
    check(&daphne("WSREJECT"), Is::Rejected(None));
    check(&daphne("WSDISCONNECT"), Is::Close(None));
    check(
        &format!("{}\n{}", daphne("WSCONNECTING"), daphne("WSCONNECT")),
        Is::Open,
    );
}

#[test]
fn go() {
    texts(&[
        (
            "websocket: close 1006 (abnormal closure): unexpected EOF",
            Is::Close(Some(1006)),
        ),
        ("websocket: close 1001 (going away)", Is::Close(Some(1001))),
        (
            "read tcp 10.0.0.1:80->10.0.0.2:5000: read: connection reset by peer",
            Is::Error(Some("ECONNRESET")),
        ),
        (
            "write tcp 10.0.0.1:80->10.0.0.2:5000: write: broken pipe",
            Is::Error(Some("EPIPE")),
        ),
        (
            "read tcp 10.0.0.1:80->10.0.0.2:5000: i/o timeout",
            Is::ReadTimedOut,
        ),
        ("websocket: read limit exceeded", Is::Error(None)),
        (
            "set tcp 10.0.0.1:80: use of closed network connection",
            Is::Error(None),
        ),
        (
            "websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header",
            Is::Rejected(None),
        ),
        (
            "websocket: request origin not allowed by Upgrader.CheckOrigin",
            Is::Rejected(None),
        ),
        ("websocket: bad handshake", Is::Error(None)),
        (
            "failed to get reader: failed to read frame header: EOF",
            Is::Close(None),
        ),
        (
            "failed to get reader: received close frame: status = StatusGoingAway and reason = \"\"",
            Is::Close(Some(1001)),
        ),
        (
            "failed to get reader: received close frame: status = StatusNormalClosure and reason = \"bye\"",
            Is::Close(Some(1000)),
        ),
        (
            "failed to ping: failed to wait for pong: context deadline exceeded",
            Is::Missed,
        ),
        (
            "failed to read: websocket: message too big: read limited at 32769 bytes",
            Is::Error(None),
        ),
        (
            "failed to accept WebSocket connection: WebSocket protocol violation: Connection header \"\" does not contain Upgrade",
            Is::Rejected(None),
        ),
        (
            "http: Accept error: accept tcp [::]:8080: accept4: too many open files; retrying in 5ms",
            Is::Exhausted,
        ),
    ]);
}

#[test]
fn rust_tungstenite() {
    texts(&[
        (
            "WebSocket protocol error: Connection reset without closing handshake",
            Is::Close(None),
        ),
        (
            "IO error: Connection reset by peer (os error 104)",
            Is::Error(Some("ECONNRESET")),
        ),
        (
            "WebSocket protocol error: Handshake not finished",
            Is::Error(None),
        ),
        ("Encountered invalid opcode: 3", Is::Error(None)),
        ("UTF-8 encoding error", Is::Error(None)),
        ("Connection closed normally", Is::Close(None)),
        (
            "Space limit exceeded: Message too long: 5 > 4",
            Is::Error(None),
        ),
    ]);
}

#[test]
fn java() {
    reasons(&[
        (
            "The WebSocket session [1] idle timeout expired",
            Some(1001),
            Is::MissedAndClosed(Some(1001)),
        ),
        (
            "Connection Idle Timeout",
            Some(1001),
            Is::MissedAndClosed(Some(1001)),
        ),
        (
            "The web application is stopping",
            Some(1001),
            Is::Close(Some(1001)),
        ),
        (
            "An unrecoverable IOException occurred so the connection was closed",
            Some(1006),
            Is::Close(Some(1006)),
        ),
    ]);
    texts(&[
        (
            "WARN o.e.j.w.WebSocketTimeoutException: Connection Idle Timeout",
            Is::Missed,
        ),
        (
            "java.util.concurrent.TimeoutException: Idle timeout expired: 30004/30000 ms",
            Is::Missed,
        ),
        (
            "The message was [70000] bytes long but the MessageHandler has a limit of [65536] bytes",
            Is::Error(None),
        ),
        ("ERROR onError java.io.EOFException", Is::Error(None)),
        (
            "ERROR onError java.io.IOException: Broken pipe",
            Is::Error(Some("EPIPE")),
        ),
        (
            "ERROR 1 --- [io-8080-exec-3] o.s.w.s.h.LoggingWebSocketHandlerDecorator : Transport error for StandardWebSocketSession[id=a1, uri=ws://h/ws]",
            Is::Error(None),
        ),
        (
            "DEBUG o.s.w.s.h.LoggingWebSocketHandlerDecorator : Connection closed for StandardWebSocketSession[id=a1, uri=/ws], CloseStatus[code=1006, reason=null]",
            Is::Close(Some(1006)),
        ),
        (
            "INFO 1 --- [MessageBroker-1] o.s.w.s.c.WebSocketMessageBrokerStats : WebSocketSession[3 current WS(3)-HttpStream(0)-HttpPoll(0), 3 total, 0 closed abnormally (0 connect failure, 0 send limit, 0 transport error)], stompSubProtocol[processed CONNECT(3)-CONNECTED(3)-DISCONNECT(0)]",
            Is::Nothing,
        ),
        (
            "ERROR SessionLimitExceededException: Send time 20000 (ms) for session 'a1' exceeded the allowed limit 10000",
            Is::Backpressure,
        ),
        (
            "ERROR java.util.concurrent.RejectedExecutionException: Task X rejected from java.util.concurrent.ThreadPoolExecutor[Running, pool size = 8]",
            Is::Exhausted,
        ),
    ]);
}

#[test]
fn dot_net() {
    texts(&[
        (
            "dbug: Socket opened using Sub-Protocol: '(null)'.",
            Is::Open,
        ),
        ("dbug: Socket closed.", Is::Close(None)),
        (
            "dbug: Client closed connection with status code '1001' (EndpointUnavailable). Signaling end-of-input to application.",
            Is::Close(Some(1001)),
        ),
        (
            "dbug: Socket connection closed prematurely.",
            Is::Close(None),
        ),
        (
            "Client timeout (30000ms) elapsed without receiving a message from the client. Closing connection.",
            Is::Missed,
        ),
        (
            "System.Net.WebSockets.WebSocketException (0x80004005): The remote party closed the WebSocket connection without completing the close handshake.",
            Is::Close(None),
        ),
    ]);
}

#[test]
fn elixir_and_ruby() {
    texts(&[
        ("[info] CONNECTED TO ChatWeb.UserSocket in 15ms", Is::Open),
        (
            "[info] REFUSED CONNECTION TO ChatWeb.UserSocket in 1ms",
            Is::Rejected(None),
        ),
        (
            "[debug] HANDLED new_msg INCOMING ON room:lobby in 1ms",
            Is::Nothing,
        ),
        (
            "heartbeat timeout. Attempting to re-establish connection",
            Is::Missed,
        ),
    ]);
    for (message, want) in [
        (
            "Started GET \"/cable\" [WebSocket] for 192.0.2.7 at 2026-11-20 20:48:09 +0000",
            Is::Open,
        ),
        (
            "Successfully upgraded to WebSocket (REQUEST_METHOD: GET, HTTP_CONNECTION: Upgrade, HTTP_UPGRADE: websocket)",
            Is::Open,
        ),
        (
            "Finished \"/cable\" [WebSocket] for 192.0.2.7 at 2026-11-20 20:48:09 +0000",
            Is::Close(None),
        ),
        (
            "Failed to upgrade to WebSocket (REQUEST_METHOD: GET, HTTP_CONNECTION: close, HTTP_UPGRADE: )",
            Is::Rejected(None),
        ),
        (
            "Request origin not allowed: http://x.example.test",
            Is::Rejected(None),
        ),
    ] {
        check(
            &format!("I, [2026-11-20T20:48:09.123456 #1234]  INFO -- : {message}"),
            want,
        );
    }
}
