//! A case -> its `Analysis`: the stages one after the other, the only place that knows them all.

mod beside;
mod captures;
mod cut;
mod live;
mod log_files;
mod marks;
mod outside;
mod parts;
mod put_off;
mod raw;
mod rotation;
mod sniff;
mod span;
mod stopping;

pub use crate::diagnose::Listener;
pub use crate::logs::{FieldMap, Meaning};
pub use cut::{Cut, cut, is_cut};
pub use live::{listed, run_watched};
pub use raw::CaseRaw;
pub use sniff::Forced;
pub use span::{TimeSpec, parse_time};

use crate::case::Case;
use crate::correlate::{self, Observations};
use crate::diagnose::whatif::{Changes, WhatIf};
use crate::diagnose::{self, Judgement, Pack};
use crate::logs::LogOptions;
use crate::model::{
    Adapted, Analysis, CaseContext, Clock, ClockBasis, Frame, LocalZone, Moment, Source, SourceId,
    SourceKind, Stamp, Zone, ZoneBasis,
};
use crate::{browser, capture, config, host, logs};
use beside::{read_browsers, read_hosts};
use captures::{join_shares, read_captures, settle_captures, shares};
use globset::GlobMatcher;
use live::Board;
use log_files::{LogResult, in_their_year, in_their_zone, options_of, read_log};
use rayon::prelude::*;
use sniff::Sniffed;
use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stopping::{Quiet, Stoppable, Until, steps};

/// Configuration is read whole: a file larger than this is read up to here.
const CONFIG_BYTES: u64 = 16 << 20;

/// What the user may tell about a case beside its files.
#[derive(Debug, Default)]
pub struct Options {
    /// nginx `log_format` strings from the command line, with their names.
    pub nginx_formats: Vec<(String, String)>,
    /// That of stamps which carry none.
    /// `None` = nobody said: UTC, unless other lines of the same program tell.
    pub assumed_zone: Option<LocalZone>,
    /// The same for single sources: the first one that matches counts.
    pub zones: Vec<(GlobMatcher, LocalZone)>,
    /// Clocks that the user knows: offset against the reference in nanoseconds, `None` = to be measured.
    pub clocks: Vec<(GlobMatcher, Option<i64>)>,
    /// What keys of application records mean, as told by the user.
    pub map: FieldMap,
    /// `--as`: which files are read as which format.
    pub forced: Vec<Forced>,
    /// Connections that were over before this, or opened after `until`, are left out of the result.
    pub since: Option<TimeSpec>,
    pub until: Option<TimeSpec>,
    /// Threads; `None` = one for each core.
    pub jobs: Option<usize>,
}

impl Options {
    /// The zone that the user gave this source's stamps without one.
    fn zone_of(&self, source: &Source) -> Option<LocalZone> {
        let own = self
            .zones
            .iter()
            .find(|(glob, _)| sniff::names(glob, &source.path))
            .map(|(_, zone)| *zone);
        own.or(self.assumed_zone)
    }

    /// A zone that the user gave is no assumption.
    fn tell_zone(&self, source: &Source, zone: &mut Option<Zone>) {
        if let Some(zone) = zone
            && zone.basis == ZoneBasis::Assumed
            && self.zone_of(source).is_some()
        {
            zone.basis = ZoneBasis::Given;
        }
    }

    fn clock_of(&self, source: &Source) -> Option<i64> {
        self.clocks
            .iter()
            .find(|(glob, _)| sniff::names(glob, &source.path))
            .and_then(|(_, offset_ns)| *offset_ns)
    }
}

/// Where the work stands. Called from several threads.
pub trait Progress: Sync {
    /// Stored bytes of all files that will be read.
    fn total(&self, _bytes: u64) {}
    /// A file is being read.
    fn reading(&self, _source: SourceId, _path: &str) {}
    /// Stored bytes of it read since the last call.
    fn advance(&self, _source: SourceId, _bytes: u64) {}
    /// It is read to its end.
    fn finished(&self, _source: SourceId) {}
    /// True = stop reading: what was read so far is used.
    fn stopped(&self) -> bool {
        false
    }
    /// True = nobody waits for the result any more.
    fn abandoned(&self) -> bool {
        false
    }
}

/// For whoever does not look.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {}

/// All stages: what every connection of the case came to.
pub fn run(case: &Case, options: &Options, pack: &Pack, progress: &dyn Progress) -> Analysis {
    all_stages(case, options, pack, (progress, &Board::default()), None).0
}

