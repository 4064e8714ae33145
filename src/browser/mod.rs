//! What a browser recorded of itself (Chrome's net-export, HAR) -> what the client saw of each leg, and lines about its WebSockets.

mod har;
mod net_export;
mod net_leg;
#[cfg(test)]
mod tests;

use crate::model::{Anomaly, LegObservation, Line, SourceId, Stamp, Zone, ZoneBasis, add_anomaly};
use std::io::Read;

/// What was found, in the browser's own clock.
#[derive(Debug)]
pub enum Seen {
    Leg(Box<LegObservation>),
    Line(Box<Line>),
}

#[derive(Debug, Default)]
pub struct BrowserSummary {
    /// Events of a net-export (one a line), entries of a HAR: `records = used + odd`.
    pub records: u64,
    pub used: u64,
    pub odd: u64,
    pub first: Option<Stamp>,
    pub last: Option<Stamp>,
    pub zone: Option<Zone>,
    /// `Chrome 156 on Linux`.
    pub vantage: Option<String>,
    pub anomalies: Vec<Anomaly>,
}

impl BrowserSummary {
    fn saw(&mut self, at: Stamp) {
        self.first = Some(self.first.map_or(at, |f| f.min(at)));
        self.last = Some(self.last.map_or(at, |l| l.max(at)));
    }

    fn counted_from_the_epoch(&mut self) {
        self.zone = Some(Zone {
            offset_s: 0,
            basis: ZoneBasis::Epoch,
        });
    }

    fn odd(&mut self, kind: &str, record: u64, note: &str) {
        self.odd += 1;
        add_anomaly(&mut self.anomalies, kind, 1, record, note);
    }

    fn note(&mut self, kind: &str, record: u64, note: impl Into<String>) {
        add_anomaly(&mut self.anomalies, kind, 1, record, note);
    }
}

struct Format {
    name: &'static str,
    sniff: fn(&[u8]) -> bool,
    read: fn(SourceId, &mut dyn Read, &mut dyn FnMut(u64), &mut dyn FnMut(Seen)) -> BrowserSummary,
}

const FORMATS: &[Format] = &[
    Format {
        name: "chrome-net-export",
        sniff: net_export::sniff,
        read: net_export::read,
    },
    Format {
        name: "har",
        sniff: har::sniff,
        read: har::read,
    },
];

/// Names that `sniff` may give.
pub fn formats() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|f| f.name)
}

/// The format of this content, by the content alone.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    FORMATS.iter().find(|f| (f.sniff)(head)).map(|f| f.name)
}

/// Reads a whole file as the format that `sniff` named.
pub fn read(
    source: SourceId,
    name: &str,
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    emit: &mut dyn FnMut(Seen),
) -> BrowserSummary {
    match FORMATS.iter().find(|f| f.name == name) {
        Some(format) => (format.read)(source, input, progress, emit),
        None => BrowserSummary::default(),
    }
}
