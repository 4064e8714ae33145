//! Traefik's static and dynamic files (YAML, TOML) -> one route per router, with the time-outs that hold there.

use super::yaml::{Node, Value, parse};
use super::{ConfigSummary, duration, literal_prefix};
use crate::model::{HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind};

/// Parts that only Traefik's files have, as their paths from the top.
const PARTS: &[&[&str]] = &[
    &["entryPoints"],
    &["http", "routers"],
    &["http", "serversTransports"],
    &["serversTransport", "forwardingTimeouts"],
];

pub(super) fn sniff(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if !["entrypoints", "routers", "serverstransport"]
        .iter()
        .any(|w| lower.contains(w))
    {
        return false;
    }
    tree(text).is_some_and(|t| {
        PARTS
            .iter()
            .any(|path| at(&t, path).is_some_and(|n| matches!(n.value, Value::Map(_))))
    })
}

/// Keys of Traefik's files are read without regard to case.
fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Map(m) => m
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, n)| n),
        _ => None,
    }
}

fn at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |n, key| get(n, key))
}

fn members(node: Option<&Node>) -> &[(String, Node)] {
    match node.map(|n| &n.value) {
        Some(Value::Map(m)) => m,
        _ => &[],
    }
}

fn tree(text: &str) -> Option<Node> {
    let first = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'))?;
    let toml = first.starts_with('[') || first.split(['"', '#']).next()?.contains('=');
    if toml { from_toml(text) } else { parse(text) }
}

fn from_toml(text: &str) -> Option<Node> {
    let table = toml::de::DeTable::parse(text).ok()?;
    let line = |at: usize| text.get(..at).map_or(0, |t| t.matches('\n').count() as u64) + 1;
    fn node(
        value: &toml::de::DeValue<'_>,
        at: usize,
        line: &dyn Fn(usize) -> u64,
        depth: usize,
    ) -> Node {
        use toml::de::DeValue as V;
        let value = match value {
            V::Table(t) if depth < 64 => Value::Map(
                t.iter()
                    .map(|(k, v)| {
                        let from = match v.get_ref() {
                            V::Table(_) | V::Array(_) => v.span().start,
                            _ => k.span().start,
                        };
                        (
                            k.get_ref().to_string(),
                            node(v.get_ref(), from, line, depth + 1),
                        )
                    })
                    .collect(),
            ),
            V::Array(a) if depth < 64 => Value::List(
                a.iter()
                    .map(|v| node(v.get_ref(), v.span().start, line, depth + 1))
                    .collect(),
            ),
            V::String(s) => Value::Text(s.to_string()),
            V::Integer(i) => Value::Text(i.as_str().to_owned()),
            V::Float(f) => Value::Text(f.as_str().to_owned()),
            V::Boolean(b) => Value::Text(b.to_string()),
            V::Datetime(d) => Value::Text(d.to_string()),
            _ => Value::Text(String::new()),
        };
        Node {
            line: line(at),
            value,
        }
    }
    let entries = table
        .get_ref()
        .iter()
        .map(|(k, v)| {
            (
                k.get_ref().to_string(),
                node(v.get_ref(), v.span().start, &line, 0),
            )
        })
        .collect();
    Some(Node {
        line: 1,
        value: Value::Map(entries),
    })
}

