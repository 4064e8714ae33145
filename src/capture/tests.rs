//! Made-up captures -> checks of what is read from them.

mod beats;
mod blocks;
mod changed;
mod deflate;
mod fragmented;
mod idle;
mod others;
mod tcp;
mod ways;

use super::*;
use crate::model::{Direction, LegEventKind, LegProtocol, MILLI_NS};
use packet::{ACK, FIN, RST, SYN};
use proptest::prelude::*;

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 9], 40_000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 80);
const REQUEST: &[u8] = b"GET /ws?a=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[derive(Clone)]
struct Sent {
    at_ms: i64,
    up: bool,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    id: u16,
    ttl: u8,
    bytes: Vec<u8>,
}

/// Writes the packets of one leg as they would pass a capture.
struct Script {
    at_ms: i64,
    next: [u32; 2],
    id: u16,
    sent: Vec<Sent>,
}

impl Script {
    fn new() -> Self {
        Self {
            at_ms: 0,
            next: [1000, u32::MAX - 200],
            id: 0,
            sent: Vec::new(),
        }
    }

    fn opened() -> Self {
        let mut s = Self::new();
        s.up(SYN, b"").down(SYN | ACK, b"").up(ACK, b"");
        s
    }

    fn upgraded() -> Self {
        let mut s = Self::opened();
        s.up(ACK, REQUEST).down(ACK, RESPONSE).up(ACK, b"");
        s
    }

    fn wait(&mut self, ms: i64) -> &mut Self {
        self.at_ms += ms;
        self
    }

    fn up(&mut self, flags: u8, bytes: &[u8]) -> &mut Self {
        self.send(true, flags, bytes)
    }

    fn down(&mut self, flags: u8, bytes: &[u8]) -> &mut Self {
        self.send(false, flags, bytes)
    }

    fn send(&mut self, up: bool, flags: u8, bytes: &[u8]) -> &mut Self {
        let (me, peer) = (usize::from(!up), usize::from(up));
        self.id += 1;
        self.at_ms += 1;
        let ack = if flags & ACK != 0 { self.next[peer] } else { 0 };
        let (seq, window) = (self.next[me], 5000);
        self.sent.push(Sent {
            at_ms: self.at_ms,
            up,
            seq,
            ack,
            flags,
            window,
            id: self.id,
            ttl: 64,
            bytes: bytes.to_vec(),
        });
        self.next[me] = seq.wrapping_add(bytes.len() as u32 + u32::from(flags & (SYN | FIN) != 0));
        self
    }

    /// Sends the last packet again, as a retransmission does.
    fn again(&mut self, ms: i64) -> &mut Self {
        self.at_ms += ms;
        self.id += 1;
        let last = self.sent.last().unwrap().clone();
        self.sent.push(Sent {
            at_ms: self.at_ms,
            id: self.id,
            ..last
        });
        self
    }

    /// Changes the last packet.
    fn but(&mut self, change: impl Fn(&mut Sent)) -> &mut Self {
        change(self.sent.last_mut().unwrap());
        self
    }

    /// The capture misses the last packet.
    fn lost(&mut self) -> &mut Self {
        self.sent.pop();
        self
    }
}

fn raw(s: &Sent) -> Vec<u8> {
    let (from, to) = if s.up {
        (CLIENT, SERVER)
    } else {
        (SERVER, CLIENT)
    };
    let mut p = vec![0x45, 0];
    p.extend((40 + s.bytes.len() as u16).to_be_bytes());
    p.extend(s.id.to_be_bytes());
    p.extend([0x40, 0, s.ttl, 6, 0, 0]);
    p.extend(from.0);
    p.extend(to.0);
    p.extend(from.1.to_be_bytes());
    p.extend(to.1.to_be_bytes());
    p.extend(s.seq.to_be_bytes());
    p.extend(s.ack.to_be_bytes());
    p.extend([0x50, s.flags]);
    p.extend(s.window.to_be_bytes());
    p.extend([0; 4]);
    p.extend(&s.bytes);
    p
}

/// A capture of raw IP packets; `snap` cuts them.
fn pcap(sent: &[Sent], snap: usize) -> Vec<u8> {
    let mut out = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0,
    ];
    for s in sent {
        let p = raw(s);
        let kept = p.len().min(snap);
        let words = [
            (s.at_ms / 1000) as u32,
            (s.at_ms % 1000 * 1000) as u32,
            kept as u32,
            p.len() as u32,
        ];
        words.iter().for_each(|w| out.extend(w.to_le_bytes()));
        out.extend(&p[..kept]);
    }
    out
}

