//! What was read so far of a case that is still being read -> provisional analyses, at growing intervals and little cost.

use super::{Analysis, Options, Progress, ReadCase, all_stages, judged, sniff};
use crate::capture::SoFar;
use crate::case::Case;
use crate::correlate::Observations;
use crate::diagnose::Pack;
use crate::logs::LogSummary;
use crate::model::{Adapted, HopSettings, LegObservation, Line, Source, SourceId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// From the first byte to the first look.
const SOON: Duration = Duration::from_millis(80);
/// How long those who read may take to answer; one that does not is left with what it told before.
const ANSWER: Duration = Duration::from_millis(60);
/// A look takes at most this part of the time: the next one comes after so many times its cost.
const SHARE: u32 = 15;
/// The first looks follow each other like this, the later ones more slowly.
const PACE: Duration = Duration::from_millis(250);
const SLOWEST: Duration = Duration::from_secs(20);
/// Observations that one reader tells at most: few at first, because the first row is waited for.
const FIRST: usize = 400;
const MOST: usize = 40_000;

/// The case before anything of it is read: its files by name.
pub fn listed(case: &Case) -> Analysis {
    Analysis {
        root: case.root().to_owned(),
        rules: String::new(),
        window: None,
        sources: case.files().iter().map(sniff::blank_source).collect(),
        connections: Vec::new(),
        findings: Vec::new(),
        incidents: Vec::new(),
        marks: Vec::new(),
        adapted: Adapted::default(),
    }
}

/// [`super::run`], which shows `watch` what it would say if the files ended where it has read to. Those looks are few, and each
/// has seen part of the evidence only: they are for the eye.
pub fn run_watched(
    case: &Case,
    options: &Options,
    pack: &Pack,
    progress: &dyn Progress,
    watch: &(dyn Fn(Analysis) + Sync),
) -> Analysis {
    let board = Board {
        watched: true,
        most: AtomicUsize::new(FIRST),
        ..Board::default()
    };
    std::thread::scope(|scope| {
        let watcher = std::thread::Builder::new()
            .name("looks".to_owned())
            .spawn_scoped(scope, || board.look_on(case, options, pack, watch));
        let closing = Closing(&board);
        let (analysis, _) = all_stages(case, options, pack, (progress, &board), None);
        drop(closing);
        // A look that failed takes nothing from the result.
        if let Ok(watcher) = watcher {
            let _ = watcher.join();
        }
        analysis
    })
}

/// Ends the looks, also where the reading panics.
struct Closing<'a>(&'a Board);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.hold().over = true;
        self.0.bell.notify_all();
    }
}

/// A share of a vantage point: the first file of its set, its number in the set, the number of the share.
pub(super) type Place = (SourceId, usize, usize);

/// Where those who read leave what they have when they are asked.
#[derive(Default)]
pub(super) struct Board {
    watched: bool,
    /// How often was asked.
    round: AtomicU32,
    /// How much each may tell.
    most: AtomicUsize,
    held: Mutex<Held>,
    bell: Condvar,
}

#[derive(Default)]
struct Held {
    sources: Vec<Source>,
    settings: Vec<HopSettings>,
    legs: BTreeMap<Place, Vec<LegObservation>>,
    lines: BTreeMap<SourceId, Vec<Line>>,
    /// Who reads, and who of them has answered.
    seats: usize,
    answered: usize,
    begun: bool,
    over: bool,
}

impl Board {
    fn hold(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files are known, and their configuration is read.
    pub(super) fn begin(&self, sources: &[Source], settings: &[HopSettings]) {
        if self.watched {
            let mut held = self.hold();
            held.sources = sources.to_vec();
            held.settings = settings.to_vec();
            held.begun = true;
            drop(held);
            self.bell.notify_all();
        }
    }

    /// A place for one who reads.
    pub(super) fn seat(&self) -> Seat<'_> {
        if self.watched {
            self.hold().seats += 1;
        }
        Seat {
            board: self,
            heard: self.round.load(Ordering::Relaxed),
        }
    }

    fn look_on(
        &self,
        case: &Case,
        options: &Options,
        pack: &Pack,
        watch: &(dyn Fn(Analysis) + Sync),
    ) {
        // The threads that read are busy to the end: work given to their pool would wait until then.
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else {
            return;
        };
        let Some(sources) = self.until_begun() else {
            return;
        };
        watch(Analysis {
            sources,
            ..listed(case)
        });
        let (mut pause, mut most) = (SOON, FIRST);
        loop {
            if self.pause(pause) {
                return;
            }
            self.most.store(most, Ordering::Relaxed);
            self.ask();
            let start = Instant::now();
            let Some(read) = self.read_so_far(most) else {
                return;
            };
            let analysis = pool.install(|| judged(case.root(), read, options, pack, None).0);
            if self.hold().over {
                return;
            }
            let empty = analysis.connections.is_empty();
            watch(analysis);
            if empty {
                // Nothing was to be seen yet, and somebody waits for the first row.
                pause = SOON.max(start.elapsed() * 2);
                continue;
            }
            pause = (pause * 3 / 2)
                .clamp(PACE, SLOWEST)
                .max(start.elapsed() * SHARE);
            most = (most * 4).min(MOST);
        }
    }

    /// `None` where all is over.
    fn until_begun(&self) -> Option<Vec<Source>> {
        let waiting = |held: &mut Held| !held.begun && !held.over;
        let held = self.bell.wait_while(self.hold(), waiting);
        let held = held.unwrap_or_else(PoisonError::into_inner);
        (!held.over).then(|| held.sources.clone())
    }

