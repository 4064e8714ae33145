//! An nginx configuration (one file, or `nginx -T`) -> time-outs, upgrade headers and upstreams of each location, and its log formats.

use super::ConfigSummary;
use super::nginx_text::{Directive, Fault, parse};
use super::units::duration;
use crate::model::{
    HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind, UpgradeSetting,
    add_anomaly,
};

/// Lines that end as nginx's do, and a directive that only nginx has.
pub(super) fn fits(text: &str) -> bool {
    if text.contains("# configuration file ") && text.contains(';') {
        return true;
    }
    const KNOWN: &[&str] = &[
        "http",
        "server",
        "location",
        "upstream",
        "events",
        "worker_processes",
        "worker_connections",
        "proxy_pass",
        "listen",
        "server_name",
        "log_format",
        "access_log",
        "error_log",
        "proxy_read_timeout",
        "proxy_set_header",
        "include",
        "stream",
        "map",
        "user",
        "pid",
        "proxy_http_version",
        "worker_shutdown_timeout",
    ];
    let (mut lines, mut ended, mut known) = (0, 0, 0);
    for line in text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        lines += 1;
        let code = line.split(" #").next().unwrap_or(line).trim_end();
        ended += usize::from(code.ends_with([';', '{', '}', '\'', '"']));
        let word = code.split([' ', '\t', '{', ';']).next().unwrap_or("");
        known += usize::from(KNOWN.contains(&word));
    }
    known > 0 && ended * 10 >= lines * 8 && text.contains([';', '}'])
}

/// What a context hands down to the ones inside it.
#[derive(Debug, Clone, Default)]
struct Scope {
    read: Option<(i64, u64)>,
    send: Option<(i64, u64)>,
    connect: Option<(i64, u64)>,
    /// `stream`: `proxy_timeout`.
    idle: Option<(i64, u64)>,
    http_version: Option<(String, u64)>,
    /// All or nothing: a context with one `proxy_set_header` inherits none (nginx.org ngx_http_proxy_module).
    headers: Vec<(String, String, u64)>,
    variables: Vec<(String, String)>,
}

impl Scope {
    fn enter(&self, inner: &[Directive], faults: &mut Vec<Fault>) -> Self {
        let mut scope = self.clone();
        let mut headers = Vec::new();
        for d in inner {
            let mut time =
                |place: &mut Option<(i64, u64)>| match duration(&d.args.join(" "), SECOND_NS) {
                    Some(ns) => *place = Some((ns, d.line)),
                    None => faults.push(Fault {
                        line: d.line,
                        what: "a time that is none",
                    }),
                };
            match d.name.as_str() {
                "proxy_read_timeout" => time(&mut scope.read),
                "proxy_send_timeout" => time(&mut scope.send),
                "proxy_connect_timeout" => time(&mut scope.connect),
                "proxy_timeout" => time(&mut scope.idle),
                "proxy_http_version" => scope.http_version = Some((d.arg(0).to_owned(), d.line)),
                "proxy_set_header" => {
                    headers.push((d.arg(0).to_owned(), d.arg(1).to_owned(), d.line))
                }
                "set" => scope
                    .variables
                    .push((d.arg(0).to_owned(), d.arg(1).to_owned())),
                _ => {}
            }
        }
        if !headers.is_empty() {
            scope.headers = headers;
        }
        scope
    }
}

