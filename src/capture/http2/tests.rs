//! Connections made up of frames, whole, in pieces, cut and damaged -> what is told of their streams.

use super::super::frame::encode;
use super::*;
use crate::model::{Moment, RecordRef, SourceId};
use proptest::prelude::*;

fn mark() -> Mark {
    let record = RecordRef {
        source: SourceId(0),
        ordinal: 1,
        start: 0,
        len: 0,
    };
    Mark {
        at: Moment(0),
        record,
    }
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// What each side of a connection sends, piece by piece: a WebSocket on stream 1, a request on 3, a WebSocket on 5.
fn talk() -> Vec<(Side, Vec<u8>)> {
    let mut up = loona_hpack::Encoder::new();
    let mut down = loona_hpack::Encoder::new();
    let mut block = |side: Side, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        [&mut up, &mut down][side].encode(fields)
    };
    let connect = |path| {
        [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", path),
            (":authority", "h"),
            ("user-agent", "u"),
        ]
    };
    let mask = Some([1, 2, 3, 4]);
    let settings = frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]);
    let first = block(0, &connect("/a"));
    let (half, rest) = first.split_at(5);
    let begin = [
        &PREFACE[..],
        &frame(SETTINGS, 0, 0, &[]),
        &frame(HEADERS, 0, 1, half),
        &frame(CONTINUATION, END_HEADERS, 1, rest),
    ]
    .concat();
    let second = block(0, &connect("/b"));
    let plain = block(
        0,
        &[(":method", "GET"), (":path", "/c"), (":scheme", "https")],
    );
    let yes = block(1, &[(":status", "200"), ("server", "s")]);
    let no = block(1, &[(":status", "404")]);
    let again = block(1, &[(":status", "200"), ("server", "s")]);
    let padded = [&[3][..], &encode(true, 1, mask, b"hello"), &[0; 3]].concat();
    let close = encode(true, 8, None, &1001u16.to_be_bytes());
    vec![
        (1, settings),
        (0, begin),
        (1, frame(HEADERS, END_HEADERS, 1, &yes)),
        (0, frame(DATA, PADDED, 1, &padded)),
        (0, frame(HEADERS, END_HEADERS | END_STREAM, 3, &plain)),
        (1, frame(HEADERS, END_HEADERS | END_STREAM, 3, &no)),
        (0, frame(HEADERS, END_HEADERS, 5, &second)),
        (1, frame(HEADERS, END_HEADERS, 5, &again)),
        (1, frame(DATA, 0, 1, &encode(true, 9, None, b"p"))),
        (0, frame(DATA, 0, 5, &encode(true, 2, mask, &[7; 300]))),
        (0, frame(DATA, 0, 1, &encode(true, 10, mask, b"p"))),
        (1, frame(GOAWAY, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0])),
        (1, frame(DATA, END_STREAM, 1, &close)),
        (0, frame(RST_STREAM, 0, 5, &8u32.to_be_bytes())),
        (0, frame(DATA, END_STREAM, 1, b"")),
    ]
}

fn say(said: &[Said]) -> Vec<String> {
    let one = |s: &Said| match s {
        Said::Stream(id, On::Request(r), _) => {
            let protocol = r.upgrade.clone().unwrap_or_default();
            Some(format!("{id} {} {} {protocol}", r.method, r.uri))
        }
        Said::Stream(id, On::Response(r), _) => Some(format!("{id} {}", r.status)),
        Said::Stream(id, On::Frame(side, f), _) => {
            Some(format!("{id} {side} {}:{}", f.opcode, f.len))
        }
        Said::Stream(id, On::End(side), _) => Some(format!("{id} {side} end")),
        Said::Stream(id, On::Reset(side, code), _) => Some(format!("{id} {side} reset {code}")),
        Said::GoAway {
            side, code, last, ..
        } => Some(format!("away {side} {code} {last}")),
        _ => None,
    };
    said.iter().filter_map(one).collect()
}

fn feed(connection: &mut Http2, side: Side, bytes: &[u8], said: &mut Vec<Said>) {
    let input = Bytes {
        side,
        bytes,
        cut: 0,
        mark: mark(),
    };
    connection.feed(input, said);
}

const ALL: [&str; 13] = [
    "1 CONNECT /a websocket",
    "1 200",
    "1 0 1:5",
    "5 CONNECT /b websocket",
    "5 200",
    "1 1 9:1",
    "5 0 2:300",
    "1 0 10:1",
    "away 1 0 5",
    "1 1 8:2",
    "1 1 end",
    "5 0 reset 8",
    "1 0 end",
];

