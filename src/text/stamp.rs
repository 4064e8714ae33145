//! Dates as logs write them -> moments, each with its fineness and the offset it carried.

use super::near::{digits, number};
use crate::model::{LocalZone, Moment, SECOND_NS, Stamp, Zone, ZoneBasis};

/// A date read from the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    /// Seconds since the epoch as if the date were UTC.
    wall_s: i64,
    nanos: i64,
    pub(crate) tick_ns: i64,
    /// Seconds east of UTC, as written.
    pub(crate) offset_s: Option<i32>,
    /// Bytes up to the fraction of its second; 0 where dates of one second do not begin alike.
    second: usize,
    /// Bytes that were read.
    pub(crate) len: usize,
}

impl Date {
    /// One that names no zone.
    const fn local(wall_s: i64, (nanos, tick_ns): (i64, i64), len: usize) -> Self {
        Self {
            wall_s,
            nanos,
            tick_ns,
            offset_s: None,
            second: 0,
            len,
        }
    }

    /// The stamp, with the zone of clocks that name none for a date without an offset, and how its zone is known.
    pub(crate) fn stamp(self, assumed: LocalZone) -> (Stamp, Zone) {
        let (offset_s, basis) = match self.offset_s {
            Some(o) => (o, ZoneBasis::Line),
            None => (assumed.offset_at(self.wall_s), ZoneBasis::Assumed),
        };
        let ns = (self.wall_s - i64::from(offset_s))
            .saturating_mul(SECOND_NS)
            .saturating_add(self.nanos);
        (
            Stamp::new(Moment(ns), self.tick_ns),
            Zone { offset_s, basis },
        )
    }

    /// The stamp of a date that is UTC where it does not say otherwise.
    pub(crate) fn utc(self) -> Stamp {
        self.stamp(LocalZone::default()).0
    }
}

fn two(b: &[u8], at: usize) -> Option<i64> {
    let (a, b) = (
        b.get(at)?.wrapping_sub(b'0'),
        b.get(at + 1)?.wrapping_sub(b'0'),
    );
    (a < 10 && b < 10).then(|| i64::from(a) * 10 + i64::from(b))
}

fn four(b: &[u8], at: usize) -> Option<i64> {
    Some(two(b, at)? * 100 + two(b, at + 2)?)
}

fn month(b: &[u8], at: usize) -> Option<i64> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let name = b.get(at..at + 3)?;
    NAMES
        .chunks_exact(3)
        .position(|m| m == name)
        .map(|i| i as i64 + 1)
}

/// Days from 1970-01-01 of a date in the Gregorian calendar; `None` for a date that is none, or outside 1970 to 2261.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1970..=2261).contains(&year) || !(1..=in_month).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y / 400;
    let yoe = y - era * 400;
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    Some(era * 146_097 + doe - 719_468)
}

/// `hh:mm:ss` at `at`, as seconds of the day (a leap second counts as the next one).
fn clock(b: &[u8], at: usize) -> Option<i64> {
    if b.get(at + 2) != Some(&b':') || b.get(at + 5) != Some(&b':') {
        return None;
    }
    let (h, m, s) = (two(b, at)?, two(b, at + 3)?, two(b, at + 6)?);
    (h < 24 && m < 60 && s <= 60).then_some(h * 3600 + m * 60 + s)
}

/// `.885`, `,005`: nanoseconds, tick, bytes.
fn fraction(b: &[u8], at: usize) -> (i64, i64, usize) {
    if !matches!(b.get(at), Some(b'.' | b',')) {
        return (0, SECOND_NS, 0);
    }
    let digits = b[at + 1..]
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .count();
    if digits == 0 {
        return (0, SECOND_NS, 0);
    }
    let (mut nanos, mut tick) = (0, SECOND_NS);
    for c in b[at + 1..].iter().take(digits.min(9)) {
        tick /= 10;
        nanos += i64::from(c - b'0') * tick;
    }
    (nanos, tick, digits + 1)
}

