//! A file of the case -> its bytes, counted as they are taken, until the user has had enough.

use super::Progress;
use crate::case::{Case, SourceReader};
use crate::model::{Anomaly, SourceId};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

/// Passes on how many stored bytes were taken since the last call.
pub(super) fn steps<'a>(
    input: &SourceReader,
    source: SourceId,
    progress: &'a dyn Progress,
) -> impl FnMut() + use<'a> {
    let taken = input.taken();
    let mut told = 0;
    move || {
        let now = taken.load(Ordering::Relaxed);
        progress.advance(source, now - told);
        told = now;
    }
}

/// Ends the stream where the user has had enough.
pub(super) struct Stoppable<'a> {
    pub(super) inner: SourceReader,
    source: SourceId,
    progress: &'a dyn Progress,
    pub(super) stopped: bool,
}

impl<'a> Stoppable<'a> {
    pub(super) fn new(case: &Case, source: SourceId, progress: &'a dyn Progress) -> Self {
        Self::of(case.reader(source), source, progress)
    }

    pub(super) fn of(inner: SourceReader, source: SourceId, progress: &'a dyn Progress) -> Self {
        Self {
            inner,
            source,
            progress,
            stopped: false,
        }
    }

    /// Says that it was read, or that it was not read to its end; `bytes` are those stored.
    pub(super) fn end(&self, bytes: u64) -> Option<Anomaly> {
        ended(&[self], bytes)
    }
}

/// The same of a file that was read in parts.
pub(super) fn ended(parts: &[&Stoppable<'_>], bytes: u64) -> Option<Anomaly> {
    let first = parts.first()?;
    if !parts.iter().any(|part| part.stopped) {
        first.progress.finished(first.source);
        return None;
    }
    let taken = parts
        .iter()
        .map(|part| part.inner.taken().load(Ordering::Relaxed));
    let taken = taken.sum::<u64>().min(bytes);
    Some(Anomaly {
        kind: "reading-stopped".to_owned(),
        count: 1,
        first_record: 0,
        records: Vec::new(),
        note: format!(
            "reading was stopped after {taken} of {bytes} bytes: what stands behind is in no verdict"
        ),
    })
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.progress.stopped() {
            self.stopped = true;
            Ok(0)
        } else {
            self.inner.read(buffer)
        }
    }
}

/// Stops reading when whoever takes the frames has enough.
pub(super) struct Until<'a> {
    pub(super) progress: &'a dyn Progress,
    pub(super) enough: AtomicBool,
}

impl Progress for Until<'_> {
    fn reading(&self, source: SourceId, path: &str) {
        self.progress.reading(source, path);
    }
    fn advance(&self, source: SourceId, bytes: u64) {
        self.progress.advance(source, bytes);
    }
    fn finished(&self, source: SourceId) {
        self.progress.finished(source);
    }
    fn stopped(&self) -> bool {
        self.enough.load(Ordering::Relaxed) || self.progress.stopped()
    }
}

/// A share that reads what another one reads as well tells nobody, and stops with it.
pub(super) struct Quiet<'a>(pub(super) &'a dyn Progress);

impl Progress for Quiet<'_> {
    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}
