//! A case on a thread of its own -> analyses as they grow, how far the reading is, records and exports, for the terminal UI.

use super::browse::Reopen;
use super::failure::Failure;
use super::selection::Chosen;
use super::{demo, elsewhere, kept, meaning};
use crate::analysis::{self, CaseRaw, Options, Progress};
use crate::case::Case;
use crate::diagnose::Pack;
use crate::model::{
    Analysis, FileProgress, FileState, Loading, Notes, Raw, RawReader, RecordRef, SourceId,
    SourceKind, inert,
};
use crate::report::{Redact, Redactor, Zone, veil};
use crate::tui::export::PACKETS;
use crate::tui::{Exporter, Fed, Feed, Keeper, Shown};
use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A case that is read this fast opens with its final words at once.
const AT_ONCE: Duration = Duration::from_millis(40);
/// The rate is that of so long a time.
const OF_LATE: Duration = Duration::from_secs(3);
/// How long the thread may take to notice that nobody waits any more.
const PARTING: Duration = Duration::from_secs(2);

pub(super) const FORMATS: &[&str] = &["json", "ndjson", "csv", "md", "html", PACKETS];

/// All that a reading takes beside the files.
pub(super) struct Work {
    pub(super) options: Options,
    pub(super) pack: Pack,
    pub(super) chosen: Option<Chosen>,
}

enum Sent {
    Look(Analysis),
    Last(Analysis),
}

/// What the thread that reads tells, and is told.
struct Watch {
    files: Vec<File>,
    total: AtomicU64,
    stop: AtomicBool,
    abandon: AtomicBool,
}

struct File {
    bytes: u64,
    read: AtomicU64,
    /// 0 waiting, 1 being read, 2 read.
    state: AtomicU8,
}

impl Watch {
    fn new(case: &Case) -> Self {
        let file = |bytes| File {
            bytes,
            read: AtomicU64::new(0),
            state: AtomicU8::new(0),
        };
        Self {
            files: case.files().iter().map(|f| file(f.bytes)).collect(),
            total: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
        }
    }

    fn set(&self, source: SourceId, state: u8) {
        if let Some(file) = self.files.get(source.0 as usize) {
            file.state.fetch_max(state, Ordering::Relaxed);
        }
    }
}

impl Progress for Watch {
    fn total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }
    fn reading(&self, source: SourceId, _path: &str) {
        self.set(source, 1);
    }
    fn advance(&self, source: SourceId, bytes: u64) {
        if let Some(file) = self.files.get(source.0 as usize) {
            file.read.fetch_add(bytes, Ordering::Relaxed);
        }
    }
    fn finished(&self, source: SourceId) {
        self.set(source, 2);
    }
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    fn abandoned(&self) -> bool {
        self.abandon.load(Ordering::Relaxed)
    }
}

/// Why the UI left without having been told to.
pub(super) enum Trouble {
    Nothing(Failure),
    Panic(Box<dyn Any + Send>),
}

pub(super) struct Desk<'a> {
    case: Case,
    reopen: Reopen<'a>,
    work: Arc<Work>,
    /// Where marks and notes are kept; why they are not.
    state: Result<PathBuf, String>,
    zone: Zone,
    /// How the user would name the case in a command.
    paths: String,
    watch: Arc<Watch>,
    news: Receiver<Sent>,
    worker: Option<JoinHandle<()>>,
    /// The last analysis that came before the UI was open.
    early: Option<Sent>,
    over: bool,
    /// The files are read again: what was found before stays until all is read.
    again: bool,
    rates: VecDeque<(Instant, u64)>,
    raw: Option<CaseRaw>,
    kinds: Vec<SourceKind>,
    /// Connections of the case so far.
    of: usize,
    /// The last analysis that was handed out, as it was recorded.
    plain: Option<Arc<Analysis>>,
    /// What hides secrets, while they are to be hidden.
    veil: Option<Redactor>,
    /// The last analysis has to be handed out once more.
    again_shown: bool,
    pub(super) trouble: Option<Trouble>,
}

