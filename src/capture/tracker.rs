//! Segments of all connections -> the leg each belongs to, by 4-tuple and SYN epoch; idle legs are never split, plain ones are let go.

use super::leg::{Leg, Yield};
use super::packet::{Endpoint, Segment};
use crate::model::{Anomaly, LegObservation, LegProtocol, Mark, add_anomaly};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

/// Legs without a byte of payload that are kept: a port scan must not fill the memory.
const MAX_UNUSED: usize = 100_000;
/// Plain legs remembered after their end, so that a late packet starts no new leg.
const MAX_TOMBS: usize = 65_536;

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

#[derive(Debug)]
struct Slot {
    key: Key,
    /// Where it lies in `legs`; `GONE` for a plain leg that ended.
    leg: usize,
}

const GONE: usize = usize::MAX;

#[derive(Debug)]
pub(super) struct Tracker {
    vantage: u32,
    hasher: RandomState,
    table: HashTable<Slot>,
    legs: Vec<Option<Box<Leg>>>,
    free: Vec<usize>,
    /// Legs whose 4-tuple another connection took over; they move here as they are, boxes and all.
    #[allow(clippy::vec_box)]
    done: Vec<Box<Leg>>,
    /// Legs without payload when they were last looked at, oldest first.
    unused: VecDeque<usize>,
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
            legs: Vec::new(),
            free: Vec::new(),
            done: Vec::new(),
            unused: VecDeque::new(),
            tombs: VecDeque::new(),
            dropped: 0,
            conflicts: 0,
            up: Yield::default(),
        }
    }

    pub(super) fn segment(&mut self, segment: &Segment<'_>, mark: Mark) {
        let (key, side) = Key::of(segment);
        let hash = self.hasher.hash_one(key);
        let known = self.table.find(hash, |s| s.key == key).map(|s| s.leg);
        let mut at = known.filter(|&l| l != GONE);
        if let Some(leg) = at
            .and_then(|l| self.legs.get_mut(l))
            .and_then(Option::as_mut)
        {
            if leg.is_copy(side, segment, mark.at) {
                return;
            }
            if leg.ended_before(side, segment)
                && let Some(l) = at.take()
            {
                self.retire(l);
            }
        } else if known.is_some() && segment.payload_len == 0 && !segment.has(super::packet::SYN) {
            // The tail of a plain leg that is gone.
            return;
        } else {
            at = None;
        }
        let at = at.unwrap_or_else(|| self.open(hash, key, side, segment, mark));
        let Some(leg) = self.legs.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        if known.is_none() || leg.first() == mark {
            // Its own first packet, so that the copy of it is known.
            let _ = leg.is_copy(side, segment, mark.at);
        }
        leg.packet(side, segment, mark, &mut self.up);
        if leg.closed() && leg.plain() {
            self.bury(hash, key, at);
        }
    }

    fn open(
        &mut self,
        hash: u64,
        key: Key,
        side: usize,
        segment: &Segment<'_>,
        mark: Mark,
    ) -> usize {
        let leg = Some(Box::new(Leg::new(self.vantage, key.0, side, segment, mark)));
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(slot) = self.legs.get_mut(at) {
                    *slot = leg;
                }
                at
            }
            None => {
                self.legs.push(leg);
                self.legs.len() - 1
            }
        };
        let hasher = &self.hasher;
        match self
            .table
            .entry(hash, |s| s.key == key, |s| hasher.hash_one(s.key))
        {
            Entry::Occupied(mut slot) => slot.get_mut().leg = at,
            Entry::Vacant(slot) => {
                slot.insert(Slot { key, leg: at });
            }
        }
        self.unused.push_back(at);
        if self.unused.len() > MAX_UNUSED {
            self.sift();
        }
        at
    }

    /// Lets go of the oldest legs without payload once there are too many.
    fn sift(&mut self) {
        let legs = &self.legs;
        let mut seen = HashSet::new();
        self.unused.retain(|&at| {
            seen.insert(at)
                && legs
                    .get(at)
                    .and_then(Option::as_ref)
                    .is_some_and(|l| !l.used())
        });
        if self.unused.len() <= MAX_UNUSED * 3 / 4 {
            return;
        }
        for _ in 0..MAX_UNUSED / 4 {
            let Some(at) = self.unused.pop_front() else {
                return;
            };
            let Some(leg) = self.legs.get_mut(at).and_then(Option::take) else {
                continue;
            };
            let key = Key(leg.ends());
            let hash = self.hasher.hash_one(key);
            if let Ok(slot) = self.table.find_entry(hash, |s| s.key == key && s.leg == at) {
                slot.remove();
            }
            self.free.push(at);
            self.dropped += 1;
        }
    }

    fn retire(&mut self, at: usize) {
        if let Some(mut leg) = self.legs.get_mut(at).and_then(Option::take) {
            self.free.push(at);
            self.conflicts += u64::from(leg.conflicts());
            leg.end(&mut self.up);
            if leg.doubtful() {
                leg.hand_up(&mut self.up);
            } else if !leg.plain() {
                self.done.push(leg);
            }
        }
    }

    fn bury(&mut self, hash: u64, key: Key, at: usize) {
        if let Some(mut leg) = self.legs.get_mut(at).and_then(Option::take) {
            self.conflicts += u64::from(leg.conflicts());
            leg.end(&mut self.up);
            if leg.doubtful() {
                leg.hand_up(&mut self.up);
            }
        }
        self.free.push(at);
        if let Some(slot) = self.table.find_mut(hash, |s| s.key == key) {
            slot.leg = GONE;
        }
        self.tombs.push_back(key);
        if self.tombs.len() > MAX_TOMBS
            && let Some(old) = self.tombs.pop_front()
        {
            let hash = self.hasher.hash_one(old);
            if let Ok(slot) = self
                .table
                .find_entry(hash, |s| s.key == old && s.leg == GONE)
            {
                slot.remove();
            }
        }
    }

    /// Anomalies since the last call, for the file at hand.
    pub(super) fn anomalies(&mut self, anomalies: &mut Vec<Anomaly>) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let note = "connections without a byte of payload beyond 100000 were left out, the oldest first";
            add_anomaly(anomalies, "too-many-unused-legs", dropped, 0, note);
        }
        let live: u64 = self
            .legs
            .iter()
            .flatten()
            .map(|l| u64::from(l.conflicts()))
            .sum();
        let conflicts = live + self.conflicts;
        self.conflicts = 0;
        if conflicts > 0 {
            let note = "a segment was sent again with other bytes: the first ones were used";
            add_anomaly(anomalies, "conflicting-retransmission", conflicts, 0, note);
        }
    }

    /// Every leg that concerns WebSockets, in order of its first packet.
    pub(super) fn finish(self) -> Vec<LegObservation> {
        let Self {
            mut up, legs, done, ..
        } = self;
        up.frames_wanted = false;
        let mut legs: Vec<Box<Leg>> = done.into_iter().chain(legs.into_iter().flatten()).collect();
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
}

/// Where a request leads: the server, and the path without its query.
fn route(leg: &LegObservation) -> Option<(std::net::SocketAddr, String)> {
    let uri = &leg.request.as_ref()?.uri;
    Some((leg.server, uri.split('?').next().unwrap_or(uri).to_owned()))
}
