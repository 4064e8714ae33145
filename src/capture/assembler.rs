//! The segments of one flow, in any order -> its bytes in order, with what was sent twice and what the capture does not hold.

use crate::model::{MILLI_NS, Mark, Moment, SECOND_NS};

/// Bytes held of one flow while a hole before them may still be filled.
const MAX_HELD: usize = 1024 * 1024;
const MAX_HELD_SEGMENTS: usize = 4096;
/// A captured acknowledgement may stand before the data it covers (several capture queues): wait this long.
const PATIENCE_NS: i64 = 20 * MILLI_NS;
/// Where no acknowledgement is ever captured, a hole older than the usual retransmission is a loss.
const BLIND_PATIENCE_NS: i64 = 3 * SECOND_NS;

/// `a - b` on the circle of sequence numbers (RFC 9293 3.4).
pub(super) const fn distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// What a segment with payload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Bytes of the segment from here on continue the flow.
    InOrder { skip: u32 },
    /// As `InOrder`, behind bytes that were already there.
    PartlyOld { skip: u32 },
    /// As `InOrder`, into a hole before held bytes.
    Late { skip: u32 },
    /// All of it was there before.
    Old,
    /// Held until the hole before it closes.
    Early,
}

/// What follows, once a hole is closed or given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data {
        bytes: Vec<u8>,
        wire_len: u32,
        mark: Mark,
    },
    /// So many bytes are in no packet of the capture.
    Gap { bytes: u32 },
}

#[derive(Debug)]
struct Held {
    seq: u32,
    wire_len: u32,
    bytes: Vec<u8>,
    mark: Mark,
}

/// The memory that the held bytes of a lane's flows share.
#[derive(Debug, Default)]
pub(super) struct Budget {
    pub(super) used: usize,
}

/// Held bytes over all flows of a lane.
const MAX_BUDGET: usize = 96 * 1024 * 1024 / super::LANES;

/// Where a flow stands, in two words: what waits behind a hole is held elsewhere, and only while there is one.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The next byte expected; meaningless until `synced`.
    next: u32,
    synced: bool,
    /// No SYN and no payload told `next`, only an empty segment: it may be one short (a keep-alive probe).
    soft: bool,
    /// Held bytes and their retransmission differ.
    pub(super) conflicts: u16,
    hole: Option<Box<Hole>>,
}

/// Bytes are missing.
#[derive(Debug)]
struct Hole {
    since: Moment,
    /// What came behind it, by sequence number.
    held: Vec<Held>,
    held_bytes: usize,
}

impl Hole {
    fn at(since: Moment) -> Box<Self> {
        Box::new(Self {
            since,
            held: Vec::new(),
            held_bytes: 0,
        })
    }

    fn full(&self, budget: &Budget) -> bool {
        self.held_bytes > MAX_HELD
            || self.held.len() > MAX_HELD_SEGMENTS
            || budget.used > MAX_BUDGET
    }
}

impl Assembler {
    pub(super) const fn next(&self) -> Option<u32> {
        if self.synced { Some(self.next) } else { None }
    }

    /// `seq` is the next byte, and nothing is missing or in doubt.
    pub(super) const fn expects(&self, seq: u32) -> bool {
        self.next == seq && self.whole()
    }

    /// Everything before `seq` came, and nothing is missing or in doubt.
    pub(super) const fn reaches(&self, seq: u32) -> bool {
        self.whole() && distance(seq, self.next) <= 0
    }

    /// Nothing is missing or in doubt.
    const fn whole(&self) -> bool {
        self.synced && !self.soft && self.hole.is_none()
    }

    /// The next `len` bytes came where nothing is missing.
    pub(super) const fn advance(&mut self, len: u32) {
        self.next = self.next.wrapping_add(len);
    }

    /// A SYN was seen: its sequence number counts one (RFC 9293 3.4).
    pub(super) const fn start(&mut self, first_byte: u32) {
        self.next = first_byte;
        self.synced = true;
        self.soft = false;
    }

    /// An empty segment tells where the flow stands when nothing else did.
    pub(super) const fn hint(&mut self, seq: u32) {
        if !self.synced {
            self.next = seq;
            self.synced = true;
            self.soft = true;
        } else if self.soft && distance(seq, self.next) == 1 {
            self.next = seq;
        }
    }

    /// The next byte, and whether only an empty segment told it, where nothing is missing and no byte was ever doubtful.
    pub(super) fn at_rest(&self) -> Option<(u32, bool)> {
        let calm = self.synced && self.hole.is_none() && self.conflicts == 0;
        calm.then_some((self.next, self.soft))
    }

    pub(super) fn has_held(&self) -> bool {
        self.hole.as_ref().is_some_and(|h| !h.held.is_empty())
    }

