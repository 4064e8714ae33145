//! An Envoy configuration (YAML, JSON, the admin interface's dump) -> one route per route entry, with the time-outs and the upgrades that hold there.

use super::yaml::{Node, Value, parse};
use super::{ConfigSummary, duration, literal_prefix};
use crate::model::{
    HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind, UpgradeSetting,
};
use std::collections::BTreeMap;

pub(super) fn sniff(text: &str) -> bool {
    if text.trim_start().starts_with('{') {
        // A bootstrap in JSON, or what the admin interface's /config_dump prints.
        let quoted = ["filter_chains", "virtual_hosts", "load_assignment"];
        return text.contains("envoy.")
            && quoted.iter().any(|w| text.contains(&format!("\"{w}\"")));
    }
    let mut lines = text
        .lines()
        .map(str::trim_end)
        .filter(|l| !l.is_empty() && !l.starts_with('#') && *l != "---");
    let Some(first) = lines.next() else {
        return false;
    };
    let first = first.trim_start().trim_start_matches("- ");
    let key = first.split(':').next().unwrap_or("");
    let is_key = first.contains(':')
        && !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_\"'@.-".contains(c))
        && (first.ends_with(':') || first.contains(": "));
    let has = |wanted: &str| {
        text.lines().any(|l| {
            let l = l.trim_start().trim_start_matches("- ");
            l.strip_prefix(wanted).is_some_and(|r| r.starts_with(':'))
        })
    };
    let structure = [
        "static_resources",
        "filter_chains",
        "virtual_hosts",
        "load_assignment",
    ];
    let envoys = text.contains("envoy.") || has("lb_endpoints") || has("route_config");
    is_key && envoys && structure.iter().any(|s| has(s))
}

/// What the parts of the file that are read later are matched with.
#[derive(Default)]
struct Clusters(BTreeMap<String, (Vec<String>, Option<Timeout>)>);

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let Some(tree) = parse(text) else {
        return;
    };
    let mut clusters = Clusters::default();
    let mut listen = Vec::new();
    let mut managers = Vec::new();
    let mut named: BTreeMap<&str, &Node> = BTreeMap::new();
    let mut todo = vec![&tree];
    while let Some(node) = todo.pop() {
        if node.get("load_assignment").is_some() || node.get("connect_timeout").is_some() {
            cluster(node, &mut clusters, summary);
        }
        if node.get("filter_chains").is_some() || node.get("default_filter_chain").is_some() {
            listen.extend(node.get("address").and_then(address));
        }
        let manager = node.get("route_config").is_some() && !is_dumped_table(node)
            || node.get("rds").is_some()
            || node
                .get("@type")
                .and_then(Node::text)
                .is_some_and(|t| t.ends_with("HttpConnectionManager"));
        if manager {
            managers.push(node);
        }
        if let (Some(name), Some(_)) = (
            node.get("name").and_then(Node::text),
            node.get("virtual_hosts"),
        ) {
            named.entry(name).or_insert(node);
        }
        todo.extend(node.children().into_iter().rev());
    }
    let mut routes = Vec::new();
    for manager in managers {
        let elsewhere = manager
            .at(&["rds", "route_config_name"])
            .and_then(Node::text)
            .and_then(|name| named.get(name).copied());
        let table = manager
            .get("route_config")
            .or(elsewhere)
            .and_then(|t| t.get("virtual_hosts"));
        Manager::new(manager, summary).routes(manager, table, &clusters, &mut routes, summary);
    }
    if !listen.is_empty() || !routes.is_empty() {
        summary.settings.push(HopSettings {
            source,
            hop: HopKind::Envoy,
            listen,
            routes,
        });
    }
}

/// A route table as the admin interface lists it: no manager stands around it.
fn is_dumped_table(node: &Node) -> bool {
    const BESIDE: &[&str] = &[
        "route_config",
        "version_info",
        "last_updated",
        "error_state",
        "client_status",
    ];
    match &node.value {
        Value::Map(m) => m.iter().all(|(key, _)| BESIDE.contains(&key.as_str())),
        _ => false,
    }
}

fn address(node: &Node) -> Option<String> {
    let socket = node.get("socket_address")?;
    let host = socket.get("address")?.text()?;
    let port = socket.get("port_value")?.text()?;
    Some(if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    })
}

