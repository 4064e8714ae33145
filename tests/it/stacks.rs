//! Logs as servers of one kind or another write them, without a capture -> the verdict about each connection.

use crate::samples::wsdrop;
use serde_json::Value;
use std::fs;

/// Each connection's identity or port, outcome and cause, in the order of the report.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &[(&str, &str, &str)]) {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("written");
    }
    let output = wsdrop(
        &["report", ".", "-f", "json", "--redact", "none"],
        dir.path(),
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let found: Vec<(String, String, String)> = report["connections"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| {
            let port = c["client"]["port"].as_u64().map(|p| p.to_string());
            let name = port.unwrap_or_else(|| text(&c["client"]["identity"]));
            (name, text(&c["outcome"]), text(&c["cause"]))
        })
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()))
        .collect();
    assert_eq!(found, expected);
}

/// Go hands a Close over as an error, and the line of the end that follows has no code any more.
#[test]
fn gorilla_with_the_standard_logger() {
    let log = "\
2026/11/20 09:05:45.063851 listening addr=:9090
2026/11/20 09:05:49.590011 peer connected remote=192.0.2.18:55115
2026/11/20 09:05:49.847472 peer connected remote=192.0.2.15:34521
2026/11/20 09:05:55.596684 peer disconnected remote=192.0.2.18:55115 duration=6.006666817s
2026/11/20 09:06:02.848680 error: unexpected close remote=192.0.2.15:34521: websocket: close 4003: kicked
2026/11/20 09:06:02.848765 peer disconnected remote=192.0.2.15:34521 duration=13.001295474s
2026/11/20 09:06:05.945455 peer connected remote=192.0.2.28:36151
";
    check(
        &[("server.log", log)],
        &[
            ("55115", "clean", "-"),
            ("34521", "drop", "policy-close"),
            ("36151", "open", "-"),
        ],
    );
}

/// Tomcat numbers its sessions, and only the line of the opening has the query that the proxy's log has as well.
#[test]
fn tomcat_behind_nginx() {
    let access = r#"192.0.2.14 - - [20/Nov/2026:14:05:59 +0000] "GET /ws?session=6710ab HTTP/1.1" 101 39 "-" "app/2.1"
192.0.2.26 - - [20/Nov/2026:14:06:03 +0000] "GET /ws?session=2d6c45 HTTP/1.1" 101 84 "-" "app/2.1"
192.0.2.19 - - [20/Nov/2026:14:06:05 +0000] "GET /ws?session=bc4ab1 HTTP/1.1" 101 74 "-" "app/2.1"
"#;
    let catalina = "\
2026-11-20 14:05:47.748 INFO  [main] c.e.chat.ChatEndpoint - Started ChatApplication in 1.4 seconds
2026-11-20 14:05:53.713 INFO  [http-nio-8080-exec-7] c.e.chat.ChatEndpoint - Session opened: id=6 query=session=6710ab
2026-11-20 14:05:53.737 INFO  [http-nio-8080-exec-8] c.e.chat.ChatEndpoint - Session opened: id=7 query=session=bc4ab1
2026-11-20 14:05:54.098 INFO  [http-nio-8080-exec-4] c.e.chat.ChatEndpoint - Session opened: id=b query=session=2d6c45
2026-11-20 14:05:55.605 INFO  [http-nio-8080-exec-1] c.e.chat.ChatEndpoint - Session opened: id=f query=session=d915f3
2026-11-20 14:05:59.723 INFO  [http-nio-8080-exec-3] c.e.chat.ChatEndpoint - Session closed: id=6 reason=CloseReason: code [1011], reason [error]
2026-11-20 14:06:03.130 INFO  [http-nio-8080-exec-9] c.e.chat.ChatEndpoint - Session closed: id=b reason=CloseReason: code [1009], reason [too big]
2026-11-20 14:06:05.737 INFO  [http-nio-8080-exec-5] c.e.chat.ChatEndpoint - Session closed: id=7 reason=CloseReason: code [1000], reason [null]
";
    check(
        &[("access.log", access), ("catalina.log", catalina)],
        &[
            ("6710ab", "drop", "server-exception"),
            ("bc4ab1", "clean", "-"),
            ("2d6c45", "drop", "message-too-big"),
            ("d915f3", "open", "-"),
        ],
    );
}

