//! A Caddyfile, or Caddy's JSON -> one route per `reverse_proxy`, with the time-outs that hold there.

use super::words::Quoting;
use super::yaml::{Node, parse};
use super::{ConfigSummary, duration};
use crate::model::{HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind};
use std::collections::BTreeMap;

pub(super) fn sniff(text: &str) -> bool {
    if is_json(text) {
        return parse(text).is_some_and(|t| t.at(&["apps", "http", "servers"]).is_some());
    }
    let mut opens = false;
    let mut proxies = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('#') {
            continue;
        }
        // nginx ends its directives so; what is no Caddyfile has no lone brackets at the ends of lines.
        if line.ends_with(';') {
            return false;
        }
        opens |= line.ends_with('{');
        let mut words = line.split_whitespace();
        proxies |= words.next() == Some("reverse_proxy") && words.next().is_some();
    }
    let first = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty() && !l.starts_with('#'));
    let address = first.is_some_and(|l| {
        l == "{" || l.ends_with(" {") || !l.contains(char::is_whitespace) && l.contains([':', '.'])
    });
    proxies && address && (opens || text.lines().count() <= 16)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{') && text.contains("\"apps\"")
}

/// A directive with its arguments and what stands in its braces.
#[derive(Debug, Clone, Default)]
struct Directive {
    line: u64,
    words: Vec<String>,
    block: Vec<Self>,
}

impl Directive {
    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
    fn sub(&self, name: &str) -> Option<&Self> {
        self.block.iter().find(|d| d.name() == name)
    }
}

/// As Caddy's lexer reads a line (caddyserver.com/docs/caddyfile/concepts).
const QUOTING: Quoting = Quoting {
    quotes: ['"', '`'],
    escapes: |quote| quote == '"',
    comment: Some('#'),
};

/// Deeper than any configuration; it bounds the recursion of what reads the tree.
const MAX_DEPTH: usize = 64;

fn directives(text: &str, summary: &mut ConfigSummary) -> Vec<Directive> {
    // The innermost open one comes last; the first holds the file.
    let mut open: Vec<Directive> = vec![Directive::default()];
    let mut last = 0;
    for (n, raw) in text.lines().enumerate() {
        last = n as u64 + 1;
        let mut words = QUOTING.words(raw);
        if words.len() == 1 && words[0] == "}" {
            match (open.len() > 1).then(|| open.pop()).flatten() {
                Some(done) => {
                    if let Some(outer) = open.last_mut() {
                        outer.block.push(done);
                    }
                }
                None => summary.note("unbalanced", last, "a bracket that closes nothing"),
            }
            continue;
        }
        if words.is_empty() {
            continue;
        }
        let opens = words.last().is_some_and(|w| w == "{") && open.len() < MAX_DEPTH;
        if opens {
            words.pop();
        }
        let directive = Directive {
            line: last,
            words,
            block: Vec::new(),
        };
        if opens {
            open.push(directive);
        } else if let Some(outer) = open.last_mut() {
            outer.block.push(directive);
        }
    }
    if open.len() > 1 {
        summary.note("unbalanced", last, "a bracket that is never closed");
    }
    while open.len() > 1 {
        let done = open.pop().unwrap_or_default();
        if let Some(outer) = open.last_mut() {
            outer.block.push(done);
        }
    }
    open.pop().map(|d| d.block).unwrap_or_default()
}

/// Prefix or whole path.
type Paths = Vec<(String, bool)>;

