//! A header block (RFC 7541) -> its fields; what refers to a table from before the capture stays unknown, and decoding goes on.

use super::huffman;
use std::collections::VecDeque;

/// The dynamic table's size until its encoder says otherwise (RFC 9113 6.5.2).
const DEFAULT_SIZE: usize = 4096;
/// A larger table is not kept, whatever was agreed on: what it would hold beyond this stays unknown.
const MAX_SIZE: usize = 64 * 1024;
/// What an entry takes beside its text (RFC 7541 4.1).
const OVERHEAD: usize = 32;
/// Fields of one block.
const MAX_FIELDS: usize = 512;

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"), (":scheme", "http"),
    (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""), ("accept-encoding", "gzip, deflate"), ("accept-language", ""),
    ("accept-ranges", ""), ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""),
    ("cache-control", ""), ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""), ("expect", ""),
    ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
    ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

/// A field as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// `None`: a reference to an entry that was made before the capture, or lost.
    pub(super) name: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

impl Field {
    fn len(&self) -> usize {
        let of = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
        of(&self.name) + of(&self.value) + OVERHEAD
    }
}

/// The fields of a block, and whether it could be read to its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) fields: Vec<Field>,
    pub(super) broken: bool,
}

impl Block {
    /// The last value of a field that is known.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        let own = |f: &&Field| f.name.as_deref() == Some(name.as_bytes());
        self.fields.iter().rev().find(own)?.value.as_deref()
    }

    /// Something in it is not known.
    pub(super) fn partial(&self) -> bool {
        self.broken
            || self
                .fields
                .iter()
                .any(|f| f.name.is_none() || f.value.is_none())
    }
}

/// Decodes the blocks of one flow, in order.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The newest first.
    entries: VecDeque<Field>,
    size: usize,
    most: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            most: DEFAULT_SIZE,
        }
    }
}

impl Decoder {
    /// A block is missing: what it would have added is not known, nor at which place the others stand now.
    pub(super) fn lose(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    pub(super) fn decode(&mut self, block: &[u8]) -> Block {
        let mut out = Block::default();
        let mut rest = block;
        while !rest.is_empty() {
            let Some(field) = self.field(&mut rest) else {
                // The table is no longer the encoder's.
                self.lose();
                out.broken = true;
                return out;
            };
            if out.fields.len() < MAX_FIELDS {
                out.fields.extend(field);
            }
        }
        out
    }

    /// The next field; the inner `None` for a change of the table's size.
    fn field(&mut self, rest: &mut &[u8]) -> Option<Option<Field>> {
        let first = *rest.first()?;
        if first & 0x80 != 0 {
            let index = integer(rest, 7)?;
            return Some(Some(self.entry(index)?));
        }
        if first & 0xe0 == 0x20 {
            let size = integer(rest, 5)?;
            self.most = size.min(MAX_SIZE);
            self.evict(0);
            return Some(None);
        }
        let kept = first & 0xc0 == 0x40;
        let index = integer(rest, if kept { 6 } else { 4 })?;
        let name = match index {
            0 => Some(string(rest)?),
            _ => self.entry(index)?.name,
        };
        let value = Some(string(rest)?);
        let field = Field { name, value };
        if kept {
            self.add(field.clone());
        }
        Some(Some(field))
    }

    /// An entry of the static or the dynamic table; `None` for index 0, which is none.
    fn entry(&self, index: usize) -> Option<Field> {
        let at = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Some(Field {
                name: Some(name.as_bytes().to_vec()),
                value: Some(value.as_bytes().to_vec()),
            });
        }
        let known = self.entries.get(at - STATIC.len()).cloned();
        Some(known.unwrap_or(Field {
            name: None,
            value: None,
        }))
    }

    fn add(&mut self, field: Field) {
        let len = field.len();
        self.evict(len);
        if len <= self.most {
            self.size += len;
            self.entries.push_front(field);
        }
    }

    fn evict(&mut self, room: usize) {
        while self.size + room > self.most
            && let Some(old) = self.entries.pop_back()
        {
            self.size -= old.len();
        }
    }
}

/// An integer with a prefix of so many bits (RFC 7541 5.1).
fn integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let (&first, mut after) = rest.split_first()?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, more) = after.split_first()?;
            after = more;
            if shift > 28 {
                return None;
            }
            value += (usize::from(byte) & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = after;
    Some(value)
}

