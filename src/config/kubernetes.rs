//! Kubernetes objects that configure a proxy (Ingress, ConfigMap of ingress-nginx, Service, BackendConfig) -> its time-outs.

use super::yaml::{Node, Value, parse};
use super::{ConfigSummary, alb, duration, literal_prefix};
use crate::model::{HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind};

pub(super) fn sniff(text: &str) -> bool {
    text.contains("apiVersion")
        && text.contains("kind")
        && documents(text).iter().flat_map(objects).any(is_known)
}

/// The documents of a file, each with the lines it stands on.
fn documents(text: &str) -> Vec<Node> {
    let mut out = Vec::new();
    let mut part = String::new();
    let mut lines = 0;
    let mut end = |part: &mut String, lines: usize| {
        out.extend(parse(part));
        // The next document's lines count on.
        *part = "\n".repeat(lines);
    };
    for line in text.lines() {
        lines += 1;
        if line.trim_end() == "---" {
            end(&mut part, lines);
        } else {
            part.push_str(line);
            part.push('\n');
        }
    }
    end(&mut part, lines);
    out
}

/// The object itself, or the members of a list of objects.
fn objects(document: &Node) -> Vec<&Node> {
    match document.get("items").map(Node::list) {
        Some(items) if !items.is_empty() => items.iter().collect(),
        _ => vec![document],
    }
}

fn kind(object: &Node) -> &str {
    object.get("kind").and_then(Node::text).unwrap_or_default()
}

fn annotations(object: &Node) -> &[(String, Node)] {
    match object.at(&["metadata", "annotations"]).map(|n| &n.value) {
        Some(Value::Map(m)) => m,
        _ => &[],
    }
}

fn is_known(object: &Node) -> bool {
    match kind(object) {
        "Ingress" => object.get("spec").is_some() || object.get("metadata").is_some(),
        "ConfigMap" => CONFIG_MAP
            .iter()
            .any(|(key, ..)| object.at(&["data", key]).is_some()),
        "Service" => annotations(object).iter().any(|(k, _)| k == CLASSIC_IDLE),
        "BackendConfig" => object.get("spec").is_some(),
        _ => false,
    }
}

/// Idle time-out of the Classic Load Balancer that a Service of type LoadBalancer makes on AWS.
const CLASSIC_IDLE: &str = "service.beta.kubernetes.io/aws-load-balancer-connection-idle-timeout";

type Spelled = fn(&str) -> Option<i64>;

fn seconds(text: &str) -> Option<i64> {
    let number = text.trim().parse::<i64>().ok()?;
    number.checked_mul(SECOND_NS)
}

/// Keys of ingress-nginx's ConfigMap: what they limit, and how their values are spelled.
const CONFIG_MAP: &[(&str, TimeoutKind, Spelled)] = &[
    ("proxy-read-timeout", TimeoutKind::Idle, nginx_or_seconds),
    (
        "proxy-connect-timeout",
        TimeoutKind::Connect,
        nginx_or_seconds,
    ),
    ("proxy-send-timeout", TimeoutKind::Send, nginx_or_seconds),
    (
        "worker-shutdown-timeout",
        TimeoutKind::Drain,
        duration::nginx,
    ),
];

fn nginx_or_seconds(text: &str) -> Option<i64> {
    seconds(text).or_else(|| duration::nginx(text))
}

/// Annotations of an Ingress by the controller that reads them.
const ANNOTATIONS: &[(&str, HopKind, TimeoutKind, Spelled)] = &[
    (
        "nginx.ingress.kubernetes.io/proxy-read-timeout",
        HopKind::Nginx,
        TimeoutKind::Idle,
        nginx_or_seconds,
    ),
    (
        "nginx.ingress.kubernetes.io/proxy-connect-timeout",
        HopKind::Nginx,
        TimeoutKind::Connect,
        nginx_or_seconds,
    ),
    (
        "nginx.ingress.kubernetes.io/proxy-send-timeout",
        HopKind::Nginx,
        TimeoutKind::Send,
        nginx_or_seconds,
    ),
    (
        "nginx.org/proxy-read-timeout",
        HopKind::Nginx,
        TimeoutKind::Idle,
        duration::nginx,
    ),
    (
        "nginx.org/proxy-connect-timeout",
        HopKind::Nginx,
        TimeoutKind::Connect,
        duration::nginx,
    ),
    (
        "haproxy.org/timeout-tunnel",
        HopKind::Haproxy,
        TimeoutKind::Idle,
        duration::haproxy,
    ),
    (
        "haproxy-ingress.github.io/timeout-tunnel",
        HopKind::Haproxy,
        TimeoutKind::Idle,
        duration::haproxy,
    ),
    (
        "haproxy.org/timeout-connect",
        HopKind::Haproxy,
        TimeoutKind::Connect,
        duration::haproxy,
    ),
    (
        "haproxy-ingress.github.io/timeout-connect",
        HopKind::Haproxy,
        TimeoutKind::Connect,
        duration::haproxy,
    ),
];

