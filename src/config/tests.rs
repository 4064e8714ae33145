//! Configurations in named situations, those of the recorded incidents, and text that is none.

use super::*;
use crate::model::{HopKind, Route, TimeoutKind};
use proptest::prelude::*;
use std::path::Path;

fn settings(text: &str, reader: &str) -> Vec<HopSettings> {
    assert_eq!(sniff(text.as_bytes()), Some(reader), "{text}");
    let summary = read(SourceId(1), reader, text.as_bytes());
    assert_eq!(summary.odd, 0, "{:?}", summary.anomalies);
    summary.settings
}

fn route<'a>(all: &'a [HopSettings], uri: &str) -> &'a Route {
    all.first().and_then(|s| s.route(uri)).expect(uri)
}

fn timeout(route: &Route, kind: TimeoutKind) -> Option<(&str, i64, Option<u64>)> {
    route
        .timeouts
        .iter()
        .find(|t| t.kind == kind)
        .map(|t| (t.directive.as_str(), t.value_ns / 1_000_000, t.line))
}

const NGINX: &str = r#"worker_shutdown_timeout 8s;
events { worker_connections 20; }
http {
    log_format timed escape=json '$remote_addr [$time_local] '
                     '"$request" $status';
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    map $http_upgrade $never { default close; }
    upstream app { server 192.0.2.1:8080 max_fails=0; server 192.0.2.2; }
    proxy_read_timeout 5m;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    server {
        listen 80;
        listen [::]:443 ssl;
        proxy_http_version 1.1;
        location /inherits { proxy_pass http://app; proxy_read_timeout 1h 30m; }
        location /own {
            proxy_pass http://app/;
            proxy_set_header Host $host;
        }
        location /close {
            proxy_pass https://192.0.2.9;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "close";
        }
        location /mapped { proxy_pass http://app; proxy_set_header Upgrade websocket; proxy_set_header Connection $never; }
        location = /ten { proxy_pass http://app; proxy_http_version 1.0; }
        location ~ ^/re/(a|b)$ { proxy_pass http://$backend; }
        location /files { try_files $uri @late; }
        location @late { proxy_pass http://app; }
        location / { return 200 "hello\n"; }
    }
}
"#;

#[test]
fn nginx_locations() {
    let all = settings(NGINX, "nginx-conf");
    assert_eq!(
        (all.len(), all[0].hop, all[0].listen.as_slice()),
        (
            1,
            HopKind::Nginx,
            &["80".to_owned(), "[::]:443".to_owned()][..]
        )
    );
    let up = |uri: &str| {
        let u = route(&all, uri).upgrade.clone().expect("an upgrade");
        (u.upgrade_header, u.connection_header, u.http_11, u.line)
    };
    assert_eq!(up("/inherits/x?y"), (true, true, true, 16));
    assert_eq!(up("/own"), (false, false, true, 17));
    assert_eq!(up("/close"), (true, false, true, 24));
    assert_eq!(up("/mapped"), (true, false, true, 26));
    assert_eq!(up("/ten"), (true, true, false, 27));
    assert_eq!(
        timeout(route(&all, "/inherits"), TimeoutKind::Idle),
        Some(("proxy_read_timeout", 5_400_000, Some(16)))
    );
    assert_eq!(
        timeout(route(&all, "/own"), TimeoutKind::Idle),
        Some(("proxy_read_timeout", 300_000, Some(9)))
    );
    assert_eq!(
        timeout(route(&all, "/own"), TimeoutKind::Connect),
        Some(("proxy_connect_timeout", 60_000, None))
    );
    assert_eq!(
        timeout(route(&all, "/own"), TimeoutKind::Drain),
        Some(("worker_shutdown_timeout", 8_000, Some(1)))
    );
    assert_eq!(
        route(&all, "/own").upstreams,
        ["192.0.2.1:8080", "192.0.2.2:80"]
    );
    assert_eq!(route(&all, "/close").upstreams, ["192.0.2.9:443"]);
    assert_eq!(route(&all, "/re/a").upstreams, [""; 0]);
    assert_eq!(route(&all, "/files/x").name, "location @late");
    assert!(all[0].route("/other").is_none());
    let formats = read(SourceId(1), "nginx-conf", NGINX.as_bytes()).log_formats;
    assert_eq!(
        formats,
        [(
            "timed".to_owned(),
            "$remote_addr [$time_local] \"$request\" $status".to_owned()
        )]
    );
}

#[test]
fn nginx_dump_with_includes() {
    let text = "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n# configuration file /etc/nginx/nginx.conf:\nhttp {\n  proxy_read_timeout 7s;\n  include conf.d/*.conf;\n}\n\n# configuration file /etc/nginx/conf.d/a.conf:\nserver {\n  listen 81;\n  location /ws { proxy_pass http://192.0.2.1:80; }\n}\n";
    let all = settings(text, "nginx-conf");
    let route = route(&all, "/ws");
    assert_eq!(route.line, Some(11));
    assert_eq!(
        timeout(route, TimeoutKind::Idle),
        Some(("proxy_read_timeout", 7_000, Some(4)))
    );
}

#[test]
fn nginx_faults_are_named() {
    let text = "http {\n include sites/*.conf;\n server {\n  location /ws { proxy_pass http://a\n }\n proxy_read_timeout soon;\n}\n";
    let summary = read(SourceId(1), "nginx-conf", text.as_bytes());
    let kinds: Vec<_> = summary
        .anomalies
        .iter()
        .map(|a| (a.kind.as_str(), a.first_record))
        .collect();
    assert_eq!(kinds, [("missing-include", 2), ("odd-directive", 1)]);
    assert!(summary.odd > 0);
}

#[test]
fn nginx_stream_servers_are_hops_of_their_own() {
    let text = "stream {\n  upstream a { server 192.0.2.1:80; }\n  server { listen 90; proxy_pass a; proxy_timeout 20s; }\n}\n";
    let all = settings(text, "nginx-conf");
    assert_eq!(
        timeout(route(&all, ""), TimeoutKind::Idle),
        Some(("proxy_timeout", 20_000, Some(3)))
    );
    assert_eq!(route(&all, "").upstreams, ["192.0.2.1:80"]);
}

#[test]
fn haproxy_routes() {
    let text = "global\n    maxconn 20\n    hard-stop-after 30s\n\ndefaults\n    mode http\n    timeout connect 3s\n    timeout client 5s\n    timeout server 8000\n\nfrontend fe\n    bind 192.0.2.1:80,:81\n    acl is_ws path_beg -i /ws /socket\n    use_backend be_ws if is_ws\n    use_backend be_up if { hdr(Upgrade) -i WebSocket }\n    default_backend be\n\nbackend be\n    server a 192.0.2.2:80\n\nbackend be_up\n    timeout server 2s\n    server u 192.0.2.4:80\n\nbackend be_ws\n    timeout tunnel 1h\n    server b 192.0.2.3:80 check\n";
    let all = settings(text, "haproxy-cfg");
    assert_eq!(all[0].listen, ["192.0.2.1:80", ":81"]);
    assert_eq!(route(&all, "/ws/1").name, "fe -> be_ws");
    assert_eq!(
        timeout(route(&all, "/socket"), TimeoutKind::Idle),
        Some(("timeout tunnel", 3_600_000, Some(26)))
    );
    assert_eq!(
        timeout(route(&all, "/x"), TimeoutKind::Idle),
        Some(("timeout server", 2_000, Some(22)))
    );
    assert_eq!(
        timeout(&all[0].routes[0], TimeoutKind::Idle),
        Some(("timeout client", 5_000, Some(8)))
    );
    assert_eq!(
        timeout(&all[0].routes[0], TimeoutKind::Drain),
        Some(("hard-stop-after", 30_000, Some(3)))
    );
    assert_eq!(route(&all, "/x").upstreams, ["192.0.2.4:80"]);
}

#[test]
fn alb_attributes() {
    let text = "{\n \"Attributes\": [\n  {\n   \"Key\": \"idle_timeout.timeout_seconds\",\n   \"Value\": \"6\"\n  }\n ]\n}";
    let all = settings(text, "alb-attributes");
    assert_eq!(
        (all[0].hop, timeout(route(&all, "/"), TimeoutKind::Idle)),
        (
            HopKind::Alb,
            Some(("idle_timeout.timeout_seconds", 6_000, Some(5)))
        )
    );
    let all = settings(
        "{\"Attributes\":[{\"Key\":\"routing.http2.enabled\",\"Value\":\"true\"}]}",
        "alb-attributes",
    );
    assert_eq!(
        timeout(route(&all, "/"), TimeoutKind::Idle),
        Some(("idle_timeout.timeout_seconds", 60_000, None))
    );
}

#[test]
fn envoy_routes() {
    let text = "static_resources:\n  listeners:\n  - address: { socket_address: { address: 0.0.0.0, port_value: 80 } }\n    filter_chains:\n    - filters:\n      - name: envoy.filters.network.http_connection_manager\n        typed_config:\n          common_http_protocol_options: { max_stream_duration: 3600s }\n          route_config:\n            virtual_hosts:\n            - name: ws\n              routes:\n              - match: { prefix: \"/ws\" }\n                route:\n                  cluster: app\n                  timeout: 0s\n                  idle_timeout: 1.5s\n                  upgrade_configs:\n                  - upgrade_type: websocket\n              - match: { prefix: \"/\" }\n                route: { cluster: app }\n  clusters:\n  - name: app\n    connect_timeout: 2s\n    load_assignment:\n      endpoints:\n      - lb_endpoints:\n        - endpoint: { address: { socket_address: { address: 192.0.2.4, port_value: 8080 } } }\n";
    let all = settings(text, "envoy-yaml");
    assert_eq!(all[0].listen, ["0.0.0.0:80"]);
    let ws = route(&all, "/ws/1");
    assert_eq!(
        timeout(ws, TimeoutKind::Idle),
        Some(("idle_timeout", 1_500, Some(17)))
    );
    assert_eq!(
        timeout(ws, TimeoutKind::Lifetime),
        Some(("max_stream_duration", 3_600_000, Some(8)))
    );
    assert_eq!(
        (timeout(ws, TimeoutKind::Handshake), ws.upstreams.as_slice()),
        (None, &["192.0.2.4:8080".to_owned()][..])
    );
    assert_eq!(ws.upgrade.as_ref().map(|u| u.upgrade_header), Some(true));
    let rest = route(&all, "/x");
    assert_eq!(
        timeout(rest, TimeoutKind::Idle),
        Some(("stream_idle_timeout", 300_000, None))
    );
    assert_eq!(
        timeout(rest, TimeoutKind::Connect),
        Some(("connect_timeout", 2_000, Some(24)))
    );
    assert_eq!(
        rest.upgrade.as_ref().map(|u| (u.upgrade_header, u.line)),
        Some((false, 20))
    );
}

#[test]
fn what_is_no_configuration_is_none() {
    for text in [
        "",
        "hello",
        "{\"event\":\"connect\",\"time\":1795208316579}\n",
        "2026/11/20 20:49:26 [notice] 11064#11064: exiting\n",
        "Nov 20 21:42:53 lb1 haproxy[1]: Server a/b is DOWN\n",
        "192.0.2.1 - - [20/Nov/2026:20:48:04 +0000] \"GET /x HTTP/1.1\" 101 12 \"-\" \"a\"\n",
        "server listening\nserver closed\nsocket closed { a: 1 }\n",
        "int main() {\n  return 0;\n}\n",
        "{\n \"scenario\": \"a\",\n \"seed\": 1\n}\n",
    ] {
        assert_eq!(sniff(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn configurations_of_the_recorded_incidents() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(corpus) = [
        here.join("../shared/corpus"),
        here.join("../../shared/corpus"),
    ]
    .into_iter()
    .find(|p| p.is_dir()) else {
        eprintln!("no recorded incidents here: skipped");
        return;
    };
    let mut files = 0;
    for scenario in std::fs::read_dir(corpus)
        .expect("a folder")
        .flatten()
        .filter(|s| s.path().is_dir())
    {
        for file in std::fs::read_dir(scenario.path())
            .expect("a folder")
            .flatten()
        {
            let name = file.file_name().to_string_lossy().into_owned();
            let want = match name.as_str() {
                "nginx.conf" => Some("nginx-conf"),
                "haproxy.cfg" => Some("haproxy-cfg"),
                "envoy.yaml" => Some("envoy-yaml"),
                "lb-attributes.json" => Some("alb-attributes"),
                n if n.ends_with(".log") || n == "truth.json" => None,
                _ => continue,
            };
            let text = std::fs::read(file.path()).expect("a file");
            assert_eq!(sniff(&text), want, "{}", file.path().display());
            if let Some(reader) = want {
                let summary = read(SourceId(1), reader, &text);
                assert_eq!(
                    (summary.odd, summary.anomalies.len()),
                    (0, 0),
                    "{}: {:?}",
                    file.path().display(),
                    summary.anomalies
                );
                assert!(
                    summary.settings[0]
                        .routes
                        .iter()
                        .all(|r| r.timeouts.iter().any(|t| t.kind == TimeoutKind::Idle))
                );
                files += 1;
            }
        }
    }
    assert!(files > 40, "{files}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_text_harms(parts in proptest::collection::vec(prop_oneof![
        "[ -~\n]{0,40}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::sample::select(vec!["{", "}", ";", "\n", "'", "\"", "- ", ": ", "  ", "http {", "server {\n", "location /a {\n",
            "include a;\n", "# configuration file /a:\n", "proxy_pass http://a;", "frontend a\n", "use_backend b if { path_beg /x }\n",
            "listeners:\n", "route_config:\n", "[", "]", "{\"Attributes\":[", "\"Key\":", "$", "${", "\\"])
            .prop_map(|s| s.as_bytes().to_vec()),
    ], 0..30)) {
        let text = parts.concat();
        let _ = sniff(&text);
        for reader in READERS {
            let _ = read(SourceId(0), reader.name, &text);
        }
    }
}