/// What the whole configuration knows.
#[derive(Debug, Default)]
struct Known<'a> {
    upstreams: Vec<(&'a str, Vec<String>)>,
    maps: Vec<(&'a str, Vec<&'a str>)>,
    drain: Option<(i64, u64)>,
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let mut faults = Vec::new();
    let top = unfold(text, &mut faults, summary);
    // A file of `conf.d` has its servers at the top: they stand in `http`.
    let mut http: Vec<&Directive> = Vec::new();
    let mut stream: Vec<&Directive> = Vec::new();
    let mut known = Known::default();
    for d in &top {
        match d.name.as_str() {
            "http" => http.extend(d.inner()),
            "stream" => stream.extend(d.inner()),
            "worker_shutdown_timeout" => {
                known.drain = duration(&d.args.join(" "), SECOND_NS).map(|ns| (ns, d.line));
            }
            _ => http.push(d),
        }
    }
    for d in http.iter().chain(&stream) {
        match d.name.as_str() {
            "upstream" => {
                let servers = d
                    .inner()
                    .iter()
                    .filter(|s| s.name == "server")
                    .map(|s| with_port(s.arg(0), "80"));
                known.upstreams.push((d.arg(0), servers.collect()));
            }
            "map" => known
                .maps
                .push((d.arg(1), d.inner().iter().map(|v| v.arg(0)).collect())),
            "log_format" => {
                let strings = d
                    .args
                    .iter()
                    .skip(1)
                    .skip_while(|a| a.starts_with("escape="));
                summary
                    .log_formats
                    .push((d.arg(0).to_owned(), strings.map(String::as_str).collect()));
            }
            _ => {}
        }
    }
    summary
        .settings
        .extend(of_http(source, &http, &known, &mut faults));
    summary
        .settings
        .extend(of_stream(source, &stream, &known, &mut faults));
    for fault in faults {
        summary.odd(
            "odd-directive",
            fault.line,
            format!("not as nginx wants it: {}", fault.what),
        );
    }
}

/// Directives of all files; of `nginx -T`, with every `include` replaced by what it names.
fn unfold(text: &str, faults: &mut Vec<Fault>, summary: &mut ConfigSummary) -> Vec<Directive> {
    const MARK: &str = "# configuration file ";
    let mut files: Vec<(&str, Vec<Directive>)> = Vec::new();
    let mut from = (0usize, 0u64, "");
    let mut at = 0;
    let mut add = |path, body: &str, before: u64, faults: &mut Vec<Fault>| {
        let mut own = Vec::new();
        let mut parsed = parse(body, &mut own);
        shift(&mut parsed, before);
        faults.extend(own.into_iter().map(|f| Fault {
            line: f.line + before,
            ..f
        }));
        files.push((path, parsed));
    };
    for (line, full) in (0u64..).zip(text.split_inclusive('\n')) {
        let trimmed = full.trim_end();
        if let Some(path) = trimmed.strip_prefix(MARK).and_then(|p| p.strip_suffix(':')) {
            add(from.2, &text[from.0..at], from.1, faults);
            from = (at, line, path);
        } else if from.2.is_empty()
            && (trimmed.starts_with("nginx: ") || trimmed.starts_with("nginx version"))
        {
            // `nginx -T` reports itself before the first file.
            from = (at + full.len(), line + 1, "");
        }
        at += full.len();
    }
    add(from.2, &text[from.0..], from.1, faults);
    let dumped = files.iter().any(|(path, _)| !path.is_empty());
    let main = files
        .iter()
        .position(|(path, _)| !path.is_empty())
        .unwrap_or(0);
    let Some((path, top)) = files.get(main).cloned() else {
        return Vec::new();
    };
    let mut missing = Vec::new();
    let mut top = top;
    let base = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    resolve(&mut top, &files, base, 0, &mut missing);
    for (mask, line) in missing {
        // Types and parameters of other protocols tell nothing of WebSockets.
        let harmless = [
            "mime.types",
            "fastcgi",
            "uwsgi_params",
            "scgi_params",
            "modules-enabled",
        ];
        if harmless.iter().any(|h| mask.contains(h)) || dumped && mask.contains('*') {
            continue;
        }
        let note = format!(
            "`include {mask}` names a file that is not in this one: what `nginx -T` prints has all of them"
        );
        add_anomaly(&mut summary.anomalies, "missing-include", 1, line, note);
    }
    top
}

fn shift(directives: &mut [Directive], lines: u64) {
    for d in directives {
        d.line += lines;
        if let Some(children) = &mut d.children {
            shift(children, lines);
        }
    }
}

/// Files that include each other stop here.
const MAX_INCLUDES: usize = 8;