/// `Z`, `+0530`, `+05:30`, `+05`, with one blank before it: seconds, bytes.
fn zone(b: &[u8], at: usize) -> Option<(i32, usize)> {
    let skip = usize::from(b.get(at) == Some(&b' '));
    let sign = match b.get(at + skip)? {
        b'Z' if skip == 0 => return Some((0, 1)),
        b'U' if b.get(at + skip..at + skip + 3) == Some(b"UTC") => return Some((0, skip + 3)),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let at = at + skip + 1;
    let hours = two(b, at)?;
    let (minutes, len) = if b.get(at + 2) == Some(&b':') {
        (two(b, at + 3)?, 5)
    } else if let Some(m) = two(b, at + 2) {
        (m, 4)
    } else {
        (0, 2)
    };
    if hours > 14 || minutes > 59 || b.get(at + len).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    Some((sign * (hours * 3600 + minutes * 60) as i32, skip + 1 + len))
}

fn with_tail(b: &[u8], wall_s: i64, at: usize) -> Date {
    let (nanos, tick_ns, frac) = fraction(b, at);
    let (offset_s, len) = match zone(b, at + frac) {
        Some((o, n)) => (Some(o), n),
        None => (None, 0),
    };
    Date {
        wall_s,
        nanos,
        tick_ns,
        offset_s,
        second: at,
        len: at + frac + len,
    }
}

/// `2026-11-20T21:42:30.123Z`, `2026-11-20 21:42:30,123`, `2026/11/20 21:42:30 +0530` ...
pub(crate) fn iso(b: &[u8]) -> Option<Date> {
    let separator = *b.get(4)?;
    if !matches!(separator, b'-' | b'/') || b.get(7) != Some(&separator) {
        return None;
    }
    if !matches!(b.get(10)?, b'T' | b' ' | b't') {
        return None;
    }
    let day = days(four(b, 0)?, two(b, 5)?, two(b, 8)?)?;
    Some(with_tail(b, day * 86_400 + clock(b, 11)?, 19))
}

/// `20/Nov/2026:21:42:30 +0000`, `20/Nov/2026:21:42:46.885`: nginx `$time_local`, HAProxy.
pub(crate) fn clf(b: &[u8]) -> Option<Date> {
    if b.get(2) != Some(&b'/') || b.get(6) != Some(&b'/') || b.get(11) != Some(&b':') {
        return None;
    }
    let day = days(four(b, 7)?, month(b, 3)?, two(b, 0)?)?;
    Some(with_tail(b, day * 86_400 + clock(b, 12)?, 20))
}

/// `Nov 20 21:42:53`: RFC 3164 4.1.2, a date without a year, which `near` (a wall-clock moment) gives.
pub(crate) fn syslog(b: &[u8], near: Option<Moment>) -> Option<(Option<Date>, usize)> {
    let month = month(b, 0)?;
    if b.get(3) != Some(&b' ') {
        return None;
    }
    let day = match b.get(4)? {
        b' ' => i64::from(b.get(5)?.checked_sub(b'0').filter(|d| *d < 10)?),
        _ => two(b, 4)?,
    };
    if b.get(6) != Some(&b' ') || !(1..=31).contains(&day) {
        return None;
    }
    let clock = clock(b, 7)?;
    let (nanos, tick_ns, frac) = fraction(b, 15);
    let len = 15 + frac;
    let Some(near) = near else {
        return Some((None, len));
    };
    let near_s = near.0.div_euclid(SECOND_NS);
    // 365.2425 days: good enough to find the year, as its neighbours are tried as well.
    let year = 1970 + near_s.div_euclid(31_556_952);
    let wall_s = (year - 1..=year + 1)
        .filter_map(|y| Some(days(y, month, day)? * 86_400 + clock))
        .min_by_key(|s| (s - near_s).abs())?;
    Some((Some(Date::local(wall_s, (nanos, tick_ns), len)), len))
}

/// `21:42:53.123`: a time of day, whose day is the one that lies next to `near`.
pub(crate) fn time_of_day(b: &[u8], near: Option<Moment>) -> Option<(Option<Date>, usize)> {
    let clock = clock(b, 0)?;
    let (nanos, tick_ns, frac) = fraction(b, 8);
    let len = 8 + frac;
    let date = near.map(|near| {
        let near_s = near.0.div_euclid(SECOND_NS);
        let day = (near_s - clock + 43_200).div_euclid(86_400);
        Date::local(day * 86_400 + clock, (nanos, tick_ns), len)
    });
    Some((date, len))
}

/// `Fri Nov 20 21:42:30 2026` (asctime, `dmesg -T`), with a fraction after the seconds.
pub(crate) fn asctime(b: &[u8]) -> Option<Date> {
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    if !DAYS.contains(&b.get(..3)?) || b.get(3) != Some(&b' ') || b.get(7) != Some(&b' ') {
        return None;
    }
    let month = month(b, 4)?;
    let day = match b.get(8)? {
        b' ' => i64::from(b.get(9)?.checked_sub(b'0').filter(|d| *d < 10)?),
        _ => two(b, 8)?,
    };
    let clock = clock(b, 11)?;
    let (nanos, tick_ns, frac) = fraction(b, 19);
    if b.get(19 + frac) != Some(&b' ') {
        return None;
    }
    let day = days(four(b, 20 + frac)?, month, day)?;
    let len = 24 + frac;
    Some(Date::local(day * 86_400 + clock, (nanos, tick_ns), len))
}

/// Nanoseconds of the unit that a number since the epoch is written in, told by its size.
const fn unit_of(value: i64) -> i64 {
    match value {
        v if v > 100_000_000_000_000_000 => 1,
        v if v > 100_000_000_000_000 => 1_000,
        v if v > 100_000_000_000 => 1_000_000,
        _ => SECOND_NS,
    }
}

/// A number since the epoch whose unit its size tells (seconds, ms, us, ns), with a fraction: `1795210749.733`, `1795210749007`.
pub(crate) fn epoch(text: &[u8]) -> Option<Stamp> {
    if (9..=16).contains(&text.len())
        && let Some(value) = number(text)
    {
        let value = i64::try_from(value).ok()?;
        let unit = unit_of(value);
        let at = value.checked_mul(unit)?;
        return Some(Stamp::new(Moment(at), unit));
    }
    let whole = digits(text);
    if !(9..=19).contains(&whole) {
        return None;
    }
    let (head, tail) = text[..whole].split_at(whole.min(16));
    let mut value = number(head).and_then(|v| i64::try_from(v).ok())?;
    for c in tail {
        value = value.checked_mul(10)?.checked_add(i64::from(c - b'0'))?;
    }
    let unit = unit_of(value);
    let (mut nanos, mut tick, mut rest) = (0, unit, &text[whole..]);
    if let Some(digits) = rest.strip_prefix(b".") {
        let n = digits.iter().take_while(|c| c.is_ascii_digit()).count();
        for c in &digits[..n] {
            if tick < 10 {
                break;
            }
            tick /= 10;
            nanos += i64::from(c - b'0') * tick;
        }
        rest = &digits[n..];
    }
    // `1.795210749007e12`: too odd to be a time.
    if !rest.is_empty() {
        return None;
    }
    let at = value.checked_mul(unit)?.checked_add(nanos)?;
    // A float of seconds with more than microseconds is rounding noise.
    let tick = if unit == SECOND_NS && tick < 1_000 {
        1_000
    } else {
        tick
    };
    Some(Stamp::new(Moment(at), tick.max(1)))
}

/// `4.329` seconds in nanoseconds; `None` for `-` and what is no number.
pub(crate) fn seconds(text: &[u8]) -> Option<i64> {
    decimal(text, SECOND_NS)
}

/// A decimal number of units in nanoseconds, never negative.
pub(crate) fn decimal(text: &[u8], unit_ns: i64) -> Option<i64> {
    let whole = text.iter().take_while(|c| c.is_ascii_digit()).count();
    if whole == 0 || whole > 12 {
        return None;
    }
    let mut value = 0i64;
    for c in &text[..whole] {
        value = value * 10 + i64::from(c - b'0');
    }
    let mut ns = value.checked_mul(unit_ns)?;
    match text.get(whole) {
        None => {}
        Some(b'.') => {
            let mut unit = unit_ns;
            for c in &text[whole + 1..] {
                if !c.is_ascii_digit() {
                    return None;
                }
                unit /= 10;
                ns = ns.checked_add(i64::from(c - b'0') * unit)?;
            }
        }
        Some(_) => return None,
    }
    Some(ns)
}

/// Remembers the last date of a hot format: in a busy log most lines carry the same second as the line before, if not the same date.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    text: Vec<u8>,
    date: Option<Date>,
}

