//! Captures, logs and configuration of an incident -> why each WebSocket connection dropped, who ended it, what fixes it.

pub mod model;
pub mod diagnose;
