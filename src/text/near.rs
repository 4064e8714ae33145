//! The next bytes of a line -> where a mark stands in them, eight bytes at a time: for what is so near that a call to search it takes longer.

/// Bytes looked at here before the search is called after all.
const FEW: usize = 32;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;

/// The top bit of every byte that is zero, up to the first one; bits above that mean nothing.
const fn zeros(eight: u64) -> u64 {
    eight.wrapping_sub(LOW) & !eight & HIGH
}

/// The number of the first byte whose top bit is set.
const fn first(hits: u64) -> usize {
    (hits.trailing_zeros() / 8) as usize
}

/// Where the first hit stands in the few bytes that are looked at here; none is found where there are less.
#[inline]
fn among_few(text: &[u8], hits: impl Fn(u64) -> u64) -> Option<usize> {
    let (eights, _) = text.first_chunk::<FEW>()?.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        let hits = hits(u64::from_le_bytes(*eight));
        if hits != 0 {
            return Some(at * 8 + first(hits));
        }
    }
    None
}

/// Where `byte` stands first.
#[inline]
pub(crate) fn near(text: &[u8], byte: u8) -> Option<usize> {
    let mark = LOW * u64::from(byte);
    among_few(text, |eight| zeros(eight ^ mark))
        .or_else(|| far(text, |rest| memchr::memchr(byte, rest)))
}

/// Where any of three bytes stands first.
#[inline]
pub(crate) fn near3(text: &[u8], a: u8, b: u8, c: u8) -> Option<usize> {
    let mark = |c: u8| LOW * u64::from(c);
    let marks = (mark(a), mark(b), mark(c));
    let hits = |eight| zeros(eight ^ marks.0) | zeros(eight ^ marks.1) | zeros(eight ^ marks.2);
    among_few(text, hits).or_else(|| far(text, |rest| memchr::memchr3(a, b, c, rest)))
}

/// Looks behind the few bytes that were looked at.
#[inline(never)]
fn far(text: &[u8], search: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    match text.get(FEW..) {
        Some(behind) => search(behind).map(|at| FEW + at),
        None => search(text),
    }
}

/// A word and what follows the blank behind it.
#[inline]
pub(crate) fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = near(text, b' ')?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// How many digits the text begins with.
#[inline]
pub(crate) fn digits(text: &[u8]) -> usize {
    let mut rest = text;
    let mut count = 0;
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        let others = no_digits(u64::from_le_bytes(*eight));
        if others != 0 {
            return count + first(others);
        }
        (rest, count) = (behind, count + 8);
    }
    count + rest.iter().take_while(|c| c.is_ascii_digit()).count()
}

/// The top bit of every byte that is no digit.
const fn no_digits(eight: u64) -> u64 {
    // Digits become 0 to 9, which 0x76 does not take to the top bit; what had it set keeps it.
    let value = eight ^ (LOW * 0x30);
    (((value & !HIGH) + LOW * 0x76) | value) & HIGH
}

/// The number that these digits are, at most 16 of them.
#[inline]
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let len = digits.len();
    if len > 16 {
        return None;
    }
    let Some((last, front)) = digits.last_chunk().map(|last| (*last, &digits[..len - 8])) else {
        return few(digits);
    };
    // Of the first digits, those that are among the last eight as well do not count.
    let front = match digits.first_chunk::<8>() {
        Some(first) if !front.is_empty() => eight(*first, 8 - front.len())?,
        _ => 0,
    };
    Some(front * 100_000_000 + eight(last, 0)?)
}

/// The number that the first of eight digits are, without so many behind them.
#[inline]
fn eight(digits: [u8; 8], without: usize) -> Option<u64> {
    let digits = u64::from_le_bytes(digits);
    if no_digits(digits) != 0 {
        return None;
    }
    // What is shifted in stands in front, as zeros do.
    let values = (digits & (LOW * 0x0f)) << (8 * without);
    // Neighbours become one: digits to pairs, pairs to fours, fours to all eight; the first byte counts most.
    let pairs = values.wrapping_mul(10 * 0x100 + 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 * 0x1_0000 + 1) >> 16 & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32)
}

fn few(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    for c in digits {
        let digit = c.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    (!digits.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn found_where_any_search_finds_it(text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b' '), any::<u8>()], 0..80)) {
            prop_assert_eq!(near(&text, b' '), text.iter().position(|c| *c == b' '));
            prop_assert_eq!(near3(&text, b'"', b'\\', b'\n'), text.iter().position(|c| matches!(c, b'"' | b'\\' | b'\n')));
        }

        #[test]
        fn digits_are_counted_and_read(text in "[0-9]{0,22}", behind in proptest::collection::vec(any::<u8>(), 0..12)) {
            let all = [text.as_bytes(), &behind].concat();
            prop_assert_eq!(digits(&all), all.iter().take_while(|c| c.is_ascii_digit()).count());
            let want = text.parse().ok().filter(|_| text.len() <= 16);
            prop_assert_eq!(number(text.as_bytes()), want);
            let odd = all.iter().any(|c| !c.is_ascii_digit());
            prop_assert_eq!(number(&all).is_some(), !odd && (1..=16).contains(&all.len()));
        }
    }
}
