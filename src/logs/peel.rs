//! A line as a container runtime or compose wrote it -> the line that the program wrote, and the runtime's stamp.

use super::{stamp, text};
use crate::model::Stamp;
use std::borrow::Cow;

#[derive(Debug)]
pub(super) struct Peeled<'a> {
    pub(super) line: Cow<'a, [u8]>,
    pub(super) stamp: Option<Stamp>,
}

/// Docker's json-file, CRI (`<stamp> stdout F <line>`), and compose (`app-1  | <line>`); `None` = not wrapped.
pub(super) fn peel(line: &[u8]) -> Option<Peeled<'_>> {
    match *line.first()? {
        b'{' => docker(line),
        b'1'..=b'9' => cri(line),
        c if c.is_ascii_lowercase() => compose(line),
        _ => None,
    }
}

fn docker(line: &[u8]) -> Option<Peeled<'_>> {
    let rest = line.strip_prefix(b"{\"log\":\"")?;
    let end = text::quoted(rest, b'"')?;
    let tail = &rest[end..];
    if !text::contains(tail, b"\"stream\":\"std") {
        return None;
    }
    let stamp = text::between(tail, b"\"time\":\"", b"\"")
        .and_then(stamp::iso)
        .map(|d| d.stamp(0).0);
    let mut line = text::unescape(&rest[..end]);
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Some(Peeled {
        line: Cow::Owned(line),
        stamp,
    })
}

fn cri(line: &[u8]) -> Option<Peeled<'_>> {
    // `2026-11-20T20:48:09.123456789Z stdout F `: the stream stands within the first 40 bytes.
    let at = memchr::memmem::find(line.get(..line.len().min(48))?, b" std")?;
    let rest = line[at..]
        .strip_prefix(b" stdout ")
        .or_else(|| line[at..].strip_prefix(b" stderr "))?;
    let inner = rest
        .strip_prefix(b"F ")
        .or_else(|| rest.strip_prefix(b"P "))?;
    let date = stamp::iso(line).filter(|d| d.len == at)?;
    Some(Peeled {
        line: Cow::Borrowed(inner),
        stamp: Some(date.stamp(0).0),
    })
}

fn compose(line: &[u8]) -> Option<Peeled<'_>> {
    let name = line
        .iter()
        .take(48)
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        .count();
    let blanks = line[name..].iter().take_while(|c| **c == b' ').count();
    let inner = line[name + blanks..].strip_prefix(b"| ")?;
    (blanks > 0).then_some(Peeled {
        line: Cow::Borrowed(inner),
        stamp: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: Option<(&str, Option<&str>)>) {
        let got =
            peel(line.as_bytes()).map(|p| (text::string(&p.line), p.stamp.map(Stamp::rfc3339)));
        assert_eq!(
            got,
            want.map(|(l, s)| (l.to_owned(), s.map(str::to_owned))),
            "{line}"
        );
    }

    #[test]
    fn wrappers() {
        check(
            r#"{"log":"{\"a\":1}\n","stream":"stdout","time":"2026-11-20T20:48:09.123456789Z"}"#,
            Some((r#"{"a":1}"#, Some("2026-11-20T20:48:09.123456789Z"))),
        );
        check(
            "2026-11-20T20:48:09.123456789Z stdout F hello",
            Some(("hello", Some("2026-11-20T20:48:09.123456789Z"))),
        );
        check("app-1  | hello", Some(("hello", None)));
        check(r#"{"log":"x"}"#, None);
        check("2026-11-20T20:48:09Z INFO std", None);
        check("socket closed", None);
    }
}