/// Begins to read.
fn begin(
    case: &Case,
    work: &Arc<Work>,
) -> std::io::Result<(Arc<Watch>, Receiver<Sent>, JoinHandle<()>)> {
    let watch = Arc::new(Watch::new(case));
    let (send, news) = channel();
    let (case, work, its_watch) = (case.clone(), Arc::clone(work), Arc::clone(&watch));
    let worker = std::thread::Builder::new()
        .name("reading".to_owned())
        .spawn(move || {
            let Work {
                options,
                pack,
                chosen,
            } = &*work;
            let keep = |mut analysis: Analysis| {
                if let Some(chosen) = chosen {
                    chosen.apply(&mut analysis);
                }
                analysis
            };
            // One sender for each thread that has something to say; whoever listened may be gone.
            let looks = Mutex::new(send.clone());
            let look = |analysis| {
                if let Ok(looks) = looks.lock() {
                    let _ = looks.send(Sent::Look(keep(analysis)));
                }
            };
            let last = analysis::run_watched(&case, options, pack, &*its_watch, &look);
            let _ = send.send(Sent::Last(keep(last)));
        })?;
    Ok((watch, news, worker))
}

impl<'a> Desk<'a> {
    /// Begins to read, and waits the blink of an eye for the end of that.
    pub(super) fn open(
        case: Case,
        reopen: Reopen<'a>,
        work: Work,
        paths: String,
        zone: Zone,
    ) -> std::io::Result<Self> {
        let work = Arc::new(work);
        let (watch, news, worker) = begin(&case, &work)?;
        let mut desk = Self {
            case,
            reopen,
            work,
            state: kept::folder().ok_or_else(|| "there is no home folder".to_owned()),
            zone,
            paths,
            watch,
            news,
            worker: Some(worker),
            early: None,
            over: false,
            again: false,
            rates: VecDeque::new(),
            raw: None,
            kinds: Vec::new(),
            of: 0,
            plain: None,
            veil: None,
            again_shown: false,
            trouble: None,
        };
        desk.wait_for_the_end();
        Ok(desk)
    }

    /// The marks and notes of former sessions. A file that can't be read is not written over either.
    pub(super) fn notes(&mut self) -> Notes {
        let loaded = self.state.clone().and_then(|folder| kept::load(&folder));
        loaded.unwrap_or_else(|why| {
            self.state = Err(why);
            Notes::new()
        })
    }

    /// Tells a reading that nobody waits for it, and gives it a while to notice.
    fn abandon(&mut self) {
        self.watch.abandon.store(true, Ordering::Relaxed);
        self.watch.stop.store(true, Ordering::Relaxed);
        let Some(worker) = self.worker.take() else {
            return;
        };
        let end = Instant::now() + PARTING;
        while !worker.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        if worker.is_finished() {
            let _ = worker.join();
        }
    }

    fn packets(&self, shown: &Analysis, out: &mut impl std::io::Write) -> Result<String, String> {
        let judged = shown
            .connections
            .first()
            .ok_or_else(|| "no connection stands here".to_owned())?;
        let id = &judged.connection.id;
        if judged.connection.legs.is_empty() {
            return Err(format!(
                "{id} is in no capture: there are no packets to write"
            ));
        }
        let cut = analysis::cut(&self.case, shown, judged, out).map_err(|e| e.to_string())?;
        Ok(format!(
            "{} packets of {id}, as they were recorded",
            cut.packets
        ))
    }