impl Memo {
    pub(crate) fn get(&mut self, text: &[u8], parse: fn(&[u8]) -> Option<Date>) -> Option<Date> {
        let begun = match self.date {
            Some(_) if self.text == text => return self.date,
            Some(date) if date.second > 0 => text
                .get(..date.second)
                .is_some_and(|second| self.text.starts_with(second))
                .then_some(date),
            _ => None,
        };
        self.date = match begun {
            Some(date) => Some(with_tail(text, date.wall_s, date.second)),
            None => parse(text),
        };
        self.text.clear();
        self.text.extend_from_slice(text);
        self.date
    }
}

/// Remembers the second of dates whose fractions differ from line to line.
#[derive(Debug, Default)]
pub(crate) struct Seconds {
    /// `2026-11-20T21:42:30`
    text: [u8; 19],
    at_s: Option<i64>,
}

impl Seconds {
    /// `2026-11-20T21:42:30.123456Z`, and nothing more or less.
    pub(crate) fn utc(&mut self, date: &[u8]) -> Option<Stamp> {
        let (second, rest) = date.split_first_chunk::<19>()?;
        let digits = rest.strip_prefix(b".")?.strip_suffix(b"Z")?;
        if self.at_s.is_none() || self.text != *second {
            let parsed = iso(date).filter(|d| d.offset_s == Some(0) && d.len == date.len())?;
            (self.text, self.at_s) = (*second, Some(parsed.wall_s));
        }
        if digits.is_empty() || digits.len() > 9 {
            return None;
        }
        let (mut nanos, mut tick) = (0, SECOND_NS);
        for c in digits {
            let digit = c.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            tick /= 10;
            nanos = nanos * 10 + i64::from(digit);
        }
        let at = self
            .at_s?
            .checked_mul(SECOND_NS)?
            .checked_add(nanos * tick)?;
        Some(Stamp::new(Moment(at), tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(date: Option<Date>, want: &str, offset: Option<i32>) {
        let date = date.expect(want);
        assert_eq!(date.utc().rfc3339(), want);
        assert_eq!(date.offset_s, offset);
    }

    #[test]
    fn dates_of_one_second_are_read_as_any_other() {
        let mut seconds = Seconds::default();
        for text in [
            "2026-11-20T21:42:30.123456Z",
            "2026-11-20T21:42:30.000001Z",
            "2026-11-20T21:42:30.9Z",
            "2026-11-20T21:42:31.123456789Z",
            "2026-12-31T23:59:60.5Z",
        ] {
            let want = iso(text.as_bytes()).map(|d| d.utc());
            assert!(want.is_some(), "{text}");
            assert_eq!(seconds.utc(text.as_bytes()), want, "{text}");
        }
        for wrong in [
            "2026-11-20T21:42:30Z",
            "2026-11-20T21:42:30.12x456Z",
            "2026-11-20T21:42:30.123+01:00",
            "2026-11-31T21:42:30.123Z",
            "2026-11-20T21:42:30.Z",
            "",
        ] {
            assert_eq!(seconds.utc(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn dates_of_every_kind() {
        check(
            clf(b"20/Nov/2026:21:42:30 +0000"),
            "2026-11-20T21:42:30Z",
            Some(0),
        );
        check(
            clf(b"21/Nov/2026:03:12:30 +0530"),
            "2026-11-20T21:42:30Z",
            Some(19_800),
        );
        check(
            clf(b"20/Nov/2026:21:42:46.885] x"),
            "2026-11-20T21:42:46.885Z",
            None,
        );
        check(
            iso(b"2026-11-21T03:09:09+05:30"),
            "2026-11-20T21:39:09Z",
            Some(19_800),
        );
        check(
            iso(b"2026-11-20T21:42:29.472Z"),
            "2026-11-20T21:42:29.472Z",
            Some(0),
        );
        check(
            iso(b"2026-11-20 21:43:56,005 INFO"),
            "2026-11-20T21:43:56.005Z",
            None,
        );
        check(
            iso(b"2026/11/20 21:42:30 [notice]"),
            "2026-11-20T21:42:30Z",
            None,
        );
        check(
            iso(b"2026-02-28T23:59:59.123456-0800"),
            "2026-03-01T07:59:59.123456Z",
            Some(-28_800),
        );
        check(
            asctime(b"Fri Nov 20 20:58:16.441303 2026]"),
            "2026-11-20T20:58:16.441303Z",
            None,
        );
    }

    #[test]
    fn what_is_no_date_is_none() {
        for bad in [
            "2026-13-01T00:00:00",
            "2026-02-29T00:00:00",
            "2026-11-20T24:00:00",
            "2026",
            "",
            "20/Nov",
        ] {
            assert_eq!(
                (iso(bad.as_bytes()), clf(bad.as_bytes())),
                (None, None),
                "{bad}"
            );
        }
    }

    #[test]
    fn numbers_tell_their_unit() {
        for (text, want) in [
            ("1795210749", "2026-11-20T21:39:09Z"),
            ("1795210749.733", "2026-11-20T21:39:09.733Z"),
            ("1795210749007", "2026-11-20T21:39:09.007Z"),
            ("1795210749007123", "2026-11-20T21:39:09.007123Z"),
            ("1795210749007123456", "2026-11-20T21:39:09.007123456Z"),
        ] {
            assert_eq!(
                epoch(text.as_bytes()).map(Stamp::rfc3339).as_deref(),
                Some(want)
            );
        }
        assert_eq!(epoch(b"1006"), None);
    }

    #[test]
    fn a_year_comes_from_the_nearest_date() {
        let near = iso(b"2027-01-01T00:00:03").map(|d| d.utc().at);
        let (date, len) = syslog(b"Dec 31 23:59:58 lb1 haproxy", near).expect("a date");
        check(date, "2026-12-31T23:59:58Z", None);
        assert_eq!(len, 15);
        assert_eq!(syslog(b"Dec 31 23:59:58 x", None), Some((None, 15)));
    }

    #[test]
    fn durations() {
        assert_eq!(seconds(b"4.329"), Some(4_329_000_000));
        assert_eq!(seconds(b"-"), None);
        assert_eq!(decimal(b"6706", 1_000_000), Some(6_706_000_000));
    }
}
