//! Heartbeats as a leg goes by -> each with what became of it, in a bounded list.

use super::beat::Beat;
use super::events::Side;
use super::spot::Spot;
use crate::model::{BeatKind, Direction, Mark, Ping};
use std::collections::VecDeque;

const PINGS: usize = 64;
/// Application heartbeats that wait to be believed.
const MAYBE: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Pending {
    sent: Spot,
    answered: Option<Spot>,
    acked: Option<Spot>,
    hash: u64,
    /// The sequence number behind it, by which its acknowledgement is known.
    end: u32,
    side: u8,
    kind: BeatKind,
}

/// Pings and what became of them; most legs have none.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// By side: a heartbeat waits for its acknowledgement. Every packet asks.
    waits: [bool; 2],
    lists: Option<Box<Lists>>,
}

#[derive(Debug, Default)]
struct Lists {
    /// Pings of each side that are not acknowledged.
    unacked: [u32; 2],
    /// Application heartbeats by side, not believed before one was answered in kind or, where nobody answers, came again.
    maybe: VecDeque<Pending>,
    list: VecDeque<Pending>,
    /// Kinds of application heartbeats that are believed, as bits.
    believed: [u16; 2],
}

impl Pending {
    fn new(side: Side, mark: Mark, kind: BeatKind, hash: u64, end: u32) -> Self {
        Self {
            sent: mark.into(),
            answered: None,
            acked: None,
            hash,
            end,
            side: side as u8,
            kind,
        }
    }

    fn by(&self, side: Side) -> bool {
        usize::from(self.side) == side
    }
}

impl Pings {
    fn change(&mut self, how: impl FnOnce(&mut Lists)) {
        let lists = self.lists.get_or_insert_default();
        how(lists);
        let maybe = !lists.maybe.is_empty();
        self.waits = lists.unacked.map(|n| n > 0 || maybe);
    }

    /// `side` sent a Ping frame; `end` is the sequence number behind it.
    pub(super) fn sent(&mut self, side: Side, mark: Mark, hash: u64, end: u32) {
        let pending = Pending::new(side, mark, BeatKind::Frame, hash, end);
        self.change(|lists| lists.add(pending));
    }

    /// `side` sent what could be a heartbeat of the application.
    pub(super) fn application(&mut self, side: Side, mark: Mark, end: u32, beat: Beat) {
        self.change(|lists| lists.application(side, mark, end, beat));
    }

    /// `side` sent a Pong frame: it answers the oldest open ping with its payload, else the oldest open one.
    pub(super) fn answered(&mut self, side: Side, mark: Mark, hash: u64) {
        let pong = Beat {
            kind: BeatKind::Frame,
            pong: true,
            hash,
            strict: false,
        };
        if let Some(lists) = &mut self.lists {
            lists.pair(side, mark, pong);
        }
    }

    /// No heartbeat of `side` waits for its acknowledgement.
    pub(super) fn settled(&self, side: Side) -> bool {
        self.waits.get(side) == Some(&false)
    }

    /// Everything that `side` sent up to `ack` arrived.
    pub(super) fn acked(&mut self, side: Side, ack: u32, mark: Mark) {
        if !self.settled(side) {
            self.change(|lists| lists.acked(side, ack, mark));
        }
    }

    pub(super) fn list(&self, direction: impl Fn(Side) -> Direction) -> Vec<Ping> {
        let Some(lists) = &self.lists else {
            return Vec::new();
        };
        let ping = |p: &Pending| Ping {
            kind: p.kind,
            sent: p.sent.into(),
            direction: direction(p.side.into()),
            answered: p.answered.map(Mark::from),
            acked: p.acked.map(Mark::from),
        };
        let mut list: Vec<Ping> = lists.list.iter().map(ping).collect();
        list.sort_by_key(|p| (p.sent.at, p.sent.record.source, p.sent.record.ordinal));
        list
    }
}

impl Lists {
    fn application(&mut self, side: Side, mark: Mark, end: u32, beat: Beat) {
        if beat.pong {
            self.believe(1 - side.min(1), beat.kind, |p| {
                !beat.strict || p.hash == beat.hash
            });
            self.pair(side, mark, beat);
            return;
        }
        let pending = Pending::new(side, mark, beat.kind, beat.hash, end);
        let again = self.maybe.iter().any(|p| p.by(side) && p.kind == beat.kind);
        if !beat.kind.answers() && again {
            self.believe(side, beat.kind, |_| true);
        }
        if self.believes(side, beat.kind) {
            self.add(pending);
            return;
        }
        if self.maybe.len() == MAYBE {
            self.maybe.pop_front();
        }
        self.maybe.push_back(pending);
    }

    fn believes(&self, side: Side, kind: BeatKind) -> bool {
        let known = self.believed.get(side).copied().unwrap_or(0);
        known >> kind as u16 & 1 == 1
    }

