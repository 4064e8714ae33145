//! The sizes and times of records that stay shut -> what they give away: heartbeats, a Close handshake, close_notify, whether it is a WebSocket at all.

use crate::model::{MILLI_NS, Mark, SECOND_NS};
use std::collections::VecDeque;

/// One end of a leg: 0 the lower endpoint, 1 the higher.
type Side = usize;

/// Records remembered: the last ones.
const MAX_RECORDS: usize = 64;
/// Shorter than the head of any request that a client sends: method, target, version and Host.
const MIN_REQUEST: usize = 40;
/// Shorter than the head of any answer but `100 Continue`, which has 25.
const MIN_RESPONSE: usize = 60;
const CONTINUE: usize = 25;
/// The payload of an alert.
const ALERT: usize = 2;
/// The longest payload of a control frame (RFC 6455 5.5).
const MAX_CONTROL: usize = 125;
/// An answer to a ping or a Close comes within this time.
const ANSWER_NS: i64 = 5 * SECOND_NS;
/// The leg is torn down within this time of the answered Close.
const TEARDOWN_NS: i64 = 2 * SECOND_NS;
/// Pairs that make a heartbeat.
const MIN_BEATS: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Record {
    mark: Mark,
    side: u8,
    /// TLS 1.2 shows that it is an alert.
    alert: bool,
    /// Of its plaintext; `None` where the suite pads.
    plain: Option<u16>,
}

impl Record {
    fn side(&self) -> Side {
        usize::from(self.side)
    }
    fn plain(&self) -> Option<usize> {
        self.plain.map(usize::from)
    }
}

/// A ping by its size, and the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) struct Beat {
    pub(in crate::capture) side: Side,
    pub(in crate::capture) sent: Mark,
    pub(in crate::capture) answered: Option<Mark>,
}

/// A Close handshake by its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) struct CloseShape {
    /// Who began it.
    pub(in crate::capture) side: Side,
    pub(in crate::capture) sent: Mark,
    pub(in crate::capture) answered: Mark,
}

/// When one side of the leg ended it in TCP.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::capture) struct Ends {
    pub(in crate::capture) fin: Option<Mark>,
    pub(in crate::capture) rst: Option<Mark>,
}

impl Ends {
    fn first(&self) -> Option<Mark> {
        [self.fin, self.rst]
            .into_iter()
            .flatten()
            .min_by_key(|m| m.at)
    }
}

/// Application records of a leg, as they stood on the wire.
#[derive(Debug, Default)]
pub(super) struct Records {
    last: VecDeque<Record>,
    count: [u32; 2],
    turn: Option<Side>,
    /// Turns that began with less than an HTTP head.
    short_turns: u32,
    /// Turns of the client that are less than half as long as its first request was; requests of one client are alike.
    lesser_turns: u32,
    first_request: u32,
    /// Small records of the server without a question.
    pushes: u32,
    /// The last record whose content was read and was application data.
    read: [Option<Mark>; 2],
    notified: [Option<Mark>; 2],
}

/// The bytes around a control frame's payload: header, and mask where the client sends it.
const fn overhead(side: Side, client: Side) -> usize {
    if side == client { 6 } else { 2 }
}

impl Records {
    /// An application record whose content was read.
    pub(super) fn read(&mut self, side: Side, mark: Mark) {
        if let Some(slot) = self.read.get_mut(side) {
            *slot = Some(mark);
        }
    }

    /// A close_notify that was read.
    pub(super) fn notified(&mut self, side: Side, mark: Mark) {
        if let Some(slot) = self.notified.get_mut(side) {
            slot.get_or_insert(mark);
        }
    }

    pub(super) fn count(&self, side: Side) -> u32 {
        self.count.get(side).copied().unwrap_or(0)
    }

    /// A record of application data that stayed shut; `plain` is the length of its content, `most` what it can be at most.
    pub(super) fn shut(
        &mut self,
        (side, client): (Side, Side),
        mark: Mark,
        plain: Option<usize>,
        most: usize,
    ) {
        if let Some(n) = self.count.get_mut(side) {
            *n = n.saturating_add(1);
        }
        self.judge(side, client, mark, most);
        self.push(side, mark, plain, false);
    }

    /// An alert under encryption (TLS 1.2).
    pub(super) fn alert(&mut self, side: Side, mark: Mark) {
        self.push(side, mark, None, true);
    }

    fn push(&mut self, side: Side, mark: Mark, plain: Option<usize>, alert: bool) {
        if self.last.len() == MAX_RECORDS {
            self.last.pop_front();
        }
        self.last.push_back(Record {
            mark,
            side: u8::from(side != 0),
            alert,
            plain: plain.and_then(|p| u16::try_from(p).ok()),
        });
    }