fn resolve(
    directives: &mut Vec<Directive>,
    files: &[(&str, Vec<Directive>)],
    base: &str,
    depth: usize,
    missing: &mut Vec<(String, u64)>,
) {
    let mut out = Vec::with_capacity(directives.len());
    for mut d in directives.drain(..) {
        if d.name == "include" {
            let mask = if d.arg(0).starts_with('/') {
                d.arg(0).to_owned()
            } else {
                format!("{base}/{}", d.arg(0))
            };
            let found: Vec<_> = files
                .iter()
                .filter(|(path, _)| !path.is_empty() && matches(&mask, path))
                .collect();
            if found.is_empty() || depth >= MAX_INCLUDES || out.len() > 100_000 {
                missing.push((d.arg(0).to_owned(), d.line));
            }
            if depth < MAX_INCLUDES && out.len() <= 100_000 {
                for (_, inner) in found {
                    let mut inner = inner.clone();
                    resolve(&mut inner, files, base, depth + 1, missing);
                    out.append(&mut inner);
                }
            }
            continue;
        }
        if let Some(children) = &mut d.children {
            resolve(children, files, base, depth, missing);
        }
        out.push(d);
    }
    *directives = out;
}

/// A shell mask with `*`, which stays within a folder.
fn matches(mask: &str, path: &str) -> bool {
    let (Some((mask_dir, mask)), Some((dir, name))) =
        (mask.rsplit_once('/'), path.rsplit_once('/'))
    else {
        return mask == path;
    };
    if mask_dir != dir {
        return false;
    }
    match mask.split_once('*') {
        None => mask == name,
        Some((before, after)) => {
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        }
    }
}

fn with_port(address: &str, port: &str) -> String {
    let bare = address
        .strip_prefix('[')
        .map_or_else(|| !address.contains(':'), |v6| !v6.contains("]:"));
    if address.is_empty() || address.starts_with("unix:") || !bare {
        address.to_owned()
    } else {
        format!("{address}:{port}")
    }
}

fn of_http(
    source: SourceId,
    http: &[&Directive],
    known: &Known<'_>,
    faults: &mut Vec<Fault>,
) -> Option<HopSettings> {
    let owned: Vec<Directive> = http
        .iter()
        .filter(|d| d.children.is_none())
        .map(|d| (*d).clone())
        .collect();
    let scope = Scope::default().enter(&owned, faults);
    let mut settings = HopSettings {
        source,
        hop: HopKind::Nginx,
        listen: Vec::new(),
        routes: Vec::new(),
    };
    let mut servers = 0;
    for server in http
        .iter()
        .filter(|d| d.name == "server" && d.children.is_some())
    {
        servers += 1;
        for listen in server.inner().iter().filter(|d| d.name == "listen") {
            let address = listen.arg(0).to_owned();
            if !settings.listen.contains(&address) {
                settings.listen.push(address);
            }
        }
        let scope = scope.enter(server.inner(), faults);
        locations(
            server.inner(),
            server.inner(),
            &scope,
            known,
            &mut settings.routes,
            faults,
        );
    }
    // A snippet that is included into a server.
    for location in http.iter().filter(|d| d.name == "location") {
        location_routes(
            location,
            location.inner(),
            &scope,
            known,
            &mut settings.routes,
            faults,
        );
    }
    (servers > 0 || !settings.routes.is_empty()).then_some(settings)
}

fn locations(
    inner: &[Directive],
    server: &[Directive],
    scope: &Scope,
    known: &Known<'_>,
    routes: &mut Vec<Route>,
    faults: &mut Vec<Fault>,
) {
    for location in inner.iter().filter(|d| d.name == "location") {
        location_routes(location, server, scope, known, routes, faults);
    }
}

