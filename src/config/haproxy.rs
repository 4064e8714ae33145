//! An HAProxy configuration -> one route per way from a frontend to a backend, with the time-out that ends its tunnels.

use super::{ConfigSummary, duration};
use crate::model::{HopKind, HopSettings, Route, SourceId, Timeout, TimeoutKind};
use std::collections::BTreeMap;

const SECTIONS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "cache",
    "mailers",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "crt-store",
    "traces",
    "fcgi-app",
    "log-profile",
    "acme",
];

const KEYWORDS: &[&str] = &[
    "bind",
    "server",
    "timeout",
    "mode",
    "default_backend",
    "use_backend",
    "maxconn",
    "log",
    "option",
    "balance",
    "acl",
    "stats",
];

pub(super) fn sniff(text: &str) -> bool {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with(['#', '.']));
    let Some(first) = lines.next() else {
        return false;
    };
    let mut words = first.split_whitespace();
    let section = words.next().is_some_and(|w| SECTIONS.contains(&w));
    if !section
        || words.take_while(|w| !w.starts_with('#')).count() > 3
        || first.ends_with(['{', ';'])
    {
        return false;
    }
    let known = lines
        .take(200)
        .filter_map(|l| l.split_whitespace().next())
        .filter(|w| KEYWORDS.contains(w))
        .count();
    known >= 2
}

#[derive(Debug, Clone)]
struct Set {
    directive: String,
    /// `None` = not a duration.
    ns: Option<i64>,
    line: u64,
}

#[derive(Debug, Clone, Default)]
struct Section {
    kind: String,
    name: String,
    line: u64,
    timeouts: BTreeMap<String, Set>,
    default_backend: Option<(String, u64)>,
    /// Backend, condition, line.
    uses: Vec<(String, Vec<String>, u64)>,
    acls: BTreeMap<String, Vec<Vec<String>>>,
    binds: Vec<String>,
    servers: Vec<String>,
}

/// Words of a line: quotes, backslashes and comments as HAProxy reads them (configuration manual, 2.2).
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut open = false;
    let mut chars = line.chars();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.extend(chars.next());
                open = true;
            }
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                open = true;
            }
            ('#', None) => break,
            (c, None) if c.is_whitespace() => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (c, None) => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

fn sections(text: &str, summary: &mut ConfigSummary) -> Vec<Section> {
    let mut all: Vec<Section> = Vec::new();
    // Where the latest `defaults` stands.
    let mut latest: Option<usize> = None;
    for (n, raw) in text.lines().enumerate() {
        let line = n as u64 + 1;
        let words = words(raw);
        let Some(keyword) = words.first() else {
            continue;
        };
        let arg = words.get(1).cloned().unwrap_or_default();
        if SECTIONS.contains(&keyword.as_str())
            && !(keyword == "log-profile" && raw.starts_with(' '))
        {
            let from = words
                .iter()
                .position(|w| w == "from")
                .and_then(|i| words.get(i + 1));
            let base = match from {
                Some(name) => all
                    .iter()
                    .rposition(|s| s.kind == "defaults" && s.name == *name),
                None if keyword == "defaults" => None,
                None => latest,
            };
            let base = base.and_then(|i| all.get(i));
            let section = Section {
                kind: keyword.clone(),
                name: arg,
                line,
                timeouts: base.map(|b| b.timeouts.clone()).unwrap_or_default(),
                default_backend: base.and_then(|b| b.default_backend.clone()),
                ..Section::default()
            };
            if keyword == "defaults" {
                latest = Some(all.len());
            }
            all.push(section);
            continue;
        }
        let Some(section) = all.last_mut() else {
            continue;
        };
        let rest = || words.get(2..).unwrap_or(&[]).to_vec();
        match keyword.as_str() {
            "timeout" => {
                let value = words.get(2).map_or("", String::as_str);
                let ns = duration::haproxy(value);
                if ns.is_none() {
                    summary.bad_value(line);
                }
                let directive = format!("timeout {arg}");
                section.timeouts.insert(
                    arg,
                    Set {
                        directive,
                        ns,
                        line,
                    },
                );
            }
            "bind" => section.binds.extend(arg.split(',').map(str::to_owned)),
            "server" => section.servers.extend(words.get(2).cloned()),
            "server-template" => section.servers.extend(words.get(3).cloned()),
            "default_backend" => section.default_backend = Some((arg, line)),
            "use_backend" => section.uses.push((arg, rest(), line)),
            "acl" => section.acls.entry(arg).or_default().push(rest()),
            _ => {}
        }
    }
    all
}

/// Prefixes or whole paths (`true`).
type Paths = Vec<(String, bool)>;

/// What a condition asks of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asks {
    Other,
    Upgrade,
}

