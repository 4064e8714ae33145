//! One connection among the others -> its row of facts.

mod client;
mod close;
mod handshake;
mod heartbeat;
mod middlebox;
pub(super) mod server;
pub(super) mod timers;

pub(super) use close::told_server;

use super::fact::{Reading, Row, Value, Witnesses};
use super::population::{Place, Population};
use crate::model::{
    AppEvent, CaseContext, CloseShape, Connection, ConnectionLeg, LegEventKind, LegObservation,
    LegProtocol, Mark, Moment, RecordRef, Stamp,
};

pub(super) const CAPTURE: Witnesses = Witnesses {
    capture: true,
    ..NOBODY
};
pub(super) const PROXY_LOG: Witnesses = Witnesses {
    proxy_log: true,
    ..NOBODY
};
pub(super) const APP_LOG: Witnesses = Witnesses {
    app_log: true,
    ..NOBODY
};
pub(super) const CONFIG: Witnesses = Witnesses {
    config: true,
    ..NOBODY
};
pub(super) const POPULATION: Witnesses = Witnesses {
    population: true,
    ..NOBODY
};
pub(super) const NOBODY: Witnesses = Witnesses {
    capture: false,
    proxy_log: false,
    app_log: false,
    config: false,
    population: false,
};

/// What every extractor looks at.
pub(super) struct Subject<'a> {
    pub(super) index: usize,
    pub(super) c: &'a Connection,
    pub(super) context: &'a CaseContext,
    pub(super) population: &'a Population,
    pub(super) all: &'a [Connection],
    pub(super) place: &'a Place,
    /// `closed`, or the end of the evidence.
    pub(super) until: Moment,
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        index: usize,
        all: &'a [Connection],
        context: &'a CaseContext,
        population: &'a Population,
    ) -> Self {
        let c = &all[index];
        let until = c
            .closed
            .map(|s| s.at)
            .or(context.window.map(|w| w.1))
            .unwrap_or(c.sort_at);
        Self {
            index,
            c,
            context,
            population,
            all,
            place: &population.places[index],
            until,
        }
    }

    pub(super) fn observations(
        &self,
    ) -> impl Iterator<Item = (&'a ConnectionLeg, &'a LegObservation)> + use<'a> {
        self.c
            .legs
            .iter()
            .flat_map(|l| l.observations.iter().map(move |o| (l, o)))
    }

    /// The leg at the client, where a capture saw it.
    pub(super) fn client_leg(&self) -> Option<&'a ConnectionLeg> {
        self.c.legs.first().filter(|l| l.from == 0)
    }

    /// A Close handshake that only the sizes of encrypted records show.
    pub(super) fn close_shape(&self) -> Option<CloseShape> {
        if !self.encrypted() {
            return None;
        }
        self.observations()
            .find_map(|(_, o)| o.tls.as_ref()?.close_shape)
    }

    /// No leg could be read: all there is are the records of an encrypted one.
    pub(super) fn encrypted(&self) -> bool {
        !self.readable() && self.observations().any(|(_, o)| o.looks_like_websocket())
    }

    /// Frames can be read on some leg.
    pub(super) fn readable(&self) -> bool {
        self.observations().any(|(_, o)| {
            matches!(
                o.protocol,
                LegProtocol::WebSocket | LegProtocol::WebSocketMidstream
            )
        })
    }
}

pub(super) fn shown(
    value: Value,
    witness: Witnesses,
    records: Vec<(RecordRef, Option<Stamp>)>,
) -> Reading {
    Reading {
        value: Some(value),
        records,
        witness,
    }
}

pub(super) fn at(mark: Mark) -> (RecordRef, Option<Stamp>) {
    (mark.record, Some(Stamp::new(mark.at, 1_000)))
}

pub(super) fn row(s: &Subject<'_>) -> Row {
    let mut row = Row::new();
    handshake::extract(s, &mut row);
    close::extract(s, &mut row);
    timers::extract(s, &mut row);
    heartbeat::extract(s, &mut row);
    client::extract(s, &mut row);
    client::returns(s, &mut row);
    server::extract(s, &mut row);
    server::proxy(s, &mut row);
    middlebox::extract(s, &mut row);
    rest(s, &mut row);
    row
}

fn rest(s: &Subject<'_>, row: &mut Row) {
    if let Some((_, o)) = s.observations().find(|(_, o)| !o.violations.is_empty()) {
        row.set(
            "frames.violation",
            shown(Value::Bool(true), CAPTURE, vec![at(o.last)]),
        );
    } else if s.readable() {
        row.set(
            "frames.violation",
            shown(Value::Bool(false), CAPTURE, vec![]),
        );
    }
    let too_big = s.c.app_lines.iter().find(|l| matches!(&l.what, AppEvent::Error { message, code } if close::says_too_big(message, code.as_deref())));
    if let Some(l) = too_big {
        row.set(
            "message.too_big_logged",
            shown(Value::Bool(true), APP_LOG, vec![(l.record, Some(l.at))]),
        );
    }
    let standing = s.c.closed.is_none() && s.place.accepted;
    row.set(
        "half_open.at_server",
        shown(
            Value::Bool(standing),
            if s.c.legs.is_empty() {
                PROXY_LOG
            } else {
                CAPTURE
            },
            vec![],
        ),
    );
    tls_by_log(s, row);
    let tls = s
        .observations()
        .find(|(_, o)| o.protocol == LegProtocol::Tls);
    if let Some((_, o)) = tls {
        let view = o.tls.clone().unwrap_or_default();
        let over = close::first_teardown(o);
        // With its first bytes seen: a leg that was over before the client said anything under encryption.
        let cut = o.whole_from_start() && over.is_some() && !view.established;
        let told = view.failed || view.established || cut;
        if told {
            let mark = alert(o).or(over).unwrap_or(o.last);
            row.set(
                "tls.failed",
                shown(Value::Bool(view.failed || cut), CAPTURE, vec![at(mark)]),
            );
        }
    }
}

/// What only the log of the hop at the door tells.
fn tls_by_log(s: &Subject<'_>, row: &mut Row) {
    let line = s.c.hop_lines.iter().find(|h| h.is_tls());
    if let Some(h) = line.filter(|_| s.c.legs.is_empty()) {
        row.set(
            "tls.failed",
            shown(Value::Bool(true), PROXY_LOG, vec![(h.record, Some(h.at))]),
        );
    }
}

fn alert(o: &LegObservation) -> Option<Mark> {
    let alert = |k: &LegEventKind| matches!(k, LegEventKind::TlsAlert { level: 2, .. });
    o.events.iter().find(|e| alert(&e.what)).map(|e| e.mark)
}