fn cluster(node: &Node, clusters: &mut Clusters, summary: &mut ConfigSummary) {
    let Some(name) = node.get("name").and_then(Node::text) else {
        return;
    };
    let mut endpoints = Vec::new();
    let mut todo: Vec<&Node> = node.get("load_assignment").into_iter().collect();
    while let Some(n) = todo.pop() {
        endpoints.extend(n.get("address").and_then(address));
        todo.extend(n.children().into_iter().rev());
    }
    let connect = Limit::of(node.get("connect_timeout"), summary).timeout(
        TimeoutKind::Connect,
        "connect_timeout",
        Some(5 * SECOND_NS),
    );
    clusters.0.insert(name.to_owned(), (endpoints, connect));
}

/// A duration setting: unset, not a duration, off (zero), or a value with its line.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Unset,
    Unknown,
    Off,
    At(i64, u64),
}

impl Limit {
    fn of(node: Option<&Node>, summary: &mut ConfigSummary) -> Self {
        let Some(node) = node else {
            return Self::Unset;
        };
        match node.text().and_then(duration::envoy) {
            Some(0) => Self::Off,
            Some(ns) => Self::At(ns, node.line),
            None => {
                summary.bad_value(node.line);
                Self::Unknown
            }
        }
    }

    const fn or(self, outer: Self) -> Self {
        match self {
            Self::Unset => outer,
            set => set,
        }
    }

    fn timeout(
        self,
        kind: TimeoutKind,
        directive: &str,
        default_ns: Option<i64>,
    ) -> Option<Timeout> {
        let (value_ns, line) = match self {
            Self::At(ns, line) => (ns, Some(line)),
            Self::Unset => (default_ns?, None),
            Self::Unknown | Self::Off => return None,
        };
        Some(Timeout {
            kind,
            directive: directive.to_owned(),
            value_ns,
            line,
        })
    }
}

/// Whether WebSocket is switched on in an `upgrade_configs`, and the line that says so; `None` where it is not named.
fn websocket(node: Option<&Node>) -> Option<(bool, u64)> {
    node?.list().iter().find_map(|c| {
        let kind = c.get("upgrade_type")?.text()?;
        if !kind.eq_ignore_ascii_case("websocket") {
            return None;
        }
        let on = c.get("enabled").and_then(Node::text) != Some("false");
        Some((on, c.line))
    })
}

struct Manager {
    idle: Limit,
    lifetime: Limit,
    upgrade: Option<(bool, u64)>,
}

impl Manager {
    fn new(node: &Node, summary: &mut ConfigSummary) -> Self {
        let common = node.get("common_http_protocol_options");
        let stream = common
            .and_then(|c| c.get("max_stream_duration"))
            .or_else(|| node.get("max_stream_duration"));
        Self {
            idle: Limit::of(node.get("stream_idle_timeout"), summary),
            lifetime: Limit::of(stream, summary),
            upgrade: websocket(node.get("upgrade_configs")),
        }
    }

    fn routes(
        &self,
        manager: &Node,
        table: Option<&Node>,
        clusters: &Clusters,
        out: &mut Vec<Route>,
        summary: &mut ConfigSummary,
    ) {
        let Some(hosts) = table else {
            // Its routes come over the network, but these limits hold for them.
            let timeouts = [
                self.idle.timeout(
                    TimeoutKind::Idle,
                    "stream_idle_timeout",
                    Some(300 * SECOND_NS),
                ),
                self.lifetime
                    .timeout(TimeoutKind::Lifetime, "max_stream_duration", None),
            ];
            out.push(Route {
                prefix: String::new(),
                exact: false,
                name: "http_connection_manager".to_owned(),
                line: Some(manager.line),
                timeouts: timeouts.into_iter().flatten().collect(),
                upstreams: Vec::new(),
                upgrade: None,
            });
            return;
        };
        for host in hosts.list() {
            // Envoy takes the first route that fits: what an earlier one always takes is never reached.
            let mut taken: Vec<(String, bool)> = Vec::new();
            for entry in host.get("routes").map_or(&[][..], Node::list) {
                let Some(m) = entry.get("match") else {
                    continue;
                };
                let (prefix, exact, shown) = matcher(m);
                let reached = !taken.iter().any(|(p, e)| {
                    if *e {
                        exact && *p == prefix
                    } else {
                        prefix.starts_with(p)
                    }
                });
                let conditions = ["headers", "query_parameters", "runtime_fraction", "grpc"]
                    .iter()
                    .any(|k| m.get(k).is_some());
                let upgrades = m.get("headers").is_some_and(mentions_upgrade);
                // A regular expression takes only part of what its fixed start names.
                let sure = m.get("safe_regex").is_none() && (!conditions || (upgrades && reached));
                if sure {
                    taken.push((prefix.clone(), exact));
                }
                let Some(action) = entry.get("route").filter(|_| reached) else {
                    continue;
                };
                let name = format!("route {shown}");
                out.push(self.route(entry, action, (prefix, exact, name), clusters, summary));
            }
        }
    }

