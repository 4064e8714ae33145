//! A record's place -> the record itself with what surrounds it, read again through the case.

use super::{Forced, Options};
use crate::case::Case;
use crate::logs::LogOptions;
use crate::model::{Raw, RawReader, RecordRef, Source, SourceId, SourceKind};
use crate::{capture, config, host, logs};
use std::collections::BTreeMap;
use std::io::Read;

/// Lines shown before and after the record.
const LINES_AROUND: usize = 5;
/// Bytes looked through for them, before and after; a line longer than this is cut.
const BYTES_AROUND: usize = 64 * 1024;
/// Bytes of one record at most.
const RECORD_BYTES: u32 = 1 << 20;

/// Reads records of a case again. Owns what it needs, so that it can live in another thread.
#[derive(Debug)]
pub struct CaseRaw {
    case: Case,
    /// What each source was read as.
    kinds: Vec<SourceKind>,
    log_options: LogOptions,
    forced: Vec<Forced>,
    /// First bytes of captures, and the log formats chosen, as they are needed.
    heads: BTreeMap<SourceId, Vec<u8>>,
}

impl CaseRaw {
    pub fn new(case: Case, sources: &[Source], options: &Options) -> Self {
        let mut log_options = LogOptions {
            nginx_formats: options.nginx_formats.clone(),
            assumed_zone: options.assumed_zone.unwrap_or_default(),
            map: options.map.clone(),
            ..LogOptions::default()
        };
        for source in sources {
            if let SourceKind::Config(reader) = source.kind {
                let mut text = Vec::new();
                let _ = case
                    .reader(source.id)
                    .take(super::CONFIG_BYTES)
                    .read_to_end(&mut text);
                log_options
                    .nginx_formats
                    .extend(config::read(source.id, reader, &text).log_formats);
            }
        }
        Self {
            case,
            kinds: sources.iter().map(|s| s.kind).collect(),
            log_options,
            forced: options.forced.clone(),
            heads: BTreeMap::new(),
        }
    }

    fn head(&mut self, id: SourceId) -> &[u8] {
        let case = &self.case;
        self.heads.entry(id).or_insert_with(|| case.head(id).0)
    }

    fn packet(&mut self, record: RecordRef) -> Raw {
        let len = record.len.min(RECORD_BYTES) as usize;
        let bytes = match self.case.read_span(record.source, record.start, len) {
            Ok(bytes) if bytes.is_empty() => {
                return Raw::Missing("the file is shorter than it was".to_owned());
            }
            Ok(bytes) => bytes,
            Err(problem) => return Raw::Missing(problem.say),
        };
        let (mut tree, payload) = capture::dissect(self.head(record.source), &bytes);
        // What other tools show of a packet begins behind the header of its record.
        let data = tree.first().map_or(0..bytes.len(), |(_, _, at)| at.clone());
        for (_, _, at) in &mut tree {
            *at = at.start.saturating_sub(data.start)..at.end.saturating_sub(data.start);
        }
        let bytes = bytes.get(data).unwrap_or_default().to_vec();
        Raw::Packet {
            number: record.ordinal,
            tree,
            bytes,
            payload,
        }
    }

