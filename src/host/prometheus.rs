//! A scrape in Prometheus' text exposition -> what stood at its limit, and which counters tell of connections that were not let in.

use super::{Found, HostFormat, HostReader};
use crate::model::{AppEvent, Moment, RecordRef, Stamp};
use crate::text::peel::Outer;
use crate::text::records::Verdict;
use crate::text::{self, between};
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) struct Prometheus;

impl HostFormat for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "# HELP process_open_fds Number of open file descriptors.\n# TYPE process_open_fds gauge\nprocess_open_fds 1021\nprocess_max_fds 1024",
            "# TYPE nginx_connections_accepted counter\nnginx_connections_accepted{host=\"lb\"} 1.2e+03 1796004593082\n# EOF",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::<Reader>::default()
    }
    fn fields(&self, line: &[u8], _: &Outer) -> Vec<(String, String)> {
        let Some(sample) = Sample::of(line.trim_ascii()) else {
            return vec![("text".to_owned(), text::string(line))];
        };
        let mut all = vec![
            ("metric".to_owned(), text::string(sample.name)),
            ("labels".to_owned(), text::string(sample.labels)),
            ("value".to_owned(), sample.value.to_string()),
        ];
        all.extend(sample.at.map(|at| ("time".to_owned(), at.rfc3339())));
        all
    }
}

/// One line: `name{label="v"} value [milliseconds]` (prometheus.io/docs/instrumenting/exposition_formats).
struct Sample<'a> {
    name: &'a [u8],
    /// What stands between the braces.
    labels: &'a [u8],
    value: f64,
    at: Option<Stamp>,
}

impl<'a> Sample<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let end = line
            .iter()
            .position(|c| !(c.is_ascii_alphanumeric() || matches!(c, b'_' | b':')))?;
        let (name, mut rest) = line.split_at(end);
        if name.is_empty() || name[0].is_ascii_digit() {
            return None;
        }
        let mut labels: &[u8] = b"";
        if rest.first() == Some(&b'{') {
            let close = closing(rest)?;
            labels = &rest[1..close];
            rest = &rest[close + 1..];
        }
        if !rest.first().is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        let mut words = rest
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        let value = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let at = match words.next() {
            None => None,
            Some(word) => {
                let ms = std::str::from_utf8(word).ok()?.parse::<i64>().ok()?;
                Some(Stamp::new(Moment::from_millis(ms), crate::model::MILLI_NS))
            }
        };
        words.next().is_none().then_some(Self {
            name,
            labels,
            value,
            at,
        })
    }

    fn label(&self, key: &[u8]) -> Option<&'a [u8]> {
        let open = [key, b"=\""].concat();
        between(self.labels, &open, b"\"")
    }
}

/// Where the braces close, quotes and backslashes heeded.
fn closing(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (i, c) in text.iter().enumerate() {
        match c {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(i),
            _ => {}
        }
    }
    None
}

/// A gauge and the one that limits it: names, the anomaly, and what it means.
const LIMITS: &[(&str, &str, &str, &str)] = &[
    (
        "process_open_fds",
        "process_max_fds",
        "descriptors-nearly-out",
        "descriptors of a process near its limit: it can't accept or open much more",
    ),
    (
        "node_filefd_allocated",
        "node_filefd_maximum",
        "descriptors-nearly-out",
        "descriptors of a host near its limit: nothing on it can open much more",
    ),
    (
        "node_nf_conntrack_entries",
        "node_nf_conntrack_entries_limit",
        "conntrack-nearly-full",
        "connection tracking near its limit: new connections are dropped at random once it is full",
    ),
    (
        "haproxy_frontend_current_sessions",
        "haproxy_frontend_limit_sessions",
        "connections-nearly-out",
        "sessions of an HAProxy frontend near its maxconn: further ones wait in the kernel's queue",
    ),
    (
        "haproxy_process_current_connections",
        "haproxy_process_max_connections",
        "connections-nearly-out",
        "connections of HAProxy near its global maxconn",
    ),
    (
        "haproxy_server_current_sessions",
        "haproxy_server_limit_sessions",
        "connections-nearly-out",
        "sessions of a server near its maxconn: further ones queue",
    ),
    (
        "nginx_connections_handled",
        "nginx_connections_accepted",
        "",
        "",
    ),
];

/// Of a gauge's limit: from here on it is near, and from there on it is reached.
const NEAR: f64 = 0.9;
const FULL: f64 = 0.995;

/// Counters and gauges that tell by being above a value: name, value, anomaly, meaning.
const ABOVE: &[(&str, f64, &str, &str)] = &[
    (
        "node_netstat_TcpExt_ListenOverflows",
        0.0,
        "accept-queue-overflows",
        "connections that found a full accept queue: the listening process did not accept as fast as clients came",
    ),
    (
        "node_netstat_TcpExt_ListenDrops",
        0.0,
        "accept-queue-overflows",
        "connections that were dropped at a listening socket",
    ),
    (
        "node_netstat_TcpExt_TCPAbortOnMemory",
        0.0,
        "tcp-memory",
        "connections that the kernel aborted for want of TCP memory",
    ),
    (
        "node_vmstat_oom_kill",
        0.0,
        "oom-kills",
        "processes killed by the OOM killer since boot; when, only the kernel's log tells",
    ),
    (
        "container_oom_events_total",
        0.0,
        "oom-kills",
        "out-of-memory events of a container; when, only its log or events tell",
    ),
    (
        "kube_pod_container_status_restarts_total",
        0.0,
        "restarts",
        "restarts of a container; when, only its events tell",
    ),
    (
        "haproxy_backend_current_queue",
        0.0,
        "queueing",
        "requests that wait for a free server of an HAProxy backend",
    ),
    (
        "haproxy_server_connection_errors_total",
        0.0,
        "upstream-errors",
        "connections to a server that failed",
    ),
    (
        "envoy_http_downstream_rq_idle_timeout",
        0.0,
        "idle-timeouts",
        "streams that Envoy ended because they were idle",
    ),
    (
        "envoy_http_downstream_cx_max_duration_reached",
        0.0,
        "lifetimes-reached",
        "connections that Envoy ended at their longest life",
    ),
    (
        "envoy_cluster_upstream_cx_overflow",
        0.0,
        "connections-nearly-out",
        "connections that Envoy's circuit breaker refused",
    ),
    (
        "nodejs_eventloop_lag_seconds",
        1.0,
        "event-loop-lag",
        "an event loop that lagged by more than a second: pings are answered late while it does",
    ),
    (
        "nodejs_eventloop_lag_max_seconds",
        1.0,
        "event-loop-lag",
        "an event loop that lagged by more than a second at its worst",
    ),
];

