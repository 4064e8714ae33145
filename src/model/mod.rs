//! Types that two rooms name which may not know each other: plain values, no behaviour beyond reading themselves.

pub mod adapted;
pub mod attempt;
pub mod connection;
pub mod context;
pub mod filter;
#[cfg(test)]
pub(crate) mod fixture;
pub mod heartbeat;
pub mod inert;
pub mod leg;
pub mod line;
pub mod loading;
pub mod local_zone;
pub mod note;
pub mod raw;
pub mod recent;
pub mod settings;
pub mod severity;
pub mod source;
pub mod time;
pub mod verdict;

pub use adapted::*;
pub use attempt::Attempt;
pub use connection::*;
pub use context::*;
pub use filter::{Filter, FilterError};
pub use heartbeat::{Heartbeat, heartbeats};
pub use inert::{InertJson, inert};
pub use leg::*;
pub use line::*;
pub use loading::*;
pub use local_zone::LocalZone;
pub use note::*;
pub use raw::*;
pub use recent::{OneCopy, Recent};
pub use settings::*;
pub use severity::*;
pub use source::*;
pub use time::*;
pub use verdict::*;
