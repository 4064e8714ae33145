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
fn aws() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "a listener's idle time-out is the NLB's; a target group drains",
            "[{\"Key\": \"tcp.idle_timeout.seconds\",\n \"Value\": \"600\"},\n{\"Key\": \"deregistration_delay.timeout_seconds\", \"Value\": \"300\"}]",
            &[
                "nlb ",
                " [listener] idle 600000ms tcp.idle_timeout.seconds:1",
                "alb ",
                " [target group] drain 300000ms deregistration_delay.timeout_seconds:3",
            ],
        ),
        (
            "a Classic Load Balancer",
            "{\"LoadBalancerAttributes\": {\n\"CrossZoneLoadBalancing\": {\"Enabled\": false},\n\"ConnectionSettings\": {\n\"IdleTimeout\": 60 } } }",
            &[
                "elb ",
                " [load balancer] idle 60000ms ConnectionSettings.IdleTimeout:4",
            ],
        ),
        (
            "listeners name no time-out",
            "{\"Listeners\":[{\"ListenerArn\":\"arn:x\",\"Port\":443}]}",
            &["! no-timeouts@0"],
        ),
        (
            "other attributes are known and set nothing",
            "{\"Attributes\":[{\"Key\":\"routing.http2.enabled\",\"Value\":\"true\"}]}",
            &[],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn traefik() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "static YAML: entry points; a stop gives live connections graceTimeOut",
            "entryPoints:\n  web:\n    address: \":80\"\n    transport:\n      lifeCycle:\n        graceTimeOut: 30\n  tls:\n    address: :443/tcp\nlog:\n  level: INFO\n",
            &[
                "traefik :80,:443",
                " [entry point web] drain 30000ms graceTimeOut:6",
                " [entry point tls] drain 10000ms graceTimeOut:default",
            ],
        ),
        (
            "static TOML",
            "[entryPoints]\n  [entryPoints.web]\n  address = \":80\"\n  [entryPoints.web.transport.lifeCycle]\n    graceTimeOut = \"1m30s\"\n",
            &[
                "traefik :80",
                " [entry point web] drain 90000ms graceTimeOut:5",
            ],
        ),
        (
            "routers, services, regular expressions, a bad value",
            "http:\n  routers:\n    chat:\n      rule: \"Host(`x`) && (PathPrefix(`/ws`) || Path(`/live`))\"\n      service: app\n    rest:\n      rule: Host(`y`)\n      service: other@docker\n  services:\n    app:\n      loadBalancer:\n        servers:\n          - url: http://10.0.0.1:8080/\n          - url: \"http://10.0.0.2:8080\"\n        serversTransport: slow\n  serversTransports:\n    slow:\n      forwardingTimeouts:\n        dialTimeout: soon\n",
            &[
                "traefik ",
                "/ws [router chat] -> 10.0.0.1:8080,10.0.0.2:8080",
                "=/live [router chat] -> 10.0.0.1:8080,10.0.0.2:8080",
                " [router rest]",
                "! bad-value@19",
            ],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn caddy() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "global options, a matcher, a snippet, handle, limits of streams",
            "{\n\temail a@example.com\n}\n(limits) {\n\treverse_proxy app:9000 {\n\t\tstream_timeout 24h\n\t\tstream_close_delay 5m\n\t}\n}\nchat.example.com, www.example.com {\n\t@ws {\n\t\tpath /ws/* /live\n\t\theader Connection *Upgrade*\n\t}\n\treverse_proxy @ws http://10.0.0.1:8080 {\n\t\ttransport http {\n\t\t\tread_timeout 1h # an idle one\n\t\t}\n\t}\n\thandle /s/* {\n\t\timport limits\n\t}\n\timport sites/*.caddy\n}\n",
            &[
                "caddy chat.example.com,www.example.com",
                "/ws/ [reverse_proxy /ws/] idle 3600000ms read_timeout:17 -> 10.0.0.1:8080",
                "=/live [reverse_proxy /live] idle 3600000ms read_timeout:17 -> 10.0.0.1:8080",
                "/s/ [reverse_proxy /s/] life 86400000ms stream_timeout:6 drain 300000ms stream_close_delay:7 -> app:9000",
                "! include-not-read@23",
            ],
        ),
        (
            "one site without brackets; a bad value",
            "localhost:8080\n\nreverse_proxy /ws* h:1 h:2 {\n  stream_timeout forever\n}\n",
            &[
                "caddy localhost:8080",
                "/ws [reverse_proxy /ws] -> h:1,h:2",
                "! bad-value@4",
            ],
        ),
        (
            "JSON, with a sub-route",
            "{\"apps\": {\"http\": {\"servers\": {\"srv0\": {\"listen\": [\":443\"], \"routes\": [\n{\"match\": [{\"path\": [\"/ws/*\"]}], \"handle\": [{\"handler\": \"subroute\", \"routes\": [{\"handle\": [\n{\"handler\": \"reverse_proxy\", \"stream_timeout\": 3600000000000,\n\"upstreams\": [{\"dial\": \"h:1\"}]}]}]}]}]}}}}}",
            &[
                "caddy :443",
                "/ws/ [reverse_proxy /ws/] life 3600000ms stream_timeout:3 -> h:1",
            ],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn apache() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "a tunnel by rewriting; the longer of the two sides' time-outs",
            "ServerRoot \"/etc/apache2\"\nListen 80\nTimeout 6\n<VirtualHost *:80>\n    ProxyTimeout 4\n    RewriteEngine On\n    RewriteCond %{HTTP:Upgrade} websocket [NC]\n    RewriteRule ^/?(.*) \"ws://10.0.0.3:3000/$1\" [P,L]\n    ProxyPass / http://10.0.0.3:3000/\n</VirtualHost>\n",
            &[
                "apache *:80",
                "/ [ProxyPass /] idle 6000ms Timeout:3 up+++@8 -> 10.0.0.3:3000",
            ],
        ),
        (
            "one path passes the upgrade on, one does not, one is not proxied; a Location",
            "<VirtualHost *:443>\nProxyTimeout 8\nProxyPass \"/ws\" \"http://h:1/ws\" upgrade=websocket timeout=2mi\nProxyPass \"/live\" \"http://h:1/live\"\nProxyPass /static !\n<Location /chat>\nProxyPass wss://h:2/chat\n</Location>\nProxyTimeout soon\nInclude more/*.conf\n</VirtualHost>\n",
            &[
                "apache *:443",
                "/ws [ProxyPass /ws] idle 120000ms ProxyPass timeout=:3 up+++@3 -> h:1",
                "/live [ProxyPass /live] idle 60000ms Timeout:default up--+@4 -> h:1",
                "/chat [ProxyPass /chat] idle 60000ms Timeout:default up+++@7 -> h:2",
                "! bad-value@9",
                "! include-not-read@10",
            ],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn kubernetes() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "two documents: an Ingress of nginx with its own time-out, one without",
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: chat\n  namespace: shop\n  annotations:\n    nginx.ingress.kubernetes.io/proxy-read-timeout: \"3600\"\nspec:\n  ingressClassName: nginx\n  rules:\n    - host: x\n      http:\n        paths:\n          - path: /ws\n            pathType: Prefix\n            backend:\n              service:\n                name: app\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: rest\nspec:\n  ingressClassName: nginx-internal\n  defaultBackend: {}\n",
            &[
                "nginx ",
                "/ws [Ingress shop/chat /ws] idle 3600000ms nginx.ingress.kubernetes.io/proxy-read-timeout:7 -> app",
                "nginx ",
                " [Ingress rest] idle 60000ms nginx.ingress.kubernetes.io/proxy-read-timeout:default",
            ],
        ),
        (
            "as kubectl prints a list in JSON; AWS's controller; a class nobody knows",
            "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"Ingress\", \"metadata\": {\"name\": \"a\", \"annotations\": {\n\"alb.ingress.kubernetes.io/load-balancer-attributes\": \"routing.http2.enabled=true,idle_timeout.timeout_seconds=4000\"}}, \"spec\": {}},\n{\"kind\": \"Ingress\", \"metadata\": {\"name\": \"b\"}, \"spec\": {\"ingressClassName\": \"own\"}}]}",
            &[
                "alb ",
                " [Ingress a] idle 4000000ms idle_timeout.timeout_seconds:3",
                "! unknown-ingress-class@4",
            ],
        ),
        (
            "ingress-nginx's ConfigMap",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ingress-nginx-controller }\ndata:\n  proxy-read-timeout: \"120\"\n  worker-shutdown-timeout: 240s\n",
            &[
                "nginx ",
                " [ConfigMap ingress-nginx-controller] idle 120000ms proxy-read-timeout:5 drain 240000ms worker-shutdown-timeout:6",
            ],
        ),
        (
            "HAProxy's controller; a Service with a Classic Load Balancer; Google's backend time-out is a longest life",
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: h\n  annotations:\n    haproxy.org/timeout-tunnel: 1h\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: lb\n  annotations:\n    service.beta.kubernetes.io/aws-load-balancer-connection-idle-timeout: \"soon\"\n---\napiVersion: cloud.google.com/v1\nkind: BackendConfig\nmetadata:\n  name: g\nspec:\n  timeoutSec: 86400\n",
            &[
                "haproxy ",
                " [Ingress h] idle 3600000ms haproxy.org/timeout-tunnel:6",
                "gcp ",
                " [BackendConfig g] life 86400000ms timeoutSec:20",
                "! bad-value@13",
            ],
        ),
    ];
    for (name, text, expected) in table {
        check(name, text, expected);
    }
}

