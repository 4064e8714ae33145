//! An `Analysis` -> Markdown for the incident channel: the answer first, the causes, the first drop of each with its evidence, the sources.

use super::groups::{
    CauseRow, answer, bare, by_cause, client, clip, closer, during, lived, needs, place, plural,
    short, silent, span, spans, understood,
};
use super::{Redactor, Selected, Zone};
use crate::model::{
    Analysis, Judged, RivalVerdict, Source, SourceKind, Summary, inert, say_duration,
};
use std::io::{self, Write};

#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub zone: Zone,
    /// Causes shown, and drops shown in full; 0 = all causes.
    pub top: usize,
    /// How the user would name the case in a command.
    pub paths: &'a str,
    pub selected: Option<&'a Selected>,
}

/// Drops shown with their evidence, one of each cause.
const SHOWN: usize = 5;
/// Evidence shown of one drop.
const EVIDENCE: usize = 4;
/// Rivals and fixes shown of one drop, and rows of the lists below.
const LINES: usize = 6;
/// Characters of one text from the input.
const LONGEST: usize = 400;

pub fn write(
    analysis: &Analysis,
    redactor: &Redactor,
    options: &Options<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let page = Page {
        analysis,
        redactor,
        options,
    };
    let summary = analysis.summary();
    page.head(&summary, out)?;
    page.causes(&summary, false, out)?;
    page.first_of_each(out)?;
    page.beside(out)?;
    page.settle(out)?;
    page.sources(out)?;
    page.foot(out)
}

/// The causes as a table alone, with what stands above it: for a summary page.
pub fn write_summary(
    analysis: &Analysis,
    redactor: &Redactor,
    options: &Options<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let page = Page {
        analysis,
        redactor,
        options,
    };
    let summary = analysis.summary();
    page.head(&summary, out)?;
    page.causes(&summary, true, out)?;
    page.beside(out)?;
    page.adapted(out)
}

struct Page<'a> {
    analysis: &'a Analysis,
    redactor: &'a Redactor,
    options: &'a Options<'a>,
}

