//! An analysis -> a terminal UI to browse it: drops by cause, the evidence ladder, why this verdict, the records themselves.

mod complete;
mod copy;
pub mod keys;
pub mod reasons;
pub mod rows;
mod run;
pub mod rungs;
pub mod state;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;

pub use run::{Farewell, run, usable};
pub use state::{State, TuiOptions};
pub use theme::Theme;

#[cfg(test)]
mod tests;
