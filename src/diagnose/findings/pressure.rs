//! What processes and hosts wrote of descriptors, connections, memory and threads that ran short -> W805, by resource: since when, at how many
//! connections, and what it cost.

use crate::model::{
    AppEvent, CaseContext, Cause, Finding, HopEvent, HopLine, Judged, RecordRef, SECOND_NS, Stamp,
};
use std::collections::BTreeMap;

/// What can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Descriptors,
    Connections,
    Memory,
    Threads,
    Other,
}

impl Resource {
    /// By the words of the kernel, of languages and of libraries; the narrower ones first.
    fn of(message: &str) -> Self {
        const WORDS: &[(&[&str], Resource)] = &[
            (&["memory", "heap", "oom", "enomem"], Resource::Memory),
            (
                &[
                    "emfile",
                    "enfile",
                    "open files",
                    "descriptor",
                    "file-max",
                    "nofile",
                ],
                Resource::Descriptors,
            ),
            (&["thread", "rejectedexecution", "pids"], Resource::Threads),
            (
                &[
                    "connection",
                    "conntrack",
                    "maxconn",
                    "backlog",
                    "queue",
                    "socket",
                ],
                Resource::Connections,
            ),
        ];
        let m = message.to_ascii_lowercase();
        WORDS
            .iter()
            .find(|(words, _)| words.iter().any(|w| m.contains(w)))
            .map_or(Self::Other, |(_, resource)| *resource)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "file descriptors",
            Self::Connections => "connections",
            Self::Memory => "memory",
            Self::Threads => "threads",
            Self::Other => "a resource",
        }
    }

    const fn fix(self) -> &'static str {
        match self {
            Self::Descriptors => {
                "raise the limit of the process (`LimitNOFILE=65536` in its unit, `ulimit -n`) and `fs.file-max`, and alert at four fifths of it [X7 M5]"
            }
            Self::Connections => {
                "raise the limit that the line names (`worker_connections`, `maxconn`, `nf_conntrack_max`): a proxied WebSocket takes two of nginx's [X7]"
            }
            Self::Memory => {
                "cap what a slow client may buffer and what one message may hold [X10], and alert on memory before the kernel does [X7]"
            }
            Self::Threads => "raise the pool or take blocking work out of the handlers [X7]",
            Self::Other => {
                "raise the limit that the line names, and alert before it is reached [X7]"
            }
        }
    }
}

struct Sign {
    at: Stamp,
    record: RecordRef,
}

pub(super) fn pressure(all: &[Judged], context: &CaseContext) -> Vec<Finding> {
    let mut signs: BTreeMap<Resource, Vec<Sign>> = BTreeMap::new();
    let own_lines = all.iter().flat_map(|j| &j.connection.app_lines);
    for line in own_lines.chain(&context.app_lines) {
        if let AppEvent::Exhausted { message } = &line.what {
            let (at, record) = (line.at, line.record);
            let of = signs.entry(Resource::of(message)).or_default();
            of.push(Sign { at, record });
        }
    }
    let hop_lines = all.iter().flat_map(|j| &j.connection.hop_lines);
    for line in hop_lines.chain(&context.hop_lines) {
        if let Some(resource) = of_hop(line) {
            let (at, record) = (line.at, line.record);
            signs.entry(resource).or_default().push(Sign { at, record });
        }
    }
    signs
        .into_iter()
        .filter_map(|(resource, signs)| finding(all, resource, signs))
        .collect()
}

const fn of_hop(line: &HopLine) -> Option<Resource> {
    match line.what {
        HopEvent::DescriptorsExhausted => Some(Resource::Descriptors),
        HopEvent::WorkerConnections => Some(Resource::Connections),
        _ => None,
    }
}

fn finding(all: &[Judged], resource: Resource, mut signs: Vec<Sign>) -> Option<Finding> {
    signs.sort_by_key(|s| (s.at, s.record));
    signs.dedup_by_key(|s| s.record);
    let (first, last) = (signs.first()?, signs.last()?);
    let onset = first.at.at.plus(-first.at.tick_ns - SECOND_NS);
    let cost: Vec<String> = all
        .iter()
        .filter(|j| j.verdict.cause == Some(Cause::ResourceExhaustion))
        .filter(|j| j.connection.sort_at >= onset)
        .map(|j| j.connection.id.clone())
        .collect();
    let stood = all
        .iter()
        .filter(|j| {
            let c = &j.connection;
            c.opened.is_some_and(|o| o.at <= first.at.at)
                && c.request.accepted()
                && c.closed.is_none_or(|end| end.at > first.at.at)
        })
        .count();
    let lines = match signs.len() {
        1 => "one line".to_owned(),
        n => format!("{n} lines, the last at {}", last.at.rfc3339()),
    };
    let failed = match cost.len() {
        0 => "no connection is known to have failed for it".to_owned(),
        1 => "1 connection failed for it".to_owned(),
        n => format!("{n} connections failed for it"),
    };
    Some(Finding {
        code: "W805".to_owned(),
        kind: "resource-pressure".to_owned(),
        say: format!(
            "{} ran short from {} on ({lines}), when {stood} connections stood; {failed}",
            resource.name(),
            first.at.rfc3339(),
        ),
        hop: None,
        timeout_ns: None,
        connections: cost,
        records: signs.iter().map(|s| s.record).take(8).collect(),
        fix: vec![resource.fix().into()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::made_up::{at, came};
    use crate::model::{AppLine, MILLI_NS, SourceId};

    fn line(ms: i64, message: &str) -> AppLine {
        let record = RecordRef {
            source: SourceId(0),
            ordinal: ms.unsigned_abs(),
            start: 0,
            len: 0,
        };
        let what = AppEvent::Exhausted {
            message: message.to_owned(),
        };
        AppLine::new(record, Stamp::new(at(ms), MILLI_NS), what)
    }

    #[test]
    fn each_resource_has_its_onset_and_its_cost() {
        let all = [came(1, 0, None, None).judged(1)];
        let context = CaseContext {
            app_lines: vec![
                line(7_000, "accept4: EMFILE, too many open files"),
                line(5_000, "open: EMFILE: too many open files"),
                line(9_000, "JavaScript heap out of memory"),
            ],
            ..CaseContext::default()
        };
        let found = pressure(&all, &context);
        let said: Vec<&str> = found.iter().map(|f| f.say.as_str()).collect();
        assert_eq!(found.len(), 2, "{said:?}");
        assert!(
            said[0].starts_with("file descriptors ran short from "),
            "{said:?}"
        );
        assert!(said[0].contains("(2 lines"), "{said:?}");
        assert_eq!(
            found[0].records[0].ordinal, 5_000,
            "the onset is the earliest"
        );
        assert!(said[1].starts_with("memory ran short from ") && said[1].contains("one line"));
        assert!(pressure(&all, &CaseContext::default()).is_empty());
    }
}
