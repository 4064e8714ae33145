//! A string in HPACK's Huffman code (RFC 7541 5.2) -> its bytes.

use std::sync::LazyLock;

/// Bits of the code of each byte, and of the end of the string (RFC 7541, appendix B). The code is canonical: codes of one
/// length follow each other in the order of their symbols, and those of the next length follow them.
#[rustfmt::skip]
const BITS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const LONGEST: usize = 30;
const END: u16 = 256;

/// By length of code: the first code of that length, how many there are, and where their symbols begin in `symbols`.
#[derive(Debug)]
struct Code {
    rows: [(u32, u32, usize); LONGEST + 1],
    symbols: Vec<u16>,
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut rows = [(0, 0, 0); LONGEST + 1];
    let mut symbols = Vec::with_capacity(BITS.len());
    let mut first = 0u32;
    for (bits, row) in rows.iter_mut().enumerate() {
        first <<= 1;
        let from = symbols.len();
        symbols.extend(
            (0..)
                .zip(BITS)
                .filter(|&(_, b)| usize::from(b) == bits)
                .map(|(symbol, _): (u16, u8)| symbol),
        );
        let count = u32::try_from(symbols.len() - from).unwrap_or(0);
        *row = (first, count, from);
        first += count;
    }
    Code { rows, symbols }
});

/// `None` where it is no such code: the end of the string inside it, or padding that is none.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let code = &*CODE;
    let mut out = Vec::with_capacity(text.len() * 8 / 5);
    let (mut word, mut bits) = (0u32, 0usize);
    for byte in text {
        for at in (0..8).rev() {
            word = word << 1 | u32::from(byte >> at & 1);
            bits += 1;
            let &(first, count, from) = code.rows.get(bits)?;
            let Some(place) = word.checked_sub(first).filter(|&p| p < count) else {
                continue;
            };
            let symbol = *code.symbols.get(from + place as usize)?;
            if symbol == END {
                return None;
            }
            out.push(symbol as u8);
            (word, bits) = (0, 0);
        }
    }
    // Padding: fewer than eight bits, all set.
    (bits < 8 && word == (1 << bits) - 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap())
            .collect()
    }

    /// RFC 7541 C.4 and C.6.
    #[test]
    fn the_strings_of_the_standard() {
        for (code, expected) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("6402", "302"),
            ("aec3771a4b", "private"),
            (
                "d07abe941054d444a8200595040b8166e082a62d1bff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            (
                "9d29ad171863c78f0b97c8e9ae82ae43d3",
                "https://www.example.com",
            ),
        ] {
            let got = decode(&hex(code)).map(|b| String::from_utf8(b).unwrap());
            assert_eq!(got.as_deref(), Some(expected));
        }
        // Padding of a whole byte, padding that is not all ones, the end of the string.
        for wrong in ["6402ff", "18", "ffffffff", "fffffffc"] {
            assert_eq!(decode(&hex(wrong)), None, "{wrong}");
        }
    }

    /// A code of its own length for each byte, taken from the same table the other way round.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for &byte in text {
            let len = usize::from(BITS[usize::from(byte)]);
            let (first, _, from) = CODE.rows[len];
            let place = CODE.symbols[from..]
                .iter()
                .position(|&s| s == u16::from(byte))
                .unwrap();
            let code = first + place as u32;
            bits.extend((0..len).rev().map(|at| code >> at & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        bits.chunks(8)
            .map(|c| c.iter().fold(0, |b, &x| b << 1 | u8::from(x)))
            .collect()
    }

    proptest! {
        #[test]
        fn every_string_comes_back(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&encode(&text)), Some(text.clone()));
            let theirs = loona_hpack::huffman::HuffmanDecoder::new().decode(&encode(&text));
            prop_assert_eq!(theirs.ok(), Some(text));
        }

        #[test]
        fn any_bytes_are_endured(code in proptest::collection::vec(any::<u8>(), 0..100)) {
            let ours = decode(&code);
            prop_assert!(ours.is_none_or(|t| t.len() <= code.len() * 8 / 5));
        }
    }
}
