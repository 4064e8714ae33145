//! A capture's bytes and the legs wanted -> the packets of those legs, and a pcapng file that holds them with comments.

use super::ends::{Endpoint, Ends};
use super::file::{PacketFile, Record};
use super::packet::{self, Packet};
use crate::model::{Moment, SECOND_NS, SourceId};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

/// One leg in one file: which packets of these endpoints are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    pub ends: [SocketAddr; 2],
    /// Packet numbers, from 1, both included.
    pub first: u64,
    pub last: u64,
}

/// A packet picked out of a capture, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    pub source: SourceId,
    /// Its number in the file, from 1.
    pub ordinal: u64,
    /// As the capture's clock told it.
    pub at: Moment,
    /// Nanoseconds that the clock counts by.
    pub tick_ns: i64,
    /// LINKTYPE number.
    pub link: u16,
    /// Which interface of the file.
    pub interface: u32,
    pub data: Vec<u8>,
    /// Bytes on the wire.
    pub wire_len: u32,
}

/// Hands out the packets of `wanted`, and those whose numbers are `cited`, in the order of the file; `take` returns false to
/// end it.
pub fn pick(
    source: SourceId,
    input: &mut dyn Read,
    wanted: &[Wanted],
    cited: &BTreeSet<u64>,
    take: &mut dyn FnMut(Picked) -> bool,
) {
    let wanted: Vec<Pair> = wanted.iter().map(Pair::of).collect();
    let beyond = wanted
        .iter()
        .map(|w| w.last)
        .chain(cited.last().copied())
        .max()
        .unwrap_or(0);
    let mut file = PacketFile::new(input);
    while file.packets() < beyond
        && let Some(record) = file.next()
    {
        if !cited.contains(&record.ordinal) && !of_leg(&record, &wanted) {
            continue;
        }
        let picked = Picked {
            source,
            ordinal: record.ordinal,
            at: record.at,
            tick_ns: record.tick_ns,
            link: record.link,
            interface: record.interface,
            data: record.data.to_vec(),
            wire_len: record.wire_len,
        };
        if !take(picked) {
            return;
        }
    }
}

fn of_leg(record: &Record<'_>, wanted: &[Pair]) -> bool {
    let mut near = wanted
        .iter()
        .filter(|w| (w.first..=w.last).contains(&record.ordinal))
        .peekable();
    if near.peek().is_none() {
        return false;
    }
    match packet::parse(record.link, record.data, record.wire_len) {
        Packet::Tcp(segment) => near.any(|w| w.ends == segment.ends),
        // Only the first fragment names the ports.
        Packet::Fragment(f) => match f.segment {
            Some(s) => near.any(|w| w.ends == s.ends),
            None => near.any(|w| {
                let hosts = w.ends.both().map(|e| e.host());
                hosts == [f.of.src, f.of.dst] || hosts == [f.of.dst, f.of.src]
            }),
        },
        Packet::Other | Packet::Odd(_) => false,
    }
}

/// [`Wanted`] with its ends as packets have them.
struct Pair {
    ends: Ends,
    first: u64,
    last: u64,
}

impl Pair {
    fn of(wanted: &Wanted) -> Self {
        let [a, b] = wanted.ends.map(|end| {
            let addr = match end.ip() {
                IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
                IpAddr::V6(v6) => u128::from(v6),
            };
            Endpoint::new(addr, end.port())
        });
        Self {
            ends: Ends::of(&a, &b).0,
            first: wanted.first,
            last: wanted.last,
        }
    }
}

/// Bytes of one comment at most; an option's length has 16 bits.
const MAX_COMMENT: usize = 16_000;

