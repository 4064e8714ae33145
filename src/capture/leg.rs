//! The packets of one TCP connection -> what one vantage point saw of that leg.

mod compressed;
mod heard;
mod idle;
mod observe;
mod steady;
mod streams;

use super::app::{App, Bytes, Kind, Said};
use super::assembler::{Arrival, Budget, Piece};
use super::ends::Endpoint;
use super::events::{Events, Side};
use super::frame::{Decoded, faults};
use super::half::{Half, Sort};
use super::http1::handshake_faults;
use super::inflate::Inflaters;
use super::packet::{ACK, FIN, RST, SYN, Segment};
use super::pings::Pings;
use super::spot::Spot;
use super::tls;
use crate::model::{
    Anomaly, Direction, Frame, LegEventKind, LegObservation, MILLI_NS, Mark, Moment, Request,
    Reset, Response, SECOND_NS, add_anomaly,
};
use compressed::Compressed;
pub(super) use idle::Idle;
use streams::Streams;

/// A copy recorded on another interface comes within this time.
const COPY_NS: i64 = SECOND_NS;
/// IPv4 identification 0, or IPv6: a retransmission comes 200 ms later at the earliest (RFC 6298 leaves 1 s, Linux 200 ms).
const UNNUMBERED_COPY_NS: i64 = 150 * MILLI_NS;
/// The same packet twice on one interface: a mirror port that copies both ways.
const MIRROR_NS: i64 = 10 * MILLI_NS;
/// A hole filled this fast was another order on the way, not a retransmission.
const REORDER_NS: i64 = 3 * MILLI_NS;
/// Segments further away than this from a closed leg's flow belong to another connection.
const FOREIGN: i32 = 16 * 1024 * 1024;
/// Observations that one leg may give (an upstream connection on which many upgrades were refused).
const MAX_PARTS: u32 = 4096;
/// Refusals kept until the end tells whether they concern WebSockets.
const MAX_DOUBTFUL: usize = 16_384;

/// What a leg hands up, and what all legs share.
#[derive(Debug, Default)]
pub(super) struct Yield {
    pub(super) frames: Vec<Frame>,
    /// Whether anyone wants the frames.
    pub(super) frames_wanted: bool,
    /// Upgrades refused on a leg that went on.
    pub(super) observations: Vec<LegObservation>,
    /// Refusals of requests whose heads are cut: kept where their path turns out to lead to WebSockets.
    pub(super) doubtful: Vec<LegObservation>,
    pub(super) budget: Budget,
    pub(super) inflaters: Inflaters,
    pub(super) tls: tls::Shared,
    /// What was odd about legs, for the file at hand.
    pub(super) anomalies: Vec<Anomaly>,
    said: Vec<Said>,
    decoded: Vec<Decoded>,
}

impl Yield {
    /// Takes over what another one collected; its frames go unheard.
    pub(super) fn join(&mut self, other: Self) {
        self.observations.extend(other.observations);
        self.doubtful.extend(other.doubtful);
        self.anomalies.extend(other.anomalies);
        self.tls = other.tls;
    }
}

/// What tells a copy of a packet from a retransmission; small, because it is looked at for every packet.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    at: Moment,
    /// Of everything that a copy shares; 0 = no packet.
    print: u32,
    tap: u32,
}

impl Seen {
    fn of(segment: &Segment<'_>, at: Moment) -> Self {
        let header = u64::from(segment.seq) << 32 | u64::from(segment.ack);
        let rest = u64::from(segment.payload_len) << 32
            | u64::from(segment.window) << 16
            | u64::from(segment.flags) << 8;
        // Multiplication by odd constants spreads every field over the upper half.
        let mixed = header.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (rest ^ u64::from(segment.ip_id)).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        let print = (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
        Self {
            at,
            print: print.max(1),
            tap: segment.tap,
        }
    }
}

/// What every packet needs stands first: a line of the cache for both sides, one for what tells copies, three for the flow.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Leg {
    recent_at: [u8; 2],
    /// Who sent the last packet.
    last_by: u8,
    payload_seen: bool,
    /// By either side.
    reset_seen: bool,
    refused: bool,
    doubtful: bool,
    /// There are streams of HTTP/2 on it, whose heartbeats wait for acknowledgements.
    carries: bool,
    events: Events,
    pings: Pings,
    recent: [[Seen; 4]; 2],
    halves: [Half; 2],
    app: App,
    /// Streams of HTTP/2, or what is known of the one that this stands for.
    streams: Option<Box<Streams>>,
    certain: bool,
    duplicates: u64,
    faults: u16,
    vantage: u32,
    client: Side,
    /// The lower and the higher endpoint.
    ends: [Endpoint; 2],
    first: Spot,
    syn: Option<Spot>,
    syn_ack: Option<Spot>,
    syn_retransmissions: u32,
    earlier_requests: u32,
    parts: u32,
    request: Option<Box<Request>>,
    response: Option<Box<Response>>,
    compression: Option<Box<Compressed>>,
    sni: Option<String>,
}

