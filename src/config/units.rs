//! Durations as configurations spell them -> nanoseconds.

use crate::model::{MICRO_NS, MILLI_NS, SECOND_NS};

/// `60s`, `1m`, `5000ms`, `1h 30m`, `0.5s`; a bare number counts `bare_ns`. `None` for what is no duration.
pub(super) fn duration(text: &str, bare_ns: i64) -> Option<i64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let whole: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let digits = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            (fraction, rest) = after.split_at(digits);
        }
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "" => bare_ns,
            "ns" => 1,
            "us" => MICRO_NS,
            "ms" => MILLI_NS,
            "s" | "sec" => SECOND_NS,
            "m" | "min" => 60 * SECOND_NS,
            "h" => 3_600 * SECOND_NS,
            "d" => 86_400 * SECOND_NS,
            "w" => 7 * 86_400 * SECOND_NS,
            // nginx: 30 days, 365 days.
            "M" => 30 * 86_400 * SECOND_NS,
            "y" => 365 * 86_400 * SECOND_NS,
            _ => return None,
        };
        let mut part = unit;
        let mut ns = whole.checked_mul(unit)?;
        for c in fraction.bytes() {
            part /= 10;
            ns = ns.checked_add(i64::from(c - b'0') * part)?;
        }
        total = total.checked_add(ns)?;
        rest = rest[letters..].trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (text, bare, want) in [
            ("60s", 1, Some(60_000)),
            ("60", SECOND_NS, Some(60_000)),
            ("5000", MILLI_NS, Some(5_000)),
            ("5000ms", SECOND_NS, Some(5_000)),
            ("1h 30m", SECOND_NS, Some(5_400_000)),
            ("1h30m", SECOND_NS, Some(5_400_000)),
            ("1m", SECOND_NS, Some(60_000)),
            ("0.25s", SECOND_NS, Some(250)),
            ("1d", MILLI_NS, Some(86_400_000)),
            ("", 1, None),
            ("s", 1, None),
            ("5parsecs", 1, None),
            ("$x", 1, None),
            ("99999999999999999999", 1, None),
        ] {
            assert_eq!(
                duration(text, bare),
                want.map(|ms: i64| ms * MILLI_NS),
                "{text}"
            );
        }
    }
}
