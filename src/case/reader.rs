//! A file of the case -> its decompressed bytes, from the start or from any offset.

use super::ahead::Blocks;
use super::unpack::{Lz4, Xz};
use super::{Case, CaseFile, HEAD_BYTES, Location, Problem};
use crate::model::SourceId;
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a packed file that one `read` asks the disk for. A larger buffer begins right behind the start of a page of its own, where Linux
/// copies a file's pages to several times slower on some processors (measured on Zen 3: four times).
const BUFFER_BYTES: usize = 64 * 1024;

/// Compression told by the first bytes, never by the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Lz4,
}

impl Compression {
    /// Magic numbers: RFC 1952 2.3.1, RFC 8878 3.1.1 and 3.1.2, the xz, bzip2 and LZ4 frame formats.
    pub fn sniff(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, ..] => Some(Self::Bzip2),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
            Self::Xz => "xz",
            Self::Bzip2 => "bz2",
            Self::Lz4 => "lz4",
        }
    }
}

/// The decompressed bytes of one file. An error of the disk or the decompressor ends the stream and is kept:
/// whoever reads sees a file that stops early, and the case tells why.
pub struct SourceReader {
    inner: Box<dyn Read + Send>,
    taken: Arc<AtomicU64>,
    compression: Option<Compression>,
    problem: Option<Problem>,
}

impl std::fmt::Debug for SourceReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceReader")
            .field("compression", &self.compression)
            .field("problem", &self.problem)
            .finish()
    }
}

impl SourceReader {
    /// Counts the stored (compressed) bytes taken so far.
    pub fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    /// Why the stream ended before the file did.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    fn broken(taken: Arc<AtomicU64>, compression: Option<Compression>, problem: Problem) -> Self {
        Self {
            inner: Box::new(io::empty()),
            taken,
            compression,
            problem: Some(problem),
        }
    }
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.problem.is_some() {
            return Ok(0);
        }
        loop {
            match self.inner.read(buffer) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.problem = Some(read_problem(&e, self.compression));
                    return Ok(0);
                }
            }
        }
    }
}

/// Counts what passes.
struct Counted<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.taken.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Case {
    /// The bytes of a file from its beginning, decompressed.
    pub fn reader(&self, id: SourceId) -> SourceReader {
        self.stream(id, None, false)
    }

    /// The same, unpacked by a thread of its own while the bytes before are looked at.
    pub fn reader_ahead(&self, id: SourceId) -> SourceReader {
        self.stream(id, None, true)
    }

    /// Stored bytes `part`, of a file that is not compressed.
    pub fn part(&self, id: SourceId, part: Range<u64>) -> SourceReader {
        self.stream(id, Some(part), false)
    }

