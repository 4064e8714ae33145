//! One record of a capture -> its layers as a tree for the Raw view, and the payload of its first WebSocket frame.

use super::file;
use super::frame;
use super::packet::{self, Packet};
use super::{http1, tls};
use etherparse::{
    ArpPacketSlice, Ethernet2HeaderSlice, Ipv4HeaderSlice, Ipv6HeaderSlice, SingleVlanHeaderSlice,
    UdpHeaderSlice,
};
use std::ops::Range;

/// A packet's layers for the Raw view: depth, text, byte range; and the unmasked payload of its first WebSocket frame.
/// `file_head` holds the file's first bytes (global header, or section and interface blocks), `record` the record itself.
#[allow(clippy::type_complexity)]
pub fn dissect(
    file_head: &[u8],
    record: &[u8],
) -> (Vec<(usize, String, Range<usize>)>, Option<Vec<u8>>) {
    let mut tree = Vec::new();
    let Some((link, range, wire_len)) = file::record_data(file_head, record) else {
        return (tree, None);
    };
    let data = record.get(range.clone()).unwrap_or_default();
    let cut = (wire_len as usize).saturating_sub(data.len());
    let held = if cut > 0 {
        format!(", {cut} of them not captured")
    } else {
        String::new()
    };
    tree.push((
        0,
        format!("{} packet, {wire_len} bytes{held}", file::link_name(link)),
        range.clone(),
    ));
    let mut layers = Vec::new();
    let parsed = packet::parse_noting(link, data, wire_len, Some(&mut layers));
    for (name, layer) in &layers {
        let at = layer.start + range.start..layer.end + range.start;
        let bytes = data.get(layer.clone()).unwrap_or_default();
        tree.push((0, (*name).to_owned(), at.clone()));
        for text in details(name, bytes) {
            tree.push((1, text, at.clone()));
        }
    }
    match parsed {
        Packet::Other => {
            tree.push((0, "no TCP".to_owned(), range));
            (tree, None)
        }
        Packet::Odd(why) => {
            tree.push((0, format!("not readable: {why}"), range));
            (tree, None)
        }
        Packet::Fragment(fragment) if fragment.segment.is_none() => {
            let (from, len) = (fragment.offset, fragment.len);
            let say = format!("part of a fragmented packet: {len} bytes from byte {from} on");
            tree.push((0, say, range));
            (tree, None)
        }
        Packet::Fragment(_) | Packet::Tcp(_) => {
            let segment = match parsed {
                Packet::Tcp(segment) => segment,
                Packet::Fragment(fragment) => match fragment.segment {
                    Some(segment) => segment,
                    None => return (tree, None),
                },
                Packet::Other | Packet::Odd(_) => return (tree, None),
            };
            let end = range.end;
            let payload = end.saturating_sub(segment.payload.len())..end;
            // Padding behind the packet is not payload.
            let payload = layers.last().map_or(payload, |(_, l)| {
                let from = l.end + range.start;
                from..from + segment.payload.len()
            });
            if segment.payload_len == 0 {
                return (tree, None);
            }
            tree.push((
                0,
                format!("payload, {} bytes", segment.payload_len),
                payload.clone(),
            ));
            let opened = application(
                segment.payload,
                segment.payload_len,
                payload.start,
                &mut tree,
            );
            (tree, opened)
        }
    }
}

/// What a layer's header says; nothing of one that is not whole.
fn details(name: &str, b: &[u8]) -> Vec<String> {
    sliced(name, b).unwrap_or_else(|| plain(name, b))
}

/// The headers that etherparse reads.
fn sliced(name: &str, b: &[u8]) -> Option<Vec<String>> {
    Some(match name {
        "Ethernet" => {
            let head = Ethernet2HeaderSlice::from_slice(b).ok()?;
            let mac = |m: [u8; 6]| m.map(|x| format!("{x:02x}")).join(":");
            vec![
                format!("from {} to {}", mac(head.source()), mac(head.destination())),
                format!("type 0x{:04x}", head.ether_type().0),
            ]
        }
        "802.1Q" => {
            let head = SingleVlanHeaderSlice::from_slice(b).ok()?;
            vec![format!("VLAN {}", head.vlan_identifier().value())]
        }
        "ARP" => {
            let arp = ArpPacketSlice::from_slice(b).ok()?;
            vec![format!("operation {}", arp.operation().0)]
        }
        "IPv4" => {
            let head = Ipv4HeaderSlice::from_slice(b).ok()?;
            vec![
                format!("{} to {}", head.source_addr(), head.destination_addr()),
                format!(
                    "TTL {}, identification {}, length {}",
                    head.ttl(),
                    head.identification(),
                    head.total_len()
                ),
            ]
        }
        "IPv6" => {
            let head = Ipv6HeaderSlice::from_slice(b).ok()?;
            vec![
                format!("{} to {}", head.source_addr(), head.destination_addr()),
                format!(
                    "hop limit {}, length {}",
                    head.hop_limit(),
                    head.payload_length()
                ),
            ]
        }
        "UDP" => {
            let head = UdpHeaderSlice::from_slice(b).ok()?;
            vec![format!(
                "port {} to {}",
                head.source_port(),
                head.destination_port()
            )]
        }
        _ => return None,
    })
}