/// What holds around a directive.
struct Site<'a> {
    snippets: &'a BTreeMap<String, Vec<Directive>>,
    matchers: BTreeMap<String, Paths>,
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let mut settings = HopSettings {
        source,
        hop: HopKind::Caddy,
        listen: Vec::new(),
        routes: Vec::new(),
    };
    if is_json(text) {
        if let Some(tree) = parse(text) {
            for server in tree
                .at(&["apps", "http", "servers"])
                .map(Node::children)
                .unwrap_or_default()
            {
                let listen = server.get("listen").map_or(&[][..], Node::list);
                settings
                    .listen
                    .extend(listen.iter().filter_map(|l| l.text().map(str::to_owned)));
                json_routes(
                    server,
                    &vec![(String::new(), false)],
                    0,
                    &mut settings.routes,
                );
            }
        }
    } else {
        let mut top = directives(text, summary);
        // One site may do without braces: its addresses stand on the first line.
        if top.first().is_some_and(|d| d.block.is_empty()) {
            let site = Directive {
                block: top.split_off(1),
                ..top.remove(0)
            };
            top = vec![site];
        }
        let snippets: BTreeMap<String, Vec<Directive>> = top
            .iter()
            .filter_map(|d| {
                let name = d.name().strip_prefix('(')?.strip_suffix(')')?;
                Some((name.to_owned(), d.block.clone()))
            })
            .collect();
        for site in &top {
            if site.words.is_empty() || site.name().starts_with('(') {
                continue;
            }
            settings.listen.extend(
                site.words
                    .iter()
                    .map(|w| w.trim_end_matches(',').to_owned()),
            );
            let mut around = Site {
                snippets: &snippets,
                matchers: BTreeMap::new(),
            };
            around.read(
                &site.block,
                &vec![(String::new(), false)],
                0,
                &mut settings.routes,
                summary,
            );
        }
    }
    if !settings.listen.is_empty() || !settings.routes.is_empty() {
        summary.settings.push(settings);
    }
}

/// `/ws/*` takes all below, `/ws` itself alone, `*` anything.
fn path(pattern: &str) -> (String, bool) {
    match pattern.split_once('*') {
        Some((before, _)) => (before.to_owned(), false),
        None => (pattern.to_owned(), true),
    }
}