    /// What `side` sent of this kind are heartbeats, if one of those that wait is as it should be.
    fn believe(&mut self, side: Side, kind: BeatKind, right: impl Fn(&Pending) -> bool) {
        let meant = |p: &Pending| p.by(side) && p.kind == kind;
        if !self.maybe.iter().any(|p| meant(p) && right(p)) {
            return;
        }
        if let Some(known) = self.believed.get_mut(side) {
            *known |= 1 << kind as u16;
        }
        let (now, later) = std::mem::take(&mut self.maybe).into_iter().partition(meant);
        self.maybe = later;
        let now: VecDeque<Pending> = now;
        for pending in now {
            self.add(pending);
        }
    }

    fn add(&mut self, pending: Pending) {
        if self.list.len() == PINGS
            && let Some(old) = self.list.pop_front()
            && old.acked.is_none()
            && let Some(n) = self.unacked.get_mut(usize::from(old.side))
        {
            *n = n.saturating_sub(1);
        }
        if let Some(n) = self.unacked.get_mut(usize::from(pending.side)) {
            *n += u32::from(pending.acked.is_none());
        }
        self.list.push_back(pending);
    }

    fn pair(&mut self, side: Side, mark: Mark, pong: Beat) {
        let open = |p: &&mut Pending| !p.by(side) && p.answered.is_none() && p.kind == pong.kind;
        let at = Some(Spot::from(mark));
        let same = self
            .list
            .iter_mut()
            .filter(open)
            .find(|p| p.hash == pong.hash)
            .map(|p| p.answered = at);
        if same.is_none()
            && !pong.strict
            && let Some(p) = self.list.iter_mut().find(open)
        {
            p.answered = at;
        }
    }

    fn acked(&mut self, side: Side, ack: u32, mark: Mark) {
        let at = Some(Spot::from(mark));
        let arrived = |p: &Pending| super::assembler::distance(ack, p.end) >= 0;
        let waits = |p: &&mut Pending| p.by(side) && p.acked.is_none();
        for p in self.maybe.iter_mut().filter(waits) {
            if arrived(p) {
                p.acked = at;
            }
        }
        let Some(open) = self.unacked.get_mut(side) else {
            return;
        };
        // Those that wait are nearly always the last ones.
        let all = *open as usize;
        for p in self.list.iter_mut().rev().filter(waits).take(all) {
            if arrived(p) {
                p.acked = at;
                *open -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Moment, RecordRef, SourceId};

    fn mark(n: u64) -> Mark {
        Mark {
            at: Moment(n as i64),
            record: RecordRef {
                source: SourceId(0),
                ordinal: n,
                start: 0,
                len: 0,
            },
        }
    }

    #[test]
    fn pings_find_their_pongs() {
        let mut pings = Pings::default();
        pings.sent(0, mark(1), 11, 100);
        pings.sent(0, mark(2), 22, 200);
        pings.acked(0, 150, mark(3));
        pings.answered(1, mark(4), 22);
        pings.sent(0, mark(5), 33, 300);
        pings.answered(1, mark(6), 99);
        let list = pings.list(|_| Direction::ToServer);
        let got: Vec<_> = list
            .iter()
            .map(|p| (p.answered.map(|m| m.at.0), p.acked.map(|m| m.at.0)))
            .collect();
        assert_eq!(got, [(Some(6), Some(3)), (Some(4), None), (None, None)]);
    }

    /// Heartbeats of two sides as (side, kind, pong) -> how many count, and how many of them were answered.
    #[test]
    fn application_heartbeats_count_once_they_are_believed() {
        let strict = |n: u64| Beat {
            hash: n,
            strict: true,
            ..Beat::ping(BeatKind::Ocpp)
        };
        let pong = |beat: Beat| Beat { pong: true, ..beat };
        let json = Beat::ping(BeatKind::Json);
        let stomp = Beat::ping(BeatKind::Stomp);
        let mqtt = Beat::ping(BeatKind::Mqtt);
        let check = |beats: &[(Side, Beat)], expected: (usize, usize)| {
            let mut pings = Pings::default();
            for (n, &(side, beat)) in beats.iter().enumerate() {
                pings.application(side, mark(n as u64 + 1), n as u32, beat);
            }
            let list = pings.list(|_| Direction::ToServer);
            let answered = list.iter().filter(|p| p.answered.is_some()).count();
            assert_eq!((list.len(), answered), expected, "{beats:?}");
        };
        check(&[(0, json), (0, json)], (0, 0));
        check(&[(0, json), (1, pong(json)), (0, json)], (2, 1));
        // An answer of another kind, or to another call, is none.
        check(&[(0, json), (1, pong(mqtt))], (0, 0));
        check(&[(0, strict(1)), (1, pong(strict(2)))], (0, 0));
        check(
            &[
                (0, strict(1)),
                (1, pong(strict(1))),
                (0, strict(3)),
                (1, pong(strict(4))),
            ],
            (2, 1),
        );
        // Where nobody answers, the second one shows that they are heartbeats.
        check(&[(0, stomp)], (0, 0));
        check(&[(0, stomp), (1, stomp), (0, stomp), (0, stomp)], (3, 0));
    }
}
