//! A case -> NDJSON on one output, each connection written as soon as its verdict stands.

use crate::analysis::{self, Options};
use crate::case::Case;
use crate::cli::args::Format;
use crate::cli::failure::Stop;
use crate::diagnose::Pack;
use crate::model::{Analysis, Connection, Judged};
use crate::report::{Redact, Redactor, ndjson};
use std::io::{BufWriter, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

/// Where NDJSON alone is to go, if it is to go to one place; `-` = standard output.
pub(super) fn target(targets: &[(PathBuf, Format)], format: Option<Format>) -> Option<&Path> {
    match (targets, format) {
        ([], Some(Format::Ndjson)) => Some(Path::new("-")),
        ([(path, Format::Ndjson)], _) => Some(path),
        _ => None,
    }
}

struct Lines<W> {
    out: W,
    redact: Redact,
    redactor: Redactor,
    written: Result<()>,
}

impl<W: Write> analysis::Listener for Lines<W> {
    fn begin(&mut self, connections: &[Connection]) {
        self.redactor = Redactor::of(self.redact, connections.iter());
    }

    fn judged(&mut self, judged: &Judged) -> bool {
        self.written = ndjson::write_connection(judged, &self.redactor, &mut self.out);
        self.written.is_ok()
    }
}

/// All lines; a reader that had enough is no failure.
pub(super) fn write(
    (case, options, pack): (&Case, &Options, &Pack),
    progress: &dyn analysis::Progress,
    redact: Redact,
    (out, name): (impl Write + Send, &str),
) -> std::result::Result<Analysis, Stop> {
    let mut lines = Lines {
        out: BufWriter::new(out),
        redact,
        redactor: Redactor::none(),
        written: Ok(()),
    };
    let analysis = analysis::run_aloud(case, options, pack, progress, &mut lines);
    let Lines {
        mut out,
        redactor,
        written,
        ..
    } = lines;
    let written = written
        .and_then(|()| ndjson::write_shared(&analysis, &redactor, &mut out))
        .and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(analysis),
        Err(e) => {
            // what is left in the buffer can't be written either
            let _ = out.into_parts();
            match e.kind() {
                ErrorKind::BrokenPipe => Ok(analysis),
                _ => Err(Stop::writing(name, &e)),
            }
        }
    }
}
