//! The bytes of a pcap or pcapng stream -> its packets, one borrowed record at a time; what could not be read becomes anomalies.

mod blocks;
mod legacy;

use super::spot::Spot;
use crate::model::{
    Anomaly, MICRO_NS, Moment, SECOND_NS, SourceId, SourceKind, Stamp, add_anomaly,
};
use blocks::Interfaces;
use pcap_parser::{SHB_MAGIC, parse_pcap_header};
use std::io::{ErrorKind, Read};

/// The buffer's ordinary size: it stays in the L2 cache.
const BUFFER: usize = 128 * 1024;
/// Linux copies a file's pages to the first bytes of a page several times slower than to others on some processors (measured on
/// Zen 3: four times), so that what is read next never goes there.
const SLOW_TARGETS: usize = 32;
const PAGE: usize = 4096;
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

impl Record<'_> {
    pub(super) const fn stamp(&self) -> Stamp {
        Stamp::new(self.at, self.tick_ns)
    }

    /// When and where, in the file of that number.
    #[inline]
    pub(super) fn spot(&self, source: SourceId) -> Spot {
        Spot::new(self.at, source, self.ordinal, self.start, self.len)
    }
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
    /// Offset in the file of `buffer[0]`; below zero at its start, wrapping.
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
    /// The packet that comes next, where it was looked for.
    found: Option<Found>,
    /// Lines of key logs that blocks carried, until somebody takes them.
    pub(super) secrets: Vec<u8>,
}

/// Where a record lies in the bytes it begins.
struct Found {
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

/// Packets that lie in the buffer one behind the other.
struct Run<'b, 'f> {
    rest: &'b [u8],
    /// Offset in the file of what follows `rest`.
    end: u64,
    /// Of the packet before `rest`.
    number: u64,
    /// Its time.
    last: Moment,
    links: &'f mut Vec<u16>,
}

/// What is done with each record. A closure would be a call for each of them: it is written out in several loops.
pub(super) trait Each<'b> {
    fn take(&mut self, record: Record<'b>);
}

impl<'b> Each<'b> for Option<Record<'b>> {
    fn take(&mut self, record: Record<'b>) {
        *self = Some(record);
    }
}

/// A record that lies whole in the buffer, without its place in the file, and what stands behind it.
type Sound<'b> = (Record<'b>, &'b [u8]);

impl<'b> Run<'b, '_> {
    /// Hands `first` and what follows it to `each`; `sound` finds the record that its bytes begin with, where that is a sound packet.
    #[inline(always)]
    fn hand(
        &mut self,
        first: Option<Sound<'b>>,
        most: usize,
        sound: impl Fn(&'b [u8]) -> Option<Sound<'b>>,
        each: &mut impl Each<'b>,
    ) {
        let Some((record, behind)) = first else {
            return;
        };
        self.first(record, behind, each);
        for _ in 1..most {
            let Some((record, behind)) = sound(self.rest) else {
                return;
            };
            each.take(self.placed(record));
            self.rest = behind;
        }
    }

    /// A call of its own, so that the loop over those behind it is all that is written out for each format.
    #[inline(never)]
    fn first(&mut self, record: Record<'b>, behind: &'b [u8], each: &mut impl Each<'b>) {
        each.take(self.placed(record));
        self.rest = behind;
    }

    /// The record that `rest` begins with, with its place in the file.
    #[inline(always)]
    fn placed(&mut self, record: Record<'b>) -> Record<'b> {
        if self.links.last() != Some(&record.link) && !self.links.contains(&record.link) {
            self.links.push(record.link);
        }
        self.number += 1;
        self.last = record.at;
        Record {
            ordinal: self.number,
            start: self.end - self.rest.len() as u64,
            ..record
        }
    }
}

impl Found {
    /// The record that `head` begins with.
    fn record<'b>(&self, head: &'b [u8]) -> Option<Sound<'b>> {
        let (record, behind) = head.split_at_checked(self.total)?;
        let data = record.get(self.data_from..)?.get(..self.data_len)?;
        let record = Record {
            ordinal: 0,
            start: 0,
            len: self.total as u32,
            at: self.at,
            tick_ns: self.tick_ns,
            link: self.link,
            interface: self.interface,
            data,
            wire_len: self.wire_len.max(data.len() as u32),
        };
        Some((record, behind))
    }
}

