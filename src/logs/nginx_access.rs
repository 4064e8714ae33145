//! nginx access lines (combined, main, JSON, any `log_format` that the case defines) -> tunnels.

mod layout;

use super::access::{AccessState, Values, Var};
use super::{Block, Skimmed};
use super::{
    LineReader, LogFormat, LogOptions, Out, Outcome, apache_access, gate, is_line, json, shape,
    text, traefik,
};
use crate::model::{HopKind, RecordRef};
use layout::Layout;

const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
const MAIN: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#;
/// ingress-nginx's default, docs/user-guide/nginx-configuration/log-format.md.
const INGRESS: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"#;
/// `stream` lines as nginx.org shows them (ngx_stream_log_module), without and with the upstream.
const STREAM: &str =
    r#"$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time"#;
const STREAM_UPSTREAM: &str = r#"$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time "$upstream_addr" "$upstream_bytes_sent" "$upstream_bytes_received" "$upstream_connect_time""#;
/// What every layout that began as `combined` begins with.
const COMMON: &str =
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent"#;

#[derive(Debug)]
pub(super) struct NginxAccess;

impl LogFormat for NginxAccess {
    fn name(&self) -> &'static str {
        "nginx-access"
    }
    fn title(&self) -> &'static str {
        "nginx access log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"192.0.2.17 - - [20/Nov/2026:20:48:04 +0000] "GET /echo HTTP/1.1" 101 12 "-" "wslab/1 (clean)""#,
            r#"192.0.2.17 - bob [20/Nov/2026:20:48:04 +0000] "GET /echo HTTP/1.1" 101 12 "-" "wslab/1" "203.0.113.7""#,
            r#"192.0.2.17 - - [20/Nov/2026:21:40:37 +0000] "GET /ws?s=1 HTTP/1.1" 101 117 "-" "okhttp/4.12.0" rt=4.336 uct="0.000" urt="4.336" msec=1795210837.402 conn=5 upgrade=websocket upstream="192.0.2.2:8080" ustatus="101" xff="-""#,
            r#"2001:db8::7 - - [20/Nov/2026:20:48:04 +0000] "GET /s HTTP/1.1" 101 12 "-" "x" 512 61.004 [default-chat-80] [] 10.8.0.3:8080 0 61.003 101 7f3a"#,
            r#"{"time":"2026-11-20T20:48:04+00:00","msec":"1795207684.246","remote_addr":"192.0.2.1","remote_port":"57958","conn":"51","request":"GET /echo/clean HTTP/1.1","status":"101","request_time":"1.006","http_upgrade":"websocket"}"#,
            r#"{"ts":"2026-11-20T20:48:04+00:00","ip":"192.0.2.1","req":"GET /echo HTTP/1.1","status":502,"dur":-,"upstream_addr":"192.0.2.2:80, 192.0.2.3:80"}"#,
            r#"192.0.2.17 [20/Nov/2026:20:50:41 +0000] TCP 200 129 178 2.002 "192.0.2.2:18001" "178" "129" "0.000""#,
        ]
    }
    fn parts_between(&self, before: &[u8], after: &[u8]) -> bool {
        is_line(before) && is_line(after)
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader::new(options))
    }
    fn fields(&self, options: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let reader = Reader::new(options);
        for layout in &reader.layouts {
            let mut all = Vec::new();
            let mut each = |i: usize, value: &[u8]| {
                if let Some(name) = layout.parts.get(i).map(|p| p.name.clone()) {
                    all.push((name, text::string(value)));
                }
            };
            if layout.walk(line, false, &mut each).is_some() {
                return all;
            }
        }
        let all = json::fields(line);
        if !all.is_empty() {
            return all;
        }
        let mut all = Vec::new();
        let mut each = |i: usize, value: &[u8]| {
            if let Some(name) = reader.common.parts.get(i).map(|p| p.name.clone()) {
                all.push((name, text::string(value)));
            }
        };
        if let Some(tail) = reader.common.walk(line, true, &mut each) {
            all.extend(text::Pairs(tail).map(|(k, v)| (text::string(k), text::string(v))));
        }
        all
    }
}

