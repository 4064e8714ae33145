//! A case -> the terminal UI over its analysis.

use super::failure::{Exit, Stop};
use super::meaning::Screen;
use super::selection::Chosen;
use crate::analysis::Options;
use crate::case::Case;
use crate::diagnose::Pack;
use crate::report::Zone;

/// This build, and this terminal, can show it.
#[cfg(not(feature = "tui"))]
pub(super) const fn possible() -> bool {
    false
}

#[cfg(feature = "tui")]
pub(super) fn possible() -> bool {
    crate::tui::usable()
}

#[cfg(not(feature = "tui"))]
pub(super) fn browse(
    _case: Case,
    _options: Options,
    _pack: Pack,
    _chosen: Option<Chosen>,
    _paths: String,
    _zone: Zone,
    _screen: &Screen,
) -> Result<Exit, Stop> {
    Ok(Exit::Done)
}

#[cfg(feature = "tui")]
pub(super) fn browse(
    case: Case,
    options: Options,
    pack: Pack,
    chosen: Option<Chosen>,
    paths: String,
    _zone: Zone,
    screen: &Screen,
) -> Result<Exit, Stop> {
    use super::failure::Failure;
    use super::meaning;
    use super::progress::Told;
    use crate::analysis::{self, CaseRaw};
    use crate::tui::{self, Theme, TuiOptions};

    let mut analysis = analysis::run(&case, &options, &pack, &Told::new(screen.progress));
    if let Some(failure) = meaning::nothing_used(&analysis, &paths) {
        return Err(failure.into());
    }
    let mut filter = String::new();
    if let Some(chosen) = chosen {
        filter = chosen.filter();
        chosen.without_filters().apply(&mut analysis);
    }
    let mut raw = CaseRaw::new(case, &analysis.sources, &options);
    let look = TuiOptions {
        theme: Theme {
            mono: !screen.look.color,
            ascii: screen.look.ascii,
        },
        filter,
        ..TuiOptions::default()
    };
    let farewell = tui::run(&analysis, &mut raw, &look)
        .map_err(|e| Failure::usage(format!("the terminal can't be used: {e}")))?;
    println!("{}", crate::model::inert(&farewell.line));
    if let Some(signal) = farewell.signal {
        return Ok(Exit::Signal(u8::try_from(signal).unwrap_or_default()));
    }
    Ok(Exit::Done)
}
