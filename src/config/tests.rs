//! Named situations in every format -> the routes the readers make of them.

use super::*;
use crate::model::{Route, TimeoutKind};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::Path;

fn shown(r: &Route) -> String {
    let mut out = format!(
        "{}{} [{}]",
        if r.exact { "=" } else { "" },
        r.prefix,
        r.name
    );
    for t in &r.timeouts {
        let kind = match t.kind {
            TimeoutKind::Idle => "idle",
            TimeoutKind::Lifetime => "life",
            TimeoutKind::Drain => "drain",
            _ => continue,
        };
        let line = t.line.map_or("default".to_owned(), |l| l.to_string());
        let _ = write!(
            out,
            " {kind} {}ms {}:{line}",
            t.value_ns / 1_000_000,
            t.directive
        );
    }
    if let Some(u) = &r.upgrade {
        let flag = |b: bool| if b { '+' } else { '-' };
        let _ = write!(
            out,
            " up{}{}{}@{}",
            flag(u.upgrade_header),
            flag(u.connection_header),
            flag(u.http_11),
            u.line
        );
    }
    if !r.upstreams.is_empty() {
        let _ = write!(out, " -> {}", r.upstreams.join(","));
    }
    out
}

fn check(name: &str, text: &str, expected: &[&str]) {
    let reader = sniff(text.as_bytes()).unwrap_or_else(|| panic!("{name}: not recognised"));
    let summary = read(SourceId(0), reader, text.as_bytes());
    let mut got: Vec<String> = Vec::new();
    for s in &summary.settings {
        got.push(format!("{} {}", s.hop.name(), s.listen.join(",")));
        got.extend(s.routes.iter().map(shown));
    }
    got.extend(
        summary
            .log_formats
            .iter()
            .map(|(n, f)| format!("format {n}={f}")),
    );
    got.extend(
        summary
            .anomalies
            .iter()
            .map(|a| format!("! {}@{}", a.kind, a.first_record)),
    );
    assert_eq!(got, expected, "{name}");
}

