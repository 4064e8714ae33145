//! An `Analysis` -> bytes for people and programs: one file for each form, none of which knows how the analysis was made.

pub mod csv;
pub mod gate;
pub mod github;
mod groups;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod ndjson;
mod redact;
pub mod sarif;
pub mod show;
pub mod sources;
mod style;
pub mod text;
pub mod veil;

pub use groups::ranked;
pub use redact::{Redact, Redactor};
pub use style::{Look, width_of};

use crate::model::Stamp;

/// What of the case a report shows, where that is not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    pub shown: usize,
    pub of: usize,
    /// The words that chose: `-w cause:idle-timeout`.
    pub by: String,
}

/// The command that writes the same report again, hostile text still.
fn again(paths: &str, selected: Option<&Selected>) -> String {
    let by = selected.map_or_else(String::new, |s| format!(" {}", s.by));
    format!("wsdrop report {paths}{by}")
}

/// How the stamps of a text report are written: seconds east of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Zone(pub i32);

impl Zone {
    /// `+0200`, or `UTC`.
    pub fn name(self) -> String {
        if self.0 == 0 {
            return "UTC".to_owned();
        }
        let minutes = self.0.unsigned_abs() / 60;
        format!(
            "{}{:02}:{:02}",
            if self.0 < 0 { '-' } else { '+' },
            minutes / 60,
            minutes % 60
        )
    }

    fn shifted(self, stamp: Stamp) -> chrono::DateTime<chrono::Utc> {
        stamp
            .at
            .plus(i64::from(self.0).saturating_mul(crate::model::SECOND_NS))
            .utc()
    }

    /// `20:58:35.563`, as finely as the stamp is known, at most `digits` behind the second.
    pub fn time(self, stamp: Stamp, digits: usize) -> String {
        let known = match stamp.tick_ns {
            t if t >= crate::model::SECOND_NS => 0,
            t if t >= crate::model::MILLI_NS => 3,
            t if t >= crate::model::MICRO_NS => 6,
            _ => 9,
        };
        let at = self.shifted(stamp);
        match known.min(digits) {
            0 => at.format("%H:%M:%S").to_string(),
            n if n < 6 => at.format("%H:%M:%S%.3f").to_string(),
            n if n < 9 => at.format("%H:%M:%S%.6f").to_string(),
            _ => at.format("%H:%M:%S%.9f").to_string(),
        }
    }

    pub fn date(self, stamp: Stamp) -> String {
        self.shifted(stamp).format("%Y-%m-%d").to_string()
    }
}
