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
pub fn survey(observations: Observations, sources: &mut [Source]) -> Option<(Moment, Moment)> {
    let Observations {
        mut legs,
        mut lines,
        settings,
    } = observations;
    // Of connections the sources tell one thing: which encrypted ones were left out.
    if legs.iter().any(|l| l.protocol == LegProtocol::Tls) {
        let observations = Observations {
            legs,
            lines,
            settings,
        };
        return tie(observations, sources).1.window;
    }
    copies::drop_copies(&mut lines, sources);
    clock::align(&mut legs, &mut lines, sources);
    window(sources)
}

fn tie(observations: Observations, sources: &mut [Source]) -> (Vec<draft::Draft>, CaseContext) {
    let Observations {
        mut legs,
        mut lines,
        settings,
    } = observations;
    copies::drop_copies(&mut lines, sources);
    clock::align(&mut legs, &mut lines, sources);
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