struct Reader {
    layouts: Vec<Layout>,
    common: Layout,
    /// The layout that read the line before.
    hot: usize,
    state: AccessState,
    /// For lines of the shared layout that Apache wrote.
    apache: apache_access::Reader,
    /// Such a line was met: the file is Apache's.
    is_apache: bool,
    /// No layout of the case has something in a plain request's line that matters.
    text_gate: bool,
    websocket: gate::Ahead,
    shapes: shape::Shapes,
    /// The date of the line before, as written.
    last_date: Vec<u8>,
}

/// What a value of a JSON line decides, by the variable it holds.
fn role(var: Var, exact: bool) -> shape::Role {
    match var {
        Var::Status => shape::Role::Status,
        Var::Request => shape::Role::Asked,
        Var::Upgrade => shape::Role::Absent,
        Var::WsKey | Var::SessionTime => shape::Role::Never,
        Var::Msec if exact => shape::Role::Time,
        Var::Time if !exact => shape::Role::Time,
        _ => shape::Role::Free,
    }
}

impl Reader {
    fn new(options: &LogOptions) -> Self {
        let defined = options.nginx_formats.iter().filter_map(|(_, format)| {
            let layout = Layout::compile(format)?;
            Some(Layout {
                own: true,
                ..layout
            })
        });
        let predefined = [INGRESS, MAIN, COMBINED, STREAM, STREAM_UPSTREAM];
        let mut layouts: Vec<Layout> = defined
            .chain(predefined.into_iter().filter_map(Layout::compile))
            .collect();
        let text_gate = options.nginx_formats.iter().all(|(_, format)| {
            let keyed = format.contains("$http_sec_websocket_key");
            !keyed && (format.starts_with(COMMON) || format.starts_with('{'))
        });
        // The one that says most first: a short layout may read what is another's.
        layouts.sort_by_key(|l| std::cmp::Reverse(l.parts.len()));
        let common = Layout::compile(COMMON).unwrap_or(Layout {
            lead: Vec::new(),
            parts: Vec::new(),
            own: false,
        });
        let state = AccessState::new(options.assumed_zone);
        Self {
            layouts,
            common,
            hot: 0,
            state,
            apache: apache_access::Reader::new(options.assumed_zone),
            is_apache: false,
            text_gate,
            websocket: gate::Ahead::new(gate::WEBSOCKET),
            shapes: shape::Shapes::default(),
            last_date: Vec::new(),
        }
    }

    /// The layout is one that the case defines, not one of those every web server writes.
    fn own_format(&self, layout: usize) -> bool {
        self.layouts.get(layout).is_some_and(|l| l.own)
    }

    fn by_layout(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        for step in 0..self.layouts.len() {
            let i = (self.hot + step) % self.layouts.len();
            let Some((values, _)) = self.layouts.get(i).and_then(|l| l.read(line, false)) else {
                continue;
            };
            if values
                .get(Var::Time)
                .is_some_and(|t| self.state.date(t).is_none())
            {
                continue;
            }
            if !values.has(Var::Status) && !values.has(Var::Request) && !values.has(Var::Msec) {
                continue;
            }
            // nginx always counts what it sent; Apache leaves a dash where it was nothing.
            if values.get(Var::BodyBytesSent) == Some(b"-") && !self.own_format(i) {
                return None;
            }
            let Self {
                hot, state, shapes, ..
            } = self;
            *hot = i;
            let outcome = state.record(HopKind::Nginx, &values, record, out);
            if line.first() == Some(&b'{') && is_plain(&values) {
                let mut leaves = Vec::new();
                if json::scan(line, &mut leaves) {
                    learn(shapes, line, &leaves, &values);
                }
            }
            return Some(outcome);
        }
        None
    }

    /// JSON whose keys say what they are, without a definition of the format.
    fn by_keys(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        let mut leaves = Vec::new();
        if !json::scan(line, &mut leaves) || !is_access(&leaves) {
            return None;
        }
        let mut values = Values::new();
        for leaf in leaves.iter().filter(|l| l.kind != json::Kind::Tree) {
            // `${...}-` for a missing value, whatever the escaping.
            let value = if leaf.value == b"null" {
                b""
            } else {
                leaf.value
            };
            let var = kind_by_content(Var::of_key(leaf.key), value);
            if var != Var::Gap {
                values.fill(var, value);
            }
        }
        let hop = whose(&leaves);
        let outcome = self.state.record(hop, &values, record, out);
        if is_plain(&values) {
            learn(&mut self.shapes, line, &leaves, &values);
        }
        Some(outcome)
    }

