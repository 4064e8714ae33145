//! Made-up frames in any segmentation -> checks of what is decoded.

use super::*;
use proptest::prelude::*;

fn mark() -> Mark {
    let record = crate::model::RecordRef {
        source: crate::model::SourceId(0),
        ordinal: 1,
        start: 0,
        len: 0,
    };
    Mark {
        at: crate::model::Moment(0),
        record,
    }
}

fn text(frames: &[Decoded]) -> String {
    let one = |f: &Decoded| {
        let (code, reason) = f.close();
        let close = if f.opcode == 8 {
            format!("({code:?} {reason})")
        } else {
            String::new()
        };
        format!(
            "{}{}:{}{close}",
            if f.fin { "" } else { "-" },
            f.opcode,
            f.len
        )
    };
    frames.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Bytes(&'a [u8]),
    Cut(&'a [u8], u32),
    Gap(u32),
}

fn check(name: &str, mut decoder: FrameDecoder, parts: &[Part<'_>], expected: &str) {
    let mut out = Vec::new();
    for part in parts {
        match *part {
            Part::Bytes(b) => decoder.feed(b, 0, mark(), &mut out),
            Part::Cut(b, cut) => decoder.feed(b, cut, mark(), &mut out),
            Part::Gap(n) => decoder.gap(n, mark(), &mut out),
        }
    }
    assert_eq!(text(&out), expected, "{name}");
}

#[test]
fn frames_by_situation() {
    let client = || FrameDecoder::after_handshake(true, false);
    let server = || FrameDecoder::after_handshake(false, false);
    let hello = encode(true, 1, Some([1, 2, 3, 4]), b"hello");
    let big = encode(true, 2, None, &[9; 70_000]);
    let bye = encode(
        true,
        8,
        Some([9, 8, 7, 6]),
        &[&1001u16.to_be_bytes()[..], b"bye"].concat(),
    );
    let ping = encode(true, 9, None, b"");
    use Part::{Bytes, Cut, Gap};
    check("one frame", client(), &[Bytes(&hello)], "1:5");
    check(
        "two in one",
        client(),
        &[Bytes(&[hello.clone(), bye.clone()].concat())],
        "1:5 8:5(Some(1001) bye)",
    );
    check(
        "header split",
        client(),
        &[Bytes(&hello[..1]), Bytes(&hello[1..3]), Bytes(&hello[3..])],
        "1:5",
    );
    check(
        "gap in a payload",
        server(),
        &[
            Bytes(&big[..100]),
            Gap(60_000),
            Bytes(&big[60_100..]),
            Bytes(&ping),
        ],
        "2:70000 9:0",
    );
    check(
        "gap to a payload's end",
        server(),
        &[Bytes(&big[..100]), Gap(69_910), Bytes(&ping)],
        "2:70000 9:0",
    );
    check(
        "gap over a header",
        server(),
        &[Bytes(&big[..100]), Gap(69_912), Bytes(&ping)],
        "2:70000 9:0",
    );
    check(
        "close behind a gap",
        client(),
        &[Gap(500), Bytes(&bye)],
        "8:5(Some(1001) bye)",
    );
    check(
        "rest of a payload, then a close",
        client(),
        &[Gap(500), Bytes(&[&[0xffu8; 40][..], &bye].concat())],
        "8:5(Some(1001) bye)",
    );
    check(
        "payload behind a gap is no frame",
        server(),
        &[Gap(500), Bytes(&[0x41; 900]), Bytes(&[0x62; 900])],
        "",
    );
    check(
        "cut by the snap length",
        server(),
        &[Cut(&big[..56], 69_954), Bytes(&ping)],
        "2:70000 9:0",
    );
    check(
        "empty close",
        client(),
        &[Bytes(&encode(true, 8, Some([0; 4]), b""))],
        "8:0(None )",
    );
    check(
        "fragments with a ping between",
        server(),
        &[
            Bytes(&encode(false, 1, None, b"ab")),
            Bytes(&ping),
            Bytes(&encode(true, 0, None, b"c")),
        ],
        "-1:2 9:0 0:1",
    );
}

#[test]
fn violations_are_named() {
    let names = |bytes: &[u8], masked| {
        let mut out = Vec::new();
        FrameDecoder::after_handshake(masked, false).feed(bytes, 0, mark(), &mut out);
        let bits = out.iter().fold(0, |all, f| all | f.faults);
        faults::names(bits).collect::<Vec<_>>().join(" ")
    };
    for (bytes, masked, expected) in [
        (encode(true, 1, None, b"x"), true, "unmasked-to-server"),
        (
            encode(true, 1, Some([1; 4]), b"x"),
            false,
            "masked-to-client",
        ),
        (encode(true, 3, None, b"x"), false, "reserved-opcode"),
        (encode(false, 9, None, b"x"), false, "fragmented-control"),
        (encode(true, 9, None, &[0; 126]), false, "control-too-long"),
        (
            encode(true, 0, None, b"x"),
            false,
            "unexpected-continuation",
        ),
        (
            encode(true, 8, None, &1005u16.to_be_bytes()),
            false,
            "close-code-not-allowed",
        ),
        (
            encode(true, 8, None, b"x"),
            false,
            "close-payload-of-one-byte",
        ),
        (vec![0x81, 126, 0, 1, b'x'], false, "length-not-minimal"),
        (vec![0xc1, 1, b'x'], false, "rsv1-without-extension"),
        (encode(true, 8, None, &1012u16.to_be_bytes()), false, ""),
    ] {
        assert_eq!(names(&bytes, masked), expected, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_segmentation_gives_the_same_frames(
        payloads in proptest::collection::vec((0usize..400, prop_oneof![Just(1u8), Just(2), Just(9), Just(10)], any::<[u8; 4]>()), 1..20),
        cuts in proptest::collection::vec(1usize..200, 1..200),
    ) {
        let stream: Vec<u8> = payloads.iter()
            .flat_map(|&(n, op, key)| encode(true, op, Some(key), &vec![7; if op > 8 { n.min(125) } else { n }])).collect();
        let mut whole = Vec::new();
        FrameDecoder::after_handshake(true, false).feed(&stream, 0, mark(), &mut whole);
        prop_assert_eq!(whole.len(), payloads.len());
        let mut parts = Vec::new();
        let mut decoder = FrameDecoder::after_handshake(true, false);
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            decoder.feed(now, 0, mark(), &mut parts);
            rest = later;
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0u32..2000, any::<bool>()), 0..20),
        mode in 0u8..3,
    ) {
        let mut decoder = match mode {
            0 => FrameDecoder::after_handshake(true, true),
            1 => FrameDecoder::behind_gap(false, false),
            _ => FrameDecoder::midstream(),
        };
        let mut out = Vec::new();
        for (bytes, n, gap) in chunks {
            if gap { decoder.gap(n, mark(), &mut out) } else { decoder.feed(&bytes, n, mark(), &mut out) }
        }
    }
}