fn read_bytes(mut bytes: &[u8]) -> (Vec<Frame>, Vec<LegObservation>, FileSummary) {
    let mut vantage = Vantage::new(3, (0, 1), &Arc::default());
    let mut frames = Vec::new();
    let summary = vantage.read(
        SourceId(0),
        &mut bytes,
        Some(&mut |f| frames.push(f)),
        &mut |_| {},
    );
    (frames, Vantage::finish(vec![vantage]), summary)
}

fn one(script: &Script) -> LegObservation {
    let (_, mut legs, _) = read_bytes(&pcap(&script.sent, 65_535));
    assert_eq!(legs.len(), 1);
    legs.remove(0)
}

fn text(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .map(|f| format!("{} {}:{}", f.direction.name(), f.opcode, f.len))
        .collect()
}

fn hello(masked: bool) -> Vec<u8> {
    frame::encode(true, 1, masked.then_some([1, 2, 3, 4]), b"hello")
}

fn bye(masked: bool) -> Vec<u8> {
    frame::encode(
        true,
        8,
        masked.then_some([4, 3, 2, 1]),
        &1001u16.to_be_bytes(),
    )
}

#[test]
fn a_leg_from_its_syn_to_its_fins() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true))
        .down(ACK, &hello(false))
        .down(ACK, &bye(false))
        .up(ACK, &bye(true));
    s.down(FIN | ACK, b"").up(FIN | ACK, b"").down(ACK, b"");
    let leg = one(&s);
    assert_eq!(
        (leg.protocol, leg.vantage, leg.sides_certain),
        (LegProtocol::WebSocket, 3, true)
    );
    assert_eq!(
        (leg.client.to_string(), leg.server.to_string()),
        ("10.0.0.9:40000".into(), "10.0.0.1:80".into())
    );
    assert_eq!(leg.response.as_ref().unwrap().accept_right, Some(true));
    assert_eq!(leg.to_client.close.as_ref().unwrap().code, Some(1001));
    assert!(leg.to_client.fin_acked && leg.to_server.fin_acked);
    assert_eq!(
        (leg.to_server.unanswered, leg.to_client.unanswered),
        (None, None)
    );
    assert_eq!(
        (
            leg.to_server.data_frames,
            leg.to_server.retransmissions,
            leg.violations.len()
        ),
        (1, 0, 0)
    );
    assert_eq!(leg.fingerprints.len(), 4);
}

#[test]
fn a_vanished_client_leaves_unanswered_bytes() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true))
        .down(ACK, &hello(false))
        .again(200)
        .again(400)
        .again(800);
    let leg = one(&s);
    let unanswered = leg.to_client.unanswered.unwrap();
    assert_eq!(unanswered.retransmissions, 3);
    assert_eq!(
        unanswered.last.at.since(unanswered.first.at),
        1400 * MILLI_NS
    );
    assert_eq!(leg.to_client.last_payload.unwrap().at, unanswered.first.at);
    assert_eq!(leg.to_client.data_frames, 1);
}

#[test]
fn keep_alives_are_no_payload() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true)).down(ACK, b"").wait(5000);
    for _ in 0..3 {
        s.up(ACK, b"")
            .but(|p| p.seq = p.seq.wrapping_sub(1))
            .down(ACK, b"")
            .wait(1000);
        // One byte of garbage, as some systems send.
        s.up(ACK, b"")
            .but(|p| (p.seq, p.bytes) = (p.seq.wrapping_sub(1), vec![0]))
            .down(ACK, b"")
            .wait(1000);
    }
    let leg = one(&s);
    assert_eq!(
        (
            leg.to_server.keepalives,
            leg.to_server.retransmissions,
            leg.to_client.keepalives
        ),
        (6, 0, 0)
    );
    assert!(leg.to_server.last_payload.unwrap().at.0 < 5000 * MILLI_NS);
    assert_eq!(leg.to_server.unanswered, None);
}

#[test]
fn a_closed_window_is_timed() {
    let mut s = Script::upgraded();
    s.down(ACK, &hello(false))
        .up(ACK, b"")
        .but(|p| p.window = 0)
        .wait(300);
    s.down(ACK, b"")
        .but(|p| p.seq = p.seq.wrapping_sub(1))
        .up(ACK, b"")
        .but(|p| p.window = 0)
        .wait(300);
    s.up(ACK, b"")
        .wait(10)
        .up(ACK, b"")
        .but(|p| p.window = 0)
        .wait(100)
        .down(RST, b"");
    let leg = one(&s);
    assert_eq!(
        (leg.to_server.zero_windows, leg.to_client.keepalives),
        (2, 0)
    );
    assert_eq!(leg.to_server.zero_window_ns, (603 + 101) * MILLI_NS);
    assert!(leg.to_server.zero_window_since.is_some());
}

