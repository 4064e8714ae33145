//! Packets of every link layer and tunnel, sound and damaged -> whether their segments are found, as etherparse finds them.

use super::*;
use etherparse::{LaxNetSlice, LaxSlicedPacket, PacketBuilder, TransportSlice};
use proptest::prelude::*;

fn theirs(packet: &[u8]) -> Option<(u32, u32, u16, u16, Vec<u8>, u8)> {
    let sliced = LaxSlicedPacket::from_ethernet(packet).ok()?;
    let ttl = match sliced.net? {
        LaxNetSlice::Ipv4(ip) => ip.header().ttl(),
        LaxNetSlice::Ipv6(ip) => ip.header().hop_limit(),
        LaxNetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        return None;
    };
    Some((
        tcp.sequence_number(),
        tcp.acknowledgment_number(),
        tcp.source_port(),
        tcp.window_size(),
        tcp.payload().to_vec(),
        ttl,
    ))
}

fn ours(packet: &[u8]) -> Option<(u32, u32, u16, u16, Vec<u8>, u8)> {
    match parse(ETHERNET, packet, packet.len() as u32) {
        Packet::Tcp(s) => Some((
            s.seq,
            s.ack,
            s.ends.both()[usize::from(s.side)].port,
            s.window,
            s.payload.to_vec(),
            s.ttl,
        )),
        _ => None,
    }
}

proptest! {
    #[test]
    fn agrees_with_etherparse(
        v6: bool, vlan in 0u8..3, seq: u32, ack: u32, port: u16, window: u16, ttl: u8,
        payload in proptest::collection::vec(any::<u8>(), 0..200), pad in 0usize..8,
    ) {
        use etherparse::{SingleVlanHeader, VlanId};
        let tag = || SingleVlanHeader { vlan_id: VlanId::try_new(7).unwrap(), ..SingleVlanHeader::default() };
        let start = PacketBuilder::ethernet2([1; 6], [2; 6]);
        macro_rules! build {
            ($from:expr) => {{
                let b = $from.tcp(port, 80, seq, window).ack(ack);
                let mut out = Vec::new();
                b.write(&mut out, &payload).unwrap();
                out
            }};
        }
        let mut packet = match (v6, vlan) {
            (false, 0) => build!(start.ipv4([10, 0, 0, 1], [10, 0, 0, 2], ttl)),
            (true, 0) => build!(start.ipv6([1; 16], [2; 16], ttl)),
            (false, 1) => build!(start.vlan(etherparse::VlanHeader::Single(tag())).ipv4([10, 0, 0, 1], [10, 0, 0, 2], ttl)),
            (true, 1) => build!(start.vlan(etherparse::VlanHeader::Single(tag())).ipv6([1; 16], [2; 16], ttl)),
            (false, _) => build!(start.double_vlan(VlanId::try_new(1).unwrap(), VlanId::try_new(2).unwrap()).ipv4([10, 0, 0, 1], [10, 0, 0, 2], ttl)),
            (true, _) => build!(start.double_vlan(VlanId::try_new(1).unwrap(), VlanId::try_new(2).unwrap()).ipv6([1; 16], [2; 16], ttl)),
        };
        packet.resize(packet.len() + pad, 0);
        prop_assert!(ours(&packet).is_some());
        prop_assert_eq!(ours(&packet), theirs(&packet));
    }

    #[test]
    fn any_bytes_are_read_without_panic(link in prop_oneof![Just(0u16), Just(1), Just(101), Just(108), Just(113), Just(276), any::<u16>()],
        data in proptest::collection::vec(any::<u8>(), 0..256), wire: u32) {
        let _ = parse(link, &data, wire);
        let mut layers = Vec::new();
        let _ = parse_noting(link, &data, wire, Some(&mut layers));
        for (_, range) in layers {
            prop_assert!(data.get(range).is_some());
        }
    }

    #[test]
    fn a_cut_packet_keeps_its_length(cut in 54usize..154) {
        let mut packet = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(5, 80, 9, 10)
            .write(&mut packet, &[7; 100]).unwrap();
        let Packet::Tcp(s) = parse(ETHERNET, &packet[..cut], packet.len() as u32) else { panic!("no segment") };
        prop_assert_eq!(s.payload_len, 100);
        prop_assert_eq!(s.payload.len(), cut - 54);
    }
}

