//! Fragments of IP packets -> TCP segments, one for each, as if TCP itself had cut there; what comes before its first one waits.

use super::packet::{Datagram, FIN, Fragment, SYN, Segment};
use crate::model::{Anomaly, Mark, Moment, SECOND_NS, add_anomaly};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::collections::VecDeque;

/// Fragmented packets known at once.
const MAX_PACKETS: usize = 4096;
/// Receivers give up a packet after this time (RFC 8200 4.5; RFC 791 leaves it to them).
const MAX_AGE_NS: i64 = 60 * SECOND_NS;
/// Bytes of fragments that wait for their first one.
const MAX_HELD: usize = 16 << 20;
/// Parts of one packet that are told apart: one of 64 KiB has 45 of 1,480 bytes.
const MAX_PARTS: usize = 256;

/// A fragment that came before the first one of its packet.
#[derive(Debug)]
pub(super) struct Early {
    head: Segment<'static>,
    bytes: Vec<u8>,
}

impl Early {
    pub(super) fn segment(&self) -> Segment<'_> {
        Segment {
            payload: &self.bytes,
            ..self.head
        }
    }
}

#[derive(Debug)]
struct Held {
    offset: u32,
    more: bool,
    len: u32,
    bytes: Vec<u8>,
    mark: Mark,
}

/// One fragmented packet.
#[derive(Debug)]
struct Packet {
    since: Moment,
    began: u64,
    /// Its first segment, and where in the packet that one's payload begins.
    head: Option<(Segment<'static>, u32)>,
    /// Its first fragment carries no TCP.
    foreign: bool,
    early: Vec<Held>,
    /// Parts seen, as from and to.
    parts: Vec<(u32, u32)>,
}

/// Fragmented packets, bounded in number, age and bytes.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    known: HashMap<Datagram, Packet, RandomState>,
    /// By their first fragment seen, oldest first.
    order: VecDeque<(Datagram, u64)>,
    began: u64,
    held: usize,
    /// What follows right behind the packet of that number.
    waiting: VecDeque<(u64, Early, Mark)>,
    orphans: (u64, u64),
    overlaps: (u64, u64),
}

