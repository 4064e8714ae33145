//! Syslog lines of firewalls (pfSense and OPNsense, RouterOS, Cisco ASA, netfilter's LOG) -> flows that they forgot, or have no state for.

use super::flows::{self, Flags, Tuple};
use super::journal::{When, entry};
use super::{Found, HostFormat, HostReader};
use crate::model::{HopEvent, RecordRef};
use crate::text::peel::Outer;
use crate::text::records::Verdict;
use crate::text::{self, contains};

/// What one line says of one flow; `None` as an event: nothing that matters here.
type Said = (Option<HopEvent>, Option<Tuple>);

#[derive(Debug)]
pub(super) struct PfFilterlog;
#[derive(Debug)]
pub(super) struct RouterOs;
#[derive(Debug)]
pub(super) struct CiscoAsa;

impl HostFormat for PfFilterlog {
    fn name(&self) -> &'static str {
        "pf-filterlog"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "Nov 20 20:48:09 fw1 filterlog[3012]: 4,,,1000000103,igb1,match,block,in,4,0x0,,63,41233,0,DF,6,tcp,58,192.0.2.17,198.51.100.4,40112,443,6,PA,100:106,200,501,,nop;nop;TS",
            "<134>1 2026-11-20T20:48:09.123456+00:00 fw1 filterlog 3012 - - 7,,,1000000105,igb0,match,pass,out,6,0x00,0x00000,64,TCP,6,40,2001:db8::17,2001:db8::4,40112,443,0,S,1,,64240,,mss",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader { said: filterlog })
    }
    fn fields(&self, line: &[u8], outer: &Outer) -> Vec<(String, String)> {
        shown(line, outer, filterlog)
    }
}

impl HostFormat for RouterOs {
    fn name(&self) -> &'static str {
        "routeros-firewall"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "Nov 20 20:48:09 gw1 firewall,info INVALID forward: in:bridge out:ether1, connection-state:invalid src-mac 02:00:5e:10:00:01, proto TCP (ACK,PSH), 192.0.2.17:40112->198.51.100.4:443, len 58",
            "Nov 20 20:48:09 gw1 firewall,info forward: in:bridge out:ether1, connection-state:established, proto TCP (ACK), 192.0.2.17:40112->198.51.100.4:443, NAT (192.0.2.17:40112->203.0.113.8:40112)->198.51.100.4:443, len 52",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader { said: routeros })
    }
    fn fields(&self, line: &[u8], outer: &Outer) -> Vec<(String, String)> {
        shown(line, outer, routeros)
    }
}

impl HostFormat for CiscoAsa {
    fn name(&self) -> &'static str {
        "cisco-asa"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "Nov 20 20:48:09 fw1 %ASA-6-302014: Teardown TCP connection 71 for outside:192.0.2.17/40112 to inside:10.0.1.20/443 duration 1:00:02 bytes 5120 Connection timeout",
            "Nov 20 20:48:09 fw1 : %ASA-6-106015: Deny TCP (no connection) from 192.0.2.17/40112 to 198.51.100.4/443 flags PSH ACK on interface outside",
            "<166>Nov 20 20:48:09 fw1 %ASA-6-302013: Built inbound TCP connection 71 for outside:192.0.2.17/40112 (192.0.2.17/40112) to inside:10.0.1.20/443 (198.51.100.4/443)",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader { said: asa })
    }
    fn fields(&self, line: &[u8], outer: &Outer) -> Vec<(String, String)> {
        shown(line, outer, asa)
    }
}

fn shown(
    line: &[u8],
    outer: &Outer,
    said: fn(&[u8], &[u8]) -> Option<Said>,
) -> Vec<(String, String)> {
    let Some(entry) = entry(line, outer, None) else {
        return Vec::new();
    };
    let mut all = vec![("message".to_owned(), text::string(entry.message))];
    if let Some((what, Some(tuple))) = said(entry.program, entry.message) {
        all.extend(flows::fields(what, tuple));
    }
    all
}