impl Leg {
    pub(super) fn new(
        vantage: u32,
        ends: [Endpoint; 2],
        side: Side,
        segment: &Segment<'_>,
        mark: Mark,
    ) -> Self {
        let opens = segment.has(SYN);
        let client = if opens {
            if segment.has(ACK) { 1 - side } else { side }
        } else {
            // Servers listen on low ports.
            usize::from(ends[1].port > ends[0].port)
        };
        let mut app = App::default();
        if opens {
            app.opened_by(client);
        }
        Self {
            vantage,
            ends,
            client,
            certain: opens,
            first: mark.into(),
            last_by: side as u8,
            syn: None,
            syn_ack: None,
            syn_retransmissions: 0,
            refused: false,
            halves: [Half::default(), Half::default()],
            app,
            request: None,
            response: None,
            earlier_requests: 0,
            parts: 0,
            doubtful: false,
            events: Events::default(),
            pings: Pings::default(),
            duplicates: 0,
            faults: 0,
            sni: None,
            recent: [[Seen::default(); 4]; 2],
            recent_at: [0; 2],
            payload_seen: false,
            reset_seen: false,
            compression: None,
            streams: None,
            carries: false,
        }
    }

    /// Reads a little of every cache line that the next packet of `side` needs.
    pub(super) fn touch(&self, side: Side) -> u64 {
        let side = side.min(1);
        u64::from(self.recent[side][0].print)
            .wrapping_add(self.last_by.into())
            .wrapping_add(self.halves[side].touch())
            .wrapping_add(self.halves[1 - side].touch_acked())
    }

    /// As `touch`, behind one more pointer.
    pub(super) fn touch_deep(&self, side: Side) -> u64 {
        self.events.touch().wrapping_add(self.app.touch(side))
    }

    /// The last packet of either side.
    fn last(&self) -> Spot {
        let flow = |side: usize| self.halves.get(side).and_then(|h| h.flow.last_packet);
        let by = usize::from(self.last_by);
        flow(by).or_else(|| flow(1 - by)).unwrap_or(self.first)
    }

    pub(super) const fn upgraded(&self) -> bool {
        self.app.upgraded()
    }

    pub(super) const fn used(&self) -> bool {
        self.payload_seen
    }

    pub(super) fn conflicts(&self) -> u32 {
        self.halves
            .iter()
            .map(|h| u32::from(h.assembler.conflicts))
            .sum()
    }

    /// Ended by a RST, or by a FIN of each side.
    pub(super) fn closed(&self) -> bool {
        self.halves.iter().any(|h| h.flow.rst.is_some())
            || self.halves.iter().all(|h| h.flow.fin.is_some())
    }

    /// The leg is over: an encrypted one that could be anything is made small.
    pub(super) fn settle(&mut self) {
        if self.app.settle() {
            self.events.settle();
        }
    }

    /// Speaks something else, and whatever comes will change nothing.
    pub(super) const fn of_no_interest(&self) -> bool {
        self.app.given_up()
            && self.request.is_none()
            && self.response.is_none()
            && self.streams.is_none()
    }

    /// The initial sequence numbers of its sides, where their SYN was seen.
    pub(super) fn initial(&self) -> [Option<u32>; 2] {
        [self.halves[0].isn, self.halves[1].isn]
    }

    /// Which of its sides sent a packet.
    pub(super) fn heard_of(&self) -> [bool; 2] {
        [0, 1].map(|side: Side| self.halves[side].flow.packets > 0)
    }

    /// Which of its sides sent a FIN.
    pub(super) fn finished(&self) -> [bool; 2] {
        [0, 1].map(|side: Side| self.halves[side].flow.fin.is_some())
    }

    /// Spoke something else than WebSocket or TLS.
    pub(super) fn plain(&self) -> bool {
        match self.app.kind() {
            Kind::Other => self.request.is_none(),
            Kind::Http => self.request.is_none() || self.doubtful(),
            Kind::Http2 => self.streams.is_none(),
            _ => false,
        }
    }

