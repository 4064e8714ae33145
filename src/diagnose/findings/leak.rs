//! Sockets that stand longer than the connections they were for -> W803, by server: never closed after the peer's FIN, or left to a client that is back.

use crate::model::{Cause, Finding, Judged, Moment, RecordRef, SECOND_NS, Source, say_duration};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Fewer are a coincidence of the moment: one is always just closing.
const FEW: usize = 3;
/// A process that has not closed its end so long after its peer did has forgotten it.
const FORGOTTEN_NS: i64 = 60 * SECOND_NS;
/// Where runbooks alert (M5).
const ALERT: u64 = 50;

const FIXES: [&str; 2] = [
    "close the socket where the library says that its peer has ended: handle `close`, `end` and `error`, and clear timers and maps that hold it [X9 H10]",
    "alert on `ss -tn state close-wait | wc -l` above 50, and compare open sockets with known sessions after clients were cut off [M5 V4]",
];

/// From captures.
pub(super) fn leaks(all: &[Judged]) -> Vec<Finding> {
    let mut out = never_closed(all);
    out.extend(duplicates(all));
    out
}

/// Legs whose client sent its FIN, and whose server never sent its own although the capture went on.
fn never_closed(all: &[Judged]) -> Vec<Finding> {
    let observations = || {
        all.iter()
            .flat_map(|j| j.connection.legs.iter().map(move |l| (j, l)))
            .flat_map(|(j, l)| l.observations.iter().map(move |o| (j, o)))
    };
    // How far each capture reaches.
    let mut ends: BTreeMap<u32, Moment> = BTreeMap::new();
    for (_, o) in observations() {
        let end = ends.entry(o.last.record.source.0).or_insert(o.last.at);
        *end = (*end).max(o.last.at);
    }
    let mut by_server: BTreeMap<SocketAddr, Vec<(&Judged, RecordRef, i64)>> = BTreeMap::new();
    for (j, o) in observations() {
        let Some(fin) = o.to_server.fin.filter(|_| o.to_server.fin_acked) else {
            continue;
        };
        let answered = o.to_client.fin.is_some();
        let reset = o.to_client.rst.is_some() || o.to_server.rst.is_some();
        let stood = ends
            .get(&fin.record.source.0)
            .map_or(0, |end| end.since(fin.at));
        if !answered && !reset && stood >= FORGOTTEN_NS {
            let of = by_server.entry(o.server).or_default();
            of.push((j, fin.record, stood));
        }
    }
    by_server
        .into_iter()
        .filter(|(_, sockets)| sockets.len() >= FEW)
        .map(|(server, sockets)| {
            let least = sockets.iter().map(|s| s.2).min().unwrap_or(0);
            finding(
                format!(
                    "{} sockets of {server} stand in CLOSE_WAIT: their peers sent FIN {} and more before the capture ends, and the process never closed them",
                    sockets.len(),
                    say_duration(least / SECOND_NS * SECOND_NS),
                ),
                sockets.iter().map(|s| s.0.connection.id.clone()).collect(),
                sockets.iter().map(|s| s.1).collect(),
            )
        })
        .collect()
}

/// Connections that their server kept although the same client was back.
fn duplicates(all: &[Judged]) -> Vec<Finding> {
    let mut by_server: BTreeMap<String, Vec<&Judged>> = BTreeMap::new();
    for j in all
        .iter()
        .filter(|j| j.verdict.cause == Some(Cause::HalfOpenDuplicate))
    {
        let end = j.connection.hops.last().and_then(|h| h.address);
        let name = end.map_or_else(|| "the server".to_owned(), |ip| ip.to_string());
        by_server.entry(name).or_default().push(j);
    }
    by_server
        .into_iter()
        .filter(|(_, kept)| kept.len() >= FEW)
        .map(|(server, kept)| {
            let records = kept
                .iter()
                .filter_map(|j| j.verdict.evidence.iter().find_map(|e| e.record));
            finding(
                format!(
                    "{server} kept {} connections open whose clients were back on new ones: each costs a descriptor, and what is sent to it is lost",
                    kept.len()
                ),
                kept.iter().map(|j| j.connection.id.clone()).collect(),
                records.collect(),
            )
        })
        .collect()
}

fn finding(say: String, connections: Vec<String>, records: Vec<RecordRef>) -> Finding {
    Finding {
        code: "W803".to_owned(),
        kind: "half-open-leak".to_owned(),
        say,
        hop: None,
        timeout_ns: None,
        connections,
        records: records.into_iter().take(8).collect(),
        fix: FIXES.iter().map(|f| (*f).into()).collect(),
    }
}

/// From socket tables: what a snapshot counts in CLOSE-WAIT.
pub fn socket_leaks(sources: &[Source]) -> Vec<Finding> {
    let mut out = Vec::new();
    for source in sources {
        let counted = source.anomalies.iter().filter(|a| a.kind == "close-wait");
        for found in counted.filter(|a| a.count >= FEW as u64) {
            let above = if found.count > ALERT {
                format!(", above the {ALERT} at which runbooks alert")
            } else {
                String::new()
            };
            out.push(finding(
                format!(
                    "{}: {} sockets in CLOSE-WAIT{above}: their peers have closed and the process never did",
                    source.path, found.count
                ),
                Vec::new(),
                vec![RecordRef {
                    source: source.id,
                    ordinal: found.first_record,
                    start: 0,
                    len: 0,
                }],
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::made_up::{came, mark, seen};

    /// A connection whose client ended at 5 s; its server at `server_end`, and the capture at `over`.
    fn ended(n: usize, server_end: Option<i64>, over: i64) -> Judged {
        let mut j = came(n, 0, Some(5_000), Some(Cause::ClientAbort)).judged(n);
        let mut leg = seen(&[(1_000, false)], &[]);
        if let Some(o) = leg.observations.first_mut() {
            o.to_server.fin = Some(mark(5_000));
            o.to_server.fin_acked = true;
            o.to_client.fin = server_end.map(mark);
            o.last = mark(over);
        }
        j.connection.legs = vec![leg];
        j
    }

    #[test]
    fn sockets_that_nobody_closes_are_a_leak() {
        let check = |ends: &[Option<i64>], over: i64, found: Option<&str>| {
            let all: Vec<Judged> = ends
                .iter()
                .enumerate()
                .map(|(n, end)| ended(n, *end, over))
                .collect();
            let got = leaks(&all);
            assert_eq!(got.len(), usize::from(found.is_some()), "{got:?}");
            if let (Some(f), Some(part)) = (got.first(), found) {
                assert!(f.code == "W803" && f.say.contains(part), "{}", f.say);
            }
        };
        check(
            &[None; 4],
            90_000,
            Some("4 sockets of 10.9.1.1:8080 stand in CLOSE_WAIT"),
        );
        // Two are nothing, what the server closed is none, and a capture that ends at once tells nothing.
        check(&[None; 2], 90_000, None);
        check(&[Some(5_001); 4], 90_000, None);
        check(&[None; 4], 20_000, None);
    }

    #[test]
    fn duplicates_are_one_finding_for_each_server() {
        let kept = |n: usize| came(n, 0, None, Some(Cause::HalfOpenDuplicate)).judged(n);
        let all: Vec<Judged> = (0..4).map(kept).collect();
        let got = leaks(&all);
        assert_eq!(got.len(), 1);
        assert!(
            got[0].say.starts_with("10.9.1.1 kept 4 connections"),
            "{}",
            got[0].say
        );
        assert_eq!(got[0].connections.len(), 4);
        assert!(leaks(&all[..2]).is_empty());
    }
}
