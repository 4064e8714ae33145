//! What machines on the path say (kernel, service manager, PM2, Kubernetes events, socket and connection tables, firewalls) -> what befell
//! processes and flows.

mod conntrack;
mod firewall;
mod flows;
mod journal;
mod kube;
mod pm2;
mod prometheus;
mod sockets;
mod vpc_flow;

use crate::model::{
    Anomaly, AppEvent, AppLine, Line, LocalZone, Moment, RecordRef, SourceId, Stamp, Zone,
    ZoneBasis, add_anomaly,
};
use crate::text::peel::Outer;
use crate::text::records::{self, Verdict};
use crate::text::stamp::Date;
use std::io::Read;

/// What the reader has to know beside the bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostOptions {
    /// Seconds east of UTC for stamps without a zone.
    pub assumed_zone: LocalZone,
    /// A moment of the same incident, from another source: it gives dates without a year theirs.
    pub near: Option<Moment>,
}

/// A format that fits a file.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// As registered in `FORMATS`.
    pub name: &'static str,
}

#[derive(Debug, Clone, Default)]
pub struct HostSummary {
    /// Lines that are not blank: `records = used + odd`.
    pub records: u64,
    pub used: u64,
    pub odd: u64,
    pub first: Option<Stamp>,
    pub last: Option<Stamp>,
    pub zone: Option<Zone>,
    pub anomalies: Vec<Anomaly>,
}

/// Where a reader puts what it found.
struct Found<'a> {
    emit: &'a mut dyn FnMut(Line),
    options: HostOptions,
    first: Option<Stamp>,
    last: Option<Stamp>,
    zone: Option<Zone>,
    recent: Option<Stamp>,
    notes: Vec<Anomaly>,
}

impl<'a> Found<'a> {
    fn new(emit: &'a mut dyn FnMut(Line), options: HostOptions) -> Self {
        Self {
            emit,
            options,
            first: None,
            last: None,
            zone: None,
            recent: None,
            notes: Vec::new(),
        }
    }

    fn saw(&mut self, at: Stamp, zone: Zone) {
        self.recent = Some(at);
        self.first = Some(self.first.map_or(at, |f| f.min(at)));
        self.last = Some(self.last.map_or(at, |l| l.max(at)));
        self.zone.get_or_insert(zone);
    }

    /// A date as written, by the zone it carries or the assumed one.
    fn dated(&mut self, date: Date) -> Stamp {
        let (at, zone) = date.stamp(self.options.assumed_zone);
        self.saw(at, zone);
        at
    }

    /// A stamp that a wrapper carried, in UTC.
    fn wrapped(&mut self, at: Stamp) -> Stamp {
        self.saw(
            at,
            Zone {
                offset_s: 0,
                basis: ZoneBasis::Epoch,
            },
        );
        at
    }

    /// A moment near this line.
    fn near(&self) -> Option<Moment> {
        self.recent.map(|s| s.at).or(self.options.near)
    }

    /// Something that a count tells better than an event.
    fn note(&mut self, kind: &str, record: RecordRef, note: impl Into<String>) {
        add_anomaly(&mut self.notes, kind, 1, record.ordinal, note);
    }

    fn event(
        &mut self,
        record: RecordRef,
        at: Stamp,
        what: AppEvent,
        pid: Option<u32>,
        host: Option<String>,
    ) {
        (self.emit)(Line::App(AppLine {
            pid,
            hostname: host,
            ..AppLine::new(record, at, what)
        }));
    }
}

/// Reads the lines of one file.
trait HostReader {
    fn line(
        &mut self,
        record: RecordRef,
        line: &[u8],
        outer: &Outer,
        found: &mut Found<'_>,
    ) -> Verdict;
    /// The file is over.
    fn finish(&mut self, _found: &mut Found<'_>) {}
}

/// A kind of host file. Adding one is a file and a line in `FORMATS`.
trait HostFormat: Sync {
    /// Stable, kebab-case.
    fn name(&self) -> &'static str;
    /// Texts that this format reads and no other one does.
    fn samples(&self) -> &'static [&'static str];
    fn open(&self) -> Box<dyn HostReader>;
    /// Field and value of everything that is read from one line.
    fn fields(&self, line: &[u8], outer: &Outer) -> Vec<(String, String)>;
}

/// Every format; their lines have nothing in common.
const FORMATS: &[&dyn HostFormat] = &[
    &journal::Journal,
    &sockets::Sockets,
    &pm2::Pm2,
    &kube::KubeEvents,
    &conntrack::Conntrack,
    &vpc_flow::VpcFlow,
    &firewall::PfFilterlog,
    &firewall::RouterOs,
    &firewall::CiscoAsa,
    &prometheus::Prometheus,
];

fn find(name: &str) -> Option<&'static dyn HostFormat> {
    FORMATS.iter().copied().find(|f| f.name() == name)
}

/// Names that `sniff` may give.
pub fn formats() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|f| f.name())
}

/// Each format's name, and texts that it reads and no other one does.
pub fn samples() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    FORMATS.iter().map(|f| (f.name(), f.samples()))
}

/// The format that reads at least half of the first lines, by content alone; `forced` names one.
pub fn sniff(head: &[u8], forced: Option<&str>) -> Option<Choice> {
    if let Some(name) = forced {
        return find(name).map(|f| Choice { name: f.name() });
    }
    let samples = records::samples(head);
    FORMATS
        .iter()
        .find(|format| {
            let mut reader = format.open();
            let mut ignore = |_: Line| ();
            // The year does not matter here, only whether the lines are of the format.
            let any = HostOptions {
                assumed_zone: LocalZone::default(),
                near: Some(Moment(0)),
            };
            let mut found = Found::new(&mut ignore, any);
            let mut odd = 0;
            for s in &samples {
                let used = reader.line(s.record, &s.line, &s.outer, &mut found) == Verdict::Used;
                odd += usize::from(!used);
                // Half of them have to be its own.
                if odd * 2 > samples.len() {
                    return false;
                }
            }
            odd < samples.len()
        })
        .map(|f| Choice { name: f.name() })
}

/// Reads a whole file.
pub fn read(
    source: SourceId,
    choice: Choice,
    options: HostOptions,
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    emit: &mut dyn FnMut(Line),
) -> HostSummary {
    let Some(format) = find(choice.name) else {
        return HostSummary::default();
    };
    let mut reader = format.open();
    let mut found = Found::new(emit, options);
    let tally = records::read(source, input, progress, &mut |record, line, outer| {
        reader.line(record, line, outer, &mut found)
    });
    reader.finish(&mut found);
    let mut anomalies = tally.anomalies;
    anomalies.append(&mut found.notes);
    HostSummary {
        records: tally.records,
        used: tally.used,
        odd: tally.odd,
        first: found.first,
        last: found.last,
        zone: found.zone,
        anomalies,
    }
}

/// Field and value of everything that was read from one line, for the Raw view.
pub fn fields(choice: Choice, line: &[u8]) -> Vec<(String, String)> {
    match (find(choice.name), records::only(line)) {
        (Some(format), Some(sample)) => format.fields(&sample.line, &sample.outer),
        _ => Vec::new(),
    }
}
#[cfg(test)]
mod tests;
