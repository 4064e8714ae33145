//! Apache httpd's configuration -> one route per proxied path, with its idle time-out and whether it passes an upgrade.

use super::words::Quoting;
use super::{ConfigSummary, duration};
use crate::model::{
    HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind, UpgradeSetting,
};

/// `Timeout`'s default (core, 2.4).
const DEFAULT_NS: i64 = 60 * SECOND_NS;

/// Directives that nothing but httpd has, and that a configuration with a proxy has some of.
const OWN: [&str; 12] = [
    "proxypass",
    "proxypassreverse",
    "proxytimeout",
    "rewriterule",
    "rewriteengine",
    "loadmodule",
    "serverroot",
    "customlog",
    "documentroot",
    "allowoverride",
    "proxyrequests",
    "<virtualhost",
];

pub(super) fn sniff(text: &str) -> bool {
    let mut own = 0;
    for line in text.lines().map(str::trim) {
        // nginx and Caddy write theirs with brackets and semicolons.
        if line.ends_with(';') || line.ends_with('{') {
            return false;
        }
        let word = line
            .split_whitespace()
            .next()
            .unwrap_or("")
            .to_ascii_lowercase();
        own += usize::from(OWN.contains(&word.as_str()));
    }
    own >= 2
}

const QUOTING: Quoting = Quoting {
    quotes: ['"', '\''],
    escapes: |_| true,
    comment: None,
};

/// A time-out with the line it stands on; none for httpd's default.
#[derive(Debug, Clone, Copy)]
struct Set {
    value_ns: i64,
    line: Option<u64>,
}

/// What holds in a part of the file.
#[derive(Debug, Clone)]
struct Scope {
    timeout: Set,
    proxy: Option<Set>,
    listen: Vec<String>,
    routes: Vec<Target>,
    location: Option<String>,
}

#[derive(Debug, Clone)]
struct Target {
    prefix: String,
    backend: String,
    line: u64,
    own: Option<Set>,
    /// It is tunnelled as it is: a `ws:` backend, or `upgrade=websocket`.
    upgrades: bool,
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let mut server = Scope {
        timeout: Set {
            value_ns: DEFAULT_NS,
            line: None,
        },
        proxy: None,
        listen: Vec::new(),
        routes: Vec::new(),
        location: None,
    };
    let mut hosts: Vec<Scope> = Vec::new();
    let mut host: Option<Scope> = None;
    for (n, raw) in text.lines().enumerate() {
        let line = n as u64 + 1;
        let raw = raw.trim();
        if raw.is_empty() || raw.starts_with('#') {
            continue;
        }
        let words = QUOTING.words(raw);
        let name = words
            .first()
            .map_or("", String::as_str)
            .to_ascii_lowercase();
        match name.as_str() {
            // A virtual host has what the server has, unless it says otherwise; what the server says further down counts as well.
            "<virtualhost" => {
                let mut own = server.clone();
                own.routes.clear();
                let address = |w: &String| w.trim_end_matches('>').to_owned();
                own.listen = words
                    .iter()
                    .skip(1)
                    .map(address)
                    .filter(|w| !w.is_empty())
                    .collect();
                host = Some(own);
            }
            "</virtualhost>" => hosts.extend(host.take()),
            "include" | "includeoptional" => summary.note(
                "include-not-read",
                line,
                "an Include of files that are not part of this one; what stands there is not known",
            ),
            _ => directive(
                &name,
                &words,
                line,
                host.as_mut().unwrap_or(&mut server),
                summary,
            ),
        }
    }
    hosts.extend(host);
    if !server.routes.is_empty() || hosts.is_empty() {
        hosts.push(server);
    }
    for scope in hosts {
        let settings = settings(source, scope);
        if !settings.listen.is_empty() || !settings.routes.is_empty() {
            summary.settings.push(settings);
        }
    }
}