impl Legacy {
    #[inline(always)]
    fn sound<'b>(&self, head: &'b [u8], order: Order) -> Option<Sound<'b>> {
        let (fields, rest) = head.split_first_chunk::<16>()?;
        let captured = u32_at(fields, 8, order);
        let fraction_ns = i64::from(u32_at(fields, 4, order)) * self.unit_ns;
        if captured > MAX_RECORD as u32 || fraction_ns >= SECOND_NS {
            return None;
        }
        let rest = rest.get(self.header - fields.len()..)?;
        let (data, behind) = rest.split_at_checked(captured as usize)?;
        let record = Record {
            ordinal: 0,
            start: 0,
            len: self.header as u32 + captured,
            at: Moment(i64::from(u32_at(fields, 0, order)) * SECOND_NS + fraction_ns),
            tick_ns: self.unit_ns,
            link: self.link,
            interface: 0,
            data,
            wire_len: u32_at(fields, 12, order).max(captured),
        };
        Some((record, behind))
    }
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
            found: None,
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
        self.base.wrapping_add(self.from as u64)
    }

    /// What was wrong with the file, and the link types met.
    pub(super) fn finish(self) -> (Vec<Anomaly>, Vec<u16>) {
        (self.anomalies, self.links)
    }

    /// The next packet; `None` at the end of the file, or where nothing more can be made of it.
    pub(super) fn next(&mut self) -> Option<Record<'_>> {
        self.ready();
        let mut next = None;
        self.batch(1, &mut next);
        next
    }

    /// Brings the next packet into the buffer; false at the end of the file, or where nothing more can be made of it.
    pub(super) fn ready(&mut self) -> bool {
        while self.found.is_none() && !self.finished {
            let step = match self.format {
                Format::Unknown => self.open(),
                Format::Legacy(legacy) => self.legacy(legacy),
                Format::Blocks { .. } => self.block(),
            };
            match step {
                Step::Again => {}
                Step::End => self.finished = true,
                Step::Packet(found) => self.found = Some(found),
            }
        }
        self.found.is_some()
    }

    /// Hands on the packet that is ready and those behind it, as many as lie in the buffer, at most `most`.
    #[inline(always)]
    pub(super) fn batch<'b>(&'b mut self, most: usize, each: &mut impl Each<'b>) {
        let Some(first) = self.found.take() else {
            return;
        };
        let whole = self.buffer.get(..self.to).unwrap_or_default();
        let rest = whole.get(self.from..).unwrap_or_default();
        let mut run = Run {
            rest,
            end: self.base.wrapping_add(self.to as u64),
            number: self.packets + self.numbered,
            last: self.last,
            links: &mut self.links,
        };
        let first = first.record(rest);
        // The format and the byte order are known in each of these loops.
        match &self.format {
            Format::Unknown => {}
            Format::Legacy(legacy) => match legacy.order {
                Order::Little => run.hand(first, most, |b| legacy.sound(b, Order::Little), each),
                Order::Big => run.hand(first, most, |b| legacy.sound(b, Order::Big), each),
            },
            Format::Blocks { order, interfaces } => match order {
                Order::Little => {
                    run.hand(first, most, |b| interfaces.sound(b, Order::Little), each);
                }
                Order::Big => run.hand(first, most, |b| interfaces.sound(b, Order::Big), each),
            },
        }
        self.from = self.to - run.rest.len();
        self.packets = run.number - self.numbered;
        self.last = run.last;
        self.stamped = true;
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
        let held = self.available();
        if want + SLOW_TARGETS > self.buffer.len() {
            let room = (want + SLOW_TARGETS).next_multiple_of(BUFFER);
            self.buffer.resize(room, 0);
        }
        let to = self.buffer.as_ptr() as usize + held;
        let from = if to % PAGE < SLOW_TARGETS {
            SLOW_TARGETS
        } else {
            0
        };
        self.buffer.copy_within(self.from..self.to, from);
        let position = self.position();
        self.base = position.wrapping_sub(from as u64);
        (self.from, self.to) = (from, from + held);
        while !self.ended && self.available() < want {
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
        self.fill(BUFFER - SLOW_TARGETS);
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