    /// Nanoseconds since held bytes wait for what is missing before them.
    pub(super) fn hole_age(&self, at: Moment) -> Option<i64> {
        self.hole.as_ref().map(|hole| at.since(hole.since))
    }

    /// Takes a segment's payload; `bytes` is what was captured of `wire_len`.
    pub(super) fn push(
        &mut self,
        seq: u32,
        bytes: &[u8],
        wire_len: u32,
        mark: Mark,
        budget: &mut Budget,
    ) -> Arrival {
        if !self.synced {
            self.start(seq);
        } else if self.soft {
            if distance(seq, self.next) == 1 {
                self.next = seq;
            }
            self.soft = false;
        }
        let ahead = distance(seq, self.next);
        if ahead == 0 {
            self.next = self.next.wrapping_add(wire_len);
            return if self.has_held() {
                Arrival::Late { skip: 0 }
            } else {
                Arrival::InOrder { skip: 0 }
            };
        }
        if ahead < 0 {
            let old = ahead.unsigned_abs();
            if old >= wire_len {
                return Arrival::Old;
            }
            self.next = self.next.wrapping_add(wire_len - old);
            return Arrival::PartlyOld { skip: old };
        }
        self.hold(seq, bytes, wire_len, mark, budget)
    }

    fn hold(
        &mut self,
        seq: u32,
        bytes: &[u8],
        wire_len: u32,
        mark: Mark,
        budget: &mut Budget,
    ) -> Arrival {
        let hole = self.hole.get_or_insert_with(|| Hole::at(mark.at));
        let at = hole.held.partition_point(|h| distance(h.seq, seq) < 0);
        if let Some(same) = hole.held.get(at).filter(|h| h.seq == seq) {
            let common = same.bytes.len().min(bytes.len());
            if same.bytes.get(..common) != bytes.get(..common) {
                self.conflicts = self.conflicts.saturating_add(1);
            }
            if same.wire_len >= wire_len {
                return Arrival::Old;
            }
        }
        hole.held_bytes += bytes.len();
        budget.used += bytes.len();
        hole.held.insert(
            at,
            Held {
                seq,
                wire_len,
                bytes: bytes.to_vec(),
                mark,
            },
        );
        Arrival::Early
    }

    /// What can be handed on now. `acked` is the peer's highest acknowledgement, without its FIN's one; `force` gives every hole up.
    pub(super) fn pop(
        &mut self,
        acked: Option<u32>,
        at: Moment,
        force: bool,
        budget: &mut Budget,
    ) -> Option<Piece> {
        if !self.synced {
            return None;
        }
        loop {
            let Some((hole, first)) = self.hole.as_mut().and_then(|hole| {
                let first = hole.held.first()?.seq;
                Some((hole, first))
            }) else {
                return self.tail_gap(acked, at, force);
            };
            let ahead = distance(first, self.next);
            if ahead > 0 {
                let missing = ahead.unsigned_abs();
                let acked_past = acked.is_some_and(|a| distance(a, first) >= 0);
                let waited = at.since(hole.since);
                let given_up = force
                    || (acked_past && waited >= PATIENCE_NS)
                    || (acked.is_none() && waited >= BLIND_PATIENCE_NS)
                    || hole.full(budget);
                if !given_up {
                    return None;
                }
                self.next = first;
                return Some(Piece::Gap { bytes: missing });
            }
            let Held {
                wire_len,
                mut bytes,
                mark,
                ..
            } = hole.held.remove(0);
            hole.held_bytes = hole.held_bytes.saturating_sub(bytes.len());
            budget.used = budget.used.saturating_sub(bytes.len());
            hole.since = at;
            if hole.held.is_empty() {
                self.hole = None;
            }
            let old = ahead.unsigned_abs();
            if old >= wire_len {
                continue;
            }
            bytes.drain(..bytes.len().min(old as usize));
            self.next = self.next.wrapping_add(wire_len - old);
            return Some(Piece::Data {
                bytes,
                wire_len: wire_len - old,
                mark,
            });
        }
    }

    /// Bytes that the peer acknowledged and that never came.
    fn tail_gap(&mut self, acked: Option<u32>, at: Moment, force: bool) -> Option<Piece> {
        let missing = acked.map_or(0, |a| distance(a, self.next));
        if missing <= 0 {
            self.hole = None;
            return None;
        }
        if self.soft && missing == 1 {
            self.next = self.next.wrapping_add(1);
            return None;
        }
        let since = self.hole.get_or_insert_with(|| Hole::at(at)).since;
        if !force && at.since(since) < PATIENCE_NS {
            return None;
        }
        self.hole = None;
        self.next = self.next.wrapping_add(missing.unsigned_abs());
        Some(Piece::Gap {
            bytes: missing.unsigned_abs(),
        })
    }

