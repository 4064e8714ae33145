//! A captured packet of any link layer -> its innermost TCP segment, tunnels taken off; what was cut off is known by its length.

use super::ends::{Endpoint, Ends};
use etherparse::err::{ip::LaxHeaderSliceError, ipv6_exts::HeaderSliceError};
use etherparse::{EtherType, LaxIpSlice, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket, LenSource};

/// LINKTYPE numbers read (tcpdump.org/linktypes.html).
pub(super) const NULL: u16 = 0;
pub(super) const ETHERNET: u16 = 1;
pub(super) const LOOP: u16 = 108;
pub(super) const SLL: u16 = 113;
pub(super) const SLL2: u16 = 276;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

/// Layers below TCP that are followed before a packet counts as hostile.
const MAX_LAYERS: u32 = 16;
/// VLAN tags that the fast path takes off.
const MAX_TAGS: u32 = 2;

/// A TCP segment (RFC 9293 3.1) with what its IP header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'b> {
    pub(super) ends: Ends,
    /// Which of them sent it.
    pub(super) side: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    /// Of a SYN's option (RFC 7323 2.2).
    pub(super) window_scale: Option<u8>,
    pub(super) ttl: u8,
    /// IPv4 identification; 0 in IPv6.
    pub(super) ip_id: u16,
    /// What tells copies of `-i any` apart: packet type and interface index of the cooked header.
    pub(super) tap: u32,
    /// What the capture holds of the payload.
    pub(super) payload: &'b [u8],
    /// Payload bytes on the wire.
    pub(super) payload_len: u32,
}

impl Segment<'_> {
    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Which IP packet a fragment is of (RFC 791 3.2, RFC 8200 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Datagram {
    pub(super) src: u128,
    pub(super) dst: u128,
    pub(super) id: u32,
    pub(super) protocol: u8,
}

/// A part of a fragmented IP packet.
#[derive(Debug, Clone)]
pub(super) struct Fragment<'b> {
    pub(super) of: Datagram,
    /// Where it lies in the packet's payload, in bytes.
    pub(super) offset: u32,
    pub(super) more: bool,
    /// What the capture holds of it.
    pub(super) bytes: &'b [u8],
    /// Its bytes on the wire.
    pub(super) len: u32,
    /// Of the first one: the segment that begins in it.
    pub(super) segment: Option<Segment<'b>>,
}

