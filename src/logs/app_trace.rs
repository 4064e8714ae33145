//! A line without a stamp -> what it is in the output of a crash, or that it is no text at all.

use super::text;

/// What a bare line is in a crash or trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Trace,
    Traceback,
    /// Names an error.
    Error,
    /// Shows that the process ended.
    Died,
    /// Points at a place in a source line, as Node does above an uncaught error.
    Caret,
    /// Names an error and shows that the process ended.
    LastWords,
}

impl Mark {
    pub(super) fn of(line: &[u8]) -> Self {
        let text = line.trim_ascii();
        let begins = |what: &[u8]| text.starts_with(what);
        let has = |what: &[u8]| text::contains(text, what);
        if has(b"JavaScript heap out of memory")
            || begins(b"panic: ")
            || begins(b"fatal error: ")
            || begins(b"FATAL ERROR:")
            || begins(b"Uncaught ")
            || begins(b"Unhandled ")
            || begins(b"Segmentation fault")
            || begins(b"java.lang.OutOfMemoryError")
            || begins(b"Exception in thread \"main\"")
            || begins(b"thread 'main' panicked")
        {
            return Self::LastWords;
        }
        // Node prints its version after an uncaught error, and the place with a caret before it.
        if begins(b"Node.js v")
            || begins(b"throw er;")
            || has(b"Unhandled 'error' event")
            || begins(b"Emitted 'error' event on")
            || begins(b"node:internal/process/promises")
            || text == b"Killed"
            || text == b"Aborted"
            || begins(b"Aborted (core dumped)")
        {
            return Self::Died;
        }
        if !text.is_empty() && text.iter().all(|c| *c == b'^') {
            return Self::Caret;
        }
        if begins(b"Traceback (most recent call last)") {
            return Self::Traceback;
        }
        if begins(b"goroutine ") && has(b"[") {
            return Self::Trace;
        }
        if line.first().is_some_and(u8::is_ascii_whitespace)
            && (begins(b"at ") || begins(b"File \"") || begins(b"... "))
        {
            return Self::Trace;
        }
        // `TypeError: ...`, `java.io.EOFException`, `ValueError: ...`, `Error [ERR_X]: ...`.
        let word = text
            .iter()
            .position(|c| matches!(c, b':' | b' ' | b'['))
            .unwrap_or(text.len());
        let name = &text[..word];
        if name.first().is_some_and(u8::is_ascii_alphabetic)
            && (name.ends_with(b"Error") || name.ends_with(b"Exception"))
            && name
                .iter()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'$'))
        {
            return Self::Error;
        }
        Self::None
    }
}

/// Control bytes, or hardly any text.
pub(super) fn is_binary(line: &[u8]) -> bool {
    let sample = &line[..line.len().min(512)];
    // Colours (ESC) and tabs are text.
    let control = sample
        .iter()
        .filter(|c| **c < 0x20 && !matches!(**c, b'\t' | 0x1b))
        .count();
    control > 0 && control * 20 >= sample.len()
        || std::str::from_utf8(sample)
            .is_err_and(|e| e.valid_up_to() + 4 < sample.len() && control > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_crashes() {
        for (line, want) in [
            ("TypeError: a is not a function", Mark::Error),
            ("    at Object.<anonymous> (/srv/a.js:1:1)", Mark::Trace),
            ("    ^", Mark::Caret),
            ("Node.js v20.20.2", Mark::Died),
            ("      throw er; // Unhandled 'error' event", Mark::Died),
            ("panic: runtime error: index out of range", Mark::LastWords),
            ("goroutine 1 [running]:", Mark::Trace),
            ("Traceback (most recent call last):", Mark::Traceback),
            ("  File \"a.py\", line 1, in <module>", Mark::Trace),
            (
                "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
                Mark::LastWords,
            ),
            ("Killed", Mark::Died),
            ("plain words", Mark::None),
            ("Error in the middle of a sentence", Mark::Error),
            ("", Mark::None),
        ] {
            assert_eq!(Mark::of(line.as_bytes()), want, "{line}");
        }
        assert!(is_binary(b"\x00\x01\x02abc"));
        assert!(!is_binary("\x1b[31mrot\x1b[0m \u{e9}".as_bytes()));
    }
}
