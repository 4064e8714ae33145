//! What one end of a leg sent, segment by segment -> the TCP facts of its flow: retransmissions, probes, windows, what stays unanswered.

use super::assembler::{Assembler, distance};
use super::packet::{RST, SYN, Segment};
use super::spot::Spot;
use crate::model::{self, CloseFrame, LegEventKind, Mark, Reset, Unanswered};
use std::collections::VecDeque;

/// Segments under way that are told apart; beyond it the last one grows.
const MAX_SENT: usize = 256;
/// An acknowledgement further ahead than any window (RFC 7323 2.3) belongs to another connection.
const MAX_AHEAD: i32 = 1 << 30;
/// Assumed where the SYN that tells the scale was not captured.
const UNKNOWN_SCALE: u8 = 7;

/// Bytes (or the FIN) that are under way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    first: Spot,
    seq: u32,
    end: u32,
}

/// What is under way behind the oldest, and how often that one was sent again.
#[derive(Debug, Default)]
struct Behind {
    again: u32,
    /// The last time.
    last: Option<Spot>,
    more: VecDeque<Sent>,
}

/// What is counted of one flow. What every packet changes stands first, in one cache line.
#[derive(Debug, Clone, Default)]
#[repr(C)]
pub(super) struct Flow {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) last_packet: Option<Spot>,
    pub(super) last_payload: Option<Spot>,
    pub(super) last_data_frame: Option<Spot>,
    pub(super) data_frames: u64,
    pub(super) fin_acked: bool,
    pub(super) fin: Option<Spot>,
    pub(super) rst: Option<Box<Reset>>,
    pub(super) close: Option<Box<CloseFrame>>,
    pub(super) first_packet: Option<Spot>,
    pub(super) pings: u64,
    pub(super) pongs: u64,
    pub(super) lost_bytes: u64,
    pub(super) zero_window_ns: i64,
    pub(super) retransmissions: u32,
    pub(super) out_of_order: u32,
    pub(super) keepalives: u32,
    pub(super) zero_windows: u32,
}

impl Flow {
    fn observe(&self) -> model::Flow {
        let Self {
            packets,
            bytes,
            last_packet,
            last_payload,
            last_data_frame,
            data_frames,
            fin_acked,
            fin,
            rst,
            close,
            first_packet,
            pings,
            pongs,
            lost_bytes,
            zero_window_ns,
            retransmissions,
            out_of_order,
            keepalives,
            zero_windows,
        } = self;
        let mark = |spot: &Option<Spot>| spot.map(Mark::from);
        model::Flow {
            packets: *packets,
            bytes: *bytes,
            first_packet: mark(first_packet),
            last_packet: mark(last_packet),
            last_payload: mark(last_payload),
            last_data_frame: mark(last_data_frame),
            data_frames: *data_frames,
            pings: *pings,
            pongs: *pongs,
            close: close.as_deref().cloned(),
            close_notify: None,
            fin: mark(fin),
            fin_acked: *fin_acked,
            rst: rst.as_deref().copied(),
            retransmissions: *retransmissions,
            unanswered: None,
            keepalives: *keepalives,
            zero_windows: *zero_windows,
            zero_window_since: None,
            zero_window_ns: *zero_window_ns,
            lost_bytes: *lost_bytes,
            out_of_order: *out_of_order,
            ttl: None,
        }
    }
}

/// What a segment's place in the flow says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// Nothing but flags and an acknowledgement.
    Empty,
    KeepAlive,
    /// Sent against a closed window.
    WindowProbe,
    Payload,
}

/// The SYN's sequence number of a flow that had so many bytes before `next`.
const fn first(next: u32, bytes: u64) -> u32 {
    next.wrapping_sub(bytes as u32).wrapping_sub(1)
}

/// A flow in which nothing is under way: the next byte, the window and its scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    next: u32,
    window: u32,
    scale: Option<u8>,
    /// The next byte is known by an empty segment alone.
    soft: bool,
}

