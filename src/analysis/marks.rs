//! Process lines of a case -> the few moments that a time line marks: starts, reloads, stops, crashes, exhaustion.

use crate::model::{
    AppEvent, CaseContext, HopEvent, ProcessDid, ProcessMark, RecordRef, SECOND_NS, Stamp,
};

/// Lines of one kind from one program that follow each other this closely tell of one moment: each worker writes its own.
const ONE_MOMENT_NS: i64 = 2 * SECOND_NS;
/// More moments than this no time line can show.
const MOST: usize = 10_000;
/// Characters of a message that are kept.
const MESSAGE: usize = 160;

pub(super) fn of(context: &CaseContext) -> Vec<ProcessMark> {
    let mut told: Vec<Told> = Vec::new();
    for line in &context.hop_lines {
        if let Some((did, what)) = hop(line.what) {
            told.push(Told {
                at: line.at,
                record: line.record,
                did,
                who: line.hop.name(),
                what: what.to_owned(),
            });
        }
    }
    for line in &context.app_lines {
        if let Some((did, what)) = app(&line.what) {
            told.push(Told {
                at: line.at,
                record: line.record,
                did,
                who: "server",
                what,
            });
        }
    }
    told.sort_by_key(|t| (t.at.at, t.record));
    let mut marks: Vec<(ProcessMark, &'static str, Stamp)> = Vec::new();
    for t in told {
        let same = marks.iter_mut().rev().take(16).find(|(mark, who, last)| {
            mark.did == t.did
                && *who == t.who
                && mark.record.source == t.record.source
                && t.at.at.since(last.at) <= ONE_MOMENT_NS
        });
        if let Some((mark, _, last)) = same {
            mark.lines = mark.lines.saturating_add(1);
            *last = t.at;
        } else if marks.len() < MOST {
            let mark = ProcessMark {
                at: t.at,
                did: t.did,
                say: format!("{}: {}", t.who, t.what),
                record: t.record,
                lines: 1,
            };
            marks.push((mark, t.who, t.at));
        }
    }
    marks.into_iter().map(|m| m.0).collect()
}

struct Told {
    at: Stamp,
    record: RecordRef,
    did: ProcessDid,
    who: &'static str,
    what: String,
}

fn hop(what: HopEvent) -> Option<(ProcessDid, &'static str)> {
    Some(match what {
        HopEvent::Started => (ProcessDid::Start, "started"),
        HopEvent::Reload => (ProcessDid::Reload, "reload"),
        HopEvent::Draining => (ProcessDid::Stop, "workers shut down gracefully"),
        HopEvent::Stopped => (ProcessDid::Stop, "stopped"),
        HopEvent::WorkerKilled => (ProcessDid::Crash, "a worker died"),
        HopEvent::UpstreamDown => (ProcessDid::Stop, "an upstream was taken out"),
        HopEvent::UpstreamUp => (ProcessDid::Start, "an upstream is back"),
        HopEvent::WorkerConnections => (ProcessDid::Exhausted, "no worker connections left"),
        HopEvent::DescriptorsExhausted => (ProcessDid::Exhausted, "no descriptors left"),
        HopEvent::IdleTimeout
        | HopEvent::ClientTimeout
        | HopEvent::ResetWhileUpgraded
        | HopEvent::TcpTimeout
        | HopEvent::HandshakeTimeout
        | HopEvent::UpstreamRefused
        | HopEvent::UpstreamUnreachable
        | HopEvent::UpstreamClosedEarly
        | HopEvent::ClientLeftEarly
        | HopEvent::NoLiveUpstreams
        | HopEvent::TlsFailed
        | HopEvent::TlsLeft
        // said by every worker after its own end was marked
        | HopEvent::Exiting
        | HopEvent::FlowForgotten
        | HopEvent::FlowUnknown
        | HopEvent::FlowOver
        | HopEvent::Other => return None,
    })
}

fn app(what: &AppEvent) -> Option<(ProcessDid, String)> {
    let short = |text: &str| text.chars().take(MESSAGE).collect::<String>();
    Some(match what {
        AppEvent::Listening { port: Some(port) } => {
            (ProcessDid::Start, format!("listening on {port}"))
        }
        AppEvent::Listening { port: None } => (ProcessDid::Start, "started".to_owned()),
        AppEvent::Stopping => (ProcessDid::Stop, "stopping".to_owned()),
        AppEvent::Crashed { message } => (ProcessDid::Crash, format!("died: {}", short(message))),
        AppEvent::Exhausted { message } => (ProcessDid::Exhausted, short(message)),
        AppEvent::Open
        | AppEvent::Close { .. }
        | AppEvent::Error { .. }
        | AppEvent::HeartbeatMissed
        | AppEvent::Idle
        | AppEvent::ReadTimedOut
        | AppEvent::Rejected { .. }
        | AppEvent::Backpressure
        | AppEvent::Exception { .. }
        | AppEvent::Other => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppLine, HopKind, HopLine, Moment, SourceId};

    fn record(source: u32, ordinal: u64) -> RecordRef {
        RecordRef {
            source: SourceId(source),
            ordinal,
            start: 0,
            len: 0,
        }
    }

    fn at(ms: i64) -> Stamp {
        Stamp::new(Moment::from_millis(ms), 1)
    }

    fn nginx(ms: i64, ordinal: u64, what: HopEvent) -> HopLine {
        HopLine {
            record: record(0, ordinal),
            hop: HopKind::Nginx,
            at: at(ms),
            level: None,
            pid: None,
            what,
            serial: None,
            client: None,
            client_port: None,
            uri: None,
            upstream: None,
            host: None,
        }
    }

    fn server(ms: i64, ordinal: u64, what: AppEvent) -> AppLine {
        AppLine::new(record(1, ordinal), at(ms), what)
    }

    #[test]
    fn lines_of_one_moment_are_one_mark() {
        let check = |hop_lines: Vec<HopLine>, app_lines: Vec<AppLine>, expected: &[&str]| {
            let context = CaseContext {
                hop_lines,
                app_lines,
                ..CaseContext::default()
            };
            let said: Vec<String> = of(&context)
                .iter()
                .map(|m| format!("{} {} x{}", m.at.at.0 / 1_000_000, m.say, m.lines))
                .collect();
            assert_eq!(said, expected);
        };
        check(vec![], vec![], &[]);
        check(
            vec![
                nginx(1_000, 1, HopEvent::Reload),
                nginx(1_010, 2, HopEvent::Draining),
                nginx(1_020, 3, HopEvent::Draining),
                nginx(1_030, 4, HopEvent::Exiting),
                nginx(9_000, 5, HopEvent::Reload),
                nginx(9_500, 6, HopEvent::UpstreamRefused),
            ],
            vec![],
            &[
                "1000 nginx: reload x1",
                "1010 nginx: workers shut down gracefully x2",
                "9000 nginx: reload x1",
            ],
        );
        check(
            vec![nginx(5_000, 1, HopEvent::WorkerKilled)],
            vec![
                server(4_000, 1, AppEvent::Stopping),
                server(4_500, 2, AppEvent::Open),
                server(6_000, 3, AppEvent::Listening { port: Some(8080) }),
            ],
            &[
                "4000 server: stopping x1",
                "5000 nginx: a worker died x1",
                "6000 server: listening on 8080 x1",
            ],
        );
        let flood = (0..50_000)
            .map(|i| nginx(i * 3_000, i as u64, HopEvent::Reload))
            .collect();
        let context = CaseContext {
            hop_lines: flood,
            ..CaseContext::default()
        };
        assert_eq!(of(&context).len(), MOST);
    }
}