    /// True where all is over.
    fn pause(&self, time: Duration) -> bool {
        let waited = self
            .bell
            .wait_timeout_while(self.hold(), time, |held| !held.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    /// Asks everybody who reads, and waits a little for the answers.
    fn ask(&self) {
        self.hold().answered = 0;
        self.round.fetch_add(1, Ordering::Relaxed);
        let waiting = |held: &mut Held| held.answered < held.seats && !held.over;
        drop(self.bell.wait_timeout_while(self.hold(), ANSWER, waiting));
    }

    /// Of each file about `most` legs and lines: the first looks are to be quick.
    fn read_so_far(&self, most: usize) -> Option<ReadCase> {
        let held = self.hold();
        if held.over {
            return None;
        }
        let mut legs: Vec<LegObservation> = held.legs.values().flatten().cloned().collect();
        legs.sort_by_key(|leg| (leg.vantage, leg.first.record, leg.first.at));
        Some(ReadCase {
            sources: held.sources.clone(),
            observations: Observations {
                legs,
                lines: held
                    .lines
                    .values()
                    .flat_map(|lines| lines.iter().take(most).cloned())
                    .collect(),
                settings: held.settings.clone(),
            },
        })
    }
}

/// One who reads.
pub(super) struct Seat<'a> {
    board: &'a Board,
    heard: u32,
}

impl Seat<'_> {
    /// Somebody wants to know what was read so far.
    pub(super) fn asked(&mut self) -> bool {
        let round = self.board.round.load(Ordering::Relaxed);
        std::mem::replace(&mut self.heard, round) != round
    }

    /// The legs of a vantage point so far. `of` names it and the share of it, `file` is the one being read.
    pub(super) fn legs(&self, of: Place, file: SourceId, so_far: SoFar<'_>) {
        if !self.board.watched {
            return;
        }
        let legs = so_far.legs(self.board.most.load(Ordering::Relaxed));
        let mut held = self.board.hold();
        held.legs.insert(of, legs);
        if let Some(source) = held.sources.get_mut(file.0 as usize) {
            source.records = so_far.packets;
            (source.first, source.last) = so_far.span();
        }
        held.answered += 1;
        drop(held);
        self.board.bell.notify_all();
    }

    /// The lines of a log so far; with its summary where it is read to its end.
    pub(super) fn lines(&self, id: SourceId, lines: &[Line], end: Option<&LogSummary>) {
        if !self.board.watched {
            return;
        }
        let mut held = self.board.hold();
        let known = held.lines.entry(id).or_default();
        let until = lines.len().min(MOST);
        known.extend(
            lines
                .get(known.len()..until)
                .unwrap_or_default()
                .iter()
                .cloned(),
        );
        if let Some(source) = held.sources.get_mut(id.0 as usize)
            && let Some(end) = end
        {
            (source.records, source.used, source.odd) = (end.records, end.used, end.odd);
            (source.first, source.last) = (end.first, end.last);
            source.zone = end.zone;
        }
        held.answered += 1;
        drop(held);
        self.board.bell.notify_all();
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.board.watched {
            let mut held = self.board.hold();
            held.seats = held.seats.saturating_sub(1);
            drop(held);
            self.board.bell.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::run;
    use crate::case::OpenOptions;
    use std::path::Path;

    fn sample() -> Case {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/nginx-reload");
        Case::open(&[path], &OpenOptions::default()).expect("the sample")
    }

    /// Does not end the capture before a look has shown a connection.
    struct Patient {
        capture: SourceId,
        seen: Mutex<Vec<Analysis>>,
        bell: Condvar,
    }

    impl Progress for Patient {
        fn finished(&self, source: SourceId) {
            if source != self.capture {
                return;
            }
            let none = |seen: &mut Vec<Analysis>| seen.iter().all(|a| a.connections.is_empty());
            drop(self.bell.wait_while(self.seen.lock().expect("looks"), none));
        }
    }

    #[test]
    fn looks_show_what_was_read_and_change_nothing() {
        let (case, pack) = (sample(), Pack::builtin());
        let expected = run(&case, &Options::default(), &pack, &crate::analysis::Silent);
        let capture = expected.sources.iter().find(|s| s.kind.is_capture());
        let capture = capture.expect("a capture").id;
        for jobs in [1, 3] {
            let options = Options {
                jobs: Some(jobs),
                ..Options::default()
            };
            let patient = Patient {
                capture,
                seen: Mutex::default(),
                bell: Condvar::new(),
            };
            let watch = |analysis| {
                patient.seen.lock().expect("looks").push(analysis);
                patient.bell.notify_all();
            };
            let found = run_watched(&case, &options, &pack, &patient, &watch);
            assert_eq!(found, expected);
            let looks = patient.seen.into_inner().expect("looks");
            let first = looks.first().expect("a look");
            assert!(first.connections.is_empty());
            let kinds = |a: &Analysis| a.sources.iter().map(|s| s.kind).collect::<Vec<_>>();
            assert_eq!(kinds(first), kinds(&expected));
            assert!(looks.iter().any(|a| !a.connections.is_empty()));
        }
    }

    /// Has enough before anything is read.
    struct Enough;

    impl Progress for Enough {
        fn stopped(&self) -> bool {
            true
        }
    }

    #[test]
    fn what_was_not_read_is_told() {
        let (case, pack) = (sample(), Pack::builtin());
        let found = run_watched(&case, &Options::default(), &pack, &Enough, &|_| {});
        assert!(found.connections.is_empty());
        for source in &found.sources {
            let told = source.anomalies.iter().any(|a| {
                a.kind == "reading-stopped" && a.note.starts_with("reading was stopped after 0 of")
            });
            let read =
                source.kind.is_capture() || matches!(source.kind, crate::model::SourceKind::Log(_));
            assert_eq!(told, read, "{}: {:?}", source.path, source.anomalies);
        }
    }
}