/// One end of a leg as a sender. What the peer's packets need as well stands first, in one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Half {
    pub(super) assembler: Assembler,
    /// The oldest bytes under way.
    oldest: Option<Sent>,
    numbers: Numbers,
    pub(super) flow: Flow,
    acked_at: Option<Spot>,
    behind: Option<Box<Behind>>,
    /// The FIN's sequence number.
    fin_seq: Option<u32>,
    pub(super) isn: Option<u32>,
    zero: Option<Spot>,
}

/// Sequence numbers and the window, each with a bit that says whether it is known: options would take twice the room.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    acked: u32,
    high: u32,
    window: u32,
    known: u8,
    scale: u8,
    ttl: u8,
    /// A FIN was sent.
    over: bool,
}

const ACKED: u8 = 1;
const HIGH: u8 = 2;
const WINDOW: u8 = 4;
const SCALE: u8 = 8;
const TTL: u8 = 16;
/// Something stands in [`Half::behind`]: most of the time nothing does, and it is far away in memory.
const BEHIND: u8 = 32;

impl Numbers {
    fn get(&self, bit: u8, number: u32) -> Option<u32> {
        (self.known & bit != 0).then_some(number)
    }

    /// Highest acknowledgement that the peer sent.
    fn acked(&self) -> Option<u32> {
        self.get(ACKED, self.acked)
    }

    /// Behind the highest byte seen or acknowledged, FIN not counted.
    fn high(&self) -> Option<u32> {
        self.get(HIGH, self.high)
    }

    /// Bytes, as last advertised.
    fn window(&self) -> Option<u32> {
        self.get(WINDOW, self.window)
    }

    fn scale(&self) -> Option<u8> {
        (self.known & SCALE != 0).then_some(self.scale)
    }

    const fn set_acked(&mut self, to: u32) {
        self.acked = to;
        self.known |= ACKED;
    }

    const fn set_high(&mut self, to: u32) {
        self.high = to;
        self.known |= HIGH;
    }

    const fn set_window(&mut self, to: u32) {
        self.window = to;
        self.known |= WINDOW;
    }

    const fn set_scale(&mut self, to: u8) {
        self.scale = to;
        self.known |= SCALE;
    }

    /// The flow goes on, and the window of its sender is open.
    const fn steady(&self) -> bool {
        self.known & (ACKED | HIGH | WINDOW) == ACKED | HIGH | WINDOW
            && self.window > 0
            && !self.over
    }
}

impl Half {
    /// What it follows from, where everything sent is acknowledged and nothing out of the ordinary ever happened; `opened` says that its
    /// SYN must have been seen, or must not.
    pub(super) fn at_rest(&self, opened: bool) -> Option<Rest> {
        let (flow, numbers) = (&self.flow, &self.numbers);
        let (next, soft) = self.assembler.at_rest()?;
        let calm = self.oldest.is_none()
            && numbers.acked() == Some(next)
            && numbers.high() == Some(next)
            && self.fin_seq.is_none()
            && self.zero.is_none()
            && flow.fin.is_none()
            && flow.rst.is_none()
            && flow.lost_bytes == 0
            && flow.retransmissions == 0
            && flow.out_of_order == 0
            && flow.keepalives == 0
            && flow.zero_windows == 0
            && self.isn == opened.then(|| first(next, flow.bytes));
        Some(Rest {
            next,
            window: numbers.window()?,
            scale: numbers.scale(),
            soft,
        })
        .filter(|_| calm)
    }

    /// As it was at rest, behind so many bytes from its SYN, where that was seen.
    pub(super) fn rested(rest: &Rest, opened: Option<u32>) -> Self {
        let mut half = Self {
            isn: opened.map(|bytes| first(rest.next, bytes.into())),
            ..Self::default()
        };
        if rest.soft {
            half.assembler.hint(rest.next);
        } else {
            half.assembler.start(rest.next);
        }
        half.numbers.set_acked(rest.next);
        half.numbers.set_high(rest.next);
        half.numbers.set_window(rest.window);
        if let Some(scale) = rest.scale {
            half.numbers.set_scale(scale);
        }
        half
    }