/// Lists of AWS attributes, comma separated.
const AWS_LISTS: &[&str] = &[
    "alb.ingress.kubernetes.io/load-balancer-attributes",
    "alb.ingress.kubernetes.io/target-group-attributes",
];

/// What each controller does where nobody says anything (ingress-nginx's and AWS's documentation).
const DEFAULTS: &[(HopKind, &str)] = &[
    (
        HopKind::Nginx,
        "nginx.ingress.kubernetes.io/proxy-read-timeout",
    ),
    (HopKind::Alb, "idle_timeout.timeout_seconds"),
];
const DEFAULT_NS: i64 = 60 * SECOND_NS;

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    for document in documents(text) {
        for object in objects(&document) {
            match kind(object) {
                "Ingress" => ingress(source, object, summary),
                "ConfigMap" => config_map(source, object, summary),
                "Service" => service(source, object, summary),
                "BackendConfig" => backend_config(source, object, summary),
                _ => {}
            }
        }
    }
}

/// `Ingress shop/chat`.
fn named(object: &Node) -> String {
    let of = |key: &str| object.at(&["metadata", key]).and_then(Node::text);
    let name = of("name").unwrap_or("without a name");
    match of("namespace") {
        Some(space) => format!("{} {space}/{name}", kind(object)),
        None => format!("{} {name}", kind(object)),
    }
}

fn timeout(
    kind: TimeoutKind,
    directive: &str,
    node: &Node,
    spelled: Spelled,
    summary: &mut ConfigSummary,
) -> Option<Timeout> {
    let Some(value_ns) = node.text().and_then(spelled) else {
        summary.bad_value(node.line);
        return None;
    };
    (value_ns > 0).then(|| Timeout {
        kind,
        directive: directive.to_owned(),
        value_ns,
        line: Some(node.line),
    })
}

