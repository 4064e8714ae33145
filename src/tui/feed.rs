//! What the UI asks of those who read files: the analysis as it grows, how far the reading is, records, exports.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{Analysis, Loading, Notes, RawReader, RecordRef};

use super::export::Exporter;

/// What has come since it was last asked.
#[derive(Debug, Clone)]
pub enum Fed {
    Nothing,
    /// A newer analysis; it is the last one where [`Feed::loading`] is `None` from here on.
    Newer(Arc<Analysis>),
    /// Nothing will come, and there is nothing to look at: the UI leaves.
    End,
}

/// Where analyses come from.
pub trait Feed {
    fn next(&mut self) -> Fed;
    /// How far the reading is; `None` once the last analysis was handed out.
    fn loading(&mut self) -> Option<Loading>;
    /// Reads no further; an analysis of what was read follows.
    fn stop(&mut self);
    /// Hides tokens, cookies and payload in all that is handed out from here on, or shows them again; what was handed out last
    /// comes once more.
    fn veil(&mut self, on: bool);
    /// Reads all files again.
    fn reload(&mut self) -> Result<(), String>;
}

/// What became of a record that was to be shown in another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The program has its own window, and this is what to say of it.
    Beside(String),
    /// The program needs this terminal: the UI steps aside and calls [`Keeper::take_over`].
    NeedsTerminal(RecordRef),
}

/// What lives longer than the session, and other programs.
pub trait Keeper {
    /// Keeps the marks and notes whose ids are in `changed`.
    fn keep(&mut self, notes: &Notes, changed: &BTreeSet<String>) -> Result<(), String>;
    /// Shows a record in the program that is made for it.
    fn show(&mut self, record: RecordRef) -> Result<Shown, String>;
    /// The same on this terminal, which is given back for that long.
    fn take_over(&mut self, record: RecordRef) -> Result<(), String>;
}

/// All of it, in one hand.
pub trait Outside: Feed + RawReader + Exporter + Keeper {}

impl<T: Feed + RawReader + Exporter + Keeper> Outside for T {}
