//! An `Analysis` -> one HTML file that asks for nothing else: it reads without scripts and styles, prints, and stays below 5 MB.

mod chart;
mod detail;
mod escape;

use super::groups::{
    CauseRow, answer, bare, by_cause, client, clip, closer, during, is_drop, lived, needs, plural,
    seen, short, silent, span, spans, understood,
};
use super::{Redactor, Selected, Zone};
use crate::model::{
    Analysis, Judged, Moment, SECOND_NS, Source, SourceKind, Stamp, Summary, say_duration,
};
use escape::escape;
use std::io::{self, Write};

#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub zone: Zone,
    /// How the user would name the case in a command.
    pub paths: &'a str,
    pub selected: Option<&'a Selected>,
}

/// Bytes that the drops in full may take, in all.
const DETAIL_BYTES: usize = 1_300_000;
/// Bytes that the table of all connections may take.
const ROW_BYTES: usize = 2_900_000;
/// Bytes that the tables of sources and of findings may take, each.
const LIST_BYTES: usize = 250_000;
/// Characters of one text from the input.
const LONGEST: usize = 300;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256 of the script in base 64: a browser runs this script and no other (Content Security Policy 3, 6.7).
const SCRIPT_HASH: &str = "Km0byUHR6/Cd/TJ3oV7eXx4pbrqLQNMaZGAS33n1ZFk=";

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
    let details = page.details();
    page.head(&summary, out)?;
    page.causes(&summary, &details, out)?;
    page.beside(out)?;
    page.charts(out)?;
    page.settle(out)?;
    page.drops(&details, out)?;
    page.all(&details, out)?;
    page.sources(out)?;
    page.adapted(out)?;
    page.foot(out)
}

struct Page<'a> {
    analysis: &'a Analysis,
    redactor: &'a Redactor,
    options: &'a Options<'a>,
}

/// The drops of one cause: how many there are, and the folds of those that there is room for.
struct Group {
    title: String,
    all: usize,
    ids: Vec<String>,
    html: String,
}