    /// A line that cannot matter, seen by its status alone; the file's span still takes its time in.
    fn pass_by(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        if line.first() == Some(&b'{') {
            let passed = self.pass_json(line, |_| record, out);
            return passed.map(|_| Outcome::Used);
        }
        if !self.text_gate || self.is_apache {
            return None;
        }
        let date = gate::plain_request(line)?;
        self.passed(date, out)
    }

    /// Bytes of the line that `text` begins with, if it cannot matter.
    fn pass_json(
        &mut self,
        text: &[u8],
        record: impl FnOnce(usize) -> RecordRef,
        out: &mut Out<'_>,
    ) -> Option<usize> {
        let fit = self.shapes.fit(text)?;
        if let Some(status) = fit.refused {
            let (_, uri) = text::request(fit.asked?)?;
            let dated =
                super::stamp::epoch(fit.time).is_some() || self.state.date(fit.time).is_some();
            if !dated || memchr::memchr(b'\\', uri).is_some() {
                return None;
            }
            let passes = if fit.denies {
                status != b"426" && !self.state.was_upgraded(text::path(uri))
            } else {
                out.puts_off(record(fit.len), text::relative(uri).0)
            };
            if !passes {
                return None;
            }
        }
        self.passed(fit.time, out).map(|_| fit.len)
    }

    /// The answer was that to a plain request, or to one that failed and is put off.
    fn passes(
        &mut self,
        answer: &gate::Answer<'_>,
        place: gate::Place,
        line: &[u8],
        out: &mut Out<'_>,
    ) -> bool {
        if gate::is_plain(answer.status) {
            return self.passed(answer.date, out).is_some();
        }
        let failed = text::any_status(answer.status).is_some_and(|s| s >= 400 && s != 426);
        let Some((_, uri)) = text::request(answer.request).filter(|_| failed) else {
            return false;
        };
        memchr::memchr(b'\\', uri).is_none()
            && self.state.date(answer.date).is_some()
            && out.puts_off(place.record(out.source, line.len()), text::relative(uri).0)
            && self.passed(answer.date, out).is_some()
    }

    /// A line of Apache's is told at once: who reads it again does not know of the lines that showed whose file it is.
    fn by_apache(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        let paths = out.paths.take();
        let outcome = self.apache.marked(record, line, out);
        out.paths = paths;
        outcome.map(|outcome| match outcome {
            Outcome::Used => Outcome::Beside,
            other => other,
        })
    }

    /// The file's span takes the time of a line in that is not looked at any further.
    fn passed(&mut self, date: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        if self.last_date != date {
            if let Some(exact) = super::stamp::epoch(date) {
                out.saw(exact);
            } else {
                let (at, zone) = self.state.date(date)?;
                out.saw(at);
                out.zone(zone);
            }
            self.last_date.clear();
            self.last_date.extend_from_slice(date);
        }
        Some(Outcome::Used)
    }

