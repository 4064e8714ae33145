//! Legs whose bytes stay encrypted -> what servers send in small records at regular steps: heartbeats, as far as sizes and times tell.

use super::recurring::TIMER_NS;
use crate::model::{
    Connection, Direction, LegEventKind, LegObservation, LegProtocol, Mark, SECOND_NS,
};
use std::collections::BTreeMap;

/// A ping of a few bytes with its frame head and what TLS adds to it.
const PING_RECORD: u32 = 64;

/// Small records of one size that come from a server in regular steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::diagnose) struct SealedBeat {
    pub(in crate::diagnose) len: u32,
    pub(in crate::diagnose) period_ns: i64,
}

/// What a server sent in records as small as a ping, by size.
pub(in crate::diagnose) fn small_records(o: &LegObservation) -> BTreeMap<u32, Vec<Mark>> {
    let mut by_len: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
    for e in o
        .events
        .iter()
        .filter(|e| e.direction == Direction::ToClient)
    {
        if let LegEventKind::TlsRecord { len } = e.what
            && let Some(len) = u32::try_from(len).ok().filter(|len| *len <= PING_RECORD)
        {
            by_len.entry(len).or_default().push(e.mark);
        }
    }
    by_len
}

pub(super) fn sealed_beats(connections: &[Connection]) -> Vec<SealedBeat> {
    let sealed = |o: &&LegObservation| o.protocol == LegProtocol::Tls && o.looks_like_websocket();
    let mut found: Vec<SealedBeat> = connections
        .iter()
        .flat_map(|c| &c.legs)
        .flat_map(|l| &l.observations)
        .filter(sealed)
        .flat_map(small_records)
        .filter_map(|(len, marks)| {
            let mut gaps: Vec<i64> = marks.windows(2).map(|w| w[1].at.since(w[0].at)).collect();
            gaps.sort_unstable();
            let period_ns = gaps.get(gaps.len() / 2).copied()?;
            let steady = gaps
                .iter()
                .filter(|g| (*g - period_ns).abs() <= TIMER_NS + period_ns / 20)
                .count();
            let regular = gaps.len() >= 2 && steady * 3 >= gaps.len() * 2;
            (regular && period_ns >= SECOND_NS).then_some(SealedBeat { len, period_ns })
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
