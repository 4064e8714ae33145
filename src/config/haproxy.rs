//! An HAProxy configuration -> time-outs and servers of each frontend and the backends behind it.

use super::ConfigSummary;
use super::units::duration;
use crate::model::{HopKind, HopSettings, MILLI_NS, Route, SourceId, Timeout, TimeoutKind};

const SECTIONS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "mailers",
    "userlist",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-store",
    "traces",
    "log-profile",
];

pub(super) fn fits(text: &str) -> bool {
    let (mut sections, mut known, mut lines) = (0, 0, 0);
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or("").trim();
        let Some(word) = code.split_whitespace().next() else {
            continue;
        };
        lines += 1;
        if code.ends_with([';', '{']) {
            return false;
        }
        if matches!(
            word,
            "global" | "defaults" | "frontend" | "backend" | "listen"
        ) && code.split_whitespace().count() <= 4
        {
            sections += 1;
        } else if matches!(
            word,
            "timeout"
                | "mode"
                | "bind"
                | "server"
                | "option"
                | "log"
                | "default_backend"
                | "use_backend"
                | "acl"
                | "maxconn"
                | "balance"
                | "http-request"
                | "http-response"
                | "stats"
                | "daemon"
                | "user"
                | "group"
                | "chroot"
                | "nbthread"
                | "retries"
                | "no"
                | "tcp-request"
                | "errorfile"
                | "ssl-default-bind-options"
                | "ssl-default-bind-ciphers"
                | "ca-base"
                | "crt-base"
        ) {
            known += 1;
        }
    }
    sections > 0 && known > 0 && (sections + known) * 2 >= lines
}

/// `defaults`, `frontend`, `backend` or `listen`.
#[derive(Debug, Clone, Default)]
struct Section {
    kind: String,
    name: String,
    line: u64,
    binds: Vec<String>,
    servers: Vec<String>,
    /// `tunnel` -> value, line; inherited from `defaults`.
    timeouts: Vec<(String, i64, u64)>,
    acls: Vec<(String, Vec<String>)>,
    default_backend: Option<String>,
    /// Backend and the words of its condition.
    uses: Vec<(String, Vec<String>)>,
}

impl Section {
    fn timeout(&self, name: &str) -> Option<(i64, u64)> {
        self.timeouts
            .iter()
            .rev()
            .find(|(n, ..)| n == name)
            .map(|(_, ns, line)| (*ns, *line))
    }
}

/// Words of a line: blanks part them, quotes and backslashes keep them together, `#` ends the line.
fn words(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut any = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.push(c),
            (_, '\\') => {
                any = true;
                word.extend(chars.next());
            }
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                any = true;
            }
            (None, '#') => break,
            (None, c) if c.is_whitespace() => {
                if any || !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (None, c) => word.push(c),
        }
    }
    if any || !word.is_empty() {
        all.push(word);
    }
    all
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let mut sections: Vec<Section> = Vec::new();
    let mut drain = None;
    for (i, line) in text.lines().enumerate() {
        let line_number = i as u64 + 1;
        let all = words(line);
        let Some((first, args)) = all.split_first() else {
            continue;
        };
        let arg = |i: usize| args.get(i).map_or("", String::as_str);
        if SECTIONS.contains(&first.as_str()) && !line.starts_with([' ', '\t']) {
            let named = args.iter().position(|a| a == "from");
            let name = if named == Some(0) { "" } else { arg(0) };
            let parent = match named {
                Some(at) => sections
                    .iter()
                    .rev()
                    .find(|s| s.kind == "defaults" && s.name == arg(at + 1)),
                None if first != "defaults" => sections.iter().rev().find(|s| s.kind == "defaults"),
                None => None,
            };
            sections.push(Section {
                kind: first.clone(),
                name: name.to_owned(),
                line: line_number,
                timeouts: parent.map(|p| p.timeouts.clone()).unwrap_or_default(),
                default_backend: parent.and_then(|p| p.default_backend.clone()),
                ..Section::default()
            });
            continue;
        }
        let Some(section) = sections.last_mut() else {
            summary.odd(
                "odd-directive",
                line_number,
                "a keyword before the first section",
            );
            continue;
        };
        match first.as_str() {
            "timeout" => match duration(arg(1), MILLI_NS) {
                Some(ns) => section.timeouts.push((arg(0).to_owned(), ns, line_number)),
                None => summary.odd("odd-directive", line_number, "a time that is none"),
            },
            // Their old names.
            "clitimeout" | "srvtimeout" | "contimeout" => {
                let name = match first.as_str() {
                    "clitimeout" => "client",
                    "srvtimeout" => "server",
                    _ => "connect",
                };
                if let Some(ns) = duration(arg(0), MILLI_NS) {
                    section.timeouts.push((name.to_owned(), ns, line_number));
                }
            }
            "hard-stop-after" => drain = duration(arg(0), MILLI_NS).map(|ns| (ns, line_number)),
            "bind" => section.binds.extend(
                arg(0)
                    .split(',')
                    .filter(|a| !a.is_empty())
                    .map(str::to_owned),
            ),
            "server" => section.servers.push(arg(1).to_owned()),
            "default_backend" => section.default_backend = Some(arg(0).to_owned()),
            "use_backend" => section
                .uses
                .push((arg(0).to_owned(), args.iter().skip(1).cloned().collect())),
            "acl" => section
                .acls
                .push((arg(0).to_owned(), args.iter().skip(1).cloned().collect())),
            _ => {}
        }
    }

    let mut settings = HopSettings {
        source,
        hop: HopKind::Haproxy,
        listen: Vec::new(),
        routes: Vec::new(),
    };
    for front in sections
        .iter()
        .filter(|s| matches!(s.kind.as_str(), "frontend" | "listen"))
    {
        settings.listen.extend(front.binds.iter().cloned());
        let backend = |name: &str| {
            sections
                .iter()
                .find(|s| s.name == name && matches!(s.kind.as_str(), "backend" | "listen"))
        };
        if front.kind == "listen" && !front.servers.is_empty() {
            settings
                .routes
                .push(route(front, front, String::new(), false, drain));
        }
        if let Some(back) = front.default_backend.as_deref().and_then(backend) {
            settings
                .routes
                .push(route(front, back, String::new(), false, drain));
        }
        // The first `use_backend` that holds wins; of equal routes the last one is taken.
        for (name, condition) in front.uses.iter().rev() {
            let Some(back) = backend(name) else { continue };
            for (prefix, exact) in paths(condition, &front.acls) {
                settings
                    .routes
                    .push(route(front, back, prefix, exact, drain));
            }
        }
    }
    if !settings.routes.is_empty() || !settings.listen.is_empty() {
        summary.settings.push(settings);
    }
}

