//! The first lines of an access log in a `log_format` of its own -> that format, as far as its fields show by their content what they are.
//!
//! Only where nothing else can be meant: a request, a status, a stamp, and nginx's way of writing a duration (`4.336`), which
//! also tells it from Apache, whose stamp means the start.

use crate::text::records;
use crate::text::{self, stamp};
use std::collections::BTreeSet;

/// A field of a line: how it was enclosed, and what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field<'a> {
    open: &'static str,
    text: &'a [u8],
}

/// Text between fields, and the fields: `literals` has one more than `fields`.
struct Cut<'a> {
    literals: Vec<Vec<u8>>,
    fields: Vec<Field<'a>>,
}

/// More fields than any log has.
const MAX_FIELDS: usize = 64;

/// `a "b c" [d] key=e`: words, quoted and bracketed texts; what separates them, and what stands before `=`, is the layout's own.
fn cut(line: &[u8]) -> Option<Cut<'_>> {
    let mut out = Cut {
        literals: Vec::new(),
        fields: Vec::new(),
    };
    let mut literal = Vec::new();
    let mut at = 0;
    while let Some(&c) = line.get(at) {
        if matches!(c, b' ' | b'\t' | b'|' | b';' | b',') {
            literal.push(c);
            at += 1;
            continue;
        }
        let (open, close) = match c {
            b'"' => ("\"", Some(b'"')),
            b'[' => ("[", Some(b']')),
            _ => ("", None),
        };
        let (text, next) = match close {
            Some(close) => {
                let inner = line.get(at + 1..)?;
                let len = memchr::memchr(close, inner)?;
                literal.push(c);
                (&inner[..len], at + 1 + len)
            }
            None => {
                let len = line[at..]
                    .iter()
                    .position(|c| matches!(c, b' ' | b'\t' | b'|' | b';' | b'"'))
                    .unwrap_or(line.len() - at);
                let word = &line[at..at + len];
                // `rt=4.336`: the name belongs to the layout.
                let name = word.iter().position(|c| *c == b'=').filter(|n| {
                    *n > 0
                        && word[..*n]
                            .iter()
                            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'))
                });
                if let Some(n) = name {
                    literal.extend_from_slice(&word[..=n]);
                    at += n + 1;
                    if n + 1 < len || line.get(at) == Some(&b'"') {
                        if line.get(at) == Some(&b'"') {
                            continue;
                        }
                    } else {
                        // Nothing behind it: an empty field.
                        out.literals.push(std::mem::take(&mut literal));
                        out.fields.push(Field {
                            open: "",
                            text: b"",
                        });
                        continue;
                    }
                    let rest = &word[n + 1..];
                    out.literals.push(std::mem::take(&mut literal));
                    out.fields.push(Field {
                        open: "",
                        text: rest,
                    });
                    at += rest.len();
                    continue;
                }
                if len == 0 {
                    return None;
                }
                (word, at + len)
            }
        };
        out.literals.push(std::mem::take(&mut literal));
        out.fields.push(Field { open, text });
        at = next;
        if let Some(close) = close {
            literal.push(close);
            at += 1;
        }
        if out.fields.len() > MAX_FIELDS {
            return None;
        }
    }
    out.literals.push(literal);
    Some(out)
}

/// nginx writes durations with three decimals, `-` where there is none, and lists where it tried several upstreams.
fn is_duration(text: &[u8]) -> bool {
    let Some((whole, fraction)) = text::cut(text, b'.') else {
        return false;
    };
    (1..=9).contains(&whole.len())
        && fraction.len() == 3
        && whole.iter().chain(fraction).all(u8::is_ascii_digit)
}

fn is_epoch(text: &[u8]) -> bool {
    text::cut(text, b'.').is_some_and(|(whole, fraction)| {
        whole.len() == 10
            && matches!(whole.first(), Some(b'1' | b'2'))
            && fraction.len() == 3
            && whole.iter().chain(fraction).all(u8::is_ascii_digit)
    })
}

/// Answers to a handshake; a count of bytes may have three digits as well.
fn is_status(text: &[u8]) -> bool {
    const KNOWN: &[&[u8]] = &[
        b"101", b"200", b"204", b"301", b"302", b"304", b"307", b"308", b"400", b"401", b"403",
        b"404", b"405", b"408", b"409", b"410", b"413", b"414", b"421", b"426", b"429", b"431",
        b"444", b"494", b"495", b"496", b"497", b"499", b"500", b"501", b"502", b"503", b"504",
        b"505",
    ];
    KNOWN.contains(&text)
}