fn directive(
    name: &str,
    words: &[String],
    line: u64,
    scope: &mut Scope,
    summary: &mut ConfigSummary,
) {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    match name {
        "listen" => scope.listen.push(word(1).to_owned()),
        "timeout" | "proxytimeout" => match duration::apache(word(1)) {
            Some(value_ns) => {
                let set = Set {
                    value_ns,
                    line: Some(line),
                };
                if name == "timeout" {
                    scope.timeout = set;
                } else {
                    scope.proxy = Some(set);
                }
            }
            None => summary.bad_value(line),
        },
        "<location" => scope.location = Some(word(1).trim_end_matches('>').to_owned()),
        "</location>" => scope.location = None,
        "proxypass" => {
            let inside = scope.location.clone();
            let (prefix, from) = match inside {
                Some(path) => (path, 1),
                None => (word(1).to_owned(), 2),
            };
            let backend = word(from).to_owned();
            if backend == "!" || backend.is_empty() {
                return;
            }
            let mut own = None;
            let mut upgrades = is_ws(&backend);
            for option in words.iter().skip(from + 1) {
                match option.split_once('=') {
                    Some(("timeout", value)) => match duration::apache(value) {
                        Some(value_ns) => {
                            own = Some(Set {
                                value_ns,
                                line: Some(line),
                            });
                        }
                        None => summary.bad_value(line),
                    },
                    Some(("upgrade", _)) => upgrades = true,
                    _ => {}
                }
            }
            scope.routes.push(Target {
                prefix,
                backend,
                line,
                own,
                upgrades,
            });
        }
        // `RewriteRule ^/(.*) "ws://backend/$1" [P]`, mostly behind a condition on the Upgrade header.
        "rewriterule" if is_ws(word(2)) => scope.routes.push(Target {
            prefix: literal(word(1)),
            backend: word(2).to_owned(),
            line,
            own: None,
            upgrades: true,
        }),
        _ => {}
    }
}

fn is_ws(backend: &str) -> bool {
    let scheme = backend.split_once("://").map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss")
}

/// What every path that a pattern fits begins with.
fn literal(pattern: &str) -> String {
    let from_start = pattern.strip_prefix('^').unwrap_or("");
    let end = from_start
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_')))
        .unwrap_or(from_start.len());
    let (head, rest) = from_start.split_at(end);
    // What may be missing is no part of it.
    let head = if rest.starts_with(['?', '*']) {
        head.char_indices()
            .next_back()
            .map_or("", |(at, _)| &head[..at])
    } else {
        head
    };
    if head.is_empty() {
        "/".to_owned()
    } else {
        head.to_owned()
    }
}

fn settings(source: SourceId, scope: Scope) -> HopSettings {
    let mut routes: Vec<Route> = Vec::new();
    // What a rule rewrites to `ws:` goes there before any ProxyPass is looked at.
    let tunnelled = |prefix: &str| {
        scope
            .routes
            .iter()
            .any(|t| t.upgrades && prefix.starts_with(&t.prefix))
    };
    for target in &scope.routes {
        let upgrades = target.upgrades || tunnelled(&target.prefix);
        if !target.upgrades && upgrades && routes.iter().any(|r| r.prefix == target.prefix) {
            continue;
        }
        // A tunnel ends after the longer of its two sides' time-outs: `Timeout` of the client's, and the backend's, which is
        // `ProxyPass timeout=`, else `ProxyTimeout`, else `Timeout` (mod_proxy, ap_proxy_tunnel_create).
        let (backend, directive) = match (target.own, scope.proxy) {
            (Some(own), _) => (own, "ProxyPass timeout="),
            (None, Some(proxy)) => (proxy, "ProxyTimeout"),
            (None, None) => (scope.timeout, "Timeout"),
        };
        let (idle, of) = if scope.timeout.value_ns > backend.value_ns {
            (scope.timeout, "Timeout")
        } else {
            (backend, directive)
        };
        let timeout = |kind, set: Set, directive: &str| Timeout {
            kind,
            directive: directive.to_owned(),
            value_ns: set.value_ns,
            line: set.line,
        };
        let host = target
            .backend
            .split_once("://")
            .map_or(target.backend.as_str(), |(_, rest)| rest);
        let host = host.split(['/', '$']).next().unwrap_or(host);
        routes.push(Route {
            prefix: target.prefix.clone(),
            exact: false,
            name: format!("ProxyPass {}", target.prefix),
            line: Some(target.line),
            timeouts: vec![
                timeout(TimeoutKind::Idle, idle, of),
                timeout(TimeoutKind::Handshake, backend, directive),
            ],
            upstreams: vec![host.to_owned()],
            upgrade: Some(UpgradeSetting {
                upgrade_header: upgrades,
                connection_header: upgrades,
                http_11: true,
                line: target.line,
            }),
        });
    }
    HopSettings {
        source,
        hop: HopKind::Apache,
        listen: scope.listen,
        routes,
    }
}
