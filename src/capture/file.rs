//! The bytes of a pcap or pcapng stream -> its packets, one borrowed record at a time; what could not be read becomes anomalies.

mod blocks;
mod legacy;

use crate::model::{Anomaly, MICRO_NS, Moment, SECOND_NS, SourceKind, add_anomaly};
use blocks::Interfaces;
use pcap_parser::{SHB_MAGIC, parse_pcap_header};
use std::io::{ErrorKind, Read};

/// The buffer's ordinary size: it stays in the L2 cache.
const BUFFER: usize = 256 * 1024;
/// No record may be larger; libpcap's own limit is 256 KiB, jumbo captures of loopback and USB go higher.
const MAX_RECORD: usize = 16 * 1024 * 1024;

/// One packet as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'b> {
    /// From 1, as Wireshark counts.
    pub(super) ordinal: u64,
    /// Byte offset of the record's header.
    pub(super) start: u64,
    /// Its length, header included.
    pub(super) len: u32,
    pub(super) at: Moment,
    pub(super) tick_ns: i64,
    /// The LINKTYPE number (tcpdump.org/linktypes.html).
    pub(super) link: u16,
    pub(super) interface: u32,
    pub(super) data: &'b [u8],
    /// Bytes the packet had on the wire.
    pub(super) wire_len: u32,
}

/// A [`Record`] whose data is named by its place in the buffer.
#[derive(Debug, Clone)]
pub(super) struct Place {
    ordinal: u64,
    start: u64,
    len: u32,
    at: Moment,
    tick_ns: i64,
    link: u16,
    interface: u32,
    data: std::ops::Range<usize>,
    wire_len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    const fn u16(self, b: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(b),
            Self::Big => u16::from_be_bytes(b),
        }
    }
    const fn u32(self, b: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(b),
            Self::Big => u32::from_be_bytes(b),
        }
    }
}

fn u16_at(b: &[u8], at: usize, order: Order) -> u16 {
    b.get(at..at + 2).map_or(0, |s| order.u16([s[0], s[1]]))
}

fn u32_at(b: &[u8], at: usize, order: Order) -> u32 {
    b.get(at..at + 4)
        .map_or(0, |s| order.u32([s[0], s[1], s[2], s[3]]))
}

#[derive(Debug, Clone, Copy)]
struct Legacy {
    order: Order,
    /// Nanoseconds of the stamp's fraction.
    unit_ns: i64,
    /// 24 in Kuznetzov's variant, else 16.
    header: usize,
    link: u16,
    snaplen: u32,
}

#[derive(Debug)]
enum Format {
    Unknown,
    Legacy(Legacy),
    Blocks {
        order: Order,
        interfaces: Interfaces,
    },
}

/// The magic number of Kuznetzov's variant, whose records have longer headers.
const MODIFIED: u32 = 0xA1B2_CD34;

/// What the global header of a legacy file says; what `head` lacks of it counts as zero.
fn global(head: &[u8]) -> Option<Legacy> {
    let mut header = [0; 24];
    for (slot, byte) in header.iter_mut().zip(head) {
        *slot = *byte;
    }
    // pcap-parser knows the variant in one byte order only; its global header is the ordinary one in both.
    let modified = if head.starts_with(&MODIFIED.to_be_bytes()) {
        header[2..4].copy_from_slice(&[0xC3, 0xD4]);
        true
    } else {
        head.starts_with(&MODIFIED.to_le_bytes())
    };
    let (_, header) = parse_pcap_header(&header).ok()?;
    Some(Legacy {
        order: if header.is_bigendian() {
            Order::Big
        } else {
            Order::Little
        },
        unit_ns: if header.is_nanosecond_precision() {
            1
        } else {
            MICRO_NS
        },
        header: if modified { 24 } else { 16 },
        // The upper bits carry the length of a frame check sequence.
        link: (header.network.0 & 0xffff) as u16,
        snaplen: header.snaplen,
    })
}

/// `Pcap` or `Pcapng` by the first four bytes.
pub(super) fn sniff(head: &[u8]) -> Option<SourceKind> {
    let first = head.first_chunk::<4>()?;
    if *first == SHB_MAGIC.to_be_bytes() {
        return Some(SourceKind::Pcapng);
    }
    global(first).map(|_| SourceKind::Pcap)
}

