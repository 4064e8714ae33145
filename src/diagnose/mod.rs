//! Connections + rules -> verdicts, findings and incidents.

pub mod fact;

use crate::model::{CaseContext, Connection, Finding, Incident, Judged};

/// The rules in force.
#[derive(Debug)]
pub struct Pack {
    /// `builtin`, or `builtin + dir`.
    pub name: String,
}

#[derive(Debug, Default)]
pub struct Judgement {
    pub connections: Vec<Judged>,
    pub findings: Vec<Finding>,
    pub incidents: Vec<Incident>,
}

pub fn judge(_connections: Vec<Connection>, _context: &CaseContext, _pack: &Pack) -> Judgement {
    Judgement::default()
}