#[derive(Debug, Clone)]
pub(super) enum Packet<'b> {
    Tcp(Segment<'b>),
    Fragment(Box<Fragment<'b>>),
    /// Read, and no TCP.
    Other,
    /// Could not be read: why, as the name of an anomaly.
    Odd(&'static str),
}

/// A layer met on the way, for the Raw view: its name and the byte range in the packet.
pub(super) type Layers = Vec<(&'static str, std::ops::Range<usize>)>;

/// Bytes still to be read, and how many of them there were on the wire.
#[derive(Clone, Copy)]
struct Rest<'b> {
    bytes: &'b [u8],
    wire: u64,
}

impl<'b> Rest<'b> {
    fn skip(self, n: usize) -> Option<Self> {
        Some(Self {
            bytes: self.bytes.get(n..)?,
            wire: self.wire.saturating_sub(n as u64),
        })
    }

    /// Cuts off padding behind `len` bytes.
    fn at_most(self, len: u64) -> Self {
        let keep = usize::try_from(len)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        Self {
            bytes: self.bytes.get(..keep).unwrap_or_default(),
            wire: self.wire.min(len),
        }
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.bytes
            .get(at..at + 2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
    }
}

#[derive(Clone, Copy)]
enum Next {
    EtherType(u16),
    Ethernet,
    Ip,
}

const SHORT: Packet<'static> = Packet::Odd("short-packet");

/// Reads a packet of link type `link`; `wire_len` is its length before the capture cut it.
pub(super) fn parse(link: u16, data: &[u8], wire_len: u32) -> Packet<'_> {
    if link == ETHERNET
        && let Some(segment) = plain(data, wire_len).or_else(|| plain_v6(data, wire_len))
    {
        return Packet::Tcp(segment);
    }
    parse_noting(link, data, wire_len, None)
}

/// Takes VLAN tags off, at most two: what is left begins with so many bytes that the type stands where it does without them.
#[inline(always)]
fn untagged(mut data: &[u8], mut wire_len: u32) -> (&[u8], u32) {
    for _ in 0..MAX_TAGS {
        match data {
            [_, _, _, _, rest @ ..]
                if matches!(
                    data.get(12..14),
                    Some([0x81 | 0x91 | 0x92, 0] | [0x88, 0xA8])
                ) =>
            {
                data = rest;
                wire_len = wire_len.saturating_sub(4);
            }
            _ => break,
        }
    }
    (data, wire_len)
}

/// The segment of a packet as nearly all are: Ethernet, at most two VLAN tags, IPv4 without options or fragments, TCP.
#[inline(always)]
pub(super) fn plain(data: &[u8], wire_len: u32) -> Option<Segment<'_>> {
    let (data, wire_len) = match data.get(12..14) {
        Some([8, 0]) => (data, wire_len),
        _ => untagged(data, wire_len),
    };
    // All three headers in one look.
    let head: &[u8; 54] = data.first_chunk()?;
    let (_, ip) = head.split_first_chunk::<14>()?;
    let (ip, tcp) = ip.split_first_chunk::<20>()?;
    let tcp: &[u8; 20] = tcp.first_chunk()?;
    let as_ever = head[12] == 8 && head[13] == 0 && ip[0] == 0x45 && ip[9] == 6;
    if !as_ever || ip[6] & 0x3f != 0 || ip[7] != 0 {
        return None;
    }
    let wire = wire_len.saturating_sub(14);
    let total = match u16::from_be_bytes([ip[2], ip[3]]) {
        0 => wire,
        total => u32::from(total).min(wire),
    };
    if total < 40 {
        return None;
    }
    let end = data.len().min(14 + total as usize);
    let word = |a: u8, b: u8, c: u8, d: u8, port: [u8; 2]| {
        (mapped([a, b, c, d]) as u64) << 16 | u64::from(u16::from_be_bytes(port))
    };
    let ends = Ends::of_words(
        word(ip[12], ip[13], ip[14], ip[15], [tcp[0], tcp[1]]),
        word(ip[16], ip[17], ip[18], ip[19], [tcp[2], tcp[3]]),
    );
    let id = u16::from_be_bytes([ip[4], ip[5]]);
    segment(ends, (ip[8], id), tcp, data.get(34..end)?, total - 20, 0)
}

/// The same of IPv6.
fn plain_v6(data: &[u8], wire_len: u32) -> Option<Segment<'_>> {
    let (data, wire_len) = untagged(data, wire_len);
    let head: &[u8; 54] = data.first_chunk()?;
    if [head[12], head[13]] != [0x86, 0xDD] || head[14] >> 4 != 6 || head[20] != 6 {
        return None;
    }
    let (_, ends) = head.split_last_chunk::<32>()?;
    let (src, dst) = (ends.first_chunk()?, ends.last_chunk()?);
    let addresses = Addresses {
        src: u128::from_be_bytes(*src),
        dst: u128::from_be_bytes(*dst),
        ttl: head[21],
        id: 0,
    };
    let wire = wire_len.saturating_sub(14);
    let total = match u16::from_be_bytes([head[18], head[19]]) {
        0 => wire,
        len => (40 + u32::from(len)).min(wire),
    };
    let end = data.len().min(14 + total as usize);
    let body = data.get(54..end)?;
    let tcp: &[u8; 20] = body.first_chunk()?;
    let ends = addresses.ends(tcp);
    segment(ends, (addresses.ttl, 0), tcp, body, total - 40, 0)
}