    fn route(
        &self,
        entry: &Node,
        action: &Node,
        (prefix, exact, name): (String, bool, String),
        clusters: &Clusters,
        summary: &mut ConfigSummary,
    ) -> Route {
        let own_idle = Limit::of(action.get("idle_timeout"), summary);
        let idle_name = if matches!(own_idle, Limit::Unset) {
            "stream_idle_timeout"
        } else {
            "idle_timeout"
        };
        let own_life = Limit::of(
            action.at(&["max_stream_duration", "max_stream_duration"]),
            summary,
        );
        let answer = Limit::of(action.get("timeout"), summary);
        let mut names: Vec<&str> = Vec::new();
        names.extend(action.get("cluster").and_then(Node::text));
        if let Some(weighted) = action.at(&["weighted_clusters", "clusters"]) {
            let list = weighted.list().iter();
            names.extend(list.filter_map(|c| c.get("name").and_then(Node::text)));
        }
        let mut upstreams = Vec::new();
        let mut connect = None;
        for name in names {
            if let Some((endpoints, timeout)) = clusters.0.get(name) {
                upstreams.extend(endpoints.iter().cloned());
                connect = connect.or_else(|| timeout.clone());
            }
        }
        let timeouts = [
            own_idle
                .or(self.idle)
                .timeout(TimeoutKind::Idle, idle_name, Some(300 * SECOND_NS)),
            answer.timeout(TimeoutKind::Handshake, "timeout", Some(15 * SECOND_NS)),
            connect,
            own_life
                .or(self.lifetime)
                .timeout(TimeoutKind::Lifetime, "max_stream_duration", None),
        ];
        let own = websocket(action.get("upgrade_configs"));
        let on = own.or(self.upgrade);
        let enabled = on.is_some_and(|u| u.0);
        Route {
            prefix,
            exact,
            name,
            line: Some(entry.line),
            timeouts: timeouts.into_iter().flatten().collect(),
            upstreams,
            upgrade: Some(UpgradeSetting {
                upgrade_header: enabled,
                connection_header: enabled,
                // Envoy speaks HTTP/1.1 to its upstreams with or without upgrades.
                http_11: true,
                line: on.filter(|u| !u.0).map_or(entry.line, |u| u.1),
            }),
        }
    }
}

/// Prefix, exact, and how the file spells it.
fn matcher(m: &Node) -> (String, bool, String) {
    let text = |key: &str| m.get(key).and_then(Node::text).map(str::to_owned);
    if let Some(path) = text("path") {
        let shown = format!("= {path}");
        return (path, true, shown);
    }
    if let Some(prefix) = text("prefix").or_else(|| text("path_separated_prefix")) {
        let shown = prefix.clone();
        return (prefix, false, shown);
    }
    match m.at(&["safe_regex", "regex"]).and_then(Node::text) {
        // Envoy's expressions match the whole path.
        Some(regex) => (
            literal_prefix(&format!("^{}", regex.trim_start_matches('^'))),
            false,
            format!("~ {regex}"),
        ),
        None => (String::new(), false, "any".to_owned()),
    }
}

fn mentions_upgrade(node: &Node) -> bool {
    match &node.value {
        Value::Text(t) => t.eq_ignore_ascii_case("upgrade") || t.eq_ignore_ascii_case("websocket"),
        _ => node.children().into_iter().any(mentions_upgrade),
    }
}