    /// A request whose head is cut was refused or not answered: whether it asked for a WebSocket is not in the capture.
    pub(super) fn doubtful(&self) -> bool {
        self.request.is_some() && (self.doubtful || self.app.doubtful())
    }

    /// Whether a segment starts another connection between the same endpoints.
    pub(super) fn ended_before(&self, side: Side, segment: &Segment<'_>) -> bool {
        let half = &self.halves[side.min(1)];
        if segment.has(SYN) {
            return match half.isn {
                Some(isn) => isn != segment.seq,
                // A SYN-ACK late in the file answers a SYN that stands before it.
                None if segment.has(ACK) => half.flow.packets > 0,
                None => self.halves.iter().any(|h| h.flow.packets > 0),
            };
        }
        let far = half.assembler.next().is_some_and(|n| {
            super::assembler::distance(segment.seq, n).unsigned_abs() > FOREIGN as u32
        });
        far && segment.payload_len > 0 && self.closed()
    }

    /// True for a packet that was recorded before, on another interface.
    pub(super) fn is_copy(&mut self, side: Side, segment: &Segment<'_>, at: Moment) -> bool {
        let side = side.min(1);
        let now = Seen::of(segment, at);
        let copy = self.recent[side].iter().any(|s| {
            s.print == now.print && {
                let apart = now.at.since(s.at).abs();
                match (s.tap != now.tap, segment.ip_id != 0) {
                    (true, true) => apart <= COPY_NS,
                    (true, false) => apart <= UNNUMBERED_COPY_NS,
                    (false, true) => apart <= MIRROR_NS,
                    (false, false) => false,
                }
            }
        });
        if copy {
            self.duplicates += 1;
            return true;
        }
        self.remember(side, now);
        false
    }

    fn remember(&mut self, side: Side, seen: Seen) {
        let slot = &mut self.recent_at[side];
        if let Some(place) = self.recent[side].get_mut(usize::from(*slot & 3)) {
            *place = seen;
        }
        *slot = slot.wrapping_add(1);
    }

    /// Takes the next packet, sent by `side`.
    pub(super) fn packet(&mut self, side: Side, segment: &Segment<'_>, mark: Mark, up: &mut Yield) {
        let side = side.min(1);
        let peer = 1 - side;
        let spot = Spot::from(mark);
        self.last_by = side as u8;
        let flow = &mut self.halves[side].flow;
        flow.packets += 1;
        flow.first_packet.get_or_insert(spot);
        flow.last_packet = Some(spot);
        if segment.has(RST) {
            self.reset(side, segment, mark);
            self.let_go(up);
            return;
        }
        if self.reset_seen && segment.payload_len > 0 {
            self.goes_on(side, up);
        }
        self.halves[side].set_ttl(segment.ttl);
        if segment.has(SYN) {
            self.opening(side, segment, mark);
        }
        if segment.has(ACK) && self.halves[peer].acknowledged(segment.ack, mark) {
            self.pings.acked(peer, segment.ack, mark);
            self.streams_acked(peer, segment.ack, mark);
            self.drain(peer, mark, up);
        }
        let peer_scales = self.halves[peer].scales();
        if let Some(event) = self.halves[side].advertise(segment, peer_scales, mark) {
            self.events.push(mark, side, event);
        }
        self.payload(side, segment, mark, up);
        if segment.has(FIN) && self.closed() {
            self.let_go(up);
        }
    }

    /// The sender of a RST outside the window goes on: it was not its own, and nobody took it for one (RFC 5961 3).
    fn goes_on(&mut self, side: Side, up: &mut Yield) {
        let flow = &mut self.halves[side].flow;
        if let Some(reset) = flow.rst.take_if(|r| !r.in_window) {
            let note = "resets with a number outside the window, behind which their sender went on, ended nothing: forged, or of an older connection";
            let at = reset.mark.record.ordinal;
            add_anomaly(&mut up.anomalies, "ignored-reset", 1, at, note);
        }
    }

    fn reset(&mut self, side: Side, segment: &Segment<'_>, mark: Mark) {
        self.reset_seen = true;
        let in_window = self.halves[side].in_window(segment.seq, &self.halves[1 - side]);
        let answers_syn = self.syn.is_some() && self.syn_ack.is_none() && side != self.client;
        self.refused |= answers_syn && !self.payload_seen;
        let in_window = in_window || answers_syn;
        let flow = &mut self.halves[side].flow;
        // One that may have been ignored gives way to one that can't.
        let weaker = |r: &Reset| in_window && !r.in_window;
        if flow.rst.as_deref().is_none_or(weaker) {
            flow.rst = Some(Box::new(Reset {
                mark,
                ttl: segment.ttl,
                in_window,
            }));
            self.events.push(mark, side, LegEventKind::Rst);
        }
    }

