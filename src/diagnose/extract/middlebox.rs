//! What firewalls and connection tables logged of a connection's flows, and silences that a reset ended -> the `middlebox.*` facts.

use super::{CAPTURE, POPULATION, PROXY_LOG, Subject, shown};
use crate::diagnose::fact::{Row, Value};
use crate::diagnose::population::packet_silence;
use crate::model::{HopEvent, HopKind, HopLine, Moment, SECOND_NS};

/// Firewalls keep their own clocks, and refuse late packets of what is over: only what came this long before the end counts.
const MARGIN_NS: i64 = SECOND_NS;

pub(super) fn extract(s: &Subject<'_>, row: &mut Row) {
    counts_packets(s, row);
    let told = || s.c.hop_lines.iter().filter(|h| h.hop == HopKind::Firewall);
    let stood = |h: &&HopLine| {
        let latest = h.at.at.plus(h.at.tick_ns.saturating_add(MARGIN_NS));
        s.c.closed.is_none_or(|c| latest <= c.middle())
    };
    let lost = |h: &&HopLine| matches!(h.what, HopEvent::FlowForgotten | HopEvent::FlowUnknown);
    let forgot: Vec<&HopLine> = told().filter(lost).filter(stood).collect();
    if let Some(first) = forgot.first() {
        let records = forgot.iter().map(|h| (h.record, Some(h.at))).collect();
        row.set(
            "middlebox.forgot",
            shown(Value::Bool(true), PROXY_LOG, records),
        );
        if first.what == HopEvent::FlowForgotten
            && let Some((quiet, record)) = silence(s, first.at.at)
        {
            let records = vec![(first.record, Some(first.at)), record];
            row.set(
                "middlebox.silence",
                shown(Value::Duration(quiet), CAPTURE.and(PROXY_LOG), records),
            );
        }
    } else if let Some(over) = told().find(|h| h.what == HopEvent::FlowOver) {
        // It kept the flow until it saw its FIN or RST.
        let records = vec![(over.record, Some(over.at))];
        row.set(
            "middlebox.forgot",
            shown(Value::Bool(false), PROXY_LOG, records),
        );
    }
}

/// A hop that counts packets and not payload: the same silence of all of them recurs.
fn counts_packets(s: &Subject<'_>, row: &mut Row) {
    let Some((ns, kept)) = s.c.closed.and_then(|end| packet_silence(s.c, end.at)) else {
        return;
    };
    let timers = s.population.by_packet(s.place.proxy);
    let Some(timer) = timers.iter().find(|r| r.is_near(ns)) else {
        return;
    };
    let of = CAPTURE.and(POPULATION);
    let records = vec![super::at(kept)];
    row.set(
        "idle.packet_timer",
        shown(Value::Bool(true), of, records.clone()),
    );
    row.set(
        "middlebox.silence",
        shown(Value::Duration(timer.ns), of, records),
    );
}

type Seen = (crate::model::RecordRef, Option<crate::model::Stamp>);

/// From the last payload before that moment until it.
fn silence(s: &Subject<'_>, at: Moment) -> Option<(i64, Seen)> {
    let last = s
        .observations()
        .flat_map(|(_, o)| {
            let kept = o.events.iter().map(|e| e.mark);
            kept.chain(
                [o.to_server.last_payload, o.to_client.last_payload]
                    .into_iter()
                    .flatten(),
            )
        })
        .filter(|m| m.at <= at)
        .max_by_key(|m| m.at)?;
    Some((at.since(last.at), super::at(last)))
}