fn ingress(source: SourceId, object: &Node, summary: &mut ConfigSummary) {
    let class = object
        .at(&["spec", "ingressClassName"])
        .or_else(|| {
            let all = annotations(object);
            let own = all.iter().find(|(k, _)| k == "kubernetes.io/ingress.class");
            own.map(|(_, n)| n)
        })
        .and_then(Node::text)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let mut found: Vec<(HopKind, Timeout)> = Vec::new();
    for (key, node) in annotations(object) {
        if let Some((name, hop, kind, spelled)) = ANNOTATIONS.iter().find(|a| a.0 == key) {
            found.extend(timeout(*kind, name, node, *spelled, summary).map(|t| (*hop, t)));
        } else if AWS_LISTS.contains(&key.as_str()) {
            found.extend(alb::listed(node, summary));
        }
    }
    let by_prefix = |prefix: &str| {
        annotations(object)
            .iter()
            .any(|(k, _)| k.starts_with(prefix))
    };
    let hop = if class.contains("nginx")
        || by_prefix("nginx.ingress.kubernetes.io/")
        || by_prefix("nginx.org/")
    {
        HopKind::Nginx
    } else if class.contains("haproxy") || by_prefix("haproxy") {
        HopKind::Haproxy
    } else if class == "alb" || by_prefix("alb.ingress.kubernetes.io/") {
        HopKind::Alb
    } else if class.contains("traefik") || by_prefix("traefik.ingress.kubernetes.io/") {
        HopKind::Traefik
    } else {
        summary.note(
            "unknown-ingress-class",
            object.line,
            "an Ingress that names no controller known here; its time-outs are not known",
        );
        return;
    };
    let mut timeouts: Vec<Timeout> = found
        .into_iter()
        .filter(|(of, _)| *of == hop)
        .map(|(_, t)| t)
        .collect();
    let idle = timeouts.iter().any(|t| t.kind == TimeoutKind::Idle);
    if let Some((_, directive)) = DEFAULTS.iter().find(|(of, _)| *of == hop && !idle) {
        timeouts.push(Timeout {
            kind: TimeoutKind::Idle,
            directive: (*directive).to_owned(),
            value_ns: DEFAULT_NS,
            line: None,
        });
    }
    let regex = annotations(object)
        .iter()
        .any(|(k, n)| k == "nginx.ingress.kubernetes.io/use-regex" && n.text() == Some("true"));
    let mut routes = Vec::new();
    for rule in object.at(&["spec", "rules"]).map_or(&[][..], Node::list) {
        for path in rule.at(&["http", "paths"]).map_or(&[][..], Node::list) {
            let text = path.get("path").and_then(Node::text).unwrap_or("/");
            let exact = path.get("pathType").and_then(Node::text) == Some("Exact");
            let prefix = if regex {
                literal_prefix(&format!("^{}", text.trim_start_matches('^')))
            } else {
                text.trim_end_matches('*').to_owned()
            };
            let upstream = path
                .at(&["backend", "service", "name"])
                .and_then(Node::text);
            routes.push(Route {
                prefix,
                exact,
                name: format!("{} {text}", named(object)),
                line: Some(path.line),
                timeouts: timeouts.clone(),
                upstreams: upstream.map(str::to_owned).into_iter().collect(),
                upgrade: None,
            });
        }
    }
    if routes.is_empty() {
        routes.push(whole(object, timeouts));
    }
    push(source, hop, routes, summary);
}

/// All that an object serves.
fn whole(object: &Node, timeouts: Vec<Timeout>) -> Route {
    Route {
        prefix: String::new(),
        exact: false,
        name: named(object),
        line: Some(object.line),
        timeouts,
        upstreams: Vec::new(),
        upgrade: None,
    }
}

fn push(source: SourceId, hop: HopKind, routes: Vec<Route>, summary: &mut ConfigSummary) {
    summary.settings.push(HopSettings {
        source,
        hop,
        listen: Vec::new(),
        routes,
    });
}

fn config_map(source: SourceId, object: &Node, summary: &mut ConfigSummary) {
    let mut timeouts = Vec::new();
    for (key, kind, spelled) in CONFIG_MAP {
        if let Some(node) = object.at(&["data", key]) {
            timeouts.extend(timeout(*kind, key, node, *spelled, summary));
        }
    }
    if !timeouts.is_empty() {
        push(
            source,
            HopKind::Nginx,
            vec![whole(object, timeouts)],
            summary,
        );
    }
}

fn service(source: SourceId, object: &Node, summary: &mut ConfigSummary) {
    let idle = annotations(object).iter().find(|(k, _)| k == CLASSIC_IDLE);
    let Some((_, node)) = idle else { return };
    if let Some(t) = timeout(TimeoutKind::Idle, CLASSIC_IDLE, node, seconds, summary) {
        push(source, HopKind::Elb, vec![whole(object, vec![t])], summary);
    }
}

/// For WebSockets, `timeoutSec` of a Google Cloud backend is the longest life, idle or not; 30 s where nobody says anything.
fn backend_config(source: SourceId, object: &Node, summary: &mut ConfigSummary) {
    let life = match object.at(&["spec", "timeoutSec"]) {
        Some(node) => timeout(TimeoutKind::Lifetime, "timeoutSec", node, seconds, summary),
        None => Some(Timeout {
            kind: TimeoutKind::Lifetime,
            directive: "timeoutSec".to_owned(),
            value_ns: 30 * SECOND_NS,
            line: None,
        }),
    };
    let drain = object
        .at(&["spec", "connectionDraining", "drainingTimeoutSec"])
        .and_then(|n| {
            timeout(
                TimeoutKind::Drain,
                "drainingTimeoutSec",
                n,
                seconds,
                summary,
            )
        });
    let timeouts = life.into_iter().chain(drain).collect();
    push(source, HopKind::Gcp, vec![whole(object, timeouts)], summary);
}