impl Site<'_> {
    fn read(
        &mut self,
        block: &[Directive],
        outer: &Paths,
        depth: usize,
        routes: &mut Vec<Route>,
        summary: &mut ConfigSummary,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        for d in block.iter().filter(|d| d.name().starts_with('@')) {
            let tests: Vec<&[String]> = if d.block.is_empty() {
                vec![d.words.get(1..).unwrap_or(&[])]
            } else {
                d.block.iter().map(|t| t.words.as_slice()).collect()
            };
            let paths = tests
                .iter()
                .filter(|t| t.first().is_some_and(|w| w == "path"))
                .flat_map(|t| t.iter().skip(1).map(|p| path(p)))
                .collect();
            self.matchers.insert(d.name().to_owned(), paths);
        }
        for d in block {
            match d.name() {
                "handle" | "handle_path" | "route" => {
                    let (paths, _) = self.matched(d, outer);
                    self.read(&d.block, &paths, depth + 1, routes, summary);
                }
                "import" => {
                    if let Some(snippet) = self.snippets.get(d.word(1)).cloned() {
                        self.read(&snippet, outer, depth + 1, routes, summary);
                    } else {
                        summary.note(
                            "include-not-read",
                            d.line,
                            "an import of a file that is not part of this one; what stands there is not known",
                        );
                    }
                }
                "reverse_proxy" => {
                    let (paths, from) = self.matched(d, outer);
                    let mut upstreams: Vec<String> = d
                        .words
                        .get(from..)
                        .unwrap_or(&[])
                        .iter()
                        .map(|u| bare(u))
                        .collect();
                    if let Some(to) = d.sub("to") {
                        upstreams.extend(to.words.iter().skip(1).map(|u| bare(u)));
                    }
                    let timeouts = timeouts(d, summary);
                    for (prefix, exact) in paths {
                        routes.push(Route {
                            name: format!("reverse_proxy {prefix}").trim_end().to_owned(),
                            prefix,
                            exact,
                            line: Some(d.line),
                            timeouts: timeouts.clone(),
                            upstreams: upstreams.clone(),
                            upgrade: None,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// The paths that a directive's matcher leaves of the outer ones, and where its arguments begin.
    fn matched(&self, d: &Directive, outer: &Paths) -> (Paths, usize) {
        let own = match d.word(1) {
            "*" => return (outer.clone(), 2),
            w if w.starts_with('/') => vec![path(w)],
            w if w.starts_with('@') => match self.matchers.get(w) {
                Some(paths) if !paths.is_empty() => paths.clone(),
                _ => return (outer.clone(), 2),
            },
            _ => return (outer.clone(), 1),
        };
        (own, 2)
    }
}

/// `http://app:8080` -> `app:8080`.
fn bare(upstream: &str) -> String {
    upstream
        .split_once("://")
        .map_or(upstream, |(_, rest)| rest)
        .to_owned()
}

fn timeouts(proxy: &Directive, summary: &mut ConfigSummary) -> Vec<Timeout> {
    let transport = proxy.sub("transport");
    let inner = |name: &str| transport.and_then(|t| t.sub(name));
    // A read that waits longer than `read_timeout` ends an upgraded connection as well.
    let all = [
        (TimeoutKind::Idle, inner("read_timeout"), None),
        (TimeoutKind::Lifetime, proxy.sub("stream_timeout"), None),
        (TimeoutKind::Drain, proxy.sub("stream_close_delay"), None),
        (
            TimeoutKind::Handshake,
            inner("response_header_timeout"),
            None,
        ),
        (
            TimeoutKind::Connect,
            inner("dial_timeout"),
            Some(("dial_timeout", 3 * SECOND_NS)),
        ),
    ];
    let mut out = Vec::new();
    for (kind, set, default) in all {
        if let Some(d) = set {
            match duration::go(d.word(1)) {
                Some(value_ns) if value_ns > 0 => out.push(Timeout {
                    kind,
                    directive: d.name().to_owned(),
                    value_ns,
                    line: Some(d.line),
                }),
                Some(_) => {}
                None => summary.bad_value(d.line),
            }
        } else if let Some((directive, value_ns)) = default {
            out.push(Timeout {
                kind,
                directive: directive.to_owned(),
                value_ns,
                line: None,
            });
        }
    }
    out
}

/// Routes of Caddy's JSON, sub-routes included; durations are nanoseconds or Go's spelling.
fn json_routes(node: &Node, outer: &Paths, depth: usize, routes: &mut Vec<Route>) {
    if depth > MAX_DEPTH {
        return;
    }
    for route in node.get("routes").map_or(&[][..], Node::list) {
        let mut paths: Paths = route
            .get("match")
            .map_or(&[][..], Node::list)
            .iter()
            .filter_map(|m| m.get("path"))
            .flat_map(Node::list)
            .filter_map(|p| p.text().map(path))
            .collect();
        if paths.is_empty() {
            paths.clone_from(outer);
        }
        for handler in route.get("handle").map_or(&[][..], Node::list) {
            match handler.get("handler").and_then(Node::text) {
                Some("subroute") => json_routes(handler, &paths, depth + 1, routes),
                Some("reverse_proxy") => json_proxy(handler, &paths, routes),
                _ => {}
            }
        }
    }
}

fn json_proxy(handler: &Node, paths: &Paths, routes: &mut Vec<Route>) {
    let timeout = |kind: TimeoutKind, at: &[&str]| {
        let node = handler.at(at)?;
        let text = node.text()?;
        let value_ns = text.parse::<i64>().ok().or_else(|| duration::go(text))?;
        (value_ns > 0).then(|| Timeout {
            kind,
            directive: at.last().copied().unwrap_or_default().to_owned(),
            value_ns,
            line: Some(node.line),
        })
    };
    let timeouts: Vec<Timeout> = [
        timeout(TimeoutKind::Idle, &["transport", "read_timeout"]),
        timeout(TimeoutKind::Lifetime, &["stream_timeout"]),
        timeout(TimeoutKind::Drain, &["stream_close_delay"]),
        timeout(
            TimeoutKind::Handshake,
            &["transport", "response_header_timeout"],
        ),
        timeout(TimeoutKind::Connect, &["transport", "dial_timeout"]),
    ]
    .into_iter()
    .flatten()
    .collect();
    let upstreams: Vec<String> = handler
        .get("upstreams")
        .map_or(&[][..], Node::list)
        .iter()
        .filter_map(|u| u.get("dial").and_then(Node::text).map(str::to_owned))
        .collect();
    for (prefix, exact) in paths {
        routes.push(Route {
            name: format!("reverse_proxy {prefix}").trim_end().to_owned(),
            prefix: prefix.clone(),
            exact: *exact,
            line: Some(handler.line),
            timeouts: timeouts.clone(),
            upstreams: upstreams.clone(),
            upgrade: None,
        });
    }
}
