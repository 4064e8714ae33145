//! Events and fingerprints as a leg goes by -> the bounded lists that an observation carries.

use super::spot::Spot;
use crate::model::{Direction, Fingerprint, LegEvent, LegEventKind, Mark};

const FIRST_EVENTS: usize = 24;
const LAST_EVENTS: usize = 40;
/// Openings and endings kept whatever comes after them.
const KEPT_EVENTS: usize = 32;
const FINGERPRINTS: usize = 16;

/// One of the two ends of a leg, before it is known which one is the client: 0 the lower endpoint, 1 the higher.
pub(super) type Side = usize;

/// Of one packet or frame; most of a busy leg's memory is its events.
#[derive(Debug, Clone, Copy)]
struct Event {
    mark: Spot,
    what: What,
    /// A frame's fingerprint, where its word says that it has one.
    hash: u64,
}

/// What happened, and who sent it, in one word: the kind, the side, the opcode of a frame in a byte each, and a number of 40 bits. Of a
/// Close, whose number is the place of its text, the opcode's byte holds the length.
#[derive(Debug, Clone, Copy)]
struct What(u64);

/// Beside the side: the event is a frame that has a fingerprint.
const PRINTED: u64 = 1 << 9;

/// Kinds that the word tells alone; those that say more stand in [`Events::long`], the number being their place.
const DATA: u64 = 0;
const PING: u64 = 1;
const PONG: u64 = 2;
const RECORD: u64 = 3;
const GAP: u64 = 4;
const ALERT: u64 = 5;
const LONG: u64 = 6;
const BARE: u64 = 8;
/// Kinds without a number, from [`BARE`] on.
static PLAIN: [LegEventKind; 11] = [
    LegEventKind::Syn,
    LegEventKind::SynAck,
    LegEventKind::Request,
    LegEventKind::Response,
    LegEventKind::Fin,
    LegEventKind::Rst,
    LegEventKind::Retransmission,
    LegEventKind::KeepAlive,
    LegEventKind::ZeroWindow,
    LegEventKind::WindowOpen,
    LegEventKind::EndStream,
];
const MAX_NUMBER: u64 = (1 << 40) - 1;

impl What {
    /// `None` for a kind that says more than a word holds.
    fn of(kind: &LegEventKind, side: Side) -> Option<Self> {
        let (code, opcode, number) = match *kind {
            LegEventKind::Data { opcode, len } => (DATA, opcode, len),
            LegEventKind::Ping { len } => (PING, 0, len),
            LegEventKind::Pong { len } => (PONG, 0, len),
            LegEventKind::TlsRecord { len } => (RECORD, 0, len),
            LegEventKind::Gap { bytes } => (GAP, 0, bytes),
            LegEventKind::TlsAlert { level, description } => (ALERT, level, description.into()),
            LegEventKind::Close(_)
            | LegEventKind::ResetStream { .. }
            | LegEventKind::GoAway { .. } => return None,
            ref plain => (BARE + PLAIN.iter().position(|p| p == plain)? as u64, 0, 0),
        };
        (number <= MAX_NUMBER).then(|| Self::word(code, side, opcode, number))
    }

    const fn word(code: u64, side: Side, opcode: u8, number: u64) -> Self {
        let side = if side == 0 { 0 } else { 1 };
        Self(code | side << 8 | (opcode as u64) << 16 | number << 24)
    }

    const fn code(self) -> u64 {
        self.0 & 0xff
    }

    const fn side(self) -> Side {
        (self.0 >> 8 & 1) as Side
    }

    const fn number(self) -> u64 {
        self.0 >> 24
    }

    const fn printed(self) -> bool {
        self.0 & PRINTED != 0
    }

    /// The opcode and the length of a frame.
    const fn shape(self) -> (u8, u64) {
        let byte = (self.0 >> 16 & 0xff) as u8;
        match self.code() {
            PING => (9, self.number()),
            PONG => (10, self.number()),
            LONG => (8, byte as u64),
            _ => (byte, self.number()),
        }
    }

    /// The place of a kind that says more than the word.
    const fn place(self) -> Option<usize> {
        if self.code() == LONG {
            Some(self.number() as usize)
        } else {
            None
        }
    }

    fn kind(self, long: &[LegEventKind]) -> Option<LegEventKind> {
        let opcode = (self.0 >> 16 & 0xff) as u8;
        let number = self.number();
        Some(match self.code() {
            DATA => LegEventKind::Data {
                opcode,
                len: number,
            },
            PING => LegEventKind::Ping { len: number },
            PONG => LegEventKind::Pong { len: number },
            RECORD => LegEventKind::TlsRecord { len: number },
            GAP => LegEventKind::Gap { bytes: number },
            ALERT => LegEventKind::TlsAlert {
                level: opcode,
                description: number as u8,
            },
            LONG => long.get(self.place()?)?.clone(),
            plain => PLAIN.get(plain.checked_sub(BARE)? as usize)?.clone(),
        })
    }

    /// Openings and endings.
    const fn lasting(self) -> bool {
        // Syn to Rst, and EndStream.
        matches!(self.code(), ALERT | LONG) || matches!(self.code().wrapping_sub(BARE), 0..=5 | 10)
    }
}