    /// What HTTP/1.1 can't be: it takes turns, and each begins with a head.
    fn judge(&mut self, side: Side, client: Side, mark: Mark, most: usize) {
        // Before the first request there are session tickets only.
        if most == ALERT || side != client && self.turn.is_none() {
            return;
        }
        let starts = self.turn != Some(side);
        if side == client {
            let len = u32::try_from(most).unwrap_or(u32::MAX);
            if self.turn.is_none() {
                self.first_request = len;
            } else if starts {
                self.lesser_turns += u32::from(len < self.first_request / 2);
            }
        }
        if starts && self.turn.is_some() {
            let short = if side == client {
                most < MIN_REQUEST
            } else {
                most < MIN_RESPONSE && most != CONTINUE
            };
            self.short_turns += u32::from(short);
        } else if side != client && self.turn.is_some() {
            let quiet = self
                .last
                .back()
                .is_some_and(|r| mark.at.since(r.mark.at) > 500 * MILLI_NS);
            self.pushes += u32::from(quiet && most < 1400);
        }
        self.turn = Some(side);
    }

    /// Whether the records are those of a WebSocket; `None` where they could be plain HTTP as well.
    pub(super) const fn websocket(&self) -> Option<bool> {
        if self.short_turns > 0 || self.pushes >= 3 || self.lesser_turns >= 2 {
            Some(true)
        } else {
            None
        }
    }

    /// The close_notify of a side (RFC 8446 6.1): its last record, an alert by its type in TLS 1.2 and by its size in TLS 1.3.
    /// An empty ping of the server has that size too: only what came after tells them apart.
    pub(super) fn close_notify(&self, side: Side, client: Side, ends: &[Ends; 2]) -> Option<Mark> {
        if let Some(mark) = self.notified.get(side).copied().flatten() {
            return Some(mark);
        }
        let at = self.last.iter().rposition(|r| r.side() == side)?;
        let record = self.last.get(at)?;
        if record.alert {
            return Some(record.mark);
        }
        if record.plain() != Some(ALERT) {
            return None;
        }
        if side == client {
            // No masked frame is that short.
            return Some(record.mark);
        }
        let soon = |m: Option<Mark>, ns: i64| {
            m.is_some_and(|m| (-MILLI_NS..ns).contains(&m.at.since(record.mark.at)))
        };
        let answer = self.last.iter().skip(at + 1).find(|r| r.side() != side);
        let own = ends.get(side).and_then(Ends::first);
        let peer = ends.get(1 - side.min(1)).and_then(Ends::first);
        match answer {
            Some(a) => (a.alert || a.plain() == Some(ALERT)).then_some(record.mark),
            None if soon(own, 100 * MILLI_NS) || soon(peer, SECOND_NS) => Some(record.mark),
            None => None,
        }
    }

    /// The last application data of a side, its close_notify left out.
    pub(super) fn last_payload(&self, side: Side, notify: Option<Mark>) -> Option<Mark> {
        let shut = self
            .last
            .iter()
            .rev()
            .filter(|r| r.side() == side && !r.alert)
            .map(|r| r.mark)
            .find(|m| notify.is_none_or(|n| n.record != m.record));
        let read = self.read.get(side).copied().flatten();
        [shut, read].into_iter().flatten().max_by_key(|m| m.at)
    }

    /// Length of a control frame's payload, were this record one.
    fn control(record: &Record, client: Side) -> Option<usize> {
        let payload = record
            .plain()?
            .checked_sub(overhead(record.side(), client))?;
        (payload <= MAX_CONTROL && !record.alert).then_some(payload)
    }

    /// Regular small records that the other side answers with one of the same payload: pings and pongs.
    pub(super) fn beats(&self, client: Side, ends: &[Ends; 2]) -> Vec<Beat> {
        let mut all = self.backwards(client, ends);
        all.reverse();
        let mut best: Vec<Beat> = Vec::new();
        for side in 0..2 {
            let mut sizes: Vec<usize> = all
                .iter()
                .filter(|r| r.side() == side)
                .filter_map(|r| Self::control(r, client))
                .collect();
            sizes.sort_unstable();
            sizes.dedup();
            for size in sizes {
                let beats = of_size(&all, side, client, size);
                let answered = |b: &[Beat]| b.iter().filter(|b| b.answered.is_some()).count();
                if regular(&beats) && answered(&beats) > answered(&best) {
                    best = beats;
                }
            }
        }
        best
    }

    /// The leg is over, and its records are those of any HTTP.
    pub(super) fn settle(&mut self) {
        let surplus = self.last.len().saturating_sub(4);
        self.last.drain(..surplus);
        self.last.shrink_to_fit();
    }

    /// The records that are no close_notify, the last one first.
    fn backwards(&self, client: Side, ends: &[Ends; 2]) -> Vec<&Record> {
        let notified = [0, 1].map(|side| self.close_notify(side, client, ends));
        let is_notify = |r: &&Record| {
            let same = notified.iter().flatten().any(|n| n.record == r.mark.record);
            same && (r.alert || r.plain() == Some(ALERT))
        };
        self.last.iter().rev().filter(|r| !is_notify(r)).collect()
    }

