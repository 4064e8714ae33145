//! An nginx configuration, or the output of `nginx -T` -> one route per proxied location, with the time-outs and headers in force there.

use super::nginx_tree::{Directive, joined, parse};
use super::{ConfigSummary, duration, literal_prefix};
use crate::model::{
    HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind, UpgradeSetting,
};
use std::collections::BTreeMap;

const BLOCKS: &[&str] = &[
    "http", "server", "upstream", "location", "stream", "events", "map", "geo",
];

/// Directives that hardly anything but nginx has inside such a block.
const INSIDE: &[&str] = &[
    "listen",
    "server_name",
    "proxy_pass",
    "location",
    "server",
    "worker_connections",
    "default",
    "include",
    "log_format",
    "access_log",
    "upstream",
    "map",
    "return",
    "proxy_set_header",
    "root",
    "use",
];

pub(super) fn sniff(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    let begins = lines.find(|l| !l.is_empty() && !l.starts_with('#'));
    // A log is not parsed to find that it is none.
    if !begins.is_some_and(|l| l.starts_with(|c: char| c.is_ascii_lowercase())) {
        return false;
    }
    let parsed = parse(text);
    let top = parsed.first();
    let identifier = |d: &Directive| {
        let name = d.name();
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    top.iter().all(identifier)
        && top.iter().any(|d| {
            BLOCKS.contains(&d.name())
                && d.children()
                    .iter()
                    .any(|c| identifier(c) && INSIDE.contains(&c.name()))
        })
}

/// A time-out in force: what was written (`None` = not a duration) and where.
#[derive(Debug, Clone, Copy)]
struct Set {
    ns: Option<i64>,
    line: u64,
}

#[derive(Debug, Clone)]
struct Header {
    name: String,
    value: String,
    line: u64,
}

/// What a level inherits and its own directives change.
#[derive(Debug, Clone, Default)]
struct Level {
    read: Option<Set>,
    send: Option<Set>,
    connect: Option<Set>,
    /// `proxy_timeout` of a stream server.
    stream: Option<Set>,
    http_version: Option<(bool, u64)>,
    headers: Vec<Header>,
    /// The first header directive of the level that dropped an outer `Upgrade` or `Connection`.
    dropped: Option<u64>,
}

impl Level {
    fn enter(&self, block: &[Directive], summary: &mut ConfigSummary) -> Self {
        let mut level = self.clone();
        let mut own: Vec<Header> = Vec::new();
        for d in block {
            match d.name() {
                "proxy_read_timeout" => level.read = Some(set(d, summary)),
                "proxy_send_timeout" => level.send = Some(set(d, summary)),
                "proxy_connect_timeout" => level.connect = Some(set(d, summary)),
                "proxy_timeout" => level.stream = Some(set(d, summary)),
                // 2 is HTTP/2, which carries no upgrade.
                "proxy_http_version" => level.http_version = Some((d.arg() == "1.1", d.line)),
                "proxy_set_header" => own.push(Header {
                    name: d.arg().to_ascii_lowercase(),
                    value: d.args().get(1).cloned().unwrap_or_default(),
                    line: d.line,
                }),
                _ => {}
            }
        }
        if let Some(first) = own.first() {
            let lost = |name: &str| {
                self.headers.iter().any(|h| h.name == name) && !own.iter().any(|h| h.name == name)
            };
            level.dropped = (lost("upgrade") || lost("connection")).then_some(first.line);
            level.headers = own;
        }
        level
    }

    fn upgrade(&self, location: u64, variables: &Variables) -> UpgradeSetting {
        let header = |name: &str, can: &dyn Fn(&str) -> bool| {
            let found: Vec<&Header> = self.headers.iter().filter(|h| h.name == name).collect();
            let good = found.iter().any(|h| can(&h.value));
            (good, found.first().map(|h| h.line).or(self.dropped))
        };
        let (upgrade_header, u_line) = header("upgrade", &|v| {
            variables.can_be(v, &["$http_upgrade", "websocket"], 0)
        });
        let (connection_header, c_line) = header("connection", &|v| {
            variables.can_be(v, &["$http_connection", "upgrade"], 0)
        });
        // The default before 1.29.7; a file does not tell which program reads it.
        let (http_11, v_line) = self
            .http_version
            .map_or((false, None), |v| (v.0, Some(v.1)));
        let spoilt = [
            (upgrade_header, u_line),
            (connection_header, c_line),
            (http_11, v_line),
        ]
        .into_iter()
        .find_map(|(good, line)| line.filter(|_| !good));
        UpgradeSetting {
            upgrade_header,
            connection_header,
            http_11,
            line: spoilt.unwrap_or(location),
        }
    }

    fn timeouts(&self, drain: Option<Set>) -> Vec<Timeout> {
        let minute = 60 * SECOND_NS;
        let mut timeouts = Vec::new();
        let rows = [
            (TimeoutKind::Idle, "proxy_read_timeout", self.read),
            (TimeoutKind::Handshake, "proxy_read_timeout", self.read),
            (TimeoutKind::Send, "proxy_send_timeout", self.send),
            (TimeoutKind::Connect, "proxy_connect_timeout", self.connect),
        ];
        for (kind, directive, set) in rows {
            timeouts.extend(timeout(kind, directive, set, Some(minute)));
        }
        timeouts.extend(timeout(
            TimeoutKind::Drain,
            "worker_shutdown_timeout",
            drain,
            None,
        ));
        timeouts
    }
}

fn timeout(
    kind: TimeoutKind,
    directive: &str,
    set: Option<Set>,
    default_ns: Option<i64>,
) -> Option<Timeout> {
    let (value_ns, line) = match set {
        Some(s) => (s.ns?, Some(s.line)),
        None => (default_ns?, None),
    };
    Some(Timeout {
        kind,
        directive: directive.to_owned(),
        value_ns,
        line,
    })
}

fn set(d: &Directive, summary: &mut ConfigSummary) -> Set {
    let ns = duration::nginx(d.arg()).filter(|_| d.args().len() == 1);
    if ns.is_none() {
        summary.bad_value(d.line);
    }
    Set { ns, line: d.line }
}

/// What `map` and `set` can make of a variable.
#[derive(Debug, Default)]
struct Variables(BTreeMap<String, Vec<String>>);

impl Variables {
    fn collect(&mut self, tree: &[Directive]) {
        for d in tree {
            match d.name() {
                "map" => {
                    let Some(name) = d.args().get(1) else {
                        continue;
                    };
                    let values = self.0.entry(name.clone()).or_default();
                    values.extend(d.children().iter().map(|c| c.arg().to_owned()));
                }
                "set" => {
                    if let Some(value) = d.args().get(1) {
                        let values = self.0.entry(d.arg().to_owned()).or_default();
                        values.push(value.clone());
                    }
                }
                _ => self.collect(d.children()),
            }
        }
    }

    /// Whether the value contains one of these words, itself or by its variables.
    fn can_be(&self, value: &str, wanted: &[&str], depth: u32) -> bool {
        let lower = value.to_ascii_lowercase().replace(['{', '}'], "");
        let literal = lower.split([',', ' ']).any(|w| wanted.contains(&w.trim()));
        literal
            || (depth < 4
                && self
                    .0
                    .get(&value.replace(['{', '}'], ""))
                    .is_some_and(|all| all.iter().any(|v| self.can_be(v, wanted, depth + 1))))
    }

    fn addresses(&self, value: &str) -> Vec<String> {
        let Some(at) = value.find('$') else {
            return vec![value.to_owned()];
        };
        let (before, variable) = value.split_at(at);
        let end = variable.find([':', '/']).unwrap_or(variable.len());
        let (variable, after) = variable.split_at(end);
        match self.0.get(&variable.replace(['{', '}'], "")) {
            Some(values) => values
                .iter()
                .filter(|v| !v.is_empty() && !v.contains('$'))
                .map(|v| format!("{before}{v}{after}"))
                .collect(),
            None => vec![value.to_owned()],
        }
    }
}

struct Walk<'a> {
    variables: Variables,
    upstreams: BTreeMap<String, Vec<String>>,
    drain: Option<Set>,
    /// Routes and listen addresses, server by server.
    servers: Vec<(Vec<String>, Vec<Route>)>,
    summary: &'a mut ConfigSummary,
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let parsed = parse(text);
    if let Some(line) = parsed.unbalanced {
        summary.note(
            "unbalanced",
            line,
            "braces, quotes or a `;` are missing; what follows may be read into the wrong block",
        );
    }
    let tree = joined(&parsed, summary);
    let mut variables = Variables::default();
    variables.collect(&tree);
    let mut walk = Walk {
        variables,
        upstreams: BTreeMap::new(),
        drain: None,
        servers: Vec::new(),
        summary,
    };
    walk.definitions(&tree);
    // A fragment, such as conf.d/site.conf, has its servers or locations outermost.
    walk.servers.push((Vec::new(), Vec::new()));
    walk.block(&tree, &Level::default(), None, false);
    let servers = walk.servers;
    let mut settings: Vec<HopSettings> = Vec::new();
    for (listen, routes) in servers {
        if listen.is_empty() && routes.is_empty() {
            continue;
        }
        // One hop, unless two servers treat the same location differently.
        let fits = |s: &&mut HopSettings| {
            routes.iter().all(|r| {
                s.routes.iter().all(|o| {
                    (&o.prefix, o.exact) != (&r.prefix, r.exact)
                        || (same(&o.timeouts, &r.timeouts) && passes(o) == passes(r))
                })
            })
        };
        match settings.iter_mut().find(fits) {
            Some(s) => {
                for l in listen {
                    if !s.listen.contains(&l) {
                        s.listen.push(l);
                    }
                }
                s.routes.extend(routes);
            }
            None => settings.push(HopSettings {
                source,
                hop: HopKind::Nginx,
                listen,
                routes,
            }),
        }
    }
    summary.settings.extend(settings);
}