    /// A layout that begins as `combined` does, with anything after it.
    fn by_beginning(
        &mut self,
        record: RecordRef,
        line: &[u8],
        out: &mut Out<'_>,
    ) -> Option<Outcome> {
        let (mut values, tail) = self.common.read(line, true)?;
        if traefik::looks(line) || super::app_console::daphne(line).is_some() {
            return None;
        }
        self.state.date(values.get(Var::Time)?)?;
        let mut rest = tail;
        let mut longest: Option<(&[u8], i64)> = None;
        let mut quoted = 0;
        while let Some(c) = rest.first() {
            if *c == b' ' {
                rest = &rest[1..];
            } else if *c == b'"' {
                let end = text::quoted(&rest[1..], b'"')?;
                let value = &rest[1..=end];
                match quoted {
                    0 => {}
                    1 => values.fill(Var::UserAgent, value),
                    _ if !text::addresses(value).is_empty() => {
                        values.fill(Var::ForwardedFor, value)
                    }
                    _ if value.eq_ignore_ascii_case(b"websocket") => {
                        values.fill(Var::Upgrade, value)
                    }
                    _ => {}
                }
                quoted += 1;
                rest = &rest[end + 2..];
            } else {
                let end = rest.iter().position(|c| *c == b' ').unwrap_or(rest.len());
                let word = &rest[..end];
                if memchr::memchr(b'=', word).is_some() {
                    break;
                }
                // nginx writes seconds with three digits; of several, the life is the longest.
                if word.len() > 4
                    && word[word.len() - 4] == b'.'
                    && let Some(ns) = super::stamp::seconds(word)
                    && longest.is_none_or(|(_, most)| ns > most)
                {
                    longest = Some((word, ns));
                }
                if word.eq_ignore_ascii_case(b"websocket") {
                    values.fill(Var::Upgrade, word);
                }
                rest = &rest[end..];
            }
        }
        for (key, value) in text::Pairs(rest) {
            let var = kind_by_content(Var::of_key(key), value);
            if var != Var::Gap && !matches!(var, Var::Time | Var::Status | Var::Request) {
                values.fill(var, value);
            }
        }
        if let Some((word, _)) = longest {
            values.fill(Var::RequestTime, word);
        }
        let hop = HopKind::Nginx;
        Some(self.state.record(hop, &values, record, out))
    }
}

/// The values of a line that could be passed over: of a log without requests, who asked for something plain counts.
fn is_plain(values: &Values<'_>) -> bool {
    (values.has(Var::Request) || values.has(Var::Uri))
        && values.get(Var::Status).is_some_and(gate::is_plain)
        && values
            .get(Var::Upgrade)
            .is_none_or(|v| text::present(v).is_none())
}