/// As [`parse`], writing down the layers.
pub(super) fn parse_noting<'b>(
    link: u16,
    data: &'b [u8],
    wire_len: u32,
    layers: Option<&mut Layers>,
) -> Packet<'b> {
    let rest = Rest {
        bytes: data,
        wire: u64::from(wire_len),
    };
    let mut walk = Walk {
        whole: data.len(),
        tap: 0,
        layers,
        depth: 0,
        tags: 0,
        fragment: None,
    };
    let packet = walk.link(link, rest).unwrap_or(SHORT);
    let Some((of, offset, more, body)) = walk.fragment else {
        return packet;
    };
    let segment = match packet {
        Packet::Tcp(segment) => Some(segment),
        Packet::Odd("short-packet") if offset == 0 => return Packet::Odd("ip-fragment"),
        Packet::Odd(_) if offset == 0 => return packet,
        _ => None,
    };
    Packet::Fragment(Box::new(Fragment {
        of,
        offset,
        more,
        bytes: body.bytes,
        len: u32::try_from(body.wire).unwrap_or(u32::MAX),
        segment,
    }))
}

struct Walk<'l, 'b> {
    whole: usize,
    tap: u32,
    layers: Option<&'l mut Layers>,
    depth: u32,
    tags: u32,
    /// The outermost fragment met.
    fragment: Option<(Datagram, u32, bool, Rest<'b>)>,
}

/// The fast path is written out here, as are the tunnels, which etherparse does not know;
/// whatever the fast path declines is read by etherparse ([`Walk::ether`], [`Walk::odd_ip`]).
impl<'b> Walk<'_, 'b> {
    fn note(&mut self, name: &'static str, rest: Rest<'_>, len: usize) {
        if let Some(layers) = self.layers.as_deref_mut() {
            let start = self.whole.saturating_sub(rest.bytes.len());
            layers.push((name, start..start + len.min(rest.bytes.len())));
        }
    }

