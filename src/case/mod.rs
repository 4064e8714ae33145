//! Paths on the command line -> the files of one case, each listed once, and their bytes: the only room that opens files.

mod ahead;
mod collect;
mod reader;
mod unpack;

pub use collect::{CaseError, OpenOptions};
pub use reader::{Compression, SourceReader};

use crate::model::{Anomaly, Moment, SourceId};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a file's beginning that decide what it is.
pub const HEAD_BYTES: usize = 64 * 1024;

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    Disk(PathBuf),
    Memory(Cow<'static, [u8]>),
    /// Listed, and not to be read: why stands in `CaseFile::problem`.
    Nowhere,
}

/// One file of the case, before anybody looked into it.
#[derive(Debug, Clone)]
pub struct CaseFile {
    pub id: SourceId,
    /// As the user would name it: relative to the case's folder, `/`-separated.
    pub path: String,
    /// Bytes as stored (compressed, where it is).
    pub bytes: u64,
    pub compression: Option<Compression>,
    /// Given on the command line itself.
    pub named: bool,
    /// Why it can't be read at all; `None` where it can.
    pub problem: Option<Problem>,
    pub(crate) location: Location,
}

/// Why a file of the case can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable kebab-case name, as in `Anomaly`.
    pub kind: &'static str,
    pub say: String,
}

impl Problem {
    pub(crate) fn new(kind: &'static str, say: impl Into<String>) -> Self {
        Self {
            kind,
            say: say.into(),
        }
    }

    pub fn anomaly(&self) -> Anomaly {
        Anomaly {
            kind: self.kind.to_owned(),
            count: 1,
            first_record: 0,
            records: Vec::new(),
            note: self.say.clone(),
        }
    }
}

/// The files of one incident, in order of their path.
#[derive(Debug, Clone)]
pub struct Case {
    root: String,
    files: Vec<CaseFile>,
    hidden: u64,
    excluded: u64,
    /// Removes the copy of stdin with the last clone of the case.
    _spool: Option<Arc<collect::Spool>>,
}

impl Case {
    /// Lists what the paths name: folders with all that is in them (hidden files left out), files, globs, `-` for stdin.
    pub fn open(paths: &[PathBuf], options: &OpenOptions) -> Result<Self, CaseError> {
        collect::open(paths, options)
    }

    /// A case that needs no disk: name and bytes of each file.
    pub fn from_memory(root: &str, files: &[(&str, &'static [u8])]) -> Self {
        let mut sorted: Vec<_> = files.to_vec();
        sorted.sort_unstable_by_key(|&(name, _)| name);
        let files = sorted
            .into_iter()
            .zip(0..)
            .map(|((name, bytes), id)| CaseFile {
                id: SourceId(id),
                path: name.to_owned(),
                bytes: bytes.len() as u64,
                compression: Compression::sniff(bytes),
                named: false,
                problem: None,
                location: Location::Memory(Cow::Borrowed(bytes)),
            })
            .collect();
        Self {
            root: root.to_owned(),
            files,
            hidden: 0,
            excluded: 0,
            _spool: None,
        }
    }

    /// What the user pointed at, as typed.
    pub fn root(&self) -> &str {
        &self.root
    }

    pub fn files(&self) -> &[CaseFile] {
        &self.files
    }

    /// Where a file lies, for programs that open it themselves; `None` for one that is in memory only.
    pub fn on_disk(&self, id: SourceId) -> Option<&Path> {
        match &self.file(id)?.location {
            Location::Disk(path) => Some(path),
            Location::Memory(_) | Location::Nowhere => None,
        }
    }

    /// When a file on disk was last written: of its year alone anything is made, where nothing in the case tells one.
    pub fn modified(&self, id: SourceId) -> Option<Moment> {
        let at = std::fs::metadata(self.on_disk(id)?).ok()?.modified().ok()?;
        let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_nanos()).ok().map(Moment)
    }

    pub fn file(&self, id: SourceId) -> Option<&CaseFile> {
        self.files.get(id.0 as usize)
    }

    /// Hidden files and folders met in folders and not read.
    pub const fn hidden(&self) -> u64 {
        self.hidden
    }

    /// Files left out by `--exclude`.
    pub const fn excluded(&self) -> u64 {
        self.excluded
    }
}