    /// A SYN: where the flow starts, and how its windows are scaled.
    pub(super) fn open(&mut self, segment: &Segment<'_>) {
        self.isn = Some(segment.seq);
        let first = segment.seq.wrapping_add(1);
        self.assembler.start(first);
        self.numbers.set_high(first);
        self.numbers.set_scale(segment.window_scale.unwrap_or(0));
    }

    /// Of the last packet that was no RST.
    pub(super) fn ttl(&self) -> Option<u8> {
        (self.numbers.known & TTL != 0).then_some(self.numbers.ttl)
    }

    pub(super) const fn set_ttl(&mut self, ttl: u8) {
        self.numbers.ttl = ttl;
        self.numbers.known |= TTL;
    }

    /// Reads a little of the cache lines that a packet needs.
    pub(super) fn touch(&self) -> u64 {
        self.touch_acked()
            .wrapping_add(self.flow.packets)
            .wrapping_add(self.flow.data_frames)
    }

    /// The same for a packet of the peer.
    pub(super) fn touch_acked(&self) -> u64 {
        self.numbers.high.into()
    }

    /// Whether a segment with this number brings the next bytes of a flow that goes on, all of what came before being there.
    #[inline]
    pub(super) const fn steady(&self, seq: u32) -> bool {
        self.assembler.expects(seq) && self.numbers.high == seq && self.numbers.steady()
    }

    /// Whether the peer's acknowledgement of such a flow covers nothing that was not seen; how much of it is news.
    #[inline]
    pub(super) const fn steady_ack(&self, ack: u32) -> Option<u32> {
        let news = distance(ack, self.numbers.acked);
        if news >= 0 && self.assembler.reaches(ack) && self.numbers.steady() {
            Some(news as u32)
        } else {
            None
        }
    }

    /// As [`Self::acknowledged`], for one that [`Self::steady_ack`] found to be news.
    #[inline]
    pub(super) fn acknowledge(&mut self, ack: u32) {
        self.numbers.acked = ack;
        self.arrived(ack);
    }

    /// The window that stays open, as [`Self::advertise`] reads it; `None` where it closes.
    #[inline]
    pub(super) fn open_window(&self, advertised: u16, peer_scales: bool) -> Option<u32> {
        let scale = if peer_scales {
            self.numbers.scale().unwrap_or(UNKNOWN_SCALE)
        } else {
            0
        };
        let window = u32::from(advertised) << scale;
        (window > 0).then_some(window)
    }

    /// A packet of such a flow, with `len` bytes of payload, which [`Flow::bytes`] does not count yet.
    #[inline]
    pub(super) fn continues(&mut self, len: u32, window: u32, ttl: u8, spot: Spot) {
        self.numbers.window = window;
        self.set_ttl(ttl);
        let flow = &mut self.flow;
        flow.packets += 1;
        flow.last_packet = Some(spot);
        if len == 0 {
            return;
        }
        flow.last_payload = Some(spot);
        let seq = self.numbers.high;
        let end = seq.wrapping_add(len);
        self.numbers.high = end;
        self.assembler.advance(len);
        self.under_way(Sent {
            first: spot,
            seq,
            end,
        });
    }

    pub(super) const fn fin_seq(&self) -> Option<u32> {
        self.fin_seq
    }

    /// The peer's acknowledgement of payload, the FIN's one left out.
    pub(super) fn acked_payload(&self) -> Option<u32> {
        let acked = self.numbers.acked()?;
        Some(
            self.fin_seq
                .filter(|&fin| distance(acked, fin) > 0)
                .unwrap_or(acked),
        )
    }

