//! A leg as it stands -> the observation that it comes to.

use super::{Leg, Mark};
use crate::capture::app::Kind;
use crate::capture::events::Side;
use crate::capture::tls;
use crate::model::{
    BeatKind, CloseShape, LegEvent, LegEventKind, LegObservation, LegProtocol, Ping, TlsView,
};

impl Leg {
    /// What was seen; `None` where nothing of it concerns WebSockets.
    pub(super) fn observe(&self) -> Option<LegObservation> {
        let upgraded = self.response.as_ref().is_some_and(|r| r.upgraded());
        let protocol = match self.app.kind() {
            Kind::WebSocket if upgraded => LegProtocol::WebSocket,
            Kind::WebSocket => LegProtocol::WebSocketMidstream,
            Kind::Http if self.request.is_none() => return None,
            Kind::Http | Kind::Other if self.response.is_some() => LegProtocol::UpgradeRefused,
            Kind::Http => LegProtocol::UpgradeUnanswered,
            Kind::Tls => LegProtocol::Tls,
            Kind::Silent if !self.payload_seen => LegProtocol::NoPayload,
            Kind::Midstream if self.request.is_some() => LegProtocol::UpgradeUnanswered,
            Kind::Silent | Kind::Midstream | Kind::Http2 | Kind::Other => return None,
        };
        let (client, server) = (self.client, 1 - self.client);
        let direction = |side: Side| self.direction(side);
        let ends = [0, 1].map(|side: Side| {
            let flow = &self.halves[side].flow;
            tls::Ends {
                fin: flow.fin.map(Mark::from),
                rst: flow.rst.as_ref().map(|r| r.mark),
            }
        });
        let tls = self.app.tls();
        let notify = |side: Side| tls.and_then(|t| t.close_notify(side, client, &ends));
        let flow = |side: Side| {
            let mut flow = self.halves[side]
                .observe(self.halves[1 - side].flow.packets > 0, self.last().into());
            if let Some(tls) = tls {
                flow.close_notify = notify(side);
                flow.last_payload = tls.last_payload(side, flow.close_notify);
            }
            flow
        };
        let mut pings = self.pings.list(direction);
        let mut events = self.events.list(direction);
        let view = tls.map(|t| {
            let (beats, close) = t.shapes(client, &ends);
            pings.extend(beats.iter().map(|b| Ping {
                kind: BeatKind::Frame,
                sent: b.sent,
                direction: direction(b.side),
                answered: b.answered,
                acked: None,
            }));
            told_by_size(&mut events, [notify(0), notify(1)]);
            let look = t.look();
            TlsView {
                version: look.version,
                cipher: look.cipher,
                alpn: look.alpn,
                keys: look.keys,
                overhead: look.overhead,
                established: look.established,
                failed: look.failed,
                websocket: look.websocket,
                inferred_pings: !beats.is_empty(),
                no_close: t.no_close(client, &ends),
                close_shape: close.map(|c| CloseShape {
                    direction: direction(c.side),
                    sent: c.sent,
                    answered: c.answered,
                }),
            }
        });
        Some(LegObservation {
            vantage: self.vantage,
            client: self.ends[client].socket(),
            server: self.ends[server].socket(),
            sides_certain: self.certain,
            protocol,
            syn: self.syn.map(Mark::from),
            syn_ack: self.syn_ack.map(Mark::from),
            syn_retransmissions: self.syn_retransmissions,
            refused: self.refused,
            request: self.request.as_deref().cloned(),
            response: self.response.as_deref().cloned(),
            earlier_requests: self.earlier_requests,
            first: self.first.into(),
            last: self.last().into(),
            to_server: flow(client),
            to_client: flow(server),
            pings,
            fingerprints: self.events.fingerprints(direction),
            events,
            duplicates: self.duplicates,
            violations: self.violations(),
            sni: self.sni.clone(),
            compression: self.compressed(),
            http2: None,
            tls: view,
        })
    }
}

/// A record that its size and place show to be a close_notify is an alert on the time line as well.
fn told_by_size(events: &mut [LegEvent], notified: [Option<Mark>; 2]) {
    for event in events {
        let record = matches!(event.what, LegEventKind::TlsRecord { .. });
        let same = |m: &Mark| m.record == event.mark.record;
        if record && notified.iter().flatten().any(same) {
            event.what = LegEventKind::TlsAlert {
                level: 0,
                description: 0,
            };
        }
    }
}
