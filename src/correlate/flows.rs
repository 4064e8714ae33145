//! What firewalls, NATs and connection tables say of single flows -> the connections whose legs those flows are.

use super::draft::Draft;
use crate::model::{HopLine, Moment, SECOND_NS, Stamp};
use std::collections::HashMap;
use std::net::SocketAddr;

/// So long after the end of a connection its packets may still be refused, and its entry still be dropped (TCP gives up after fifteen minutes).
const LATE_NS: i64 = 15 * 60 * SECOND_NS;

/// Gives each line to the connection that had this end of the flow at that time; lines of other flows are none of the case.
pub(super) fn join(drafts: &mut [Draft], lines: Vec<HopLine>) {
    if lines.is_empty() {
        return;
    }
    let mut by_end: HashMap<SocketAddr, Vec<(Moment, Moment, usize)>> = HashMap::new();
    for (i, d) in drafts.iter().enumerate() {
        let from = d.opened().map_or(Moment(i64::MIN), Stamp::middle);
        let to = d.over().map_or(Moment(i64::MAX), Stamp::middle);
        let legs = d.chain.iter().map(|l| l.client);
        let logged = d
            .tunnels
            .iter()
            .filter_map(|t| Some(SocketAddr::new(t.client?, t.client_port?)));
        for end in legs.chain(logged) {
            let end = SocketAddr::new(end.ip().to_canonical(), end.port());
            by_end.entry(end).or_default().push((from, to, i));
        }
    }
    for line in lines {
        let from = line.client.zip(line.client_port);
        let ends = [
            from.map(|(ip, port)| SocketAddr::new(ip, port)),
            line.upstream,
        ];
        let room = line.at.tick_ns.saturating_add(2 * SECOND_NS);
        let stood = ends
            .into_iter()
            .flatten()
            .filter_map(|end| by_end.get(&end))
            .flatten()
            .filter(|(from, to, _)| {
                let late = Moment(to.0.saturating_add(LATE_NS));
                Moment(from.0.saturating_sub(room)) <= line.at.at && line.at.at <= late
            })
            // Ports are used again: the youngest that fits.
            .max_by_key(|(from, _, i)| (*from, std::cmp::Reverse(*i)));
        if let Some(&(.., i)) = stood
            && let Some(draft) = drafts.get_mut(i)
        {
            draft.hop_lines.push(line);
        }
    }
    for d in drafts {
        d.hop_lines.sort_by_key(|l| (l.at, l.record));
    }
}
