//! Bytes of text files -> lines, out of their wrappers, and the numbers, dates, addresses and strings in them.

pub(crate) mod elements;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod near;
pub(crate) mod peel;
pub(crate) mod records;
pub(crate) mod stamp;

use crate::model::Word;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// Strings kept from a line are cut here: a longer URI or message names nothing better.
const KEEP: usize = 2048;

pub(crate) fn unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for c in text {
        let digit = c.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// An HTTP status, 100 to 599.
pub(crate) fn status(text: &[u8]) -> Option<u16> {
    let [a, b, c] = text else { return None };
    let value = unsigned(&[*a, *b, *c])? as u16;
    (100..=599).contains(&value).then_some(value)
}

/// A status of a proxy that makes up its own ones (ALB 460 to 561, nginx 444, Envoy 0).
pub(crate) fn any_status(text: &[u8]) -> Option<u16> {
    unsigned(text)
        .and_then(|v| u16::try_from(v).ok())
        .filter(|v| (100..=999).contains(v))
}

pub(crate) fn string(text: &[u8]) -> String {
    lossy(text).into_owned()
}

/// The same for what many lines say.
pub(crate) fn word(text: &[u8]) -> Word {
    Word::from(&*lossy(text))
}

fn lossy(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(KEEP)])
}

/// The value unless it is missing (`-` or empty).
pub(crate) fn present(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty() && text != b"-").then_some(text)
}

pub(crate) fn kept(text: &[u8]) -> Option<String> {
    present(text).map(string)
}

/// `::ffff:1.2.3.4` is the IPv4 address that a dual-stack socket shows.
pub(crate) fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// An address with or without port: `10.0.0.1`, `10.0.0.1:80`, `[::1]:80`, `::1`, `::ffff:10.0.0.1`.
pub(crate) fn address(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = text.trim_ascii();
    if text.len() > 64
        || !text
            .first()
            .is_some_and(|c| c.is_ascii_hexdigit() || matches!(c, b'[' | b':'))
    {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((plain(ip), None));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return inner.parse().ok().map(|ip| (plain(ip), None));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some((plain(socket.ip()), Some(socket.port())));
    }
    // `::ffff:10.0.0.1:80`, an IPv6 address with a port and no brackets, as HAProxy writes it.
    let (ip, port) = text.rsplit_once(':')?;
    Some((plain(ip.parse().ok()?), Some(port.parse().ok()?)))
}

pub(crate) fn socket(text: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = address(text)?;
    Some(SocketAddr::new(ip, port?))
}

/// `203.0.113.7, 10.0.0.1`: all that are addresses, in order.
pub(crate) fn addresses(list: &[u8]) -> Vec<IpAddr> {
    list.split(|c| *c == b',')
        .take(32)
        .filter_map(|one| address(one.trim_ascii().strip_prefix(b"for=").unwrap_or(one)))
        .map(|(ip, _)| ip)
        .collect()
}

/// The last element of nginx's lists of upstreams: `a, b : c`.
pub(crate) fn last_of(list: &[u8]) -> &[u8] {
    let mut last = list;
    if let Some(at) = memchr::memrchr(b',', last) {
        last = &last[at + 1..];
    }
    if let Some(at) = memchr::memmem::rfind(last, b" : ") {
        last = &last[at + 3..];
    }
    last.trim_ascii()
}

/// Method and URI of `GET /ws?x=1 HTTP/1.1`.
pub(crate) fn request(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (method, rest) = cut(line, b' ')?;
    if method.is_empty()
        || method.len() > 20
        || !method.iter().all(|c| c.is_ascii_uppercase() || *c == b'-')
    {
        return None;
    }
    let uri = match memchr::memrchr(b' ', rest) {
        Some(at) if rest[at + 1..].starts_with(b"HTTP/") => &rest[..at],
        // HTTP/0.9, or cut off.
        _ => rest,
    };
    (!uri.is_empty()).then_some((method, uri))
}

/// Path and query of an absolute URI (`http://host:80/ws?x` -> `/ws?x`), and its host.
pub(crate) fn relative(uri: &[u8]) -> (&[u8], Option<&[u8]>) {
    if uri.first() == Some(&b'/') {
        return (uri, None);
    }
    let Some(at) = memchr::memmem::find(uri, b"://").filter(|at| *at <= 6) else {
        return (uri, None);
    };
    let rest = &uri[at + 3..];
    match memchr::memchr2(b'/', b'?', rest) {
        Some(slash) => (&rest[slash..], Some(&rest[..slash])),
        None => (b"/", Some(rest)),
    }
}

/// A URI without its query.
pub(crate) fn path(uri: &[u8]) -> &[u8] {
    &uri[..memchr::memchr2(b'?', b'#', uri).unwrap_or(uri.len())]
}

/// What stands before and after the first `byte`.
pub(crate) fn cut(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    Some((&text[..at], &text[at + 1..]))
}