#[test]
fn a_forged_reset_shows_by_its_ttl_and_number() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true))
        .down(ACK, b"")
        .down(RST, b"")
        .but(|p| p.ttl = 41);
    let leg = one(&s);
    let reset = leg.to_client.rst.unwrap();
    assert_eq!(
        (reset.ttl, reset.in_window, leg.to_client.ttl),
        (41, true, Some(64))
    );
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true))
        .down(ACK, b"")
        .down(RST, b"")
        .but(|p| p.seq = p.seq.wrapping_add(900_000_000));
    assert!(!one(&s).to_client.rst.unwrap().in_window);
}

#[test]
fn lost_packets_do_not_hide_the_close() {
    let big = frame::encode(true, 2, None, &[7; 3000]);
    let mut s = Script::upgraded();
    s.down(ACK, &big[..1000])
        .down(ACK, &big[1000..2000])
        .lost()
        .down(ACK, &big[2000..])
        .up(ACK, b"")
        .wait(50);
    s.down(ACK, &hello(false))
        .lost()
        .up(ACK, b"")
        .wait(50)
        .down(ACK, &bye(false))
        .up(ACK, b"");
    let leg = one(&s);
    assert_eq!(
        (leg.to_client.data_frames, leg.to_client.lost_bytes),
        (1, 1007)
    );
    assert_eq!(leg.to_client.close.unwrap().code, Some(1001));
    assert!(
        leg.events
            .iter()
            .any(|e| e.what == LegEventKind::Gap { bytes: 1000 })
    );
}

#[test]
fn a_leg_without_its_handshake_is_recognised() {
    let mut s = Script::new();
    s.down(ACK, &frame::encode(true, 9, None, b""))
        .up(ACK, &frame::encode(true, 10, Some([5, 6, 7, 8]), b""));
    s.up(ACK, &hello(true)).down(ACK, &bye(false));
    let (frames, legs, _) = read_bytes(&pcap(&s.sent, 65_535));
    assert_eq!(legs[0].protocol, LegProtocol::WebSocketMidstream);
    assert_eq!(legs[0].client.port(), 40_000);
    assert!(!legs[0].sides_certain);
    assert_eq!(
        text(&frames),
        [
            "to-client 9:0",
            "to-server 10:0",
            "to-server 1:5",
            "to-client 8:2"
        ]
    );
    assert!(legs[0].pings[0].answered.is_some() && legs[0].pings[0].acked.is_some());
}

#[test]
fn a_new_syn_is_a_new_leg_and_silence_is_not() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true))
        .wait(7_200_000)
        .down(ACK, &bye(false))
        .up(FIN | ACK, b"")
        .down(FIN | ACK, b"")
        .up(ACK, b"");
    let mut t = Script::upgraded();
    for sent in &mut t.sent {
        (sent.at_ms, sent.id) = (sent.at_ms + s.at_ms, sent.id + 500);
        let shift = 77_777_u32;
        (sent.seq, sent.ack) = if sent.up {
            (sent.seq + shift, sent.ack)
        } else {
            (
                sent.seq,
                sent.ack.wrapping_add(if sent.ack == 0 { 0 } else { shift }),
            )
        };
    }
    s.sent.extend(t.sent);
    let (_, legs, _) = read_bytes(&pcap(&s.sent, 65_535));
    assert_eq!(legs.len(), 2);
    assert!(legs[0].to_client.close.is_some() && legs[1].to_client.close.is_none());
    assert_eq!(legs[1].protocol, LegProtocol::WebSocket);
}