/// A string literal (RFC 7541 5.2).
fn string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let packed = rest.first()? & 0x80 != 0;
    let len = integer(rest, 7)?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    if packed {
        huffman::decode(text)
    } else {
        Some(text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(fields: &[(&str, &str)]) -> Vec<Field> {
        fields
            .iter()
            .map(|(n, v)| Field {
                name: Some(n.as_bytes().to_vec()),
                value: Some(v.as_bytes().to_vec()),
            })
            .collect()
    }

    fn hex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    /// RFC 7541 C.4: three requests over one table, in Huffman code.
    const REQUESTS: [&str; 3] = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];

    #[test]
    fn the_requests_of_the_standard() {
        let mut decoder = Decoder::default();
        let expected = [
            known(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
            ]),
            known(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
                ("cache-control", "no-cache"),
            ]),
            known(&[
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/index.html"),
                (":authority", "www.example.com"),
                ("custom-key", "custom-value"),
            ]),
        ];
        for (block, fields) in REQUESTS.iter().zip(expected) {
            let got = decoder.decode(&hex(block));
            assert_eq!((got.fields, got.broken), (fields, false));
        }
        assert_eq!(decoder.size, 164);
    }

    #[test]
    fn what_was_said_before_the_capture_is_unknown() {
        let mut decoder = Decoder::default();
        let block = decoder.decode(&hex(REQUESTS[1]));
        assert!(block.partial() && !block.broken);
        assert_eq!(block.get(":path"), Some(&b"/"[..]));
        assert_eq!(
            block.fields[3],
            Field {
                name: None,
                value: None
            }
        );
        assert_eq!(block.get("cache-control"), Some(&b"no-cache"[..]));
        // What was added meanwhile has its place: 62 is the newest.
        let block = decoder.decode(&[0xbe]);
        assert_eq!(block.get("cache-control"), Some(&b"no-cache"[..]));
        // A known value under an unknown name.
        let block = decoder.decode(&hex("0f 30 01 78"));
        assert_eq!(
            block.fields,
            [Field {
                name: None,
                value: Some(b"x".to_vec())
            }]
        );
    }

    #[test]
    fn what_is_no_block_breaks_off() {
        for wrong in [
            "80",
            "40",
            "82 ff ff ff ff ff ff ff",
            "41 05 61",
            "41 81 00",
        ] {
            let mut decoder = Decoder::default();
            assert!(decoder.decode(&hex(wrong)).broken, "{wrong}");
        }
    }

    fn fields() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        let name = prop_oneof![
            Just(b":status".to_vec()),
            Just(b":path".to_vec()),
            Just(b"cookie".to_vec()),
            proptest::collection::vec(b'a'..=b'z', 1..30)
        ];
        let value = proptest::collection::vec(any::<u8>(), 0..300);
        proptest::collection::vec((name, value), 0..20)
    }

    proptest! {
        /// Blocks of another encoder over one table come back as they were, and as another decoder reads them.
        #[test]
        fn agrees_with_another_implementation(blocks in proptest::collection::vec(fields(), 1..8)) {
            let mut encoder = loona_hpack::Encoder::new();
            let mut theirs = loona_hpack::Decoder::new();
            let mut ours = Decoder::default();
            for fields in blocks {
                let bytes = encoder.encode(fields.iter().map(|(n, v)| (&n[..], &v[..])));
                let got = ours.decode(&bytes);
                prop_assert!(!got.partial());
                let got: Vec<_> = got.fields.into_iter().map(|f| (f.name.unwrap(), f.value.unwrap())).collect();
                prop_assert_eq!(&got, &fields);
                prop_assert_eq!(got, theirs.decode(&bytes).unwrap());
            }
        }

        /// Where another decoder reads hostile bytes, so do we, and the same.
        #[test]
        fn any_bytes_are_endured(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..6)) {
            let mut theirs = Some(loona_hpack::Decoder::new());
            let mut ours = Decoder::default();
            for bytes in &blocks {
                let got = ours.decode(bytes);
                prop_assert!(ours.size <= MAX_SIZE && got.fields.len() <= MAX_FIELDS);
                let Some(decoder) = &mut theirs else { continue };
                // A decoder that knows what was allowed refuses larger tables.
                match decoder.decode(bytes) {
                    Ok(fields) if !got.partial() => {
                        let got: Vec<_> = got.fields.into_iter().map(|f| (f.name.unwrap(), f.value.unwrap())).collect();
                        prop_assert_eq!(got, fields);
                    }
                    _ => theirs = None,
                }
            }
        }
    }
}
