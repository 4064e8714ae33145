//! One verdict -> its evidence with the records themselves, what was ruled out, the fix, and the time line.

mod why;
mod wire;

use super::groups::{client, closer};
use super::style::{cut, pad, pad_left, wrap};
use super::text::{maybe_duration, rivals};
use super::{Look, Redactor, Zone, width_of};
use crate::model::{
    Analysis, Connection, Event, EventKind, Judged, LegProtocol, Outcome, Raw, RawReader,
    RecordRef, RivalVerdict, SECOND_NS, SourceId, Stamp, Tier, TlsView, say_duration,
};
use std::io::{self, Write};

#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub look: Look,
    pub zone: Zone,
    /// 1 = the whole time line and every test.
    pub verbose: u8,
    /// Print each record in full, with what was read from it.
    pub raw: bool,
    /// The tests of every rule that came close, before the time line.
    pub why: bool,
    pub paths: &'a str,
}

/// A silence longer than this is drawn as a line of its own.
const GAP_NS: i64 = 2 * SECOND_NS;
/// Rows that one log line may take without `--raw`.
const LINE_ROWS: usize = 3;
/// Events shown from the start and from the end of the time line.
const FIRST: usize = 8;
const LAST: usize = 16;

pub fn write(
    analysis: &Analysis,
    judged: &Judged,
    raw: &mut dyn RawReader,
    redactor: &Redactor,
    options: &Options<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut page = Page {
        analysis,
        judged,
        raw,
        redactor,
        look: options.look,
        options,
    };
    page.head(out)?;
    page.evidence(out)?;
    page.notes(out)?;
    if options.why {
        page.tests(out)?;
    }
    page.time_line(out)?;
    if options.verbose > 0 && !options.why {
        page.tests(out)?;
    }
    Ok(())
}

struct Page<'a> {
    analysis: &'a Analysis,
    judged: &'a Judged,
    raw: &'a mut dyn RawReader,
    redactor: &'a Redactor,
    look: Look,
    options: &'a Options<'a>,
}

