//! Connections + rules -> verdicts, findings and incidents.

pub mod compose;
pub mod eval;
pub mod explain;
mod extract;
pub mod fact;
mod findings;
mod incident;
mod judge;
pub mod lint;
#[cfg(test)]
mod made_up;
mod outcome;
pub mod pack;
mod population;
pub mod rule;

pub use compose::{Names, verdict};
pub use eval::{Weighed, weigh};
pub use judge::{Judgement, facts, judge};
pub use lint::RuleError;
pub use pack::Pack;
