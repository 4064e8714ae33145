//! The first bytes of a frame -> the number by which other legs that carried it are found.

/// A hash over pairs of words, the last ones filled up with zeros: the same on every machine. The products of the pairs do not wait for
/// each other.
#[inline]
pub(in crate::capture) fn fingerprint(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    let mixed = |hash: u64, (n, pair): (u64, &[u8; 16])| {
        let pair = u128::from_le_bytes(*pair);
        // Another odd number for each word: pairs that change places make another sum.
        let (a, b) = (pair as u64, (pair >> 64) as u64);
        let a = a ^ PRIME.wrapping_mul(4 * n + 1);
        let b = b ^ PRIME.wrapping_mul(4 * n + 3);
        let product = u128::from(a).wrapping_mul(u128::from(b));
        hash ^ product as u64 ^ (product >> 64) as u64
    };
    let (pairs, rest) = bytes.as_chunks::<16>();
    let mut hash = (0..).zip(pairs).fold(bytes.len() as u64, mixed);
    if !rest.is_empty() {
        let mut last = [0; 16];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        hash = mixed(hash, (pairs.len() as u64, &last));
    }
    let hash = hash.wrapping_mul(PRIME);
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn bytes_that_differ_anywhere_have_another_fingerprint() {
        let mut seen = HashSet::new();
        for len in 0..130 {
            let zeros = vec![0; len];
            assert!(seen.insert(fingerprint(&zeros)), "{len} zeros");
            for at in 0..len {
                for value in [1, 0x80, 0xff] {
                    let mut bytes = zeros.clone();
                    bytes[at] = value;
                    assert!(seen.insert(fingerprint(&bytes)), "{value} at {at} of {len}");
                }
            }
        }
    }
}