struct Reader {
    said: fn(&[u8], &[u8]) -> Option<Said>,
}

impl HostReader for Reader {
    fn line(
        &mut self,
        record: RecordRef,
        line: &[u8],
        outer: &Outer,
        found: &mut Found<'_>,
    ) -> Verdict {
        let Some(entry) = entry(line, outer, found.near()) else {
            return Verdict::Odd("unknown-line");
        };
        let Some((what, tuple)) = (self.said)(entry.program, entry.message) else {
            return Verdict::Odd("unknown-line");
        };
        let at = match entry.when {
            When::Date(date) => found.dated(date),
            When::Stamp(at) => found.wrapped(at),
            When::SinceBoot => return Verdict::Used,
            When::NoYear => return Verdict::Odd("no-year"),
        };
        if let (Some(what), Some(tuple)) = (what, tuple) {
            flows::emit(found, record, at, what, tuple);
        }
        Verdict::Used
    }
}

fn port(text: &[u8]) -> Option<u16> {
    text::unsigned(text).and_then(|p| u16::try_from(p).ok())
}

/// `192.0.2.17:40112`, `[2001:db8::1]:443`.
fn end(text: &[u8]) -> Option<(std::net::IpAddr, Option<u16>)> {
    text::address(text)
}

/// The columns of pf's log daemon (Netgate docs, "Raw Filter Log Format").
fn filterlog(program: &[u8], message: &[u8]) -> Option<Said> {
    if program != b"filterlog" {
        return None;
    }
    let all: Vec<&[u8]> = message.split(|c| *c == b',').collect();
    let (action, version) = (*all.get(6)?, *all.get(8)?);
    let (protocol, from) = match version {
        b"4" => (*all.get(16)?, 18),
        b"6" => (*all.get(12)?, 15),
        _ => return None,
    };
    if !protocol.eq_ignore_ascii_case(b"tcp") {
        return Some((None, None));
    }
    let ip = |at: usize| text::address(all.get(at)?).map(|(ip, _)| ip);
    let number = |at: usize| port(all.get(at)?);
    let tuple = Tuple::new(ip(from), number(from + 2), ip(from + 1), number(from + 3));
    let letters = all.get(from + 5).copied().unwrap_or(b"");
    let flags = Flags {
        syn: letters.contains(&b'S'),
        over: letters.contains(&b'F') || letters.contains(&b'R'),
    };
    let refused = action == b"block" && flags.in_the_middle() && !letters.is_empty();
    Some((refused.then_some(HopEvent::FlowUnknown), tuple))
}

/// `in:bridge out:ether1, connection-state:invalid ..., proto TCP (ACK,PSH), a:1->b:2, len 58` (RouterOS, firewall log action).
fn routeros(_: &[u8], message: &[u8]) -> Option<Said> {
    if !(contains(message, b"in:") && contains(message, b" out:")) {
        return None;
    }
    let after = message
        .get(memchr::memmem::find(message, b", proto ")? + b", proto ".len()..)?
        .trim_ascii();
    if !after.starts_with(b"TCP (") {
        return Some((None, None));
    }
    let letters = text::between(after, b"(", b")")?;
    let ends = text::between(after, b"), ", b",").unwrap_or_else(|| {
        memchr::memmem::find(after, b"), ").map_or(&[][..], |at| &after[at + 3..])
    });
    let at = memchr::memmem::find(ends, b"->")?;
    let (from, to) = (end(&ends[..at]), end(&ends[at + 2..]));
    let tuple = Tuple::new(
        from.map(|e| e.0),
        from.and_then(|e| e.1),
        to.map(|e| e.0),
        to.and_then(|e| e.1),
    );
    let flags = Flags {
        syn: contains(letters, b"SYN"),
        over: contains(letters, b"FIN") || contains(letters, b"RST"),
    };
    let invalid = contains(message, b"connection-state:invalid");
    let unknown = invalid && flags.in_the_middle();
    Some((unknown.then_some(HopEvent::FlowUnknown), tuple))
}

