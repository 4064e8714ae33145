//! The packets of a leg in fragments, in another order, some lost -> the frames and the ending that the whole packets tell.

use super::*;

/// A raw IPv4 packet in fragments of `size` bytes.
fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (head, body) = packet.split_at(20);
    let count = body.len().div_ceil(size);
    let piece = |(n, part): (usize, &[u8])| {
        let mut head = head.to_vec();
        head[2..4].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
        let more = if n + 1 < count { 0x2000 } else { 0 };
        head[6..8].copy_from_slice(&((n * size / 8) as u16 | more).to_be_bytes());
        [&head, part].concat()
    };
    body.chunks(size).enumerate().map(piece).collect()
}

fn capture(sent: &[Sent], size: usize, turned: bool) -> Vec<u8> {
    let mut out = pcap(&[], 0);
    for s in sent {
        let mut parts = fragments(&raw(s), size);
        if turned {
            parts.reverse();
        }
        for p in parts {
            let words = [
                (s.at_ms / 1000) as u32,
                (s.at_ms % 1000 * 1000) as u32,
                p.len() as u32,
                p.len() as u32,
            ];
            words.iter().for_each(|w| out.extend(w.to_le_bytes()));
            out.extend(p);
        }
    }
    out
}

#[test]
fn fragments_change_nothing() {
    let mut s = Script::upgraded();
    let long = frame::encode(true, 2, None, &[7; 3000]);
    s.down(ACK, &long).up(ACK, &hello(true)).down(ACK, b"");
    s.down(ACK, &bye(false)).up(ACK | FIN, &bye(true));
    s.down(FIN | ACK, b"").up(ACK, b"");
    let (frames, legs, _) = read_bytes(&pcap(&s.sent, 65_535));
    for (size, turned) in [(1480, false), (24, false), (40, true)] {
        let (got, got_legs, summary) = read_bytes(&capture(&s.sent, size, turned));
        assert_eq!(text(&got), text(&frames), "{size}");
        let (leg, whole) = (&got_legs[0], &legs[0]);
        assert_eq!(leg.to_server.bytes, whole.to_server.bytes, "{size}");
        assert_eq!(leg.to_client.bytes, whole.to_client.bytes, "{size}");
        let ended = |l: &LegObservation| {
            let fins = [&l.to_server, &l.to_client].map(|f| (f.fin.is_some(), f.fin_acked));
            (fins, l.to_server.retransmissions, l.to_client.lost_bytes)
        };
        assert_eq!(ended(leg), ended(whole), "{size}");
        assert!(summary.anomalies.is_empty(), "{:?}", summary.anomalies);
    }
}