impl Page<'_> {
    fn text(&self, text: &str) -> String {
        escape(&clip(&self.redactor.text(text), LONGEST))
    }

    /// Text of ours with code in backticks; for where a bar is no border of a cell.
    fn marked(&self, text: &str) -> String {
        let text = clip(&self.redactor.text(text), LONGEST);
        let pieces = spans(&text).into_iter().map(|(piece, code)| match code {
            // What is nothing but blanks, or begins or ends with one, makes no span that reads as written.
            true if piece.trim() == piece => format!("`{}`", inert(piece)),
            _ => escape(piece),
        });
        pieces.collect()
    }

    fn head(&self, summary: &Summary, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "## {}\n",
            answer(self.analysis, summary, self.options.selected)
        )?;
        let mut parts: Vec<String> = span(self.analysis, self.options.zone, "–")
            .into_iter()
            .collect();
        parts.push(understood(self.analysis));
        writeln!(out, "{}", parts.join(" · "))?;
        if let Some(selected) = self.options.selected {
            writeln!(
                out,
                "\n{} of {} shown: {}",
                selected.shown,
                plural(selected.of, "connection"),
                self.text(&selected.by)
            )?;
        }
        Ok(())
    }

    fn causes(&self, summary: &Summary, fixes: bool, out: &mut impl Write) -> io::Result<()> {
        let groups = by_cause(self.analysis);
        let shown = match self.options.top {
            0 => groups.len(),
            top => top.min(groups.len()),
        };
        // where the drops follow, each with its fix, the table stays narrow: a chat shows it as it is written
        let (fix_head, fix_line) = if fixes { (" fix |", "---|") } else { ("", "") };
        if shown > 0 {
            writeln!(
                out,
                "\n| cause | drops | tier | closed by | lived | silent |{fix_head}\n|---|---:|---|---|---:|---:|{fix_line}"
            )?;
        }
        for (cause, all) in groups.iter().take(shown) {
            let row = CauseRow::new(*cause, all);
            let fix = if fixes {
                format!(" {} |", row.fix.map(|f| self.text(f)).unwrap_or_default())
            } else {
                String::new()
            };
            writeln!(
                out,
                "| {} {} | {} | {} | {} | {} | {} |{fix}",
                cause.code(),
                cause.id(),
                all.len(),
                row.tier.name(),
                self.text(&row.closer),
                row.lived.map(short).unwrap_or_default(),
                row.silent.map(short).unwrap_or_default(),
            )?;
        }
        if shown < groups.len() {
            let rest: usize = groups.iter().skip(shown).map(|(_, all)| all.len()).sum();
            writeln!(
                out,
                "\nAnd {} more with {}.",
                plural(groups.len() - shown, "cause"),
                plural(rest, "drop")
            )?;
        }
        let others = summary.others();
        if !others.is_empty() {
            writeln!(out, "\n{others}.")?;
        }
        Ok(())
    }

    fn first_of_each(&self, out: &mut impl Write) -> io::Result<()> {
        let groups = by_cause(self.analysis);
        let most = match self.options.top {
            0 => SHOWN,
            top => top.min(SHOWN),
        };
        if groups.is_empty() {
            return Ok(());
        }
        for (cause, all) in groups.iter().take(most) {
            let row = CauseRow::new(*cause, all);
            if let Some(judged) = row.example {
                self.cause(&row, all.len(), judged, out)?;
            }
        }
        Ok(())
    }

    /// One cause: what happened and what to do first, then the drop that stands for all, its evidence, what it was not.
    fn cause(
        &self,
        row: &CauseRow<'_>,
        drops: usize,
        judged: &Judged,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (c, v) = (&judged.connection, &judged.verdict);
        writeln!(
            out,
            "\n### {} × {} {}, {}\n",
            drops,
            row.cause.code(),
            row.cause.id(),
            row.tier.name()
        )?;
        writeln!(out, "{}\n", self.text(&v.sentence))?;
        for fix in v.fix.iter().take(LINES) {
            writeln!(out, "- **Fix:** {}", self.marked(fix))?;
        }
        let mut facts = vec![escape(&client(judged, self.redactor))];
        facts.extend(c.request.uri.iter().map(|uri| self.code(uri)));
        if let Some(closed) = c.closed {
            let zone = self.options.zone;
            facts.push(format!("closed {} {}", zone.time(closed, 3), zone.name()));
        }
        facts.push(format!("by {}", self.text(&closer(judged))));
        facts.extend(lived(judged).map(|ns| format!("lived {}", say_duration(ns))));
        facts.extend(silent(judged).map(|ns| format!("silent {}", say_duration(ns))));
        let alone = if drops > 1 { "for example " } else { "" };
        writeln!(out, "- **Seen:** {alone}`{}`: {}", c.id, facts.join(" · "))?;
        let said = v.evidence.iter().take(EVIDENCE);
        for evidence in said {
            let lead = if evidence.supports { "" } else { "against: " };
            let at = evidence.record.map_or_else(String::new, |record| {
                format!(", {}", self.code(&place(self.analysis, record)))
            });
            writeln!(
                out,
                "  - {lead}{} ({}){at}",
                self.text(&evidence.say),
                evidence.strength.name()
            )?;
        }
        if v.evidence.len() > EVIDENCE {
            writeln!(out, "  - and {} more", v.evidence.len() - EVIDENCE)?;
        }
        let ruled_out: Vec<String> = v
            .rivals
            .iter()
            .filter(|r| r.verdict == RivalVerdict::RuledOut)
            .take(LINES)
            .map(|r| format!("{} ({})", r.cause.id(), self.text(&r.why)))
            .collect();
        if !ruled_out.is_empty() {
            writeln!(out, "- **Ruled out:** {}", ruled_out.join("; "))?;
        }
        let open: Vec<String> = v
            .untestable
            .iter()
            .take(LINES)
            .map(|u| format!("{} (needs {})", u.cause.id(), self.marked(&u.needs)))
            .collect();
        if !open.is_empty() {
            writeln!(out, "- **Not testable:** {}", open.join("; "))?;
        }
        Ok(())
    }

    /// Text as a code span: nothing in it is marked up, mentions anybody or becomes a link.
    fn code(&self, text: &str) -> String {
        let text = inert(&clip(&self.redactor.text(text), LONGEST)).replace('`', "'");
        if text.trim().is_empty() {
            return text;
        }
        format!("`{text}`")
    }

    fn more(&self, all: usize, out: &mut impl Write) -> io::Result<()> {
        if all > LINES {
            writeln!(out, "- and {} more", all - LINES)?;
        }
        Ok(())
    }

    fn adapted(&self, out: &mut impl Write) -> io::Result<()> {
        let overrides = &self.analysis.adapted.overrides;
        if overrides.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n### Overrides in force\n")?;
        for o in overrides.iter().take(LINES) {
            writeln!(out, "- {}", self.text(&o.sentence()))?;
        }
        self.more(overrides.len(), out)
    }

    fn beside(&self, out: &mut impl Write) -> io::Result<()> {
        let Analysis {
            incidents,
            findings,
            ..
        } = self.analysis;
        if incidents.is_empty() && findings.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n### Over many connections\n")?;
        let zone = self.options.zone;
        let happened = incidents.iter().map(|i| {
            let when = format!("{}: ", during(zone, i.start, i.end, "–"));
            (&i.code, &i.kind, when, &i.say, &i.fix)
        });
        let found = findings
            .iter()
            .map(|f| (&f.code, &f.kind, String::new(), &f.say, &f.fix));
        let most = if self.options.top == 0 {
            usize::MAX
        } else {
            self.options.top
        };
        // what stands at a cause already is not said again
        let mut said: Vec<String> = by_cause(self.analysis)
            .iter()
            .filter_map(|(cause, all)| CauseRow::new(*cause, all).fix.map(bare))
            .collect();
        for (code, kind, when, say, fix) in happened.chain(found).take(most) {
            let fix = fix.first().filter(|f| !said.contains(&bare(f)));
            said.extend(fix.map(|f| bare(f)));
            let fix = fix.map_or_else(String::new, |f| format!(" **Fix:** {}", self.marked(f)));
            writeln!(
                out,
                "- **{} {}** {when}{}{fix}",
                self.text(code),
                self.text(kind),
                self.text(say)
            )?;
        }
        let all = incidents.len() + findings.len();
        if all > most {
            writeln!(out, "- and {} more", all - most)?;
        }
        Ok(())
    }

    fn settle(&self, out: &mut impl Write) -> io::Result<()> {
        let needs = needs(self.analysis);
        if needs.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n### What would settle the rest\n")?;
        for (need, n) in needs.iter().take(LINES) {
            writeln!(out, "- {} ({})", self.text(need), plural(*n, "connection"))?;
        }
        self.more(needs.len(), out)
    }

    fn sources(&self, out: &mut impl Write) -> io::Result<()> {
        let zone = self.options.zone;
        writeln!(
            out,
            "\n### Sources\n\n| file | read as | first | last | records | odd | note |\n|---|---|---|---|---:|---:|---|"
        )?;
        for source in &self.analysis.sources {
            let Source {
                path,
                kind,
                records,
                odd,
                first,
                last,
                ..
            } = source;
            let when = |stamp: &Option<crate::model::Stamp>| {
                stamp.map_or_else(String::new, |s| zone.time(s, 3))
            };
            writeln!(
                out,
                "| {} | {} | {} | {} | {records} | {odd} | {} |",
                escape(&clip(path, LONGEST)),
                kind.name(),
                when(first),
                when(last),
                self.text(&note(source))
            )?;
        }
        Ok(())
    }

    fn foot(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "\nwsdrop {}, rules {}. Times are {}. The same again: {}",
            env!("CARGO_PKG_VERSION"),
            escape(&self.analysis.rules),
            self.options.zone.name(),
            self.code(&super::again(self.options.paths, self.options.selected))
        )
    }
}

