//! Kernel and service-manager lines (dmesg, syslog, the journal) -> deaths, starts and stops of processes, and what ran out.

use super::{Found, HostFormat, HostReader, firewall, flows};
use crate::model::{AppEvent, RecordRef, Stamp};
use crate::text::peel::Outer;
use crate::text::records::Verdict;
use crate::text::stamp::{self, Date};
use crate::text::{self, contains};

#[derive(Debug)]
pub(super) struct Journal;

impl HostFormat for Journal {
    fn name(&self) -> &'static str {
        "host-journal"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "Nov 20 20:48:09 app1 kernel: [ 3761.293790] Out of memory: Killed process 811 (node) total-vm:2623712kB",
            "2026-11-20T20:48:09+00:00 app1 systemd[1]: app.service: Main process exited, code=killed, status=9/KILL",
            "[Fri Nov 20 20:48:09 2026] nf_conntrack: nf_conntrack: table full, dropping packet",
            "[ 3761.293790] TCP: out of memory -- consider tuning tcp_mem",
            "Nov 20 20:48:09 gw1 kernel: [ 3761.293790] [UFW BLOCK] IN=eth0 OUT= MAC=02:00 SRC=192.0.2.17 DST=198.51.100.4 LEN=58 TOS=0x00 PREC=0x00 TTL=63 ID=41233 DF PROTO=TCP SPT=40112 DPT=443 WINDOW=501 RES=0x00 ACK PSH URGP=0",
            "<6>1 2026-11-20T20:48:09.123+00:00 app1 kernel - - - eth0: Link is Down",
            r#"{"__REALTIME_TIMESTAMP":"1795207689123456","_HOSTNAME":"app1","SYSLOG_IDENTIFIER":"systemd","_PID":"1","MESSAGE":"Stopping app.service - Chat..."}"#,
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader)
    }
    fn fields(&self, line: &[u8], outer: &Outer) -> Vec<(String, String)> {
        let Some(entry) = entry(line, outer, None) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        if let Some(host) = &entry.host {
            all.push(("host".to_owned(), host.clone()));
        }
        all.push(("program".to_owned(), text::string(entry.program)));
        all.push(("message".to_owned(), text::string(entry.message)));
        if let Some((what, pid)) = classify(entry.program, entry.message) {
            all.push(("event".to_owned(), format!("{what:?}")));
            if let Some(pid) = pid {
                all.push(("process".to_owned(), pid.to_string()));
            }
        }
        all
    }
}

/// When a line says it was written.
pub(super) enum When {
    Date(Date),
    Stamp(Stamp),
    /// Seconds since boot alone.
    SinceBoot,
    NoYear,
}

pub(super) struct Entry<'a> {
    pub(super) when: When,
    host: Option<String>,
    pub(super) program: &'a [u8],
    pub(super) message: &'a [u8],
}

/// Programs of the system itself: a file that is mostly theirs is the host's.
fn is_system(program: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"kernel",
        b"systemd",
        b"init",
        b"sshd",
        b"CRON",
        b"cron",
        b"crond",
        b"anacron",
        b"sudo",
        b"su",
        b"dbus-daemon",
        b"dbus",
        b"NetworkManager",
        b"dhclient",
        b"dhcpcd",
        b"snapd",
        b"rsyslogd",
        b"chronyd",
        b"ntpd",
        b"auditd",
        b"polkitd",
        b"irqbalance",
        b"multipathd",
        b"smartd",
        b"earlyoom",
        b"dockerd",
        b"containerd",
        b"kubelet",
        b"k3s",
        b"cloud-init",
        b"amazon-ssm-agent",
    ];
    NAMES.contains(&program) || program.starts_with(b"systemd-")
}

pub(super) fn entry<'a>(
    line: &'a [u8],
    outer: &'a Outer,
    near: Option<crate::model::Moment>,
) -> Option<Entry<'a>> {
    if let (Some(program), Some(at)) = (&outer.program, outer.stamp) {
        return Some(Entry {
            when: When::Stamp(at),
            host: outer.host.clone(),
            program: program.as_bytes(),
            message: line.trim_ascii(),
        });
    }
    let mut rest = line;
    if let Some((pri, after)) = rest
        .strip_prefix(b"<")
        .and_then(|r| text::cut(r, b'>'))
        .filter(|(pri, _)| pri.len() <= 3 && text::unsigned(pri).is_some())
    {
        let _ = pri;
        rest = after;
    }
    if let Some(inner) = rest.strip_prefix(b"[") {
        let (front, message) = text::cut(inner, b']')?;
        let message = message.strip_prefix(b" ")?;
        let when = match stamp::asctime(front) {
            Some(date) => When::Date(date),
            None if since_boot(front) => When::SinceBoot,
            None => return None,
        };
        // Other programs write dates in brackets as well; the kernel's own words have no further ones.
        if message.first() == Some(&b'[') {
            return None;
        }
        return Some(Entry {
            when,
            host: None,
            program: b"kernel",
            message: message.trim_ascii(),
        });
    }
    if let Some(after) = rest.strip_prefix(b"1 ")
        && let Some(date) = stamp::iso(after)
    {
        // RFC 5424 6.2: host, program, process, message id, structured data.
        let mut words = after[date.len..]
            .trim_ascii_start()
            .splitn(6, |c| *c == b' ');
        let (host, program) = (words.next()?, words.next()?);
        let message = words.nth(3).unwrap_or(b"");
        return Some(Entry {
            when: When::Date(date),
            host: text::kept(host),
            program,
            message: message.trim_ascii(),
        });
    }
    let (when, after) = match stamp::iso(rest) {
        Some(date) => (When::Date(date), &rest[date.len..]),
        None => {
            let (date, len) = stamp::syslog(rest, near)?;
            (date.map_or(When::NoYear, When::Date), &rest[len..])
        }
    };
    let after = after.strip_prefix(b" ")?;
    // `dmesg --time-format iso` has no host: the message begins at once, and nobody can tell it from a program's line.
    let (host, after) = text::cut(after, b' ')?;
    // Cisco's firewalls put a colon of its own before the tag; RouterOS writes topics, without one.
    let after = after.strip_prefix(b": ").unwrap_or(after);
    let (tag, message) = text::cut(after, b' ')?;
    let tag = match tag.strip_suffix(b":") {
        Some(tag) => tag,
        None if tag.starts_with(b"firewall,") => tag,
        None => return None,
    };
    let program = tag.split(|c| *c == b'[').next().unwrap_or(tag);
    if program.is_empty() {
        return None;
    }
    let message = message.trim_ascii();
    let message = match message.strip_prefix(b"[").and_then(|m| text::cut(m, b']')) {
        Some((front, inner)) if program == b"kernel" && since_boot(front) => inner.trim_ascii(),
        _ => message,
    };
    Some(Entry {
        when,
        host: text::kept(host),
        program,
        message,
    })
}

