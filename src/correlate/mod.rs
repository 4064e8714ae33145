//! Observations of many vantage points -> connections, each once, on one time line.

use crate::model::{CaseContext, Connection, HopSettings, LegObservation, Line, Source};

/// All that was read of a case.
#[derive(Debug, Default)]
pub struct Observations {
    pub legs: Vec<LegObservation>,
    pub lines: Vec<Line>,
    pub settings: Vec<HopSettings>,
}

/// Ties everything together; writes clock offsets and vantage points into `sources`.
pub fn correlate(observations: Observations, _sources: &mut [Source]) -> (Vec<Connection>, CaseContext) {
    let context = CaseContext { settings: observations.settings, ..CaseContext::default() };
    (Vec::new(), context)
}
