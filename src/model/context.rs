//! What the case knows beside its connections: process lines, settings, and where the evidence begins and ends.

use super::line::{AppLine, HopLine};
use super::settings::HopSettings;
use super::time::Moment;

/// Everything is in reference time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CaseContext {
    pub settings: Vec<HopSettings>,
    /// The path of each source, by its id.
    pub paths: Vec<String>,
    /// Lines of proxies that speak of the process, not of one connection (reload, stop, exhaustion), in order of time.
    pub hop_lines: Vec<HopLine>,
    /// Lines of applications that speak of the process, and those that could not be tied to one connection, in order of time.
    pub app_lines: Vec<AppLine>,
    /// First and last record of any source.
    pub window: Option<(Moment, Moment)>,
}