    fn stream(&self, id: SourceId, part: Option<Range<u64>>, ahead: bool) -> SourceReader {
        let taken = Arc::new(AtomicU64::new(0));
        let Some(file) = self.file(id) else {
            return SourceReader::broken(
                taken,
                None,
                Problem::new("not-in-case", "no such file in the case"),
            );
        };
        let compression = file.compression.filter(|_| part.is_none());
        if let Some(problem) = &file.problem {
            return SourceReader::broken(taken, compression, problem.clone());
        }
        let raw: Box<dyn Read + Send> = match open_raw(file, part) {
            Ok(raw) => Box::new(Counted {
                inner: raw,
                taken: Arc::clone(&taken),
            }),
            Err(e) => return SourceReader::broken(taken, compression, read_problem(&e, None)),
        };
        // Whoever reads a plain file has a large buffer of its own.
        let buffered = |raw| io::BufReader::with_capacity(BUFFER_BYTES, raw);
        let unpacked: Box<dyn Read + Send> = match compression {
            Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(buffered(raw))),
            Some(Compression::Xz) => Box::new(Xz::new(buffered(raw))),
            Some(Compression::Bzip2) => Box::new(MultiBzDecoder::new(buffered(raw))),
            Some(Compression::Lz4) => Box::new(Lz4::new(buffered(raw))),
            Some(Compression::Zstd) => {
                match zstd::stream::read::Decoder::with_buffer(buffered(raw)) {
                    Ok(decoder) => Box::new(decoder),
                    Err(e) => {
                        return SourceReader::broken(
                            taken,
                            compression,
                            read_problem(&e, compression),
                        );
                    }
                }
            }
            None => raw,
        };
        let inner: Box<dyn Read + Send> = match compression {
            None => unpacked,
            Some(_) if ahead => match Blocks::ahead(unpacked) {
                Ok(blocks) => Box::new(blocks),
                Err(_) => return self.stream(id, None, false),
            },
            Some(_) => Box::new(Blocks::here(unpacked)),
        };
        SourceReader {
            inner,
            taken,
            compression,
            problem: None,
        }
    }

    /// The first decompressed bytes, at most [`HEAD_BYTES`], and what went wrong on the way to them.
    pub fn head(&self, id: SourceId) -> (Vec<u8>, Option<Problem>) {
        let mut reader = self.reader(id);
        let mut head = Vec::new();
        let _ = (&mut reader).take(HEAD_BYTES as u64).read_to_end(&mut head);
        (head, reader.problem)
    }

    /// Decompressed bytes `start .. start + len`; shorter where the file ends earlier. A compressed file is unpacked again up to there.
    pub fn read_span(&self, id: SourceId, start: u64, len: usize) -> Result<Vec<u8>, Problem> {
        let Some(file) = self.file(id) else {
            return Err(Problem::new("not-in-case", "no such file in the case"));
        };
        if let Some(problem) = &file.problem {
            return Err(problem.clone());
        }
        let mut bytes = Vec::new();
        if file.compression.is_none() {
            let read = || -> io::Result<Vec<u8>> {
                match &file.location {
                    Location::Disk(path) => {
                        let mut disk = File::open(path)?;
                        disk.seek(SeekFrom::Start(start))?;
                        disk.take(len as u64).read_to_end(&mut bytes)?;
                        Ok(bytes)
                    }
                    Location::Memory(all) => {
                        let start = usize::try_from(start).unwrap_or(usize::MAX).min(all.len());
                        let end = start.saturating_add(len).min(all.len());
                        Ok(all.get(start..end).unwrap_or_default().to_vec())
                    }
                    Location::Nowhere => Ok(bytes),
                }
            };
            return read().map_err(|e| read_problem(&e, None));
        }
        let mut reader = self.reader(id);
        let skipped = io::copy(&mut (&mut reader).take(start), &mut io::sink()).unwrap_or(0);
        if skipped == start {
            let _ = (&mut reader).take(len as u64).read_to_end(&mut bytes);
        }
        match reader.problem {
            Some(problem) if bytes.is_empty() => Err(problem),
            _ => Ok(bytes),
        }
    }
}

fn open_raw(file: &CaseFile, part: Option<Range<u64>>) -> io::Result<Box<dyn Read + Send>> {
    let part = part.unwrap_or(0..u64::MAX);
    let len = part.end.saturating_sub(part.start);
    Ok(match &file.location {
        Location::Disk(path) => {
            let mut disk = File::open(path)?;
            if part.start > 0 {
                disk.seek(SeekFrom::Start(part.start))?;
            }
            Box::new(disk.take(len))
        }
        Location::Memory(bytes) => {
            let mut bytes = Cursor::new(bytes.clone());
            bytes.set_position(part.start);
            Box::new(bytes.take(len))
        }
        Location::Nowhere => Box::new(io::empty()),
    })
}

pub(super) fn read_problem(e: &io::Error, compression: Option<Compression>) -> Problem {
    match (e.kind(), compression) {
        (io::ErrorKind::PermissionDenied, _) => Problem::new(
            "no-permission",
            "no permission to read it: chmod or chown it, or run as a user who may",
        ),
        (io::ErrorKind::NotFound, _) => Problem::new("vanished", "it was there and is gone"),
        (io::ErrorKind::OutOfMemory, Some(c)) => Problem::new(
            "compressed",
            format!(
                "its {} dictionary is too large to be read in place: decompress it first",
                c.name()
            ),
        ),
        (_, Some(c)) => Problem::new(
            "broken-compression",
            format!(
                "the {} data breaks off or is damaged; everything before that point was read ({e})",
                c.name()
            ),
        ),
        _ => Problem::new("read-error", format!("reading it failed: {e}")),
    }
}