fn learn(shapes: &mut shape::Shapes, line: &[u8], leaves: &[json::Leaf<'_>], values: &Values<'_>) {
    let exact = values.has(Var::Msec);
    shapes.learn(line, leaves, &mut |i| {
        let var = leaves
            .get(i)
            .map_or(Var::Gap, |leaf| values.holding(leaf.value));
        role(var, exact)
    });
}

/// A key's meaning, checked against its value.
fn kind_by_content(var: Var, value: &[u8]) -> Var {
    let fits = match var {
        Var::Request => {
            return if text::contains(value, b" HTTP/") {
                Var::Request
            } else if value.starts_with(b"/") {
                Var::Uri
            } else {
                Var::Gap
            };
        }
        Var::Status => text::any_status(value).is_some(),
        Var::RemoteAddr => text::address(value).is_some(),
        // nginx writes `4.329`; a bare number is somebody's milliseconds.
        Var::RequestTime => memchr::memchr(b'.', value).is_some(),
        Var::Serial => text::unsigned(value).is_some(),
        Var::Uri => value.starts_with(b"/"),
        _ => true,
    };
    if fits { var } else { Var::Gap }
}

/// Whose record this is, where no configuration told: nginx's by one of its own variables, or by a time in one of its notations, else that of
/// some proxy. A shipper may have changed the time, and somebody the names.
fn whose(leaves: &[json::Leaf<'_>]) -> HopKind {
    let own = |leaf: &json::Leaf<'_>| {
        let name = leaf.key.strip_prefix(b"$").unwrap_or(leaf.key);
        let variable = name.starts_with(b"upstream_")
            || matches!(
                name,
                b"remote_addr"
                    | b"remote_user"
                    | b"time_local"
                    | b"time_iso8601"
                    | b"body_bytes_sent"
                    | b"bytes_sent"
                    | b"request_time"
                    | b"http_user_agent"
                    | b"http_referer"
                    | b"http_x_forwarded_for"
                    | b"http_upgrade"
                    | b"msec"
            );
        let noted = |value: &[u8]| match value {
            // `29/Nov/2026:10:00:00 +0000`
            [_, _, b'/', _, _, _, b'/', ..] => true,
            // `2026-11-29T10:00:00+00:00`: whole seconds, and the zone with a colon.
            [_, _, _, _, b'-', _, _, b'-', _, _, b'T', rest @ ..] => {
                rest.len() == 14 && matches!(rest, [.., b'+' | b'-', _, _, b':', _, _])
            }
            // `1795946400.123`
            seconds => seconds.len() == 14 && seconds.get(10) == Some(&b'.'),
        };
        let time = matches!(Var::of_key(leaf.key), Var::Time | Var::Msec);
        variable || time && noted(leaf.value)
    };
    match leaves.iter().any(own) {
        true => HopKind::Nginx,
        false => HopKind::Proxy,
    }
}

/// A request, a status and a time, and nothing that makes it an application's record.
pub(super) fn is_access(leaves: &[json::Leaf<'_>]) -> bool {
    let (mut request, mut method, mut uri, mut status, mut time) =
        (false, false, false, false, false);
    // Who leaves the request out still says who asked, and how long it or the upstream took.
    let (mut asked_by, mut proxied) = (false, false);
    for leaf in leaves {
        let mut buffer = [0; 32];
        if leaf.depth == 1
            && matches!(
                super::access::normal(leaf.key, &mut buffer),
                b"level"
                    | b"msg"
                    | b"message"
                    | b"event"
                    | b"severity"
                    | b"logger"
                    | b"starttime"
                    | b"responseflags"
            )
        {
            return false;
        }
        match kind_by_content(Var::of_key(leaf.key), leaf.value) {
            Var::Request => request = true,
            Var::Method => method = true,
            Var::Uri => uri = true,
            Var::Status => status = true,
            Var::Time | Var::Msec => time = true,
            Var::RemoteAddr => asked_by = true,
            Var::UpstreamAddr | Var::UpstreamStatus | Var::UpstreamTime => proxied = true,
            _ => {}
        }
    }
    (request || method && uri || asked_by && proxied) && status && time
}

impl LineReader for Reader {
    fn skim(&mut self, block: Block<'_>, from: usize, out: &mut Out<'_>) -> Skimmed {
        match block.bytes.get(from) {
            Some(b'{') => gate::skim_ahead(block, from, |text, place| {
                let source = out.source;
                self.pass_json(text, |len| place.record(source, len), out)
            }),
            // An address; a wrapper's time stamp has dashes.
            Some(b'1'..=b'9') if self.text_gate && !self.is_apache => {
                gate::skim(block, from, |line, place| {
                    line.get(4) != Some(&b'-')
                        && matches!(line.first(), Some(b'1'..=b'9'))
                        && gate::answer(line).is_some_and(|answer| {
                            let ends = place.at + line.len();
                            !self.websocket.stands_in(block, place.at, ends)
                                && self.passes(&answer, place, line, out)
                        })
                })
            }
            _ => Skimmed::default(),
        }
    }

    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        if let Some(outcome) = self.pass_by(record, line, out) {
            return outcome;
        }
        if self.is_apache
            && let Some(outcome) = self.by_apache(record, line, out)
        {
            return outcome;
        }
        self.by_layout(record, line, out)
            .or_else(|| {
                // A file of Apache's whose first lines were anybody's.
                if line.first() == Some(&b'{') {
                    return None;
                }
                let outcome = self.by_apache(record, line, out)?;
                self.is_apache = true;
                out.in_order = true;
                Some(outcome)
            })
            .or_else(|| {
                if line.first() == Some(&b'{') {
                    self.by_keys(record, line, out)
                } else {
                    self.by_beginning(record, line, out)
                }
            })
            .unwrap_or(Outcome::Odd("unknown-line"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_side_by_side() {
        for (format, line, uri) in [
            (
                "$status $scheme://$host$request_uri",
                "403 http://a.example/ws?u=1",
                "/ws?u=1",
            ),
            ("$status $uri$is_args$args", "101 /ws?u=1", "/ws?u=1"),
        ] {
            let layout = Layout::compile(format).expect("a format");
            let (values, _) = layout.read(line.as_bytes(), false).expect("fits");
            assert_eq!(values.get(Var::Uri), Some(uri.as_bytes()), "{format}");
        }
    }
}
