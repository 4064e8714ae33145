//! What happens on the streams of an HTTP/2 leg -> an observation of each that is a WebSocket, as if it were a leg of its own.

use super::{Half, Leg, Mark, Spot, Yield};
use crate::capture::app::{App, Kind};
use crate::capture::events::{Events, Side};
use crate::capture::http2::On;
use crate::capture::pings::Pings;
use crate::model::{Http2Stream, LegEventKind, LegObservation, Reset};
use std::collections::BTreeMap;

/// The WebSockets of a leg by their stream, or what marks one of them.
#[derive(Debug)]
pub(super) enum Streams {
    Carrier(BTreeMap<u32, Box<Leg>>),
    One(Http2Stream),
}

impl Leg {
    /// A leg that stands for one stream of this one.
    fn stream(&self, id: u32, kind: Kind, mark: Mark) -> Self {
        let half = |side: Side| {
            let mut half = Half::default();
            if let Some(ttl) = self.halves[side].ttl() {
                half.set_ttl(ttl);
            }
            half
        };
        // The first one shows how the connection came about.
        let begins = self.streams.is_none();
        let mut events = Events::default();
        if begins {
            let opening = [
                (self.syn, self.client, LegEventKind::Syn),
                (self.syn_ack, 1 - self.client, LegEventKind::SynAck),
            ];
            for (at, side, what) in opening {
                if let Some(at) = at {
                    events.push(at.into(), side, what);
                }
            }
        }
        Self {
            vantage: self.vantage,
            ends: self.ends,
            client: self.client,
            certain: self.certain,
            first: if begins { self.first } else { mark.into() },
            last_by: self.last_by,
            syn: self.syn.filter(|_| begins),
            syn_ack: self.syn_ack.filter(|_| begins),
            syn_retransmissions: if begins { self.syn_retransmissions } else { 0 },
            refused: false,
            halves: [half(0), half(1)],
            app: App::stream(kind),
            request: None,
            response: None,
            earlier_requests: 0,
            parts: 0,
            doubtful: false,
            events,
            pings: Pings::default(),
            duplicates: 0,
            faults: 0,
            sni: self.sni.clone(),
            recent: Default::default(),
            recent_at: [0; 2],
            payload_seen: true,
            reset_seen: false,
            carries: false,
            compression: None,
            streams: Some(Box::new(Streams::One(Http2Stream {
                id,
                reset: None,
                ended: false,
                goaway: None,
            }))),
        }
    }

    pub(super) fn on_stream(&mut self, id: u32, what: On, mark: Mark, up: &mut Yield) {
        let known = match self.streams.as_deref() {
            Some(Streams::Carrier(all)) => all.contains_key(&id),
            Some(Streams::One(_)) => return,
            None => false,
        };
        if !known {
            let kind = match what {
                On::Request(_) => Kind::Http,
                On::Frame(..) | On::Data(..) => Kind::WebSocket,
                _ => return,
            };
            let fresh = Box::new(self.stream(id, kind, mark));
            self.carries = true;
            let all = self
                .streams
                .get_or_insert_with(|| Box::new(Streams::Carrier(BTreeMap::new())));
            if let Streams::Carrier(all) = &mut **all {
                all.insert(id, fresh);
            }
        }
        let places = [self.place(0), self.place(1)];
        let (client, certain) = (self.client, self.certain);
        let lost = [0, 1].map(|side: Side| self.halves[side].flow.lost_bytes);
        let Some(Streams::Carrier(all)) = self.streams.as_deref_mut() else {
            return;
        };
        let Some(stream) = all.get_mut(&id) else {
            return;
        };
        (stream.client, stream.certain) = (client, certain);
        let over = stream.take(what, mark, places, up);
        if over && let Some(mut stream) = all.remove(&id) {
            if let Some(own) = stream.own() {
                own.ended = true;
            }
            for (half, lost) in stream.halves.iter_mut().zip(lost) {
                half.flow.lost_bytes = lost;
            }
            up.observations.extend(stream.observe_stream());
        }
    }

    const fn own(&mut self) -> Option<&mut Http2Stream> {
        match &mut self.streams {
            Some(streams) => match &mut **streams {
                Streams::One(own) => Some(own),
                Streams::Carrier(_) => None,
            },
            None => None,
        }
    }