/// Ethernet packets as they are seldom met, each carrying the same segment.
fn seldom() -> Vec<(&'static str, Vec<u8>)> {
    let segment = {
        let mut whole = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(5, 80, 9, 10)
            .write(&mut whole, b"hello")
            .unwrap();
        whole.split_off(20)
    };
    let ethernet = |kind: u16, body: &[u8]| [&[1; 12], &kind.to_be_bytes()[..], body].concat();
    let v4 = |options: &[u8], fragment: u16, protocol: u8, body: &[u8]| {
        let header = 20 + options.len();
        let mut ip = vec![0x40 | (header / 4) as u8, 0];
        ip.extend(((header + body.len()) as u16).to_be_bytes());
        ip.extend([0, 7]);
        ip.extend(fragment.to_be_bytes());
        ip.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        [&ip, options, body].concat()
    };
    let v6 = |first: u8, body: &[u8]| {
        let mut ip = vec![0x60, 0, 0, 0];
        ip.extend((body.len() as u16).to_be_bytes());
        ip.extend([first, 64]);
        ip.extend([1; 16]);
        ip.extend([2; 16]);
        [&ip, body].concat()
    };
    let behind = |head: &[u8]| [head, &segment].concat();
    let auth = behind(&[
        6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3,
    ]);
    let plain = v4(&[], 0, 6, &segment);
    let tag = |kind: u16, body: &[u8]| [&[0, 7], &kind.to_be_bytes()[..], body].concat();
    let tagged = tag(0x8100, &tag(0x8100, &tag(0x0800, &plain)));
    let secured = [&[0, 0, 0, 0, 0, 1, 0x08, 0x00][..], &plain].concat();
    vec![
        (
            "options",
            ethernet(0x0800, &v4(&[1, 1, 1, 0], 0, 6, &segment)),
        ),
        ("authenticated", ethernet(0x0800, &v4(&[], 0, 51, &auth))),
        (
            "hop by hop",
            ethernet(0x86DD, &v6(0, &behind(&[6, 0, 1, 4, 0, 0, 0, 0]))),
        ),
        (
            "routing",
            ethernet(0x86DD, &v6(43, &behind(&[6, 0, 0, 0, 0, 0, 0, 0]))),
        ),
        (
            "whole fragment",
            ethernet(0x86DD, &v6(44, &behind(&[6, 0, 0, 0, 0, 0, 0, 1]))),
        ),
        ("three tags", ethernet(0x8100, &tagged)),
        ("MACsec", ethernet(0x88E5, &secured)),
        (
            "first fragment",
            ethernet(0x0800, &v4(&[], 0x2000, 6, &segment)),
        ),
        (
            "first fragment of IPv6",
            ethernet(0x86DD, &v6(44, &behind(&[6, 0, 0, 1, 0, 0, 0, 1]))),
        ),
        ("later fragment", ethernet(0x0800, &v4(&[], 2, 6, &segment))),
        (
            "later fragment of IPv6",
            ethernet(0x86DD, &v6(44, &behind(&[6, 0, 0, 8, 0, 0, 0, 1]))),
        ),
    ]
}

#[test]
fn what_the_fast_path_declines_is_read() {
    for (name, packet) in seldom() {
        let wire = packet.len() as u32;
        match parse(ETHERNET, &packet, wire) {
            Packet::Odd(why) => panic!("{name}: {why}"),
            Packet::Fragment(f) => {
                assert!(f.more != (f.offset > 0), "{name}");
                let segment = f.segment.map(|s| s.payload.to_vec());
                let expected = (f.offset == 0).then(|| b"hello".to_vec());
                assert_eq!((segment, f.len), (expected, 25), "{name}");
            }
            Packet::Tcp(s) => {
                assert_eq!((s.payload, s.seq, s.ttl), (&b"hello"[..], 9, 64), "{name}");
                let cut = &packet[..packet.len() - 3];
                let Packet::Tcp(s) = parse(ETHERNET, cut, wire) else {
                    panic!("{name}")
                };
                assert_eq!((s.payload, s.payload_len), (&b"he"[..], 5), "{name}");
                // Etherparse hands out no segment of a fragment.
                if !name.contains("fragment") {
                    assert_eq!(ours(&packet), theirs(&packet), "{name}");
                }
            }
            Packet::Other => panic!("{name}"),
        }
    }
}