    fn link(&mut self, link: u16, rest: Rest<'b>) -> Option<Packet<'b>> {
        match link {
            ETHERNET => self.follow(Next::Ethernet, rest),
            SLL2 => {
                self.note("Linux cooked v2", rest, 20);
                let kind = rest.u16(0)?;
                let index = rest.u16(6)?;
                let packet_type = *rest.bytes.get(10)?;
                self.tap = u32::from(index) << 8 | u32::from(packet_type);
                self.follow(Next::EtherType(kind), rest.skip(20)?)
            }
            SLL => {
                self.note("Linux cooked v1", rest, 16);
                self.tap = u32::from(rest.u16(0)?);
                let kind = rest.u16(14)?;
                self.follow(Next::EtherType(kind), rest.skip(16)?)
            }
            NULL | LOOP => {
                self.note("loopback", rest, 4);
                self.follow(Next::Ip, rest.skip(4)?)
            }
            12 | 14 | 101 | 228 | 229 => self.follow(Next::Ip, rest),
            _ => Some(Packet::Odd("unknown-link-type")),
        }
    }

    /// Layer by layer, never deeper than `MAX_LAYERS`.
    fn follow(&mut self, mut next: Next, mut rest: Rest<'b>) -> Option<Packet<'b>> {
        loop {
            self.depth += 1;
            if self.depth > MAX_LAYERS {
                return Some(Packet::Odd("too-many-layers"));
            }
            (next, rest) = match next {
                Next::Ethernet => {
                    self.note("Ethernet", rest, 14);
                    (Next::EtherType(rest.u16(12)?), rest.skip(14)?)
                }
                Next::EtherType(0x0800 | 0x86DD) => (Next::Ip, rest),
                Next::EtherType(0x8100 | 0x88A8 | 0x9100 | 0x9200) if self.tags < MAX_TAGS => {
                    self.tags += 1;
                    self.note("802.1Q", rest, 4);
                    (Next::EtherType(rest.u16(2)?), rest.skip(4)?)
                }
                Next::EtherType(0x8864) => {
                    self.note("PPPoE", rest, 8);
                    match rest.u16(6)? {
                        0x0021 | 0x0057 => (Next::Ip, rest.skip(8)?),
                        _ => return Some(Packet::Other),
                    }
                }
                Next::EtherType(0x8847 | 0x8848) => {
                    self.note("MPLS", rest, 4);
                    let bottom = rest.bytes.get(2)? & 1 == 1;
                    (if bottom { Next::Ip } else { next }, rest.skip(4)?)
                }
                Next::EtherType(0x6558) => (Next::Ethernet, rest),
                // Provider backbone bridging (IEEE 802.1ah 9.7): a service tag before the customer's own frame.
                Next::EtherType(0x88E7) => {
                    self.note("802.1ah", rest, 4);
                    (Next::Ethernet, rest.skip(4)?)
                }
                // A length in place of a type: 802.2 LLC, and SNAP's type behind it (RFC 1042).
                Next::EtherType(len @ ..=1500) => match rest.bytes.get(..8) {
                    Some(&[0xAA, 0xAA, 3, 0, 0, 0, a, b]) => {
                        self.note("LLC SNAP", rest, 8);
                        let kind = u16::from_be_bytes([a, b]);
                        let body = rest.at_most(u64::from(len)).skip(8)?;
                        (Next::EtherType(kind), body)
                    }
                    _ => return Some(Packet::Other),
                },
                Next::EtherType(kind) => match self.ether(kind, rest)? {
                    Inner::Done(packet) => return Some(packet),
                    Inner::Deeper(next, rest) => (next, rest),
                },
                Next::Ip => match self.ip(rest)? {
                    Inner::Done(packet) => return Some(packet),
                    Inner::Deeper(next, rest) => (next, rest),
                },
            };
        }
    }

    fn ip(&mut self, rest: Rest<'b>) -> Option<Inner<'b>> {
        match rest.bytes.first()? >> 4 {
            4 => self.ipv4(rest),
            6 => self.ipv6(rest),
            _ => Some(Inner::Done(Packet::Other)),
        }
    }

    fn ipv4(&mut self, rest: Rest<'b>) -> Option<Inner<'b>> {
        let head = rest.bytes.get(..20)?;
        let header_len = usize::from(head[0] & 15) * 4;
        if header_len < 20 {
            return Some(Inner::Done(Packet::Odd("bad-ip-header")));
        }
        let total = u64::from(u16::from_be_bytes([head[2], head[3]]));
        // Zero where the network card splits a large segment later (TSO): the frame's own length counts.
        let total = if total == 0 { rest.wire } else { total };
        if total < header_len as u64 {
            return Some(Inner::Done(Packet::Odd("bad-ip-header")));
        }
        let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x3fff;
        if header_len != 20 || fragment != 0 || head[9] == AUTHENTICATION {
            return self.odd_ip(rest);
        }
        self.note("IPv4", rest, header_len);
        let addresses = Addresses {
            src: mapped([head[12], head[13], head[14], head[15]]),
            dst: mapped([head[16], head[17], head[18], head[19]]),
            ttl: head[8],
            id: u16::from_be_bytes([head[4], head[5]]),
        };
        let body = rest.at_most(total).skip(header_len)?;
        self.transport(head[9], &addresses, body)
    }

    fn ipv6(&mut self, rest: Rest<'b>) -> Option<Inner<'b>> {
        let head: &[u8; 40] = rest.bytes.first_chunk()?;
        if !matches!(head[6], 6 | 17 | 4 | 41 | 47 | 58) {
            return self.odd_ip(rest);
        }
        self.note("IPv6", rest, 40);
        let len = u64::from(u16::from_be_bytes([head[4], head[5]]));
        let address = |at: usize| {
            let mut b = [0; 16];
            b.copy_from_slice(&head[at..at + 16]);
            u128::from_be_bytes(b)
        };
        let addresses = Addresses {
            src: address(8),
            dst: address(24),
            ttl: head[7],
            id: 0,
        };
        let mut body = rest.skip(40)?;
        if len != 0 {
            body = body.at_most(len);
        }
        self.transport(head[6], &addresses, body)
    }

    /// An ether type that the fast path does not know: MACsec, more VLAN tags, ARP.
    fn ether(&mut self, kind: u16, rest: Rest<'b>) -> Option<Inner<'b>> {
        let sliced = LaxSlicedPacket::from_ether_type(EtherType(kind), rest.bytes);
        if let Some(LaxNetSlice::Arp(arp)) = &sliced.net
            && sliced.link_exts.is_empty()
        {
            self.note("ARP", rest, arp.slice().len());
        }
        let mut body = rest;
        for tag in &sliced.link_exts {
            let (name, len) = match tag {
                LaxLinkExtSlice::Vlan(tag) => ("802.1Q", tag.header_len()),
                LaxLinkExtSlice::Macsec(tag) => ("MACsec", tag.header.header_len()),
            };
            self.note(name, body, len);
            body = body.skip(len)?;
        }
        Some(match sliced.ether_payload() {
            Some(inner) if !sliced.link_exts.is_empty() => {
                if inner.len_source != LenSource::Slice {
                    body = body.at_most(inner.payload.len() as u64);
                }
                Inner::Deeper(Next::EtherType(inner.ether_type.0), body)
            }
            // Encrypted, or of a protocol that carries no IP.
            _ => Inner::Done(Packet::Other),
        })
    }

    /// An IP header with options, extension headers or fragments.
    fn odd_ip(&mut self, rest: Rest<'b>) -> Option<Inner<'b>> {
        let odd = |why| Some(Inner::Done(Packet::Odd(why)));
        let (ip, stopped) = match LaxIpSlice::from_slice(rest.bytes) {
            Ok(read) => read,
            Err(LaxHeaderSliceError::Len(_)) => return None,
            Err(LaxHeaderSliceError::Content(_)) => return odd("bad-ip-header"),
        };
        let (name, header, extensions, total, place, addresses) = match &ip {
            LaxIpSlice::Ipv4(v4) => {
                let head = v4.header();
                let extensions = v4.extensions().auth.map_or(0, |a| a.slice().len());
                let addresses = Addresses {
                    src: mapped(head.source()),
                    dst: mapped(head.destination()),
                    ttl: head.ttl(),
                    id: head.identification(),
                };
                let total = u64::from(head.total_len());
                let place = head.is_fragmenting_payload().then(|| {
                    let offset = head.fragments_offset().byte_offset();
                    let id = u32::from(head.identification());
                    (offset, id, head.more_fragments())
                });
                let header = head.slice().len();
                ("IPv4", header, extensions, total, place, addresses)
            }
            LaxIpSlice::Ipv6(v6) => {
                let head = v6.header();
                let extensions = v6.extensions();
                let place = fragment_header(head.next_header().0, extensions.slice());
                let addresses = Addresses {
                    src: u128::from_be_bytes(head.source()),
                    dst: u128::from_be_bytes(head.destination()),
                    ttl: head.hop_limit(),
                    id: 0,
                };
                let total = match head.payload_length() {
                    0 => 0,
                    len => 40 + u64::from(len),
                };
                let extensions = extensions.slice().len();
                ("IPv6", 40, extensions, total, place, addresses)
            }
        };
        self.note(name, rest, header);
        let later = place.is_some_and(|(offset, ..)| offset != 0);
        match stopped {
            // What stands in a later fragment is no header.
            _ if later => {}
            Some((HeaderSliceError::Len(_), _)) => return None,
            Some((HeaderSliceError::Content(_), _)) => return odd("bad-ip-header"),
            None => {}
        }
        let rest = if total == 0 {
            rest
        } else {
            rest.at_most(total)
        };
        let body = rest.skip(header)?;
        if extensions > 0 {
            self.note("IP extension headers", body, extensions);
        }
        let body = body.skip(extensions)?;
        let protocol = ip.payload_ip_number().0;
        if let Some((offset, id, more)) = place
            && self.fragment.is_none()
        {
            let of = Datagram {
                src: addresses.src,
                dst: addresses.dst,
                id,
                protocol,
            };
            self.fragment = Some((of, u32::from(offset), more, body));
        }
        if later {
            return Some(Inner::Done(Packet::Other));
        }
        self.transport(protocol, &addresses, body)
    }

    fn transport(
        &mut self,
        protocol: u8,
        addresses: &Addresses,
        body: Rest<'b>,
    ) -> Option<Inner<'b>> {
        match protocol {
            6 => self
                .tcp(addresses, body)
                .map(|s| Inner::Done(Packet::Tcp(s))),
            4 | 41 => Some(Inner::Deeper(Next::Ip, body)),
            47 => self.gre(body),
            17 => self.udp(body),
            _ => Some(Inner::Done(Packet::Other)),
        }
    }

    /// GRE (RFC 2784, RFC 2890) and what AWS, ERSPAN and NVGRE put into it.
    fn gre(&mut self, body: Rest<'b>) -> Option<Inner<'b>> {
        let flags = body.u16(0)?;
        let kind = body.u16(2)?;
        // MikroTik's Ethernet over IP: a length and a number, little endian both, in a header of version 1.
        if flags == 0x2001 && kind == 0x6400 {
            self.note("EoIP", body, 8);
            return Some(Inner::Deeper(Next::Ethernet, body.skip(8)?));
        }
        if flags & 7 != 0 {
            return Some(Inner::Done(Packet::Other));
        }
        let options = [0x8000, 0x2000, 0x1000]
            .iter()
            .filter(|&&bit| flags & bit != 0)
            .count();
        let len = 4 + 4 * options;
        self.note("GRE", body, len);
        let inner = body.skip(len)?;
        Some(match kind {
            // ERSPAN type I has no header of its own, type II one of 8 bytes, told by the sequence number.
            0x88BE if flags & 0x1000 != 0 => Inner::Deeper(Next::Ethernet, inner.skip(8)?),
            0x88BE => Inner::Deeper(Next::Ethernet, inner),
            // Type III has 12, and its last bit says that 8 of the platform follow.
            0x22EB => {
                let more = inner.bytes.get(11)? & 1 == 1;
                Inner::Deeper(Next::Ethernet, inner.skip(if more { 20 } else { 12 })?)
            }
            kind => Inner::Deeper(Next::EtherType(kind), inner),
        })
    }

    fn udp(&mut self, body: Rest<'b>) -> Option<Inner<'b>> {
        let other = Some(Inner::Done(Packet::Other));
        let (Some(from), Some(to), Some(inner)) = (body.u16(0), body.u16(2), body.skip(8)) else {
            return other;
        };
        // Answers of GTP-U, and tunnels through a NAT, carry the known port at their source.
        let known = |port: u16| matches!(port, 2152 | 4789 | 6081 | 8472);
        match if known(to) { to } else { from } {
            // VXLAN (RFC 7348 5): the I flag, 24 bits of network identifier.
            4789 | 8472 => {
                let Some(head) = inner.bytes.get(..8) else {
                    return other;
                };
                if head[0] & 0x08 == 0 {
                    return other;
                }
                self.note("UDP", body, 8);
                self.note("VXLAN", inner, 8);
                Some(Inner::Deeper(Next::Ethernet, inner.skip(8)?))
            }
            // GENEVE (RFC 8926 3.4).
            6081 => {
                let Some(head) = inner.bytes.get(..8) else {
                    return other;
                };
                let len = 8 + usize::from(head[0] & 0x3f) * 4;
                let kind = u16::from_be_bytes([head[2], head[3]]);
                if head[0] >> 6 != 0 {
                    return other;
                }
                self.note("UDP", body, 8);
                self.note("GENEVE", inner, len);
                Some(Inner::Deeper(Next::EtherType(kind), inner.skip(len)?))
            }
            // GTP-U (3GPP TS 29.281 5.1): G-PDUs only.
            2152 => {
                let Some(head) = inner.bytes.get(..8) else {
                    return other;
                };
                if head[0] >> 4 != 3 || head[1] != 0xff {
                    return other;
                }
                let mut len = if head[0] & 0x07 == 0 { 8 } else { 12 };
                // Extension headers (5.2.1), as 5G puts before every packet: each counts its words of four bytes, and names the next.
                let mut next = match head[0] & 0x04 {
                    0 => 0,
                    _ => *inner.bytes.get(11)?,
                };
                while next != 0 {
                    let words = usize::from(*inner.bytes.get(len)?);
                    if words == 0 {
                        return Some(Inner::Done(Packet::Odd("bad-tunnel-header")));
                    }
                    len += words * 4;
                    next = *inner.bytes.get(len - 1)?;
                }
                self.note("UDP", body, 8);
                self.note("GTP-U", inner, len);
                Some(Inner::Deeper(Next::Ip, inner.skip(len)?))
            }
            _ => other,
        }
    }

    fn tcp(&mut self, addresses: &Addresses, body: Rest<'b>) -> Option<Segment<'b>> {
        let head: &[u8; 20] = body.bytes.first_chunk()?;
        let wire = u32::try_from(body.wire).unwrap_or(u32::MAX);
        let of_ip = (addresses.ttl, addresses.id);
        let segment = segment(
            addresses.ends(head),
            of_ip,
            head,
            body.bytes,
            wire,
            self.tap,
        )?;
        self.note("TCP", body, usize::from(head[12] >> 4) * 4);
        Some(segment)
    }
}

/// The segment that begins with `head`, of which `body` is what the capture holds and `wire` what there was.
#[inline(always)]
fn segment<'b>(
    (ends, side): (Ends, u8),
    (ttl, ip_id): (u8, u16),
    head: &[u8; 20],
    body: &'b [u8],
    wire: u32,
    tap: u32,
) -> Option<Segment<'b>> {
    let header_len = usize::from(head[12] >> 4) * 4;
    if header_len < 20 {
        return None;
    }
    let flags = head[13];
    let window_scale = if flags & SYN != 0 {
        scale(body.get(20..header_len.min(body.len())).unwrap_or_default())
    } else {
        None
    };
    let payload_len = wire.saturating_sub(header_len as u32);
    let payload = body.get(header_len..).unwrap_or_default();
    Some(Segment {
        ends,
        side,
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        flags,
        window: u16::from_be_bytes([head[14], head[15]]),
        window_scale,
        ttl,
        ip_id,
        tap,
        payload,
        payload_len: payload_len.max(u32::try_from(payload.len()).unwrap_or(u32::MAX)),
    })
}

enum Inner<'b> {
    Done(Packet<'b>),
    Deeper(Next, Rest<'b>),
}

/// The fragment header (RFC 8200 4.5) among the extension headers behind `next`, where it is of a part: offset, identification, more to
/// come. Etherparse's own walk over them trusts their lengths, and reads beyond headers that are cut.
fn fragment_header(mut next: u8, mut headers: &[u8]) -> Option<(u16, u32, bool)> {
    loop {
        let &[following, words, ..] = headers else {
            return None;
        };
        let words = usize::from(words);
        let len = match next {
            44 => {
                let head: &[u8; 8] = headers.first_chunk()?;
                let place = u16::from_be_bytes([head[2], head[3]]);
                let (offset, more) = (place & !7, place & 1 == 1);
                if offset != 0 || more {
                    let id = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
                    return Some((offset, id, more));
                }
                8
            }
            AUTHENTICATION => (words + 2) * 4,
            0 | 43 | 60 | 135 | 139 | 140 => (words + 1) * 8,
            _ => return None,
        };
        next = following;
        headers = headers.get(len..)?;
    }
}

/// The IP protocol number of the authentication header (RFC 4302).
const AUTHENTICATION: u8 = 51;

struct Addresses {
    src: u128,
    dst: u128,
    ttl: u8,
    id: u16,
}

impl Addresses {
    /// With the ports that a TCP header begins with.
    const fn ends(&self, tcp: &[u8; 20]) -> (Ends, u8) {
        let src = Endpoint::new(self.src, u16::from_be_bytes([tcp[0], tcp[1]]));
        let dst = Endpoint::new(self.dst, u16::from_be_bytes([tcp[2], tcp[3]]));
        Ends::of(&src, &dst)
    }
}

const fn mapped(v4: [u8; 4]) -> u128 {
    0xffff_0000_0000 | u32::from_be_bytes(v4) as u128
}

/// The window scale option (RFC 7323 2.2), at most 14.
fn scale(mut options: &[u8]) -> Option<u8> {
    loop {
        match options {
            [1, rest @ ..] => options = rest,
            [3, 3, shift, ..] => return Some((*shift).min(14)),
            [kind, len, ..] if *kind != 0 && *len >= 2 => {
                options = options.get(usize::from(*len)..)?
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
