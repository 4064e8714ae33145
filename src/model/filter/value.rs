//! A filter's value -> the span of numbers or times that it stands for.

use super::Test;
use crate::model::time::{MICRO_NS, MILLI_NS, SECOND_NS};
use chrono::{NaiveDate, NaiveDateTime, Timelike};
use std::net::IpAddr;

pub(super) const DAY_NS: i64 = 86_400 * SECOND_NS;

/// `v`, `v~t`, `a..b` or a comparison; without a tolerance a value stands for what rounds to it.
pub(super) fn number(
    operator: &str,
    text: &str,
    read: impl Fn(&str) -> Option<(i64, i64)>,
) -> Option<Test> {
    let (lo, hi) = match operator {
        ":" | "=" => {
            if let Some((a, b)) = text.split_once("..") {
                let lo = if a.is_empty() { i64::MIN } else { read(a)?.0 };
                let hi = if b.is_empty() { i64::MAX } else { read(b)?.0 };
                (lo, hi)
            } else if let Some((v, t)) = text.split_once('~') {
                let (v, t) = (read(v)?.0, read(t)?.0);
                (v.saturating_sub(t), v.saturating_add(t))
            } else {
                let (v, unit) = read(text)?;
                (v.saturating_sub(unit / 2), v.saturating_add((unit - 1) / 2))
            }
        }
        ">" => (read(text)?.0.saturating_add(1), i64::MAX),
        ">=" => (read(text)?.0, i64::MAX),
        "<" => (i64::MIN, read(text)?.0.saturating_sub(1)),
        _ => (i64::MIN, read(text)?.0),
    };
    Some(Test::Within(lo, hi))
}

/// Number and unit -> value in the smallest unit, and what the last digit stands for.
fn scaled(text: &str, unit_of: impl Fn(&str) -> Option<i64>) -> Option<(i64, i64)> {
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = unit_of(unit)?;
    let value: f64 = digits.parse().ok()?;
    let decimals = digits.split_once('.').map_or(0, |(_, d)| d.len().min(9));
    let last = (unit as f64 / 10f64.powi(i32::try_from(decimals).ok()?)) as i64;
    Some(((value * unit as f64).round() as i64, last.max(1)))
}

pub(super) fn duration(text: &str) -> Option<(i64, i64)> {
    scaled(text, |unit| {
        Some(match unit {
            "ns" => 1,
            "us" | "µs" => MICRO_NS,
            "ms" => MILLI_NS,
            "" | "s" => SECOND_NS,
            "m" | "min" => 60 * SECOND_NS,
            "h" => 3600 * SECOND_NS,
            "d" => DAY_NS,
            _ => return None,
        })
    })
}

pub(super) fn size(text: &str) -> Option<(i64, i64)> {
    scaled(text, |unit| {
        Some(match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1000,
            "kib" => 1 << 10,
            "m" | "mb" => 1_000_000,
            "mib" => 1 << 20,
            "g" | "gb" => 1_000_000_000,
            "gib" => 1 << 30,
            _ => return None,
        })
    })
}

#[derive(Clone, Copy)]
enum When {
    OfDay(i64),
    Absolute(i64),
}

/// A time and what its last digit stands for: `09:27`, `09:27:05.12`, `2026-03-14`, `2026-03-14T09:27:05Z`.
fn when(text: &str) -> Option<(When, i64)> {
    let clock = |t: &str| -> Option<(i64, i64)> {
        let mut parts = t.splitn(3, ':');
        let hour: i64 = parts.next()?.parse().ok().filter(|h| (0..24).contains(h))?;
        let minute: i64 = parts.next()?.parse().ok().filter(|m| (0..60).contains(m))?;
        let base = (hour * 60 + minute) * 60 * SECOND_NS;
        match parts.next() {
            None => Some((base, 60 * SECOND_NS)),
            Some(seconds) => {
                let (s, last) = scaled(seconds, |unit| unit.is_empty().then_some(SECOND_NS))?;
                Some((base + s, last))
            }
        }
    };
    if let Some((ns, unit)) = clock(text) {
        return Some((When::OfDay(ns), unit));
    }
    let day = |t: &str| -> Option<i64> {
        let date: NaiveDateTime = NaiveDate::parse_from_str(t, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)?;
        date.and_utc().timestamp_nanos_opt()
    };
    let Some((date, rest)) = text.split_once(['T', 't', ' ']) else {
        return Some((When::Absolute(day(text)?), DAY_NS));
    };
    if let Some((ns, unit)) = clock(rest.trim_end_matches(['Z', 'z'])) {
        return Some((When::Absolute(day(date)?.checked_add(ns)?), unit));
    }
    let full = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some((
        When::Absolute(full.timestamp_nanos_opt()?),
        if full.nanosecond() == 0 {
            SECOND_NS
        } else {
            MILLI_NS
        },
    ))
}

/// `a..b` ends just before `b`; a single time stands for all that begins with its digits.
pub(super) fn time(operator: &str, text: &str) -> Option<Test> {
    let build = |lo: Option<When>, hi: Option<When>, add: i64| match (lo, hi) {
        (Some(When::Absolute(a)), Some(When::Absolute(b))) => {
            Some(Test::Within(a, b.saturating_add(add)))
        }
        (Some(When::Absolute(a)), None) => Some(Test::Within(a, i64::MAX)),
        (None, Some(When::Absolute(b))) => Some(Test::Within(i64::MIN, b.saturating_add(add))),
        (Some(When::OfDay(a)), Some(When::OfDay(b))) => Some(Test::WithinDay(a, b + add)),
        (Some(When::OfDay(a)), None) => Some(Test::WithinDay(a, DAY_NS)),
        (None, Some(When::OfDay(b))) => Some(Test::WithinDay(0, b + add)),
        _ => None,
    };
    if matches!(operator, ":" | "=")
        && let Some((a, b)) = text.split_once("..")
    {
        let side = |t: &str| {
            if t.is_empty() {
                Some(None)
            } else {
                when(t).map(|w| Some(w.0))
            }
        };
        return build(side(a)?, side(b)?, -1);
    }
    let (at, unit) = when(text)?;
    let past = match at {
        When::OfDay(ns) => When::OfDay(ns + unit),
        When::Absolute(ns) => When::Absolute(ns.saturating_add(unit)),
    };
    match operator {
        ">" => build(Some(past), None, 0),
        ">=" => build(Some(at), None, 0),
        "<" => build(None, Some(at), -1),
        "<=" => build(None, Some(past), -1),
        _ => build(Some(at), Some(at), unit - 1),
    }
}

pub(super) fn net(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text
        .split_once('/')
        .map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |b| b.parse().ok().filter(|b| *b <= most))?;
    Some((ip, bits))
}
