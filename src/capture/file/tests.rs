//! Made-up capture files, whole and damaged -> checks of the packets found in them.

use super::*;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    BOM_MAGIC, Block, DSB_MAGIC, EPB_MAGIC, IDB_MAGIC, ISB_MAGIC, PcapBlockOwned, PcapError,
};
use proptest::prelude::*;

type Blocks = Vec<(u32, Vec<u8>)>;
type Packets = Vec<(Vec<u8>, u32, u64, u32)>;

/// Data, length on the wire, offset and length of every record; and the anomalies.
fn read(mut bytes: &[u8]) -> (Packets, Vec<String>) {
    let mut file = PacketFile::new(&mut bytes);
    let mut all = Vec::new();
    while let Some(r) = file.next() {
        all.push((r.data.to_vec(), r.wire_len, r.start, r.len));
    }
    let (anomalies, _) = file.finish();
    (all, anomalies.into_iter().map(|a| a.kind).collect())
}

fn word(out: &mut Vec<u8>, value: u32, big: bool) {
    out.extend_from_slice(&if big {
        value.to_be_bytes()
    } else {
        value.to_le_bytes()
    });
}

fn pcap(packets: &[Vec<u8>], big: bool, nanos: bool) -> Vec<u8> {
    let mut out = Vec::new();
    word(&mut out, if nanos { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }, big);
    out.extend_from_slice(&if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
    for value in [0, 0, 262_144, 1] {
        word(&mut out, value, big);
    }
    for (n, p) in packets.iter().enumerate() {
        for value in [1000 + n as u32, 5, p.len() as u32, p.len() as u32 + 3] {
            word(&mut out, value, big);
        }
        out.extend_from_slice(p);
    }
    out
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8], big: bool) {
    let total = 12 + body.len().next_multiple_of(4) as u32;
    word(out, kind, big);
    word(out, total, big);
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(4), 0);
    word(out, total, big);
}

fn pcapng(packets: &[Vec<u8>], big: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut body = Vec::new();
    word(&mut body, BOM_MAGIC, big);
    body.extend_from_slice(&if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] });
    body.extend_from_slice(&[0xff; 8]);
    block(&mut out, SHB_MAGIC, &body, big);
    let mut body = if big {
        vec![0, 1, 0, 0]
    } else {
        vec![1, 0, 0, 0]
    };
    word(&mut body, 0, big);
    block(&mut out, IDB_MAGIC, &body, big);
    block(&mut out, 0x0BAD, b"a custom block", big);
    for (n, p) in packets.iter().enumerate() {
        let mut body = Vec::new();
        for value in [0, 0, 1000 + n as u32, p.len() as u32, p.len() as u32 + 3] {
            word(&mut body, value, big);
        }
        body.extend_from_slice(p);
        block(&mut out, EPB_MAGIC, &body, big);
    }
    out
}

/// What pcap-parser reads.
fn theirs(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = pcap_parser::create_reader(1 << 16, bytes).unwrap();
    let mut all = Vec::new();
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                match block {
                    PcapBlockOwned::Legacy(b) => all.push(b.data.to_vec()),
                    PcapBlockOwned::NG(Block::EnhancedPacket(b)) => {
                        all.push(b.packet_data().to_vec())
                    }
                    _ => {}
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return all,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(e) => panic!("{e:?}"),
        }
    }
}

fn packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..200), 0..20)
}

proptest! {
    #[test]
    fn reads_what_pcap_parser_reads(packets in packets(), big: bool, kind in 0u8..3) {
        let bytes = match kind { 0 => pcap(&packets, big, false), 1 => pcap(&packets, big, true), _ => pcapng(&packets, big) };
        let (ours, anomalies) = read(&bytes);
        prop_assert!(anomalies.is_empty(), "{:?}", anomalies);
        prop_assert_eq!(ours.iter().map(|p| p.0.clone()).collect::<Vec<_>>(), theirs(&bytes));
        for (data, wire_len, start, len) in ours {
            let record = &bytes[start as usize..start as usize + len as usize];
            let (link, range, wire) = record_data(&bytes, record).unwrap();
            prop_assert_eq!((link, &record[range], wire), (1, &data[..], wire_len));
        }
    }

    #[test]
    fn a_cut_file_loses_only_its_tail(packets in packets(), ng: bool, cut in 0usize..4000) {
        let bytes = if ng { pcapng(&packets, false) } else { pcap(&packets, false, false) };
        let cut = cut.min(bytes.len());
        let (all, _) = read(&bytes);
        let (some, _) = read(&bytes[..cut]);
        let whole = all.iter().take_while(|(_, _, start, len)| *start as usize + *len as usize <= cut).count();
        prop_assert_eq!(&some[..], &all[..whole]);
    }

    #[test]
    fn any_bytes_end(head in 0u8..4, bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0usize..600) {
        let packets = vec![vec![7; 60]; 5];
        let mut file = match head { 0 => pcap(&packets, false, false), 1 => pcapng(&packets, false), 2 => pcapng(&packets, true), _ => Vec::new() };
        let at = at.min(file.len());
        file.splice(at..at, bytes);
        let (got, _) = read(&file);
        prop_assert!(got.iter().all(|(_, _, start, len)| *start as usize + *len as usize <= file.len()));
    }
}