    fn opening(&mut self, side: Side, segment: &Segment<'_>, mark: Mark) {
        let again = self.halves[side].isn.is_some();
        let (slot, event) = if segment.has(ACK) {
            (&mut self.syn_ack, LegEventKind::SynAck)
        } else {
            (&mut self.syn, LegEventKind::Syn)
        };
        slot.get_or_insert(mark.into());
        if !again {
            self.halves[side].open(segment);
        } else if segment.has(ACK) {
            self.halves[side].flow.retransmissions += 1;
        } else {
            self.syn_retransmissions += 1;
        }
        self.events.push(mark, side, event);
        self.certain = true;
        self.client = if segment.has(ACK) { 1 - side } else { side };
        self.app.opened_by(self.client);
    }

    fn payload(&mut self, side: Side, segment: &Segment<'_>, mark: Mark, up: &mut Yield) {
        let fin = segment.has(FIN);
        let seq = if segment.has(SYN) {
            segment.seq.wrapping_add(1)
        } else {
            segment.seq
        };
        let len = segment.payload_len;
        let end = seq.wrapping_add(len);
        let peer_closed = self.halves[1 - side].window_closed();
        let half = &mut self.halves[side];
        if half
            .fin_seq()
            .is_some_and(|f| super::assembler::distance(seq, f) >= 0)
            && !fin
        {
            // Nothing can follow a FIN (RFC 9293 3.6).
            return;
        }
        match half.sort(seq, len, fin, peer_closed) {
            Sort::Empty if !fin => {
                half.assembler.hint(seq);
                if half.assembler.next() == Some(seq) {
                    half.reach(seq);
                }
                return;
            }
            Sort::KeepAlive => {
                half.assembler.hint(seq.wrapping_add(1));
                half.flow.keepalives += 1;
                self.events.push(mark, side, LegEventKind::KeepAlive);
                return;
            }
            Sort::WindowProbe if len == 0 => return,
            Sort::WindowProbe => {
                half.send(seq, end, mark);
                half.reach(end);
                let arrival = half
                    .assembler
                    .push(seq, segment.payload, len, mark, &mut up.budget);
                self.deliver(side, arrival, segment, mark, up);
                return;
            }
            Sort::Empty | Sort::Payload => {}
        }
        half.send(seq, end.wrapping_add(u32::from(fin)), mark);
        if len > 0 {
            self.payload_seen = true;
            let hole_age = half.assembler.hole_age(mark.at);
            half.reach(end);
            let arrival = half
                .assembler
                .push(seq, segment.payload, len, mark, &mut up.budget);
            let again = match arrival {
                Arrival::Old | Arrival::PartlyOld { .. } => true,
                Arrival::Late { .. } => hole_age.is_some_and(|age| age > REORDER_NS),
                Arrival::InOrder { .. } | Arrival::Early => false,
            };
            if again {
                half.flow.retransmissions += 1;
                self.events.push(mark, side, LegEventKind::Retransmission);
            } else if matches!(arrival, Arrival::Late { .. }) {
                half.flow.out_of_order += 1;
            }
            if arrival != Arrival::Old {
                self.halves[side].flow.last_payload = Some(mark.into());
            }
            self.deliver(side, arrival, segment, mark, up);
        }
        if fin {
            let half = &mut self.halves[side];
            half.reach(end);
            half.assembler.hint(end);
            if half.finish(end, mark) {
                self.events.push(mark, side, LegEventKind::Fin);
            } else if len == 0 {
                half.flow.retransmissions += 1;
                self.events.push(mark, side, LegEventKind::Retransmission);
            }
        }
    }

    fn deliver(
        &mut self,
        side: Side,
        arrival: Arrival,
        segment: &Segment<'_>,
        mark: Mark,
        up: &mut Yield,
    ) {
        if let Arrival::InOrder { skip } | Arrival::PartlyOld { skip } | Arrival::Late { skip } =
            arrival
        {
            self.bytes(side, segment.payload, segment.payload_len, skip, mark, up);
        }
        if self.halves[side].assembler.has_held() {
            self.drain(side, mark, up);
        }
    }

