//! An `Analysis` -> the answer on one screen: how many dropped, by which cause, closed by whom, and what fixes it.

use super::groups::{
    CauseRow, answer, bare, by_cause, client, during, needs, plural, seen, short, span, understood,
};
use super::style::{cut, pad, pad_left, wrap};
use super::{Look, Redactor, Selected, Zone, width_of};
use crate::model::{
    Analysis, Anomaly, Judged, RivalVerdict, Source, SourceKind, Summary, say_duration,
};
use std::collections::BTreeMap;
use std::io::{self, Write};

#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub look: Look,
    pub zone: Zone,
    /// Causes shown; 0 = all.
    pub top: usize,
    /// 0 = the answer; 1 = every drop below its cause and every odd thing.
    pub verbose: u8,
    /// The first line only.
    pub quiet: bool,
    /// How the user would name the case in a command.
    pub paths: &'a str,
    /// What of the case is shown, where that is not all of it.
    pub selected: Option<&'a Selected>,
}

pub fn write(
    analysis: &Analysis,
    redactor: &Redactor,
    options: &Options<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let page = Page {
        analysis,
        redactor,
        look: options.look,
        options,
    };
    let summary = analysis.summary();
    page.head(&summary, out)?;
    if options.quiet {
        return Ok(());
    }
    if summary.drops + summary.failed_handshakes > 0 {
        page.causes(out)?;
    } else {
        page.nothing(&summary, out)?;
    }
    page.settle(out)?;
    page.beside(out)?;
    page.not_understood(out)?;
    page.adapted(out)?;
    page.next(&summary, out)
}

struct Page<'a> {
    analysis: &'a Analysis,
    redactor: &'a Redactor,
    look: Look,
    options: &'a Options<'a>,
}