/// The same, each verdict told as soon as it stands; the connections of the result are without the grounds of their verdicts.
pub fn run_aloud(
    case: &Case,
    options: &Options,
    pack: &Pack,
    progress: &dyn Progress,
    listener: &mut (dyn Listener + Send),
) -> Analysis {
    all_stages(
        case,
        options,
        pack,
        (progress, &Board::default()),
        Some(listener),
    )
    .0
}

/// The same, and what would have become of its drops under other circumstances.
pub fn what_if(
    case: &Case,
    options: &Options,
    pack: &Pack,
    changes: &Changes,
    progress: &dyn Progress,
) -> (Analysis, WhatIf) {
    let (analysis, context) = all_stages(case, options, pack, (progress, &Board::default()), None);
    let found = diagnose::whatif::what_if(&analysis.connections, &context, changes);
    (analysis, found)
}

fn all_stages(
    case: &Case,
    options: &Options,
    pack: &Pack,
    (progress, board): (&dyn Progress, &Board),
    listener: Option<&mut (dyn Listener + Send)>,
) -> (Analysis, CaseContext) {
    with_threads(options.jobs, || {
        let mut read = read(case, options, (progress, board), None);
        if progress.abandoned() {
            read.observations = Observations::default();
        }
        let listener = listener.map(|l| l as &mut dyn Listener);
        judged(case.root(), read, options, pack, listener)
    })
}

/// The stages behind the reading.
fn judged(
    root: &str,
    read: ReadCase,
    options: &Options,
    pack: &Pack,
    listener: Option<&mut dyn Listener>,
) -> (Analysis, CaseContext) {
    let ReadCase {
        mut sources,
        observations,
    } = read;
    let (mut connections, context) = correlate::correlate(observations, &mut sources);
    connections.sort_by(|a, b| (a.sort_at, &a.id).cmp(&(b.sort_at, &b.id)));
    let Judgement {
        connections,
        mut findings,
        incidents,
    } = diagnose::judge(connections, &context, pack, listener);
    findings.extend(diagnose::socket_leaks(&sources));
    findings.sort_by(|a, b| a.code.cmp(&b.code));
    let mut analysis = Analysis {
        root: root.to_owned(),
        rules: pack.name.clone(),
        window: window(context.window, &sources),
        sources,
        connections,
        findings,
        incidents,
        marks: marks::of(&context),
        adapted: Adapted::default(),
    };
    pack.overrides.apply(&mut analysis);
    span::keep(
        &mut analysis,
        options.since.as_ref(),
        options.until.as_ref(),
    );
    let context = pack.overrides.taught(context);
    (analysis, context)
}

/// What each file of the case is, its span, zone, clock and odd records, without connections or verdicts.
pub fn sources_only(case: &Case, options: &Options, progress: &dyn Progress) -> Analysis {
    with_threads(options.jobs, || {
        let read = read(case, options, (progress, &Board::default()), None);
        let mut sources = read.sources;
        // clocks are measured from connections seen in two places
        let seen = correlate::survey(read.observations, &mut sources);
        let window = window(seen, &sources);
        Analysis {
            root: case.root().to_owned(),
            rules: String::new(),
            window,
            sources,
            connections: Vec::new(),
            findings: Vec::new(),
            incidents: Vec::new(),
            marks: Vec::new(),
            adapted: Adapted::default(),
        }
    })
}

/// Every WebSocket frame of the captures, vantage point after vantage point, in the order they were completed.
/// `on_frame` returns false to end it. The sources are those of the captures only.
pub fn frames(
    case: &Case,
    options: &Options,
    progress: &dyn Progress,
    on_frame: &mut dyn FnMut(Frame) -> bool,
) -> Vec<Source> {
    let nobody = Board::default();
    read(case, options, (progress, &nobody), Some(on_frame)).sources
}

/// Formats that `--as` may name.
pub fn formats() -> Vec<&'static str> {
    let logs = logs::FORMATS.iter().map(|format| format.name());
    logs.chain(host::formats())
        .chain(browser::formats())
        .chain(config::formats())
        .collect()
}

/// What a file's first bytes promise, for a hint before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksLike {
    Capture,
    Log,
}

pub fn looks_like(head: &[u8]) -> Option<LooksLike> {
    if capture::sniff(head).is_some() {
        Some(LooksLike::Capture)
    } else if config::sniff(head).is_none()
        && (browser::sniff(head).is_some()
            || host::sniff(head, None).is_some()
            || logs::sniff(head, &LogOptions::default(), None).is_some())
    {
        Some(LooksLike::Log)
    } else {
        None
    }
}