fn same(a: &[Timeout], b: &[Timeout]) -> bool {
    a.iter()
        .map(|t| (t.kind, t.value_ns))
        .eq(b.iter().map(|t| (t.kind, t.value_ns)))
}

fn passes(r: &Route) -> Option<bool> {
    r.upgrade
        .as_ref()
        .map(|u| u.upgrade_header && u.connection_header && u.http_11)
}

impl Walk<'_> {
    /// What may stand after its use: upstreams, log formats, the drain time.
    fn definitions(&mut self, tree: &[Directive]) {
        for d in tree {
            match d.name() {
                "upstream" => {
                    let servers = d.children().iter().filter(|c| c.name() == "server");
                    self.upstreams.insert(
                        d.arg().to_owned(),
                        servers.map(|c| c.arg().to_owned()).collect(),
                    );
                }
                "log_format" => {
                    let parts: Vec<&str> = d
                        .args()
                        .iter()
                        .skip(1)
                        .enumerate()
                        .filter(|(i, a)| !(*i == 0 && a.starts_with("escape=")))
                        .map(|(_, a)| a.as_str())
                        .collect();
                    if !parts.is_empty() {
                        self.summary
                            .log_formats
                            .push((d.arg().to_owned(), parts.concat()));
                    }
                }
                "worker_shutdown_timeout" => self.drain = Some(set(d, self.summary)),
                _ => self.definitions(d.children()),
            }
        }
    }

    fn block(&mut self, block: &[Directive], outer: &Level, parent: Option<&str>, stream: bool) {
        let level = outer.enter(block, self.summary);
        for d in block {
            match d.name() {
                "http" => self.block(d.children(), &level, None, false),
                "stream" => self.block(d.children(), &level, None, true),
                "server" if d.block.is_some() => {
                    let listen = d.children().iter().filter(|c| c.name() == "listen");
                    self.servers
                        .push((listen.map(|c| c.arg().to_owned()).collect(), Vec::new()));
                    if stream {
                        self.stream_server(d, &level);
                    } else {
                        self.block(d.children(), &level, None, false);
                    }
                }
                "location" => self.location(d, &level, parent),
                _ => {}
            }
        }
    }

    fn stream_server(&mut self, d: &Directive, outer: &Level) {
        let level = outer.enter(d.children(), self.summary);
        let Some(pass) = d.children().iter().find(|c| c.name() == "proxy_pass") else {
            return;
        };
        let minute = 60 * SECOND_NS;
        let rows = [
            timeout(
                TimeoutKind::Idle,
                "proxy_timeout",
                level.stream,
                Some(10 * minute),
            ),
            timeout(
                TimeoutKind::Connect,
                "proxy_connect_timeout",
                level.connect,
                Some(minute),
            ),
            timeout(
                TimeoutKind::Drain,
                "worker_shutdown_timeout",
                self.drain,
                None,
            ),
        ];
        let route = Route {
            prefix: String::new(),
            exact: false,
            name: "stream server".to_owned(),
            line: Some(d.line),
            timeouts: rows.into_iter().flatten().collect(),
            upstreams: self.targets(pass.arg()),
            upgrade: None,
        };
        self.route(route);
    }

    fn route(&mut self, route: Route) {
        if let Some(server) = self.servers.last_mut() {
            server.1.push(route);
        }
    }

    fn location(&mut self, d: &Directive, outer: &Level, parent: Option<&str>) {
        let args = d.args();
        let (prefix, exact) = match (args.first().map(String::as_str), args.get(1)) {
            (Some("="), Some(path)) => (path.clone(), true),
            (Some("^~"), Some(path)) => (path.clone(), false),
            (Some("~"), Some(regex)) => (literal_prefix(regex), false),
            (Some("~*"), Some(regex)) => {
                let prefix = literal_prefix(regex);
                // Without regard to case, letters are no fixed text.
                let letter = prefix.find(|c: char| c.is_alphabetic());
                (
                    prefix
                        .get(..letter.unwrap_or(prefix.len()))
                        .unwrap_or("")
                        .to_owned(),
                    false,
                )
            }
            (Some(path), None) => split_modifier(path),
            _ => (String::new(), false),
        };
        let prefix = match parent {
            Some(p) if prefix.is_empty() => p.to_owned(),
            _ if prefix.starts_with('@') => String::new(),
            _ => prefix,
        };
        let name = d.words.join(" ");
        let level = outer.enter(d.children(), self.summary);
        let pass = |block: &[Directive]| {
            block
                .iter()
                .find(|c| c.name() == "proxy_pass")
                .map(|c| c.arg().to_owned())
        };
        let mut chosen = pass(d.children()).map(|p| (p, level.clone(), name.clone(), d.line));
        for branch in d.children().iter().filter(|c| c.name() == "if") {
            // The branch for upgrades is the one a WebSocket takes.
            let upgrades = branch.args().iter().any(|a| a.contains("$http_upgrade"));
            if let Some(p) = pass(branch.children()).filter(|_| upgrades || chosen.is_none()) {
                let inner = level.enter(branch.children(), self.summary);
                let name = format!("{name} {}", branch.words.join(" "));
                chosen = Some((p, inner, name, branch.line));
            }
        }
        if let Some((pass, level, name, line)) = chosen {
            let route = Route {
                prefix: prefix.clone(),
                exact,
                name,
                line: Some(line),
                timeouts: level.timeouts(self.drain),
                upstreams: self.targets(&pass),
                upgrade: Some(level.upgrade(line, &self.variables)),
            };
            self.route(route);
        }
        for nested in d.children().iter().filter(|c| c.name() == "location") {
            self.location(nested, &level, Some(&prefix));
        }
    }

    /// The addresses behind a `proxy_pass`.
    fn targets(&self, pass: &str) -> Vec<String> {
        let mut out = Vec::new();
        for address in self.variables.addresses(pass) {
            let rest = address
                .split_once("://")
                .map_or(address.as_str(), |(_, rest)| rest);
            let host = if rest.starts_with("unix:") {
                rest
            } else {
                rest.split('/').next().unwrap_or(rest)
            };
            match self.upstreams.get(host) {
                Some(servers) => out.extend(servers.iter().cloned()),
                None if !host.is_empty() => out.push(host.to_owned()),
                None => {}
            }
        }
        out
    }
}

/// nginx takes `location =/x` and `location ~^/x` without the space as well.
fn split_modifier(path: &str) -> (String, bool) {
    if let Some(rest) = path.strip_prefix('=') {
        (rest.to_owned(), true)
    } else if let Some(rest) = path.strip_prefix("^~") {
        (rest.to_owned(), false)
    } else if path.starts_with("~*") {
        (String::new(), false)
    } else if let Some(rest) = path.strip_prefix('~') {
        (literal_prefix(rest), false)
    } else {
        (path.to_owned(), false)
    }
}