impl Page<'_> {
    fn text(&self, text: &str) -> String {
        self.look.text(&self.redactor.text(text))
    }

    fn file(&self, id: SourceId) -> String {
        self.analysis
            .source(id)
            .map_or_else(|| format!("source {}", id.0), |s| self.look.text(&s.path))
    }

    fn is_capture(&self, id: SourceId) -> bool {
        self.analysis
            .source(id)
            .is_some_and(|s| s.kind.is_capture())
    }

    fn head(&self, out: &mut impl Write) -> io::Result<()> {
        let v = &self.judged.verdict;
        let what = match v.cause {
            Some(cause) => format!("{}[{}]", v.outcome.name(), cause.code()),
            None => v.outcome.name().to_owned(),
        };
        let what = match v.outcome {
            Outcome::Drop | Outcome::FailedHandshake if v.tier >= Tier::Likely => {
                self.look.red(&what)
            }
            Outcome::Drop | Outcome::FailedHandshake => self.look.yellow(&what),
            _ => self.look.outcome(v.outcome),
        };
        let cause = v
            .cause
            .map_or_else(String::new, |c| format!(" {} ({}):", c.id(), v.tier.name()));
        writeln!(
            out,
            "{what}:{cause} {}",
            self.look.bold(&self.text(&v.sentence))
        )?;
        let c = &self.judged.connection;
        let arrow = self.look.mark(" → ", " -> ");
        let path: Vec<String> = c
            .hops
            .iter()
            .map(|hop| match hop.address {
                Some(ip) => format!("{} {}", self.text(&hop.name), self.redactor.ip(ip)),
                None => self.text(&hop.name),
            })
            .collect();
        let when = |stamp: Option<Stamp>| {
            stamp.map_or_else(
                || "unknown".to_owned(),
                |s| {
                    format!(
                        "{} {} {}",
                        self.options.zone.date(s),
                        self.options.zone.time(s, 3),
                        self.options.zone.name()
                    )
                },
            )
        };
        let status = c
            .request
            .status
            .map_or_else(|| "no answer seen".to_owned(), |s| s.to_string());
        let request = match (&c.request.uri, sealed(c)) {
            (Some(uri), _) => format!("{} ({status})", self.text(uri)),
            (None, Some(tls)) => {
                let host = c.request.host.as_deref();
                let host = host.map_or_else(String::new, |h| format!(" to {}", self.text(h)));
                format!("encrypted{host} ({}, no keys)", tls.name())
            }
            (None, None) => format!("unknown ({status})"),
        };
        let closed = if v.outcome == Outcome::Open {
            "still open".to_owned()
        } else {
            when(c.closed)
        };
        let mut rows = vec![
            ("connection", c.id.clone()),
            ("client", client(self.judged, self.redactor)),
            ("path", path.join(arrow)),
            ("request", request),
            ("opened", when(c.opened)),
            ("closed", closed),
            ("lived", maybe_duration(c.duration_ns())),
            ("silent", maybe_duration(c.silence_ns)),
            ("closed by", self.text(&closer(self.judged))),
        ];
        if let Some(ns) = v.timeout_ns {
            let from = v
                .timeout_from
                .as_deref()
                .map(|f| format!(" ({})", self.text(f)))
                .unwrap_or_default();
            rows.push(("time-out", format!("{}{from}", say_duration(ns))));
        }
        rows.extend(wire::rows(c));
        if let Some(identity) = &c.client.identity {
            rows.insert(
                2,
                ("identity", self.look.text(&self.redactor.token(identity))),
            );
        }
        for (name, value) in rows {
            writeln!(out, "  {} {value}", self.look.dim(&pad(name, 11)))?;
        }
        Ok(())
    }

    /// The records, source after source as they first speak, each once with all that it says.
    fn evidence(&mut self, out: &mut impl Write) -> io::Result<()> {
        let judged = self.judged;
        let all = &judged.verdict.evidence;
        let mut files: Vec<(SourceId, Vec<RecordRef>)> = Vec::new();
        for record in all.iter().filter_map(|e| e.record) {
            match files.iter_mut().find(|(id, _)| *id == record.source) {
                Some((_, records)) if records.contains(&record) => {}
                Some((_, records)) => records.push(record),
                None => files.push((record.source, vec![record])),
            }
        }
        let bar = self.look.cyan("|");
        for (n, (id, records)) in files.iter_mut().enumerate() {
            let first = records.first().map_or(0, |r| r.ordinal);
            let arrow = if n == 0 { "-->" } else { ":::" };
            records.sort_by_key(|r| r.ordinal);
            let filter = if self.is_capture(*id) {
                let each: Vec<String> = records.iter().map(RecordRef::display_filter).collect();
                format!("   {}", self.look.dim(&each.join(" || ")))
            } else {
                String::new()
            };
            writeln!(
                out,
                "{} {}:{first}{filter}",
                self.look.cyan(&format!("  {arrow}")),
                self.file(*id)
            )?;
            writeln!(out, "       {bar}")?;
            for record in records {
                self.record(*record, out)?;
            }
        }
        if !files.is_empty() {
            writeln!(out, "       {bar}")?;
        }
        for evidence in all.iter().filter(|e| e.record.is_none()) {
            self.note(
                if evidence.supports { "seen" } else { "against" },
                &evidence.say,
                out,
            )?;
        }
        Ok(())
    }

    fn record(&mut self, record: RecordRef, out: &mut impl Write) -> io::Result<()> {
        let judged = self.judged;
        let bar = self.look.cyan("|");
        let room = self.look.width.saturating_sub(9).max(20);
        let said = || {
            judged
                .verdict
                .evidence
                .iter()
                .filter(|e| e.record == Some(record))
        };
        if self.is_capture(record.source) {
            let number = pad_left(&format!("#{}", record.ordinal), 6);
            let line = self.packet_line(record, said().find_map(|e| e.at));
            writeln!(
                out,
                "{} {bar} {}",
                self.look.cyan(&number),
                cut(&line, room, self.look)
            )?;
        } else {
            let line = match self.raw.read(record) {
                Raw::Line { lines, focus, .. } => {
                    lines.get(focus).map(|l| l.1.clone()).unwrap_or_default()
                }
                Raw::Missing(why) => format!("({why})"),
                Raw::Packet { .. } => String::new(),
            };
            let line = self.text(&line);
            let line = if self.options.raw {
                line
            } else {
                cut(&line, room * LINE_ROWS, self.look)
            };
            for (n, row) in wrap(&line, room).iter().enumerate() {
                let number = if n == 0 {
                    record.ordinal.to_string()
                } else {
                    String::new()
                };
                writeln!(out, "{} {bar} {row}", self.look.cyan(&pad_left(&number, 6)))?;
            }
        }
        if self.options.raw {
            self.raw_record(record, out)?;
        }
        for evidence in said() {
            let against = if evidence.supports { "" } else { "against, " };
            let say = format!("{} ({against}{})", evidence.say, evidence.strength.name());
            for (n, line) in wrap(&self.text(&say), room.saturating_sub(2))
                .iter()
                .enumerate()
            {
                let lead = if n == 0 { "^ " } else { "  " };
                let line = format!("{lead}{line}");
                let line = if evidence.supports {
                    self.look.yellow(&line)
                } else {
                    self.look.dim(&line)
                };
                writeln!(out, "       {bar} {line}")?;
            }
        }
        Ok(())
    }

    /// Time, ends and what it was, as far as the time line holds the packet.
    fn packet_line(&self, record: RecordRef, told: Option<Stamp>) -> String {
        let events = &self.judged.connection.events;
        let event = events.iter().find(|e| e.record == record);
        let at = event
            .map(|e| e.at)
            .or(told)
            .map(|s| self.options.zone.time(s, 6))
            .unwrap_or_default();
        match event {
            Some(event) => format!("{at}  {}  {}", self.ends(event), self.text(&event.say)),
            None => at,
        }
    }

    /// `a → b` for a packet, the hop's name for a log line.
    fn ends(&self, event: &Event) -> String {
        let c = &self.judged.connection;
        let (there, back) = (self.look.mark("→", "->"), self.look.mark("←", "<-"));
        let name = |hop: usize| {
            c.hops
                .get(hop)
                .map_or_else(|| "?".to_owned(), |h| self.text(&h.name))
        };
        match (event.leg.and_then(|leg| c.legs.get(leg)), event.direction) {
            (Some(leg), Some(direction)) => {
                let arrow = if direction == crate::model::Direction::ToServer {
                    there
                } else {
                    back
                };
                format!("{} {arrow} {}", name(leg.from), name(leg.from + 1))
            }
            _ => event.hop.map_or_else(String::new, name),
        }
    }

    fn raw_record(&mut self, record: RecordRef, out: &mut impl Write) -> io::Result<()> {
        let bar = self.look.cyan("|");
        match self.raw.read(record) {
            Raw::Line {
                lines,
                focus,
                fields,
            } => {
                for (n, (number, line)) in lines.iter().enumerate().filter(|(n, _)| *n != focus) {
                    let side = if n < focus { "before" } else { "after" };
                    writeln!(
                        out,
                        "{} {bar} {}",
                        self.look.dim(&pad_left(&number.to_string(), 6)),
                        self.look.dim(&format!("{side}: {}", self.text(line)))
                    )?;
                }
                for (field, value) in fields {
                    writeln!(
                        out,
                        "       {bar}   {} = {}",
                        self.text(&field),
                        self.text(&value)
                    )?;
                }
            }
            Raw::Packet {
                tree,
                bytes,
                payload,
                ..
            } => {
                for (depth, text, _) in tree {
                    writeln!(
                        out,
                        "       {bar}   {}{}",
                        "  ".repeat(depth),
                        self.text(&text)
                    )?;
                }
                if self.redactor.what().payload {
                    writeln!(
                        out,
                        "       {bar}   {} bytes (--redact none shows them)",
                        bytes.len()
                    )?;
                } else {
                    for (n, row) in bytes.chunks(16).enumerate().take(64) {
                        let hex: String = row.iter().map(|b| format!("{b:02x} ")).collect();
                        writeln!(out, "       {bar}   {:04x}  {hex}", n * 16)?;
                    }
                    if let Some(payload) = payload {
                        let text = String::from_utf8_lossy(&payload)
                            .chars()
                            .take(2_000)
                            .collect::<String>();
                        writeln!(out, "       {bar}   payload: {}", self.text(&text))?;
                    }
                }
            }
            Raw::Missing(why) => writeln!(out, "       {bar}   {}", self.text(&why))?,
        }
        Ok(())
    }

    fn note(&self, name: &str, say: &str, out: &mut impl Write) -> io::Result<()> {
        let indent = 9 + width_of(name) + 2;
        let lines = wrap(
            &self.text(say),
            self.look.width.saturating_sub(indent).max(20),
        );
        for (n, line) in lines.iter().enumerate() {
            if n == 0 {
                writeln!(
                    out,
                    "       {} {}: {line}",
                    self.look.cyan("="),
                    self.look.bold(name)
                )?;
            } else {
                writeln!(out, "{}{line}", " ".repeat(indent))?;
            }
        }
        Ok(())
    }

    fn notes(&self, out: &mut impl Write) -> io::Result<()> {
        let judged = self.judged;
        let (c, v) = (&judged.connection, &judged.verdict);
        let mut seen = Vec::new();
        let code = |code: Option<u16>| code.map_or_else(|| "no code".to_owned(), |c| c.to_string());
        if let Some(frame) = c.close.from_client {
            seen.push(format!("Close from the client: {}", code(frame)));
        }
        if let Some(frame) = c.close.from_server {
            seen.push(format!("Close from the server: {}", code(frame)));
        }
        if let Some(reported) = c.close.reported_client {
            seen.push(format!("the client's library reported {reported}"));
        }
        if let Some(reported) = c.close.reported_server {
            seen.push(format!("the server's library reported {reported}"));
        }
        seen.extend(c.close.tcp.clone());
        if !seen.is_empty() {
            self.note("close", &seen.join("; "), out)?;
        }
        if !v.contributing.is_empty() {
            self.note("contributing", &v.contributing.join(", "), out)?;
        }
        if let Some(earlier) = &c.reconnect_of {
            self.note("came back after", earlier, out)?;
        }
        if let Some(later) = &c.reconnected_as {
            self.note("came back as", later, out)?;
        }
        for rival in rivals(judged, RivalVerdict::RuledOut) {
            self.note("ruled out", &rival, out)?;
        }
        for rival in rivals(judged, RivalVerdict::Weaker) {
            self.note("weaker", &rival, out)?;
        }
        for rival in rivals(judged, RivalVerdict::Untestable) {
            self.note("untestable", &rival, out)?;
        }
        for open in &v.untestable {
            let say = format!(
                "{} {} (needs {})",
                open.cause.code(),
                open.cause.id(),
                open.needs
            );
            self.note("untestable", &say, out)?;
        }
        for fix in &v.fix {
            self.note("fix", fix, out)?;
        }
        if let Some(own) = &v.own_rule {
            self.note("own rule", own, out)?;
        }
        if let Some(filter) = c.display_filter() {
            // In one row, whatever the width: it is there to be copied.
            writeln!(
                out,
                "       {} {}: {}",
                self.look.cyan("="),
                self.look.bold("wireshark"),
                self.text(&filter)
            )?;
        }
        if let Some(cause) = v.cause {
            self.note("more", &format!("wsdrop explain {}", cause.code()), out)?;
        }
        Ok(())
    }

    fn time_line(&self, out: &mut impl Write) -> io::Result<()> {
        let events = &self.judged.connection.events;
        if events.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n{}",
            self.look
                .bold(&format!("time line ({})", self.options.zone.name()))
        )?;
        let whole = self.options.verbose > 0 || events.len() <= FIRST + LAST + 1;
        let ends_w = events
            .iter()
            .map(|e| width_of(&self.ends(e)))
            .max()
            .unwrap_or(0)
            .min(28);
        let file_w = events
            .iter()
            .map(|e| width_of(&self.place(e.record)))
            .max()
            .unwrap_or(0)
            .min(36);
        let mut before: Option<&Event> = None;
        for (n, event) in events.iter().enumerate() {
            if !whole && n >= FIRST && n < events.len() - LAST {
                if n == FIRST {
                    let hidden = events.len() - FIRST - LAST;
                    writeln!(
                        out,
                        "  {}",
                        self.look.dim(&format!(
                            "{} {hidden} more events: -v",
                            self.look.mark("┊", ":")
                        ))
                    )?;
                }
                before = Some(event);
                continue;
            }
            if let Some(before) = before {
                let gap = event.at.at.since(before.at.at);
                if gap >= GAP_NS {
                    let dots = self.look.mark("┊", ":");
                    writeln!(
                        out,
                        "  {}",
                        self.look
                            .dim(&format!("{dots} {} without an event", say_duration(gap)))
                    )?;
                }
            }
            before = Some(event);
            let about = if event.at.tick_ns >= SECOND_NS {
                " +1s"
            } else {
                ""
            };
            let at = format!("{}{about}", self.options.zone.time(event.at, 6));
            let say = self.text(&event.say);
            let say = match event.kind {
                EventKind::Close | EventKind::Tcp => self.look.red(&say),
                EventKind::Loss => self.look.yellow(&say),
                EventKind::Handshake => self.look.green(&say),
                EventKind::Heartbeat => self.look.dim(&say),
                EventKind::Data | EventKind::Log => say,
            };
            let line = format!(
                "  {}  {}  {}  {say}",
                pad(&at, 15),
                pad(&cut(&self.place(event.record), file_w, self.look), file_w),
                pad(&cut(&self.ends(event), ends_w, self.look), ends_w),
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// `edge.pcap#91`, `error.log:1`.
    fn place(&self, record: RecordRef) -> String {
        let between = if self.is_capture(record.source) {
            '#'
        } else {
            ':'
        };
        format!("{}{between}{}", self.file(record.source), record.ordinal)
    }
}

/// How the connection is encrypted, where nothing of it could be read.
fn sealed(c: &Connection) -> Option<&TlsView> {
    let mut all = c.legs.iter().flat_map(|l| &l.observations);
    let only = all.clone().all(|o| o.protocol == LegProtocol::Tls);
    all.find_map(|o| o.tls.as_ref()).filter(|_| only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::tests::fabricated;

    struct OneLine;

    impl RawReader for OneLine {
        fn read(&mut self, record: RecordRef) -> Raw {
            let line = format!("line {} of the log \x1b[2J", record.ordinal);
            Raw::Line {
                lines: vec![(record.ordinal, line)],
                focus: 0,
                fields: Vec::new(),
            }
        }
    }

    #[test]
    fn a_verdict_with_its_evidence() {
        let mut analysis = fabricated();
        let mut lined = analysis.connections[0].verdict.evidence[0].clone();
        lined.record = Some(analysis.connections[0].connection.events[3].record);
        lined.say = "nginx logged a time-out".into();
        analysis.connections[0].verdict.evidence.push(lined);
        let options = Options {
            look: Look::PLAIN,
            zone: Zone(3_600),
            verbose: 0,
            raw: false,
            why: true,
            paths: "incident",
        };
        let mut out = Vec::new();
        write(
            &analysis,
            &analysis.connections[0],
            &mut OneLine,
            &Redactor::none(),
            &options,
            &mut out,
        )
        .expect("writes to memory");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(!text.contains('\x1b'));
        insta::assert_snapshot!("show", text);
    }
}