/// A capture read as a stream: memory is one buffer, whatever the file's size.
pub(super) struct PacketFile<'r> {
    input: &'r mut dyn Read,
    buffer: Vec<u8>,
    /// The unread part of `buffer`.
    from: usize,
    to: usize,
    /// Offset in the file of `buffer[0]`.
    base: u64,
    ended: bool,
    format: Format,
    packets: u64,
    last: Moment,
    /// The last stamps came from packets: garbage is measured against them.
    stamped: bool,
    anomalies: Vec<Anomaly>,
    links: Vec<u16>,
    /// Blocks that Wireshark counts as frames although they are no packets.
    numbered: u64,
    /// Packets that could not be read at all.
    odd: u64,
    finished: bool,
    /// Lines of key logs that blocks carried, until somebody takes them.
    pub(super) secrets: Vec<u8>,
}

/// Where a record lies in the buffer.
struct Found {
    header_len: usize,
    total: usize,
    data_from: usize,
    data_len: usize,
    at: Moment,
    tick_ns: i64,
    link: u16,
    interface: u32,
    wire_len: u32,
}

enum Step {
    Packet(Found),
    /// Nothing to hand out, look again.
    Again,
    End,
}

impl<'r> PacketFile<'r> {
    pub(super) fn new(input: &'r mut dyn Read) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER],
            from: 0,
            to: 0,
            base: 0,
            ended: false,
            format: Format::Unknown,
            packets: 0,
            last: Moment(0),
            stamped: false,
            anomalies: Vec::new(),
            links: Vec::new(),
            numbered: 0,
            odd: 0,
            finished: false,
            secrets: Vec::new(),
        }
    }

    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    pub(super) const fn odd(&self) -> u64 {
        self.odd
    }

    /// Bytes read so far.
    pub(super) const fn position(&self) -> u64 {
        self.base + self.from as u64
    }

    /// What was wrong with the file, and the link types met.
    pub(super) fn finish(self) -> (Vec<Anomaly>, Vec<u16>) {
        (self.anomalies, self.links)
    }

    /// The next packet; `None` at the end of the file, or where nothing more can be made of it.
    pub(super) fn next(&mut self) -> Option<Record<'_>> {
        let place = self.place()?;
        Some(self.record(&place))
    }

    fn place(&mut self) -> Option<Place> {
        if self.finished {
            return None;
        }
        loop {
            let step = match self.format {
                Format::Unknown => self.open(),
                Format::Legacy(legacy) => self.legacy(legacy),
                Format::Blocks { .. } => self.block(),
            };
            match step {
                Step::Again => {}
                Step::End => {
                    self.finished = true;
                    return None;
                }
                Step::Packet(found) => return Some(self.hand_out(&found)),
            }
        }
    }

    #[inline(always)]
    fn hand_out(&mut self, found: &Found) -> Place {
        self.packets += 1;
        self.last = found.at;
        self.stamped = true;
        if self.links.last() != Some(&found.link) && !self.links.contains(&found.link) {
            self.links.push(found.link);
        }
        let start = self.base + self.from as u64;
        let data_from = self.from + found.data_from;
        self.from += found.total;
        debug_assert!(found.header_len <= found.total);
        Place {
            ordinal: self.packets + self.numbered,
            start,
            len: u32::try_from(found.total).unwrap_or(u32::MAX),
            at: found.at,
            tick_ns: found.tick_ns,
            link: found.link,
            interface: found.interface,
            data: data_from..data_from + found.data_len,
            wire_len: found
                .wire_len
                .max(u32::try_from(found.data_len).unwrap_or(u32::MAX)),
        }
    }

    /// The record at a place of the last batch.
    #[inline]
    pub(super) fn record(&self, place: &Place) -> Record<'_> {
        Record {
            ordinal: place.ordinal,
            start: place.start,
            len: place.len,
            at: place.at,
            tick_ns: place.tick_ns,
            link: place.link,
            interface: place.interface,
            data: self.buffer.get(place.data.clone()).unwrap_or_default(),
            wire_len: place.wire_len,
        }
    }

    /// The next packets, as many as lie in the buffer, at most `most`; none at the end of the file.
    pub(super) fn batch(&mut self, most: usize, places: &mut Vec<Place>) {
        places.clear();
        places.extend(self.place());
        while !places.is_empty() && places.len() < most {
            let Some(found) = self.buffered() else { return };
            places.push(self.hand_out(&found));
        }
    }

    /// The next record where it is a sound packet that lies whole in the buffer: reading it moves nothing.
    #[inline(always)]
    fn buffered(&self) -> Option<Found> {
        let head = self.view();
        match &self.format {
            Format::Unknown => None,
            Format::Legacy(legacy) => {
                let fields: &[u8; 16] = head.first_chunk()?;
                let captured = u32_at(fields, 8, legacy.order) as usize;
                let fraction_ns = i64::from(u32_at(fields, 4, legacy.order)) * legacy.unit_ns;
                let total = legacy.header + captured;
                (captured <= MAX_RECORD && total <= head.len() && fraction_ns < SECOND_NS).then(
                    || Found {
                        header_len: legacy.header,
                        total,
                        data_from: legacy.header,
                        data_len: captured,
                        at: Moment(
                            i64::from(u32_at(fields, 0, legacy.order)) * SECOND_NS + fraction_ns,
                        ),
                        tick_ns: legacy.unit_ns,
                        link: legacy.link,
                        interface: 0,
                        wire_len: u32_at(fields, 12, legacy.order),
                    },
                )
            }
            Format::Blocks { order, interfaces } => interfaces.sound_packet(head, *order),
        }
    }

    fn note(&mut self, kind: &str, count: u64, note: &str) {
        let next = self.packets + self.numbered + 1;
        add_anomaly(&mut self.anomalies, kind, count, next, note);
    }

    const fn available(&self) -> usize {
        self.to - self.from
    }

    fn view(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// Makes `want` bytes available if the file still has them.
    fn fill(&mut self, want: usize) -> bool {
        if self.available() >= want {
            return true;
        }
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.base += self.from as u64;
            self.to -= self.from;
            self.from = 0;
        }
        if want > self.buffer.len() {
            self.buffer.resize(want.next_multiple_of(BUFFER), 0);
        }
        while !self.ended && self.to < want {
            let Some(room) = self.buffer.get_mut(self.to..) else {
                break;
            };
            match self.input.read(room) {
                Ok(0) => self.ended = true,
                Ok(n) => self.to += n.min(room.len()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.ended = true;
                    let note = format!("reading stopped: {e}; what came before was used");
                    self.note("read-error", 1, &note);
                }
            }
        }
        self.available() >= want
    }

    /// Passes over `count` bytes, buffered or not.
    fn skip(&mut self, mut count: u64) -> bool {
        while count > 0 {
            if self.available() == 0 && !self.fill(1) {
                return false;
            }
            let step = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(self.available());
            self.from += step;
            count -= step as u64;
        }
        true
    }

    fn open(&mut self) -> Step {
        let whole = self.fill(24);
        let Some(kind) = sniff(self.view()) else {
            if self.available() > 0 {
                self.note(
                    "not-a-capture",
                    1,
                    "the file does not begin as a pcap or pcapng does",
                );
            }
            return Step::End;
        };
        if kind == SourceKind::Pcapng {
            self.format = Format::Blocks {
                order: Order::Little,
                interfaces: Interfaces::default(),
            };
            return Step::Again;
        }
        let Some(mut legacy) = global(self.view()).filter(|_| whole) else {
            self.note("truncated-tail", 1, "the file ends inside its own header");
            return Step::End;
        };
        self.fill(BUFFER);
        legacy.header = legacy.header_by_its_records(self.view());
        self.format = Format::Legacy(legacy);
        self.from += 24;
        self.links.push(legacy.link);
        Step::Again
    }

    fn tail(&mut self) -> Step {
        if self.available() > 0 {
            self.note(
                "truncated-tail",
                1,
                "the file ends inside a packet: the capture was cut or is still being written",
            );
        }
        Step::End
    }

    fn legacy(&mut self, legacy: Legacy) -> Step {
        let Legacy {
            order,
            unit_ns,
            header,
            link,
            ..
        } = legacy;
        if !self.fill(header) {
            return self.tail();
        }
        let head = self.view();
        let seconds = u32_at(head, 0, order);
        let fraction = u32_at(head, 4, order);
        let captured = u32_at(head, 8, order) as usize;
        let wire_len = u32_at(head, 12, order);
        // A second's fraction beyond two seconds, or a length beyond every limit, is no record.
        if captured > MAX_RECORD || i64::from(fraction) * unit_ns >= 2 * SECOND_NS {
            return self.resync_legacy(legacy);
        }
        if !self.fill(header + captured) {
            // A wild length at the end of its bytes hides the records behind it.
            if captured > legacy.snaplen.max(262_144) as usize || captured > wire_len as usize {
                return self.resync_legacy(legacy);
            }
            return self.tail();
        }
        let at = Moment(i64::from(seconds) * SECOND_NS + i64::from(fraction) * unit_ns);
        Step::Packet(Found {
            header_len: header,
            total: header + captured,
            data_from: header,
            data_len: captured,
            at,
            tick_ns: unit_ns,
            link,
            interface: 0,
            wire_len,
        })
    }

    /// Looks for two record headers in a row that could be real.
    fn resync_legacy(&mut self, legacy: Legacy) -> Step {
        self.note(
            "corrupt-record",
            1,
            "bytes that are no packet were passed over",
        );
        self.odd += 1;
        let Legacy {
            order,
            header,
            unit_ns,
            snaplen,
            ..
        } = legacy;
        let limit = snaplen.clamp(1, MAX_RECORD as u32).max(65_535);
        let near = self.last.0 / SECOND_NS;
        let stamped = self.stamped;
        let plausible = |b: &[u8]| {
            let seconds = i64::from(u32_at(b, 0, order));
            let captured = u32_at(b, 8, order);
            let wire = u32_at(b, 12, order);
            captured >= 14
                && captured <= limit
                && captured <= wire
                && wire <= 1 << 24
                && i64::from(u32_at(b, 4, order)) * unit_ns < SECOND_NS
                && (!stamped || (seconds - near).abs() <= 86_400)
        };
        self.from += 1;
        loop {
            if !self.fill(header) {
                self.from = self.to;
                return Step::End;
            }
            let view = self.view();
            let hit =
                (0..=view.len() - header).find(|&i| plausible(view.get(i..).unwrap_or_default()));
            let Some(i) = hit else {
                self.from += self.available() - header + 1;
                continue;
            };
            self.from += i;
            let next = header + u32_at(self.view(), 8, order) as usize;
            let whole = self.fill(next + header);
            if !whole && self.available() < next {
                self.from += 1;
                continue;
            }
            if !whole || plausible(self.view().get(next..).unwrap_or_default()) {
                return Step::Again;
            }
            self.from += 1;
        }
    }
}