proptest! {
    /// The short way says what the long way says, whatever was damaged, cut off or left behind.
    #[test]
    fn the_short_way_agrees_with_the_long_way(which in 0usize..14, at in 12usize..90, value: u8, cut in 0usize..20, pad in 0u32..9) {
        let mut packets: Vec<Vec<u8>> = seldom().into_iter().map(|(_, p)| p).collect();
        packets.push(tcp_in(&[]));
        let mut six = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6([1; 16], [2; 16], 64).tcp(5, 80, 9, 10).write(&mut six, b"hello").unwrap();
        packets.push(six);
        let tagged = [&[1; 12][..], &[0x81, 0, 0, 7], &packets[11][12..]].concat();
        packets.push(tagged);
        let packet = &mut packets[which];
        if let Some(byte) = packet.get_mut(at) {
            *byte = value;
        }
        let kept = packet.len().saturating_sub(cut);
        let wire = packet.len() as u32 + pad;
        let short = &packet[..kept];
        if let Some(segment) = plain(short, wire).or_else(|| plain_v6(short, wire)) {
            let long = parse_noting(ETHERNET, &packet[..kept], wire, Some(&mut Vec::new()));
            prop_assert_eq!(format!("{:?}", Packet::Tcp(segment)), format!("{long:?}"));
        } else if which > 10 && cut == 0 && at > 80 {
            prop_assert!(false, "an ordinary packet took the long way");
        }
    }

    /// Whatever a packet's bytes say: where etherparse finds a segment, so do we, and the same.
    #[test]
    fn agrees_with_etherparse_on_damaged_packets(which in 0usize..13, at in 12usize..80, value: u8) {
        let mut packets: Vec<Vec<u8>> = seldom().into_iter().map(|(_, p)| p).collect();
        packets.push(tcp_in(&[]));
        let mut six = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6([1; 16], [2; 16], 64).tcp(5, 80, 9, 10).write(&mut six, b"hello").unwrap();
        packets.push(six);
        let packet = &mut packets[which];
        if let Some(byte) = packet.get_mut(at) {
            *byte = value;
        }
        let Some(expected) = theirs(packet) else { return Ok(()) };
        match parse(ETHERNET, packet, packet.len() as u32) {
            // Etherparse forgives a total length shorter than its own header.
            Packet::Odd("bad-ip-header") => {}
            _ => prop_assert_eq!(ours(packet), Some(expected)),
        }
    }
}

fn tcp_in(outer: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(5, 80, 9, 10)
        .write(&mut inner, b"hello")
        .unwrap();
    [outer, &inner].concat()
}

fn in_udp(port: u16, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 9, 0, 1], [10, 9, 0, 2], 64)
        .udp(999, port)
        .write(&mut packet, body)
        .unwrap();
    packet
}

/// An authentication header that says it is longer than the packet, and a fragment header behind it.
#[test]
fn cut_extension_headers_are_read_without_a_fault() {
    for (first, second) in [
        (51u8, 44u8),
        (44, 51),
        (44, 44),
        (60, 44),
        (0, 43),
        (43, 60),
    ] {
        for len in 0..40usize {
            for words in [0u8, 1, 4, 255] {
                let mut headers = vec![second, words, 0, 0, 0, 0, 0, 1];
                headers.extend([6, words, 0, 1, 0, 0, 0, 2]);
                headers.resize(len, 0xA5);
                let mut ip = vec![0x60, 0, 0, 0];
                ip.extend((len as u16).to_be_bytes());
                ip.extend([first, 64]);
                ip.extend([1; 32]);
                ip.extend(&headers);
                for link in [101, 229] {
                    let _ = parse(link, &ip, ip.len() as u32);
                    let _ = parse(link, &ip, ip.len() as u32 + 9);
                }
                let _ = fragment_header(first, &headers);
            }
        }
    }
}

