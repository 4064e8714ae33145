//! One connection of an analysis -> a pcapng file with its packets over all legs and files, in order of corrected time.

use super::rotation;
use crate::capture::{self, PcapngWriter, Picked, Wanted};
use crate::case::Case;
use crate::model::{Analysis, Judged, SourceId, inert};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Packets read ahead of each vantage point.
const AHEAD: usize = 256;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    pub packets: u64,
    pub files: usize,
    /// Packets with a comment.
    pub commented: u64,
}

/// Writes the packets of a connection, as they were recorded, with what the evidence says of them as comments.
pub fn cut<W: Write>(case: &Case, analysis: &Analysis, judged: &Judged, out: W) -> io::Result<Cut> {
    let path = |id: SourceId| {
        analysis
            .source(id)
            .map_or_else(String::new, |s| inert(&s.path))
    };
    let comments = comments(judged);
    let mut writer = PcapngWriter::new(out, &summary(judged, &path))?;
    let mut cut = Cut::default();
    let mut files = BTreeSet::new();
    let chains = chains(analysis, judged);
    std::thread::scope(|scope| {
        let mut heads: Vec<Head> = Vec::new();
        for chain in &chains {
            let (sender, receiver) = sync_channel(AHEAD);
            scope.spawn(move || read(case, chain, &sender));
            heads.push(Head::new(receiver));
        }
        loop {
            let offset = |id: SourceId| analysis.source(id).map_or(0, |s| s.clock.offset_ns);
            let next = heads
                .iter_mut()
                .filter(|h| h.next.is_some())
                .min_by_key(|h| {
                    h.next
                        .as_ref()
                        .map(|p| (p.at.plus(-offset(p.source)), p.source, p.ordinal))
                });
            let Some(packet) = next.and_then(Head::take) else {
                break;
            };
            let comment = comments.get(&(packet.source, packet.ordinal));
            cut.packets += 1;
            cut.commented += u64::from(comment.is_some());
            files.insert(packet.source);
            writer.packet(
                &packet,
                &path(packet.source),
                comment.map_or("", String::as_str),
            )?;
        }
        Ok::<(), io::Error>(())
    })?;
    writer.finish()?;
    cut.files = files.len();
    Ok(cut)
}

/// Whether a file that begins so was written by [`cut`].
pub fn is_cut(head: &[u8]) -> bool {
    capture::written_here(head)
}

/// The next packet of a vantage point.
struct Head {
    receiver: Receiver<Picked>,
    next: Option<Picked>,
}

impl Head {
    fn new(receiver: Receiver<Picked>) -> Self {
        let next = receiver.recv().ok();
        Self { receiver, next }
    }

    fn take(&mut self) -> Option<Picked> {
        std::mem::replace(&mut self.next, self.receiver.recv().ok())
    }
}

/// What is wanted of a file: legs, and single packets that the evidence cites.
type Share = (BTreeSet<Wanted>, BTreeSet<u64>);

/// The files of a vantage point one after the other.
type Chain = Vec<(SourceId, Share)>;

fn read(case: &Case, chain: &Chain, sender: &SyncSender<Picked>) {
    let mut wanted = true;
    for (source, (legs, cited)) in chain {
        if !wanted {
            return;
        }
        // Whoever writes may have failed: then nobody takes any more.
        let legs: Vec<Wanted> = legs.iter().copied().collect();
        let mut take = |packet| {
            wanted = sender.send(packet).is_ok();
            wanted
        };
        capture::pick(*source, &mut case.reader(*source), &legs, cited, &mut take);
    }
}

fn chains(analysis: &Analysis, judged: &Judged) -> Vec<Chain> {
    let mut by_vantage: BTreeMap<u32, BTreeMap<SourceId, Share>> = BTreeMap::new();
    for leg in judged.connection.legs.iter().flat_map(|l| &l.observations) {
        let (first, last) = (leg.first.record, leg.last.record);
        let files = by_vantage.entry(leg.vantage).or_default();
        for source in between(analysis, first.source, last.source) {
            files.entry(source).or_default().0.insert(Wanted {
                ends: [leg.client, leg.server],
                // A stream's header blocks can't be read without those before it.
                first: if source == first.source && leg.http2.is_none() {
                    first.ordinal
                } else {
                    1
                },
                last: if source == last.source {
                    last.ordinal
                } else {
                    u64::MAX
                },
            });
        }
    }
    let captured = |id| analysis.source(id).is_some_and(|s| s.kind.is_capture());
    for record in judged.verdict.evidence.iter().filter_map(|e| e.record) {
        if !captured(record.source) {
            continue;
        }
        let known = by_vantage
            .values_mut()
            .find_map(|files| files.get_mut(&record.source));
        let share = match known {
            Some(share) => share,
            // A file that shows none of its legs is read as a vantage point of its own, named by itself.
            None => by_vantage
                .entry(record.source.0)
                .or_default()
                .entry(record.source)
                .or_default(),
        };
        share.1.insert(record.ordinal);
    }
    by_vantage
        .into_values()
        .map(|files| {
            let mut chain: Chain = files.into_iter().collect();
            chain.sort_by_key(|(id, _)| (analysis.source(*id).and_then(|s| s.first), *id));
            chain
        })
        .collect()
}

/// A rotated set's files from `first` to `last`; another host's have their own prefix.
fn between(analysis: &Analysis, first: SourceId, last: SourceId) -> Vec<SourceId> {
    let (Some(from), Some(to)) = (analysis.source(first), analysis.source(last)) else {
        return Vec::new();
    };
    if first == last {
        return vec![first];
    }
    let near = rotation::alike(&from.path, &to.path);
    let within = |s: &crate::model::Source| {
        s.kind.is_capture()
            && s.first.is_some_and(|at| {
                from.first.is_none_or(|f| f.at <= at.at) && to.first.is_none_or(|l| at.at <= l.at)
            })
            && rotation::stem(&s.path) == rotation::stem(&from.path)
            && rotation::alike(&from.path, &s.path) >= near
    };
    analysis
        .sources
        .iter()
        .filter(|s| s.id == first || s.id == last || within(s))
        .map(|s| s.id)
        .collect()
}

/// What the evidence says of each packet.
fn comments(judged: &Judged) -> BTreeMap<(SourceId, u64), String> {
    let mut comments: BTreeMap<(SourceId, u64), String> = BTreeMap::new();
    for evidence in &judged.verdict.evidence {
        let Some(record) = evidence.record else {
            continue;
        };
        let said = comments.entry((record.source, record.ordinal)).or_default();
        if !said.is_empty() {
            said.push('\n');
        }
        if !evidence.supports {
            said.push_str("against: ");
        }
        said.push_str(&inert(&evidence.say));
    }
    comments
}

/// The verdict, and what files that are no captures show.
fn summary(judged: &Judged, path: &dyn Fn(SourceId) -> String) -> String {
    let v = &judged.verdict;
    let cause = v.cause.map_or_else(String::new, |c| {
        format!("[{} {}, {}]", c.code(), c.id(), v.tier.name())
    });
    let mut text = format!(
        "{} {}{cause}: {}",
        judged.connection.id,
        v.outcome.name(),
        inert(&v.sentence)
    );
    for evidence in &v.evidence {
        let place = evidence.record.map_or_else(String::new, |r| {
            format!("{} {}: ", path(r.source), r.ordinal)
        });
        text.push_str(&format!("\n{place}{}", inert(&evidence.say)));
    }
    text
}