fn location_routes(
    location: &Directive,
    server: &[Directive],
    outer: &Scope,
    known: &Known<'_>,
    routes: &mut Vec<Route>,
    faults: &mut Vec<Fault>,
) {
    let scope = outer.enter(location.inner(), faults);
    locations(location.inner(), server, &scope, known, routes, faults);
    let Some(pass) = location.inner().iter().find(|d| d.name == "proxy_pass") else {
        return;
    };
    let (modifier, path) = match location.args.as_slice() {
        [one] => match one.strip_prefix('=').filter(|p| p.starts_with('/')) {
            Some(path) => ("=", path),
            None => ("", one.as_str()),
        },
        [modifier, path, ..] => (modifier.as_str(), path.as_str()),
        [] => ("", ""),
    };
    let prefixes = match modifier {
        "~" | "~*" => vec![literal(path)],
        _ if path.starts_with('@') => named(path, server),
        _ => vec![path.to_owned()],
    };
    for prefix in prefixes {
        routes.push(Route {
            prefix,
            exact: modifier == "=",
            name: format!("location {}", location.args.join(" ")),
            line: Some(location.line),
            timeouts: timeouts(&scope, known),
            upstreams: upstreams(pass.arg(0), &scope, known),
            upgrade: Some(upgrade(location, &scope, known)),
        });
    }
}

/// The text a regular expression begins with, if it is bound to the beginning of the path.
fn literal(pattern: &str) -> String {
    let Some(rest) = pattern.strip_prefix('^') else {
        return String::new();
    };
    let mut out = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) if !c.is_alphanumeric() => out.push(c),
                _ => break,
            },
            '.' | '(' | '[' | '$' | '|' | '^' => break,
            // The character before is optional.
            '?' | '*' | '{' => {
                out.pop();
                break;
            }
            '+' => break,
            c => out.push(c),
        }
    }
    out
}

/// Where `@name` is sent from: the locations whose `try_files` or `error_page` names it.
fn named(name: &str, server: &[Directive]) -> Vec<String> {
    let from: Vec<String> = server
        .iter()
        .filter(|d| d.name == "location")
        .filter(|l| {
            l.inner().iter().any(|d| {
                matches!(d.name.as_str(), "try_files" | "error_page")
                    && d.args.iter().any(|a| a == name)
            })
        })
        .filter_map(|l| l.args.last().cloned())
        .filter(|p| p.starts_with('/'))
        .collect();
    if from.is_empty() {
        vec![String::new()]
    } else {
        from
    }
}

const DEFAULT_NS: i64 = 60 * SECOND_NS;

fn timeouts(scope: &Scope, known: &Known<'_>) -> Vec<Timeout> {
    let time = |kind, directive: &str, value: Option<(i64, u64)>| Timeout {
        kind,
        directive: directive.to_owned(),
        value_ns: value.map_or(DEFAULT_NS, |(ns, _)| ns),
        line: value.map(|(_, line)| line),
    };
    let mut all = vec![
        time(TimeoutKind::Idle, "proxy_read_timeout", scope.read),
        time(TimeoutKind::Handshake, "proxy_read_timeout", scope.read),
        time(TimeoutKind::Connect, "proxy_connect_timeout", scope.connect),
        time(TimeoutKind::Send, "proxy_send_timeout", scope.send),
    ];
    if known.drain.is_some() {
        all.push(time(
            TimeoutKind::Drain,
            "worker_shutdown_timeout",
            known.drain,
        ));
    }
    all
}

fn upstreams(pass: &str, scope: &Scope, known: &Known<'_>) -> Vec<String> {
    let (port, rest) = match pass.split_once("://") {
        Some((scheme, rest)) => (if scheme == "https" { "443" } else { "80" }, rest),
        None => ("80", pass),
    };
    let host = if rest.starts_with("unix:") {
        rest
    } else {
        rest.split('/').next().unwrap_or(rest)
    };
    let name = host.strip_prefix('$').map_or(host, |_| {
        // `set $backend "10.0.0.1:8080"`, in force here.
        scope
            .variables
            .iter()
            .rev()
            .find(|(k, _)| k == host)
            .map_or(host, |(_, v)| v.as_str())
    });
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    if let Some((_, servers)) = known.upstreams.iter().find(|(n, _)| *n == name) {
        return servers.clone();
    }
    if name.is_empty() || name.contains('$') {
        return Vec::new();
    }
    vec![with_port(name, port)]
}

