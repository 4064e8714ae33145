//! An incident -> its story: what the processes on the path did around it, who was thrown off when, and who came back when.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Analysis, Cause, Moment, SECOND_NS, say_duration};

use super::rows;

/// Process lines so long before its first drop, and so long after its last, belong to the story.
const AROUND_NS: i64 = 120 * SECOND_NS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Index into `Analysis::marks`.
    Mark(usize),
    Ended,
    Returned,
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    pub at: Moment,
    pub kind: Kind,
    /// Text from input may be in it.
    pub say: String,
    /// Indices into `Analysis::connections`, in order of time.
    pub connections: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Story {
    /// Index into `Analysis::incidents`.
    pub incident: usize,
    pub chapters: Vec<Chapter>,
    /// Moments, ascending: of the ends, and of the returns.
    pub ends: Vec<i64>,
    pub returns: Vec<i64>,
    /// How it came out, in one sentence.
    pub sum: String,
    pub row: usize,
}

impl Story {
    /// The times that its charts show.
    pub fn span(&self) -> (i64, i64) {
        let all = || {
            let chapters = self.chapters.iter().map(|c| c.at.0);
            chapters
                .chain(self.ends.iter().copied())
                .chain(self.returns.iter().copied())
        };
        let (lo, hi) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
        (lo, hi.max(lo.saturating_add(SECOND_NS)))
    }
}

pub fn build(analysis: &Analysis, incident: usize) -> Option<Story> {
    let it = analysis.incidents.get(incident)?;
    let index: HashMap<&str, usize> = analysis
        .connections
        .iter()
        .enumerate()
        .map(|(i, j)| (j.connection.id.as_str(), i))
        .collect();
    let mut story = Story {
        incident,
        ..Story::default()
    };
    let mut ended: BTreeMap<(i64, Option<Cause>), Vec<u32>> = BTreeMap::new();
    let mut returned: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    let (mut members, mut waits) = (0_usize, Vec::new());
    for id in &it.connections {
        let Some((i, judged)) = index
            .get(id.as_str())
            .and_then(|i| Some((*i, analysis.connections.get(*i)?)))
        else {
            continue;
        };
        members += 1;
        let Some(end) = judged.connection.closed else {
            continue;
        };
        story.ends.push(end.at.0);
        let second = end.at.0.div_euclid(SECOND_NS);
        let place = u32::try_from(i).unwrap_or(u32::MAX);
        let same = ended.entry((second, judged.verdict.cause)).or_default();
        same.push(place);
        let next = judged.connection.reconnected_as.as_deref();
        let next = next.and_then(|id| index.get(id)).copied();
        let Some((at, opened)) = next.and_then(|n| {
            let opened = analysis.connections.get(n)?.connection.opened?;
            Some((n, opened.at))
        }) else {
            continue;
        };
        story.returns.push(opened.0);
        waits.push(opened.since(end.at).max(0));
        let second = opened.0.div_euclid(SECOND_NS);
        returned
            .entry(second)
            .or_default()
            .push(u32::try_from(at).unwrap_or(u32::MAX));
    }
    story.ends.sort_unstable();
    story.returns.sort_unstable();
    waits.sort_unstable();
    story.sum = sum(members, &waits);
    let first = |all: &[u32], end: bool| {
        all.iter()
            .filter_map(|i| analysis.connections.get(*i as usize))
            .filter_map(|j| {
                if end {
                    j.connection.closed
                } else {
                    j.connection.opened
                }
            })
            .map(|s| s.at)
            .min()
            .unwrap_or(Moment(0))
    };
    let count =
        |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    for ((_, cause), mut connections) in ended {
        connections.sort_unstable();
        let closers: std::collections::BTreeSet<&str> = connections
            .iter()
            .filter_map(|i| analysis.connections.get(*i as usize))
            .map(rows::closer)
            .collect();
        let closers: Vec<&str> = closers.into_iter().collect();
        let cause = cause.map_or("no cause", Cause::id);
        story.chapters.push(Chapter {
            at: first(&connections, true),
            kind: Kind::Ended,
            say: format!(
                "{} ended: {cause}, closed by {}",
                count(connections.len(), "connection", "connections"),
                closers.join(", ")
            ),
            connections,
        });
    }
    for (_, mut connections) in returned {
        connections.sort_unstable();
        story.chapters.push(Chapter {
            at: first(&connections, false),
            kind: Kind::Returned,
            say: format!(
                "{} came back",
                count(connections.len(), "client", "clients")
            ),
            connections,
        });
    }
    let last = story.returns.last().copied().unwrap_or(it.end.at.0);
    let (lo, hi) = (
        it.start.at.0.saturating_sub(AROUND_NS),
        it.end.at.0.max(last).saturating_add(AROUND_NS),
    );
    for (i, mark) in analysis.marks.iter().enumerate() {
        if (lo..=hi).contains(&mark.at.at.0) {
            let more = if mark.lines > 1 {
                format!(" ×{}", mark.lines)
            } else {
                String::new()
            };
            story.chapters.push(Chapter {
                at: mark.at.at,
                kind: Kind::Mark(i),
                say: format!("{}{more}", mark.say),
                connections: Vec::new(),
            });
        }
    }
    story
        .chapters
        .sort_by(|a, b| (a.at, a.kind, &a.say).cmp(&(b.at, b.kind, &b.say)));
    Some(story)
}

/// `5 of 6 clients were seen again, half of them within 1.2 s, the last after 8 s`; `waits` ascend.
fn sum(members: usize, waits: &[i64]) -> String {
    let (Some(last), Some(middle)) = (waits.last(), waits.get(waits.len() / 2)) else {
        return "none of the clients is seen to come back while the evidence lasts".to_owned();
    };
    let back = waits.len();
    if back == 1 {
        return format!(
            "1 of {members} clients is seen again, after {}",
            say_duration(*last)
        );
    }
    format!(
        "{back} of {members} clients are seen again, half of them within {}, the last after {}",
        say_duration(*middle),
        say_duration(*last)
    )
}
