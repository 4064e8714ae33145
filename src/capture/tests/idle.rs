//! Legs that wait between plain requests -> checks that putting them away changes nothing.

use super::*;

const ASK: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const TELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn read(sent: &[Sent], most: u32) -> (Vec<Frame>, Vec<LegObservation>, bool) {
    let bytes = pcap(sent, 65_535);
    let mut vantage = Vantage::new(3, (0, 1), &Arc::default());
    for tracker in &mut vantage.trackers {
        tracker.most_awake = most;
    }
    let mut frames = Vec::new();
    let on_frame = &mut |f| frames.push(f);
    vantage.read(
        SourceId(0),
        &mut bytes.as_slice(),
        Some(on_frame),
        &mut |_| {},
    );
    let idle = vantage.trackers.iter().any(|t| t.idle() > 0);
    (frames, Vantage::finish(vec![vantage]), idle)
}

#[test]
fn who_waits_is_put_away_where_there_are_many() {
    let check = |script: &Script, expected: bool| {
        assert_eq!(read(&script.sent, 0).2, expected);
        assert!(!read(&script.sent, u32::MAX).2);
    };
    let mut s = Script::opened();
    check(&s, true);
    s.up(ACK, ASK);
    check(&s, false);
    s.down(ACK, TELL).up(ACK, b"");
    check(&s, true);
    s.again(300);
    check(&s, true);
    s.up(ACK, REQUEST).down(ACK, RESPONSE).up(ACK, b"");
    check(&s, false);
    // As well where the capture began later.
    let mut s = Script::opened();
    s.sent.clear();
    s.down(ACK, b"").up(ACK, b"");
    check(&s, true);
    s.up(ACK, b"whatever it says").down(ACK, b"").up(ACK, b"");
    check(&s, true);
    s.up(ACK, ASK).down(ACK, TELL).up(ACK, b"");
    check(&s, true);
}

proptest! {
    #[test]
    fn a_leg_is_told_of_as_if_it_had_never_been_put_away(opened: bool, steps in proptest::collection::vec(0u8..10, 0..24)) {
        let mut s = Script::opened();
        if !opened {
            s.sent.clear();
            s.down(ACK, b"");
        }
        for step in steps {
            match step {
                0 | 1 => { s.up(ACK, ASK).down(ACK, TELL).up(ACK, b""); }
                2 => { s.up(ACK, b""); }
                3 => { s.down(ACK, b""); }
                4 => { s.again(300); }
                5 => { s.wait(30_000).up(ACK, b"").but(|p| p.seq = p.seq.wrapping_sub(1)); }
                6 => { s.up(ACK, REQUEST).down(ACK, RESPONSE).up(ACK, b""); }
                7 => { s.up(ACK, b"what this is").down(ACK, b"nobody knows").up(ACK, b""); }
                8 => { s.up(ACK, &hello(true)).down(ACK, b""); }
                _ => { s.down(FIN | ACK, b"").up(ACK, b""); }
            }
        }
        let (awake, put_away) = (read(&s.sent, u32::MAX), read(&s.sent, 0));
        prop_assert_eq!(awake.0, put_away.0);
        prop_assert_eq!(awake.1, put_away.1);
    }
}
