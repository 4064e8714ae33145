//! Captures, logs and configuration of an incident -> why each WebSocket connection dropped, who ended it, what fixes it.

pub mod analysis;
pub mod browser;
pub mod capture;
pub mod case;
pub mod cli;
pub mod config;
pub mod correlate;
pub mod diagnose;
pub mod host;
pub mod logs;
pub mod model;
pub mod report;
mod text;
#[cfg(feature = "tui")]
pub mod tui;