impl Page<'_> {
    fn text(&self, text: &str) -> String {
        escape(&clip(&self.redactor.text(text), LONGEST))
    }

    /// Text of ours with code in backticks.
    fn marked(&self, text: &str) -> String {
        let text = clip(&self.redactor.text(text), LONGEST);
        let pieces = spans(&text).into_iter().map(|(piece, code)| match code {
            true => format!("<code>{}</code>", escape(piece)),
            false => escape(piece),
        });
        pieces.collect()
    }

    fn zone(&self) -> Zone {
        self.options.zone
    }

    fn head(&self, summary: &Summary, out: &mut impl Write) -> io::Result<()> {
        let answer = answer(self.analysis, summary, self.options.selected);
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'sha256-{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{answer}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{answer}</h1>\n"
        )?;
        let mut parts: Vec<String> = span(self.analysis, self.zone(), "–").into_iter().collect();
        parts.push(understood(self.analysis));
        writeln!(out, "<p>{}</p>", escape(&parts.join(" · ")))?;
        if let Some(selected) = self.options.selected {
            writeln!(
                out,
                "<p>{} of {} shown: <code>{}</code></p>",
                selected.shown,
                plural(selected.of, "connection"),
                self.text(&selected.by)
            )?;
        }
        let what = self.redactor.what();
        let hidden: Vec<&str> = [
            (what.ips, "addresses"),
            (what.tokens, "tokens"),
            (what.payload, "payload"),
            (what.cookies, "cookies"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect();
        if !hidden.is_empty() {
            writeln!(
                out,
                "<p>Taken out: {}. The same value has the same stand-in all over this page.</p>",
                hidden.join(", ")
            )?;
        }
        writeln!(out, "</header>\n<main>")
    }

    fn causes(&self, summary: &Summary, details: &[Group], out: &mut impl Write) -> io::Result<()> {
        let groups = by_cause(self.analysis);
        writeln!(
            out,
            "<section>\n<h2>{}</h2>",
            if groups.is_empty() {
                "Nothing dropped"
            } else {
                "Why, and what fixes it"
            }
        )?;
        if !groups.is_empty() {
            let of = groups.iter().map(|g| g.1.len()).sum();
            writeln!(out, "<ol class=\"causes\">")?;
            for ((cause, all), group) in groups.iter().zip(details) {
                self.cause(&CauseRow::new(*cause, all), group, of, out)?;
            }
            writeln!(out, "</ol>")?;
        }
        let others = summary.others();
        if !others.is_empty() {
            writeln!(out, "<p>{others}.</p>")?;
        }
        writeln!(out, "</section>")
    }

    /// One cause: how often, what happened, what to do, and where to see it.
    fn cause(
        &self,
        row: &CauseRow<'_>,
        group: &Group,
        of: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let drops = group.all;
        writeln!(
            out,
            "<li><h3><span class=\"count\">{drops}</span> <span><a href=\"#{code}\">{code} {}</a> \
             <span class=\"tier\">{}</span></span></h3>{}",
            row.cause.id(),
            row.tier.name(),
            chart::share(drops, of),
            code = row.cause.code(),
        )?;
        if let Some(example) = row.example {
            writeln!(out, "<p>{}</p>", self.text(&example.verdict.sentence))?;
        }
        if let Some(fix) = row.fix {
            writeln!(
                out,
                "<p class=\"fix\"><strong>Fix:</strong> {}</p>",
                self.marked(fix)
            )?;
        }
        let mut facts = vec![format!("closed by {}", self.text(&row.closer))];
        facts.extend(row.lived.map(|ns| format!("lived {}", short(ns))));
        facts.extend(row.silent.map(|ns| format!("silent {}", short(ns))));
        if let Some(example) = row.example {
            let id = escape(&example.connection.id);
            let seen = seen(self.analysis, example);
            let (_, places) = seen.split_once(": ").unwrap_or_default();
            let lead = if drops > 1 { "for example " } else { "" };
            let colon = if places.is_empty() { "" } else { ": " };
            let link = if group.ids.contains(&example.connection.id) {
                format!("<a href=\"#{id}\">{id}</a>")
            } else {
                id
            };
            facts.push(format!("{lead}{link}{colon}{}", self.text(places)));
        }
        writeln!(out, "<p class=\"soft\">{}</p></li>", facts.join(" · "))
    }

    /// A table that scrolls by itself, up to its body; the script sorts it where `sorts`.
    fn table_head(
        &self,
        caption: &str,
        columns: &[(&str, bool)],
        sorts: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        write!(
            out,
            "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\"><table{}><caption>{caption}</caption><thead><tr>",
            if sorts { " data-sort" } else { "" }
        )?;
        for (name, number) in columns {
            let class = if *number { " class=\"n\"" } else { "" };
            write!(out, "<th scope=\"col\"{class}>{name}</th>")?;
        }
        writeln!(out, "</tr></thead><tbody>")
    }

    /// When they dropped, and how long each had been silent: what many share stands out.
    fn charts(&self, out: &mut impl Write) -> io::Result<()> {
        let drops = || self.analysis.connections.iter().filter(|j| is_drop(j));
        let silences: Vec<i64> = drops().filter_map(silent).collect();
        let moments: Vec<i64> = drops()
            .filter_map(|j| Some(j.connection.closed.or(j.connection.opened)?.at.0))
            .collect();
        let histogram = chart::histogram(&silences);
        let line = self.analysis.window.and_then(|(start, end)| {
            let offset = i64::from(self.zone().0).saturating_mul(SECOND_NS);
            // round hours are those of the zone that is shown
            let local = |ns: i64| ns.saturating_add(offset);
            let moments: Vec<i64> = moments.iter().copied().map(local).collect();
            chart::time_line(&moments, local(start.at.0), local(end.at.0))
        });
        if histogram.is_none() && line.is_none() {
            return Ok(());
        }
        writeln!(
            out,
            "<section>\n<h2>When, and after what silence</h2>\n<div class=\"charts\">"
        )?;
        if let Some(line) = line {
            let label = |ns: i64| {
                let stamp = Stamp::new(Moment(ns), SECOND_NS / 10);
                match line.step_ns {
                    s if s >= 86_400 * SECOND_NS => Zone(0).date(stamp),
                    s if s >= SECOND_NS => Zone(0).time(stamp, 0),
                    _ => Zone(0).time(Stamp::new(Moment(ns), SECOND_NS / 1_000), 3),
                }
            };
            writeln!(
                out,
                "<figure>{}<figcaption>{} by when they ended ({}), {} a bar</figcaption></figure>",
                line.svg("Drops over time", &label),
                plural(moments.len(), "drop"),
                self.zone().name(),
                say_duration(line.step_ns),
            )?;
        }
        if let Some(histogram) = &histogram {
            writeln!(
                out,
                "<figure>{}<figcaption>{} by the silence before their end. A bar that stands alone is a time-out.</figcaption></figure>",
                histogram.svg("Drops by silence before the close"),
                plural(silences.len(), "drop"),
            )?;
        }
        writeln!(out, "</div>\n</section>")
    }

    fn adapted(&self, out: &mut impl Write) -> io::Result<()> {
        let overrides = &self.analysis.adapted.overrides;
        if overrides.is_empty() {
            return Ok(());
        }
        writeln!(out, "<section>\n<h2>Overrides in force</h2>\n<ul>")?;
        for o in overrides.iter().take(1_000) {
            writeln!(out, "<li>{}</li>", self.text(&o.sentence()))?;
        }
        writeln!(out, "</ul>\n</section>")
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
        writeln!(out, "<section>\n<h2>Over many connections</h2>\n<ul>")?;
        let zone = self.zone();
        let happened = incidents.iter().map(|i| {
            let when = format!("{}: ", during(zone, i.start, i.end, "–"));
            (&i.code, &i.kind, when, &i.say, &i.fix)
        });
        let found = findings
            .iter()
            .map(|f| (&f.code, &f.kind, String::new(), &f.say, &f.fix));
        // what stands at a cause already is not said again
        let mut said: Vec<String> = by_cause(self.analysis)
            .iter()
            .filter_map(|(cause, all)| CauseRow::new(*cause, all).fix.map(bare))
            .collect();
        let (mut written, mut shown) = (0, 0);
        for (code, kind, when, say, fix) in happened.chain(found) {
            let fix = fix.first().filter(|f| !said.contains(&bare(f)));
            said.extend(fix.map(|f| bare(f)));
            let fix = fix.map_or_else(String::new, |f| {
                format!(
                    "<p class=\"fix\"><strong>Fix:</strong> {}</p>",
                    self.marked(f)
                )
            });
            let line = format!(
                "<li><strong>{} {}</strong> {when}{}{fix}</li>",
                self.text(code),
                self.text(kind),
                self.text(say)
            );
            written += line.len();
            if written > LIST_BYTES {
                break;
            }
            shown += 1;
            writeln!(out, "{line}")?;
        }
        let rest = incidents.len() + findings.len() - shown;
        if rest > 0 {
            writeln!(out, "<li>and {rest} more in the JSON report</li>")?;
        }
        writeln!(out, "</ul>\n</section>")
    }

    fn settle(&self, out: &mut impl Write) -> io::Result<()> {
        let needs = needs(self.analysis);
        if needs.is_empty() {
            return Ok(());
        }
        writeln!(out, "<section>\n<h2>What would settle the rest</h2>\n<ul>")?;
        for (need, n) in needs.iter().take(20) {
            writeln!(
                out,
                "<li>{} ({})</li>",
                self.text(need),
                plural(*n, "connection")
            )?;
        }
        writeln!(out, "</ul>\n</section>")
    }

    /// The folds, as many as there is room for, each cause with its share and at least one.
    fn details(&self) -> Vec<Group> {
        let groups = by_cause(self.analysis);
        let share = DETAIL_BYTES / groups.len().max(1);
        groups
            .into_iter()
            .map(|(cause, all)| {
                let mut group = Group {
                    title: format!(
                        "<h3 id=\"{code}\">{code} {}: {}</h3>\n<p class=\"soft\">A connection with this cause {}.</p>",
                        cause.id(),
                        plural(all.len(), "drop"),
                        cause.title(),
                        code = cause.code(),
                    ),
                    all: all.len(),
                    ids: Vec::new(),
                    html: String::new(),
                };
                for judged in all {
                    let fold = detail::fold(self, judged);
                    if !group.ids.is_empty() && group.html.len() + fold.len() > share {
                        break;
                    }
                    group.ids.push(judged.connection.id.clone());
                    group.html.push_str(&fold);
                }
                group
            })
            .collect()
    }

    fn drops(&self, groups: &[Group], out: &mut impl Write) -> io::Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "<section id=\"drops\">\n<h2>The drops and their evidence</h2>"
        )?;
        for group in groups {
            writeln!(out, "{}\n{}", group.title, group.html)?;
            let rest = group.all - group.ids.len();
            if rest > 0 {
                writeln!(
                    out,
                    "<p>{rest} more are not shown in full here, so that this page stays small. <code>wsdrop show ID {}</code> shows any of them.</p>",
                    self.text(self.options.paths)
                )?;
            }
        }
        writeln!(out, "</section>")
    }

    /// Every connection in a row, drops first.
    fn all(&self, groups: &[Group], out: &mut impl Write) -> io::Result<()> {
        let all = &self.analysis.connections;
        if all.is_empty() {
            return Ok(());
        }
        let mut shown: Vec<&str> = groups
            .iter()
            .flat_map(|g| g.ids.iter().map(String::as_str))
            .collect();
        shown.sort_unstable();
        writeln!(out, "<section id=\"all\">\n<h2>All connections</h2>")?;
        self.table_head(
            "Connections, drops first, then by time",
            &[
                ("id", false),
                ("outcome", false),
                ("cause", false),
                ("tier", false),
                ("client", false),
                ("request", false),
                ("closed by", false),
                ("closed", false),
                ("lived (s)", true),
                ("silent (s)", true),
            ],
            true,
            out,
        )?;
        let (mut written, mut rows) = (0, 0);
        let drops = all.iter().filter(|j| is_drop(j));
        for judged in drops.chain(all.iter().filter(|j| !is_drop(j))) {
            let row = self.row(judged, &shown);
            written += row.len();
            if written > ROW_BYTES {
                break;
            }
            rows += 1;
            writeln!(out, "{row}")?;
        }
        writeln!(out, "</tbody></table></div>")?;
        if rows < all.len() {
            writeln!(
                out,
                "<p>{} more are not listed here, so that this page stays small; <code>wsdrop report -f csv</code> lists them all.</p>",
                all.len() - rows
            )?;
        }
        writeln!(out, "</section>")
    }

    fn row(&self, judged: &Judged, shown: &[&str]) -> String {
        let (c, v) = (&judged.connection, &judged.verdict);
        let id = escape(&c.id);
        let id = if shown.binary_search(&c.id.as_str()).is_ok() {
            format!("<a href=\"#{id}\">{id}</a>")
        } else {
            id
        };
        let seconds = |ns: Option<i64>| {
            ns.map_or_else(String::new, |ns| {
                // what is rounded to nothing has no sign
                let ns = if ns.abs() < SECOND_NS / 2_000 { 0 } else { ns };
                format!("{:.3}", ns as f64 / SECOND_NS as f64)
            })
        };
        let (cause, tier) = v.cause.map_or_else(Default::default, |cause| {
            (format!("{} {}", cause.code(), cause.id()), v.tier.name())
        });
        let request = c
            .request
            .uri
            .as_deref()
            .map(|u| escape(&clip(&self.redactor.text(u), 80)));
        format!(
            "<tr><th scope=\"row\">{id}</th><td>{}</td><td>{cause}</td><td>{tier}</td><td>{}</td><td class=\"u\">{}</td><td class=\"u\">{}</td><td class=\"t\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            v.outcome.name(),
            escape(&client(judged, self.redactor)),
            request.unwrap_or_default(),
            escape(&clip(&self.redactor.text(&closer(judged)), 40)),
            self.when(c.closed),
            seconds(lived(judged)),
            seconds(silent(judged)),
        )
    }

    fn when(&self, stamp: Option<Stamp>) -> String {
        stamp.map_or_else(String::new, |s| {
            format!("{} {}", self.zone().date(s), self.zone().time(s, 3))
        })
    }

    fn sources(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "<section>\n<h2>What was read</h2>")?;
        self.table_head(
            "Files",
            &[
                ("file", false),
                ("read as", false),
                ("first", false),
                ("last", false),
                ("records", true),
                ("not understood", true),
                ("note", false),
            ],
            false,
            out,
        )?;
        let mut written = 0;
        for (n, source) in self.analysis.sources.iter().enumerate() {
            let Source {
                path,
                kind,
                records,
                odd,
                first,
                last,
                reason,
                anomalies,
                ..
            } = source;
            let mut notes: Vec<String> = reason
                .iter()
                .filter(|_| *kind != SourceKind::KeyLog)
                .map(|r| self.text(r))
                .collect();
            for a in anomalies
                .iter()
                .filter(|a| reason.as_ref() != Some(&a.note))
            {
                let note = if a.note.is_empty() {
                    String::new()
                } else {
                    format!(": {}", a.note)
                };
                notes.push(self.text(&format!("{}, {} times{note}", a.kind, a.count)));
            }
            let row = format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{records}</td><td class=\"n\">{odd}</td><td>{}</td></tr>",
                escape(&clip(path, LONGEST)),
                kind.name(),
                self.when(*first),
                self.when(*last),
                notes.join("; "),
            );
            written += row.len();
            if written > LIST_BYTES {
                let rest = self.analysis.sources.len() - n;
                writeln!(
                    out,
                    "<tr><td colspan=\"7\">and {rest} more in the JSON report</td></tr>"
                )?;
                break;
            }
            writeln!(out, "{row}")?;
        }
        writeln!(out, "</tbody></table></div>\n</section>")
    }

    fn foot(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "</main>\n<footer>\n<p class=\"soft\">wsdrop {}, rules {}. Times are {}. The same again: <code>{}</code></p>\n\
             </footer>\n<script>{SCRIPT}</script>\n</body>\n</html>",
            env!("CARGO_PKG_VERSION"),
            self.text(&self.analysis.rules),
            self.zone().name(),
            self.text(&super::again(self.options.paths, self.options.selected))
        )
    }
}

#[cfg(test)]
mod tests;