/// How finely a capture of the case tells time, in nanoseconds.
pub fn tick_of(case: &Case, id: SourceId) -> i64 {
    rotation::tick(&case.head(id).0)
}

fn with_threads<T: Send>(jobs: Option<usize>, work: impl FnOnce() -> T + Send) -> T {
    let Some(jobs) = jobs else { return work() };
    match rayon::ThreadPoolBuilder::new()
        .num_threads(jobs.max(1))
        .build()
    {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

struct ReadCase {
    sources: Vec<Source>,
    observations: Observations,
}

/// The reading stages. With `on_frame` only captures are read, one after the other, and nothing is kept of them.
fn read(
    case: &Case,
    options: &Options,
    (progress, board): (&dyn Progress, &Board),
    on_frame: Option<&mut dyn FnMut(Frame) -> bool>,
) -> ReadCase {
    let mut sniffed: Vec<Sniffed> = case
        .files()
        .par_iter()
        .map(|file| sniff::first_pass(case, file, &options.forced))
        .collect();

    let mut observations = Observations::default();
    let mut log_options = LogOptions {
        nginx_formats: options.nginx_formats.clone(),
        assumed_zone: options.assumed_zone.unwrap_or_default(),
        near: None,
        settings: Arc::default(),
        map: options.map.clone(),
    };
    let mut sources: Vec<Source> = case.files().iter().map(sniff::blank_source).collect();
    // configuration first: it tells how nginx writes its lines
    for (source, found) in sources.iter_mut().zip(&sniffed) {
        if let Some(reader) = found.config {
            read_config(case, source, reader, &mut observations, &mut log_options);
        }
    }
    log_options.settings = Arc::new(observations.settings.clone());
    sniffed
        .par_iter_mut()
        .zip(case.files())
        .filter(|(found, _)| found.undecided())
        .for_each(|(found, file)| {
            sniff::second_pass(found, case, file, &log_options, &options.forced)
        });
    sniff::tell_apache(case, &mut sniffed, &log_options, &options.forced);
    for (source, found) in sources.iter_mut().zip(&sniffed) {
        sniff::settle(source, found);
    }
    outside::leave_out(
        case,
        options,
        &log_options,
        &mut sources,
        &mut sniffed,
        progress,
    );
    let wanted = |s: &Source| {
        s.kind.is_capture() || (on_frame.is_none() && matches!(s.kind, SourceKind::Log(_)))
    };
    progress.total(sources.iter().filter(|s| wanted(s)).map(|s| s.bytes).sum());
    for source in sources.iter().filter(|s| !wanted(s)) {
        progress.finished(source.id);
    }
    board.begin(&sources, &observations.settings);

    let keys = Arc::new(read_keys(case, &mut sniffed, &mut sources));
    let sets = rotation::sets(&sources, &sniffed);
    if let Some(on_frame) = on_frame {
        let until = Until {
            progress,
            enough: AtomicBool::new(false),
        };
        for set in &sets {
            let mut sink = |frame| {
                if !until.stopped() && !on_frame(frame) {
                    until.enough.store(true, Ordering::Relaxed);
                }
            };
            let results = read_captures(case, set, &keys, (&until, board), Some(&mut sink), (0, 1));
            let results = join_shares(vec![results]);
            settle_captures(results, &mut sources, &mut observations);
            observations.legs.clear();
        }
        return ReadCase {
            sources,
            observations,
        };
    }

    let busy = sets.len() + sniffed.iter().filter(|found| found.log.is_some()).count();
    let spare = busy < rayon::current_num_threads();
    let (captures, lines) = rayon::join(
        || {
            sets.par_iter()
                .map(|set| {
                    let of = shares(set, sets.len(), &sources);
                    let read = |share| {
                        let quiet = Quiet(progress);
                        let told: &dyn Progress = if share == 0 { progress } else { &quiet };
                        read_captures(case, set, &keys, (told, board), None, (share, of))
                    };
                    join_shares((0..of).into_par_iter().map(read).collect())
                })
                .collect::<Vec<_>>()
        },
        || {
            sources
                .par_iter()
                .zip(&sniffed)
                .filter_map(|(source, found)| {
                    let choice = found.log.as_ref()?;
                    let own = options_of(source, found, options, &log_options);
                    let mut read = read_log(case, source, choice, &own, (progress, board), spare);
                    options.tell_zone(source, &mut read.0.zone);
                    Some((source.id, read))
                })
                .collect::<Vec<_>>()
        },
    );
    for results in captures {
        settle_captures(results, &mut sources, &mut observations);
    }
    read_browsers(case, &sniffed, progress, &mut sources, &mut observations);
    observations
        .legs
        .sort_by_key(|leg| (leg.vantage, leg.first.record, leg.first.at));
    let lines = if options.assumed_zone.is_none() {
        in_their_zone(case, &sources, &sniffed, lines, (&log_options, progress))
    } else {
        lines
    };
    let lines = in_their_year(
        case,
        &sources,
        &sniffed,
        lines,
        (options, &log_options, progress),
    );
    let own = |id: SourceId, found: &Sniffed| match sources.get(id.0 as usize) {
        Some(source) => options_of(source, found, options, &log_options),
        None => Cow::Borrowed(&log_options),
    };
    let lines = put_off::settle(case, &sniffed, &observations.legs, lines, &own);
    for (id, (summary, lines, problem)) in lines {
        let Some(source) = sources.get_mut(id.0 as usize) else {
            continue;
        };
        let logs::LogSummary {
            records,
            used,
            odd,
            first,
            last,
            zone,
            fields,
            anomalies,
            ..
        } = summary;
        (source.records, source.used, source.odd) = (records, used, odd);
        (source.first, source.last, source.zone) = (first, last, zone);
        source.fields.extend(fields);
        source.anomalies.extend(anomalies);
        note_problem(source, problem);
        observations.lines.extend(lines);
    }
    read_hosts(
        case,
        &sniffed,
        options,
        progress,
        &mut sources,
        &mut observations,
    );
    for source in &mut sources {
        sniff::reason_for_nothing(source);
        if let Some(offset_ns) = options.clock_of(source) {
            source.clock = Clock {
                offset_ns,
                basis: ClockBasis::Given,
                ..Clock::default()
            };
        }
    }
    ReadCase {
        sources,
        observations,
    }
}

fn read_config(
    case: &Case,
    source: &mut Source,
    reader: &'static str,
    observations: &mut Observations,
    log_options: &mut LogOptions,
) {
    let mut input = case.reader(source.id);
    let mut text = Vec::new();
    let _ = (&mut input).take(CONFIG_BYTES).read_to_end(&mut text);
    let config::ConfigSummary {
        settings,
        log_formats,
        lines,
        odd,
        anomalies,
    } = config::read(source.id, reader, &text);
    source.records = lines;
    source.odd = odd;
    source.used = lines.saturating_sub(odd);
    source.anomalies.extend(anomalies);
    if text.len() as u64 == CONFIG_BYTES {
        source.anomaly(
            "cut-short",
            1,
            0,
            format!("only the first {} MiB were read", CONFIG_BYTES >> 20),
        );
    }
    note_problem(source, input.problem().cloned());
    observations.settings.extend(settings);
    log_options.nginx_formats.extend(log_formats);
}

/// Every TLS secret of the case: of its key logs, and of its captures' first blocks.
fn read_keys(case: &Case, sniffed: &mut [Sniffed], sources: &mut [Source]) -> capture::KeyLog {
    let mut keys = capture::KeyLog::default();
    for (source, found) in sources.iter_mut().zip(sniffed) {
        keys.merge(std::mem::take(&mut found.secrets));
        if !found.key_log {
            continue;
        }
        let mut input = case.reader(source.id);
        let capture::KeyLogSummary {
            lines,
            used,
            odd,
            anomalies,
        } = keys.read(&mut input);
        (source.records, source.used, source.odd) = (lines, used, odd);
        source.anomalies.extend(anomalies);
        note_problem(source, input.problem().cloned());
    }
    keys
}

fn note_problem(source: &mut Source, problem: Option<crate::case::Problem>) {
    if let Some(problem) = problem {
        source.anomaly(problem.kind, 1, 0, problem.say.clone());
        source.reason.get_or_insert(problem.say);
    }
}

/// First and last record over all sources, each as finely as its source told it; `correlate` has put them in reference time.
fn window(seen: Option<(Moment, Moment)>, sources: &[Source]) -> Option<(Stamp, Stamp)> {
    let first = sources.iter().filter_map(|s| s.first).min();
    let last = sources.iter().filter_map(|s| s.last).max();
    let told = |at: Moment, near: Option<Stamp>| match near {
        Some(stamp) if stamp.at == at => stamp,
        _ => Stamp::new(at, crate::model::MILLI_NS),
    };
    match seen {
        Some((start, end)) => Some((told(start, first), told(end, last))),
        None => first.zip(last),
    }
}
