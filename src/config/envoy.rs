//! An Envoy bootstrap or listener configuration (YAML or JSON) -> time-outs, upgrades and clusters of each route.

use super::ConfigSummary;
use super::units::duration;
use super::yaml::{self, Node, Value};
use crate::model::{
    HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind, UpgradeSetting,
    add_anomaly,
};

pub(super) fn fits(text: &str) -> bool {
    let has = |what: &str| text.contains(what);
    let shaped = has("static_resources")
        || has("filter_chains")
        || has("load_assignment")
        || has("virtual_hosts");
    shaped && (has("envoy.") || has("socket_address") || has("lb_endpoints")) && has(":")
}

/// Defaults of `HttpConnectionManager.stream_idle_timeout`, `RouteAction.timeout`, `Cluster.connect_timeout`, `TcpProxy.idle_timeout`.
const STREAM_IDLE_S: i64 = 300;
const ROUTE_S: i64 = 15;
const CONNECT_S: i64 = 5;
const TCP_IDLE_S: i64 = 3600;

struct Cluster<'a> {
    name: &'a str,
    connect: Option<(i64, u64)>,
    addresses: Vec<String>,
}

/// A duration and its line; `None` also for what is no duration.
fn time(node: Option<&Node>) -> Option<(i64, u64)> {
    let node = node?;
    Some((duration(node.text()?, SECOND_NS)?, node.line))
}

fn address(node: &Node) -> Option<String> {
    let socket = node.get("socket_address")?;
    Some(format!(
        "{}:{}",
        socket.get("address")?.text()?,
        socket.get("port_value")?.text()?
    ))
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let (root, odd) = yaml::parse(text);
    if let Some((first, count)) = odd {
        summary.odd += count;
        add_anomaly(
            &mut summary.anomalies,
            "odd-yaml",
            count,
            first,
            "lines of YAML that were not understood",
        );
    }
    let mut clusters = Vec::new();
    let mut listeners: Vec<&Node> = Vec::new();
    root.walk(&mut |node| {
        if let Some(list) = node.get("clusters") {
            clusters.extend(list.items().iter().filter_map(cluster));
        }
        if let Some(list) = node.get("listeners") {
            listeners.extend(list.items());
        }
    });
    // A file that is one listener, or only routes.
    if listeners.is_empty() {
        listeners.push(&root);
    }
    let mut settings = HopSettings {
        source,
        hop: HopKind::Envoy,
        listen: Vec::new(),
        routes: Vec::new(),
    };
    for listener in listeners {
        settings
            .listen
            .extend(listener.get("address").and_then(address));
        listener.walk(&mut |node| {
            if node.get("route_config").is_some()
                || node.get("rds").is_some() && node.get("http_filters").is_some()
            {
                http(node, &clusters, &mut settings.routes);
            } else if node
                .get("@type")
                .and_then(Node::text)
                .is_some_and(|t| t.ends_with("tcp_proxy.v3.TcpProxy"))
            {
                settings.routes.push(tcp(node, &clusters));
            }
        });
    }
    if !settings.routes.is_empty() || !settings.listen.is_empty() {
        summary.settings.push(settings);
    }
}

fn cluster(node: &Node) -> Option<Cluster<'_>> {
    let mut addresses = Vec::new();
    if let Some(assignment) = node.get("load_assignment").or_else(|| node.get("hosts")) {
        assignment.walk(&mut |n| addresses.extend(address(n)));
    }
    Some(Cluster {
        name: node.get("name")?.text()?,
        connect: time(node.get("connect_timeout")),
        addresses,
    })
}

fn websocket(node: Option<&Node>) -> bool {
    node.is_some_and(|n| {
        n.items().iter().any(|u| {
            u.get("upgrade_type")
                .and_then(Node::text)
                .is_some_and(|t| t.eq_ignore_ascii_case("websocket"))
                && u.get("enabled").and_then(Node::text) != Some("false")
        })
    })
}