impl Page<'_> {
    fn text(&self, text: &str) -> String {
        self.look.text(&self.redactor.text(text))
    }

    fn head(&self, summary: &Summary, out: &mut impl Write) -> io::Result<()> {
        let dot = self.look.mark(" · ", " | ");
        let Summary {
            connections,
            drops,
            failed_handshakes,
            ..
        } = *summary;
        let answer = answer(self.analysis, summary, self.options.selected);
        let stalled = !crate::model::stalled(&self.analysis.findings).is_empty();
        let bad = drops + failed_handshakes > 0 || stalled;
        let wide = width_of(&answer);
        let answer = if bad || connections == 0 || summary.untold > 0 {
            self.look.bold(&answer)
        } else {
            self.look.green(&answer)
        };
        let dash = self.look.mark("–", "-");
        let mut about: Vec<String> = span(self.analysis, self.options.zone, dash)
            .into_iter()
            .collect();
        about.push(understood(self.analysis));
        let about = about.join(dot);
        if self.options.quiet || wide + width_of(dot) + width_of(&about) <= self.look.width {
            writeln!(out, "{answer}{dot}{about}")?;
        } else {
            writeln!(out, "{answer}")?;
            for line in wrap(&about, self.look.width) {
                writeln!(out, "{}", self.look.dim(&line))?;
            }
        }
        if let Some(selected) = self.options.selected.filter(|_| !self.options.quiet) {
            writeln!(
                out,
                "{}",
                self.look.dim(&self.text(&format!(
                    "{} of {} shown: {}",
                    selected.shown,
                    plural(selected.of, "connection"),
                    selected.by
                )))
            )?;
        }
        Ok(())
    }

    fn causes(&self, out: &mut impl Write) -> io::Result<()> {
        let groups = by_cause(self.analysis);
        let shown = if self.options.top == 0 {
            groups.len()
        } else {
            self.options.top.min(groups.len())
        };
        let rows: Vec<CauseRow> = groups
            .iter()
            .take(shown)
            .map(|(cause, all)| CauseRow::new(*cause, all))
            .collect();
        let name_w = rows
            .iter()
            .map(|r| width_of(r.cause.id()))
            .max()
            .unwrap_or(0)
            + 5;
        let closer_w = rows
            .iter()
            .map(|r| width_of(&self.text(&r.closer)))
            .max()
            .unwrap_or(0)
            .clamp(9, 16);
        let heading = format!(
            "  {}  drops  {}  {}  {}  {}",
            pad("cause", name_w),
            pad("tier", 9),
            pad("closed by", closer_w),
            pad_left("lived", 8),
            pad_left("silent", 8),
        );
        writeln!(out, "\n{}", self.look.dim(heading.trim_end()))?;
        for (row, (_, all)) in rows.iter().zip(&groups) {
            let name = format!("{} {}", row.cause.code(), row.cause.id());
            let line = format!(
                "{} {}  {}  {}  {}  {}  {}",
                self.look.tier(row.tier),
                self.look.bold(&pad(&name, name_w)),
                pad_left(&all.len().to_string(), 5),
                pad(row.tier.name(), 9),
                pad(&cut(&self.text(&row.closer), closer_w, self.look), closer_w),
                pad_left(&row.lived.map(short).unwrap_or_default(), 8),
                pad_left(&row.silent.map(short).unwrap_or_default(), 8),
            );
            writeln!(out, "{}", line.trim_end())?;
            if let Some(example) = row.example {
                let v = &example.verdict;
                self.said("why", &self.text(&v.sentence), out)?;
                self.said("see", &self.text(&seen(self.analysis, example)), out)?;
            }
            if let Some(fix) = row.fix {
                self.said("fix", &self.text(fix), out)?;
            }
            if self.options.verbose > 0 {
                for judged in all {
                    self.drop_line(judged, out)?;
                }
            }
        }
        if shown < groups.len() {
            let rest: usize = groups.iter().skip(shown).map(|(_, all)| all.len()).sum();
            let more = format!(
                "  and {} more with {}: --top 0",
                plural(groups.len() - shown, "cause"),
                plural(rest, "drop")
            );
            writeln!(out, "{}", self.look.dim(&more))?;
        }
        let others = self.analysis.summary().others();
        if others.is_empty() {
            return Ok(());
        }
        let rest = format!("  {others}");
        writeln!(out, "{}", self.look.dim(&rest))
    }

    /// `      fix  what to do`, below the row it belongs to.
    fn said(&self, word: &str, text: &str, out: &mut impl Write) -> io::Result<()> {
        let lines = wrap(text, self.look.width.saturating_sub(11));
        for (n, line) in lines.iter().filter(|l| !l.is_empty()).enumerate() {
            let word = if n == 0 { word } else { "" };
            writeln!(out, "      {}  {line}", self.look.dim(&pad(word, 3)))?;
        }
        Ok(())
    }

    fn drop_line(&self, judged: &Judged, out: &mut impl Write) -> io::Result<()> {
        let c = &judged.connection;
        let when = c
            .closed
            .or(c.opened)
            .map(|s| self.options.zone.time(s, 3))
            .unwrap_or_default();
        let line = format!(
            "    {}  {}  {}  {}",
            self.look.cyan(&c.id),
            pad(&when, 12),
            pad(&client(judged, self.redactor), 21),
            cut(
                &self.text(&judged.verdict.sentence),
                self.look.width.saturating_sub(52).max(20),
                self.look
            ),
        );
        writeln!(out, "{}", line.trim_end())
    }

    /// The evidence that would settle what is open, most asked for first.
    fn settle(&self, out: &mut impl Write) -> io::Result<()> {
        let needs = needs(self.analysis);
        if needs.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", self.look.bold("What would settle the rest"))?;
        for (need, n) in needs.iter().take(if self.options.verbose > 0 {
            usize::MAX
        } else {
            3
        }) {
            let said = format!("{} ({})", self.text(need), plural(*n, "connection"));
            for (n, line) in wrap(&said, self.look.width.saturating_sub(4))
                .iter()
                .enumerate()
            {
                let indent = if n == 0 { "  " } else { "    " };
                writeln!(out, "{indent}{line}")?;
            }
        }
        Ok(())
    }

    /// Nothing dropped: what was looked at, so that the silence means something.
    fn nothing(&self, summary: &Summary, out: &mut impl Write) -> io::Result<()> {
        let sources = &self.analysis.sources;
        if summary.connections > 0 {
            writeln!(out, "\n{}", self.look.bold("What was checked"))?;
            writeln!(out, "  {}", summary.others())?;
        }
        let mut kinds: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for source in sources.iter().filter(|s| s.used > 0) {
            let kind = kinds.entry(source.kind.name()).or_insert((0, 0));
            kind.0 += 1;
            kind.1 += source.used;
        }
        for (kind, (files, records)) in kinds {
            writeln!(
                out,
                "  {kind}: {}, {}",
                plural(files, "file"),
                plural(records as usize, "record")
            )?;
        }
        if summary.connections == 0 && self.options.selected.is_none() {
            writeln!(
                out,
                "  Nothing here asked for an upgrade to WebSocket or spoke it."
            )?;
        }
        Ok(())
    }

    /// Incidents, and findings that are no drop.
    fn beside(&self, out: &mut impl Write) -> io::Result<()> {
        let Analysis {
            incidents,
            findings,
            ..
        } = self.analysis;
        if incidents.is_empty() && findings.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", self.look.bold("Over many connections"))?;
        let name_w = incidents
            .iter()
            .map(|i| i.kind.len())
            .chain(findings.iter().map(|f| f.kind.len()))
            .max()
            .unwrap_or(0);
        let lines = incidents
            .iter()
            .map(|i| (&i.code, &i.kind, &i.say, &i.fix, Some((i.start, i.end))))
            .chain(
                findings
                    .iter()
                    .map(|f| (&f.code, &f.kind, &f.say, &f.fix, None)),
            );
        let limit = if self.options.verbose > 0 {
            usize::MAX
        } else {
            8
        };
        let all = incidents.len() + findings.len();
        // what stands below a cause already is not said again
        let mut said: Vec<String> = by_cause(self.analysis)
            .iter()
            .filter_map(|(cause, all)| CauseRow::new(*cause, all).fix.map(bare))
            .collect();
        for (code, kind, say, fix, span) in lines.take(limit) {
            let when = span.map_or_else(String::new, |(start, end)| {
                let dash = self.look.mark("–", "-");
                format!("{}: ", during(self.options.zone, start, end, dash))
            });
            let indent = 2 + 4 + 1 + name_w + 2;
            let lines = wrap(
                &self.text(&format!("{when}{say}")),
                self.look.width.saturating_sub(indent),
            );
            let mut lines = lines.iter();
            writeln!(
                out,
                "  {} {}  {}",
                self.look.yellow(&self.text(code)),
                pad(&self.text(kind), name_w),
                lines.next().map_or("", String::as_str)
            )?;
            for more in lines {
                writeln!(out, "{}{more}", " ".repeat(indent))?;
            }
            let fix = fix.first().filter(|f| !said.contains(&bare(f)));
            if let Some(fix) = fix {
                said.push(bare(fix));
                for (n, line) in wrap(&self.text(fix), self.look.width.saturating_sub(indent + 5))
                    .iter()
                    .enumerate()
                {
                    let lead = if n == 0 { "fix: " } else { "     " };
                    writeln!(out, "{}{lead}{line}", " ".repeat(indent))?;
                }
            }
        }
        if all > limit {
            writeln!(
                out,
                "{}",
                self.look.dim(&format!("  and {} more: -v", all - limit))
            )?;
        }
        Ok(())
    }

    /// Files and records that gave nothing, each with its reason.
    fn not_understood(&self, out: &mut impl Write) -> io::Result<()> {
        let lines: Vec<(String, String)> = self
            .analysis
            .sources
            .iter()
            .flat_map(|s| self.complaints(s))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", self.look.bold("Not everything was understood"))?;
        let limit = if self.options.verbose > 0 {
            usize::MAX
        } else {
            8
        };
        let name_w = lines
            .iter()
            .take(limit)
            .map(|(name, _)| width_of(name))
            .max()
            .unwrap_or(0)
            .min(40);
        for (name, say) in lines.iter().take(limit) {
            let room = self.look.width.saturating_sub(name_w + 4);
            let mut said = wrap(say, room).into_iter();
            let first = said.next().unwrap_or_default();
            writeln!(
                out,
                "  {}  {first}",
                pad(&cut(name, name_w, self.look), name_w)
            )?;
            for more in said {
                writeln!(out, "  {}  {more}", " ".repeat(name_w))?;
            }
        }
        if lines.len() > limit {
            writeln!(
                out,
                "{}",
                self.look.dim(&format!(
                    "  and {} more: wsdrop sources {}",
                    lines.len() - limit,
                    self.options.paths
                ))
            )?;
        }
        Ok(())
    }

    /// The user's own overrides, each with its reason: nobody should take a report for the plain one.
    fn adapted(&self, out: &mut impl Write) -> io::Result<()> {
        let overrides = &self.analysis.adapted.overrides;
        if overrides.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", self.look.bold("Overrides in force"))?;
        for o in overrides {
            let line = wrap(&self.text(&o.sentence()), self.look.width.saturating_sub(4));
            for (n, row) in line.iter().enumerate() {
                let indent = if n == 0 { "  " } else { "    " };
                writeln!(out, "{indent}{row}")?;
            }
        }
        Ok(())
    }

    fn complaints(&self, source: &Source) -> Vec<(String, String)> {
        let name = self.text(&source.path);
        let mut all = Vec::new();
        if let Some(reason) = &source.reason
            && source.kind != SourceKind::KeyLog
        {
            all.push((name.clone(), self.text(reason)));
        }
        let quiet = |a: &&Anomaly| source.reason.as_ref() != Some(&a.note);
        if source.odd > 0 && source.anomalies.is_empty() && source.reason.is_none() {
            let say = format!(
                "{} of {} not understood",
                source.odd,
                plural(source.records as usize, "record")
            );
            all.push((name.clone(), say));
        }
        let shown = if self.options.verbose > 0 {
            usize::MAX
        } else {
            2
        };
        for anomaly in source.anomalies.iter().filter(quiet).take(shown) {
            let Anomaly {
                kind,
                count,
                first_record,
                note,
                records: _,
            } = anomaly;
            let at = match (first_record, source.kind.is_capture()) {
                (0, _) => String::new(),
                (n, true) => format!(", first at packet {n}"),
                (n, false) => format!(", first at line {n}"),
            };
            let note = if note.is_empty() {
                String::new()
            } else {
                format!(": {note}")
            };
            all.push((
                name.clone(),
                self.text(&format!("{kind}, {count} times{at}{note}")),
            ));
        }
        all
    }

    fn next(&self, summary: &Summary, out: &mut impl Write) -> io::Result<()> {
        let paths = self.look.text(self.options.paths);
        let dot = self.look.mark(" · ", " | ");
        let mut next = Vec::new();
        let groups = by_cause(self.analysis);
        if let Some((cause, all)) = groups.first() {
            if let Some(first) = all.first() {
                next.push(format!("wsdrop show {} {paths}", first.connection.id));
            }
            next.push(format!("wsdrop explain {}", cause.code()));
            next.push("-f json for scripts".to_owned());
        } else if summary.connections == 0 {
            next.push(format!("wsdrop sources {paths}"));
        }
        if next.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n{}",
            self.look.dim(&format!("Next: {}", next.join(dot)))
        )
    }
}