/// HAProxy's dates have no zone, its clients are not those of the application; its own ends are, and they tell the zone as well.
#[test]
fn haproxy_names_its_own_end() {
    let line = |cport: u16, bport: u16, ms: u16, life: u32, session: &str| {
        format!(
            r#"{{"ts":"20/Nov/2026:10:04:11.{ms:03}","client":"192.0.2.20","cport":{cport},"srv":"n1","bip":"10.0.3.2","bport":{bport},"ta":{life},"status":101,"bytes":209,"term":"----","req":"GET /ws?session={session}"}}"#
        )
    };
    let haproxy = [
        line(41784, 37482, 100, 6_000, "aa11bb"),
        line(41790, 37490, 140, 6_000, "cc22dd"),
        line(41799, 37499, 180, 6_010, "ee33ff"),
    ];
    let app = |port: u16, time: &str, rest: &str| {
        format!(
            r#"{{"client_ip":"10.0.3.2","client_port":{port},{rest},"timestamp":"2026-11-20T{time}Z"}}"#
        )
    };
    let (opened, closed) = (r#""event":"ws_connected""#, r#""event":"ws_disconnected""#);
    let app = [
        app(37482, "09:04:11.103", opened),
        app(37490, "09:04:11.143", opened),
        app(37499, "09:04:11.183", opened),
        app(37499, "09:04:17.100", &format!(r#"{closed},"code":4409"#)),
        app(37490, "09:04:17.142", &format!(r#"{closed},"code":1000"#)),
        app(37482, "09:04:17.190", &format!(r#"{closed},"code":1001"#)),
    ];
    check(
        &[
            ("haproxy.log", &haproxy.join("\n")),
            ("app.log", &app.join("\n")),
        ],
        &[
            ("41784", "clean", "-"),
            ("41790", "clean", "-"),
            ("41799", "drop", "policy-close"),
        ],
    );
}

/// The proxy's log shows session and user, the application knows the user alone: all come from one address.
#[test]
fn a_user_beside_a_session() {
    let line = |end: &str, user: &str, session: &str, life: &str| {
        format!(
            r#"192.0.2.9 - - [20/Nov/2026:09:04:{end} +0000] "GET /ws?user={user}&session={session} HTTP/1.1" 101 209 "-" "app" {life}"#
        )
    };
    let conf = r#"http {
  log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time';
  access_log access.log timed;
  server { listen 80; location /ws { proxy_pass http://10.0.0.2; } }
}
"#;
    let access = [
        line("17", "ann", "aa11bb", "6.000"),
        line("18", "bob", "cc22dd", "6.900"),
    ];
    let app = r#"{"time":"2026-11-20T09:04:11.100Z","level":"info","msg":"client connected","userId":"ann","ip":"192.0.2.9"}
{"time":"2026-11-20T09:04:11.300Z","level":"info","msg":"client connected","userId":"bob","ip":"192.0.2.9"}
{"time":"2026-11-20T09:04:17.100Z","level":"info","msg":"client disconnected","userId":"ann","ip":"192.0.2.9","code":1000}
{"time":"2026-11-20T09:04:18.200Z","level":"warn","msg":"client disconnected","userId":"bob","ip":"192.0.2.9","code":4401}
"#;
    check(
        &[
            ("nginx.conf", conf),
            ("access.log", &access.join("\n")),
            ("app.log", app),
        ],
        &[("aa11bb", "clean", "-"), ("cc22dd", "drop", "policy-close")],
    );
}

/// The proxy logs whole seconds, the application knows the proxy alone: of two that ended in one second, whose line is whose is not told.
#[test]
fn what_could_be_a_neighbours_is_possible_at_most() {
    let access = |clients: &[(&str, &str)]| {
        let line = |(ip, second): &(&str, &str)| {
            format!(
                r#"{ip} - - [20/Nov/2026:09:04:{second} +0000] "GET /ws HTTP/1.1" 101 209 "-" "app""#
            )
        };
        clients.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let app = |port: u16, time: &str, rest: &str| {
        format!(
            r#"{{"time":"2026-11-20T09:04:{time}Z","level":"info",{rest},"client":"10.0.0.2:{port}"}}"#
        )
    };
    let (opened, closed) = (
        r#""msg":"client connected""#,
        r#""msg":"client disconnected","code":"#,
    );
    let app = [
        app(41001, "10.100", opened),
        app(41002, "10.200", opened),
        app(41003, "10.300", opened),
        app(41004, "10.400", opened),
        app(41001, "17.300", &format!("{closed}4401")),
        app(41002, "17.310", &format!("{closed}1000")),
        app(41003, "25.100", &format!("{closed}4408")),
        app(41004, "31.100", &format!("{closed}1000")),
    ]
    .join("\n");
    let dir = tempfile::tempdir().expect("a folder");
    let log = access(&[
        ("192.0.2.1", "17"),
        ("192.0.2.2", "17"),
        ("192.0.2.3", "25"),
        ("192.0.2.4", "31"),
    ]);
    fs::write(dir.path().join("access.log"), log).expect("written");
    fs::write(dir.path().join("app.log"), app).expect("written");
    let output = wsdrop(
        &["report", ".", "-f", "json", "--redact", "none"],
        dir.path(),
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = report["connections"].as_array().expect("a list");
    let told = |ip: &str| {
        let c = all.iter().find(|c| c["client"]["ip"] == ip).expect(ip);
        let doubt = c["sentence"].as_str().unwrap_or_default();
        (
            c["tier"].as_str().unwrap_or_default(),
            doubt.contains("could be those of another connection"),
        )
    };
    assert_eq!(all.len(), 4, "{all:?}");
    for ip in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(told(ip), ("possible", true), "{ip}");
    }
    for ip in ["192.0.2.3", "192.0.2.4"] {
        assert!(
            !told(ip).1 && told(ip).0 != "possible",
            "{ip}: {:?}",
            told(ip)
        );
    }
}
