//! Application lines -> those that certainly speak of one connection, together: by its own id, its session, its endpoint, or one moment.

use super::super::identity;
use crate::model::{AppEvent, AppLine, Moment, SECOND_NS, SourceId, Stamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Lines of one application that certainly speak of one connection: by its own id, its session, or one moment.
pub(super) struct Unit {
    pub(super) lines: Vec<AppLine>,
    pub(super) open: Option<Stamp>,
    pub(super) close: Option<Stamp>,
}

impl Unit {
    pub(super) fn new(lines: Vec<AppLine>) -> Self {
        let open = lines
            .iter()
            .find(|l| l.what == AppEvent::Open)
            .map(|l| l.at);
        let close = lines
            .iter()
            .find(|l| matches!(l.what, AppEvent::Close { .. }))
            .or_else(|| {
                lines
                    .iter()
                    .find(|l| !matches!(l.what, AppEvent::Open | AppEvent::Other))
            })
            .map(|l| l.at);
        Self { lines, open, close }
    }
    pub(super) fn identity(&self) -> Option<String> {
        self.lines.iter().find_map(identity::of_app)
    }
    pub(super) fn clients(&self) -> impl Iterator<Item = &IpAddr> {
        self.lines.iter().flat_map(|l| &l.client)
    }
    pub(super) fn source(&self) -> SourceId {
        self.lines[0].record.source
    }
    pub(super) fn names_address_only(&self) -> bool {
        let names = |l: &AppLine| l.connection_id.is_some() || identity::of_app(l).is_some();
        !self.lines.iter().any(names)
    }
    pub(super) fn first(&self) -> Option<Stamp> {
        self.open
            .or(self.close)
            .or_else(|| self.lines.first().map(|l| l.at))
    }
}

/// When the processes that write each log came up: nothing that was open before is open after.
pub(super) struct Starts(BTreeMap<SourceId, Vec<Moment>>);

impl Starts {
    pub(super) fn new(lines: &[AppLine]) -> Self {
        let mut all: BTreeMap<SourceId, Vec<Moment>> = BTreeMap::new();
        for l in lines {
            if matches!(l.what, AppEvent::Listening { .. }) {
                all.entry(l.record.source).or_default().push(l.at.at);
            }
        }
        Self(all)
    }

    /// A process of this log came up after `from`, and until `to`.
    pub(super) fn since(&self, source: SourceId, from: Moment, to: Moment) -> bool {
        let mut starts = self.0.get(&source).into_iter().flatten();
        starts.any(|s| (from..=to).contains(s) && *s != from)
    }

    /// A process of this log came up after `open` and well before `close`.
    pub(super) fn between(&self, source: SourceId, open: Stamp, close: Stamp) -> bool {
        let starts = self.0.get(&source).into_iter().flatten();
        starts.clone().any(|s| {
            s.since(open.at) > open.tick_ns && close.at.since(*s) > close.tick_ns + SECOND_NS
        })
    }
}

/// Groups one source's lines: by connection id; else by session between openings; else each moment of an address for itself.
pub(super) fn units(mut lines: Vec<AppLine>, starts: &Starts) -> Vec<Unit> {
    lines.sort_by_key(|l| (l.at, l.record));
    let mut done = Vec::new();
    let mut by_id: BTreeMap<String, Vec<AppLine>> = BTreeMap::new();
    let mut by_session: BTreeMap<(String, Option<IpAddr>), Vec<AppLine>> = BTreeMap::new();
    let mut by_endpoint: BTreeMap<(Vec<IpAddr>, u16), Vec<AppLine>> = BTreeMap::new();
    let mut by_address: BTreeMap<Vec<IpAddr>, Vec<AppLine>> = BTreeMap::new();
    let mut standing: BTreeMap<String, Standing> = BTreeMap::new();
    // A session whose every line names the port says which of its connections each is about.
    let ported = |l: &AppLine| l.client_port.is_some() && !l.client.is_empty();
    let unported: BTreeSet<String> = lines
        .iter()
        .filter(|l| !ported(l))
        .filter_map(identity::of_app)
        .collect();
    for line in lines {
        if let Some(id) = line.connection_id.clone() {
            by_id.entry(id).or_default().push(line);
        } else if let Some(session) =
            identity::of_app(&line).filter(|session| !ported(&line) || unported.contains(session))
        {
            let from = whence(standing.entry(session.clone()).or_default(), &line);
            by_session.entry((session, from)).or_default().push(line);
        } else if let (Some(port), false) = (line.client_port, line.client.is_empty()) {
            let name = (line.client.clone(), port);
            by_endpoint.entry(name).or_default().push(line);
        } else {
            by_address
                .entry(line.client.clone())
                .or_default()
                .push(line);
        }
    }
    for lines in by_id.into_values() {
        one_by_one(
            lines,
            |current, line| reused(starts, current, line),
            &mut done,
        );
    }
    let next = |current: &[AppLine], line: &AppLine| {
        let closed = current
            .iter()
            .any(|l| matches!(l.what, AppEvent::Close { .. } | AppEvent::Rejected { .. }));
        let after_close = closed
            && !matches!(
                line.what,
                AppEvent::Close { .. } | AppEvent::Error { .. } | AppEvent::Other
            );
        line.what == AppEvent::Open || after_close
    };
    for lines in by_session.into_values() {
        one_by_one(lines, next, &mut done);
    }
    // Ports come back: an opening begins anew, unless it is the one that another logger of the application told of just before.
    for lines in by_endpoint.into_values() {
        one_by_one(
            lines,
            |current, line| next(current, line) && !told_twice(current, line),
            &mut done,
        );
    }
    for lines in by_address.into_values() {
        let first = done.len();
        let mut moment: Vec<AppLine> = Vec::new();
        for line in lines {
            let opens = line.what == AppEvent::Open;
            let ends_moment = |m: &[AppLine]| {
                m.iter()
                    .any(|l| l.what == AppEvent::Open || matches!(l.what, AppEvent::Close { .. }))
                    || m.last()
                        .is_some_and(|l| line.at.at.since(l.at.at) > SECOND_NS)
            };
            if !moment.is_empty() && (opens || ends_moment(&moment)) {
                done.push(Unit::new(std::mem::take(&mut moment)));
            }
            moment.push(line);
        }
        if !moment.is_empty() {
            done.push(Unit::new(moment));
        }
        let moments = done.split_off(first);
        done.extend(one_at_a_time(moments));
    }
    done.retain(|u| !u.lines.is_empty());
    done
}

/// A server and the application in it both log an opening (uvicorn's `accepted` and what the handler writes), each as finely as it does.
const TWICE_NS: i64 = 2 * SECOND_NS;

/// The same endpoint is opened again while nothing has ended it, sooner than any system gives a port out again.
fn told_twice(current: &[AppLine], line: &AppLine) -> bool {
    line.what == AppEvent::Open
        && current.iter().all(|l| {
            let opening = matches!(l.what, AppEvent::Open | AppEvent::Other);
            opening && line.at.at.since(l.at.at) <= TWICE_NS + l.at.tick_ns
        })
}

/// An application that counts its connections counts from the start again in its next process: what another process says under an id, or
/// an opening under it after the log's process came up anew, is another connection.
fn reused(starts: &Starts, current: &[AppLine], line: &AppLine) -> bool {
    let pid = current.iter().find_map(|l| l.pid);
    let other_process = pid.zip(line.pid).is_some_and(|(a, b)| a != b);
    let anew = current
        .last()
        .is_some_and(|l| starts.since(l.record.source, l.at.at, line.at.at));
    other_process || line.what == AppEvent::Open && anew
}

/// Cuts lines that share a name wherever `next` says that another connection begins.
fn one_by_one(
    lines: Vec<AppLine>,
    next: impl Fn(&[AppLine], &AppLine) -> bool,
    done: &mut Vec<Unit>,
) {
    let mut current: Vec<AppLine> = Vec::new();
    for line in lines {
        if !current.is_empty() && next(&current, &line) {
            done.push(Unit::new(std::mem::take(&mut current)));
        }
        current.push(line);
    }
    if !current.is_empty() {
        done.push(Unit::new(current));
    }
}

/// Of one session: its addresses that stand, and the last close, with its code and when.
#[derive(Default)]
struct Standing {
    open: Vec<IpAddr>,
    closed: Option<(Option<IpAddr>, Option<u16>, Moment)>,
}

/// A server that announces a close waits no longer than this for its peer's (Node's `ws` 30 s).
const AGAIN_NS: i64 = 31 * SECOND_NS;

/// The address that a line of a session is about. Many logs name it at the opening alone: what names none is about the oldest of
/// the session's addresses that still stands.
/// An announcement of a close and the close itself are of one connection.
fn whence(standing: &mut Standing, line: &AppLine) -> Option<IpAddr> {
    let Standing {
        open: standing,
        closed,
    } = standing;
    if let (
        AppEvent::Close {
            code: code @ Some(_),
            ..
        },
        true,
    ) = (&line.what, line.client.is_empty())
    {
        let again = closed
            .as_ref()
            .filter(|(_, c, at)| c == code && line.at.at.since(*at) <= AGAIN_NS);
        if let Some(&(ip, ..)) = again {
            *closed = None;
            return ip;
        }
    }
    let from = line.client.first().or(standing.first()).copied();
    if let AppEvent::Close { code, .. } = &line.what {
        *closed = Some((from, *code, line.at.at));
    }
    match line.what {
        AppEvent::Open => {
            standing.extend(line.client.first());
            *closed = None;
        }
        AppEvent::Close { .. } => {
            if let Some(at) = standing.iter().position(|ip| Some(*ip) == from) {
                standing.remove(at);
            }
        }
        _ => {}
    }
    from.filter(|_| !(line.what == AppEvent::Open && line.client.is_empty()))
}

/// The moments of one address, in order: an opening and the close after it are one connection's where no other one of that address
/// stood in between, and none may have been open before the log began.
fn one_at_a_time(moments: Vec<Unit>) -> Vec<Unit> {
    let opens = moments.iter().filter(|u| u.open.is_some()).count();
    let closes = moments.iter().filter(|u| u.close.is_some()).count();
    if closes > opens {
        return moments;
    }
    let mut done: Vec<Unit> = Vec::new();
    // Where the last opening is, while it alone is open.
    let mut alone: Option<usize> = None;
    let mut standing = 0_usize;
    for unit in moments {
        if unit.open.is_some() {
            standing += 1;
            alone = (standing == 1).then_some(done.len());
        }
        if unit.close.is_some() {
            standing = standing.saturating_sub(1);
        }
        match alone.take_if(|_| unit.open.is_none()) {
            Some(at) => {
                let closed = unit.close.is_some();
                let mut lines = std::mem::take(&mut done[at].lines);
                lines.extend(unit.lines);
                done[at] = Unit::new(lines);
                alone = (!closed).then_some(at);
            }
            None => done.push(unit),
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MILLI_NS;
    use crate::model::{Moment, RecordRef};

    fn line(what: AppEvent, client: Option<u8>) -> AppLine {
        AppLine {
            record: RecordRef {
                source: SourceId(0),
                ordinal: 0,
                start: 0,
                len: 0,
            },
            at: Stamp::new(Moment(0), 1),
            what,
            pid: None,
            hostname: None,
            connection_id: None,
            session: Some("s".to_owned()),
            client: client.map(address).into_iter().collect(),
            client_port: None,
            uri: None,
            ws_key: None,
            request_id: None,
        }
    }

    #[test]
    fn an_id_that_is_counted_anew_is_another_connection() {
        let of = |what: AppEvent, ms: i64, pid: Option<u32>| AppLine {
            at: Stamp::new(Moment(ms * MILLI_NS), 1),
            connection_id: Some("c1".to_owned()),
            pid,
            ..line(what, None)
        };
        let close = || AppEvent::Close {
            code: None,
            reason: String::new(),
        };
        let up = |ms: i64| of(AppEvent::Listening { port: None }, ms, None);
        for (name, up, lines, want) in [
            (
                "one life, with a line between that only looks like an opening",
                None,
                vec![
                    of(AppEvent::Open, 1, Some(7)),
                    of(AppEvent::Open, 5, Some(7)),
                    of(close(), 9, Some(7)),
                ],
                vec![3],
            ),
            (
                "killed, and counted anew by the next process",
                None,
                vec![
                    of(AppEvent::Open, 1, Some(7)),
                    of(AppEvent::Open, 5, Some(8)),
                    of(close(), 9, Some(8)),
                ],
                vec![1, 2],
            ),
            (
                "the same in a log without process ids",
                Some(up(3)),
                vec![of(AppEvent::Open, 1, None), of(AppEvent::Open, 5, None)],
                vec![1, 1],
            ),
            (
                "a line of another process, whose opening is not in the log",
                None,
                vec![of(AppEvent::Open, 1, Some(7)), of(close(), 9, Some(8))],
                vec![1, 1],
            ),
        ] {
            let starts = Starts::new(&Vec::from_iter(up));
            let found: Vec<usize> = units(lines, &starts)
                .iter()
                .map(|u| u.lines.len())
                .collect();
            assert_eq!(found, want, "{name}");
        }
    }

    #[test]
    fn an_address_with_its_port_names_one_connection_at_a_time() {
        let of = |what: AppEvent, ms: i64, port: Option<u16>| AppLine {
            at: Stamp::new(Moment(ms * MILLI_NS), 1),
            session: None,
            client_port: port,
            ..line(what, Some(1))
        };
        let close = || AppEvent::Close {
            code: Some(1006),
            reason: String::new(),
        };
        let sizes = |lines: Vec<AppLine>| -> Vec<usize> {
            let mut found: Vec<usize> = units(lines, &Starts::new(&[]))
                .iter()
                .map(|u| u.lines.len())
                .collect();
            found.sort_unstable();
            found
        };
        let both = |first: Option<u16>, second: Option<u16>| {
            vec![
                of(AppEvent::Open, 1, first),
                of(AppEvent::Open, 2, second),
                of(close(), 8_000, first),
                of(close(), 9_000, second),
            ]
        };
        assert_eq!(sizes(both(Some(40_001), Some(40_002))), [2, 2]);
        assert_eq!(
            sizes(both(None, None)),
            [1, 1, 1, 1],
            "an address alone names neither of two that stand"
        );
        let again = vec![
            of(AppEvent::Open, 1, Some(40_001)),
            of(close(), 2, Some(40_001)),
            of(AppEvent::Open, 3, Some(40_001)),
        ];
        assert_eq!(sizes(again), [1, 2], "a port comes back");
        let port = Some(40_001);
        let told = |ms: i64| {
            vec![
                of(AppEvent::Open, 1, port),
                of(AppEvent::Open, ms, port),
                of(close(), 20_000, port),
            ]
        };
        assert_eq!(
            sizes(told(840)),
            [3],
            "told by the server and by its handler"
        );
        assert_eq!(
            sizes(told(9_000)),
            [1, 2],
            "a port comes back, and nobody told of the end"
        );
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn the_address_that_a_line_without_one_is_about() {
        let close = || AppEvent::Close {
            code: None,
            reason: String::new(),
        };
        let mut standing = Standing::default();
        for (what, named, about) in [
            (AppEvent::Open, Some(1), Some(1)),
            (AppEvent::HeartbeatMissed, None, Some(1)),
            (AppEvent::Open, Some(2), Some(2)),
            (close(), None, Some(1)),
            (AppEvent::Open, None, None),
            (close(), Some(2), Some(2)),
            (close(), None, None),
        ] {
            let found = whence(&mut standing, &line(what.clone(), named));
            assert_eq!(found, about.map(address), "{what:?} {named:?}");
        }
    }
}