    /// The acknowledgement that covers everything before `end`, where it was already seen.
    pub(super) fn ack_of(&self, end: u32) -> Option<Mark> {
        self.acked_at
            .filter(|_| self.numbers.acked().is_some_and(|a| distance(a, end) >= 0))
            .map(Mark::from)
    }

    /// The peer acknowledged everything before `ack`; true where that is news.
    pub(super) fn acknowledged(&mut self, ack: u32, mark: Mark) -> bool {
        if let Some(known) = self.numbers.acked() {
            let ahead = distance(ack, known);
            if ahead <= 0 || ahead > MAX_AHEAD {
                return false;
            }
        }
        if self
            .numbers
            .high()
            .is_some_and(|h| distance(ack, h) > MAX_AHEAD || distance(h, ack) > MAX_AHEAD)
        {
            return false;
        }
        self.numbers.set_acked(ack);
        self.acked_at = Some(mark.into());
        self.arrived(ack);
        if let Some(fin) = self.fin_seq {
            self.flow.fin_acked |= distance(ack, fin) > 0;
        } else if self.numbers.high().is_none_or(|h| distance(ack, h) > 0) {
            self.numbers.set_high(ack);
        }
        true
    }

    /// What was under way before `ack` is no longer.
    #[inline]
    fn arrived(&mut self, ack: u32) {
        while let Some(oldest) = &mut self.oldest {
            if distance(ack, oldest.end) < 0 {
                if distance(ack, oldest.seq) > 0 {
                    oldest.seq = ack;
                }
                return;
            }
            self.oldest = None;
            if self.numbers.known & BEHIND != 0 {
                self.next_under_way();
            }
        }
    }

    /// A call of its own: inlined, what it reads would be read for every packet.
    #[inline(never)]
    fn next_under_way(&mut self) {
        let Some(behind) = &mut self.behind else {
            return;
        };
        (behind.again, behind.last) = (0, None);
        self.oldest = behind.more.pop_front();
        if behind.more.is_empty() {
            self.numbers.known &= !BEHIND;
        }
    }

    #[inline]
    fn under_way(&mut self, sent: Sent) {
        if self.oldest.is_none() {
            self.oldest = Some(sent);
            return;
        }
        self.numbers.known |= BEHIND;
        let more = &mut self.behind.get_or_insert_default().more;
        if more.len() < MAX_SENT {
            more.push_back(sent);
        } else if let Some(back) = more.back_mut() {
            back.end = sent.end;
        }
    }

    /// The window that this side advertises; an event where it closed or opened.
    pub(super) fn advertise(
        &mut self,
        segment: &Segment<'_>,
        peer_scales: bool,
        mark: Mark,
    ) -> Option<LegEventKind> {
        if segment.has(RST) {
            return None;
        }
        let scale = if segment.has(SYN) {
            0
        } else if peer_scales {
            self.numbers.scale().unwrap_or(UNKNOWN_SCALE)
        } else {
            0
        };
        let window = u32::from(segment.window) << scale;
        self.numbers.set_window(window);
        if segment.has(SYN) {
            return None;
        }
        match (window, self.zero) {
            (0, None) => {
                self.zero = Some(mark.into());
                self.flow.zero_windows += 1;
                Some(LegEventKind::ZeroWindow)
            }
            (1.., Some(since)) => {
                self.flow.zero_window_ns += mark.at.since(since.at).max(0);
                self.zero = None;
                Some(LegEventKind::WindowOpen)
            }
            _ => None,
        }
    }

    pub(super) const fn window_closed(&self) -> bool {
        self.zero.is_some()
    }

    pub(super) const fn scales(&self) -> bool {
        // Without its SYN the answer is open: assume it does.
        self.numbers.known & SCALE == 0 || self.numbers.scale > 0
    }