/// The time of the first packet in `head`.
pub(super) fn first_packet_at(head: &[u8]) -> Option<Moment> {
    let mut input = head;
    let mut file = PacketFile::new(&mut input);
    file.next().map(|r| r.at)
}

/// The link type of `record`, a record of the file that begins with `head`; and where its data lies in it.
pub(super) fn record_data(
    head: &[u8],
    record: &[u8],
) -> Option<(u16, std::ops::Range<usize>, u32)> {
    match sniff(head)? {
        SourceKind::Pcap => {
            let Legacy {
                order,
                header,
                link,
                ..
            } = global(head.get(..24)?)?;
            let told = u32_at(record.get(..header)?, 8, order) as usize;
            // What the record holds beside its data is its header, longer in some variants.
            let beside = record.len().checked_sub(told);
            let header = beside
                .filter(|b| [20, 24, 28].contains(b))
                .unwrap_or(header);
            let captured = told.min(record.len().checked_sub(header)?);
            Some((link, header..header + captured, u32_at(record, 12, order)))
        }
        _ => {
            let mut input = head;
            let mut file = PacketFile::new(&mut input);
            // Read the description blocks, then the record as if it followed them.
            while file.next().is_some() {}
            let mut input = record;
            let mut alone = PacketFile::new(&mut input);
            alone.format = file.format;
            if let Step::Packet(found) = {
                alone.fill(record.len().min(MAX_RECORD));
                alone.block()
            } {
                return Some((
                    found.link,
                    found.data_from..found.data_from + found.data_len,
                    found.wire_len,
                ));
            }
            None
        }
    }
}

/// The name of a link type.
pub(super) fn link_name(link: u16) -> String {
    match link {
        0 => "BSD loopback",
        1 => "Ethernet",
        12 | 14 | 101 => "raw IP",
        108 => "OpenBSD loopback",
        113 => "Linux cooked v1",
        228 => "raw IPv4",
        229 => "raw IPv6",
        276 => "Linux cooked v2",
        other => return format!("link type {other}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests;