#[derive(Debug, Clone, Copy)]
struct Gauge {
    value: f64,
    record: RecordRef,
    at: Option<Stamp>,
}

#[derive(Debug, Default)]
struct Reader {
    /// A header was seen: short names are metrics, too.
    headed: bool,
    /// By name and labels; only those that `LIMITS` names.
    gauges: BTreeMap<(String, String), Gauge>,
}

/// Series kept of one file: an exporter's own are far fewer.
const MAX_SERIES: usize = 65_536;

impl HostReader for Reader {
    fn line(
        &mut self,
        record: RecordRef,
        line: &[u8],
        _: &Outer,
        found: &mut Found<'_>,
    ) -> Verdict {
        let line = line.trim_ascii();
        if let Some(comment) = line.strip_prefix(b"#") {
            let word = comment.trim_ascii_start();
            let header = [&b"HELP "[..], b"TYPE ", b"UNIT "]
                .iter()
                .any(|w| word.starts_with(w));
            if header || word == b"EOF" {
                self.headed = true;
                return Verdict::Used;
            }
            return if self.headed {
                Verdict::Used
            } else {
                Verdict::Odd("unknown-line")
            };
        }
        let Some(sample) = Sample::of(line) else {
            return Verdict::Odd("unknown-line");
        };
        if !self.headed && sample.labels.is_empty() && !sample.name.contains(&b'_') {
            return Verdict::Odd("unknown-line");
        }
        if let Some(at) = sample.at {
            found.wrapped(at);
        }
        let name = text::string(sample.name);
        // ingress-nginx counts both in one metric.
        let name = match (name.as_str(), sample.label(b"state")) {
            ("nginx_ingress_controller_nginx_process_connections_total", Some(b"handled")) => {
                "nginx_connections_handled".to_owned()
            }
            ("nginx_ingress_controller_nginx_process_connections_total", Some(b"accepted")) => {
                "nginx_connections_accepted".to_owned()
            }
            _ => name,
        };
        if let Some((metric, above, kind, meaning)) = ABOVE.iter().find(|(n, ..)| *n == name)
            && sample.value > *above
        {
            found.note(
                kind,
                record,
                format!("{metric} is {}: {meaning}", sample.value),
            );
        }
        let oom_killed = name == "kube_pod_container_status_last_terminated_reason"
            && sample.label(b"reason") == Some(b"OOMKilled")
            && sample.value > 0.0;
        if oom_killed {
            found.note(
                "oom-kills",
                record,
                "a container whose last end was by the OOM killer; when, only its events tell",
            );
        }
        let limit = LIMITS.iter().any(|(g, l, ..)| *g == name || *l == name);
        if limit && self.gauges.len() < MAX_SERIES {
            // The two of ingress-nginx differ in this label alone.
            let labels = text::string(sample.labels)
                .replace("state=\"handled\"", "")
                .replace("state=\"accepted\"", "");
            self.gauges.insert(
                (name, labels),
                Gauge {
                    value: sample.value,
                    record,
                    at: sample.at,
                },
            );
        }
        Verdict::Used
    }

    fn finish(&mut self, found: &mut Found<'_>) {
        for ((name, labels), gauge) in &self.gauges {
            let Some((_, limit_name, kind, meaning)) = LIMITS.iter().find(|(g, ..)| g == name)
            else {
                continue;
            };
            let Some(limit) = self
                .gauges
                .get(&((*limit_name).to_owned(), labels.clone()))
                .filter(|l| l.value.is_finite() && l.value > 0.0)
            else {
                continue;
            };
            if name == "nginx_connections_handled" {
                let lost = limit.value - gauge.value;
                if lost > 0.0 {
                    found.note(
                        "connections-dropped",
                        gauge.record,
                        format!(
                            "nginx accepted {} connections and handled {}: {lost} were closed at once, for want of \
                             worker_connections or descriptors",
                            limit.value, gauge.value
                        ),
                    );
                }
                continue;
            }
            if gauge.value < limit.value * NEAR {
                continue;
            }
            found.note(
                kind,
                gauge.record,
                format!("{name} {} of {}: {meaning}", gauge.value, limit.value),
            );
            if let Some(at) = gauge.at.filter(|_| gauge.value >= limit.value * FULL) {
                let message = format!("{name} {} of {}", gauge.value, limit.value);
                found.event(
                    gauge.record,
                    at,
                    AppEvent::Exhausted { message },
                    None,
                    None,
                );
            }
        }
    }
}
