//! Configuration files of proxies and load balancers -> the settings of a hop, each with its line.

mod alb;
mod apache;
mod caddy;
mod duration;
mod envoy;
mod haproxy;
mod kubernetes;
mod nginx;
mod nginx_tree;
#[cfg(test)]
mod tests;
mod traefik;
mod words;
mod yaml;

use crate::model::{Anomaly, HopSettings, SourceId, add_anomaly};

#[derive(Debug, Clone, Default)]
pub struct ConfigSummary {
    pub settings: Vec<HopSettings>,
    /// nginx `log_format` definitions: name, format string.
    pub log_formats: Vec<(String, String)>,
    pub lines: u64,
    pub odd: u64,
    pub anomalies: Vec<Anomaly>,
}

impl ConfigSummary {
    fn note(&mut self, kind: &str, line: u64, note: &str) {
        self.odd += 1;
        add_anomaly(&mut self.anomalies, kind, 1, line, note);
    }

    fn bad_value(&mut self, line: u64) {
        self.note(
            "bad-value",
            line,
            "a duration that its program would not accept; the setting is left out",
        );
    }
}

struct Reader {
    name: &'static str,
    sniff: fn(&str) -> bool,
    read: fn(SourceId, &str, &mut ConfigSummary),
}

/// Every known configuration format. No content fits two of them, so the order does not matter.
const READERS: &[Reader] = &[
    Reader {
        name: "nginx-conf",
        sniff: nginx::sniff,
        read: nginx::read,
    },
    Reader {
        name: "haproxy-cfg",
        sniff: haproxy::sniff,
        read: haproxy::read,
    },
    Reader {
        name: "alb-attributes",
        sniff: alb::sniff,
        read: alb::read,
    },
    Reader {
        name: "envoy-yaml",
        sniff: envoy::sniff,
        read: envoy::read,
    },
    Reader {
        name: "traefik",
        sniff: traefik::sniff,
        read: traefik::read,
    },
    Reader {
        name: "caddyfile",
        sniff: caddy::sniff,
        read: caddy::read,
    },
    Reader {
        name: "apache-conf",
        sniff: apache::sniff,
        read: apache::read,
    },
    Reader {
        name: "kubernetes",
        sniff: kubernetes::sniff,
        read: kubernetes::read,
    },
];

/// Names that `sniff` may give.
pub fn formats() -> impl Iterator<Item = &'static str> {
    READERS.iter().map(|r| r.name)
}

/// `sniff` looks no further than this.
const HEAD_BYTES: usize = 64 * 1024;

/// The name of the reader for this content, by content alone.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    if head.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}');
    READERS.iter().find(|r| (r.sniff)(text)).map(|r| r.name)
}

/// Reads the whole text of one file with the reader `sniff` named; an unknown name reads nothing.
pub fn read(source: SourceId, reader: &str, text: &[u8]) -> ConfigSummary {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches('\u{feff}');
    let mut summary = ConfigSummary {
        lines: text.lines().count() as u64,
        ..ConfigSummary::default()
    };
    if let Some(r) = READERS.iter().find(|r| r.name == reader) {
        (r.read)(source, text, &mut summary);
    }
    summary.odd = summary.odd.min(summary.lines);
    summary
}

/// The fixed text that every match of an anchored regular expression starts with: `^/ws/(.*)$` -> `/ws/`; empty where none is sure.
fn literal_prefix(regex: &str) -> String {
    let Some(rest) = regex.strip_prefix('^') else {
        return String::new();
    };
    let mut prefix = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '?' | '*' | '{' => {
                prefix.pop();
                break;
            }
            '\\' => match chars.next() {
                Some(e) if e.is_ascii_punctuation() => prefix.push(e),
                _ => break,
            },
            '.' | '+' | '(' | ')' | '[' | '|' | '^' | '$' => break,
            c => prefix.push(c),
        }
    }
    // An alternative outside brackets starts with something else.
    let mut depth = 0_i32;
    for c in rest.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth <= 0 => return String::new(),
            _ => {}
        }
    }
    prefix
}