    /// New bytes of a flow, in order; the first `skip` of them are old.
    #[inline(never)]
    fn bytes(
        &mut self,
        side: Side,
        bytes: &[u8],
        wire_len: u32,
        skip: u32,
        mark: Mark,
        up: &mut Yield,
    ) {
        let fresh = wire_len.saturating_sub(skip);
        self.halves[side].flow.bytes += u64::from(fresh);
        let bytes = bytes.get(skip as usize..).unwrap_or_default();
        let cut = fresh.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if let Some(decoder) = self.app.decoder(side) {
            let losses = decoder.losses;
            let mut frames = std::mem::take(&mut up.decoded);
            decoder.feed(bytes, cut, mark, &mut frames);
            if cut > 0 && decoder.losses > losses {
                self.halves[side].flow.lost_bytes += u64::from(cut);
            }
            if !frames.is_empty() {
                let place = self.place(side);
                for frame in &mut frames {
                    self.frame(side, frame, place, up);
                }
                frames.clear();
            }
            up.decoded = frames;
            return;
        }
        let losses = self.app.losses(side);
        let input = Bytes {
            side,
            bytes,
            cut,
            mark,
        };
        if let Some(input) = self.app.feed(input, &mut up.said) {
            let client = self.client;
            self.app.encrypted(input, client, &mut up.tls, &mut up.said);
        }
        if cut > 0 && self.app.losses(side) > losses {
            self.halves[side].flow.lost_bytes += u64::from(cut);
        }
        self.heard(up);
    }

    fn drain(&mut self, side: Side, mark: Mark, up: &mut Yield) {
        self.pieces(side, mark, false, up);
    }

    fn pieces(&mut self, side: Side, mark: Mark, force: bool, up: &mut Yield) {
        let acked = self.halves[side].acked_payload();
        while let Some(piece) =
            self.halves[side]
                .assembler
                .pop(acked, mark.at, force, &mut up.budget)
        {
            match piece {
                Piece::Data {
                    bytes,
                    wire_len,
                    mark,
                } => self.bytes(side, &bytes, wire_len, 0, mark, up),
                Piece::Gap { bytes } => {
                    self.payload_seen = true;
                    self.halves[side].flow.lost_bytes += u64::from(bytes);
                    self.events.push(
                        mark,
                        side,
                        LegEventKind::Gap {
                            bytes: u64::from(bytes),
                        },
                    );
                    self.app.gap(side, bytes, mark, &mut up.said);
                    self.heard(up);
                }
            }
        }
    }

    /// No more packets come: what was held back is all there is.
    pub(super) fn end(&mut self, up: &mut Yield) {
        let last = self.last().into();
        for side in 0..2 {
            self.pieces(side, last, true, up);
            self.halves[side].assembler.release(&mut up.budget);
        }
        self.let_go(up);
    }

    /// The server is known to speak WebSocket.
    pub(super) fn confirm_with(&mut self, is_server: impl Fn(&Endpoint) -> bool, up: &mut Yield) {
        if self.app.kind() != Kind::Midstream {
            return;
        }
        let client = match (is_server(&self.ends[0]), is_server(&self.ends[1])) {
            (true, false) => 1,
            (false, true) => 0,
            _ => return,
        };
        if self.app.confirm_with(client, &mut up.said) {
            self.heard(up);
        }
    }

    /// Gives the observation up as it stands.
    pub(super) fn hand_up(&self, up: &mut Yield) {
        self.streams_up(up);
        let list = if self.doubtful() {
            &mut up.doubtful
        } else {
            &mut up.observations
        };
        if !self.doubtful() || list.len() < MAX_DOUBTFUL {
            list.extend(self.observe());
        }
    }

    /// What broke RFC 6455, by name.
    fn violations(&self) -> Vec<String> {
        let (request, response) = (self.request.as_deref(), self.response.as_deref());
        let handshake = request.zip(response).map(|(q, a)| handshake_faults(q, a));
        faults::names(self.faults)
            .chain(handshake.into_iter().flatten())
            .map(str::to_owned)
            .collect()
    }

    const fn direction(&self, side: Side) -> Direction {
        if side == self.client {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// The server's end, where the leg is known to be a WebSocket.
    pub(super) fn websocket_server(&self) -> Option<Endpoint> {
        (self.app.kind() == Kind::WebSocket).then(|| self.ends[1 - self.client])
    }

    pub(super) fn first(&self) -> Mark {
        self.first.into()
    }
}
