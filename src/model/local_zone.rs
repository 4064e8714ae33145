//! The zone of clocks that do not name one -> how far east of UTC each time on them was.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// Where a wall clock hangs: as far east of UTC all the year, or in a place whose rules change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalZone {
    /// Seconds east of UTC.
    Fixed(i32),
    Named(Tz),
}

impl Default for LocalZone {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl LocalZone {
    /// `Europe/Berlin`, in any case, as the IANA time zone database has it.
    pub fn named(name: &str) -> Option<Self> {
        Tz::from_str_insensitive(name).ok().map(Self::Named)
    }

    /// Seconds east of UTC where the clock on the wall shows `wall_s`, counted as if that were UTC. An hour that is passed twice is taken for
    /// its first time, and one that is left out for the time it would have been had the clock not been put forward.
    pub fn offset_at(self, wall_s: i64) -> i32 {
        match self {
            Self::Fixed(offset_s) => offset_s,
            Self::Named(zone) => {
                let Some(wall) = DateTime::from_timestamp(wall_s, 0) else {
                    return 0;
                };
                offset(zone, wall.naive_utc())
            }
        }
    }
}

fn offset(zone: Tz, wall: NaiveDateTime) -> i32 {
    match zone.offset_from_local_datetime(&wall) {
        MappedLocalTime::Single(o) | MappedLocalTime::Ambiguous(o, _) => o.fix().local_minus_utc(),
        MappedLocalTime::None => {
            let before = wall - chrono::TimeDelta::days(1);
            let found = zone.offset_from_local_datetime(&before).earliest();
            found.map_or(0, |o| o.fix().local_minus_utc())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_changes_its_clocks() {
        let berlin = LocalZone::named("europe/berlin").expect("a place");
        for (wall, hours) in [
            ("2026-01-15T12:00:00Z", 1),
            ("2026-07-15T12:00:00Z", 2),
            // Put forward from 02:00 to 03:00, and back from 03:00 to 02:00.
            ("2026-03-29T01:59:59Z", 1),
            ("2026-03-29T02:30:00Z", 1),
            ("2026-03-29T03:00:00Z", 2),
            ("2026-10-25T01:59:59Z", 2),
            ("2026-10-25T02:30:00Z", 2),
            ("2026-10-25T03:00:00Z", 1),
        ] {
            let at = DateTime::parse_from_rfc3339(wall).expect(wall).timestamp();
            assert_eq!(berlin.offset_at(at), hours * 3_600, "{wall}");
        }
        assert_eq!(LocalZone::Fixed(-19_800).offset_at(0), -19_800);
        assert_eq!(LocalZone::named("Europe/Atlantis"), None);
        assert_eq!(berlin.offset_at(i64::MAX), 0);
    }
}
