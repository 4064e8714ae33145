//! What rules and overrides of the user's own changed of an analysis, so that every reader of it can tell.

use super::severity::{Severity, severity_of};
use super::verdict::Analysis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One override in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptation {
    /// `rules/overrides.toml:3`.
    pub place: String,
    /// What is different: `W404 client-abort is info`.
    pub what: String,
    /// The reason that the user gave.
    pub why: String,
    /// Connections that it was applied to; `None` where it stands for the whole case.
    pub connections: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Adapted {
    /// In order of their places.
    pub overrides: Vec<Adaptation>,
    /// Severities other than the catalogue's, by code.
    pub severities: BTreeMap<String, Severity>,
}

impl Adaptation {
    /// `lb closes what is silent for 90 s, on 6 connections: its configuration is not ours (rules/overrides.toml:6)`.
    pub fn sentence(&self) -> String {
        let on = match self.connections {
            None => String::new(),
            Some(1) => ", on 1 connection".to_owned(),
            Some(n) => format!(", on {n} connections"),
        };
        format!("{}{on}: {} ({})", self.what, self.why, self.place)
    }
}

impl Analysis {
    /// How much a rule matters here: as the user says, else as the catalogue does.
    pub fn severity(&self, code: &str) -> Severity {
        self.adapted
            .severities
            .get(code)
            .copied()
            .unwrap_or_else(|| severity_of(code))
    }
}