/// Why a source gave nothing, or not all.
fn note(source: &Source) -> String {
    match (&source.reason, source.anomalies.first()) {
        (Some(reason), _) if source.kind != SourceKind::KeyLog => reason.clone(),
        (_, Some(a)) if a.note.is_empty() => format!("{}, {} times", a.kind, a.count),
        (_, Some(a)) => format!("{}, {} times: {}", a.kind, a.count, a.note),
        _ => String::new(),
    }
}

/// Text as Markdown shows it and never obeys it (CommonMark 2.4, and the autolinks, tables and strike-through of GitHub).
pub(super) fn escape(text: &str) -> String {
    let text = inert(text);
    let mut out = String::with_capacity(text.len() + 16);
    let mut before: Option<char> = None;
    let mut rest = text.chars().peekable();
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = number.len() < text.len()
        && number
            .strip_prefix(['.', ')'])
            .is_some_and(|r| r.is_empty() || r.starts_with(' '));
    let mut lead = numbered;
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '#' | '@' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // inside a word it emphasises nothing
            '_' if !(word(before) && word(next)) => out.push_str("\\_"),
            // a list, or a heading's underline
            '-' | '+' | '=' if before.is_none() => {
                out.push('\\');
                out.push(c);
            }
            '.' | ')' if lead => {
                lead = false;
                out.push('\\');
                out.push(c);
            }
            // what would become a link of its own
            ':' if next == Some('/') => out.push_str("\\:"),
            '.' if out.to_ascii_lowercase().ends_with("www") => out.push_str("\\."),
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::tests::fabricated;

    #[test]
    fn text_stays_text() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(escape(text), expected);
        }
        check("proxy_read_timeout 60 s;", "proxy_read_timeout 60 s;");
        check("_it_ __b__", "\\_it\\_ \\_\\_b\\_\\_");
        check("<script>&amp;", "&lt;script&gt;&amp;amp;");
        check(
            "[a](javascript:x) ![i](y)",
            "\\[a\\](javascript:x) !\\[i\\](y)",
        );
        check(
            "`x` | y ~~z~~ **b**",
            "\\`x\\` \\| y \\~\\~z\\~\\~ \\*\\*b\\*\\*",
        );
        check("https://evil.example", "https\\://evil.example");
        check("WWW.evil.example", "WWW\\.evil.example");
        check("- item", "\\- item");
        check("12. item", "12\\. item");
        check("a\n# b", "a␊\\# b");
        check("@here \x1b[2J", "\\@here ␛\\[2J");
        check("60.0 s", "60.0 s");
    }

    #[test]
    fn the_whole_page() {
        let options = Options {
            zone: Zone(0),
            top: 10,
            paths: "incident",
            selected: None,
        };
        let mut out = Vec::new();
        write(&fabricated(), &Redactor::none(), &options, &mut out).expect("writes to memory");
        insta::assert_snapshot!("markdown", String::from_utf8(out).expect("UTF-8"));
    }
}