    fn line(&mut self, record: RecordRef) -> Raw {
        let before = record.start.min(BYTES_AROUND as u64);
        let len = before as usize + record.len.min(RECORD_BYTES) as usize + BYTES_AROUND;
        let bytes = match self
            .case
            .read_span(record.source, record.start - before, len)
        {
            Ok(bytes) => bytes,
            Err(problem) => return Raw::Missing(problem.say),
        };
        let Some((above, rest)) = bytes.split_at_checked(before as usize) else {
            return Raw::Missing("the file is shorter than it was".to_owned());
        };
        if rest.is_empty() {
            return Raw::Missing("the file is shorter than it was".to_owned());
        }
        let mut lines: Vec<(u64, String)> = Vec::new();
        let above = above.strip_suffix(b"\n").unwrap_or(above);
        if before > 0 {
            for (number, line) in (1..record.ordinal)
                .rev()
                .zip(above.rsplit(|&b| b == b'\n'))
                .take(LINES_AROUND)
            {
                lines.push((number, text(line)));
            }
        }
        lines.reverse();
        let focus = lines.len();
        let mut below = rest.split(|&b| b == b'\n');
        let own = below.next().unwrap_or_default();
        lines.push((record.ordinal, text(own)));
        // the last piece is half a line unless the file ends there
        let whole = rest.iter().filter(|&&b| b == b'\n').count();
        for (number, line) in (record.ordinal + 1..)
            .zip(below)
            .take(LINES_AROUND.min(whole))
        {
            if !(line.is_empty() && number == record.ordinal + whole as u64) {
                lines.push((number, text(line)));
            }
        }
        // A record may have been written in several lines.
        let all = rest
            .get(..record.len as usize)
            .filter(|r| r.len() > own.len());
        let own = all
            .unwrap_or_else(|| own.strip_suffix(b"\r").unwrap_or(own))
            .to_vec();
        let fields = self.fields(record.source, &own);
        Raw::Line {
            lines,
            focus,
            fields,
        }
    }

    fn fields(&mut self, id: SourceId, line: &[u8]) -> Vec<(String, String)> {
        let Some(&SourceKind::Log(name)) = self.kinds.get(id.0 as usize) else {
            return Vec::new();
        };
        if host::formats().any(|known| known == name) {
            return host::sniff(b"", Some(name))
                .map(|choice| host::fields(choice, line))
                .unwrap_or_default();
        }
        let mut options = self.log_options.clone();
        let layout = logs::infer_layout(self.head(id));
        options
            .nginx_formats
            .extend(layout.map(|l| ("by content".to_owned(), l)));
        let forced = self.forced.iter().any(|f| f.format == name).then_some(name);
        let head = self.head(id).to_vec();
        let choice = logs::sniff(&head, &options, forced)
            .or_else(|| logs::sniff(&head, &options, Some(name)));
        choice
            .map(|choice| logs::fields(&choice, &options, line))
            .unwrap_or_default()
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

impl RawReader for CaseRaw {
    fn read(&mut self, record: RecordRef) -> Raw {
        match self.kinds.get(record.source.0 as usize) {
            Some(kind) if kind.is_capture() => self.packet(record),
            Some(_) => self.line(record),
            None => Raw::Missing("no such source in this case".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_with_its_neighbours_and_their_numbers() {
        let text: &'static [u8] = b"l1\nl2\nl3\nl4\nl5\nl6\nl7\nl8\nl9\nl10\nl11\nl12\n";
        let case = Case::from_memory("memory", &[("a.log", text)]);
        let source = super::super::sniff::blank_source(&case.files()[0]);
        let mut raw = CaseRaw::new(case, &[source], &Options::default());
        let mut check = |ordinal: u64, numbers: std::ops::RangeInclusive<u64>| {
            let start = text
                .split_inclusive(|&b| b == b'\n')
                .take(ordinal as usize - 1)
                .map(|l| l.len() as u64)
                .sum();
            let record = RecordRef {
                source: SourceId(0),
                ordinal,
                start,
                len: 3,
            };
            let Raw::Line { lines, focus, .. } = raw.read(record) else {
                panic!("a line")
            };
            assert_eq!(lines[focus], (ordinal, format!("l{ordinal}")));
            let expected: Vec<_> = numbers.map(|n| (n, format!("l{n}"))).collect();
            assert_eq!(lines, expected);
        };
        check(1, 1..=6);
        check(3, 1..=8);
        check(7, 2..=12);
        check(12, 7..=12);
        let gone = RecordRef {
            source: SourceId(0),
            ordinal: 99,
            start: 9_999,
            len: 3,
        };
        assert!(matches!(raw.read(gone), Raw::Missing(_)));
    }
}