#[test]
fn nginx() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "headers at the server, lost by one header in the location; time-outs inherit",
            "http {\nproxy_read_timeout 1h30m;\nmap $http_upgrade $cu { default upgrade; '' close; }\nserver {\nlisten 80;\nproxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $cu;\nlocation /a { proxy_pass http://h:1; }\nlocation /b { proxy_pass http://h:1;\nproxy_set_header Host $host; }\n}\n}\n",
            &[
                "nginx 80",
                "/a [location /a] idle 5400000ms proxy_read_timeout:2 up+++@9 -> h:1",
                "/b [location /b] idle 5400000ms proxy_read_timeout:2 up--+@11 -> h:1",
            ],
        ),
        (
            "defaults, exact, regular expression, drain, upstream after its use",
            "worker_shutdown_timeout 4m;\nhttp { server { listen 10.0.0.1:80; listen [::]:80;\nlocation = /x { proxy_pass http://up/y; }\nlocation ~ ^/ws/(.+)$ { proxy_pass http://up; }\n}\nupstream up { server a:1 weight=2; server b:2; } }",
            &[
                "nginx 10.0.0.1:80,[::]:80",
                "=/x [location = /x] idle 60000ms proxy_read_timeout:default drain 240000ms worker_shutdown_timeout:1 up---@3 -> a:1,b:2",
                "/ws/ [location ~ ^/ws/(.+)$] idle 60000ms proxy_read_timeout:default drain 240000ms worker_shutdown_timeout:1 up---@4 -> a:1,b:2",
            ],
        ),
        (
            "the directive that spoils it; a bad value; JSON log format",
            "http {\nlog_format j escape=json '{\"t\":\"$msec\",'\n  '\"s\":$status}';\nserver { listen 80; location / {\nproxy_pass http://h;\nproxy_read_timeout 99999999999999999999s;\nproxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection \"keep-alive\";\n} } }",
            &[
                "nginx 80",
                "/ [location /] up+-+@9 -> h",
                "format j={\"t\":\"$msec\",\"s\":$status}",
                "! bad-value@6",
            ],
        ),
        (
            "nginx -T puts the included file where it belongs",
            "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n# configuration file /etc/nginx/nginx.conf:\nhttp { proxy_read_timeout 7; include conf.d/*.conf; include mime.types; }\n# configuration file /etc/nginx/conf.d/ws.conf:\nserver { listen 81; location /w { proxy_pass http://${host}:9; } }\n",
            &[
                "nginx 81",
                "/w [location /w] idle 7000ms proxy_read_timeout:3 up---@5 -> ${host}:9",
            ],
        ),
        (
            "a fragment, an include that is missing, nested locations, Lua",
            "server { listen 80;\ninclude snippets/ws.conf;\ncontent_by_lua_block { if a then b = \"}{\" end }\nlocation /o { proxy_read_timeout 2s; location /o/i { proxy_pass http://h; } } }",
            &[
                "nginx 80",
                "/o/i [location /o/i] idle 2000ms proxy_read_timeout:4 up---@4 -> h",
                "! include-not-read@2",
            ],
        ),
        (
            "two servers treat a location differently; a missing brace",
            "http {\nserver { listen 80; location / { proxy_pass http://h; proxy_read_timeout 1s; } }\nserver { listen 81; location / { proxy_pass http://h; proxy_read_timeout 500ms; } }\n",
            &[
                "nginx 80",
                "/ [location /] idle 1000ms proxy_read_timeout:2 up---@2 -> h",
                "nginx 81",
                "/ [location /] idle 500ms proxy_read_timeout:3 up---@3 -> h",
                "! unbalanced@4",
            ],
        ),
        (
            "a stream server",
            "stream {\nserver { listen 9000; proxy_timeout 5s; proxy_pass h:1; } }",
            &[
                "nginx 9000",
                " [stream server] idle 5000ms proxy_timeout:2 -> h:1",
            ],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn haproxy() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "no tunnel time-out: the smaller of the two",
            "defaults\n mode http\n timeout client 5s\n timeout server 8000\nfrontend f\n bind :80,:81\n default_backend b\nbackend b\n server s 10.0.0.1:80 check\n",
            &[
                "haproxy :80,:81",
                " [f -> b] idle 5000ms timeout client:3 -> 10.0.0.1:80",
            ],
        ),
        (
            "the backend's tunnel wins; paths choose backends; the first fit is last among equals",
            "defaults\n mode http\n timeout client 1m\n timeout server 1m\n timeout tunnel 1h # all\nfrontend f\n bind *:80\n acl ws path_beg /ws /live\n acl up hdr(Upgrade) -i websocket\n use_backend w if ws\n use_backend u if up\n default_backend b\nbackend w\n timeout tunnel 6s\nbackend u\n timeout tunnel 7s\nbackend b\n",
            &[
                "haproxy *:80",
                " [f -> b] idle 3600000ms timeout tunnel:5",
                "/ws [f -> w] idle 6000ms timeout tunnel:14",
                "/live [f -> w] idle 6000ms timeout tunnel:14",
                " [f -> u] idle 7000ms timeout tunnel:16",
            ],
        ),
        (
            "a later defaults section; listen; bad value; unknown backend; zero is no limit",
            "defaults\n timeout client 1s\n timeout server 1s\ndefaults\n mode tcp\n timeout client 2m\n timeout server 9x\n timeout tunnel 0\nlisten l\n bind :1\n server a h:1\nfrontend g\n bind :2\n use_backend %[var(x)]\n",
            &[
                "haproxy :1,:2",
                " [listen l] idle 120000ms timeout client:6 -> h:1",
                "! bad-value@7",
                "! backend-not-found@14",
            ],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn alb() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "attributes",
            "{\n\"Attributes\": [\n{\"Key\": \"a\", \"Value\": \"b\"},\n{\"Key\": \"idle_timeout.timeout_seconds\",\n\"Value\": \"90\"}]}",
            &[
                "alb ",
                " [load balancer] idle 90000ms idle_timeout.timeout_seconds:4",
            ],
        ),
        (
            "a value that is none",
            "{\"Attributes\":[{\"Key\":\"idle_timeout.timeout_seconds\",\"Value\":\"soon\"}]}",
            &["! bad-value@1"],
        ),
        (
            "describe-load-balancers",
            "{\"LoadBalancers\":[{\"LoadBalancerArn\":\"arn:x\"}]}",
            &["! no-timeouts@0"],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn envoy() {
    let head = "static_resources:\n  listeners:\n  - address:\n      socket_address: { address: 0.0.0.0, port_value: 80 }\n    filter_chains:\n    - filters:\n      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n";
    let tail = "  clusters:\n  - name: app\n    load_assignment:\n      endpoints:\n      - lb_endpoints:\n        - endpoint:\n            address:\n              socket_address:\n                address: 10.0.0.9\n                port_value: 8080\n";
    let table: &[(&str, &str, &[&str])] = &[
        (
            "upgrades for all but one; own idle time-outs; an unreachable route; a regular expression",
            "          upgrade_configs:\n          - upgrade_type: websocket\n          common_http_protocol_options:\n            max_stream_duration: 600s\n          route_config:\n            virtual_hosts:\n            - name: all # comment\n              routes:\n              - match:\n                  prefix: \"/ws\"\n                route:\n                  cluster: app\n                  idle_timeout: 0.5s\n              - match: { prefix: /ws/deep }\n                route: { cluster: app }\n              - match: { safe_regex: { regex: '/r/[0-9]+' } }\n                route: { cluster: app, idle_timeout: 0s }\n              - { match: { path: /p }, route: { cluster: app,\n                  upgrade_configs: [ { upgrade_type: WebSocket, enabled: false } ] } }\n",
            &[
                "envoy 0.0.0.0:80",
                "/ws [route /ws] idle 500ms idle_timeout:21 life 600000ms max_stream_duration:12 up+++@17 -> 10.0.0.9:8080",
                "/r/ [route ~ /r/[0-9]+] life 600000ms max_stream_duration:12 up+++@24 -> 10.0.0.9:8080",
                "=/p [route = /p] idle 300000ms stream_idle_timeout:default life 600000ms max_stream_duration:12 up--+@27 -> 10.0.0.9:8080",
            ],
        ),
        (
            "routes from elsewhere",
            "          stream_idle_timeout: 5\n          rds: { route_config_name: x }\n",
            &[
                "envoy 0.0.0.0:80",
                " [http_connection_manager]",
                "! bad-value@9",
            ],
        ),
    ];
    for (name, middle, expected) in table {
        check(name, &format!("{head}{middle}{tail}"), expected);
    }
}

#[test]
fn durations() {
    for (text, expected) in [
        ("60", Some(60_000)),
        ("1h30m", Some(5_400_000)),
        ("1m 500ms", Some(60_500)),
        ("30m1h", None),
        ("1M", Some(2_592_000_000)),
        ("", None),
        ("s", None),
        ("9999999999y", None),
    ] {
        assert_eq!(
            duration::nginx(text).map(|n| n / 1_000_000),
            expected,
            "{text}"
        );
    }
}

#[test]
fn nothing_else_is_taken_for_a_configuration() {
    for text in [
        "",
        "127.0.0.1 - - [20/Nov/2026:20:48:04 +0000] \"GET /echo HTTP/1.1\" 101 12 \"-\" \"-\"\n",
        "2026/11/20 20:48:09 [info] 1#1: *57 upstream timed out, server: , request: \"GET /\"\n",
        "{\"time\":\"x\",\"request\":\"GET /ws\",\"status\":101}\n{\"time\":\"y\",\"status\":101}\n",
        "{\"level\":\"info\",\"msg\":\"server { listen 80; }\"}\n",
        "server started { port: 8080 }\nserver stopped\n",
        "Nov 20 20:48:04 lb haproxy[1]: frontend f bind\n timeout\n timeout\n",
        "[2026-11-20T21:12:26.226Z] \"GET / HTTP/1.1\" 101 UC envoy.x\n",
        "services:\n  app:\n    image: envoy.io/x\n",
    ] {
        assert_eq!(sniff(text.as_bytes()), None, "{text}");
    }
}

/// The recorded incidents stand beside the crate; elsewhere there is nothing to compare with.
#[test]
fn recorded_configurations() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = if corpus.is_dir() {
        corpus
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus")
    };
    let Ok(scenarios) = std::fs::read_dir(&corpus) else {
        eprintln!("skipped: no recorded incidents beside the crate");
        return;
    };
    let mut configs = 0;
    for file in scenarios
        .flatten()
        .filter_map(|s| std::fs::read_dir(s.path()).ok())
        .flat_map(|d| d.flatten())
    {
        let path = file.path();
        let name = file.file_name().to_string_lossy().into_owned();
        let expected = match name.as_str() {
            "nginx.conf" => Some("nginx-conf"),
            "haproxy.cfg" => Some("haproxy-cfg"),
            "lb-attributes.json" => Some("alb-attributes"),
            "envoy.yaml" => Some("envoy-yaml"),
            _ => None,
        };
        let mut head = Vec::new();
        let opened = std::fs::File::open(&path).expect("a file that was listed");
        std::io::Read::read_to_end(
            &mut std::io::Read::take(opened, HEAD_BYTES as u64),
            &mut head,
        )
        .expect("readable");
        assert_eq!(sniff(&head), expected, "{}", path.display());
        let Some(reader) = expected else { continue };
        let summary = read(SourceId(0), reader, &head);
        let idle = summary
            .settings
            .iter()
            .flat_map(|s| &s.routes)
            .any(|r| r.timeouts.iter().any(|t| t.kind == TimeoutKind::Idle));
        assert!(idle, "{}: {summary:?}", path.display());
        assert!(
            summary.anomalies.is_empty(),
            "{}: {summary:?}",
            path.display()
        );
        configs += 1;
    }
    assert!(configs > 0, "no configuration in {}", corpus.display());
}

fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "server",
        "http",
        "location",
        "include *;",
        "{",
        "}",
        ";",
        "\n",
        " ",
        "  ",
        "- ",
        ":",
        ": ",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "\\",
        "$",
        "${",
        "#",
        "# configuration file /a:\n",
        "/ws",
        "proxy_pass",
        "proxy_read_timeout 9",
        "static_resources:\n",
        "match: ",
        "route: ",
        "routes:\n",
        "é",
        "frontend f\n",
        "backend f\n",
        "timeout client 1s\n",
        "use_backend f if { path_beg /x }\n",
        "x_by_lua_block",
        "filter_chains:\n",
        "virtual_hosts:\n",
        "route_config:\n",
        "|",
        "&a ",
        "!t ",
    ]);
    prop::collection::vec(pieces, 0..80).prop_map(|p| p.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = sniff(&bytes);
        for r in READERS {
            let s = read(SourceId(0), r.name, &bytes);
            prop_assert!(s.odd <= s.lines);
        }
    }

    #[test]
    fn any_words_of_a_configuration_are_read_without_a_panic(text in soup()) {
        let _ = sniff(text.as_bytes());
        for r in READERS {
            let s = read(SourceId(0), r.name, text.as_bytes());
            let last = s.lines + 1;
            prop_assert!(s.anomalies.iter().all(|a| a.first_record <= last));
        }
    }
}
