//! Configuration files of proxies and load balancers -> the settings of a hop, each with its line.

mod alb;
mod envoy;
mod haproxy;
mod nginx;
mod nginx_text;
mod units;
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
    /// One line that was not understood.
    fn odd(&mut self, kind: &str, line: u64, note: impl Into<String>) {
        self.odd += 1;
        add_anomaly(&mut self.anomalies, kind, 1, line, note);
    }
}

/// A kind of configuration.
struct Reader {
    name: &'static str,
    /// The first lines are of this kind.
    fits: fn(&str) -> bool,
    read: fn(SourceId, &str, &mut ConfigSummary),
}

/// In order of how sure their marks are.
const READERS: &[Reader] = &[
    Reader {
        name: "alb-attributes",
        fits: alb::fits,
        read: alb::read,
    },
    Reader {
        name: "envoy-yaml",
        fits: envoy::fits,
        read: envoy::read,
    },
    Reader {
        name: "haproxy-cfg",
        fits: haproxy::fits,
        read: haproxy::read,
    },
    Reader {
        name: "nginx-conf",
        fits: nginx::fits,
        read: nginx::read,
    },
];

/// Bytes looked at to choose a reader.
const HEAD: usize = 64 * 1024;
/// A longer file is no configuration that anybody wrote.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The reader for this content (`nginx-conf`, `haproxy-cfg`, `alb-attributes`, `envoy-yaml`), by content alone.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(HEAD)];
    if memchr::memchr(0, head).is_some() {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    READERS.iter().find(|r| (r.fits)(text)).map(|r| r.name)
}

pub fn read(source: SourceId, reader: &str, text: &[u8]) -> ConfigSummary {
    let mut summary = ConfigSummary::default();
    let Some(reader) = READERS.iter().find(|r| r.name == reader) else {
        add_anomaly(
            &mut summary.anomalies,
            "unknown-format",
            1,
            0,
            "no such configuration reader; nothing was read",
        );
        return summary;
    };
    if text.len() > MAX_BYTES {
        add_anomaly(
            &mut summary.anomalies,
            "too-long",
            1,
            0,
            "only the first 16 MiB of this configuration were read",
        );
    }
    let text = String::from_utf8_lossy(&text[..text.len().min(MAX_BYTES)]);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    summary.lines = text.lines().filter(|l| !l.trim().is_empty()).count() as u64;
    (reader.read)(source, text, &mut summary);
    summary
}

#[cfg(test)]
mod tests;
