//! `conntrack -E`, `conntrack -L` and `/proc/net/nf_conntrack` -> flows that the kernel's table forgot while they still stood.

use super::flows::{self, Tuple};
use super::{Found, HostFormat, HostReader};
use crate::model::{HopEvent, RecordRef, Stamp};
use crate::text::peel::Outer;
use crate::text::records::Verdict;
use crate::text::{self, contains, stamp};
use std::collections::HashMap;

/// Flows whose last state is remembered until they are destroyed; a table of the kernel's own default size fits.
const MOST: usize = 262_144;

#[derive(Debug)]
pub(super) struct Conntrack;

impl HostFormat for Conntrack {
    fn name(&self) -> &'static str {
        "conntrack"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "[1795207689.123456]\t[DESTROY] tcp      6 ESTABLISHED src=192.0.2.17 dst=198.51.100.4 sport=40112 dport=443 src=10.0.0.4 dst=192.0.2.17 sport=8443 dport=40112 [ASSURED]",
            " [UPDATE] tcp      6 432000 ESTABLISHED src=192.0.2.17 dst=198.51.100.4 sport=40112 dport=443 src=198.51.100.4 dst=192.0.2.17 sport=443 dport=40112 [ASSURED]",
            "tcp      6 431982 ESTABLISHED src=10.0.0.5 dst=198.51.100.4 sport=50022 dport=443 src=198.51.100.4 dst=203.0.113.8 sport=443 dport=50022 [ASSURED] mark=0 use=1",
            "ipv4     2 tcp      6 299 ESTABLISHED src=10.0.0.5 dst=198.51.100.4 sport=50022 dport=443 src=198.51.100.4 dst=203.0.113.8 sport=443 dport=50022 [ASSURED] mark=0 zone=0 use=2",
            "cpu=0 found=12 invalid=4 insert=0 insert_failed=0 drop=0 early_drop=3 error=0 search_restart=0",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader {
            states: HashMap::new(),
        })
    }
    fn fields(&self, line: &[u8], _: &Outer) -> Vec<(String, String)> {
        let Some(entry) = entry(line) else {
            return vec![("text".to_owned(), text::string(line))];
        };
        let mut all: Vec<(String, String)> = [
            ("change", entry.change),
            ("protocol", entry.protocol),
            ("state", entry.state),
        ]
        .into_iter()
        .filter_map(|(k, v)| Some((k.to_owned(), text::string(v?))))
        .collect();
        all.extend(
            entry
                .original
                .map_or_else(Vec::new, |t| flows::fields(None, t)),
        );
        all
    }
}

/// One line of the table, or one change to it (conntrack-tools, libnetfilter_conntrack's default output).
struct Entry<'a> {
    at: Option<Stamp>,
    /// `NEW`, `UPDATE`, `DESTROY`; `None` in a listing.
    change: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    state: Option<&'a [u8]>,
    original: Option<Tuple>,
    reply: Option<Tuple>,
}

const CHANGES: &[&[u8]] = &[b"NEW", b"UPDATE", b"DESTROY"];
const PROTOCOLS: &[&[u8]] = &[
    b"tcp", b"udp", b"icmp", b"icmpv6", b"udplite", b"sctp", b"dccp", b"gre", b"unknown",
];

fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut rest = line.trim_ascii();
    let bracketed = |text: &'_ [u8]| -> Option<(usize, usize)> {
        let end = memchr::memchr(b']', text)?;
        (text.first() == Some(&b'[')).then_some((1, end))
    };
    let mut at = None;
    if let Some((from, to)) = bracketed(rest)
        && let Some(stamp) = stamp::epoch(rest[from..to].trim_ascii())
    {
        at = Some(stamp);
        rest = rest[to + 1..].trim_ascii_start();
    }
    let mut change = None;
    if let Some((from, to)) = bracketed(rest)
        && CHANGES.contains(&&rest[from..to])
    {
        change = Some(&rest[from..to]);
        rest = rest[to + 1..].trim_ascii_start();
    }
    let mut words = rest
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty())
        .peekable();
    // `-o extended` and /proc name the family first.
    if matches!(words.peek(), Some(&(b"ipv4" | b"ipv6"))) {
        words.next();
        words.next();
    }
    let protocol = words.next().filter(|p| PROTOCOLS.contains(p))?;
    text::unsigned(words.next()?)?;
    let mut entry = Entry {
        at,
        change,
        protocol: Some(protocol),
        state: None,
        original: None,
        reply: None,
    };
    let mut ends = [[None; 2]; 2];
    let mut ports = [[None; 2]; 2];
    for word in words {
        let Some((key, value)) = text::cut(word, b'=') else {
            let plain = word.iter().all(|c| c.is_ascii_uppercase() || *c == b'_');
            if entry.state.is_none() && plain {
                entry.state = Some(word);
            }
            continue;
        };
        let side = usize::from(matches!(key, b"dst" | b"dport"));
        if matches!(key, b"src" | b"dst")
            && let Some(free) = ends.iter_mut().find(|way| way[side].is_none())
        {
            free[side] = text::address(value).map(|(ip, _)| ip);
        }
        if matches!(key, b"sport" | b"dport")
            && let Some(free) = ports.iter_mut().find(|way| way[side].is_none())
        {
            free[side] = text::unsigned(value).and_then(|p| u16::try_from(p).ok());
        }
    }
    let tuple = |way: usize| Tuple::new(ends[way][0], ports[way][0], ends[way][1], ports[way][1]);
    (entry.original, entry.reply) = (tuple(0), tuple(1));
    // Every entry names its ends; without them it is some other program's line.
    ends[0][0]?;
    Some(entry)
}

