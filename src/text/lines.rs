//! A stream of bytes -> its lines, one at a time or passed over by the block, in bounded memory.

use std::io::{ErrorKind, Read};

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;
/// A longer line is skipped: no access log, crash dump or JSON record of use is longer.
pub(crate) const MAX_LINE: usize = 1024 * 1024;

/// One line without its line end.
#[derive(Debug)]
pub(crate) struct RawLine<'a> {
    /// From 1; blank lines count.
    pub(crate) ordinal: u64,
    /// Byte offset in the stream.
    pub(crate) start: u64,
    pub(crate) bytes: &'a [u8],
    /// The line end is missing: the file ends here.
    pub(crate) last: bool,
}

/// Whole lines that are in memory together.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Every line with its line end.
    pub bytes: &'a [u8],
    /// Where it begins in the stream; tells it from the others.
    pub start: u64,
    /// The ordinal of the line that is looked at first.
    pub ordinal: u64,
}

impl<'a> Block<'a> {
    /// The line that begins at `from`, without its line end, and where the next one begins.
    pub fn line(&self, from: usize) -> Option<(&'a [u8], usize)> {
        let rest = self.bytes.get(from..)?;
        let end = memchr::memchr(b'\n', rest)?;
        Some((trim_cr(&rest[..end]), from + end + 1))
    }
}

/// Lines that were passed over together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skimmed {
    pub bytes: usize,
    pub lines: u64,
}

/// Who takes the lines of a stream.
pub(crate) trait Sink {
    /// Passes over lines that begin at `from`; those that it leaves come one by one.
    fn skim(&mut self, _block: Block<'_>, _from: usize) -> Skimmed {
        Skimmed::default()
    }
    fn line(&mut self, line: RawLine<'_>);
}

/// What became of the stream.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Blank and overlong ones as well.
    pub(crate) lines: u64,
    /// Lines over `MAX_LINE`: how many, and the first one's ordinal.
    pub(crate) overlong: u64,
    pub(crate) first_overlong: u64,
    /// The stream broke off with this error after that many lines.
    pub(crate) broken: Option<(ErrorKind, u64)>,
}

