//! Events, pings and fingerprints as a leg goes by -> the bounded lists that an observation carries.

use super::beat::Beat;
use crate::model::{BeatKind, Direction, Fingerprint, LegEvent, LegEventKind, Mark, Ping};
use std::collections::VecDeque;

const FIRST_EVENTS: usize = 24;
const LAST_EVENTS: usize = 40;
/// Openings and endings kept whatever comes after them.
const KEPT_EVENTS: usize = 32;
const FINGERPRINTS: usize = 16;
const PINGS: usize = 64;
/// Application heartbeats that wait to be believed.
const MAYBE: usize = 8;

/// One of the two ends of a leg, before it is known which one is the client: 0 the lower endpoint, 1 the higher.
pub(super) type Side = usize;

#[derive(Debug, Clone)]
struct Event {
    mark: Mark,
    /// Who sent it.
    side: u8,
    what: What,
}

/// An event's kind, half as large as the model's: most of a busy leg's memory is its events.
#[derive(Debug, Clone)]
enum What {
    Data(u8, u64),
    Ping(u64),
    Pong(u64),
    Record(u64),
    Retransmission,
    Else(Box<LegEventKind>),
}

impl What {
    fn of(kind: LegEventKind) -> Self {
        match kind {
            LegEventKind::Data { opcode, len } => Self::Data(opcode, len),
            LegEventKind::Ping { len } => Self::Ping(len),
            LegEventKind::Pong { len } => Self::Pong(len),
            LegEventKind::TlsRecord { len } => Self::Record(len),
            LegEventKind::Retransmission => Self::Retransmission,
            other => Self::Else(Box::new(other)),
        }
    }

    fn kind(&self) -> LegEventKind {
        match self {
            Self::Data(opcode, len) => LegEventKind::Data {
                opcode: *opcode,
                len: *len,
            },
            Self::Ping(len) => LegEventKind::Ping { len: *len },
            Self::Pong(len) => LegEventKind::Pong { len: *len },
            Self::Record(len) => LegEventKind::TlsRecord { len: *len },
            Self::Retransmission => LegEventKind::Retransmission,
            Self::Else(kind) => (**kind).clone(),
        }
    }
}

/// The first ones, the last ones, every opening and ending.
#[derive(Debug, Default)]
pub(super) struct Events {
    first: Vec<Event>,
    kept: Vec<Event>,
    last: VecDeque<Event>,
}

fn lasting(what: &What) -> bool {
    use LegEventKind::{
        Close, EndStream, Fin, GoAway, Request, ResetStream, Response, Rst, Syn, SynAck, TlsAlert,
    };
    let What::Else(kind) = what else { return false };
    matches!(
        **kind,
        Syn | SynAck
            | Request
            | Response
            | Close { .. }
            | EndStream
            | ResetStream { .. }
            | GoAway { .. }
            | Fin
            | Rst
            | TlsAlert { .. }
    )
}

impl Events {
    pub(super) fn push(&mut self, mark: Mark, side: Side, what: LegEventKind) {
        let side = u8::try_from(side).unwrap_or(1);
        let event = Event {
            mark,
            side,
            what: What::of(what),
        };
        if self.first.len() < FIRST_EVENTS {
            self.first.push(event);
            return;
        }
        if self.last.len() == LAST_EVENTS
            && let Some(old) = self.last.pop_front()
            && lasting(&old.what)
            && self.kept.len() < KEPT_EVENTS
        {
            self.kept.push(old);
        }
        self.last.push_back(event);
    }

    pub(super) fn touch(&self) -> u64 {
        (self.first.len() + self.last.len()) as u64
    }

    /// The place that the next event goes to is the oldest one's.
    pub(super) fn touch_deep(&self) -> u64 {
        self.last.front().map_or(0, |e| e.mark.record.ordinal)
    }

    pub(super) fn list(&self, direction: impl Fn(Side) -> Direction) -> Vec<LegEvent> {
        let all = self.first.iter().chain(&self.kept).chain(&self.last);
        let mut list: Vec<LegEvent> = all
            .map(|e| LegEvent {
                mark: e.mark,
                direction: direction(usize::from(e.side)),
                what: e.what.kind(),
            })
            .collect();
        // Held segments come to light after later packets.
        list.sort_by_key(|e| (e.mark.at, e.mark.record.source, e.mark.record.ordinal));
        list
    }

    /// The leg is over and hardly of interest: its opening, its end, and little around them.
    pub(super) fn settle(&mut self) {
        self.first.truncate(8);
        self.first.shrink_to_fit();
        let surplus = self.last.len().saturating_sub(8);
        self.last.drain(..surplus);
        self.last.shrink_to_fit();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The first and the last ones.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    first: Vec<(Side, Fingerprint)>,
    last: VecDeque<(Side, Fingerprint)>,
}

impl Fingerprints {
    pub(super) fn push(&mut self, side: Side, print: Fingerprint) {
        if self.first.len() < FINGERPRINTS {
            self.first.push((side, print));
            return;
        }
        if self.last.len() == FINGERPRINTS {
            self.last.pop_front();
        }
        self.last.push_back((side, print));
    }

    pub(super) fn touch(&self) -> u64 {
        self.last.front().map_or(0, |(_, print)| print.hash)
    }