/// The routes of one HTTP connection manager.
fn http(manager: &Node, clusters: &[Cluster<'_>], routes: &mut Vec<Route>) {
    let everywhere = websocket(manager.get("upgrade_configs"));
    let hosts = manager
        .at(&["route_config", "virtual_hosts"])
        .map(Node::items)
        .unwrap_or_default();
    for route in hosts
        .iter()
        .flat_map(|h| h.get("routes").map(Node::items).unwrap_or_default())
    {
        let (Some(matched), Some(action)) = (route.get("match"), route.get("route")) else {
            continue;
        };
        let text = |key: &str| matched.get(key).and_then(Node::text).map(str::to_owned);
        let (prefix, exact) = match (
            text("prefix").or_else(|| text("path_separated_prefix")),
            text("path"),
        ) {
            (Some(prefix), _) => (prefix, false),
            (None, Some(path)) => (path, true),
            (None, None) => (String::new(), false),
        };
        let prefix = if prefix == "/" && !exact {
            String::new()
        } else {
            prefix
        };
        let name = action.get("cluster").and_then(Node::text).unwrap_or("");
        let cluster = clusters.iter().find(|c| c.name == name);
        let upgraded = everywhere || websocket(action.get("upgrade_configs"));
        let shown = if prefix.is_empty() {
            "/"
        } else {
            prefix.as_str()
        };
        routes.push(Route {
            name: format!("route {shown} -> {name}"),
            prefix,
            exact,
            line: Some(route.line),
            timeouts: timeouts(manager, action, cluster),
            upstreams: cluster.map(|c| c.addresses.clone()).unwrap_or_default(),
            // Without `upgrade_configs` Envoy answers an upgrade with 403 itself.
            upgrade: Some(UpgradeSetting {
                upgrade_header: upgraded,
                connection_header: upgraded,
                http_11: true,
                line: route.line,
            }),
        });
    }
}

fn timeouts(manager: &Node, action: &Node, cluster: Option<&Cluster<'_>>) -> Vec<Timeout> {
    let mut all = Vec::new();
    // Zero switches a time-out off.
    let mut add = |kind, directive: &str, value: Option<(i64, u64)>, default_s: Option<i64>| {
        let (value_ns, line) = match (value, default_s) {
            (Some((ns, line)), _) => (ns, Some(line)),
            (None, Some(s)) => (s * SECOND_NS, None),
            (None, None) => return,
        };
        if value_ns > 0 {
            all.push(Timeout {
                kind,
                directive: directive.to_owned(),
                value_ns,
                line,
            });
        }
    };
    let own = time(action.get("idle_timeout"));
    if own.is_some() {
        add(TimeoutKind::Idle, "idle_timeout", own, None);
    } else {
        add(
            TimeoutKind::Idle,
            "stream_idle_timeout",
            time(manager.get("stream_idle_timeout")),
            Some(STREAM_IDLE_S),
        );
    }
    add(
        TimeoutKind::Handshake,
        "timeout",
        time(action.get("timeout")),
        Some(ROUTE_S),
    );
    add(
        TimeoutKind::Connect,
        "connect_timeout",
        cluster.and_then(|c| c.connect),
        Some(CONNECT_S),
    );
    let life = time(action.at(&["max_stream_duration", "max_stream_duration"]))
        .or_else(|| time(manager.at(&["common_http_protocol_options", "max_stream_duration"])));
    add(TimeoutKind::Lifetime, "max_stream_duration", life, None);
    all
}

fn tcp(proxy: &Node, clusters: &[Cluster<'_>]) -> Route {
    let name = proxy.get("cluster").and_then(Node::text).unwrap_or("");
    let cluster = clusters.iter().find(|c| c.name == name);
    let idle = time(proxy.get("idle_timeout"));
    let mut timeouts = vec![Timeout {
        kind: TimeoutKind::Idle,
        directive: "idle_timeout".to_owned(),
        value_ns: idle.map_or(TCP_IDLE_S * SECOND_NS, |(ns, _)| ns),
        line: idle.map(|(_, line)| line),
    }];
    timeouts.retain(|t| t.value_ns > 0);
    if let Some((value_ns, line)) = time(proxy.get("max_downstream_connection_duration")) {
        let directive = "max_downstream_connection_duration".to_owned();
        timeouts.push(Timeout {
            kind: TimeoutKind::Lifetime,
            directive,
            value_ns,
            line: Some(line),
        });
    }
    let line = match &proxy.value {
        Value::Map(_) => Some(proxy.line),
        _ => None,
    };
    Route {
        prefix: String::new(),
        exact: false,
        name: format!("tcp_proxy -> {name}"),
        line,
        timeouts,
        upstreams: cluster.map(|c| c.addresses.clone()).unwrap_or_default(),
        upgrade: None,
    }
}