#[test]
fn tunnels_are_taken_off() {
    let vxlan = in_udp(4789, &tcp_in(&[8, 0, 0, 0, 0, 0, 1, 0]));
    let geneve = in_udp(6081, &tcp_in(&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0]));
    let ethernet = tcp_in(&[]);
    let plain = &ethernet[14..];
    let gtp = in_udp(2152, &[&[0x30, 0xff, 0, 0, 0, 0, 0, 1][..], plain].concat());
    // A sequence number and a PDU session container, as between 5G's radio and core.
    let session = [
        &[0x36, 0xff, 0, 0, 0, 0, 0, 1, 0, 9, 0, 0x85][..],
        &[1, 0x10, 9, 0x40, 2, 0, 1, 2, 3, 4, 5, 0],
        plain,
    ];
    let answer = {
        let mut packet = in_udp(40_000, &session.concat());
        packet[34..36].copy_from_slice(&2152u16.to_be_bytes());
        packet
    };
    let mac = |kind: u16, body: &[u8]| [&[3; 12][..], &kind.to_be_bytes(), body].concat();
    let snap = {
        let body = [&[0xAA, 0xAA, 3, 0, 0, 0, 8, 0][..], plain].concat();
        mac(body.len() as u16, &[&body[..], &[0; 5]].concat())
    };
    let v4 = |protocol: u8, body: &[u8]| {
        let mut ip = vec![0x45, 0];
        ip.extend((20 + body.len() as u16).to_be_bytes());
        ip.extend([0, 7, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2]);
        mac(0x0800, &[&ip, body].concat())
    };
    let gre = |head: &[u8], body: &[u8]| v4(47, &[head, body].concat());
    let tags = |kinds: [u16; 2], body: &[u8]| {
        let inner = [&[0, 7][..], &0x0800u16.to_be_bytes(), body].concat();
        let outer = [&[0, 9][..], &kinds[1].to_be_bytes(), &inner].concat();
        mac(kinds[0], &outer)
    };
    let packets = [
        ("vxlan", vxlan),
        ("geneve", geneve),
        ("gtp-u", gtp),
        ("gtp-u of 5G", in_udp(2152, &session.concat())),
        ("gtp-u, answered", answer),
        ("snap", snap),
        (
            "802.1ah",
            mac(0x88E7, &[&[0, 0, 0, 7], &ethernet[..]].concat()),
        ),
        ("QinQ", tags([0x88A8, 0x8100], plain)),
        ("QinQ of old", tags([0x9100, 0x8100], plain)),
        (
            "PPPoE",
            mac(0x8864, &[&[0x11, 0, 0, 9, 0, 47, 0, 0x21], plain].concat()),
        ),
        (
            "MPLS",
            mac(0x8847, &[&[0, 0, 0x10, 64, 0, 1, 1, 64], plain].concat()),
        ),
        ("IPIP", v4(4, plain)),
        ("GRE", gre(&[0, 0, 8, 0], plain)),
        ("GRE with key", gre(&[0x20, 0, 8, 0, 0, 0, 0, 1], plain)),
        ("NVGRE", gre(&[0x20, 0, 0x65, 0x58, 0, 0, 1, 0], &ethernet)),
        ("EoIP", gre(&[0x20, 1, 0x64, 0, 0, 59, 7, 0], &ethernet)),
        ("ERSPAN I", gre(&[0, 0, 0x88, 0xBE], &ethernet)),
        (
            "ERSPAN II",
            gre(
                &[0x10, 0, 0x88, 0xBE, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0],
                &ethernet,
            ),
        ),
        (
            "ERSPAN III",
            gre(
                &[
                    0x10, 0, 0x22, 0xEB, 0, 0, 0, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                &ethernet,
            ),
        ),
        (
            "ERSPAN III with its platform's header",
            gre(
                &[
                    0x10, 0, 0x22, 0xEB, 0, 0, 0, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9,
                    9, 9, 9, 9, 9, 9,
                ],
                &ethernet,
            ),
        ),
    ];
    for (name, packet) in packets {
        match parse(ETHERNET, &packet, packet.len() as u32) {
            Packet::Tcp(s) => {
                assert_eq!(
                    (s.payload, s.ends.both()[usize::from(1 - s.side)].port),
                    (&b"hello"[..], 80),
                    "{name}"
                );
                assert_eq!(s.payload_len, 5, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// What a network card does to segments before or after the capture sees them.
#[test]
fn offloaded_segments_are_whole() {
    let mut large = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(5, 80, 9, 10)
        .write(&mut large, &[7; 60_000])
        .unwrap();
    let mut six = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv6([1; 16], [2; 16], 64)
        .tcp(5, 80, 9, 10)
        .write(&mut six, &[7; 60_000])
        .unwrap();
    // No total length (TSO of more than 64 KiB), and no checksum that is right.
    let mut zero = large.clone();
    zero[16..18].copy_from_slice(&[0, 0]);
    zero[24..26].copy_from_slice(&[0xBA, 0xD0]);
    zero[50..52].copy_from_slice(&[0xBA, 0xD0]);
    let mut no_length = six.clone();
    no_length[18..20].copy_from_slice(&[0, 0]);
    for (name, packet) in [
        ("long", large),
        ("long, IPv6", six),
        ("zero", zero),
        ("zero, IPv6", no_length),
    ] {
        for kept in [packet.len(), 200] {
            let Packet::Tcp(s) = parse(ETHERNET, &packet[..kept], packet.len() as u32) else {
                panic!("{name}")
            };
            assert_eq!(s.payload_len, 60_000, "{name}");
        }
    }
}
