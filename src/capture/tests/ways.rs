//! The same captures read with and without the short way -> checks that both see the same.

use super::*;
use proptest::sample::Index;

fn read(mut bytes: &[u8], long_way: bool) -> (Vec<Frame>, Vec<LegObservation>, String) {
    let mut vantage = Vantage::new(3, (0, 1), &Arc::default());
    for tracker in &mut vantage.trackers {
        tracker.long_way = long_way;
    }
    let mut frames = Vec::new();
    let on_frame = &mut |f| frames.push(f);
    let summary = vantage.read(SourceId(0), &mut bytes, Some(on_frame), &mut |_| {});
    let rest = format!("{:?}", summary.anomalies);
    (frames, Vantage::finish(vec![vantage]), rest)
}

#[test]
fn recordings_are_read_alike_both_ways() {
    for bytes in changed::SEEDS.iter() {
        assert_eq!(read(bytes, false), read(bytes, true));
    }
}

/// Messages of every length and kind that the ways could part at, some of them more to a segment.
fn message(kind: u8, len: usize, masked: bool, opcode: u8) -> Vec<u8> {
    let key = masked.then_some([7, 1, 0, kind]);
    let text: Vec<u8> = (0..len).map(|n| b'a' + (n % 26) as u8).collect();
    match kind {
        0 => frame::encode(true, 1, key, b"2"),
        1 => frame::encode(true, 1, key, br#"{"type":"ping"}"#),
        2 => frame::encode(true, 1, key, br#"{"type":"pong"}"#),
        3 => frame::encode(true, 1, key, br#"{"type":"message","text":"hello"}"#),
        4 => frame::encode(true, 9, key, b"beat"),
        5 => frame::encode(true, 10, key, b"beat"),
        6 => frame::encode(false, opcode, key, &text),
        7 => frame::encode(true, 0, key, &text),
        8 => frame::encode(true, 2, key, &[0xC0, 0]),
        9 => [
            frame::encode(true, 1, key, b"  pong "),
            frame::encode(true, opcode, key, &text),
        ]
        .concat(),
        10 => frame::encode(true, opcode, (!masked).then_some([1; 4]), &text),
        _ => frame::encode(true, opcode, key, &text),
    }
}

proptest! {
    #[test]
    fn what_is_said_is_heard_alike_both_ways(
        steps in proptest::collection::vec((any::<bool>(), 0u8..18, 0usize..400, 1u8..3, 0u8..12, 1usize..500), 1..60),
        moves in proptest::collection::vec((any::<Index>(), 1usize..4), 0..4), snap in prop_oneof![4 => Just(65_535usize), 1 => 40usize..400],
    ) {
        let mut s = Script::upgraded();
        for (up, kind, len, opcode, how, cut) in steps {
            let bytes = message(kind, len, up, opcode);
            for part in bytes.chunks(if how < 3 { cut } else { 1460 }) {
                s.send(up, ACK, part);
            }
            match how {
                4 => { s.again(250); }
                5 => { s.lost(); }
                6 => { s.but(|p| p.window = 0).send(!up, ACK, b""); }
                7 => { s.send(!up, ACK, b"").but(|p| p.seq = p.seq.wrapping_sub(1)); }
                8 => { s.wait(50).send(!up, ACK, b"").again(0); }
                9 => { s.send(up, FIN | ACK, b""); }
                10 => {}
                _ => { s.send(!up, ACK, b""); }
            }
        }
        let mut sent = s.sent;
        for (at, by) in moves {
            let at = 6 + at.index(sent.len().max(7) - 6);
            if at < sent.len() {
                let moved = sent.remove(at);
                sent.insert((at + by).min(sent.len()), moved);
            }
        }
        let bytes = pcap(&sent, snap);
        let (short, long) = (read(&bytes, false), read(&bytes, true));
        prop_assert_eq!(short.0, long.0);
        prop_assert_eq!(short.1, long.1);
        prop_assert_eq!(short.2, long.2);
    }
}
