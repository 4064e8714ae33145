//! Time stamps of every kind -> one unit: nanoseconds since the Unix epoch, UTC, each with the fineness it was rounded to.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

pub const SECOND_NS: i64 = 1_000_000_000;
pub const MILLI_NS: i64 = 1_000_000;
pub const MICRO_NS: i64 = 1_000;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted (years 1677 to 2262).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Moment(pub i64);

impl Moment {
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(MILLI_NS))
    }

    /// Nanoseconds from `earlier` to `self`; negative where `self` is the earlier one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    #[must_use]
    pub const fn plus(self, ns: i64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// RFC 3339, UTC, with as many digits as `tick_ns` carries (0, 3, 6 or 9).
    pub fn rfc3339(self, tick_ns: i64) -> String {
        let format = match tick_ns {
            t if t >= SECOND_NS => SecondsFormat::Secs,
            t if t >= MILLI_NS => SecondsFormat::Millis,
            t if t >= MICRO_NS => SecondsFormat::Micros,
            _ => SecondsFormat::Nanos,
        };
        self.utc().to_rfc3339_opts(format, true)
    }

    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }
}

/// A moment as a source wrote it: what happened lies in `[at, at + tick_ns)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    pub at: Moment,
    /// Nanoseconds; 1 second for nginx `$time_local`, 1 ms for `$msec`, 1 us or 1 ns for captures.
    pub tick_ns: i64,
}

impl Stamp {
    pub const fn new(at: Moment, tick_ns: i64) -> Self {
        Self { at, tick_ns }
    }

    pub fn rfc3339(self) -> String {
        self.at.rfc3339(self.tick_ns)
    }

    #[must_use]
    pub const fn plus(self, ns: i64) -> Self {
        Self {
            at: self.at.plus(ns),
            tick_ns: self.tick_ns,
        }
    }

    /// Nanoseconds between the spans of time that two stamps allow; 0 where they overlap.
    pub fn apart(self, other: Self) -> i64 {
        let (first, second) = if self.at <= other.at {
            (self, other)
        } else {
            (other, self)
        };
        second
            .at
            .since(first.at)
            .saturating_sub(first.tick_ns)
            .max(0)
    }

    /// The middle of what the stamp allows: the least wrong single value.
    pub const fn middle(self) -> Moment {
        self.at.plus(self.tick_ns / 2)
    }
}

/// `61.2 s`, `350 ms`, `5 min`: a duration as people say it.
pub fn say_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let seconds = ns as f64 / SECOND_NS as f64;
    if ns < MILLI_NS as u64 {
        format!("{sign}{} us", ns / 1_000)
    } else if ns < SECOND_NS as u64 {
        format!("{sign}{} ms", (ns + 500_000) / MILLI_NS as u64)
    } else if seconds < 600.0 {
        let text = format!("{seconds:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{sign}{text} s")
    } else if seconds < 7200.0 {
        format!("{sign}{:.1} min", seconds / 60.0)
    } else {
        format!("{sign}{:.1} h", seconds / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_stamps_are_apart() {
        for ((a, a_tick), (b, b_tick), expected) in [
            ((0, 1), (0, 1), 0),
            ((0, 1000), (999, 1), 0),
            ((0, 1000), (1500, 1), 500),
            ((1500, 1), (0, 1000), 500),
            ((10, 1), (30, 1000), 19),
        ] {
            let (a, b) = (Stamp::new(Moment(a), a_tick), Stamp::new(Moment(b), b_tick));
            assert_eq!(a.apart(b), expected, "{a:?} {b:?}");
        }
    }
}
