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
    last: Spot,
    seq: u32,
    end: u32,
    again: u32,
}

/// What is under way, oldest first: nearly always one segment or none, which is at hand.
#[derive(Debug, Default)]
struct UnderWay {
    oldest: Option<Sent>,
    /// Nothing where there is no oldest one.
    more: VecDeque<Sent>,
}

impl UnderWay {
    fn len(&self) -> usize {
        usize::from(self.oldest.is_some()) + self.more.len()
    }

    const fn front(&self) -> Option<&Sent> {
        self.oldest.as_ref()
    }

    const fn front_mut(&mut self) -> Option<&mut Sent> {
        self.oldest.as_mut()
    }

    fn back(&self) -> Option<&Sent> {
        self.more.back().or(self.oldest.as_ref())
    }

    fn back_mut(&mut self) -> Option<&mut Sent> {
        self.more.back_mut().or(self.oldest.as_mut())
    }

    fn pop_front(&mut self) {
        self.oldest = self.more.pop_front();
    }

    fn push_back(&mut self, sent: Sent) {
        if self.oldest.is_none() {
            self.oldest = Some(sent);
        } else {
            self.more.push_back(sent);
        }
    }
}

/// What is counted of one flow. What every packet changes stands first, in as few cache lines as may be.
#[derive(Debug, Clone, Default)]
#[repr(C)]
pub(super) struct Flow {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) last_packet: Option<Spot>,
    pub(super) last_payload: Option<Spot>,
    pub(super) last_data_frame: Option<Spot>,
    pub(super) data_frames: u64,
    pub(super) ttl: Option<u8>,
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
            ttl,
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
            ttl: *ttl,
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

/// One end of a leg as a sender. What the peer's packets need as well stands first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Half {
    /// Highest acknowledgement that the peer sent.
    acked: Option<u32>,
    /// Behind the highest byte seen or acknowledged, FIN not counted.
    high: Option<u32>,
    acked_at: Option<Spot>,
    sent: UnderWay,
    scale: Option<u8>,
    /// The FIN's sequence number.
    fin_seq: Option<u32>,
    pub(super) isn: Option<u32>,
    /// Bytes, as last advertised.
    window: Option<u32>,
    zero: Option<Spot>,
    pub(super) assembler: Assembler,
    pub(super) flow: Flow,
}

impl Half {
    /// The next byte, the window and its scale, where everything sent is acknowledged and nothing out of the ordinary ever happened.
    pub(super) fn at_rest(&self) -> Option<(u32, u32, u8)> {
        let flow = &self.flow;
        let next = self.assembler.at_rest()?;
        let calm = self.sent.oldest.is_none()
            && self.acked == Some(next)
            && self.high == Some(next)
            && self.fin_seq.is_none()
            && self.zero.is_none()
            && flow.fin.is_none()
            && flow.rst.is_none()
            && flow.lost_bytes == 0
            && flow.retransmissions == 0
            && flow.out_of_order == 0
            && flow.keepalives == 0
            && flow.zero_windows == 0
            && self.isn == Some(first(next, flow.bytes));
        calm.then_some((next, self.window?, self.scale?))
    }

    /// As it was at rest.
    pub(super) fn rested(next: u32, bytes: u64, window: u32, scale: u8) -> Self {
        let mut assembler = Assembler::default();
        assembler.start(next);
        Self {
            acked: Some(next),
            high: Some(next),
            scale: Some(scale),
            isn: Some(first(next, bytes)),
            window: Some(window),
            assembler,
            ..Self::default()
        }
    }

    /// A SYN: where the flow starts, and how its windows are scaled.
    pub(super) const fn open(&mut self, segment: &Segment<'_>) {
        self.isn = Some(segment.seq);
        let first = segment.seq.wrapping_add(1);
        self.assembler.start(first);
        self.high = Some(first);
        self.scale = Some(match segment.window_scale {
            Some(scale) => scale,
            None => 0,
        });
    }

    /// Reads a little of the cache lines that a packet needs.
    pub(super) fn touch(&self) -> u64 {
        let flow = &self.flow;
        self.touch_acked()
            .wrapping_add(u64::from(self.assembler.next().unwrap_or(0)))
            .wrapping_add(flow.packets)
            .wrapping_add(flow.data_frames)
            .wrapping_add(flow.pings)
    }

    /// The same for a packet of the peer.
    pub(super) fn touch_acked(&self) -> u64 {
        u64::from(self.high.unwrap_or(0))
            .wrapping_add(self.sent.oldest.map_or(0, |s| u64::from(s.end)))
            .wrapping_add(self.zero.map_or(0, |z| z.touch()))
    }

    pub(super) const fn fin_seq(&self) -> Option<u32> {
        self.fin_seq
    }

    /// The peer's acknowledgement of payload, the FIN's one left out.
    pub(super) fn acked_payload(&self) -> Option<u32> {
        let acked = self.acked?;
        Some(
            self.fin_seq
                .filter(|&fin| distance(acked, fin) > 0)
                .unwrap_or(acked),
        )
    }