impl Fragments {
    /// The segment that a fragment makes; `None` for one that has to wait, or is of something else.
    pub(super) fn take<'b>(&mut self, fragment: &Fragment<'b>, mark: Mark) -> Option<Segment<'b>> {
        self.age(mark.at);
        let again = fragment.offset == 0
            && self.known.get(&fragment.of).is_some_and(|p| {
                // The same number for another packet: the sender's counter went round.
                p.head.is_some() && !p.parts.contains(&part(fragment))
            });
        if again {
            self.forget(fragment.of);
        }
        let began = self.began;
        let packet = match self.known.entry(fragment.of) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                self.order.push_back((fragment.of, began));
                self.began += 1;
                place.insert(Packet {
                    since: mark.at,
                    began,
                    head: None,
                    foreign: false,
                    early: Vec::new(),
                    parts: Vec::new(),
                })
            }
        };
        let own = part(fragment);
        let known = packet.parts.contains(&own);
        if !known && packet.parts.iter().any(|p| p.0 < own.1 && own.0 < p.1) {
            count(&mut self.overlaps, 1, mark);
        }
        if !known && packet.parts.len() < MAX_PARTS {
            packet.parts.push(own);
        }
        if fragment.offset == 0 {
            let Some(segment) = fragment.segment else {
                packet.foreign = true;
                let early = std::mem::take(&mut packet.early);
                self.held -= early.iter().map(|e| e.bytes.len()).sum::<usize>();
                return None;
            };
            let base = fragment.len.saturating_sub(segment.payload_len);
            let head = Segment {
                payload: &[],
                ..segment
            };
            packet.head = Some((head, base));
            for early in std::mem::take(&mut packet.early) {
                self.held -= early.bytes.len();
                let place = (early.offset, early.more, early.len);
                if let Some(head) = follow(&head, base, place) {
                    let bytes = early.bytes;
                    let next = (mark.record.ordinal, Early { head, bytes }, early.mark);
                    self.waiting.push_back(next);
                }
            }
            // The packet's end, and the FIN with it, comes in its last fragment.
            return Some(Segment {
                flags: segment.flags & !FIN,
                ..segment
            });
        }
        if let Some((head, base)) = &packet.head {
            let place = (fragment.offset, fragment.more, fragment.len);
            return follow(head, *base, place).map(|segment| Segment {
                payload: fragment.bytes,
                ..segment
            });
        }
        if !packet.foreign && !known && packet.early.len() < MAX_PARTS {
            packet.early.push(Held {
                offset: fragment.offset,
                more: fragment.more,
                len: fragment.len,
                bytes: fragment.bytes.to_vec(),
                mark,
            });
            self.held += fragment.bytes.len();
        }
        while self.held > MAX_HELD && self.oldest().is_some() {}
        None
    }

    /// A fragment whose packet began with the packet of that number.
    pub(super) fn waiting(&mut self, ordinal: u64) -> Option<(Early, Mark)> {
        if self.waiting.front()?.0 > ordinal {
            return None;
        }
        self.waiting
            .pop_front()
            .map(|(_, early, mark)| (early, mark))
    }

    fn age(&mut self, now: Moment) {
        while let Some((of, began)) = self.order.front()
            && (self.order.len() > MAX_PACKETS
                || self
                    .known
                    .get(of)
                    .is_none_or(|p| p.began != *began || now.since(p.since) > MAX_AGE_NS))
        {
            self.oldest();
        }
    }

    /// Lets go of the packet known for the longest time.
    fn oldest(&mut self) -> Option<()> {
        let (of, began) = self.order.pop_front()?;
        if self.known.get(&of).is_some_and(|p| p.began == began) {
            self.forget(of);
        }
        Some(())
    }

    fn forget(&mut self, of: Datagram) {
        let Some(packet) = self.known.remove(&of) else {
            return;
        };
        for early in &packet.early {
            self.held -= early.bytes.len();
        }
        if let Some(first) = packet.early.first() {
            // Of UDP and others nothing is asked.
            if of.protocol == 6 {
                count(&mut self.orphans, packet.early.len() as u64, first.mark);
            }
        }
    }

    /// Anomalies since the last call, for the file at hand. A packet that has begun may go on in the next one.
    pub(super) fn anomalies(&mut self, anomalies: &mut Vec<Anomaly>) {
        let headless = |of: &Datagram| self.known.get(of).is_some_and(|p| !p.early.is_empty());
        let headless: Vec<Datagram> = self.order.iter().map(|o| o.0).filter(headless).collect();
        for of in headless {
            self.forget(of);
        }
        let (orphans, first) = std::mem::take(&mut self.orphans);
        if orphans > 0 {
            let note =
                "IP fragments whose first one is not in the capture: their bytes count as lost";
            add_anomaly(anomalies, "ip-fragment", orphans, first, note);
        }
        let (overlaps, first) = std::mem::take(&mut self.overlaps);
        if overlaps > 0 {
            let note = "IP fragments that overlap others of their packet: the first ones were used";
            add_anomaly(anomalies, "overlapping-fragments", overlaps, first, note);
        }
    }
}

const fn part(fragment: &Fragment<'_>) -> (u32, u32) {
    (
        fragment.offset,
        fragment.offset.saturating_add(fragment.len),
    )
}

const fn count(what: &mut (u64, u64), more: u64, mark: Mark) {
    if what.0 == 0 {
        what.1 = mark.record.ordinal;
    }
    what.0 += more;
}

