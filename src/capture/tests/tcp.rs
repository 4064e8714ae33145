//! Packets of legs that end in the ways TCP allows -> what is told of each end (RFC 9293 3.6, 3.10.7.4, RFC 5961 3).

use super::*;

/// Who sent FIN, whose FIN was acknowledged, who sent RST.
fn ends(leg: &LegObservation) -> [(bool, bool, bool); 2] {
    [&leg.to_server, &leg.to_client].map(|f| (f.fin.is_some(), f.fin_acked, f.rst.is_some()))
}

#[test]
fn a_fin_may_carry_data() {
    let mut s = Script::upgraded();
    s.up(FIN | ACK, &hello(true))
        .down(FIN | ACK, &bye(false))
        .up(ACK, b"");
    let (frames, legs, _) = read_bytes(&pcap(&s.sent, 65_535));
    assert_eq!(text(&frames), ["to-server 1:5", "to-client 8:2"]);
    assert_eq!(ends(&legs[0]), [(true, true, false), (true, true, false)]);
    // Sent again, it is no second end and no second frame.
    let mut s = Script::upgraded();
    s.up(FIN | ACK, &hello(true)).again(300).down(ACK, b"");
    let (frames, legs, _) = read_bytes(&pcap(&s.sent, 65_535));
    assert_eq!(text(&frames), ["to-server 1:5"]);
    assert_eq!(legs[0].to_server.retransmissions, 1);
    assert_eq!(legs[0].to_server.fin.expect("seen").record.ordinal, 7);
}

#[test]
fn behind_one_fin_the_other_side_goes_on() {
    let mut s = Script::upgraded();
    s.up(FIN | ACK, b"").down(ACK, b"").wait(500);
    s.down(ACK, &hello(false)).up(ACK, b"").wait(500);
    s.down(FIN | ACK, &bye(false)).up(ACK, b"");
    let (frames, legs, _) = read_bytes(&pcap(&s.sent, 65_535));
    assert_eq!(text(&frames), ["to-client 1:5", "to-client 8:2"]);
    assert_eq!(ends(&legs[0]), [(true, true, false), (true, true, false)]);
    assert!(legs[0].to_server.fin.expect("seen").at < legs[0].to_client.fin.expect("seen").at);
    assert_eq!(legs[0].to_client.lost_bytes, 0);
}

#[test]
fn both_may_close_at_once() {
    let mut s = Script::upgraded();
    let before = s.next[0];
    s.up(FIN | ACK, b"");
    // The server's FIN crosses the client's, and acknowledges nothing of it.
    s.down(FIN | ACK, b"").but(|p| p.ack = before);
    s.up(ACK, b"").down(ACK, b"");
    let leg = one(&s);
    assert_eq!(ends(&leg), [(true, true, false), (true, true, false)]);
    assert_eq!(
        leg.to_server.retransmissions + leg.to_client.retransmissions,
        0
    );
}

#[test]
fn a_reset_that_nobody_took_ends_nothing() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true)).down(ACK, b"");
    s.down(RST, b"")
        .but(|p| p.seq = p.seq.wrapping_add(900_000_000))
        .up(ACK, b"")
        .wait(100);
    s.down(ACK, &hello(false))
        .up(ACK, b"")
        .down(ACK, &bye(false))
        .up(ACK, &bye(true))
        .down(FIN | ACK, b"")
        .up(FIN | ACK, b"")
        .down(ACK, b"");
    let (frames, legs, summary) = read_bytes(&pcap(&s.sent, 65_535));
    assert_eq!((legs.len(), frames.len()), (1, 4));
    assert_eq!(ends(&legs[0]), [(true, true, false), (true, true, false)]);
    let told = &summary.anomalies;
    assert_eq!(
        (told.len(), told[0].kind.as_str(), told[0].first_record),
        (1, "ignored-reset", 9)
    );

    // One inside the window takes the place of one outside.
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true)).down(ACK, b"");
    s.down(RST, b"")
        .but(|p| p.seq = p.seq.wrapping_add(900_000_000))
        .wait(100)
        .down(RST, b"");
    let reset = one(&s).to_client.rst.expect("seen");
    assert_eq!((reset.in_window, reset.mark.record.ordinal), (true, 10));
}

#[test]
fn bytes_that_contradict_held_ones_are_an_anomaly() {
    let mut s = Script::upgraded();
    let first = hello(false);
    let second = frame::encode(true, 1, None, b"AAAA");
    s.down(ACK, &first).lost();
    s.down(ACK, &second);
    s.again(1).but(|p| p.bytes[2..].copy_from_slice(b"XXXX"));
    // What was missing comes last.
    let (seq, ack) = (
        s.next[1].wrapping_sub((first.len() + second.len()) as u32),
        s.next[0],
    );
    s.down(ACK, &first).but(|p| (p.seq, p.ack) = (seq, ack));
    let (frames, legs, summary) = read_bytes(&pcap(&s.sent, 65_535));
    assert_eq!(text(&frames), ["to-client 1:5", "to-client 1:4"]);
    assert_eq!(legs[0].to_client.lost_bytes, 0);
    let told: Vec<(&str, u64)> = summary
        .anomalies
        .iter()
        .map(|a| (a.kind.as_str(), a.count))
        .collect();
    assert_eq!(told, [("conflicting-retransmission", 1)]);
}

#[test]
fn who_went_silent_is_told_by_what_stays_unanswered() {
    let mut s = Script::upgraded();
    s.down(ACK, &hello(false)).up(ACK, b"").wait(1000);
    s.down(ACK, &hello(false));
    for wait in [200, 400, 800, 1600] {
        s.again(wait);
    }
    s.down(RST, b"");
    let leg = one(&s);
    let open = leg.to_client.unanswered.expect("bytes without an answer");
    assert_eq!(open.retransmissions, 4);
    assert_eq!(open.last.at.since(open.first.at), 3000 * MILLI_NS);
    assert_eq!(leg.to_server.unanswered, None);
    assert_eq!(leg.to_client.retransmissions, 4);
}