    /// The first sign of the end.
    fn end(&self, client: Side, ends: &[Ends; 2]) -> Option<Mark> {
        let notified = [0, 1].map(|side| self.close_notify(side, client, ends));
        notified
            .into_iter()
            .flatten()
            .chain(ends.iter().filter_map(Ends::first))
            .min_by_key(|m| m.at)
    }

    /// The leg ended, and neither side's last record can have been a Close: it was answered by something else, or left without an
    /// answer for longer than a Close is.
    pub(super) fn no_close(&self, client: Side, ends: &[Ends; 2]) -> bool {
        let Some(end) = self.end(client, ends) else {
            return false;
        };
        let back = self.backwards(client, ends);
        let can_be = |side: Side| {
            let Some(at) = back.iter().position(|r| r.side() == side) else {
                return false;
            };
            let record = back[at];
            if at > 0 {
                // Answered: a Close handshake where it has its shape.
                return false;
            }
            let since = end.at.since(record.mark.at);
            let Some(payload) = Self::control(record, client) else {
                return record.plain.is_none() && since <= SECOND_NS;
            };
            let pong = back.get(1).is_some_and(|before| {
                before.side() != side
                    && Self::control(before, client) == Some(payload)
                    && record.mark.at.since(before.mark.at) < ANSWER_NS
            });
            let bare = matches!(payload, 0 | 2) && !pong;
            payload != 1 && (bare || since <= 100 * MILLI_NS)
        };
        !can_be(0) && !can_be(1) && !back.is_empty()
    }

    /// The last exchange before the end, where it has the sizes of a Close and its answer (RFC 6455 5.5.1).
    pub(super) fn close_shape(
        &self,
        client: Side,
        ends: &[Ends; 2],
        beats: &[Beat],
    ) -> Option<CloseShape> {
        let end = self.end(client, ends)?;
        let back = self.backwards(client, ends);
        let mut back = back.into_iter();
        let (answer, close) = (back.next()?, back.next()?);
        let (sent, echoed) = (
            Self::control(close, client)?,
            Self::control(answer, client)?,
        );
        // An empty one, or a code with or without a reason; echoed whole, or its code alone.
        let fits = sent != 1 && (echoed == sent || (echoed == 2 && sent > 2) || echoed == 0);
        let beat = beats.iter().any(|b| b.sent.record == close.mark.record);
        let in_time = answer.mark.at.since(close.mark.at) <= ANSWER_NS
            && (0..=TEARDOWN_NS).contains(&end.at.since(answer.mark.at));
        (close.side != answer.side && fits && !beat && in_time).then_some(CloseShape {
            side: close.side(),
            sent: close.mark,
            answered: answer.mark,
        })
    }
}

fn of_size(all: &[&Record], side: Side, client: Side, size: usize) -> Vec<Beat> {
    let mut beats = Vec::new();
    for (at, record) in all.iter().enumerate() {
        if record.side() != side || Records::control(record, client) != Some(size) {
            continue;
        }
        let answered = all
            .iter()
            .skip(at + 1)
            .take_while(|r| r.mark.at.since(record.mark.at) <= ANSWER_NS)
            // The next one of this side's pings has its own answer.
            .take_while(|r| r.side() != side || Records::control(r, client) != Some(size))
            .find(|r| r.side() != side && Records::control(r, client) == Some(size))
            .map(|r| r.mark);
        beats.push(Beat {
            side,
            sent: record.mark,
            answered,
        });
    }
    beats
}

/// Sent at equal distances and mostly answered.
fn regular(beats: &[Beat]) -> bool {
    let answered = beats.iter().filter(|b| b.answered.is_some()).count();
    if answered < MIN_BEATS || answered * 2 <= beats.len() {
        return false;
    }
    let gaps: Vec<i64> = beats
        .windows(2)
        .map(|w| match w {
            [a, b] => b.sent.at.since(a.sent.at),
            _ => 0,
        })
        .collect();
    let mut sorted = gaps.clone();
    sorted.sort_unstable();
    let Some(&period) = sorted.get(sorted.len() / 2) else {
        return false;
    };
    // A pong comes at once; what comes half a period later is the next ping, and this side's is the pong.
    let mut delays: Vec<i64> = beats
        .iter()
        .filter_map(|b| Some(b.answered?.at.since(b.sent.at)))
        .collect();
    delays.sort_unstable();
    if delays
        .get(delays.len() / 2)
        .is_none_or(|d| *d * 2 >= period)
    {
        return false;
    }
    let off = |g: &&i64| (**g - period).abs() > period / 8 + 20 * MILLI_NS;
    period >= 200 * MILLI_NS && gaps.iter().filter(off).count() * 4 <= gaps.len()
}