/// The first ones, the last ones, every opening and ending; the fingerprints of the first and the last frames among them.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Events {
    /// The first ones; those after them go round in a ring.
    list: Vec<Event>,
    /// Where in the ring of a full list the oldest stands.
    oldest: u8,
    /// How many there may be since little was kept of them.
    settled: u8,
    rest: Option<Box<Rest>>,
}

/// What most legs have nothing of.
#[derive(Debug, Default)]
struct Rest {
    /// Openings and endings that the ring let go of.
    kept: Vec<Event>,
    /// What some events say beside their word.
    long: Vec<LegEventKind>,
}

const MOST: usize = FIRST_EVENTS + LAST_EVENTS;
/// Texts of events that are held before those that nobody names any more are let go.
const MAX_LONG: usize = 2 * (MOST + KEPT_EVENTS);

impl Events {
    pub(super) fn push(&mut self, mark: Mark, side: Side, what: LegEventKind) {
        let what = What::of(&what, side).unwrap_or_else(|| self.at_length(what, side));
        self.add(Event {
            mark: mark.into(),
            what,
            hash: 0,
        });
    }

    /// A frame of control, with its fingerprint where there is one.
    pub(super) fn control(
        &mut self,
        mark: Mark,
        side: Side,
        what: LegEventKind,
        (len, hash): (u64, Option<u64>),
    ) {
        let mut word = What::of(&what, side).unwrap_or_else(|| self.at_length(what, side));
        let hash = hash.filter(|_| len <= 0xff);
        if word.code() == LONG {
            word.0 |= (len & 0xff) << 16;
        }
        if hash.is_some() {
            word.0 |= PRINTED;
        }
        self.add(Event {
            mark: mark.into(),
            what: word,
            hash: hash.unwrap_or(0),
        });
    }

    /// A frame of data.
    #[inline]
    pub(super) fn data(
        &mut self,
        mark: Spot,
        side: Side,
        (opcode, len): (u8, u64),
        hash: Option<u64>,
    ) {
        if len > MAX_NUMBER {
            // Longer than a word tells (a terabyte): no fingerprint either.
            self.push(mark.into(), side, LegEventKind::Data { opcode, len });
            return;
        }
        let mut what = What::word(DATA, side, opcode, len);
        if hash.is_some() {
            what.0 |= PRINTED;
        }
        self.add(Event {
            mark,
            what,
            hash: hash.unwrap_or(0),
        });
    }

    #[inline]
    fn add(&mut self, event: Event) {
        if self.list.len() < MOST {
            grow(&mut self.list);
            self.list.push(event);
            return;
        }
        if let Some(place) = self.list.get_mut(FIRST_EVENTS + usize::from(self.oldest)) {
            let old = std::mem::replace(place, event);
            self.oldest += 1;
            if usize::from(self.oldest) == LAST_EVENTS {
                self.oldest = 0;
            }
            if old.what.lasting() {
                self.keep(old);
            }
        }
    }

    #[cold]
    fn keep(&mut self, event: Event) {
        let kept = &mut self.rest.get_or_insert_default().kept;
        if kept.len() < KEPT_EVENTS {
            kept.push(event);
        }
    }

    #[cold]
    fn at_length(&mut self, what: LegEventKind, side: Side) -> What {
        let Rest { kept, long } = &mut **self.rest.get_or_insert_default();
        if long.len() >= MAX_LONG {
            let old = std::mem::take(long);
            for event in self.list.iter_mut().chain(kept) {
                if let Some(said) = event.what.place().and_then(|p| old.get(p)) {
                    let rest = event.what.0 & 0xff_ffff;
                    event.what = What(rest | (long.len() as u64) << 24);
                    long.push(said.clone());
                }
            }
        }
        long.push(what);
        What::word(LONG, side, 0, long.len() as u64 - 1)
    }

    fn kept(&self) -> &[Event] {
        self.rest.as_ref().map_or(&[], |rest| &rest.kept)
    }

    /// How many there were, those that were let go left out.
    pub(super) fn len(&self) -> usize {
        self.list.len() + self.kept().len()
    }

    /// Reads the place that the next event goes to: it is the oldest one's.
    pub(super) fn touch(&self) -> u64 {
        let ring = self.list.get(FIRST_EVENTS + usize::from(self.oldest));
        ring.map_or(0, |e| e.mark.touch().wrapping_add(e.hash))
    }

    fn all(&self) -> impl Iterator<Item = &Event> {
        let (first, last) = self.list.split_at(self.list.len().min(FIRST_EVENTS));
        let (newer, older) = last.split_at(last.len().min(usize::from(self.oldest)));
        first.iter().chain(self.kept()).chain(older).chain(newer)
    }

    pub(super) fn list(&self, direction: impl Fn(Side) -> Direction) -> Vec<LegEvent> {
        let long = self.rest.as_ref().map_or(&[][..], |rest| &rest.long);
        let mut list = Vec::with_capacity(self.len());
        list.extend(self.all().filter_map(|e| {
            Some(LegEvent {
                mark: e.mark.into(),
                direction: direction(e.what.side()),
                what: e.what.kind(long)?,
            })
        }));
        // Held segments come to light after later packets.
        list.sort_by_key(|e| (e.mark.at, e.mark.record.source, e.mark.record.ordinal));
        list
    }