    /// The acknowledgement that covers everything before `end`, where it was already seen.
    pub(super) fn ack_of(&self, end: u32) -> Option<Mark> {
        self.acked_at
            .filter(|_| self.acked.is_some_and(|a| distance(a, end) >= 0))
            .map(Mark::from)
    }

    /// The peer acknowledged everything before `ack`; true where that is news.
    pub(super) fn acknowledged(&mut self, ack: u32, mark: Mark) -> bool {
        if let Some(known) = self.acked {
            let ahead = distance(ack, known);
            if ahead <= 0 || ahead > MAX_AHEAD {
                return false;
            }
        }
        if self
            .high
            .is_some_and(|h| distance(ack, h) > MAX_AHEAD || distance(h, ack) > MAX_AHEAD)
        {
            return false;
        }
        self.acked = Some(ack);
        self.acked_at = Some(mark.into());
        while let Some(front) = self.sent.front_mut() {
            if distance(ack, front.end) >= 0 {
                self.sent.pop_front();
                continue;
            }
            if distance(ack, front.seq) > 0 {
                front.seq = ack;
            }
            break;
        }
        if let Some(fin) = self.fin_seq {
            self.flow.fin_acked |= distance(ack, fin) > 0;
        } else if self.high.is_none_or(|h| distance(ack, h) > 0) {
            self.high = Some(ack);
        }
        true
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
            self.scale.unwrap_or(UNKNOWN_SCALE)
        } else {
            0
        };
        let window = u32::from(segment.window) << scale;
        self.window = Some(window);
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
        match self.scale {
            Some(scale) => scale > 0,
            None => true,
        }
    }

    /// Tells probes from payload (RFC 9293 3.8.4, 3.8.6.1).
    pub(super) fn sort(&self, seq: u32, payload_len: u32, fin: bool, peer_closed: bool) -> Sort {
        let before_edge = self.high.is_some_and(|h| distance(seq, h) == -1);
        if fin || payload_len > 1 {
            return if payload_len > 0 {
                Sort::Payload
            } else {
                Sort::Empty
            };
        }
        let acked = match (self.acked, self.high) {
            (Some(a), Some(h)) => distance(a, h) >= 0,
            (None, _) => payload_len == 0,
            _ => false,
        };
        // A byte that is still missing is no probe, whatever was acknowledged meanwhile.
        let whole = self
            .assembler
            .next()
            .zip(self.high)
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
        // A segment that starts before the oldest unanswered byte's end and covers it is that byte again.
        let high = self.sent.back().map(|s| s.end).or(self.high).unwrap_or(seq);
        if let Some(front) = self.sent.front_mut()
            && distance(seq, front.seq) <= 0
            && distance(end, front.seq) > 0
        {
            front.last = mark.into();
            front.again = front.again.saturating_add(1);
        }
        let from = if distance(high, seq) > 0 { high } else { seq };
        if distance(end, from) <= 0 || self.acked.is_some_and(|a| distance(a, end) >= 0) {
            return;
        }
        if self.sent.len() >= MAX_SENT {
            if let Some(back) = self.sent.back_mut() {
                back.end = end;
            }
            return;
        }
        self.sent.push_back(Sent {
            seq: from,
            end,
            first: mark.into(),
            last: mark.into(),
            again: 0,
        });
    }

    /// Bytes up to `end` exist.
    pub(super) fn reach(&mut self, end: u32) -> bool {
        let news = self.high.is_none_or(|h| distance(end, h) > 0);
        if news {
            self.high = Some(end);
        }
        news
    }

    /// The first FIN; false for a repeated one.
    pub(super) fn finish(&mut self, seq: u32, mark: Mark) -> bool {
        if self.fin_seq.is_some() {
            return false;
        }
        self.fin_seq = Some(seq);
        self.flow.fin = Some(mark.into());
        true
    }

    /// Whether a RST with this number reaches into the window that `receiver` had open (RFC 9293 3.10.7.4).
    pub(super) fn in_window(&self, seq: u32, receiver: &Self) -> bool {
        let Some(expected) = self.acked.or(self.high) else {
            return true;
        };
        let ahead = distance(seq, expected);
        ahead >= 0 && ahead.unsigned_abs() <= receiver.window.unwrap_or(0xffff).max(1)
    }

    /// The flow as it stands; `peer_seen` tells that the capture holds packets of the other side at all.
    pub(super) fn observe(&self, peer_seen: bool, last: Mark) -> model::Flow {
        let mut flow = self.flow.observe();
        flow.zero_window_since = self.zero.map(Mark::from);
        if let Some(since) = self.zero {
            flow.zero_window_ns += last.at.since(since.at).max(0);
        }
        flow.unanswered = self
            .sent
            .front()
            .filter(|s| peer_seen || s.again > 0)
            .map(|s| Unanswered {
                first: s.first.into(),
                last: s.last.into(),
                retransmissions: s.again,
            });
        flow
    }
}
