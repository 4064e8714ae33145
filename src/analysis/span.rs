//! `--since` and `--until` as typed -> moments, and the connections that lie between them.

use crate::model::{Analysis, MILLI_NS, Moment, SECOND_NS};
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime};

/// A point in time as the user said it; what it means depends on where the evidence ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeSpec {
    At(Moment),
    /// Nanoseconds from the last record; negative = before it.
    FromLast(i64),
    /// Days before the day of the last record, and the time of day in a zone that lies this many seconds east of UTC.
    /// `None` = the last such time that is not after the last record.
    Clock {
        days_back: Option<u64>,
        time: NaiveTime,
        offset_s: i32,
    },
}

impl TimeSpec {
    /// The later the last record, the later this, or the same.
    pub(super) fn resolve(&self, last: Moment) -> Moment {
        match *self {
            Self::At(at) => at,
            Self::FromLast(ns) => last.plus(ns),
            Self::Clock {
                days_back,
                time,
                offset_s,
            } => {
                let offset_ns = i64::from(offset_s) * SECOND_NS;
                let local = last.plus(offset_ns).utc().naive_utc();
                let on = |days| {
                    local
                        .date()
                        .checked_sub_days(Days::new(days))
                        .unwrap_or_else(|| local.date())
                        .and_time(time)
                };
                let picked = match days_back {
                    Some(days) => on(days),
                    None if on(0) <= local => on(0),
                    None => on(1),
                };
                Moment(picked.and_utc().timestamp_nanos_opt().unwrap_or(last.0)).plus(-offset_ns)
            }
        }
    }
}

/// `10:30`, `10:30:15`, `yesterday 14:00`, `2026-03-14`, `2026-03-14 09:27`, RFC 3339, `-15m`, `now-2h`.
/// Without a zone of its own it is read `offset_s` seconds east of UTC; `now` is the clock's moment.
pub fn parse_time(text: &str, offset_s: i32, now: Moment) -> Option<TimeSpec> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        let rest = rest.trim();
        let ns = if rest.is_empty() {
            0
        } else {
            parse_signed(rest)?
        };
        return Some(TimeSpec::At(now.plus(ns)));
    }
    if text.starts_with('-') || text.starts_with('+') {
        return parse_signed(text).map(TimeSpec::FromLast);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return at.timestamp_nanos_opt().map(|ns| TimeSpec::At(Moment(ns)));
    }
    let local = |at: NaiveDateTime| {
        let ns = at.and_utc().timestamp_nanos_opt()?;
        Some(TimeSpec::At(
            Moment(ns).plus(-i64::from(offset_s) * SECOND_NS),
        ))
    };
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ] {
        if let Ok(at) = NaiveDateTime::parse_from_str(text, format) {
            return local(at);
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return local(day.and_time(NaiveTime::MIN));
    }
    let (days_back, clock) = match text.split_once(char::is_whitespace) {
        Some(("yesterday", clock)) => (Some(1), clock.trim()),
        Some(("today", clock)) => (Some(0), clock.trim()),
        Some(_) => return None,
        None => (None, text),
    };
    let time = ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|f| NaiveTime::parse_from_str(clock, f).ok())?;
    Some(TimeSpec::Clock {
        days_back,
        time,
        offset_s,
    })
}

/// `-15m`, `+1h30m`, `-90s`: nanoseconds.
fn parse_signed(text: &str) -> Option<i64> {
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1, text.get(1..)?),
        b'+' => (1, text.get(1..)?),
        _ => return None,
    };
    let mut total: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit_len = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match rest.get(..unit_len)? {
            "ms" => MILLI_NS,
            "s" | "sec" => SECOND_NS,
            "m" | "min" => 60 * SECOND_NS,
            "h" => 3_600 * SECOND_NS,
            "d" => 86_400 * SECOND_NS,
            _ => return None,
        };
        rest = rest.get(unit_len..)?;
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    Some(sign * total)
}

/// Leaves out connections that were over before `since` or opened after `until`, and what speaks of them alone.
pub(super) fn keep(analysis: &mut Analysis, since: Option<&TimeSpec>, until: Option<&TimeSpec>) {
    if since.is_none() && until.is_none() {
        return;
    }
    let Some((_, last)) = analysis.window else {
        return;
    };
    let since = since.map(|s| s.resolve(last.at));
    let until = until.map(|s| s.resolve(last.at));
    analysis.retain(|judged, _| {
        let c = &judged.connection;
        let opened = c.opened.map_or(c.sort_at, |s| s.at);
        let early = since.is_some_and(|since| c.closed.is_some_and(|closed| closed.at < since));
        let late = until.is_some_and(|until| opened > until);
        !early && !late
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let at = |text: &str| {
            Moment(
                DateTime::parse_from_rfc3339(text)
                    .expect("a time")
                    .timestamp_nanos_opt()
                    .expect("in range"),
            )
        };
        let last = at("2026-03-14T09:30:47Z");
        let spec = parse_time(text, 3_600, at("2026-04-01T00:00:00Z"));
        assert_eq!(
            spec.map(|s| s.resolve(last).rfc3339(SECOND_NS)).as_deref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn times_as_people_say_them() {
        check("2026-03-14T09:27:00Z", Some("2026-03-14T09:27:00Z"));
        check("2026-03-14T09:27:00+02:00", Some("2026-03-14T07:27:00Z"));
        check("2026-03-14 09:27", Some("2026-03-14T08:27:00Z"));
        check("2026-03-14", Some("2026-03-13T23:00:00Z"));
        check("10:30", Some("2026-03-14T09:30:00Z"));
        check("10:31", Some("2026-03-13T09:31:00Z"));
        check("yesterday 14:00", Some("2026-03-13T13:00:00Z"));
        check("today 14:00", Some("2026-03-14T13:00:00Z"));
        check("-15m", Some("2026-03-14T09:15:47Z"));
        check("-1h30m", Some("2026-03-14T08:00:47Z"));
        check("now-2h", Some("2026-03-31T22:00:00Z"));
        check("now", Some("2026-04-01T00:00:00Z"));
        for wrong in [
            "",
            "-",
            "noon",
            "-15",
            "-15x",
            "25:00",
            "tomorrow 10:00",
            "2026-13-01",
            "-99999999999999d",
        ] {
            check(wrong, None);
        }
    }
}