#[test]
fn envoy_as_its_admin_interface_dumps_it() {
    check(
        "routes by name",
        "{\"configs\": [\n{\"@type\": \"type.googleapis.com/envoy.admin.v3.ListenersConfigDump\", \"dynamic_listeners\": [{\"active_state\": {\"listener\": {\n\"address\": {\"socket_address\": {\"address\": \"0.0.0.0\", \"port_value\": 15006}},\n\"filter_chains\": [{\"filters\": [{\"name\": \"envoy.filters.network.http_connection_manager\", \"typed_config\": {\n\"rds\": {\"route_config_name\": \"in\"}, \"stream_idle_timeout\": \"90s\",\n\"upgrade_configs\": [{\"upgrade_type\": \"websocket\"}]}}]}]}}}]},\n{\"@type\": \"type.googleapis.com/envoy.admin.v3.RoutesConfigDump\", \"dynamic_route_configs\": [{\"route_config\": {\"name\": \"in\",\n\"virtual_hosts\": [{\"name\": \"a\", \"routes\": [\n{\"match\": {\"prefix\": \"/ws\"}, \"route\": {\"cluster\": \"c\"}}]}]}}]}]}",
        &[
            "envoy 0.0.0.0:15006",
            "/ws [route /ws] idle 90000ms stream_idle_timeout:5 up+++@9",
        ],
    );
}

#[test]
fn goes_durations() {
    for (text, expected) in [
        ("90s", Some(90_000)),
        ("1h15m30.5s", Some(4_530_500)),
        ("1.5h", Some(5_400_000)),
        ("2d", Some(172_800_000)),
        ("0", Some(0)),
        ("5", None),
        ("s", None),
        ("", None),
        ("99999999999999h", None),
    ] {
        assert_eq!(
            duration::go(text).map(|n| n / 1_000_000),
            expected,
            "{text}"
        );
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
        "services:\n  proxy:\n    image: traefik:v3\n    command: --entrypoints.web.address=:80\n",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: app }\nspec: {}\n",
        "{\"apiVersion\": \"v1\", \"items\": [{\"kind\": \"Event\", \"reason\": \"Sync\", \"involvedObject\": {\"kind\": \"Ingress\"}}], \"kind\": \"List\"}",
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  colour: red\n",
        "#!/bin/sh\nfor x in a b; do\n  reverse_proxy $x\ndone\n",
        "{\"level\":\"info\",\"msg\":\"adapted\",\"apps\":{}}\n",
        "[{\"Key\": 1}]",
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