/// Whether the three things that an upgrade needs are there.
fn upgrade(location: &Directive, scope: &Scope, known: &Known<'_>) -> UpgradeSetting {
    let header = |name: &str| {
        scope
            .headers
            .iter()
            .rev()
            .find(|(n, ..)| n.eq_ignore_ascii_case(name))
    };
    let up = header("Upgrade");
    let connection = header("Connection");
    let upgrade_header = up.is_some_and(|(_, v, _)| can_be(v, "websocket", known));
    let connection_header = connection.is_some_and(|(_, v, _)| can_be(v, "upgrade", known));
    // Unwritten it is 1.0 up to nginx 1.29.6; no configuration names its program's version.
    let http_11 = scope.http_version.as_ref().is_some_and(|(v, _)| v == "1.1");
    let spoils = [
        connection
            .filter(|_| !connection_header)
            .map(|(.., line)| *line),
        up.filter(|_| !upgrade_header).map(|(.., line)| *line),
        scope
            .http_version
            .as_ref()
            .filter(|_| !http_11)
            .map(|(_, line)| *line),
    ];
    UpgradeSetting {
        upgrade_header,
        connection_header,
        http_11,
        line: spoils.into_iter().flatten().next().unwrap_or(location.line),
    }
}

/// A header's value may come out as `word`: written so, from a map that has it, or from the client.
fn can_be(value: &str, word: &str, known: &Known<'_>) -> bool {
    if !value.contains('$') {
        return value.to_ascii_lowercase().contains(word);
    }
    match known.maps.iter().find(|(name, _)| *name == value) {
        Some((_, values)) => values
            .iter()
            .any(|v| v.contains('$') || v.to_ascii_lowercase().contains(word)),
        None => true,
    }
}

fn of_stream(
    source: SourceId,
    stream: &[&Directive],
    known: &Known<'_>,
    faults: &mut Vec<Fault>,
) -> Vec<HopSettings> {
    let owned: Vec<Directive> = stream
        .iter()
        .filter(|d| d.children.is_none())
        .map(|d| (*d).clone())
        .collect();
    let outer = Scope::default().enter(&owned, faults);
    let mut all = Vec::new();
    for server in stream
        .iter()
        .filter(|d| d.name == "server" && d.children.is_some())
    {
        let scope = outer.enter(server.inner(), faults);
        let Some(pass) = server.inner().iter().find(|d| d.name == "proxy_pass") else {
            continue;
        };
        let listen: Vec<String> = server
            .inner()
            .iter()
            .filter(|d| d.name == "listen")
            .map(|d| d.arg(0).to_owned())
            .collect();
        let mut timeouts = vec![
            Timeout {
                kind: TimeoutKind::Idle,
                directive: "proxy_timeout".to_owned(),
                // nginx.org ngx_stream_proxy_module: 10m.
                value_ns: scope.idle.map_or(600 * SECOND_NS, |(ns, _)| ns),
                line: scope.idle.map(|(_, line)| line),
            },
            Timeout {
                kind: TimeoutKind::Connect,
                directive: "proxy_connect_timeout".to_owned(),
                value_ns: scope.connect.map_or(DEFAULT_NS, |(ns, _)| ns),
                line: scope.connect.map(|(_, line)| line),
            },
        ];
        if let Some((value_ns, line)) = known.drain {
            let directive = "worker_shutdown_timeout".to_owned();
            timeouts.push(Timeout {
                kind: TimeoutKind::Drain,
                directive,
                value_ns,
                line: Some(line),
            });
        }
        let name = format!("stream server {}", listen.join(" "));
        let route = Route {
            prefix: String::new(),
            exact: false,
            name,
            line: Some(server.line),
            timeouts,
            upstreams: upstreams(pass.arg(0), &scope, known),
            upgrade: None,
        };
        all.push(HopSettings {
            source,
            hop: HopKind::Nginx,
            listen,
            routes: vec![route],
        });
    }
    all
}