    /// The flow is over: what it held is given back.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        if let Some(hole) = self.hole.take() {
            budget.used = budget.used.saturating_sub(hole.held_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RecordRef, SourceId};
    use proptest::prelude::*;

    fn mark(ordinal: u64) -> Mark {
        let record = RecordRef {
            source: SourceId(0),
            ordinal,
            start: 0,
            len: 0,
        };
        Mark {
            at: Moment::from_millis(ordinal as i64),
            record,
        }
    }

    /// The flow's bytes, `_` for each lost one.
    fn check(segments: &[(u32, &str)], acked: Option<u32>, expected: &str) {
        let mut asm = Assembler::default();
        let mut budget = Budget::default();
        asm.start(u32::MAX - 1);
        let base = u32::MAX - 1;
        let mut out = String::new();
        for (n, (offset, text)) in segments.iter().enumerate() {
            let m = mark(n as u64);
            match asm.push(
                base.wrapping_add(*offset),
                text.as_bytes(),
                text.len() as u32,
                m,
                &mut budget,
            ) {
                Arrival::InOrder { skip }
                | Arrival::PartlyOld { skip }
                | Arrival::Late { skip } => out.push_str(&text[skip as usize..]),
                Arrival::Old | Arrival::Early => {}
            }
            drain(&mut asm, None, false, &mut out, &mut budget);
        }
        drain(
            &mut asm,
            acked.map(|a| base.wrapping_add(a)),
            false,
            &mut out,
            &mut budget,
        );
        assert_eq!(out, expected, "{segments:?}");
    }

    fn drain(
        asm: &mut Assembler,
        acked: Option<u32>,
        force: bool,
        out: &mut String,
        budget: &mut Budget,
    ) {
        let late = Moment::from_millis(1000);
        while let Some(piece) = asm.pop(
            acked,
            if acked.is_some() { late } else { Moment(0) },
            force,
            budget,
        ) {
            match piece {
                Piece::Data { bytes, .. } => out.push_str(std::str::from_utf8(&bytes).unwrap()),
                Piece::Gap { bytes } => out.push_str(&"_".repeat(bytes as usize)),
            }
        }
    }

    #[test]
    fn segments_become_a_flow() {
        check(&[(0, "abc"), (3, "def")], None, "abcdef");
        check(&[(3, "def"), (0, "abc")], None, "abcdef");
        check(&[(0, "abc"), (0, "abc"), (3, "def")], None, "abcdef");
        check(&[(0, "abc"), (1, "bcde")], None, "abcde");
        check(
            &[(0, "abc"), (6, "gh"), (4, "efgh"), (3, "d")],
            None,
            "abcdefgh",
        );
        check(&[(0, "abc"), (6, "gh")], None, "abc");
        check(&[(0, "abc"), (6, "gh")], Some(8), "abc___gh");
        check(&[(0, "abc"), (6, "gh")], Some(3), "abc");
    }

    proptest! {
        #[test]
        fn any_segmentation_gives_the_same_bytes(
            stream in proptest::collection::vec(any::<u8>(), 1..400),
            cuts in proptest::collection::vec((0usize..400, 1usize..80), 0..60),
            base: u32, order in proptest::collection::vec(any::<u16>(), 80),
        ) {
            let mut parts: Vec<(usize, usize)> = cuts.iter().map(|&(from, len)| (from.min(stream.len() - 1), len)).collect();
            let mut at = 0;
            while at < stream.len() {
                parts.push((at, 37));
                at += 37;
            }
            let mut keyed: Vec<(u16, (usize, usize))> =
                parts.iter().enumerate().map(|(i, p)| (order[i % order.len()].wrapping_add(i as u16), *p)).collect();
            keyed.sort_unstable();
            let mut asm = Assembler::default();
            let mut budget = Budget::default();
            asm.start(base);
            let mut out = Vec::new();
            for (n, (_, (from, len))) in keyed.into_iter().enumerate() {
                let bytes = &stream[from..(from + len).min(stream.len())];
                match asm.push(base.wrapping_add(from as u32), bytes, bytes.len() as u32, mark(n as u64), &mut budget) {
                    Arrival::InOrder { skip } | Arrival::PartlyOld { skip } | Arrival::Late { skip } => out.extend_from_slice(&bytes[skip as usize..]),
                    Arrival::Old | Arrival::Early => {}
                }
                while let Some(piece) = asm.pop(None, Moment(0), false, &mut budget) {
                    match piece {
                        Piece::Data { bytes, .. } => out.extend_from_slice(&bytes),
                        Piece::Gap { .. } => prop_assert!(false, "nothing was lost"),
                    }
                }
            }
            prop_assert_eq!(out, stream);
            prop_assert_eq!(budget.used, 0);
        }
    }
}