#[test]
fn streams_are_told_apart() {
    let mut connection = Http2::from_start(0);
    let mut said = Vec::new();
    for (side, bytes) in talk() {
        feed(&mut connection, side, &bytes, &mut said);
    }
    assert_eq!(say(&said), ALL);
    assert!(connection.streams.is_empty() && !connection.useless());
}

#[test]
fn a_server_without_extended_connect_ends_the_reading() {
    let mut connection = Http2::from_start(0);
    let mut said = Vec::new();
    feed(
        &mut connection,
        1,
        &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
        &mut said,
    );
    assert!(connection.useless());
    assert!(begins_server(&frame(SETTINGS, 0, 0, &[0; 6])));
    assert!(begins_client(b"PRI * HT") && !begins_client(b"PRIVATE "));
    assert!(!looks_like(&[0; 40], 0) && !looks_like(b"", 0));
}

/// The capture begins after the handshakes: the frames show by their shape, and who masks is the client.
#[test]
fn a_connection_without_its_beginning() {
    let mut connection = Http2::midway(None);
    let mut said = Vec::new();
    let mask = Some([9, 8, 7, 6]);
    for n in 0..6u8 {
        let up = [
            frame(DATA, 0, 7, &encode(true, 1, mask, &[n; 20])),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]),
        ];
        feed(&mut connection, 1, &up.concat(), &mut said);
        let down = [
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]),
            frame(DATA, 0, 7, &encode(true, 1, None, &[n; 30])),
        ];
        feed(&mut connection, 0, &down.concat(), &mut said);
    }
    feed(
        &mut connection,
        0,
        &frame(RST_STREAM, 0, 7, &[0, 0, 0, 8]),
        &mut said,
    );
    let told = say(&said);
    assert_eq!(told.iter().filter(|t| t.starts_with("7 1 1:20")).count(), 6);
    assert_eq!(told.iter().filter(|t| t.starts_with("7 0 1:30")).count(), 6);
    assert_eq!(told.last().map(String::as_str), Some("7 0 reset 8"));
    assert_eq!(connection.client, Some(1));
    assert_eq!(connection.websockets, 1);
}

#[test]
fn a_gap_loses_only_what_lay_in_it() {
    let talk = talk();
    // Inside the data of a frame, over a whole frame, inside a header block.
    for (missing, from, gone) in [
        (9, 20, vec![]),
        (10, 0, vec!["1 0 10:1"]),
        (6, 12, vec!["5 CONNECT /b websocket", "5 200"]),
    ] {
        let mut connection = Http2::from_start(0);
        let mut said = Vec::new();
        for (n, (side, bytes)) in talk.iter().enumerate() {
            if n == missing {
                feed(&mut connection, *side, &bytes[..from], &mut said);
                let lost = (bytes.len() - from) as u32;
                connection.gap(*side, lost, mark(), &mut said);
            } else {
                feed(&mut connection, *side, bytes, &mut said);
            }
        }
        let told = say(&said);
        let expected: Vec<&str> = ALL.iter().copied().filter(|a| !gone.contains(a)).collect();
        let found = expected
            .iter()
            .filter(|e| told.iter().any(|t| t == *e))
            .count();
        assert!(found + 3 >= expected.len(), "{missing}: {told:?}");
        assert!(told.contains(&"1 1 end".to_owned()), "{missing}: {told:?}");
    }
}

proptest! {
    /// Where segments begin and end changes nothing.
    #[test]
    fn any_pieces_say_the_same(cuts in proptest::collection::vec(1usize..40, 200)) {
        let mut connection = Http2::from_start(0);
        let mut said = Vec::new();
        let mut cuts = cuts.into_iter().cycle();
        for (side, bytes) in talk() {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                feed(&mut connection, side, now, &mut said);
                rest = later;
            }
        }
        prop_assert_eq!(say(&said), ALL);
    }

    #[test]
    fn any_change_is_survived(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..6),
        gaps in proptest::collection::vec((0usize..15, 0u32..50), 0..4), garbage in proptest::collection::vec(any::<u8>(), 0..100), midway: bool) {
        let mut talk = talk();
        for (piece, at, value) in changes {
            let piece = piece.index(talk.len());
            let bytes = &mut talk[piece].1;
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        let mut connection = if midway { Http2::midway(None) } else { Http2::from_start(0) };
        let mut said = Vec::new();
        for (n, (side, bytes)) in talk.iter().enumerate() {
            feed(&mut connection, *side, bytes, &mut said);
            for (_, count) in gaps.iter().filter(|g| g.0 == n) {
                connection.gap(*side, *count, mark(), &mut said);
            }
            if n == 7 {
                feed(&mut connection, 0, &garbage, &mut said);
            }
        }
        prop_assert!(connection.streams.len() <= 20);
    }
}
