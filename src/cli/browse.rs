//! A case -> the terminal UI over its analysis.

use super::failure::{Exit, Stop};
use super::meaning::Screen;
use crate::analysis::Options;
use crate::case::Case;
use crate::diagnose::Pack;
use crate::report::Zone;

/// This build, and this terminal, can show it.
pub(super) const fn possible() -> bool {
    false
}

pub(super) fn browse(
    _case: Case,
    _options: Options,
    _pack: Pack,
    _paths: String,
    _zone: Zone,
    _screen: &Screen,
) -> Result<Exit, Stop> {
    Ok(Exit::Done)
}