struct Reader {
    /// Whether the last state that was told of a flow is one in which it still stood.
    states: HashMap<Tuple, bool>,
}

/// States after the first FIN or RST (nf_conntrack_proto_tcp.c).
fn is_over(state: &[u8]) -> bool {
    matches!(
        state,
        b"FIN_WAIT" | b"CLOSE_WAIT" | b"LAST_ACK" | b"TIME_WAIT" | b"CLOSE"
    )
}

impl Reader {
    fn tcp(&mut self, record: RecordRef, entry: &Entry<'_>, found: &mut Found<'_>) {
        let Some(tuple) = entry.original else { return };
        let stands = entry.state.map(|s| s == b"ESTABLISHED");
        let over = entry.state.map(is_over);
        if entry.change != Some(b"DESTROY") {
            let Some(stands) = stands.filter(|_| entry.change.is_some()) else {
                return;
            };
            if self.states.len() < MOST || self.states.contains_key(&tuple) {
                self.states.insert(tuple, stands);
            } else {
                found.note(
                    "too-many-flows",
                    record,
                    "more flows at a time than are remembered: of some it is not told how they ended",
                );
            }
            return;
        }
        // Kernels before 5.13 destroy without naming the state: the last change before tells it.
        let before = self.states.remove(&tuple);
        let what = match (over, stands, before) {
            (_, Some(true), _) | (None, None, Some(true)) => HopEvent::FlowForgotten,
            (Some(true), ..) | (None, None, Some(false)) => HopEvent::FlowOver,
            _ => return,
        };
        let Some(at) = entry.at else {
            found.note(
                "no-time",
                record,
                "flows that the table dropped, without a time: not on the time line; write them with conntrack -E -o timestamp",
            );
            return;
        };
        let at = found.wrapped(at);
        flows::emit(found, record, at, what, tuple);
        // Behind address translation other captures and logs know it by its other face.
        if let Some(translated) = entry.reply.map(Tuple::turned).filter(|t| *t != tuple) {
            flows::emit(found, record, at, what, translated);
        }
    }
}

impl HostReader for Reader {
    fn line(
        &mut self,
        record: RecordRef,
        line: &[u8],
        _: &Outer,
        found: &mut Found<'_>,
    ) -> Verdict {
        if let Some(entry) = entry(line) {
            if let Some(at) = entry.at {
                found.wrapped(at);
            }
            if entry.protocol == Some(b"tcp") {
                self.tcp(record, &entry, found);
                if entry.change.is_none() && contains(line, b"[UNREPLIED]") {
                    found.note(
                        "unreplied",
                        record,
                        "flows of which the table saw one direction alone: replies go another way, or nobody answers",
                    );
                }
            }
            return Verdict::Used;
        }
        let text = line.trim_ascii();
        if text.starts_with(b"cpu=") && contains(text, b"early_drop=") {
            let lost = |key: &[u8]| {
                memchr::memmem::find(text, key).is_some_and(|at| {
                    let digits = &text[at + key.len()..];
                    let end = digits.iter().take_while(|c| c.is_ascii_digit()).count();
                    text::unsigned(&digits[..end]).is_some_and(|n| n > 0)
                })
            };
            if lost(b" drop=") || lost(b" early_drop=") {
                found.note(
                    "table-dropped",
                    record,
                    "the table dropped entries or packets for want of room (drop, early_drop): raise nf_conntrack_max",
                );
            }
            return Verdict::Used;
        }
        // What the program itself says at its end.
        let own = text.starts_with(b"conntrack v");
        if own {
            Verdict::Used
        } else {
            Verdict::Odd("unknown-line")
        }
    }
}