/// The segment that goes on where the first fragment's ended; its payload is put in by whoever has it.
fn follow(
    head: &Segment<'static>,
    base: u32,
    (offset, more, len): (u32, bool, u32),
) -> Option<Segment<'static>> {
    let into = offset.checked_sub(base)?;
    let syn = u32::from(head.has(SYN));
    let fin = if more { 0 } else { head.flags & FIN };
    Some(Segment {
        seq: head.seq.wrapping_add(into).wrapping_add(syn),
        flags: head.flags & !(SYN | FIN) | fin,
        window_scale: None,
        payload_len: len,
        ..*head
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::packet::{self, ETHERNET};
    use crate::model::{RecordRef, SourceId};
    use proptest::prelude::*;

    fn mark(n: u64, at: i64) -> Mark {
        Mark {
            at: Moment(at),
            record: RecordRef {
                source: SourceId(0),
                ordinal: n,
                start: 0,
                len: 0,
            },
        }
    }

    /// An IP packet with this payload, in fragments that end at the given bytes.
    fn fragmented(v6: bool, id: u16, protocol: u8, body: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut ends: Vec<usize> = cuts.iter().map(|c| c / 8 * 8).collect();
        ends.retain(|&c| c >= 24 && c < body.len());
        ends.push(body.len());
        ends.sort_unstable();
        ends.dedup();
        let mut from = 0;
        let mut out = Vec::new();
        for end in ends {
            let piece = &body[from..end];
            let more = end < body.len();
            let mut p = [[1; 12].as_slice(), &[0; 2]].concat();
            if v6 {
                p[12..].copy_from_slice(&[0x86, 0xDD]);
                p.extend([0x60, 0, 0, 0]);
                p.extend((piece.len() as u16 + 8).to_be_bytes());
                p.extend([44, 64]);
                p.extend([1; 16]);
                p.extend([2; 16]);
                p.extend([protocol, 0]);
                p.extend((from as u16 | u16::from(more)).to_be_bytes());
                p.extend(u32::from(id).to_be_bytes());
            } else {
                p[12..].copy_from_slice(&[8, 0]);
                p.extend([0x45, 0]);
                p.extend((piece.len() as u16 + 20).to_be_bytes());
                p.extend(id.to_be_bytes());
                let place = (from as u16 / 8) | if more { 0x2000 } else { 0 };
                p.extend(place.to_be_bytes());
                p.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            }
            p.extend_from_slice(piece);
            out.push(p);
            from = end;
        }
        out
    }

    fn tcp(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut t = vec![0, 5, 0, 80];
        t.extend(seq.to_be_bytes());
        t.extend([0, 0, 0, 9, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        t.extend_from_slice(payload);
        t
    }

    /// What comes out for packets in this order: sequence number, flags, payload.
    fn segments(packets: &[Vec<u8>], pool: &mut Fragments) -> Vec<(u32, u8, Vec<u8>)> {
        let mut out = Vec::new();
        for (n, p) in packets.iter().enumerate() {
            match packet::parse(ETHERNET, p, p.len() as u32) {
                packet::Packet::Fragment(f) => {
                    if let Some(s) = pool.take(&f, mark(n as u64 + 1, 0)) {
                        assert_eq!(s.payload.len() as u32, s.payload_len);
                        out.push((s.seq, s.flags, s.payload.to_vec()));
                    }
                    while let Some((early, _)) = pool.waiting(u64::MAX) {
                        let s = early.segment();
                        out.push((s.seq, s.flags, s.payload.to_vec()));
                    }
                }
                packet::Packet::Tcp(s) => out.push((s.seq, s.flags, s.payload.to_vec())),
                other => panic!("{other:?}"),
            }
        }
        out
    }

    proptest! {
        /// In whatever order and however cut: the segments put together are the one that was sent.
        #[test]
        fn fragments_say_what_the_packet_said(
            v6: bool, tunnel: bool, seq: u32, fin: bool, payload in proptest::collection::vec(any::<u8>(), 1..900),
            cuts in proptest::collection::vec(0usize..1000, 0..6), order in proptest::collection::vec(any::<u16>(), 8),
        ) {
            let flags = if fin { 0x11 } else { 0x10 };
            let segment = tcp(seq, flags, &payload);
            let (protocol, body) = if tunnel {
                let mut inner = vec![0x45, 0];
                inner.extend((segment.len() as u16 + 20).to_be_bytes());
                inner.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2]);
                let gre = [&[0, 0, 8, 0][..], &inner, &segment].concat();
                (47, gre)
            } else {
                (6, segment)
            };
            let cuts: Vec<usize> = cuts.into_iter().map(|c| c.max(48)).collect();
            let mut packets: Vec<(u16, Vec<u8>)> =
                order.iter().copied().cycle().zip(fragmented(v6, 7, protocol, &body, &cuts)).collect();
            packets.sort();
            let packets: Vec<Vec<u8>> = packets.into_iter().map(|p| p.1).collect();
            let mut pool = Fragments::default();
            let mut got = segments(&packets, &mut pool);
            got.sort_by_key(|s| s.0.wrapping_sub(seq));
            prop_assert_eq!(got.len(), packets.len());
            let mut next = seq;
            for (n, (at, flag, bytes)) in got.iter().enumerate() {
                prop_assert_eq!(*at, next);
                prop_assert_eq!(flag & FIN != 0, fin && n + 1 == got.len());
                next = next.wrapping_add(bytes.len() as u32);
            }
            prop_assert_eq!(got.into_iter().flat_map(|s| s.2).collect::<Vec<_>>(), payload);
            let mut anomalies = Vec::new();
            pool.anomalies(&mut anomalies);
            prop_assert!(anomalies.is_empty(), "{anomalies:?}");
            prop_assert_eq!(pool.held, 0);
        }

        #[test]
        fn any_fragments_are_endured(list in proptest::collection::vec((0u8..3, 0u32..9000, any::<bool>(), 0usize..200, any::<bool>(), 0i64..200), 0..200)) {
            let mut pool = Fragments::default();
            let bytes = [7; 200];
            for (n, (id, offset, more, len, first, at)) in list.into_iter().enumerate() {
                let of = Datagram { src: 1, dst: 2, id: u32::from(id), protocol: 6 };
                let whole = tcp(9, 0x10, &bytes);
                let packet = fragmented(false, 1, 6, &whole, &[]).remove(0);
                let packet::Packet::Tcp(segment) = packet::parse(ETHERNET, &packet, packet.len() as u32) else { panic!() };
                let offset = if first { 0 } else { offset };
                let f = Fragment { of, offset, more, bytes: &bytes[..len], len: len as u32, segment: first.then_some(segment) };
                let _ = pool.take(&f, mark(n as u64, at * SECOND_NS));
                while pool.waiting(u64::MAX).is_some() {}
                prop_assert!(pool.held <= 200 * 200);
            }
            pool.anomalies(&mut Vec::new());
            prop_assert_eq!((pool.held, pool.known.len() <= 3), (0, true));
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let check = |packets: Vec<Vec<u8>>, segments_expected: usize, expected: &[(&str, u64)]| {
            let mut pool = Fragments::default();
            assert_eq!(segments(&packets, &mut pool).len(), segments_expected);
            let mut anomalies = Vec::new();
            pool.anomalies(&mut anomalies);
            let got: Vec<_> = anomalies.iter().map(|a| (&*a.kind, a.count)).collect();
            assert_eq!(got, expected);
        };
        let whole = tcp(1, 0x10, &[5; 200]);
        let parts = fragmented(false, 1, 6, &whole, &[64, 128]);
        check(parts.clone(), 3, &[]);
        // Recorded twice.
        check([parts.clone(), parts.clone()].concat(), 6, &[]);
        check(parts[1..].to_vec(), 0, &[("ip-fragment", 2)]);
        let other = fragmented(false, 1, 6, &whole, &[96, 160]);
        check(
            [parts, other[1..].to_vec()].concat(),
            5,
            &[("overlapping-fragments", 2)],
        );
        // Of UDP only that it is no TCP.
        check(fragmented(true, 1, 17, &whole, &[64, 128]), 0, &[]);
        check(
            fragmented(true, 1, 17, &whole, &[64, 128])[1..].to_vec(),
            0,
            &[],
        );
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Fragments::default();
        let bytes = [0; 1400];
        for n in 0..100_000_u32 {
            let of = Datagram {
                src: 1,
                dst: 2,
                id: n,
                protocol: 6,
            };
            let fragment = Fragment {
                of,
                offset: 1480,
                more: true,
                bytes: &bytes,
                len: 1400,
                segment: None,
            };
            assert!(pool.take(&fragment, mark(1, 0)).is_none());
        }
        assert!(pool.known.len() <= MAX_PACKETS + 1 && pool.held <= MAX_HELD);
        assert!(pool.order.len() <= MAX_PACKETS + 1);
    }
}