/// Messages 302014 and 106015 (Cisco Secure Firewall ASA Series Syslog Messages).
fn asa(program: &[u8], message: &[u8]) -> Option<Said> {
    let rest = program.strip_prefix(b"%ASA-").or_else(|| {
        let at = memchr::memmem::find(message, b"%ASA-")?;
        (at <= 2).then(|| &message[at + 5..])
    })?;
    let id = rest.split(|c| *c == b'-').nth(1)?.get(..6)?;
    let place = |text: &[u8]| {
        let text = text.rsplit(|c| *c == b':').next().unwrap_or(text);
        let (ip, number) = text::cut(text, b'/')?;
        Some((text::address(ip)?.0, port(number)?))
    };
    let word_after = |mark: &[u8]| {
        let at = memchr::memmem::find(message, mark)? + mark.len();
        let word = message[at..]
            .split(|c| c.is_ascii_whitespace())
            .find(|w| !w.is_empty())?;
        place(word)
    };
    let (from, what) = match id {
        b"302014" => {
            let idle = [&b"Connection timeout"[..], b"Conn-timeout", b"Idle Timeout"]
                .iter()
                .any(|reason| contains(message, reason));
            let over = contains(message, b"TCP FINs") || contains(message, b"TCP Reset");
            let what = match (idle, over) {
                (true, _) => Some(HopEvent::FlowForgotten),
                (_, true) => Some(HopEvent::FlowOver),
                _ => None,
            };
            (word_after(b" for "), what)
        }
        b"106015" => {
            let flags = Flags {
                syn: contains(message, b"SYN"),
                over: contains(message, b"FIN") || contains(message, b"RST"),
            };
            let what = flags.in_the_middle().then_some(HopEvent::FlowUnknown);
            (word_after(b" from "), what)
        }
        _ => return Some((None, None)),
    };
    let to = word_after(b" to ");
    let tuple = Tuple::new(
        from.map(|e| e.0),
        from.map(|e| e.1),
        to.map(|e| e.0),
        to.map(|e| e.1),
    );
    Some((what, tuple))
}

/// A line of netfilter's LOG target or UFW: `[UFW BLOCK] IN=eth0 OUT= SRC=... PROTO=TCP SPT=40112 DPT=443 ... ACK PSH URGP=0`. That it was
/// dropped is told by the prefix alone, which is the administrator's own word.
pub(super) fn netfilter(message: &[u8]) -> Option<(HopEvent, Tuple)> {
    if !contains(message, b"PROTO=TCP") {
        return None;
    }
    let at = memchr::memmem::find(message, b"IN=")?;
    let (prefix, rest) = message.split_at(at);
    let prefix = prefix.to_ascii_uppercase();
    let refused = [
        &b"BLOCK"[..],
        b"DROP",
        b"INVALID",
        b"REJECT",
        b"DENY",
        b"DENIED",
        b"BAD",
    ]
    .iter()
    .any(|word| contains(&prefix, word));
    let mut flags = Flags::default();
    let (mut ips, mut ports) = ([None; 2], [None; 2]);
    for word in rest.split(|c| *c == b' ') {
        match text::cut(word, b'=') {
            Some((b"SRC", value)) => ips[0] = text::address(value).map(|(ip, _)| ip),
            Some((b"DST", value)) => ips[1] = text::address(value).map(|(ip, _)| ip),
            Some((b"SPT", value)) => ports[0] = port(value),
            Some((b"DPT", value)) => ports[1] = port(value),
            None if word == b"SYN" => flags.syn = true,
            None if word == b"FIN" || word == b"RST" => flags.over = true,
            _ => {}
        }
    }
    let tuple = Tuple::new(ips[0], ports[0], ips[1], ports[1])?;
    (refused && flags.in_the_middle()).then_some((HopEvent::FlowUnknown, tuple))
}