fn milliseconds(text: &[u8]) -> u64 {
    let digits: Vec<u8> = text.iter().copied().filter(|c| *c != b'.').collect();
    text::unsigned(&digits).unwrap_or(0)
}

/// The `log_format` that the file's first lines were written with; `None` where it is not sure.
pub(super) fn infer(head: &[u8]) -> Option<String> {
    let samples = records::samples(head);
    let cuts: Vec<Cut<'_>> = samples.iter().filter_map(|s| cut(&s.line)).collect();
    let first = cuts.first()?;
    let shape = |c: &Cut<'_>| {
        (
            c.literals.clone(),
            c.fields.iter().map(|f| f.open).collect::<Vec<_>>(),
        )
    };
    let wanted = shape(first);
    let alike: Vec<&Cut<'_>> = cuts.iter().filter(|c| shape(c) == wanted).collect();
    if alike.len() * 10 < samples.len() * 9 {
        return None;
    }
    let column = |i: usize| alike.iter().filter_map(move |c| c.fields.get(i));
    let all = |i: usize, test: fn(&[u8]) -> bool| column(i).all(|f| test(f.text));
    let dash = |t: &[u8]| t.is_empty() || t == b"-";
    let count = first.fields.len();
    let mut names: Vec<Option<&'static str>> = vec![None; count];
    let mut taken: BTreeSet<&'static str> = BTreeSet::new();
    let mut give = |names: &mut Vec<Option<&'static str>>, i: usize, name: &'static str| {
        if taken.insert(name) {
            names[i] = Some(name);
        }
    };
    let is_request = |t: &[u8]| text::request(t).is_some_and(|(_, uri)| uri.first() == Some(&b'/'));
    for i in 0..count {
        let requests = column(i).filter(|f| is_request(f.text)).count();
        if all(i, |t| stamp::clf(t).is_some()) {
            give(&mut names, i, "time_local");
        } else if all(i, |t| stamp::iso(t).is_some()) {
            give(&mut names, i, "time_iso8601");
        } else if all(i, is_epoch) {
            give(&mut names, i, "msec");
        } else if requests * 2 > alike.len() {
            give(&mut names, i, "request");
        } else if column(i).any(|f| is_status(f.text)) && all(i, |t| dash_or(t, is_status)) {
            // Behind the request the first one is the answer's own.
            let name = if taken_status(&names) {
                "upstream_status"
            } else {
                "status"
            };
            give(&mut names, i, name);
        } else if all(i, |t| {
            text::address(t).is_some_and(|(_, port)| port.is_none())
        }) {
            let name = if i == 0
                || !names.contains(&Some("remote_addr")) && first.fields[i].open.is_empty()
            {
                "remote_addr"
            } else {
                "http_x_forwarded_for"
            };
            give(&mut names, i, name);
        } else if column(i).any(|f| text::address(f.text).is_some_and(|(_, p)| p.is_some()))
            && column(i).all(|f| dash(f.text) || text::socket(text::last_of(f.text)).is_some())
        {
            give(&mut names, i, "upstream_addr");
        } else if column(i).any(|f| f.text.eq_ignore_ascii_case(b"websocket"))
            && column(i).all(|f| dash(f.text) || f.text.len() < 16)
        {
            give(&mut names, i, "http_upgrade");
        } else if column(i).any(|f| f.text.len() == 24 && f.text.ends_with(b"=="))
            && column(i).all(|f| dash(f.text) || f.text.len() == 24)
        {
            give(&mut names, i, "http_sec_websocket_key");
        } else if first.fields[i].open == "\""
            && column(i).any(|f| {
                text::contains(f.text, b"/") && f.text.first().is_some_and(u8::is_ascii_alphabetic)
            })
        {
            give(&mut names, i, "http_user_agent");
        }
    }
    // `$request_time` is never shorter than what the upstream took of it.
    let times: Vec<usize> = (0..count)
        .filter(|&i| {
            names[i].is_none()
                && column(i).any(|f| is_duration(f.text))
                && column(i).all(|f| {
                    dash(f.text)
                        || f.text
                            .split(|c| matches!(c, b',' | b' ' | b':'))
                            .all(|p| dash(p) || is_duration(p))
                })
        })
        .collect();
    let longest = times.iter().copied().find(|&i| {
        all(i, is_duration)
            && alike.iter().all(|c| {
                let own = milliseconds(c.fields[i].text);
                times.iter().all(|&j| {
                    let other = c.fields[j].text;
                    !is_duration(other) || milliseconds(other) <= own
                })
            })
    });
    if let Some(i) = longest {
        names[i] = Some("request_time");
    }
    let has = |name: &str| names.contains(&Some(name));
    let when = has("time_local") || has("time_iso8601") || has("msec");
    if !(when && has("request") && has("status") && has("request_time")) {
        return None;
    }
    let mut format = String::new();
    for (i, name) in names.iter().enumerate() {
        format.push_str(&String::from_utf8_lossy(&first.literals[i]));
        format.push('$');
        match name {
            Some(name) => format.push_str(name),
            None => format.push_str(&format!("field_{}", i + 1)),
        }
    }
    format.push_str(&String::from_utf8_lossy(first.literals.last()?));
    Some(format)
}