/// Paths that a condition asks for; no path = everything.
fn paths(condition: &[String], acls: &[(String, Vec<String>)]) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    let mut collect = |test: &[String]| {
        let Some((what, args)) = test.split_first() else {
            return;
        };
        let exact = match what.split(',').next().unwrap_or("") {
            "path_beg" => false,
            "path" if args.iter().any(|a| a == "beg") => false,
            "path" => true,
            _ => return,
        };
        let mut skip = false;
        for a in args {
            if std::mem::take(&mut skip) {
                continue;
            }
            skip = a == "-m";
            if a.starts_with('/') {
                all.push((a.clone(), exact));
            }
        }
    };
    let mut words = condition.iter();
    while let Some(word) = words.next() {
        if word == "{" {
            let test: Vec<String> = words.by_ref().take_while(|w| *w != "}").cloned().collect();
            collect(&test);
        }
        for (_, test) in acls.iter().filter(|(name, _)| name == word) {
            collect(test);
        }
    }
    if all.is_empty() {
        all.push((String::new(), false));
    }
    all
}

/// What holds for a connection from `front` to `back` (HAProxy configuration manual, 4.2 `timeout ...`).
fn route(
    front: &Section,
    back: &Section,
    prefix: String,
    exact: bool,
    drain: Option<(i64, u64)>,
) -> Route {
    let mut timeouts = Vec::new();
    let mut add = |kind, directive: &str, value: Option<(i64, u64)>| {
        if let Some((value_ns, line)) = value.filter(|(ns, _)| *ns > 0) {
            timeouts.push(Timeout {
                kind,
                directive: directive.to_owned(),
                value_ns,
                line: Some(line),
            });
        }
    };
    let client = front.timeout("client");
    let server = back.timeout("server");
    match (back.timeout("tunnel"), client, server) {
        (tunnel @ Some(_), ..) => add(TimeoutKind::Idle, "timeout tunnel", tunnel),
        (None, Some((c, _)), Some((s, _))) if s < c => {
            add(TimeoutKind::Idle, "timeout server", server)
        }
        (None, Some(_), _) => add(TimeoutKind::Idle, "timeout client", client),
        (None, None, _) => add(TimeoutKind::Idle, "timeout server", server),
    }
    add(TimeoutKind::Handshake, "timeout server", server);
    add(
        TimeoutKind::Connect,
        "timeout connect",
        back.timeout("connect"),
    );
    add(TimeoutKind::Drain, "hard-stop-after", drain);
    let name = if front.name == back.name && front.kind == back.kind {
        format!("listen {}", front.name)
    } else {
        format!("{} -> {}", front.name, back.name)
    };
    Route {
        prefix,
        exact,
        name,
        line: Some(back.line),
        timeouts,
        upstreams: back.servers.clone(),
        upgrade: None,
    }
}