    /// Of the first and the last frames.
    pub(super) fn fingerprints(&self, direction: impl Fn(Side) -> Direction) -> Vec<Fingerprint> {
        let mut printed: Vec<&Event> = Vec::with_capacity(self.len());
        printed.extend(self.all().filter(|e| e.what.printed()));
        printed.sort_by_key(|e| e.mark.at);
        let surplus = printed.len().saturating_sub(2 * FINGERPRINTS);
        if surplus > 0 {
            printed.drain(FINGERPRINTS..FINGERPRINTS + surplus);
        }
        let fingerprint = |e: &Event| {
            let (opcode, len) = e.what.shape();
            Fingerprint {
                at: e.mark.at,
                direction: direction(e.what.side()),
                opcode,
                len,
                hash: e.hash,
            }
        };
        printed.into_iter().map(fingerprint).collect()
    }

    /// The leg is over and hardly of interest: its opening, its end, and little around them.
    pub(super) fn settle(&mut self) {
        const LITTLE: usize = 8;
        if self.settled > 0 {
            self.list.truncate(usize::from(self.settled));
            return;
        }
        let first = self.list.len().min(FIRST_EVENTS);
        let oldest = usize::from(std::mem::take(&mut self.oldest));
        if let Some(last) = self.list.get_mut(first..) {
            last.rotate_left(oldest.min(last.len()));
        }
        let from = first.min(LITTLE);
        let to = first.max(self.list.len().saturating_sub(LITTLE));
        self.list.drain(from..to);
        self.list.shrink_to_fit();
        self.settled = self.list.len().max(LITTLE) as u8;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Makes room in a list: few steps, and none of them too far.
#[inline]
fn grow(list: &mut Vec<Event>) {
    #[cold]
    fn more(list: &mut Vec<Event>) {
        let wanted = match list.len() {
            0 => 4,
            1..16 => 16,
            16..40 => 40,
            _ => MOST,
        };
        list.reserve_exact(wanted - list.len().min(wanted));
    }
    if list.len() == list.capacity() {
        more(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Closing, Moment, RecordRef, SourceId};

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
    fn every_kind_comes_out_as_it_went_in() {
        let close = |n: u16| {
            LegEventKind::Close(Box::new(Closing {
                code: Some(n),
                reason: format!("reason {n}"),
            }))
        };
        let mut all = PLAIN.to_vec();
        all.extend([
            LegEventKind::Data {
                opcode: 2,
                len: 70_000,
            },
            LegEventKind::Ping { len: 4 },
            LegEventKind::Pong { len: 5 },
            LegEventKind::TlsRecord { len: 16_000 },
            LegEventKind::Gap { bytes: 9 },
            LegEventKind::TlsAlert {
                level: 2,
                description: 40,
            },
            LegEventKind::GoAway {
                code: 1,
                last: u32::MAX,
            },
            close(1001),
        ]);
        let mut events = Events::default();
        for (n, what) in all.iter().enumerate() {
            events.push(mark(n as u64), n % 2, what.clone());
        }
        let list = events.list(|side| [Direction::ToServer, Direction::ToClient][side]);
        for (n, (got, what)) in list.iter().zip(&all).enumerate() {
            assert_eq!(got.what, *what);
            assert_eq!(got.direction == Direction::ToClient, n % 2 == 1, "{what:?}");
        }
        assert_eq!(list.len(), all.len());
        // However many there are, the last ones keep their words, and memory ends.
        for n in 0..1000 {
            events.push(mark(100 + u64::from(n)), 0, close(n));
        }
        let list = events.list(|_| Direction::ToServer);
        assert_eq!(list.last().map(|e| &e.what), Some(&close(999)));
        assert!(events.rest.is_some_and(|r| r.long.len() <= MAX_LONG));
    }

    #[test]
    fn the_first_and_the_last_fingerprints_stay() {
        let mut events = Events::default();
        for n in 0..1000_u64 {
            let hash = Some(n).filter(|n| n % 2 == 0);
            if n % 100 == 99 {
                let close = LegEventKind::Close(Box::new(Closing {
                    code: Some(1000),
                    reason: String::new(),
                }));
                events.control(mark(n), 1, close, (2, Some(n)));
            } else {
                events.data(mark(n).into(), 0, (1, n), hash);
            }
        }
        let list = events.fingerprints(|side| [Direction::ToServer, Direction::ToClient][side]);
        let hashes: Vec<u64> = list.iter().map(|p| p.hash).collect();
        assert_eq!(hashes.len(), 2 * FINGERPRINTS);
        assert!(hashes.is_sorted() && hashes[..12] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]);
        let last = list.last().expect("the last one");
        assert_eq!((last.opcode, last.len, last.hash), (8, 2, 999));
        assert_eq!(last.direction, Direction::ToClient);
        let before = &list[list.len() - 2];
        assert_eq!((before.opcode, before.len, before.hash), (1, 998, 998));
    }
}
