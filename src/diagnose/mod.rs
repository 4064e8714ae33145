//! Connections + rules -> verdicts, findings and incidents.

pub mod accuracy;
pub mod agree;
pub mod beside;
pub mod chance;
mod closer;
pub mod compare;
pub mod compose;
pub mod coverage;
pub mod eval;
pub mod explain;
mod extract;
pub mod fact;
mod findings;
pub mod handbook;
mod incident;
pub mod interplay;
mod judge;
pub mod lint;
#[cfg(test)]
mod look_alikes;
#[cfg(test)]
mod made_up;
mod names;
mod outcome;
pub mod overrides;
pub mod pack;
mod population;
mod program;
pub mod rule;
pub mod runbook;
pub mod schema;
pub mod template;
pub mod told;
mod truth;
pub mod whatif;

pub use compose::{Composer, Names};
pub use eval::{Weighed, weigh};
pub use findings::socket_leaks;
pub use judge::{Judgement, Listener, facts, judge};
pub use lint::RuleError;
pub use overrides::Overrides;
pub use pack::{BUILTIN, Pack};
