//! An analysis -> a terminal UI to browse it: drops by cause, the evidence ladder, why this verdict, the records themselves.

pub mod complete;
mod copy;
mod edit;
pub mod export;
pub mod facets;
pub mod feed;
pub mod happenings;
pub mod keys;
mod live;
mod marked;
pub mod oddities;
mod open;
mod overview;
pub mod palette;
pub mod reasons;
pub mod rows;
pub mod rulebook;
mod run;
pub mod rungs;
mod spots;
pub mod state;
pub mod story;
pub mod text;
pub mod theme;
mod typing;
pub mod update;
pub mod view;

pub use export::{Exporter, NoExport};
pub use feed::{Fed, Feed, Keeper, Outside, Shown};
pub use rulebook::RulePage;
pub use run::{Farewell, run, usable};
pub use state::{State, TuiOptions};
pub use theme::Theme;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_live;
#[cfg(test)]
mod tests_panes;