    pub(super) fn list(&self, direction: impl Fn(Side) -> Direction) -> Vec<Fingerprint> {
        let all = self.first.iter().chain(&self.last);
        let mut list: Vec<Fingerprint> = all
            .map(|(side, p)| Fingerprint {
                direction: direction(*side),
                ..*p
            })
            .collect();
        list.sort_by_key(|p| p.at);
        list
    }
}

#[derive(Debug)]
struct Pending {
    side: Side,
    ping: Ping,
    hash: u64,
    /// The sequence number behind it, by which its acknowledgement is known.
    end: u32,
}

/// Pings and what became of them.
#[derive(Debug, Default)]
pub(super) struct Pings {
    list: VecDeque<Pending>,
    /// Application heartbeats by side, not believed before one was answered in kind or, where nobody answers, came again.
    maybe: VecDeque<Pending>,
    unacked: [u32; 2],
    /// Kinds of application heartbeats that are believed, as bits.
    believed: [u16; 2],
}

impl Pending {
    const fn new(side: Side, mark: Mark, kind: BeatKind, hash: u64, end: u32) -> Self {
        let ping = Ping {
            kind,
            sent: mark,
            direction: Direction::ToServer,
            answered: None,
            acked: None,
        };
        Self {
            side,
            ping,
            hash,
            end,
        }
    }
}

impl Pings {
    /// `side` sent a Ping frame; `end` is the sequence number behind it.
    pub(super) fn sent(&mut self, side: Side, mark: Mark, hash: u64, end: u32) {
        self.add(Pending::new(side, mark, BeatKind::Frame, hash, end));
    }

    /// `side` sent what could be a heartbeat of the application.
    pub(super) fn application(&mut self, side: Side, mark: Mark, end: u32, beat: Beat) {
        if beat.pong {
            self.believe(1 - side.min(1), beat.kind, |p| {
                !beat.strict || p.hash == beat.hash
            });
            self.pair(side, mark, beat);
            return;
        }
        let pending = Pending::new(side, mark, beat.kind, beat.hash, end);
        let again = self
            .maybe
            .iter()
            .any(|p| p.side == side && p.ping.kind == beat.kind);
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
        let meant = |p: &Pending| p.side == side && p.ping.kind == kind;
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
            && old.ping.acked.is_none()
            && let Some(n) = self.unacked.get_mut(old.side)
        {
            *n = n.saturating_sub(1);
        }
        if let Some(n) = self.unacked.get_mut(pending.side) {
            *n += u32::from(pending.ping.acked.is_none());
        }
        self.list.push_back(pending);
    }

    /// `side` sent a Pong frame: it answers the oldest open ping with its payload, else the oldest open one.
    pub(super) fn answered(&mut self, side: Side, mark: Mark, hash: u64) {
        let pong = Beat {
            kind: BeatKind::Frame,
            pong: true,
            hash,
            strict: false,
        };
        self.pair(side, mark, pong);
    }

    fn pair(&mut self, side: Side, mark: Mark, pong: Beat) {
        let open = |p: &&mut Pending| {
            p.side != side && p.ping.answered.is_none() && p.ping.kind == pong.kind
        };
        let same = self
            .list
            .iter_mut()
            .filter(open)
            .find(|p| p.hash == pong.hash)
            .map(|p| p.ping.answered = Some(mark));
        if same.is_none()
            && !pong.strict
            && let Some(p) = self.list.iter_mut().find(open)
        {
            p.ping.answered = Some(mark);
        }
    }

    /// Everything that `side` sent up to `ack` arrived.
    pub(super) fn acked(&mut self, side: Side, ack: u32, mark: Mark) {
        for p in self
            .maybe
            .iter_mut()
            .filter(|p| p.side == side && p.ping.acked.is_none())
        {
            if super::assembler::distance(ack, p.end) >= 0 {
                p.ping.acked = Some(mark);
            }
        }
        let Some(open) = self.unacked.get_mut(side) else {
            return;
        };
        if *open == 0 {
            return;
        }
        for p in self
            .list
            .iter_mut()
            .filter(|p| p.side == side && p.ping.acked.is_none())
        {
            if super::assembler::distance(ack, p.end) >= 0 {
                p.ping.acked = Some(mark);
                *open -= 1;
            }
        }
    }

    pub(super) fn list(&self, direction: impl Fn(Side) -> Direction) -> Vec<Ping> {
        let mut list: Vec<Ping> = self
            .list
            .iter()
            .map(|p| Ping {
                direction: direction(p.side),
                ..p.ping
            })
            .collect();
        list.sort_by_key(|p| (p.sent.at, p.sent.record.source, p.sent.record.ordinal));
        list
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
    fn endings_outlive_the_data_around_them() {
        let mut events = Events::default();
        for n in 0..1000 {
            let what = if n == 500 {
                LegEventKind::Fin
            } else {
                LegEventKind::Data { opcode: 1, len: n }
            };
            events.push(mark(n), 0, what);
        }
        let list = events.list(|_| Direction::ToServer);
        assert_eq!(list.len(), FIRST_EVENTS + LAST_EVENTS + 1);
        assert!(list.iter().any(|e| e.what == LegEventKind::Fin));
        assert!(list.is_sorted_by_key(|e| e.mark.at));
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
