//! An analysis -> a terminal UI to browse it: drops by cause, the evidence ladder, why this verdict, the records themselves.

mod complete;
mod copy;
mod edit;
pub mod export;
pub mod happenings;
pub mod keys;
mod marked;
mod overview;
pub mod palette;
pub mod reasons;
pub mod rows;
pub mod rulebook;
mod run;
pub mod rungs;
pub mod state;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;

pub use export::{Exporter, NoExport};
pub use run::{Farewell, run, usable};
pub use state::{State, TuiOptions};
pub use theme::Theme;

#[cfg(test)]
mod tests;
