//! `ss -tanpo` and `ss -s` -> how many sockets stand in states that tell of a leak, a slow reader, a vanished peer or a full queue.

use super::{Found, HostFormat, HostReader};
use crate::model::{AppEvent, RecordRef, Stamp};
use crate::text::peel::Outer;
use crate::text::records::Verdict;
use crate::text::{self, contains, stamp};

#[derive(Debug)]
pub(super) struct Sockets;

impl HostFormat for Sockets {
    fn name(&self) -> &'static str {
        "ss"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\nESTAB 0 3782144 192.0.2.2:18030 192.0.2.1:34434 users:((\"python3\",pid=26458,fd=12)) timer:(persist,,1)",
            "CLOSE-WAIT 1      0       127.0.0.1:18030 127.0.0.1:34400 users:((\"python3\",pid=26458,fd=8))",
            "Total: 200\nTCP:   136 (estab 8, closed 122, orphaned 18, timewait 2)",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader { at: None })
    }
    fn fields(&self, line: &[u8], _: &Outer) -> Vec<(String, String)> {
        let Some(row) = row(line) else {
            return vec![("text".to_owned(), text::string(line))];
        };
        [
            ("state", row.state),
            ("recv-q", row.received),
            ("send-q", row.unsent),
            ("local", row.local),
            ("peer", row.peer),
            ("rest", row.rest),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), text::string(v)))
        .collect()
    }
}

/// A row of the table (iproute2, ss).
struct Row<'a> {
    state: &'a [u8],
    received: &'a [u8],
    unsent: &'a [u8],
    local: &'a [u8],
    peer: &'a [u8],
    /// `users:((...)) timer:(...)`.
    rest: &'a [u8],
}

const STATES: &[&[u8]] = &[
    b"ESTAB",
    b"SYN-SENT",
    b"SYN-RECV",
    b"FIN-WAIT-1",
    b"FIN-WAIT-2",
    b"TIME-WAIT",
    b"CLOSED",
    b"UNCONN",
    b"CLOSE-WAIT",
    b"LAST-ACK",
    b"LISTEN",
    b"CLOSING",
];

fn row(line: &[u8]) -> Option<Row<'_>> {
    let mut rest = line.trim_ascii();
    let mut word = || {
        let end = rest
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.trim_ascii_start();
        word
    };
    let state = word();
    if !STATES.contains(&state) {
        return None;
    }
    let (received, unsent, local, peer) = (word(), word(), word(), word());
    text::unsigned(received)?;
    text::unsigned(unsent)?;
    memchr::memchr(b':', local)?;
    memchr::memchr(b':', peer)?;
    Some(Row {
        state,
        received,
        unsent,
        local,
        peer,
        rest,
    })
}

struct Reader {
    /// A date that somebody printed before the table.
    at: Option<Stamp>,
}

impl Reader {
    fn judge(&self, record: RecordRef, row: &Row<'_>, found: &mut Found<'_>) {
        let (received, unsent) = (
            text::unsigned(row.received).unwrap_or(0),
            text::unsigned(row.unsent).unwrap_or(0),
        );
        let owner = text::between(row.rest, b"users:((\"", b"\"").map(text::string);
        let pid = text::between(row.rest, b"pid=", b",")
            .and_then(text::unsigned)
            .and_then(|p| u32::try_from(p).ok());
        let timer = text::between(row.rest, b"timer:(", b")").unwrap_or(b"");
        let retries = timer
            .rsplit(|c| *c == b',')
            .next()
            .and_then(text::unsigned)
            .unwrap_or(0);
        match row.state {
            // Of a listener these are the accept queue's length and its limit.
            b"LISTEN" if unsent > 0 && received >= unsent => {
                found.note(
                    "accept-queue-full",
                    record,
                    "listening sockets whose accept queue is full: the process does not accept as fast as clients come",
                );
                if let Some(at) = self.at {
                    let who = owner.unwrap_or_default();
                    let message = format!(
                        "accept queue of {} full: {received} of {unsent} {who}",
                        text::string(row.local)
                    );
                    found.event(record, at, AppEvent::Exhausted { message }, pid, None);
                }
            }
            b"CLOSE-WAIT" => found.note(
                "close-wait",
                record,
                "sockets in CLOSE-WAIT: the peer has closed and the process never did; many of them are a leak",
            ),
            b"ESTAB" | b"FIN-WAIT-1" if timer.starts_with(b"persist") => found.note(
                "zero-window",
                record,
                "sockets that wait for the peer to read (persist timer): a slow consumer",
            ),
            b"ESTAB" | b"FIN-WAIT-1" | b"LAST-ACK" if timer.starts_with(b"on,") && retries > 0 => {
                found.note(
                    "retransmitting",
                    record,
                    "sockets whose data is sent again and again without an answer: the peer vanished, or the path to it",
                );
            }
            _ => {}
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
        if let Some(row) = row(line) {
            self.judge(record, &row, found);
            return Verdict::Used;
        }
        let text = line.trim_ascii();
        if let Some(rest) = text
            .strip_prefix(b"TCP:")
            .filter(|r| contains(r, b"(estab "))
        {
            if text::between(rest, b"orphaned ", b",")
                .and_then(text::unsigned)
                .is_some_and(|n| n > 0)
            {
                found.note(
                    "orphaned",
                    record,
                    "sockets that no process holds any more and that still have data to send: closed towards peers that do not answer",
                );
            }
            return Verdict::Used;
        }
        let header = text.starts_with(b"State ") && contains(text, b"Recv-Q")
            || text.starts_with(b"Transport ") && contains(text, b"Total")
            || text.starts_with(b"Total: ")
            || text.starts_with(b"Netid ");
        let mut words = text
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        let counts = matches!(
            words.next(),
            Some(b"RAW" | b"UDP" | b"TCP" | b"INET" | b"FRAG" | b"*")
        ) && words.clone().count() >= 2
            && words.all(|w| text::unsigned(w).is_some() || w == b"-");
        // `ss -i` continues a socket's row on an indented line.
        let detail = line.first().is_some_and(u8::is_ascii_whitespace)
            && (contains(text, b"rto:") || contains(text, b"cwnd:"));
        if header || counts || detail {
            return Verdict::Used;
        }
        let marked = text.trim_ascii_start();
        let from = marked
            .iter()
            .position(u8::is_ascii_alphanumeric)
            .unwrap_or(0);
        let date = &marked[from..];
        let alone = date.iter().filter(|c| c.is_ascii_alphabetic()).count() <= 12;
        if text.len() <= 48
            && alone
            && let Some(date) = stamp::iso(date).or_else(|| stamp::asctime(date))
        {
            self.at = Some(found.dated(date));
            return Verdict::Used;
        }
        Verdict::Odd("unknown-line")
    }
}