    /// True where the stream is over.
    fn take(
        &mut self,
        what: On,
        mark: Mark,
        places: [(u32, Option<Mark>); 2],
        up: &mut Yield,
    ) -> bool {
        let spot = Spot::from(mark);
        let (client, server) = (self.client, 1 - self.client);
        let side = match what {
            On::Request(_) => client,
            On::Response(_) => server,
            On::Frame(side, _) | On::Data(side, _) | On::End(side) | On::Reset(side, _) => {
                side.min(1)
            }
        };
        self.last_by = side as u8;
        let ttl = self.halves[side].ttl().unwrap_or(0);
        let flow = &mut self.halves[side].flow;
        flow.first_packet.get_or_insert(spot);
        if flow.last_packet.replace(spot) != Some(spot) {
            flow.packets += 1;
        }
        match what {
            On::Request(request) => {
                flow.last_payload = Some(spot);
                self.events.push(mark, side, LegEventKind::Request);
                self.request = Some(request);
            }
            On::Response(response) => {
                flow.last_payload = Some(spot);
                self.events.push(mark, side, LegEventKind::Response);
                if response.upgraded() {
                    self.app = App::stream(Kind::WebSocket);
                }
                self.agree(&response, up);
                self.response = Some(response);
            }
            On::Data(_, bytes) => {
                flow.bytes += bytes;
                flow.last_payload = Some(spot);
            }
            On::Frame(_, mut frame) => self.frame(side, &mut frame, places[side], up),
            On::End(_) => {
                flow.fin = Some(spot);
                flow.fin_acked = true;
                self.events.push(mark, side, LegEventKind::EndStream);
                return self.halves.iter().all(|h| h.flow.fin.is_some());
            }
            On::Reset(_, code) => {
                flow.rst = Some(Box::new(Reset {
                    mark,
                    ttl,
                    in_window: true,
                }));
                self.events
                    .push(mark, side, LegEventKind::ResetStream { code });
                let direction = self.direction(side);
                if let Some(own) = self.own() {
                    own.reset = Some((direction, code));
                }
                return true;
            }
        }
        false
    }

    pub(super) fn go_away(&mut self, side: Side, (last, code): (u32, u32), mark: Mark) {
        let direction = self.direction(side);
        let Some(Streams::Carrier(all)) = self.streams.as_deref_mut() else {
            return;
        };
        for stream in all.values_mut() {
            stream
                .events
                .push(mark, side, LegEventKind::GoAway { code, last });
            if let Some(own) = stream.own() {
                own.goaway = Some((direction, code));
            }
        }
    }

    /// Everything that `side` sent up to `ack` arrived.
    pub(super) fn streams_acked(&mut self, side: Side, ack: u32, mark: Mark) {
        if let Some(Streams::Carrier(all)) = self.streams.as_deref_mut() {
            for stream in all.values_mut() {
                stream.pings.acked(side, ack, mark);
            }
        }
    }

    fn observe_stream(&self) -> Option<LegObservation> {
        let mut observed = self.observe()?;
        if let Some(Streams::One(own)) = self.streams.as_deref() {
            observed.http2 = Some(*own);
        }
        Some(observed)
    }

    /// Gives up the streams that are still open: what ended the connection ended them.
    pub(super) fn streams_up(&self, up: &mut Yield) {
        let Some(Streams::Carrier(all)) = self.streams.as_deref() else {
            return;
        };
        for stream in all.values() {
            let Some(mut observed) = stream.observe_stream() else {
                continue;
            };
            observed.last = self.last().into();
            observed.duplicates = self.duplicates;
            let sides = [self.client, 1 - self.client];
            let flows = [&mut observed.to_server, &mut observed.to_client];
            for (side, flow) in sides.into_iter().zip(flows) {
                let seen = self.halves[1 - side].flow.packets > 0;
                let carrier = self.halves[side].observe(seen, self.last().into());
                if flow.fin.is_none() {
                    flow.fin = carrier.fin;
                    flow.fin_acked = carrier.fin_acked;
                }
                if flow.rst.is_none() {
                    flow.rst = carrier.rst;
                }
                flow.unanswered = carrier.unanswered;
                flow.last_packet = carrier.last_packet;
                flow.ttl = carrier.ttl;
                flow.lost_bytes = carrier.lost_bytes;
                flow.retransmissions = carrier.retransmissions;
                flow.keepalives = carrier.keepalives;
                flow.zero_windows = carrier.zero_windows;
                flow.zero_window_since = carrier.zero_window_since;
                flow.zero_window_ns = carrier.zero_window_ns;
            }
            let endings = self.events.list(|side| self.direction(side));
            observed.events.extend(
                endings
                    .into_iter()
                    .filter(|e| matches!(e.what, LegEventKind::Fin | LegEventKind::Rst)),
            );
            observed
                .events
                .sort_by_key(|e| (e.mark.at, e.mark.record.source, e.mark.record.ordinal));
            up.observations.push(observed);
        }
    }
}
