//! Segments of all connections -> the leg each belongs to, by 4-tuple and SYN epoch; idle legs are never split, plain ones are let go.

use super::ends::{Endpoint, Ends, Seeds};
use super::index::Index;
use super::leg::{Idle, Leg, Yield};
use super::packet::{ACK, FIN, RST, SYN, Segment};
use super::spot::Spot;
use super::{BATCH, LANES};
use crate::model::{Anomaly, LegObservation, LegProtocol, Mark, RecordRef, add_anomaly};
use std::collections::{HashSet, VecDeque};

/// Legs without a byte of payload that are kept: a port scan must not fill the memory.
const MAX_UNUSED: usize = 100_000 / LANES;
/// Plain legs remembered after their end, so that a late packet starts no new leg.
const MAX_TOMBS: usize = 65_536 / LANES;

/// A segment that arrived, and where its leg is looked for.
#[derive(Debug)]
pub(super) struct Arrived<'b> {
    segment: Segment<'b>,
    pub(super) spot: Spot,
    /// Which of the vantage point's trackers follows it.
    pub(super) tracker: usize,
    hash: u32,
    /// Where its leg was when the batch began; a guess.
    place: u32,
    /// What the index says at first sight.
    told: u64,
}

/// No place.
const NOWHERE: u32 = u32::MAX;

impl<'b> Arrived<'b> {
    #[inline(always)]
    pub(super) fn new(number: usize, segment: Segment<'b>, spot: Spot, tracker: &Tracker) -> Self {
        let hash = segment.ends.hash(&tracker.seeds);
        Self {
            hash,
            segment,
            spot,
            tracker: number,
            place: NOWHERE,
            told: 0,
        }
    }
}

/// Legs of which each packet needs a kilobyte, that the second level of a cache holds.
const FEW: u32 = 500;

/// Finds where each segment belongs, and reads what it will need, so that the processor fetches it for all of them at once.
#[inline(never)]
pub(super) fn prepare(trackers: &[Tracker], arrived: &mut [Arrived<'_>]) {
    // What a few legs need is in the cache already.
    if trackers.iter().map(|t| t.slab.taken).sum::<u32>() < FEW {
        for packet in arrived {
            if let Some(tracker) = trackers.get(packet.tracker) {
                packet.place = tracker.guess(tracker.index.first(packet.hash), packet.hash);
            }
        }
        return;
    }
    // Steps so short that the processor has the waits of many packets before it: what a packet needs next stands behind what it waits for.
    for packet in &mut *arrived {
        if let Some(tracker) = trackers.get(packet.tracker) {
            packet.told = tracker.index.first(packet.hash);
        }
    }
    let mut sum = 0u64;
    for packet in &mut *arrived {
        if let Some(tracker) = trackers.get(packet.tracker) {
            packet.place = tracker.guess(packet.told, packet.hash);
            let slot = tracker.slab.get(packet.place);
            sum = sum.wrapping_add(slot.map_or(0, |s| s.ends.touch()));
        }
    }
    let mut legs = [const { None }; BATCH];
    for (found, packet) in legs.iter_mut().zip(&*arrived) {
        let slot = trackers
            .get(packet.tracker)
            .and_then(|t| t.slab.get(packet.place));
        if let Some(Slot {
            state: State::Leg(leg),
            ..
        }) = slot
        {
            let side = usize::from(packet.segment.side);
            sum = sum.wrapping_add(leg.touch(side));
            *found = Some((&**leg, side));
        }
    }
    for (leg, side) in legs.iter().flatten() {
        sum = sum.wrapping_add(leg.touch_deep(*side));
    }
    std::hint::black_box(sum);
}

/// A leg is large and changes its place: from the table to the list of those that are over.
type OwnedLeg = Box<Leg>;

#[derive(Debug)]
enum State {
    Free,
    /// A plain leg that ended.
    Over,
    Plain(Plain),
    Idle(Box<Idle>),
    Leg(OwnedLeg),
}

/// Legs of a lane, beyond which those that wait for a request are put away until it comes: it takes time, and saves memory.
const MANY: u32 = 4096;

/// A leg that spoke something else: all that is still of interest is where it ends and the next one begins.
#[derive(Debug, Clone, Copy)]
struct Plain {
    isn: [u32; 2],
    /// By side: its initial sequence number is known, it sent something, it sent a FIN.
    opened: u8,
    heard: u8,
    finished: u8,
    reset: bool,
}

impl Plain {
    fn of(leg: &Leg) -> Self {
        let bits = |what: [bool; 2]| u8::from(what[0]) | u8::from(what[1]) << 1;
        let isn = leg.initial();
        Self {
            isn: isn.map(|n| n.unwrap_or(0)),
            opened: bits(isn.map(|n| n.is_some())),
            heard: bits(leg.heard_of()),
            finished: bits(leg.finished()),
            reset: false,
        }
    }

    /// As [`Leg::ended_before`], which knows the reasons.
    fn ended_before(&self, side: usize, segment: &Segment<'_>) -> bool {
        let bit = 1 << side;
        if !segment.has(SYN) {
            return false;
        }
        if self.opened & bit != 0 {
            self.isn.get(side).is_some_and(|&isn| isn != segment.seq)
        } else if segment.has(ACK) {
            self.heard & bit != 0
        } else {
            self.heard != 0
        }
    }

    fn packet(&mut self, side: usize, segment: &Segment<'_>) {
        let bit = 1 << side;
        self.heard |= bit;
        self.reset |= segment.has(RST);
        if segment.has(RST) {
            return;
        }
        if segment.has(SYN)
            && self.opened & bit == 0
            && let Some(isn) = self.isn.get_mut(side)
        {
            *isn = segment.seq;
            self.opened |= bit;
        }
        if segment.has(FIN) {
            self.finished |= bit;
        }
    }

    const fn closed(&self) -> bool {
        self.reset || self.finished == 3
    }
}

/// Within one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    ends: Ends,
    state: State,
}