/// A file of one interface with `options`, one packet at tick 5, then `after`.
fn described(big: bool, options: &[(u16, &[u8])], after: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let half = |value: u16| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let mut out = pcapng(&[], big);
    out.truncate(28);
    let mut body = [half(1), half(0)].concat();
    word(&mut body, 0, big);
    for (code, value) in options {
        body.extend(half(*code));
        body.extend(half(value.len() as u16));
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(&mut out, IDB_MAGIC, &body, big);
    let mut body = Vec::new();
    for value in [0, 0, 5, 14, 14] {
        word(&mut body, value, big);
    }
    body.extend([7; 14]);
    block(&mut out, EPB_MAGIC, &body, big);
    for (kind, body) in after {
        block(&mut out, *kind, body, big);
    }
    out
}

#[test]
fn an_interface_is_described_in_either_byte_order() {
    for big in [false, true] {
        let three: i64 = 3;
        let offset = if big {
            three.to_be_bytes()
        } else {
            three.to_le_bytes()
        };
        for (options, expected) in [
            (vec![], 5000),
            (vec![(9, &[9][..])], 5),
            (
                vec![(2, &b"eth0"[..]), (9, &[3]), (14, &offset)],
                3_005_000_000,
            ),
        ] {
            let bytes = described(big, &options, &[]);
            let mut input = &bytes[..];
            let mut file = PacketFile::new(&mut input);
            assert_eq!(file.next().unwrap().at, Moment(expected), "{options:?}");
            assert!(file.next().is_none());
            assert!(file.finish().0.is_empty());
        }
    }
}

#[test]
fn what_a_block_tells_is_noted() {
    for big in [false, true] {
        let statistics = |dropped: u64| {
            let mut body = Vec::new();
            for value in [0, 0, 0] {
                word(&mut body, value, big);
            }
            word(&mut body, if big { 0x0005_0008 } else { 0x0008_0005 }, big);
            body.extend(if big {
                dropped.to_be_bytes()
            } else {
                dropped.to_le_bytes()
            });
            (ISB_MAGIC, body)
        };
        let mut secrets = Vec::new();
        word(&mut secrets, 0x5353_484b, big);
        word(&mut secrets, 4, big);
        secrets.extend(b"KEYS");
        let mut lines = Vec::new();
        word(&mut lines, 0x544c_534b, big);
        word(&mut lines, 5, big);
        lines.extend(b"LINES\0\0\0");
        let mut names = Vec::new();
        word(&mut names, 0x7fff_7fff, big);
        let cases: [(Blocks, Vec<(&str, u64)>); 6] = [
            (vec![(DSB_MAGIC, lines)], vec![]),
            (vec![statistics(0)], vec![]),
            // The count of an interface goes on from block to block.
            (
                vec![statistics(3), statistics(8)],
                vec![("capture-drops", 8)],
            ),
            (vec![(DSB_MAGIC, secrets)], vec![("unused-secrets", 1)]),
            (vec![(DSB_MAGIC, vec![0xff; 12])], vec![("unread-block", 1)]),
            (vec![(0x0BAD, names), (0x7777, b"?".to_vec())], vec![]),
        ];
        for (after, expected) in cases {
            let bytes = described(big, &[(2, b"eth0")], &after);
            let mut input = &bytes[..];
            let mut file = PacketFile::new(&mut input);
            assert!(file.next().is_some() && file.next().is_none());
            let secrets_of = std::mem::take(&mut file.secrets);
            let (anomalies, _) = file.finish();
            let got: Vec<_> = anomalies
                .iter()
                .map(|a| (a.kind.as_str(), a.count))
                .collect();
            assert_eq!(got, expected, "{after:?}");
            let held: &[u8] = if after[0].1.ends_with(b"LINES\0\0\0") {
                b"LINES\n"
            } else {
                b""
            };
            assert_eq!(secrets_of, held);
        }
    }
}

#[test]
fn the_variant_of_kuznetzov_is_read_in_either_byte_order() {
    for big in [false, true] {
        let mut bytes = Vec::new();
        word(&mut bytes, MODIFIED, big);
        bytes.extend_from_slice(&pcap(&[], big, false)[4..]);
        for value in [1000, 5, 14, 14, 0, 0] {
            word(&mut bytes, value, big);
        }
        bytes.extend([7; 14]);
        let (got, anomalies) = read(&bytes);
        assert_eq!(got, [(vec![7; 14], 14, 24, 38)]);
        assert!(anomalies.is_empty());
    }
}

#[test]
fn packets_behind_garbage_are_found() {
    let packets: Vec<Vec<u8>> = (0..6).map(|n| vec![n; 60]).collect();
    for (mut bytes, header) in [
        (pcap(&packets, false, false), 24 + 2 * 76),
        (pcapng(&packets, false), 76 + 2 * 92),
    ] {
        bytes.splice(header..header, std::iter::repeat_n(0xAA, 50));
        let (got, anomalies) = read(&bytes);
        assert_eq!(anomalies, ["corrupt-record"]);
        assert!(got.len() >= 5, "{}", got.len());
        assert_eq!(got.last().unwrap().0, packets[5]);
    }
}
