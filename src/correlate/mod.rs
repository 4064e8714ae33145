//! Observations of many vantage points -> connections, each once, on one time line.

mod apps;
mod build;
mod clock;
mod copies;
mod cut;
mod draft;
mod ending;
mod flows;
mod hops;
mod identity;
mod join;
mod legs;
mod sealed;

use crate::model::{
    CaseContext, Connection, HopSettings, LegObservation, LegProtocol, Line, Moment, Source,
};

/// All that was read of a case.
#[derive(Debug, Default)]
pub struct Observations {
    pub legs: Vec<LegObservation>,
    pub lines: Vec<Line>,
    pub settings: Vec<HopSettings>,
}

/// Ties everything together; writes clock offsets and vantage points into `sources`.
pub fn correlate(
    observations: Observations,
    sources: &mut [Source],
) -> (Vec<Connection>, CaseContext) {
    let (drafts, context) = tie(observations, sources);
    let places = hops::Places::survey(&drafts, &context.settings);
    (build::connections(drafts, &places), context)
}

/// Writes the same into `sources`, for whoever does not want the connections; gives the first and last record in reference time.
pub fn survey(mut observations: Observations, sources: &mut [Source]) -> Option<(Moment, Moment)> {
    // Of connections the sources tell one thing: which encrypted ones were left out.
    let encrypted = |l: &LegObservation| l.protocol == LegProtocol::Tls;
    if observations.legs.iter().any(encrypted) {
        return tie(observations, sources).1.window;
    }
    settle(&mut observations, sources);
    window(sources)
}

/// Leaves out what was collected twice, and moves the rest to reference time.
fn settle(observations: &mut Observations, sources: &mut [Source]) {
    copies::drop_copies(&mut observations.lines, sources);
    clock::align(&mut observations.legs, &mut observations.lines, sources);
}

fn tie(mut observations: Observations, sources: &mut [Source]) -> (Vec<draft::Draft>, CaseContext) {
    settle(&mut observations, sources);
    let Observations {
        legs,
        lines,
        settings,
    } = observations;
    let mut chains = legs::chains(legs);
    cut::complete(&mut chains, &lines);
    let (drafts, rest) = join::drafts(chains, lines, &settings);
    for record in &rest.unknown {
        if let Some(source) = sources.get_mut(record.source.0 as usize) {
            let note = "encrypted connections whose records could be those of any HTTP were left out: with their TLS secrets (SSLKEYLOGFILE) they can be read";
            source.anomaly("tls-unknown-content", 1, record.ordinal, note);
        }
    }
    let context = CaseContext {
        settings,
        paths: sources.iter().map(|s| s.path.clone()).collect(),
        hop_lines: rest.hop_lines,
        app_lines: rest.app_lines,
        window: window(sources),
    };
    (drafts, context)
}

/// First and last record of any source, in reference time.
fn window(sources: &[Source]) -> Option<(Moment, Moment)> {
    let first = sources.iter().filter_map(|s| s.first).map(|s| s.at).min()?;
    let last = sources.iter().filter_map(|s| s.last).map(|s| s.at).max()?;
    Some((first, last))
}