/// Gives every line to `sink`; `progress` gets the count of bytes read so far.
pub(crate) fn split(
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    sink: &mut impl Sink,
) -> Ended {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    // Where `buffer[0]` lies in the stream.
    let mut base = 0u64;
    let mut ordinal = 0u64;
    let mut skipping = false;
    let mut ended = Ended::default();
    loop {
        if filled == buffer.len() {
            buffer.resize((buffer.len() * 2).min(MAX_LINE + 1), 0);
        }
        let read = match buffer.get_mut(filled..).map(|free| input.read(free)) {
            Some(Ok(n)) => n.min(buffer.len() - filled),
            Some(Err(e)) if e.kind() == ErrorKind::Interrupted => continue,
            Some(Err(e)) => {
                ended.broken = Some((e.kind(), ordinal));
                0
            }
            None => 0,
        };
        let searched = filled;
        filled += read;
        progress(base + filled as u64);
        if read == 0 {
            if filled > 0 && !skipping {
                sink.line(RawLine {
                    ordinal: ordinal + 1,
                    start: base,
                    bytes: trim_cr(&buffer[..filled]),
                    last: true,
                });
            }
            ended.lines = ordinal + u64::from(filled > 0 || skipping);
            return ended;
        }
        let mut from = 0;
        if let Some(last) = memchr::memrchr(b'\n', &buffer[searched..filled]) {
            let mut block = Block {
                bytes: &buffer[..=searched + last],
                start: base,
                ordinal: ordinal + 1,
            };
            while from < block.bytes.len() {
                if !skipping {
                    block.ordinal = ordinal + 1;
                    let Skimmed { bytes, lines } = sink.skim(block, from);
                    from += bytes;
                    ordinal += lines;
                }
                let Some((line, next)) = block.line(from) else {
                    break;
                };
                ordinal += 1;
                if skipping {
                    skipping = false;
                } else {
                    sink.line(RawLine {
                        ordinal,
                        start: base + from as u64,
                        bytes: line,
                        last: false,
                    });
                }
                from = next;
            }
        }
        let rest = filled - from;
        if skipping || rest > MAX_LINE {
            if !skipping {
                skipping = true;
                ended.overlong += 1;
                if ended.first_overlong == 0 {
                    ended.first_overlong = ordinal + 1;
                }
            }
            base += filled as u64;
            filled = 0;
            continue;
        }
        buffer.copy_within(from..filled, 0);
        base += from as u64;
        filled = rest;
    }
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps the lines; those that begin with `skip` it passes over.
    #[derive(Default)]
    struct Kept {
        all: Vec<(u64, u64, String, bool)>,
        skip: Option<u8>,
    }

    impl Sink for Kept {
        fn skim(&mut self, block: Block<'_>, from: usize) -> Skimmed {
            let mut skimmed = Skimmed::default();
            while let Some((line, next)) = block.line(from + skimmed.bytes) {
                if self.skip.is_none() || line.first() != self.skip.as_ref() {
                    break;
                }
                skimmed.bytes = next - from;
                skimmed.lines += 1;
            }
            skimmed
        }
        fn line(&mut self, l: RawLine<'_>) {
            let text = String::from_utf8_lossy(l.bytes).into_owned();
            self.all.push((l.ordinal, l.start, text, l.last));
        }
    }

    fn lines(bytes: &[u8]) -> (Vec<(u64, u64, String, bool)>, Ended) {
        let mut kept = Kept::default();
        let ended = split(&mut &bytes[..], &mut |_| (), &mut kept);
        (kept.all, ended)
    }

    #[test]
    fn lines_passed_over_count() {
        let mut text = Vec::new();
        for i in 0..200_000 {
            let c = if i % 7 == 3 { 'y' } else { 'x' };
            text.extend_from_slice(format!("{c}{i}\r\n").as_bytes());
        }
        text.extend_from_slice(b"xlast");
        let (all, _) = lines(&text);
        let mut kept = Kept {
            skip: Some(b'x'),
            ..Kept::default()
        };
        split(&mut &text[..], &mut |_| (), &mut kept);
        let left = |l: &&(u64, u64, String, bool)| l.2.starts_with('y') || l.3;
        assert_eq!(
            kept.all,
            all.iter().filter(left).cloned().collect::<Vec<_>>()
        );
        assert_eq!(kept.all.len(), 28_572);
    }

    #[test]
    fn offsets_ordinals_and_ends() {
        let (all, _) = lines(b"a\r\n\nbc\nd");
        let want = [
            (1, 0, "a", false),
            (2, 3, "", false),
            (3, 4, "bc", false),
            (4, 7, "d", true),
        ];
        assert_eq!(all, want.map(|(o, s, t, l)| (o, s, t.to_owned(), l)));
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_stands() {
        let mut bytes = vec![b'x'; MAX_LINE * 2 + 17];
        bytes.extend_from_slice(b"\nnext\n");
        let (all, ended) = lines(&bytes);
        assert_eq!(all.len(), 1);
        assert_eq!(
            (all[0].0, all[0].1, all[0].2.as_str()),
            (2, MAX_LINE as u64 * 2 + 18, "next")
        );
        assert_eq!((ended.overlong, ended.first_overlong), (1, 1));
    }

    #[test]
    fn a_line_over_the_buffer_is_whole() {
        let mut bytes = b"first\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'y', BUFFER * 3));
        bytes.extend_from_slice(b"\nz");
        let (all, ended) = lines(&bytes);
        assert_eq!(
            all.iter().map(|l| l.2.len()).collect::<Vec<_>>(),
            [5, BUFFER * 3, 1]
        );
        assert_eq!(ended.overlong, 0);
    }
}
