//! Connections + rules -> findings.

pub mod fact;
