//! Durations as the programs spell them -> nanoseconds; `None` where the program would refuse them.

use crate::model::{MILLI_NS, SECOND_NS};

const MINUTE: i64 = 60 * SECOND_NS;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// nginx: `60`, `60s`, `1h30m`, `500ms`, units from large to small, each once (nginx.org/en/docs/syntax.html).
pub(super) fn nginx(text: &str) -> Option<i64> {
    const UNITS: &[(&str, i64)] = &[
        ("y", 365 * DAY),
        ("M", 30 * DAY),
        ("w", 7 * DAY),
        ("d", DAY),
        ("h", HOUR),
        ("m", MINUTE),
        ("s", SECOND_NS),
        ("ms", MILLI_NS),
    ];
    let mut rest = text.trim();
    let mut next = 0;
    let mut total = 0_i64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = digits(rest)?;
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        // A number without a unit is seconds.
        let unit = if unit.is_empty() { "s" } else { unit };
        let at = UNITS.iter().position(|(name, _)| *name == unit)?;
        if at < next {
            return None;
        }
        next = at + 1;
        total = total.checked_add(number.checked_mul(UNITS.get(at)?.1)?)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// HAProxy: one number, `us`, `ms`, `s`, `m`, `h` or `d`, milliseconds without a unit (configuration manual, 2.5 "Time format").
pub(super) fn haproxy(text: &str) -> Option<i64> {
    let (number, unit) = digits(text)?;
    let scale = match unit {
        "us" => 1_000,
        "" | "ms" => MILLI_NS,
        "s" => SECOND_NS,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    number.checked_mul(scale)
}

/// Apache httpd: seconds without a unit, `ms`, `s`, `mi`, `h` (ap_timeout_parameter_parse).
pub(super) fn apache(text: &str) -> Option<i64> {
    let (number, unit) = digits(text)?;
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "s" => SECOND_NS,
        "ms" => MILLI_NS,
        "mi" | "min" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    number.checked_mul(scale)
}

/// Envoy: a protobuf `Duration` as JSON, `5s`, `0.25s`.
pub(super) fn envoy(text: &str) -> Option<i64> {
    let number = text.trim().strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let (whole, rest) = digits(whole)?;
    let digits_only = fraction.bytes().all(|b| b.is_ascii_digit());
    if !rest.is_empty() || fraction.is_empty() || fraction.len() > 9 || !digits_only {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.checked_mul(SECOND_NS)?.checked_add(nanos)
}

/// The number at the start, and what follows it.
fn digits(text: &str) -> Option<(i64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// Go, as Traefik and Caddy read it: `1h15m30.5s`, `300ms`, Caddy's days as well (pkg.go.dev/time#ParseDuration).
pub(super) fn go(text: &str) -> Option<i64> {
    const UNITS: &[(&str, i64)] = &[
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", MILLI_NS),
        ("s", SECOND_NS),
        ("m", MINUTE),
        ("h", HOUR),
        ("d", DAY),
    ];
    let mut rest = text.trim();
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(end);
        if !number.bytes().any(|b| b.is_ascii_digit()) {
            return None;
        }
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: i64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        let mut part = whole.checked_mul(scale)?;
        let mut step = scale;
        for digit in fraction.bytes() {
            step /= 10;
            part = part.checked_add(i64::from(digit.checked_sub(b'0')?) * step)?;
        }
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(total)
}