/// ` 3761.293790`
fn since_boot(text: &[u8]) -> bool {
    text.trim_ascii()
        .split(|c| *c == b'.')
        .map(|part| text::unsigned(part).is_some())
        .eq([true, true])
}

/// The number after `mark`.
fn number_after(message: &[u8], mark: &[u8]) -> Option<u32> {
    let at = memchr::memmem::find(message, mark)? + mark.len();
    let digits = message[at..].iter().take_while(|c| c.is_ascii_digit());
    text::unsigned(&message[at..at + digits.count()]).and_then(|n| u32::try_from(n).ok())
}

/// The process that an out-of-memory line names as killed (mm/oom_kill.c).
pub(super) fn killed(message: &[u8]) -> Option<u32> {
    contains(message, b"Killed process ")
        .then(|| number_after(message, b"Killed process "))
        .flatten()
}

/// What a line of the system tells, and of which process.
fn classify(program: &[u8], message: &[u8]) -> Option<(AppEvent, Option<u32>)> {
    let said = || text::string(&message[..message.len().min(512)]);
    let crashed = || AppEvent::Crashed { message: said() };
    let exhausted = || AppEvent::Exhausted { message: said() };
    let has = |what: &[u8]| contains(message, what);
    if program == b"kernel" {
        if let Some(pid) = killed(message) {
            return Some((crashed(), Some(pid)));
        }
        if has(b"]: segfault at ")
            || message.starts_with(b"traps: ") && has(b"] trap ")
            || message.starts_with(b"traps: ") && has(b"general protection")
        {
            return Some((crashed(), number_after(message, b"[")));
        }
        let full = has(b"conntrack: table full")
            || has(b"TCP: out of memory")
            || has(b"too many orphaned sockets")
            || has(b"Possible SYN flooding on port")
            || has(b"VFS: file-max limit")
            || has(b"neighbor table overflow");
        return full.then(|| (exhausted(), None));
    }
    if program == b"systemd-oomd" || program == b"earlyoom" {
        return (has(b"Killed ") || has(b"sending SIGKILL"))
            .then(|| (crashed(), number_after(message, b"process ")));
    }
    if program == b"containerd" || program == b"kubelet" || program == b"dockerd" {
        return (has(b"OOMKilled") || has(b"TaskOOM") || has(b"/tasks/oom"))
            .then(|| (crashed(), None));
    }
    if program != b"systemd" {
        return None;
    }
    if has(b"Main process exited, code=") {
        // A wanted stop ends by SIGTERM (143 where the program hands it on as a status).
        let wanted = has(b"status=15/TERM")
            || has(b"status=143")
            || has(b"status=2/INT")
            || has(b"status=130")
            || has(b"status=0/SUCCESS");
        return (!wanted).then(|| (crashed(), None));
    }
    if has(b"killed by the OOM killer")
        || has(b"Start request repeated too quickly")
        || has(b"Failed with result 'oom-kill'")
    {
        return Some((crashed(), None));
    }
    if has(b"with signal SIGKILL") {
        return Some((crashed(), number_after(message, b"Killing process ")));
    }
    // Sessions, slices, timers and targets start and stop all day.
    let unit = has(b".service") && !has(b": ");
    if unit && message.starts_with(b"Stopping ") {
        Some((AppEvent::Stopping, None))
    } else if unit && message.starts_with(b"Started ") {
        Some((AppEvent::Listening { port: None }, None))
    } else {
        None
    }
}

struct Reader;

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
        if !is_system(entry.program) {
            if found.recent.is_none() {
                return Verdict::Odd("unknown-line");
            }
            found.note(
                "other-program",
                record,
                "lines of other programs: only what the system itself says was read here; give their own logs, or read this file --as app-text",
            );
            return Verdict::Used;
        }
        let event = classify(entry.program, entry.message);
        let at = match entry.when {
            When::Date(date) => found.dated(date),
            When::Stamp(at) => found.wrapped(at),
            When::SinceBoot => {
                if event.is_some() {
                    found.note(
                        "since-boot",
                        record,
                        "seconds since boot, without a date: not on the time line; write it with dmesg -T or journalctl -k",
                    );
                }
                return Verdict::Used;
            }
            When::NoYear => return Verdict::Odd("no-year"),
        };
        if let Some((what, pid)) = event {
            found.event(record, at, what, pid, entry.host);
        }
        if let Some((what, tuple)) =
            firewall::netfilter(entry.message).filter(|_| entry.program == b"kernel")
        {
            flows::emit(found, record, at, what, tuple);
        }
        Verdict::Used
    }
}