    fn wait_for_the_end(&mut self) {
        let end = Instant::now() + AT_ONCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.news.recv_timeout(left) {
                Ok(sent) => {
                    let last = matches!(sent, Sent::Last(_));
                    self.early = Some(sent);
                    if last {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// What the UI opens with: the files by name, or more where it was read already.
    pub(super) fn first(&mut self) -> Result<Arc<Analysis>, Trouble> {
        match self.next() {
            Fed::Newer(analysis) => Ok(analysis),
            Fed::Nothing => Ok(Arc::new(analysis::listed(&self.case))),
            Fed::End => Err(self.trouble.take().unwrap_or_else(|| {
                Trouble::Panic(Box::new("the thread that reads ended without a word"))
            })),
        }
    }

    fn take(&mut self, sent: Sent) -> Fed {
        let (analysis, last) = match sent {
            Sent::Look(analysis) => (analysis, false),
            Sent::Last(analysis) => (analysis, true),
        };
        self.over |= last;
        if last && let Some(failure) = meaning::nothing_used(&analysis, &self.paths) {
            self.trouble = Some(Trouble::Nothing(failure));
            return Fed::End;
        }
        self.of = analysis.connections.len();
        let kinds: Vec<SourceKind> = analysis.sources.iter().map(|s| s.kind).collect();
        if kinds != self.kinds {
            self.raw = Some(CaseRaw::new(
                self.case.clone(),
                &analysis.sources,
                &self.work.options,
            ));
            self.kinds = kinds;
        }
        let analysis = Arc::new(analysis);
        self.plain = Some(Arc::clone(&analysis));
        if self.veil.is_some() {
            self.veil = Some(Redactor::new(Redact::SHARED, &analysis));
        }
        Fed::Newer(self.veiled(&analysis))
    }

    /// The analysis as it is to be shown.
    fn veiled(&self, analysis: &Arc<Analysis>) -> Arc<Analysis> {
        match &self.veil {
            Some(redactor) => Arc::new(veil::analysis(redactor, analysis)),
            None => Arc::clone(analysis),
        }
    }

    fn write(
        &self,
        format: &str,
        shown: &Analysis,
        filter: &str,
        out: &mut impl std::io::Write,
    ) -> std::io::Result<()> {
        use crate::report::{Selected, csv, html, json, markdown, ndjson};

        let redactor = Redactor::new(Redact::SHARED, shown);
        let selected = (!filter.is_empty()).then(|| Selected {
            shown: shown.connections.len(),
            of: self.of,
            by: format!("-w {}", meaning::quote(filter)),
        });
        let paths = if self.paths == demo::NAME {
            "DIR"
        } else {
            &self.paths
        };
        let (zone, selected) = (self.zone, selected.as_ref());
        match format {
            "ndjson" => ndjson::write(shown, &redactor, out)?,
            "csv" => csv::write(shown, &redactor, &[], out)?,
            "md" => {
                let options = markdown::Options {
                    zone,
                    top: 0,
                    paths,
                    selected,
                };
                markdown::write(shown, &redactor, &options, out)?;
            }
            "html" => {
                let options = html::Options {
                    zone,
                    paths,
                    selected,
                };
                html::write(shown, &redactor, &options, out)?;
            }
            _ => json::write(shown, &redactor, out)?,
        }
        out.flush()
    }
}

impl Drop for Desk<'_> {
    /// A thread that still reads is told to end, so that it leaves no copy of standard input behind.
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Feed for Desk<'_> {
    fn next(&mut self) -> Fed {
        if let Some(sent) = self.early.take() {
            return self.take(sent);
        }
        if std::mem::take(&mut self.again_shown)
            && let Some(plain) = &self.plain
        {
            return Fed::Newer(self.veiled(plain));
        }
        if self.over {
            return Fed::Nothing;
        }
        let mut newest = None;
        loop {
            match self.news.try_recv() {
                Ok(Sent::Look(_)) if self.again => {}
                Ok(sent) => newest = Some(sent),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if newest.is_some() => break,
                Err(TryRecvError::Disconnected) => {
                    self.over = true;
                    let ended = self.worker.take().map(JoinHandle::join);
                    if let Some(Err(panic)) = ended {
                        self.trouble = Some(Trouble::Panic(panic));
                    }
                    return Fed::End;
                }
            }
        }
        newest.map_or(Fed::Nothing, |sent| self.take(sent))
    }

    fn loading(&mut self) -> Option<Loading> {
        if self.over {
            return None;
        }
        let states = [FileState::Waiting, FileState::Reading, FileState::Read];
        let files: Vec<FileProgress> = self
            .watch
            .files
            .iter()
            .map(|f| {
                let state = usize::from(f.state.load(Ordering::Relaxed));
                FileProgress {
                    state: states.get(state).copied().unwrap_or_default(),
                    bytes: f.bytes,
                    read: f.read.load(Ordering::Relaxed).min(f.bytes),
                }
            })
            .collect();
        let read = files.iter().map(|f| f.read).sum();
        let now = Instant::now();
        self.rates.push_back((now, read));
        while self.rates.len() > 2 && self.rates.front().is_some_and(|r| now - r.0 > OF_LATE) {
            self.rates.pop_front();
        }
        let rate = self.rates.front().map_or(0, |(since, had)| {
            let ms = (now - *since).as_millis().max(1);
            if ms < 200 {
                return 0;
            }
            u64::try_from(u128::from(read - had.min(&read)) * 1000 / ms).unwrap_or(0)
        });
        Some(Loading {
            files,
            total: self.watch.total.load(Ordering::Relaxed).max(read),
            read,
            rate,
            stopped: self.watch.stop.load(Ordering::Relaxed),
        })
    }

    fn stop(&mut self) {
        self.watch.stop.store(true, Ordering::Relaxed);
    }

    fn veil(&mut self, on: bool) {
        let plain = self.plain.as_ref().filter(|_| on);
        self.veil = plain.map(|plain| Redactor::new(Redact::SHARED, plain));
        self.again_shown = true;
    }

    fn reload(&mut self) -> Result<(), String> {
        let case = (self.reopen)()?;
        self.abandon();
        let begun = begin(&case, &self.work);
        let (watch, news, worker) = begun.map_err(|e| e.to_string())?;
        (self.case, self.watch, self.news, self.worker) = (case, watch, news, Some(worker));
        (self.over, self.again) = (false, true);
        self.rates.clear();
        // The files may be others: their first bytes are looked at anew.
        self.kinds.clear();
        self.raw = None;
        Ok(())
    }
}

impl Keeper for Desk<'_> {
    fn keep(&mut self, notes: &Notes, changed: &BTreeSet<String>) -> Result<(), String> {
        let folder = self.state.clone()?;
        kept::store(&folder, notes, changed)
    }

    fn show(&mut self, record: RecordRef) -> Result<Shown, String> {
        let kind = self.kinds.get(record.source.0 as usize).copied();
        elsewhere::show(&self.case, kind.unwrap_or(SourceKind::Unrecognised), record)
    }

    fn take_over(&mut self, record: RecordRef) -> Result<(), String> {
        elsewhere::edit(&self.case, record)
    }
}

impl RawReader for Desk<'_> {
    fn read(&mut self, record: RecordRef) -> Raw {
        let read = match &mut self.raw {
            Some(raw) => raw.read(record),
            None => Raw::Missing("its file was not looked at yet".to_owned()),
        };
        match &self.veil {
            Some(redactor) => veil::raw(redactor, read),
            None => read,
        }
    }
}

impl Exporter for Desk<'_> {
    fn export(
        &mut self,
        format: &str,
        path: &Path,
        shown: &Analysis,
        filter: &str,
    ) -> Result<String, String> {
        if !FORMATS.contains(&format) {
            return Err(format!("this build writes no {format}"));
        }
        let name = inert(&path.display().to_string());
        let cant = |e: std::io::Error| format!("can't write {name}: {e}");
        let file = std::fs::File::create_new(path).map_err(cant)?;
        let mut out = std::io::BufWriter::new(file);
        if format == PACKETS {
            return match self.packets(shown, &mut out) {
                Ok(said) => Ok(format!("wrote {name}: {said}")),
                Err(why) => {
                    drop(out);
                    // It was made a moment ago and holds nothing.
                    let _ = std::fs::remove_file(path);
                    Err(why)
                }
            };
        }
        self.write(format, shown, filter, &mut out).map_err(cant)?;
        let n = shown.connections.len();
        let plural = if n == 1 { "" } else { "s" };
        let so_far = if self.over {
            ""
        } else {
            " so far, not all is read"
        };
        Ok(format!(
            "wrote {name}: {n} connection{plural}{so_far}, tokens, cookies and payload hidden"
        ))
    }
}