/// The headers that etherparse does not know, and TCP's, of which a short capture may hold only the first 20 bytes.
fn plain(name: &str, b: &[u8]) -> Vec<String> {
    let u16_at = |at: usize| {
        b.get(at..at + 2)
            .map_or(0, |x| u16::from_be_bytes([x[0], x[1]]))
    };
    let u32_at = |at: usize| {
        b.get(at..at + 4)
            .map_or(0, |x| u32::from_be_bytes([x[0], x[1], x[2], x[3]]))
    };
    let byte = |at: usize| b.get(at).copied().unwrap_or(0);
    match name {
        "Linux cooked v2" => vec![
            format!("interface {}, packet type {}", u32_at(4), byte(10)),
            format!("protocol 0x{:04x}", u16_at(0)),
        ],
        "Linux cooked v1" => vec![format!(
            "packet type {}, protocol 0x{:04x}",
            u16_at(0),
            u16_at(14)
        )],
        "VXLAN" => vec![format!("network {}", u32_at(4) >> 8)],
        "GENEVE" => vec![format!("network {}", u32_at(4) >> 8)],
        "TCP" => {
            const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
            let flags: Vec<&str> = NAMES
                .iter()
                .enumerate()
                .filter(|(bit, _)| byte(13) >> bit & 1 == 1)
                .map(|(_, n)| *n)
                .collect();
            vec![
                format!("port {} to {}", u16_at(0), u16_at(2)),
                format!("sequence {}, acknowledgement {}", u32_at(4), u32_at(8)),
                format!("flags {}", flags.join(" ")),
                format!("window {}", u16_at(14)),
            ]
        }
        _ => Vec::new(),
    }
}

fn application(
    payload: &[u8],
    wire_len: u32,
    from: usize,
    tree: &mut Vec<(usize, String, Range<usize>)>,
) -> Option<Vec<u8>> {
    if http1::begins_request(payload) || http1::begins_response(payload) {
        let mut at = from;
        for line in payload.split_inclusive(|&b| b == b'\n').take(100) {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            if text.is_empty() {
                break;
            }
            tree.push((usize::from(at != from), text, at..at + line.len()));
            at += line.len();
        }
        return None;
    }
    if tls::begins_record(payload) {
        let kind = match payload.first() {
            Some(20) => "change cipher spec",
            Some(21) => "alert",
            Some(22) => "handshake",
            Some(23) => "application data",
            _ => "heartbeat",
        };
        tree.push((0, format!("TLS record: {kind}"), from..from + payload.len()));
        return None;
    }
    let frames = frame::shapes(payload, wire_len);
    let mut opened = None;
    for shape in frames {
        let at = shape.range.start + from..shape.range.end + from;
        let mask = if shape.masked { "masked" } else { "not masked" };
        let end = if shape.fin { "final" } else { "more to come" };
        tree.push((
            0,
            format!("WebSocket {}", opcode_name(shape.opcode)),
            at.clone(),
        ));
        tree.push((1, format!("{end}, {mask}, {} bytes", shape.len), at.clone()));
        if shape.opcode == 8 {
            let code = shape
                .payload
                .first_chunk::<2>()
                .map(|c| u16::from_be_bytes(*c));
            let reason =
                String::from_utf8_lossy(shape.payload.get(2..).unwrap_or_default()).into_owned();
            let text = code.map_or_else(|| "no code".to_owned(), |c| format!("code {c} {reason}"));
            tree.push((1, text.trim_end().to_owned(), at));
        }
        opened.get_or_insert(shape.payload);
    }
    opened
}

const fn opcode_name(opcode: u8) -> &'static str {
    match opcode {
        0 => "continuation",
        1 => "text",
        2 => "binary",
        8 => "close",
        9 => "ping",
        10 => "pong",
        _ => "frame of a reserved opcode",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn record(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut packet = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(5, 80, 9, 10)
            .write(&mut packet, payload)
            .unwrap();
        let mut head = vec![
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
        ];
        head.resize(24, 0);
        let mut out = vec![1, 0, 0, 0, 2, 0, 0, 0];
        out.extend_from_slice(&(packet.len() as u32).to_le_bytes());
        out.extend_from_slice(&(packet.len() as u32).to_le_bytes());
        out.extend_from_slice(&packet);
        (head, out)
    }

    #[test]
    fn a_close_frame_is_told_in_words() {
        let close = frame::encode(
            true,
            8,
            Some([1, 2, 3, 4]),
            &[&1001u16.to_be_bytes()[..], b"gone"].concat(),
        );
        let (head, record) = record(&close);
        let (tree, payload) = dissect(&head, &record);
        assert!(
            tree.iter().any(|(_, t, _)| t == "code 1001 gone"),
            "{tree:#?}"
        );
        assert!(tree.iter().all(|(_, _, r)| record.get(r.clone()).is_some()));
        assert_eq!(
            payload.unwrap(),
            [&1001u16.to_be_bytes()[..], b"gone"].concat()
        );
    }

    #[test]
    fn garbage_has_no_layers() {
        let (head, record) = record(b"x");
        assert!(dissect(&[], &record).0.is_empty());
        assert!(dissect(&head, &record[..10]).0.is_empty());
        let _ = dissect(&head, &record[..30]);
    }
}