/// The paths of one test (`path_beg /ws /live`): prefix or path, exact.
fn paths(test: &[String]) -> Paths {
    let Some(fetch) = test.first() else {
        return Vec::new();
    };
    let found = |flag: &str| test.windows(2).any(|w| w == ["-m", flag]);
    let exact = match fetch.split(',').next().unwrap_or("") {
        "path_beg" => false,
        "path" if found("beg") => false,
        "path" if !test.iter().any(|w| w == "-m") || found("str") => true,
        _ => return Vec::new(),
    };
    test.iter()
        .skip(1)
        .filter(|w| w.starts_with('/'))
        .map(|w| (w.clone(), exact))
        .collect()
}

fn upgrades(test: &[String]) -> bool {
    test.iter()
        .any(|w| w.to_ascii_lowercase().contains("upgrade"))
        || test.iter().any(|w| w.eq_ignore_ascii_case("websocket"))
}

/// The paths a `use_backend` takes, and whether it is for upgrades; no paths = any.
fn condition(section: &Section, words: &[String]) -> (Paths, Asks) {
    if words.first().map(String::as_str) != Some("if") {
        return (Vec::new(), Asks::Other);
    }
    let mut asks = Asks::Other;
    let mut all: Paths = Vec::new();
    let mut inline: Option<Vec<String>> = None;
    let either = words.iter().any(|w| w == "or" || w == "||");
    let mut open_end = false;
    for w in words.iter().skip(1) {
        if let Some(test) = inline.as_mut() {
            if w == "}" {
                let found = paths(test);
                open_end |= found.is_empty();
                all.extend(found);
                if upgrades(test) {
                    asks = Asks::Upgrade;
                }
                inline = None;
            } else {
                test.push(w.clone());
            }
        } else if w == "{" {
            inline = Some(Vec::new());
        } else if let Some(tests) = section.acls.get(w) {
            let found: Paths = tests.iter().flat_map(|t| paths(t)).collect();
            open_end |= found.is_empty();
            all.extend(found);
            if tests.iter().any(|t| upgrades(t)) {
                asks = Asks::Upgrade;
            }
        }
    }
    if either && open_end {
        all.clear();
    }
    (all, asks)
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let all = sections(text, summary);
    let mut settings = HopSettings {
        source,
        hop: HopKind::Haproxy,
        listen: Vec::new(),
        routes: Vec::new(),
    };
    for front in all
        .iter()
        .filter(|s| s.kind == "frontend" || s.kind == "listen")
    {
        settings.listen.extend(front.binds.iter().cloned());
        // The last of equals is the one that serves: HAProxy takes the first `use_backend` that fits.
        let mut ways: Vec<(Asks, Paths, &str, u64)> = Vec::new();
        for (backend, words, line) in front.uses.iter().rev() {
            let (paths, asks) = condition(front, words);
            ways.push((asks, paths, backend, *line));
        }
        ways.sort_by_key(|w| w.0);
        let own = front.kind == "listen" && !front.servers.is_empty();
        if let Some((backend, line)) = &front.default_backend {
            ways.insert(0, (Asks::Other, Vec::new(), backend, *line));
        }
        if own {
            settings.routes.push(route(
                front,
                front,
                format!("listen {}", front.name),
                "",
                false,
            ));
        }
        for (_, paths, name, line) in ways {
            let backend = all
                .iter()
                .find(|s| s.name == name && (s.kind == "backend" || s.kind == "listen"));
            let Some(backend) = backend else {
                summary.note(
                    "backend-not-found",
                    line,
                    "the backend is chosen at run time or stands in another file; its time-outs are not known",
                );
                continue;
            };
            let label = format!("{} -> {}", front.name, backend.name);
            if paths.is_empty() {
                settings
                    .routes
                    .push(route(front, backend, label, "", false));
            } else {
                for (path, exact) in paths {
                    let r = route(front, backend, label.clone(), &path, exact);
                    settings.routes.push(r);
                }
            }
        }
    }
    if !settings.listen.is_empty() || !settings.routes.is_empty() {
        summary.settings.push(settings);
    }
}

fn route(front: &Section, back: &Section, name: String, prefix: &str, exact: bool) -> Route {
    // Zero means no limit.
    let of = |s: &Section, key: &str| s.timeouts.get(key).filter(|t| t.ns != Some(0)).cloned();
    let timeout = |kind: TimeoutKind, set: Option<Set>| {
        let set = set?;
        Some(Timeout {
            kind,
            value_ns: set.ns?,
            directive: set.directive,
            line: Some(set.line),
        })
    };
    let idle = of(back, "tunnel").or_else(|| {
        [of(front, "client"), of(back, "server")]
            .into_iter()
            .flatten()
            .min_by_key(|s| s.ns.unwrap_or(i64::MAX))
    });
    let rows = [
        timeout(TimeoutKind::Idle, idle),
        timeout(TimeoutKind::Handshake, of(back, "server")),
        timeout(TimeoutKind::Connect, of(back, "connect")),
    ];
    Route {
        prefix: prefix.to_owned(),
        exact,
        name,
        line: Some(front.line),
        timeouts: rows.into_iter().flatten().collect(),
        upstreams: back.servers.clone(),
        upgrade: None,
    }
}
