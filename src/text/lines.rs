//! A stream of bytes -> its lines, one at a time, in bounded memory.

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

/// What became of the stream.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Lines over `MAX_LINE`: how many, and the first one's ordinal.
    pub(crate) overlong: u64,
    pub(crate) first_overlong: u64,
    /// The stream broke off with this error after that many lines.
    pub(crate) broken: Option<(ErrorKind, u64)>,
}

/// Calls `each` for every line; `progress` gets the count of bytes read so far.
pub(crate) fn split(
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    mut each: impl FnMut(RawLine<'_>),
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
                each(RawLine {
                    ordinal: ordinal + 1,
                    start: base,
                    bytes: trim_cr(&buffer[..filled]),
                    last: true,
                });
            }
            return ended;
        }
        let mut from = 0;
        let mut search = searched;
        while let Some(at) = memchr::memchr(b'\n', &buffer[search..filled]) {
            let end = search + at;
            ordinal += 1;
            if skipping {
                skipping = false;
            } else {
                each(RawLine {
                    ordinal,
                    start: base + from as u64,
                    bytes: trim_cr(&buffer[from..end]),
                    last: false,
                });
            }
            from = end + 1;
            search = from;
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

    fn lines(bytes: &[u8]) -> (Vec<(u64, u64, String, bool)>, Ended) {
        let mut all = Vec::new();
        let ended = split(&mut &bytes[..], &mut |_| (), |l| {
            all.push((
                l.ordinal,
                l.start,
                String::from_utf8_lossy(l.bytes).into_owned(),
                l.last,
            ));
        });
        (all, ended)
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
