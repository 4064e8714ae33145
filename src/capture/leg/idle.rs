//! A leg that waits, and of which no WebSocket was heard so far -> the little that the rest of it follows from, and the leg again.

use super::{App, Events, Half, Leg, Mark, Pings, Seen, Spot};
use crate::capture::app::{Waiting, Waits};
use crate::capture::ends::Endpoint;
use crate::capture::events::Side;
use crate::capture::half::Rest;
use crate::model::LegEventKind;

/// A leg on which all went well so far, everything is acknowledged and no WebSocket was asked for: a tenth of its size. Capture points
/// before an ordinary web server see hundreds of thousands of them wait, and as many whose beginning they missed.
#[derive(Debug)]
pub(in crate::capture) struct Idle {
    first: Spot,
    /// The first packet of who did not send the first one.
    answer: Spot,
    flows: [IdleFlow; 2],
    requests: u32,
    client: u8,
    first_by: u8,
    /// Its SYN and the answer to it were seen.
    opened: bool,
    certain: bool,
    /// Nobody said anything yet.
    silent: bool,
    app: Waits,
}

#[derive(Debug, Clone, Copy)]
struct IdleFlow {
    last_packet: Spot,
    last_payload: Option<Spot>,
    bytes: u32,
    packets: u32,
    /// What tells a copy of the last packet.
    print: u32,
    rest: Rest,
    ttl: u8,
}

impl Leg {
    /// What is left to remember, where that is all there is.
    pub(in crate::capture) fn idle(&self) -> Option<Idle> {
        let untouched = self.request.is_none()
            && self.response.is_none()
            && self.streams.is_none()
            && self.compression.is_none()
            && self.sni.is_none()
            && !self.doubtful
            && !self.refused
            && self.duplicates == 0
            && self.faults == 0
            && self.parts == 0
            && self.syn_retransmissions == 0;
        let app = self.app.waits()?;
        let silent = matches!(app.what, Waiting::Silent);
        if !untouched || silent == self.payload_seen {
            return None;
        }
        let opened = self.syn.is_some();
        let began = |side: Side| self.halves[side].flow.first_packet;
        let first_by: Side = usize::from(began(1) == Some(self.first));
        let answer = began(1 - first_by)?;
        let whole = match opened {
            true => {
                self.syn == Some(self.first)
                    && self.syn_ack == Some(answer)
                    && first_by == self.client
                    && self.events.len() == 2
            }
            false => self.syn_ack.is_none() && self.events.len() == 0,
        };
        if !whole || began(first_by) != Some(self.first) {
            return None;
        }
        let flow = |side: Side| {
            let (half, recent) = (&self.halves[side], &self.recent[side]);
            // The last packet looked at stands before the slot of the next one.
            let seen = recent.get(usize::from(self.recent_at[side].wrapping_sub(1) & 3))?;
            let last_packet = half.flow.last_packet?;
            if recent.iter().any(|s| s.tap != 0) || seen.at != last_packet.at {
                return None;
            }
            Some(IdleFlow {
                last_packet,
                last_payload: half.flow.last_payload,
                bytes: u32::try_from(half.flow.bytes).ok()?,
                packets: u32::try_from(half.flow.packets).ok()?,
                print: seen.print,
                rest: half.at_rest(opened)?,
                ttl: half.ttl()?,
            })
        };
        Some(Idle {
            first: self.first,
            answer,
            flows: [flow(0)?, flow(1)?],
            requests: self.earlier_requests,
            client: self.client as u8,
            first_by: first_by as u8,
            opened,
            certain: self.certain,
            silent,
            app,
        })
    }
}

impl Idle {
    pub(in crate::capture) const fn silent(&self) -> bool {
        self.silent
    }

    pub(in crate::capture) fn first(&self) -> Mark {
        self.first.into()
    }

    /// The leg as it was, but for packets before the last ones that could still turn out to have been copied.
    pub(in crate::capture) fn wake(&self, vantage: u32, ends: [Endpoint; 2]) -> Leg {
        let client: Side = usize::from(self.client);
        let half = |side: Side| {
            let flow = &self.flows[side];
            let mut half = Half::rested(&flow.rest, self.opened.then_some(flow.bytes));
            half.flow.packets = flow.packets.into();
            half.flow.bytes = flow.bytes.into();
            half.flow.last_packet = Some(flow.last_packet);
            half.flow.last_payload = flow.last_payload;
            half.set_ttl(flow.ttl);
            half.flow.first_packet = Some(if side == usize::from(self.first_by) {
                self.first
            } else {
                self.answer
            });
            half
        };
        let mut events = Events::default();
        if self.opened {
            events.push(Mark::from(self.first), client, LegEventKind::Syn);
            events.push(Mark::from(self.answer), 1 - client, LegEventKind::SynAck);
        }
        let seen = self.flows.map(|flow| {
            let mut recent = [Seen::default(); 4];
            recent[0] = Seen {
                at: flow.last_packet.at,
                print: flow.print,
                tap: 0,
            };
            recent
        });
        let [a, b] = self.flows.map(|f| f.last_packet);
        let later = Mark::from(b).record.ordinal > Mark::from(a).record.ordinal;
        Leg {
            recent: seen,
            halves: [half(0), half(1)],
            last_by: u8::from(later),
            app: App::waiting(self.app),
            events,
            pings: Pings::default(),
            duplicates: 0,
            recent_at: [1; 2],
            payload_seen: !self.silent,
            reset_seen: false,
            certain: self.certain,
            refused: false,
            doubtful: false,
            faults: 0,
            vantage,
            streams: None,
            carries: false,
            client,
            ends,
            first: self.first,
            syn: self.opened.then_some(self.first),
            syn_ack: self.opened.then_some(self.answer),
            syn_retransmissions: 0,
            earlier_requests: self.requests,
            parts: 0,
            request: None,
            response: None,
            compression: None,
            sni: None,
        }
    }
}
