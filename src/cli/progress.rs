//! Bytes read -> a bar, lines or JSON on standard error, once reading takes long enough to be felt.

use super::args::ProgressKind;
use crate::analysis::Progress;
use crate::model::{SourceId, inert};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nothing is shown before this.
const PATIENCE: Duration = Duration::from_millis(700);
/// Between two lines of `plain` and `json`.
const STEP: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Told {
    kind: ProgressKind,
    start: Instant,
    total: AtomicU64,
    read: AtomicU64,
    bar: ProgressBar,
    shown: AtomicBool,
    last: Mutex<Instant>,
}

impl Told {
    pub(super) fn new(kind: ProgressKind) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:24} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}",
        ) {
            bar.set_style(style);
        }
        let start = Instant::now();
        Self {
            kind,
            start,
            total: AtomicU64::new(0),
            read: AtomicU64::new(0),
            bar,
            shown: AtomicBool::new(false),
            last: Mutex::new(start),
        }
    }

    fn line(&self) {
        let Ok(mut last) = self.last.lock() else {
            return;
        };
        if last.elapsed() < STEP {
            return;
        }
        *last = Instant::now();
        let (read, total) = (
            self.read.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        );
        if self.kind == ProgressKind::Json {
            eprintln!("{{\"type\":\"progress\",\"read_bytes\":{read},\"total_bytes\":{total}}}");
        } else {
            eprintln!(
                "read {} of {} MB",
                read / 1_000_000,
                total.div_ceil(1_000_000)
            );
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Told {
    fn total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
        self.bar.set_length(bytes);
    }

    fn reading(&self, _source: SourceId, path: &str) {
        if self.kind == ProgressKind::Auto {
            self.bar.set_message(inert(path));
        }
    }

    fn advance(&self, _source: SourceId, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        match self.kind {
            ProgressKind::Never => {}
            ProgressKind::Auto => {
                self.bar.inc(bytes);
                if self.start.elapsed() > PATIENCE && !self.shown.swap(true, Ordering::Relaxed) {
                    self.bar.set_draw_target(ProgressDrawTarget::stderr());
                }
            }
            ProgressKind::Plain | ProgressKind::Json => self.line(),
        }
    }
}