/// `W201 missed-heartbeat (no ping was sent)` for each rival of this kind.
pub(super) fn rivals(judged: &Judged, verdict: RivalVerdict) -> Vec<String> {
    judged
        .verdict
        .rivals
        .iter()
        .filter(|r| r.verdict == verdict)
        .map(|r| format!("{} {} ({})", r.cause.code(), r.cause.id(), r.why))
        .collect()
}

/// As `say_duration`, or a dash where it is not known.
pub(super) fn maybe_duration(ns: Option<i64>) -> String {
    ns.map_or_else(|| "unknown".to_owned(), say_duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::tests::fabricated;

    fn printed(analysis: &Analysis, look: Look, verbose: u8) -> String {
        let options = Options {
            look,
            zone: Zone(0),
            top: 5,
            verbose,
            quiet: false,
            paths: "incident",
            selected: None,
        };
        let mut out = Vec::new();
        write(analysis, &Redactor::none(), &options, &mut out).expect("writes to memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn the_answer_on_one_screen() {
        insta::assert_snapshot!(
            "wide",
            printed(
                &fabricated(),
                Look {
                    width: 120,
                    ..Look::PLAIN
                },
                0
            )
        );
        insta::assert_snapshot!(
            "narrow-ascii",
            printed(
                &fabricated(),
                Look {
                    width: 60,
                    ascii: true,
                    color: false
                },
                1
            )
        );
    }

    #[test]
    fn nothing_dropped_says_what_was_checked() {
        let mut analysis = fabricated();
        analysis.connections.remove(0);
        analysis.incidents.clear();
        analysis.findings.clear();
        insta::assert_snapshot!("none-dropped", printed(&analysis, Look::PLAIN, 0));
    }

    #[test]
    fn no_line_is_wider_than_asked_and_none_is_alive() {
        let mut analysis = fabricated();
        analysis.connections[0].verdict.fix = vec!["\x1b[31mred\u{202e} ".repeat(30).into()];
        for width in [80, 100, 140] {
            let text = printed(
                &analysis,
                Look {
                    width,
                    ..Look::PLAIN
                },
                0,
            );
            assert!(!text.contains('\x1b') && !text.contains('\u{202e}'));
            for line in text.lines().skip(1).filter(|l| !l.starts_with("Next:")) {
                assert!(
                    width_of(line) <= width,
                    "{} > {width}: {line}",
                    width_of(line)
                );
            }
        }
    }
}