/// A duration: Go's spelling, or whole seconds. Zero is no limit.
fn limit(
    node: Option<&Node>,
    kind: TimeoutKind,
    directive: &str,
    default_ns: Option<i64>,
    summary: &mut ConfigSummary,
) -> Option<Timeout> {
    let Some(node) = node else {
        return default_ns.map(|value_ns| Timeout {
            kind,
            directive: directive.to_owned(),
            value_ns,
            line: None,
        });
    };
    let text = node.text().unwrap_or_default().trim();
    let seconds = text
        .parse::<i64>()
        .ok()
        .and_then(|s| s.checked_mul(SECOND_NS));
    let Some(value_ns) = seconds.or_else(|| duration::go(text)) else {
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

/// Time-outs towards the backends, out of a `forwardingTimeouts` (its defaults: 30 s to connect, none for the answer).
fn forwarding(node: Option<&Node>, summary: &mut ConfigSummary) -> Vec<Timeout> {
    let of = |key: &str| node.and_then(|n| get(n, key));
    [
        limit(
            of("responseHeaderTimeout"),
            TimeoutKind::Handshake,
            "responseHeaderTimeout",
            None,
            summary,
        ),
        limit(
            of("dialTimeout"),
            TimeoutKind::Connect,
            "dialTimeout",
            Some(30 * SECOND_NS),
            summary,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let Some(tree) = tree(text) else {
        return;
    };
    let mut settings = HopSettings {
        source,
        hop: HopKind::Traefik,
        listen: Vec::new(),
        routes: Vec::new(),
    };
    let default = forwarding(
        at(&tree, &["serversTransport", "forwardingTimeouts"]),
        summary,
    );
    // Traefik limits no upgraded connection by itself; a stop gives them `graceTimeOut`.
    let mut grace = None;
    for (name, entry) in members(get(&tree, "entryPoints")) {
        let address = get(entry, "address").and_then(Node::text);
        settings
            .listen
            .extend(address.map(|a| a.trim_end_matches("/tcp").to_owned()));
        let drain = limit(
            at(entry, &["transport", "lifeCycle", "graceTimeOut"]),
            TimeoutKind::Drain,
            "graceTimeOut",
            Some(10 * SECOND_NS),
            summary,
        );
        let mut timeouts = default.clone();
        timeouts.extend(drain.clone());
        grace = grace.or(drain);
        if members(at(&tree, &["http", "routers"])).is_empty() {
            settings.routes.push(Route {
                prefix: String::new(),
                exact: false,
                name: format!("entry point {name}"),
                line: Some(entry.line),
                timeouts,
                upstreams: Vec::new(),
                upgrade: None,
            });
        }
    }
    for (name, router) in members(at(&tree, &["http", "routers"])) {
        let service = get(router, "service")
            .and_then(Node::text)
            .map(|s| s.split('@').next().unwrap_or(s))
            .and_then(|s| at(&tree, &["http", "services", s, "loadBalancer"]));
        let upstreams = service
            .and_then(|s| get(s, "servers"))
            .map_or(&[][..], Node::list)
            .iter()
            .filter_map(|s| get(s, "url").and_then(Node::text))
            .map(|u| {
                let bare = u.split_once("://").map_or(u, |(_, rest)| rest);
                bare.split('/').next().unwrap_or(bare).to_owned()
            })
            .collect::<Vec<_>>();
        let own = service
            .and_then(|s| get(s, "serversTransport"))
            .and_then(Node::text)
            .and_then(|t| {
                at(
                    &tree,
                    &["http", "serversTransports", t, "forwardingTimeouts"],
                )
            });
        let mut timeouts = match own {
            Some(node) => forwarding(Some(node), summary),
            None => default.clone(),
        };
        timeouts.extend(grace.clone());
        let rule = get(router, "rule").and_then(Node::text).unwrap_or_default();
        for (prefix, exact) in paths(rule) {
            settings.routes.push(Route {
                prefix,
                exact,
                name: format!("router {name}"),
                line: Some(router.line),
                timeouts: timeouts.clone(),
                upstreams: upstreams.clone(),
                upgrade: None,
            });
        }
    }
    if !settings.listen.is_empty() || !settings.routes.is_empty() {
        summary.settings.push(settings);
    }
}

/// Paths that a rule asks for (``PathPrefix(`/ws`) && Host(`x`)``); one empty prefix where it asks for none.
fn paths(rule: &str) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    for (matcher, kind) in [("PathPrefix(", 'p'), ("Path(", 'e'), ("PathRegexp(", 'r')] {
        let mut rest = rule;
        while let Some(i) = rest.find(matcher) {
            let negated = rest.get(..i).is_some_and(|b| b.trim_end().ends_with('!'));
            let inside = rest.get(i + matcher.len()..).unwrap_or("");
            let args = inside.split(')').next().unwrap_or("");
            rest = inside;
            if negated {
                continue;
            }
            for arg in args.split(',') {
                let arg = arg.trim().trim_matches(['`', '"', '\'']);
                match kind {
                    'p' => out.push((arg.to_owned(), false)),
                    'e' => out.push((arg.to_owned(), true)),
                    _ => out.push((literal_prefix(arg), false)),
                }
            }
        }
    }
    if out.is_empty() {
        out.push((String::new(), false));
    }
    out
}