/// Writes pcapng (draft-ietf-opsawg-pcapng): one section in little endian, an interface for each of every file.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    /// Source, interface, link type, tick of each interface described so far.
    interfaces: Vec<(SourceId, u32, u16, i64)>,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins the section; `comment` tells what the file is.
    pub fn new(out: W, comment: &str) -> io::Result<Self> {
        let mut writer = Self {
            out,
            interfaces: Vec::new(),
            block: Vec::new(),
        };
        writer.block.extend(0x1A2B_3C4D_u32.to_le_bytes());
        writer.block.extend([1, 0, 0, 0]);
        // The section's length is not known (3.1 of the draft).
        writer.block.extend([0xff; 8]);
        writer.option(OPT_COMMENT, comment);
        writer.option(SHB_USERAPPL, WRITER);
        writer.end(SECTION)?;
        Ok(writer)
    }

    /// Writes one packet; `file` names its source where an interface is described.
    pub fn packet(&mut self, packet: &Picked, file: &str, comment: &str) -> io::Result<()> {
        let key = (packet.source, packet.interface, packet.link, packet.tick_ns);
        let interface = match self.interfaces.iter().position(|known| *known == key) {
            Some(at) => at,
            None => {
                self.interface(packet, file)?;
                self.interfaces.push(key);
                self.interfaces.len() - 1
            }
        };
        let ticks = packet.at.0.max(0) / unit(packet.tick_ns).1;
        let ticks = ticks.unsigned_abs();
        let len = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
        let interface = u32::try_from(interface).unwrap_or(u32::MAX);
        for word in [
            interface,
            (ticks >> 32) as u32,
            ticks as u32,
            len,
            packet.wire_len,
        ] {
            self.block.extend(word.to_le_bytes());
        }
        self.block.extend_from_slice(&packet.data);
        self.pad();
        self.option(OPT_COMMENT, comment);
        self.end(ENHANCED_PACKET)
    }

    fn interface(&mut self, packet: &Picked, file: &str) -> io::Result<()> {
        self.block.extend(packet.link.to_le_bytes());
        // Reserved, and no limit to a packet's length.
        self.block.extend([0; 6]);
        let name = if packet.interface == 0 {
            file.to_owned()
        } else {
            format!("{file} interface {}", packet.interface)
        };
        self.option(IF_NAME, &name);
        self.bytes(IF_TSRESOL, &[unit(packet.tick_ns).0]);
        self.end(INTERFACE)
    }

    fn option(&mut self, code: u16, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut end = text.len().min(MAX_COMMENT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes(code, text.get(..end).unwrap_or_default().as_bytes());
    }

    fn bytes(&mut self, code: u16, value: &[u8]) {
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Writes the block gathered so far between its two lengths; the list of options ends without `opt_endofopt`, as it may.
    fn end(&mut self, kind: u32) -> io::Result<()> {
        let total = u32::try_from(self.block.len() + 12).unwrap_or(u32::MAX);
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&total.to_le_bytes())?;
        self.out.write_all(&self.block)?;
        self.out.write_all(&total.to_le_bytes())?;
        self.block.clear();
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// What `shb_userappl` says in files of [`PcapngWriter`].
const WRITER: &str = concat!("wsdrop ", env!("CARGO_PKG_VERSION"));

/// Whether the section header at the start of a file names this program, of whatever version.
pub fn written_here(head: &[u8]) -> bool {
    let name = WRITER.split(' ').next().unwrap_or(WRITER).as_bytes();
    let Some(total) = head.get(4..8).and_then(|b| b.first_chunk::<4>()) else {
        return false;
    };
    let total = u32::from_le_bytes(*total) as usize;
    let mut options = head.get(24..total.min(head.len())).unwrap_or_default();
    if !head.starts_with(&SECTION.to_le_bytes()) {
        return false;
    }
    while let [a, b, c, d, rest @ ..] = options {
        let len = usize::from(u16::from_le_bytes([*c, *d]));
        if u16::from_le_bytes([*a, *b]) == SHB_USERAPPL {
            return rest.get(..len).is_some_and(|v| v.starts_with(name));
        }
        options = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;

/// `if_tsresol` for a tick, and nanoseconds of that unit: powers of ten as they are, all else in nanoseconds.
const fn unit(tick_ns: i64) -> (u8, i64) {
    let mut power = 0;
    let mut unit = SECOND_NS;
    while power < 9 {
        if unit == tick_ns {
            return (power, unit);
        }
        unit /= 10;
        power += 1;
    }
    (9, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn packet(client: u16, server: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(client, server, 9, 10)
            .write(&mut packet, payload)
            .unwrap();
        packet
    }

    fn written(packets: &[(Picked, &str)]) -> Vec<u8> {
        let mut writer = PcapngWriter::new(Vec::new(), "what it is").unwrap();
        for (packet, comment) in packets {
            writer.packet(packet, "a.pcap", comment).unwrap();
        }
        writer.finish().unwrap()
    }

    fn picked(ordinal: u64, at: i64, tick_ns: i64, interface: u32, data: Vec<u8>) -> Picked {
        Picked {
            source: SourceId(0),
            ordinal,
            at: Moment(at),
            tick_ns,
            link: packet::ETHERNET,
            interface,
            wire_len: data.len() as u32 + 7,
            data,
        }
    }

    fn all<const N: usize>(bytes: &[u8], wanted: &[Wanted], cited: [u64; N]) -> Vec<Picked> {
        let mut out = Vec::new();
        let mut input = bytes;
        pick(SourceId(0), &mut input, wanted, &cited.into(), &mut |p| {
            out.push(p);
            true
        });
        out
    }

    fn wanted(client: u16, first: u64, last: u64) -> Wanted {
        let end = |host, port| SocketAddr::from(([10, 0, 0, host], port));
        Wanted {
            ends: [end(2, 80), end(1, client)],
            first,
            last,
        }
    }

    #[test]
    fn only_the_leg_is_picked_and_only_its_numbers() {
        let file = written(
            &(1..=6)
                .map(|n| {
                    let client = if n % 2 == 0 { 7 } else { 5 };
                    let p = packet(client, 80, b"x");
                    (picked(n, n as i64 * 1_000, 1_000, 0, p), "")
                })
                .collect::<Vec<_>>(),
        );
        let check = |wanted: &[Wanted], expected: &[u64]| {
            let got: Vec<u64> = all(&file, wanted, []).iter().map(|p| p.ordinal).collect();
            assert_eq!(got, expected, "{wanted:?}");
        };
        check(&[wanted(5, 1, u64::MAX)], &[1, 3, 5]);
        check(&[wanted(5, 2, 4)], &[3]);
        check(&[wanted(5, 2, 4), wanted(7, 4, 6)], &[3, 4, 6]);
        check(&[wanted(9, 1, 6)], &[]);
        check(&[], &[]);
        let cited: Vec<u64> = all(&file, &[wanted(5, 2, 4)], [2, 6])
            .iter()
            .map(|p| p.ordinal)
            .collect();
        assert_eq!(cited, [2, 3, 6]);
    }

    #[test]
    fn a_comment_stands_in_its_packet() {
        let file = written(&[
            (picked(1, 0, 1, 0, packet(5, 80, b"")), "the client's FIN"),
            (picked(2, 0, 1, 0, packet(5, 80, b"")), ""),
        ]);
        let mut reader = pcap_parser::create_reader(1 << 16, &file[..]).unwrap();
        let mut comments = Vec::new();
        while let Ok((offset, block)) = reader.next() {
            if let pcap_parser::PcapBlockOwned::NG(pcap_parser::Block::EnhancedPacket(b)) = block {
                let text = b.options.iter().map(|o| o.as_str().unwrap().to_owned());
                comments.push(text.collect::<Vec<_>>());
            }
            reader.consume(offset);
        }
        assert_eq!(comments, [vec!["the client's FIN".to_owned()], vec![]]);
    }

    proptest! {
        /// What is written is read back as it was, with its time to the tick.
        #[test]
        fn what_is_written_is_read(
            packets in proptest::collection::vec((0i64..1 << 60, 0usize..4, 0u32..3, proptest::collection::vec(any::<u8>(), 0..60), ".{0,40}"), 0..20),
        ) {
            let list: Vec<(Picked, String)> = packets.into_iter().zip(1..).map(|((at, tick, interface, payload, comment), n)| {
                let tick = [1, 1_000, 1_000_000, 1_000_000_000][tick];
                (picked(n, at / tick * tick, tick, interface, packet(5, 80, &payload)), comment)
            }).collect();
            let refs: Vec<(Picked, &str)> = list.iter().map(|(p, c)| (p.clone(), c.as_str())).collect();
            let file = written(&refs);
            let back = all(&file, &[wanted(5, 1, u64::MAX)], []);
            prop_assert_eq!(back.len(), list.len());
            for (got, (sent, _)) in back.iter().zip(&list) {
                prop_assert_eq!((got.at, got.tick_ns, &got.data, got.wire_len), (sent.at, sent.tick_ns, &sent.data, sent.wire_len));
            }
        }
    }
}
