//! Process lines and incidents -> what the Timeline lists and marks, in order of time.

use crate::model::{Analysis, Moment, RecordRef};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Indices into `Analysis::marks`, `Analysis::incidents`.
    Mark(usize),
    Incident(usize),
}

pub fn build(analysis: &Analysis) -> Vec<Happening> {
    let marks = (0..analysis.marks.len()).map(Happening::Mark);
    let incidents = (0..analysis.incidents.len()).map(Happening::Incident);
    let mut all: Vec<Happening> = incidents.chain(marks).collect();
    all.sort_by_key(|h| h.at(analysis));
    all
}

impl Happening {
    pub fn at(self, analysis: &Analysis) -> Moment {
        match self {
            Self::Mark(i) => analysis.marks.get(i).map_or(Moment(0), |m| m.at.at),
            Self::Incident(i) => analysis.incidents.get(i).map_or(Moment(0), |i| i.start.at),
        }
    }

    pub fn record(self, analysis: &Analysis) -> Option<RecordRef> {
        match self {
            Self::Mark(i) => analysis.marks.get(i).map(|m| m.record),
            Self::Incident(_) => None,
        }
    }
}

/// The times that the Timeline shows: the evidence's window, widened to all connections, never empty.
pub fn whole(analysis: &Analysis) -> (i64, i64) {
    let ends = analysis.connections.iter().flat_map(|j| {
        let c = &j.connection;
        [c.sort_at.0, c.closed.map_or(c.sort_at.0, |s| s.at.0)]
    });
    let window = analysis.window.iter().flat_map(|(a, b)| [a.at.0, b.at.0]);
    let all = || ends.clone().chain(window.clone());
    let (lo, hi) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
    (lo, hi.max(lo.saturating_add(1_000_000)))
}
