//! A leg that waits for its first request, or for the next plain one -> the little that the rest of it follows from, and the leg again.

use super::{App, Events, Fingerprints, Half, Leg, Mark, Pings, Seen, Spot};
use crate::capture::events::Side;
use crate::capture::packet::Endpoint;
use crate::model::LegEventKind;

/// A leg on which all went well so far, everything is acknowledged and no WebSocket was asked for: a fifth of its size. Capture points
/// before an ordinary web server see hundreds of thousands of them wait.
#[derive(Debug)]
pub(in crate::capture) struct Idle {
    first: Spot,
    syn_ack: Spot,
    flows: [IdleFlow; 2],
    requests: u32,
    vantage: u32,
    client: u8,
    /// Nobody said anything yet.
    silent: bool,
}

#[derive(Debug, Clone, Copy)]
struct IdleFlow {
    last_packet: Spot,
    last_payload: Option<Spot>,
    bytes: u64,
    packets: u32,
    next: u32,
    window: u32,
    /// What tells a copy of the last packet.
    print: u32,
    scale: u8,
    ttl: u8,
}

impl Leg {
    /// What is left to remember, where that is all there is.
    pub(in crate::capture) fn idle(&self) -> Option<Idle> {
        let (client, server) = (self.client, 1 - self.client);
        let untouched = self.request.is_none()
            && self.response.is_none()
            && self.streams.is_none()
            && self.compression.is_none()
            && self.sni.is_none()
            && !self.doubtful
            && !self.refused
            && self.certain
            && self.duplicates == 0
            && self.faults == 0
            && self.parts == 0
            && self.syn_retransmissions == 0
            && self.syn == Some(self.first)
            && self.events.len() == 2;
        let syn_ack = self.syn_ack?;
        let silent = self.app.waits(client)?;
        if !untouched || silent == self.payload_seen {
            return None;
        }
        let begins = [(client, self.first), (server, syn_ack)];
        let began = |(side, at): (Side, Spot)| self.halves[side].flow.first_packet == Some(at);
        if !begins.into_iter().all(began) {
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
            let (next, window, scale) = half.at_rest()?;
            Some(IdleFlow {
                last_packet,
                last_payload: half.flow.last_payload,
                bytes: half.flow.bytes,
                packets: u32::try_from(half.flow.packets).ok()?,
                next,
                window,
                print: seen.print,
                scale,
                ttl: half.flow.ttl?,
            })
        };
        Some(Idle {
            first: self.first,
            syn_ack,
            flows: [flow(0)?, flow(1)?],
            requests: self.earlier_requests,
            vantage: self.vantage,
            client: u8::from(client == 1),
            silent,
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
    pub(in crate::capture) fn wake(&self, ends: [Endpoint; 2]) -> Leg {
        let client: Side = usize::from(self.client);
        let half = |side: Side| {
            let flow = &self.flows[side];
            let mut half = Half::rested(flow.next, flow.bytes, flow.window, flow.scale);
            half.flow.packets = u64::from(flow.packets);
            half.flow.bytes = flow.bytes;
            half.flow.last_packet = Some(flow.last_packet);
            half.flow.last_payload = flow.last_payload;
            half.flow.ttl = Some(flow.ttl);
            half.flow.first_packet = Some(if side == client {
                self.first
            } else {
                self.syn_ack
            });
            half
        };
        let mut events = Events::default();
        events.push(Mark::from(self.first), client, LegEventKind::Syn);
        events.push(Mark::from(self.syn_ack), 1 - client, LegEventKind::SynAck);
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
        let later = if Mark::from(b).record.ordinal > Mark::from(a).record.ordinal {
            b
        } else {
            a
        };
        Leg {
            recent: seen,
            halves: [half(0), half(1)],
            last: later,
            app: App::waiting(client, self.silent),
            events,
            fingerprints: Fingerprints::default(),
            pings: Pings::default(),
            duplicates: 0,
            recent_at: [1; 2],
            payload_seen: !self.silent,
            reset_seen: false,
            certain: true,
            refused: false,
            doubtful: false,
            faults: 0,
            vantage: self.vantage,
            streams: None,
            client,
            ends,
            first: self.first,
            syn: Some(self.first),
            syn_ack: Some(self.syn_ack),
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