/// What stands between two marks, the second one searched after the first.
pub(crate) fn between<'a>(text: &'a [u8], open: &[u8], close: &[u8]) -> Option<&'a [u8]> {
    let from = memchr::memmem::find(text, open)? + open.len();
    let rest = &text[from..];
    Some(&rest[..memchr::memmem::find(rest, close)?])
}

pub(crate) fn contains(text: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(text, what).is_some()
}

/// nginx's `\xXX` and JSON's escapes undone; what is no escape stays.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let (bytes, used): (&[u8], usize) = match after.first() {
            Some(b'n') => (b"\n", 1),
            Some(b't') => (b"\t", 1),
            Some(b'r') => (b"\r", 1),
            Some(b'b') => (b"\x08", 1),
            Some(b'f') => (b"\x0c", 1),
            Some(c @ (b'"' | b'\\' | b'/')) => (std::slice::from_ref(c), 1),
            Some(b'x') => match hex(after.get(1..3)) {
                Some(v) => {
                    out.push(v as u8);
                    (b"", 3)
                }
                None => (b"\\", 0),
            },
            Some(b'u') => match hex(after.get(1..5)) {
                Some(first) => {
                    let low = match after.get(5..7) {
                        Some(b"\\u") if (0xD800..0xDC00).contains(&first) => hex(after.get(7..11)),
                        _ => None,
                    };
                    let (value, used) = match low {
                        Some(low @ 0xDC00..0xE000) => {
                            (0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00), 11)
                        }
                        _ => (first, 5),
                    };
                    let c = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    (b"", used)
                }
                None => (b"\\", 0),
            },
            _ => (b"\\", 0),
        };
        out.extend_from_slice(bytes);
        rest = &after[used..];
    }
    out.extend_from_slice(rest);
    out
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    let mut value = 0;
    for c in digits? {
        value = value * 16 + char::from(*c).to_digit(16)?;
    }
    Some(value)
}

/// An iterator over `key=value` pairs; values may be quoted with `"` or `'`. What is no pair is passed over.
#[derive(Debug)]
pub(crate) struct Pairs<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = memchr::memchr3(b'=', b'"', b' ', self.0)?;
            let (before, rest) = (&self.0[..at], &self.0[at + 1..]);
            match self.0[at] {
                b' ' => self.0 = rest,
                b'"' => self.0 = &rest[quoted(rest, b'"').map_or(rest.len(), |n| n + 1)..],
                _ => {
                    let from = before
                        .iter()
                        .rposition(|c| {
                            !(c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-' | b'@'))
                        })
                        .map_or(0, |i| i + 1);
                    let key = &before[from..];
                    let value = match rest.first() {
                        Some(q @ (b'"' | b'\'')) => {
                            let inner = &rest[1..];
                            let n = quoted(inner, *q).unwrap_or(inner.len());
                            self.0 = inner.get(n + 1..).unwrap_or(b"");
                            &inner[..n]
                        }
                        _ => {
                            let n = rest
                                .iter()
                                .position(|c| matches!(c, b' ' | b'\t' | b';'))
                                .unwrap_or(rest.len());
                            self.0 = &rest[n..];
                            rest[..n].strip_suffix(b",").unwrap_or(&rest[..n])
                        }
                    };
                    if !key.is_empty() {
                        return Some((key, value));
                    }
                }
            }
        }
    }
}

/// Where the closing quote stands, escapes passed over.
pub(crate) fn quoted(text: &[u8], quote: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(quote, b'\\', text.get(from..)?)?;
        if text[at] == quote {
            return Some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_spelling() {
        for (text, ip, port) in [
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("::ffff:10.0.0.1", "10.0.0.1", None),
            ("::ffff:10.0.0.1:5000", "10.0.0.1", Some(5000)),
        ] {
            assert_eq!(
                address(text.as_bytes()),
                Some((ip.parse().expect(ip), port)),
                "{text}"
            );
        }
        for bad in [
            "",
            "-",
            "host:80",
            "unix:/run/a.sock",
            "10.0.0.1:99999",
            "abc",
        ] {
            assert_eq!(address(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(
            unescape(br#"a\x22b\u00e9\ud83d\ude00\n\q\"#),
            "a\"bé😀\n\\q\\".as_bytes()
        );
    }

    #[test]
    fn pairs() {
        let text = br#"2026 conn=2 msg="a \" b" src=1.2.3.4:5, "x=y" end="#;
        let all: Vec<_> = Pairs(text).map(|(k, v)| (string(k), string(v))).collect();
        let want = [
            ("conn", "2"),
            ("msg", "a \\\" b"),
            ("src", "1.2.3.4:5"),
            ("end", ""),
        ];
        assert_eq!(all, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn requests() {
        assert_eq!(
            request(b"GET /ws?x=1 HTTP/1.1"),
            Some((&b"GET"[..], &b"/ws?x=1"[..]))
        );
        assert_eq!(request(b"\\x16\\x03\\x01"), None);
        assert_eq!(
            relative(b"http://a:80/ws?x"),
            (&b"/ws?x"[..], Some(&b"a:80"[..]))
        );
    }
}