#[test]
fn plain_http_is_let_go_and_refusals_are_kept() {
    let health = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let no = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n";
    let check = |name: &str, s: &Script, expected: &[LegProtocol]| {
        let (_, legs, _) = read_bytes(&pcap(&s.sent, 65_535));
        assert_eq!(
            legs.iter().map(|l| l.protocol).collect::<Vec<_>>(),
            expected,
            "{name}"
        );
        legs
    };
    let mut s = Script::opened();
    check(
        "accepted and never used",
        s.up(FIN | ACK, b"").down(FIN | ACK, b"").up(ACK, b""),
        &[LegProtocol::NoPayload],
    );
    let mut s = Script::opened();
    check(
        "a health check",
        s.up(ACK, health)
            .down(ACK, ok)
            .up(FIN | ACK, b"")
            .down(FIN | ACK, b"")
            .up(ACK, b""),
        &[],
    );
    let mut s = Script::opened();
    let legs = check(
        "pooled",
        s.up(ACK, health)
            .down(ACK, ok)
            .up(ACK, REQUEST)
            .down(ACK, RESPONSE),
        &[LegProtocol::WebSocket],
    );
    assert_eq!(legs[0].earlier_requests, 1);
    let mut s = Script::opened();
    check(
        "refused twice on one leg",
        s.up(ACK, REQUEST)
            .down(ACK, no)
            .up(ACK, REQUEST)
            .down(ACK, no),
        &[LegProtocol::UpgradeRefused; 2],
    );
    let mut s = Script::opened();
    check(
        "unanswered",
        s.up(ACK, REQUEST).down(FIN | ACK, b""),
        &[LegProtocol::UpgradeUnanswered],
    );
    let mut s = Script::new();
    let legs = check(
        "refused by TCP",
        s.up(SYN, b"").down(RST | ACK, b""),
        &[LegProtocol::NoPayload],
    );
    assert!(legs[0].refused);
    let mut s = Script::opened();
    check(
        "TLS",
        s.up(ACK, &[22, 3, 1, 0, 2, 1, 0])
            .down(ACK, &[22, 3, 3, 0, 2, 2, 0]),
        &[LegProtocol::Tls],
    );
    let mut s = Script::opened();
    check(
        "another protocol",
        s.up(ACK, b"\x10\x20MQTT....").down(ACK, b"\x20\x02\0\0"),
        &[],
    );
}

/// The same leg with another client port, as often as there are ports.
fn crowd(script: &Script, ports: std::ops::Range<u16>) -> Vec<u8> {
    let one = pcap(&script.sent, 65_535);
    let (head, packets) = one.split_at(24);
    let mut out = head.to_vec();
    for port in ports {
        let mut at = 0;
        while at < packets.len() {
            let len = u32::from_le_bytes(packets[at + 8..at + 12].try_into().unwrap()) as usize;
            let mut packet = packets[at..at + 16 + len].to_vec();
            for place in [16 + 20, 16 + 22] {
                if packet[place..place + 2] == CLIENT.1.to_be_bytes() {
                    packet[place..place + 2].copy_from_slice(&port.to_be_bytes());
                }
            }
            out.extend(packet);
            at += 16 + len;
        }
    }
    out
}

#[test]
fn shares_of_a_vantage_point_are_the_whole() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true)).down(ACK, &bye(false));
    let bytes = crowd(&s, 40_000..40_200);
    let (_, whole, told) = read_bytes(&bytes);
    assert_eq!(whole.len(), 200);
    for of in 2..=LANES {
        let mut summaries = Vec::new();
        let mut shares = Vec::new();
        for share in 0..of {
            let mut v = Vantage::new(3, (share, of), &Arc::default());
            summaries.push(v.read(SourceId(0), &mut bytes.as_slice(), None, &mut |_| {}));
            shares.push(v);
        }
        let mut summaries = summaries.into_iter();
        let mut first = summaries.next().unwrap();
        summaries.for_each(|s| first.join(s));
        assert_eq!((first.packets, first.used), (told.packets, told.used));
        assert_eq!(first.anomalies, told.anomalies);
        assert_eq!(Vantage::finish(shares), whole, "{of} shares");
    }
}

#[test]
fn heads_cut_by_the_snap_length() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true))
        .down(ACK, &hello(false))
        .down(ACK, &bye(false));
    let (frames, legs, _) = read_bytes(&pcap(&s.sent, 40 + 30));
    assert_eq!(legs[0].protocol, LegProtocol::WebSocket);
    assert_eq!(legs[0].request.as_ref().unwrap().uri, "/ws?a=1");
    assert_eq!(
        text(&frames),
        ["to-server 1:5", "to-client 1:5", "to-client 8:2"]
    );
}

#[test]
fn packets_recorded_twice_count_once() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true)).down(ACK, b"");
    let twice: Vec<Sent> = s
        .sent
        .iter()
        .flat_map(|p| {
            [
                p.clone(),
                Sent {
                    ttl: 63,
                    ..p.clone()
                },
            ]
        })
        .collect();
    let (frames, legs, _) = read_bytes(&pcap(&twice, 65_535));
    assert_eq!(
        (frames.len(), legs[0].duplicates as usize),
        (1, s.sent.len())
    );
    assert_eq!(
        (
            legs[0].to_server.retransmissions,
            legs[0].syn_retransmissions
        ),
        (0, 0)
    );
}