    /// Tells probes from payload (RFC 9293 3.8.4, 3.8.6.1).
    pub(super) fn sort(&self, seq: u32, payload_len: u32, fin: bool, peer_closed: bool) -> Sort {
        let (acked, high) = (self.numbers.acked(), self.numbers.high());
        let before_edge = high.is_some_and(|h| distance(seq, h) == -1);
        if fin || payload_len > 1 {
            return if payload_len > 0 {
                Sort::Payload
            } else {
                Sort::Empty
            };
        }
        let acked = match (acked, high) {
            (Some(a), Some(h)) => distance(a, h) >= 0,
            (None, _) => payload_len == 0,
            _ => false,
        };
        // A byte that is still missing is no probe, whatever was acknowledged meanwhile.
        let whole = self
            .assembler
            .next()
            .zip(high)
            .is_none_or(|(next, high)| distance(next, high) >= 0);
        if before_edge && acked && (whole || payload_len == 0) {
            return if peer_closed {
                Sort::WindowProbe
            } else {
                Sort::KeepAlive
            };
        }
        if payload_len == 1 && peer_closed {
            return Sort::WindowProbe;
        }
        if payload_len == 0 {
            Sort::Empty
        } else {
            Sort::Payload
        }
    }

    /// Payload, or a FIN behind it, went out.
    pub(super) fn send(&mut self, seq: u32, end: u32, mark: Mark) {
        let behind = self.behind.as_ref().and_then(|b| b.more.back());
        let newest = behind.or(self.oldest.as_ref()).map(|s| s.end);
        let high = newest.or(self.numbers.high()).unwrap_or(seq);
        // A segment that starts before the oldest unanswered byte's end and covers it is that byte again.
        if self
            .oldest
            .is_some_and(|o| distance(seq, o.seq) <= 0 && distance(end, o.seq) > 0)
        {
            self.numbers.known |= BEHIND;
            let behind = self.behind.get_or_insert_default();
            behind.last = Some(mark.into());
            behind.again = behind.again.saturating_add(1);
        }
        let from = if distance(high, seq) > 0 { high } else { seq };
        let acked = self.numbers.acked();
        if distance(end, from) > 0 && acked.is_none_or(|a| distance(a, end) < 0) {
            self.under_way(Sent {
                first: mark.into(),
                seq: from,
                end,
            });
        }
    }

    /// Bytes up to `end` exist.
    pub(super) fn reach(&mut self, end: u32) -> bool {
        let news = self.numbers.high().is_none_or(|h| distance(end, h) > 0);
        if news {
            self.numbers.set_high(end);
        }
        news
    }

    /// The first FIN; false for a repeated one.
    pub(super) fn finish(&mut self, seq: u32, mark: Mark) -> bool {
        if self.fin_seq.is_some() {
            return false;
        }
        self.fin_seq = Some(seq);
        self.numbers.over = true;
        self.flow.fin = Some(mark.into());
        true
    }

    /// Whether a RST with this number reaches into the window that `receiver` had open (RFC 9293 3.10.7.4).
    pub(super) fn in_window(&self, seq: u32, receiver: &Self) -> bool {
        let Some(expected) = self.numbers.acked().or(self.numbers.high()) else {
            return true;
        };
        let ahead = distance(seq, expected);
        ahead >= 0 && ahead.unsigned_abs() <= receiver.numbers.window().unwrap_or(0xffff).max(1)
    }

    /// The flow as it stands; `peer_seen` tells that the capture holds packets of the other side at all.
    pub(super) fn observe(&self, peer_seen: bool, last: Mark) -> model::Flow {
        let mut flow = self.flow.observe();
        flow.ttl = self.ttl();
        flow.zero_window_since = self.zero.map(Mark::from);
        if let Some(since) = self.zero {
            flow.zero_window_ns += last.at.since(since.at).max(0);
        }
        let behind = self.behind.as_deref();
        let again = behind.map_or(0, |b| b.again);
        flow.unanswered = self
            .oldest
            .filter(|_| peer_seen || again > 0)
            .map(|s| Unanswered {
                first: s.first.into(),
                last: behind.and_then(|b| b.last).unwrap_or(s.first).into(),
                retransmissions: again,
            });
        flow
    }
}
