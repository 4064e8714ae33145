//! A JSON document that is one long list (AWS CLI events, gcloud entries) -> its elements, one at a time, in bounded memory.

use super::lines::{Ended, MAX_LINE, RawLine};
use std::io::{ErrorKind, Read};

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

/// True for what begins as a list of objects: `[{`, `{"events": [` as `aws logs filter-log-events` prints it,
/// `{"apiVersion": "v1", "items": [` as `kubectl get -o json` does.
pub(crate) fn is_list(head: &[u8]) -> bool {
    let next = |text: &[u8], token: &[u8]| -> Option<usize> {
        let trimmed = text.trim_ascii_start();
        trimmed
            .starts_with(token)
            .then(|| text.len() - trimmed.len() + token.len())
    };
    let follows = |tokens: &[&[u8]]| {
        let mut rest = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
        tokens.iter().all(|token| match next(rest, token) {
            Some(n) => {
                rest = &rest[n..];
                true
            }
            None => false,
        })
    };
    follows(&[b"[", b"{"])
        || follows(&[b"{", b"\"events\"", b":", b"[", b"{"])
        || follows(&[
            b"{",
            b"\"apiVersion\"",
            b":",
            b"\"v1\"",
            b",",
            b"\"items\"",
            b":",
            b"[",
            b"{",
        ])
}

/// Where the reading stands between two bytes.
#[derive(Debug)]
struct State {
    /// Brackets that are open; the list is at `list`.
    depth: u32,
    /// Depth inside the list, once it was met.
    list: Option<u32>,
    over: bool,
    string: bool,
    escaped: bool,
    /// The element under way: its offset in the stream and its bytes.
    element: Option<(u64, Vec<u8>)>,
    overlong: bool,
}

/// Calls `each` for every element of the list; an element's ordinal is its place in the list, from 1.
pub(crate) fn split(
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    mut each: impl FnMut(RawLine<'_>),
) -> Ended {
    let mut ended = Ended::default();
    let mut buffer = vec![0; BUFFER];
    let (mut base, mut ordinal) = (0u64, 0u64);
    let mut s = State {
        depth: 0,
        list: None,
        over: false,
        string: false,
        escaped: false,
        element: None,
        overlong: false,
    };
    loop {
        let read = match input.read(&mut buffer) {
            Ok(n) => n.min(buffer.len()),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => {
                ended.broken = Some((e.kind(), ordinal));
                0
            }
        };
        if read == 0 {
            if let Some((start, bytes)) = s.element.take() {
                each(RawLine {
                    ordinal: ordinal + 1,
                    start,
                    bytes: bytes.trim_ascii_end(),
                    last: true,
                });
            }
            return ended;
        }
        for (i, c) in buffer[..read].iter().enumerate() {
            if s.over {
                break;
            }
            let was_in_element = s.element.is_some();
            let closes = step(&mut s, *c, base + i as u64);
            if closes && let Some((start, bytes)) = s.element.take() {
                ordinal += 1;
                if s.overlong {
                    s.overlong = false;
                    ended.overlong += 1;
                    if ended.first_overlong == 0 {
                        ended.first_overlong = ordinal;
                    }
                } else {
                    each(RawLine {
                        ordinal,
                        start,
                        bytes: bytes.trim_ascii_end(),
                        last: false,
                    });
                }
            } else if let Some((_, bytes)) = &mut s.element {
                if bytes.len() > MAX_LINE {
                    s.overlong = true;
                } else if was_in_element || bytes.is_empty() {
                    bytes.push(*c);
                }
            }
        }
        base += read as u64;
        progress(base);
    }
}

/// Takes one byte in; true = the element under way ended before it.
fn step(s: &mut State, c: u8, at: u64) -> bool {
    if s.string {
        if s.escaped {
            s.escaped = false;
        } else if c == b'\\' {
            s.escaped = true;
        } else if c == b'"' {
            s.string = false;
        }
        return false;
    }
    let inside = s.list == Some(s.depth);
    if inside && matches!(c, b',' | b']') {
        if c == b']' {
            s.over = true;
        }
        return true;
    }
    if inside && s.element.is_none() && !c.is_ascii_whitespace() {
        s.element = Some((at, Vec::new()));
    }
    match c {
        b'"' => s.string = true,
        b'{' | b'[' => {
            s.depth = s.depth.saturating_add(1);
            if c == b'[' && s.list.is_none() {
                s.list = Some(s.depth);
            }
        }
        b'}' | b']' => s.depth = s.depth.saturating_sub(1),
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[(u64, &str)]) {
        let mut got = Vec::new();
        split(&mut text.as_bytes(), &mut |_| (), |e| {
            got.push((e.start, String::from_utf8_lossy(e.bytes).into_owned()));
        });
        let got: Vec<_> = got.iter().map(|(n, t)| (*n, t.as_str())).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn elements_of_lists() {
        check(
            "[{\"a\":[1,2]},\n {\"b\":\"],{\\\"\"}]\n",
            &[(1, "{\"a\":[1,2]}"), (15, "{\"b\":\"],{\\\"\"}")],
        );
        check(
            "{\n \"events\": [ {\"a\":1\n} , 7 ], \"next\": [{\"x\":1}] }",
            &[(15, "{\"a\":1\n}"), (26, "7")],
        );
        check("[]", &[]);
        check("[{\"a\":1},{\"b\":", &[(1, "{\"a\":1}"), (9, "{\"b\":")]);
        assert!(is_list(b"\n[\n  {"));
        assert!(is_list(b"{ \"events\" : [\n {"));
        assert!(!is_list(b"[2026-11-20] x"));
        assert!(!is_list(b"{\"event\":\"a\"}"));
    }

    #[test]
    fn an_element_over_the_limit_is_skipped() {
        let text = format!("[\"{}\",1]", "x".repeat(MAX_LINE + 2));
        let mut got = Vec::new();
        let ended = split(&mut text.as_bytes(), &mut |_| (), |e| got.push(e.ordinal));
        assert_eq!((got, ended.overlong, ended.first_overlong), (vec![2], 1, 1));
    }
}