fn dash_or(text: &[u8], test: fn(&[u8]) -> bool) -> bool {
    text.is_empty() || text == b"-" || test(text)
}

fn taken_status(names: &[Option<&'static str>]) -> bool {
    names.contains(&Some("status"))
}

/// Most lines begin with a stamp or an address, and have a request and a status: an access log, whoever wrote it.
pub(super) fn is_access_log(head: &[u8]) -> bool {
    let samples = records::samples(head);
    let begins = |text: &[u8]| {
        stamp::clf(text).is_some()
            || stamp::iso(text).is_some()
            || is_epoch(text)
            || text::address(text).is_some()
    };
    let hits = samples
        .iter()
        .filter_map(|s| cut(&s.line))
        .filter(|c| {
            c.fields.first().is_some_and(|f| begins(f.text))
                && c.fields.iter().any(|f| text::request(f.text).is_some())
                && c.fields.iter().any(|f| is_status(f.text))
        })
        .count();
    hits > 0 && hits * 2 >= samples.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_content() {
        let check = |name: &str, text: &str, want: Option<&str>| {
            assert_eq!(infer(text.as_bytes()).as_deref(), want, "{name}");
        };
        check(
            "stamp first, request in quotes, several durations",
            "[20/Nov/2026:20:48:04 +0000] 192.0.2.17 \"GET /ws?s=1 HTTP/1.1\" 101 117 0.002 61.003 61.004 \"10.0.0.1:8080\" \"101\" \"okhttp/4.12\"\n\
             [20/Nov/2026:20:48:09 +0000] 192.0.2.18 \"GET /ws?s=2 HTTP/1.1\" 502 157 - 0.001 0.001 \"10.0.0.1:8080, 10.0.0.2:8080\" \"502\" \"okhttp/4.12\"\n",
            Some(
                r#"[$time_local] $remote_addr "$request" $status $field_5 $field_6 $field_7 $request_time "$upstream_addr" "$upstream_status" "$http_user_agent""#,
            ),
        );
        check(
            "names before values, tabs, milliseconds since the epoch",
            "1795207684.246\tip=192.0.2.17\trt=3.003\tst=101\tup=websocket\treq=\"GET /idle HTTP/1.1\"\n",
            Some(
                "$msec\tip=$remote_addr\trt=$request_time\tst=$status\tup=$http_upgrade\treq=\"$request\"",
            ),
        );
        check(
            "Apache: its stamp means the start, and it writes no three decimals",
            "127.0.0.1:54516 [20/Nov/2026:20:57:56 +0000] \"GET /idle HTTP/1.1\" 101 B=0 I=178 O=129 D=4002624 X=- k=0\n",
            None,
        );
        check(
            "no request",
            "2026-11-20T20:48:04Z worker 12 took 3.003 status 101\n",
            None,
        );
        check("nothing", "", None);
        assert!(is_access_log(b"203.0.113.9 | \"GET /ws HTTP/1.1\" | 101\n"));
        assert!(!is_access_log(
            b"INFO: 203.0.113.9 - \"GET /ws HTTP/1.1\" 200 OK\n"
        ));
        assert!(!is_access_log(b"2026-11-20 said \"hello there\"\n"));
    }
}