const CHUNK: usize = 1024;

/// The legs by their place. Chunks, so that growing moves none of them and leaves little unused.
#[derive(Debug, Default)]
struct Slab {
    chunks: Vec<Vec<Slot>>,
    free: Vec<u32>,
    taken: u32,
}

impl Slab {
    fn get(&self, place: u32) -> Option<&Slot> {
        let place = place as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Slot> {
        let place = place as usize;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    fn add(&mut self, slot: Slot) -> u32 {
        self.taken += 1;
        if let Some(place) = self.free.pop()
            && let Some(old) = self.get_mut(place)
        {
            *old = slot;
            return place;
        }
        if self.chunks.last().is_none_or(|c| c.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let Some(chunk) = self.chunks.last_mut() else {
            return 0;
        };
        chunk.push(slot);
        u32::try_from(before + chunk.len() - 1).unwrap_or(u32::MAX)
    }

    fn remove(&mut self, place: u32) {
        if let Some(slot) = self.get_mut(place) {
            slot.state = State::Free;
            self.free.push(place);
            self.taken -= 1;
        }
    }

    fn legs(&self) -> impl Iterator<Item = &Leg> {
        self.chunks.iter().flatten().filter_map(|s| match &s.state {
            State::Leg(leg) => Some(&**leg),
            _ => None,
        })
    }

    /// Those that something is made of.
    fn into_legs(self, vantage: u32) -> impl Iterator<Item = OwnedLeg> {
        let slots = self.chunks.into_iter().flatten();
        slots.filter_map(move |s| match s.state {
            State::Leg(leg) => Some(leg),
            // One that was never used is told of.
            State::Idle(idle) if idle.silent() => Some(Box::new(idle.wake(vantage, s.ends.both()))),
            _ => None,
        })
    }
}

#[derive(Debug)]
pub(super) struct Tracker {
    vantage: u32,
    seeds: Seeds,
    index: Index,
    slab: Slab,
    /// Legs whose 4-tuple another connection took over.
    done: Vec<OwnedLeg>,
    /// Legs without payload when they were last looked at, oldest first, by their first packet.
    unused: VecDeque<(Ends, RecordRef)>,
    tombs: VecDeque<u32>,
    dropped: u64,
    conflicts: u64,
    /// Beyond so many legs, those that wait are put away.
    pub(super) most_awake: u32,
    /// Every packet goes the long way.
    #[cfg(test)]
    pub(super) long_way: bool,
    pub(super) up: Yield,
}

impl Tracker {
    pub(super) fn new(vantage: u32, seeds: Seeds) -> Self {
        Self {
            vantage,
            seeds,
            index: Index::default(),
            slab: Slab::default(),
            done: Vec::new(),
            unused: VecDeque::new(),
            tombs: VecDeque::new(),
            dropped: 0,
            conflicts: 0,
            most_awake: MANY,
            #[cfg(test)]
            long_way: false,
            up: Yield::default(),
        }
    }

    /// Legs that are put away.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        let slots = self.slab.chunks.iter().flatten();
        slots.filter(|s| matches!(s.state, State::Idle(_))).count()
    }

    /// Where the leg of such a hash probably is: that alone nearly always tells, and no key is waited for. `told` is the first that the
    /// index says of it.
    fn guess(&self, told: u64, hash: u32) -> u32 {
        Index::place(told, hash)
            .or_else(|| self.index.find(hash, |_| true))
            .unwrap_or(NOWHERE)
    }

    fn place(&self, ends: &Ends, hash: u32) -> Option<u32> {
        self.index
            .find(hash, |p| self.slab.get(p).is_some_and(|s| s.ends == *ends))
    }

    /// Works on a packet of one of its legs.
    #[inline]
    pub(super) fn take(&mut self, packet: &Arrived<'_>) {
        let segment = &packet.segment;
        #[cfg(test)]
        if self.long_way {
            self.segment(None, packet);
            return;
        }
        let mut known = None;
        if let Some(slot) = self.slab.get_mut(packet.place)
            && slot.ends == segment.ends
        {
            // A leg that is known is nearly always one on which all goes well.
            if let State::Leg(leg) = &mut slot.state
                && leg.steady(segment, packet.spot, &mut self.up)
            {
                if !leg.upgraded() {
                    self.after(packet.place, segment.payload_len == 0);
                }
                return;
            }
            // Neither the beginning nor the end of a plain one.
            if let State::Plain(plain) = &mut slot.state
                && segment.flags & (SYN | FIN | RST) == 0
            {
                plain.packet(usize::from(segment.side), segment);
                return;
            }
            // A place that was given back is nobody's.
            known = (!matches!(slot.state, State::Free)).then_some(packet.place);
        }
        self.segment(known, packet);
    }

    /// As [`Self::take`], whatever the packet is; `known` is the place of its leg.
    #[inline(never)]
    fn segment(&mut self, known: Option<u32>, packet: &Arrived<'_>) {
        let (segment, mark) = (&packet.segment, Mark::from(packet.spot));
        let (ends, hash) = (segment.ends, packet.hash);
        let side = usize::from(segment.side);
        let known = known.or_else(|| self.place(&ends, hash));
        let place = known.unwrap_or_else(|| {
            let place = self.slab.add(Slot {
                ends,
                state: State::Free,
            });
            self.index.insert(hash, place);
            place
        });
        let Some(slot) = self.slab.get_mut(place) else {
            return;
        };
        if let State::Idle(idle) = &slot.state {
            slot.state = State::Leg(Box::new(idle.wake(self.vantage, ends.both())));
        }
        let mut old = None;
        match &mut slot.state {
            // The last packets of a plain leg that is gone.
            State::Over if segment.payload_len == 0 && !segment.has(SYN) => return,
            State::Over | State::Free | State::Idle(_) => {}
            State::Plain(plain) => {
                if plain.ended_before(side, segment) {
                    slot.state = State::Free;
                } else {
                    plain.packet(side, segment);
                    if plain.closed() {
                        self.bury(place, None);
                    }
                    return;
                }
            }
            State::Leg(leg) => {
                if leg.is_copy(side, segment, mark.at) {
                    return;
                }
                if leg.ended_before(side, segment)
                    && let State::Leg(leg) = std::mem::replace(&mut slot.state, State::Free)
                {
                    old = Some(leg);
                }
            }
        }
        let fresh = !matches!(slot.state, State::Leg(_));
        if fresh {
            let mut leg = Box::new(Leg::new(self.vantage, ends.both(), side, segment, mark));
            // Its own first packet, so that the copy of it is known.
            let _ = leg.is_copy(side, segment, mark.at);
            slot.state = State::Leg(leg);
        }
        if let State::Leg(leg) = &mut slot.state {
            leg.packet(side, segment, mark, &mut self.up);
        }
        self.after(place, segment.payload_len == 0);
        if let Some(old) = old {
            self.retire(old);
        }
        if fresh {
            self.unused.push_back((ends, mark.record));
            if self.unused.len() > MAX_UNUSED {
                self.sift();
            }
        }
    }

    /// Makes the leg as small as its last packet allows; `bare` = that had no payload.
    #[inline(never)]
    fn after(&mut self, place: u32, bare: bool) {
        let many = self.slab.taken > self.most_awake;
        let Some(slot) = self.slab.get_mut(place) else {
            return;
        };
        let State::Leg(leg) = &mut slot.state else {
            return;
        };
        if leg.closed() {
            if !leg.plain() {
                leg.settle();
            } else if let State::Leg(leg) = std::mem::replace(&mut slot.state, State::Over) {
                self.bury(place, Some(leg));
            }
        } else if leg.of_no_interest() {
            self.shrink(place);
        } else if bare
            && many
            && let Some(idle) = leg.idle()
        {
            slot.state = State::Idle(Box::new(idle));
        }
    }

    /// Keeps of a leg only what tells where it ends.
    fn shrink(&mut self, place: u32) {
        let Some(slot) = self.slab.get_mut(place) else {
            return;
        };
        if let State::Leg(leg) = &mut slot.state {
            self.conflicts += u64::from(leg.conflicts());
            leg.end(&mut self.up);
            slot.state = State::Plain(Plain::of(leg));
        }
    }

    /// Lets go of the oldest legs without payload once there are too many.
    fn sift(&mut self) {
        let mut unused = std::mem::take(&mut self.unused);
        unused.retain(|(ends, first)| {
            let place = self.place(ends, ends.hash(&self.seeds));
            match place.and_then(|p| self.slab.get(p)).map(|s| &s.state) {
                Some(State::Leg(leg)) => leg.first().record == *first && !leg.used(),
                Some(State::Idle(idle)) => idle.first().record == *first && idle.silent(),
                _ => false,
            }
        });
        self.unused = unused;
        if self.unused.len() <= MAX_UNUSED * 3 / 4 {
            return;
        }
        for _ in 0..MAX_UNUSED / 4 {
            let Some((ends, _)) = self.unused.pop_front() else {
                return;
            };
            let hash = ends.hash(&self.seeds);
            if let Some(place) = self.place(&ends, hash) {
                self.index.remove(hash, place);
                self.slab.remove(place);
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
    fn bury(&mut self, place: u32, leg: Option<Box<Leg>>) {
        if let Some(mut leg) = leg {
            self.conflicts += u64::from(leg.conflicts());
            leg.end(&mut self.up);
            if leg.doubtful() {
                leg.hand_up(&mut self.up);
            }
        }
        if let Some(slot) = self.slab.get_mut(place) {
            slot.state = State::Over;
        }
        self.tombs.push_back(place);
        if self.tombs.len() > MAX_TOMBS
            && let Some(old) = self.tombs.pop_front()
            && let Some(slot) = self.slab.get(old)
            && matches!(slot.state, State::Over)
        {
            let hash = slot.ends.hash(&self.seeds);
            self.index.remove(hash, old);
            self.slab.remove(old);
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
        let live: u64 = self.slab.legs().map(|l| u64::from(l.conflicts())).sum();
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
            let done = tracker.done.iter().map(|leg| &**leg).filter(|_| over);
            let live = tracker.slab.legs().filter(|leg| leg.closed() == over);
            for leg in done.chain(live).filter(|l| !l.plain() && !l.doubtful()) {
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
        legs.extend(tracker.slab.into_legs(tracker.vantage));
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
    // One leg at a time is turned into its observation and let go; they are too large to be moved while their list grows.
    up.observations.reserve(legs.len());
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
    // They are large: each is moved once.
    all.sort_by_cached_key(|o| {
        (
            o.first.at,
            o.first.record.source,
            o.first.record.ordinal,
            o.request.as_ref().map(|r| r.mark.record.ordinal),
        )
    });
    all
}

/// Where a request leads: the server, and the path without its query.
fn route(leg: &LegObservation) -> Option<(std::net::SocketAddr, String)> {
    let uri = &leg.request.as_ref()?.uri;
    Some((leg.server, uri.split('?').next().unwrap_or(uri).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_lies_in_one_cache_line() {
        assert_eq!(size_of::<Slot>(), 64);
    }
}
