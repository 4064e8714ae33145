//! Lines of applications about all connections, in order of time -> whether a process was at work between two moments, and how many
//! connections were told that it goes (1001).

use crate::model::{AppEvent, Connection, Moment, SourceId, Stamp};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Default)]
pub(in crate::diagnose) struct AtWork {
    /// Openings and closes that each process wrote of: the stamp, and how fine it is.
    of_process: HashMap<(SourceId, Option<u32>), Vec<(Moment, i64)>>,
    /// Closes with 1001, by the fineness of their stamps: the middle of the stamp.
    leaving: BTreeMap<i64, Vec<Moment>>,
    /// The same of connections with more lines of the kind than one.
    leaving_twice: Vec<Vec<Stamp>>,
}

impl AtWork {
    pub(super) fn new(connections: &[Connection]) -> Self {
        let mut all = Self::default();
        for c in connections {
            let mut leaving = Vec::new();
            for l in &c.app_lines {
                if matches!(l.what, AppEvent::Open | AppEvent::Close { .. }) {
                    let lines = all.of_process.entry((l.record.source, l.pid)).or_default();
                    lines.push((l.at.at, l.at.tick_ns));
                }
                if let AppEvent::Close {
                    code: Some(1001), ..
                } = l.what
                {
                    leaving.push(l.at);
                }
            }
            match leaving.as_slice() {
                [] => {}
                [one] => {
                    let alike = all.leaving.entry(one.tick_ns).or_default();
                    alike.push(one.middle());
                }
                _ => all.leaving_twice.push(leaving),
            }
        }
        all.of_process.values_mut().for_each(|l| l.sort_unstable());
        all.leaving.values_mut().for_each(|l| l.sort_unstable());
        all
    }

    /// That process of that log wrote of an opening or a close after `from` and well before `to`.
    pub(in crate::diagnose) fn wrote(
        &self,
        source: SourceId,
        pid: Option<u32>,
        from: Moment,
        to: Moment,
    ) -> bool {
        let lines = self.of_process.get(&(source, pid));
        let lines = lines.map_or(&[][..], Vec::as_slice);
        let first = lines.partition_point(|(at, _)| *at <= from);
        lines[first..]
            .iter()
            .take_while(|(at, _)| *at < to)
            .any(|(at, tick)| at.plus(*tick) < to)
    }

    /// Connections that were closed with 1001 no further than that from `end`.
    pub(in crate::diagnose) fn leaving(&self, end: Stamp, reach_ns: i64) -> usize {
        let at = end.middle();
        let reach = |tick: i64| reach_ns + tick.max(end.tick_ns) / 2;
        let once = self.leaving.iter().map(|(tick, all)| {
            let from = all.partition_point(|m| *m < at.plus(-reach(*tick)));
            all.partition_point(|m| *m <= at.plus(reach(*tick))) - from
        });
        let near = |s: &Stamp| s.middle().since(at).abs() <= reach(s.tick_ns);
        let twice = self.leaving_twice.iter().filter(|all| all.iter().any(near));
        once.sum::<usize>() + twice.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppLine, MILLI_NS, RecordRef, SECOND_NS, fixture};

    fn told(ms: i64, pid: u32, what: AppEvent) -> AppLine {
        let record = RecordRef {
            source: SourceId(1),
            ordinal: 1,
            start: 0,
            len: 0,
        };
        let mut line = AppLine::new(record, Stamp::new(Moment(ms * MILLI_NS), MILLI_NS), what);
        line.pid = Some(pid);
        line
    }

    #[test]
    fn who_leaves_and_who_is_at_work() {
        let going = || AppEvent::Close {
            code: Some(1001),
            reason: String::new(),
        };
        let of = |lines: Vec<AppLine>| {
            let mut c = fixture::fixture().connections[0].connection.clone();
            c.app_lines = lines;
            c
        };
        let at_work = AtWork::new(&[
            of(vec![told(1_000, 7, going())]),
            of(vec![told(1_040, 7, going()), told(1_050, 7, going())]),
            of(vec![told(2_000, 8, AppEvent::Open)]),
        ]);
        let end = Stamp::new(Moment(1_010 * MILLI_NS), MILLI_NS);
        assert_eq!(at_work.leaving(end, 10 * MILLI_NS), 1);
        assert_eq!(at_work.leaving(end, 50 * MILLI_NS), 2);
        let wrote = |pid, from: i64, to: i64| {
            let ms = |n: i64| Moment(n * MILLI_NS);
            at_work.wrote(SourceId(1), Some(pid), ms(from), ms(to))
        };
        assert!(wrote(7, 999, 1_100) && wrote(8, 0, 3_000));
        assert!(!wrote(7, 1_050, 9_000) && !wrote(8, 0, 2_001) && !wrote(9, 0, 9_000));
        assert!(!at_work.wrote(SourceId(2), Some(7), Moment(0), Moment(9 * SECOND_NS)));
    }
}
