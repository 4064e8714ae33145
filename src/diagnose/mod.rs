//! Connections + rules -> verdicts, findings and incidents.

pub mod compose;
pub mod eval;
pub mod explain;
pub mod fact;
pub mod lint;
pub mod pack;
pub mod rule;

use crate::model::{CaseContext, Connection, Finding, Incident, Judged};

pub use compose::{Names, verdict};
pub use eval::{Weighed, weigh};
pub use lint::RuleError;
pub use pack::Pack;

#[derive(Debug, Default)]
pub struct Judgement {
    pub connections: Vec<Judged>,
    pub findings: Vec<Finding>,
    pub incidents: Vec<Incident>,
}

pub fn judge(_connections: Vec<Connection>, _context: &CaseContext, _pack: &Pack) -> Judgement {
    Judgement::default()
}