fn conversation() -> Script {
    let mut s = Script::upgraded();
    for n in 0..12usize {
        s.up(
            ACK,
            &frame::encode(true, 1, Some([n as u8; 4]), &vec![b'u'; n * 37]),
        );
        s.down(
            ACK,
            &frame::encode(n % 3 != 1, u8::from(n % 3 != 2), None, &vec![b'd'; n * 53]),
        );
    }
    s.down(ACK, &bye(false))
        .up(ACK, &bye(true))
        .down(FIN | ACK, b"")
        .up(FIN | ACK, b"")
        .down(ACK, b"");
    s
}

proptest! {
    #[test]
    fn order_cuts_and_repetition_change_no_frame(
        cuts in proptest::collection::vec(1usize..90, 1..40), moves in proptest::collection::vec((0usize..200, 1usize..6), 0..20),
        repeats in proptest::collection::vec(0usize..200, 0..20),
    ) {
        let script = conversation();
        let (expected, _, _) = read_bytes(&pcap(&script.sent, 65_535));
        prop_assert!(expected.len() > 20);
        let mut cut = cuts.iter().cycle();
        let mut sent: Vec<Sent> = Vec::new();
        for s in &script.sent {
            if s.bytes.len() < 2 || s.bytes.len() > 800 { sent.push(s.clone()); continue; }
            let mut at = 0;
            while at < s.bytes.len() {
                let n = (*cut.next().unwrap()).min(s.bytes.len() - at);
                sent.push(Sent { seq: s.seq.wrapping_add(at as u32), bytes: s.bytes[at..at + n].to_vec(), ..s.clone() });
                at += n;
            }
        }
        for at in repeats {
            let at = 6 + at % (sent.len() - 6);
            let copy = sent[at].clone();
            sent.insert((at + 3).min(sent.len()), copy);
        }
        // Packets change places on the way, the handshake aside.
        for (at, by) in moves {
            let at = 12 + at % (sent.len() - 12);
            let to = (at + by).min(sent.len() - 1);
            let moved = sent.remove(at);
            sent.insert(to, moved);
        }
        for (n, s) in sent.iter_mut().enumerate() {
            (s.at_ms, s.id) = (n as i64 / 10, n as u16 + 1);
        }
        let (frames, legs, _) = read_bytes(&pcap(&sent, 65_535));
        let of = |frames: &[Frame], d| text(&frames.iter().filter(|f| f.direction == d).cloned().collect::<Vec<_>>());
        for d in [Direction::ToServer, Direction::ToClient] {
            prop_assert_eq!(of(&frames, d), of(&expected, d));
        }
        prop_assert_eq!(legs.len(), 1);
        prop_assert_eq!(legs[0].to_server.lost_bytes + legs[0].to_client.lost_bytes, 0);
    }

    #[test]
    fn a_cut_file_loses_only_its_last_frames(cut in 24usize..8000) {
        let bytes = pcap(&conversation().sent, 65_535);
        let (all, _, _) = read_bytes(&bytes);
        let (some, _, summary) = read_bytes(&bytes[..cut.min(bytes.len())]);
        prop_assert_eq!(&some[..], &all[..some.len()]);
        prop_assert!(summary.anomalies.iter().all(|a| a.kind == "truncated-tail"));
        let lost = all.iter().filter(|f| f.mark.record.start as usize + f.mark.record.len as usize <= cut).count();
        prop_assert_eq!(some.len(), lost);
    }

    #[test]
    fn any_change_of_a_capture_is_survived(changes in proptest::collection::vec((24usize..8000, any::<u8>()), 0..60), snap in 20usize..2000) {
        let mut bytes = pcap(&conversation().sent, snap);
        let len = bytes.len();
        for (at, value) in changes {
            bytes[24 + (at - 24) % (len - 24)] = value;
        }
        let (_, legs, _) = read_bytes(&bytes);
        for leg in legs {
            prop_assert!(leg.events.len() <= 96 && leg.fingerprints.len() <= 32 && leg.pings.len() <= 64);
        }
    }
}

#[test]
fn rotated_files_are_one_time_line() {
    let script = conversation();
    let (expected, legs, _) = read_bytes(&pcap(&script.sent, 65_535));
    let mut vantage = Vantage::new(0, (0, 1), &Arc::default());
    let mut frames = Vec::new();
    for (n, part) in script.sent.chunks(7).enumerate() {
        let bytes = pcap(part, 65_535);
        vantage.read(
            SourceId(n as u32),
            &mut &bytes[..],
            Some(&mut |f| frames.push(f)),
            &mut |_| {},
        );
    }
    assert_eq!(text(&frames), text(&expected));
    let rotated = Vantage::finish(vec![vantage]);
    assert_eq!(rotated.len(), 1);
    assert_eq!(rotated[0].to_client.bytes, legs[0].to_client.bytes);
}
