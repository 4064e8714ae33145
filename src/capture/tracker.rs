//! Segments of all connections -> the leg each belongs to, by 4-tuple and SYN epoch; idle legs are never split, plain ones are let go.

use super::LANES;
use super::leg::{Leg, Yield};
use super::packet::{Endpoint, SYN, Segment};
use crate::model::{Anomaly, LegObservation, LegProtocol, Mark, RecordRef, add_anomaly};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

/// Legs without a byte of payload that are kept: a port scan must not fill the memory.
const MAX_UNUSED: usize = 100_000 / LANES;
/// Plain legs remembered after their end, so that a late packet starts no new leg.
const MAX_TOMBS: usize = 65_536 / LANES;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key([Endpoint; 2]);

impl Key {
    /// The key, and which of its ends sent the segment.
    fn of(segment: &Segment<'_>) -> (Self, usize) {
        if segment.src <= segment.dst {
            (Self([segment.src, segment.dst]), 0)
        } else {
            (Self([segment.dst, segment.src]), 1)
        }
    }
}

/// The lane of a segment's leg, the same both ways.
pub(super) fn lane(segment: &Segment<'_>) -> usize {
    let (a, b) = (segment.src.bits(), segment.dst.bits());
    // Both ends count alike; the upper bits of the product depend on all of theirs.
    let mixed = (a.wrapping_add(b) ^ (a ^ b).rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as usize % LANES
}

/// Reads what the segments will need, so that the processor fetches it for all of them at once.
pub(super) fn prepare<const N: usize>(
    trackers: &[Tracker],
    segments: &[Option<(usize, Segment<'_>, Mark)>; N],
) {
    let mut legs = [const { None }; N];
    for (slot, (lane, segment, _)) in legs.iter_mut().zip(segments.iter().flatten()) {
        let (key, side) = Key::of(segment);
        let leg = trackers.get(*lane).and_then(|t| t.find(&key));
        *slot = leg.map(|leg| (leg, side));
    }
    let sum = legs.iter().flatten().fold(0, |sum: u64, (leg, side)| {
        sum.wrapping_add(leg.touch(*side))
    });
    let deep = legs.iter().flatten().fold(0, |sum: u64, (leg, side)| {
        sum.wrapping_add(leg.touch_deep(*side))
    });
    std::hint::black_box((sum, deep));
}

/// A leg is large and changes its place: from the table to the list of those that are over.
type OwnedLeg = Box<Leg>;

#[derive(Debug)]
struct Slot {
    key: Key,
    /// `None` for a plain leg that ended.
    leg: Option<Box<Leg>>,
}

#[derive(Debug)]
pub(super) struct Tracker {
    vantage: u32,
    hasher: RandomState,
    table: HashTable<Slot>,
    /// Legs whose 4-tuple another connection took over.
    done: Vec<OwnedLeg>,
    /// Legs without payload when they were last looked at, oldest first, by their first packet.
    unused: VecDeque<(Key, RecordRef)>,
    tombs: VecDeque<Key>,
    dropped: u64,
    conflicts: u64,
    pub(super) up: Yield,
}

impl Tracker {
    pub(super) fn new(vantage: u32) -> Self {
        Self {
            vantage,
            hasher: RandomState::default(),
            table: HashTable::new(),
            done: Vec::new(),
            unused: VecDeque::new(),
            tombs: VecDeque::new(),
            dropped: 0,
            conflicts: 0,
            up: Yield::default(),
        }
    }

    fn find(&self, key: &Key) -> Option<&Leg> {
        let slot = self
            .table
            .find(self.hasher.hash_one(key), |s| s.key == *key);
        slot.and_then(|s| s.leg.as_deref())
    }

    pub(super) fn segment(&mut self, segment: &Segment<'_>, mark: Mark) {
        let (key, side) = Key::of(segment);
        let hash = self.hasher.hash_one(key);
        let hasher = &self.hasher;
        let mut slot = match self
            .table
            .entry(hash, |s| s.key == key, |s| hasher.hash_one(s.key))
        {
            Entry::Occupied(slot) => {
                let tail = segment.payload_len == 0 && !segment.has(SYN);
                if slot.get().leg.is_none() && tail {
                    // The last packets of a plain leg that is gone.
                    return;
                }
                slot
            }
            Entry::Vacant(slot) => slot.insert(Slot { key, leg: None }),
        };
        let known = slot.get_mut();
        let mut old = None;
        if let Some(leg) = &mut known.leg {
            if leg.is_copy(side, segment, mark.at) {
                return;
            }
            if leg.ended_before(side, segment) {
                old = known.leg.take();
            }
        }
        let fresh = known.leg.is_none();
        let leg = known.leg.get_or_insert_with(|| {
            let mut leg = Box::new(Leg::new(self.vantage, key.0, side, segment, mark));
            // Its own first packet, so that the copy of it is known.
            let _ = leg.is_copy(side, segment, mark.at);
            leg
        });
        leg.packet(side, segment, mark, &mut self.up);
        if leg.closed() {
            if leg.plain() {
                let leg = known.leg.take();
                self.bury(key, leg);
            } else {
                leg.settle();
            }
        }
        if let Some(old) = old {
            self.retire(old);
        }
        if fresh {
            self.unused.push_back((key, mark.record));
            if self.unused.len() > MAX_UNUSED {
                self.sift();
            }
        }
    }

    /// Lets go of the oldest legs without payload once there are too many.
    fn sift(&mut self) {
        let Self {
            table,
            hasher,
            unused,
            ..
        } = self;
        unused.retain(|(key, first)| {
            let slot = table.find(hasher.hash_one(key), |s| s.key == *key);
            let leg = slot.and_then(|s| s.leg.as_ref());
            leg.is_some_and(|l| l.first().record == *first && !l.used())
        });
        if self.unused.len() <= MAX_UNUSED * 3 / 4 {
            return;
        }
        for _ in 0..MAX_UNUSED / 4 {
            let Some((key, _)) = self.unused.pop_front() else {
                return;
            };
            let hash = self.hasher.hash_one(key);
            if let Ok(slot) = self.table.find_entry(hash, |s| s.key == key) {
                slot.remove();
                self.dropped += 1;
            }
        }
    }

    fn retire(&mut self, mut leg: Box<Leg>) {
        self.conflicts += u64::from(leg.conflicts());
        leg.end(&mut self.up);
        if leg.doubtful() {
            leg.hand_up(&mut self.up);
        } else if !leg.plain() {
            self.done.push(leg);
        }
    }

    /// A plain leg is over: its place stays, for a late packet to fall into.
    fn bury(&mut self, key: Key, leg: Option<Box<Leg>>) {
        if let Some(mut leg) = leg {
            self.conflicts += u64::from(leg.conflicts());
            leg.end(&mut self.up);
            if leg.doubtful() {
                leg.hand_up(&mut self.up);
            }
        }
        self.tombs.push_back(key);
        if self.tombs.len() > MAX_TOMBS
            && let Some(old) = self.tombs.pop_front()
        {
            let hash = self.hasher.hash_one(old);
            if let Ok(slot) = self
                .table
                .find_entry(hash, |s| s.key == old && s.leg.is_none())
            {
                slot.remove();
            }
        }
    }

    /// Anomalies since the last call, for the file at hand.
    pub(super) fn anomalies(&mut self) -> Vec<Anomaly> {
        let mut anomalies = std::mem::take(&mut self.up.anomalies);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let note = "connections without a byte of payload beyond 100000 were left out, the oldest first";
            add_anomaly(&mut anomalies, "too-many-unused-legs", dropped, 0, note);
        }
        let live: u64 = self
            .table
            .iter()
            .filter_map(|s| s.leg.as_ref())
            .map(|l| u64::from(l.conflicts()))
            .sum();
        let conflicts = live + self.conflicts;
        self.conflicts = 0;
        if conflicts > 0 {
            let note = "a segment was sent again with other bytes: the first ones were used";
            let kind = "conflicting-retransmission";
            add_anomaly(&mut anomalies, kind, conflicts, 0, note);
        }
        anomalies
    }
}

/// Legs as they stand while the reading goes on: those that are over first, and `most` of them or a few more.
pub(super) fn so_far(trackers: &[Tracker], most: usize) -> Vec<LegObservation> {
    let mut up = Yield::default();
    for tracker in trackers {
        let room = most.saturating_sub(up.observations.len());
        let parts = tracker.up.observations.iter().take(room);
        up.observations.extend(parts.cloned());
    }
    for over in [true, false] {
        for tracker in trackers {
            let live = tracker.table.iter().filter_map(|s| s.leg.as_ref());
            let done = tracker.done.iter().filter(|_| over);
            let legs = done.chain(live.filter(|l| l.closed() == over));
            for leg in legs.filter(|l| !l.plain() && !l.doubtful()) {
                if up.observations.len() >= most {
                    return up.observations;
                }
                leg.hand_up(&mut up);
            }
        }
    }
    up.observations
}

/// Every leg that concerns WebSockets, in order of its first packet.
pub(super) fn finish(trackers: Vec<Tracker>) -> Vec<LegObservation> {
    let mut up = Yield::default();
    let mut legs: Vec<OwnedLeg> = Vec::new();
    for tracker in trackers {
        legs.extend(tracker.done);
        legs.extend(tracker.table.into_iter().filter_map(|s| s.leg));
        up.join(tracker.up);
    }
    legs.sort_by_key(|l| (l.first().at, l.first().record));
    for leg in &mut legs {
        leg.end(&mut up);
    }
    let servers: HashSet<Endpoint> = legs.iter().filter_map(|l| l.websocket_server()).collect();
    for leg in &mut legs {
        leg.confirm_with(|end| servers.contains(end), &mut up);
    }
    // One leg at a time is turned into its observation and let go.
    for leg in legs {
        leg.hand_up(&mut up);
    }
    let Yield {
        observations: mut all,
        doubtful,
        ..
    } = up;
    let known: HashSet<_> = all
        .iter()
        .filter(|o| o.protocol == LegProtocol::WebSocket)
        .filter_map(route)
        .collect();
    let asked: Vec<_> = doubtful
        .into_iter()
        .filter(|o| route(o).is_some_and(|r| known.contains(&r)))
        .collect();
    all.extend(asked);
    all.sort_by(|a, b| {
        let key = |o: &LegObservation| {
            (
                o.first.at,
                o.first.record.source,
                o.first.record.ordinal,
                o.request.as_ref().map(|r| r.mark.record.ordinal),
            )
        };
        key(a).cmp(&key(b))
    });
    all
}

/// Where a request leads: the server, and the path without its query.
fn route(leg: &LegObservation) -> Option<(std::net::SocketAddr, String)> {
    let uri = &leg.request.as_ref()?.uri;
    Some((leg.server, uri.split('?').next().unwrap_or(uri).to_owned()))
}
