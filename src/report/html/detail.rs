//! One drop -> a fold with its facts, its evidence, the other causes, the fix and the time line.

use super::Page;
use super::escape::escape;
use crate::model::{Event, Judged, Outcome, SECOND_NS, say_duration};
use crate::report::groups::{client, closer, place};
use std::fmt::Write;

/// Rows of one table of a drop.
const ROWS: usize = 12;
/// Events shown from the start and from the end of the time line.
const FIRST: usize = 6;
const LAST: usize = 12;
/// A silence longer than this has a row of its own.
const GAP_NS: i64 = 2 * SECOND_NS;

/// The whole fold; its id is the connection's.
pub(super) fn fold(page: &Page<'_>, judged: &Judged) -> String {
    let (c, v) = (&judged.connection, &judged.verdict);
    let mut out = format!(
        "<details id=\"{id}\"><summary><code>{id}</code> {} ({}): {}</summary>\n",
        escape(&client(judged, page.redactor)),
        v.tier.name(),
        page.text(&v.sentence),
        id = escape(&c.id),
    );
    for fix in v.fix.iter().take(ROWS) {
        let fix = page.marked(fix);
        let _ = writeln!(out, "<p class=\"fix\"><strong>Fix:</strong> {fix}</p>");
    }
    facts(page, judged, &mut out);
    evidence(page, judged, &mut out);
    rivals(page, judged, &mut out);
    time_line(page, judged, &mut out);
    out.push_str("</details>\n");
    out
}

fn facts(page: &Page<'_>, judged: &Judged, out: &mut String) {
    let (c, v) = (&judged.connection, &judged.verdict);
    let when = |stamp: Option<crate::model::Stamp>| {
        stamp.map_or_else(
            || "unknown".to_owned(),
            |s| format!("{} {}", page.zone().date(s), page.zone().time(s, 6)),
        )
    };
    let path: Vec<String> = c
        .hops
        .iter()
        .map(|hop| match hop.address {
            Some(ip) => format!("{} {}", page.text(&hop.name), page.redactor.ip(ip)),
            None => page.text(&hop.name),
        })
        .collect();
    let uri = c.request.uri.as_deref().unwrap_or("unknown");
    let status = c
        .request
        .status
        .map_or_else(|| "no answer seen".to_owned(), |s| s.to_string());
    let closed = if v.outcome == Outcome::Open {
        "still open".to_owned()
    } else {
        when(c.closed)
    };
    let duration = |ns: Option<i64>| ns.map_or_else(|| "unknown".to_owned(), say_duration);
    let mut rows = vec![
        ("path", path.join(" → ")),
        ("request", format!("{} ({status})", page.text(uri))),
        ("opened", when(c.opened)),
        ("closed", closed),
        ("closed by", page.text(&closer(judged))),
    ];
    // A handshake that failed never stood.
    if v.outcome != Outcome::FailedHandshake {
        rows.push(("lived", duration(c.duration_ns())));
        rows.push(("silent before", duration(c.silence_ns)));
    }
    if let Some(ns) = v.timeout_ns {
        let from = v
            .timeout_from
            .as_deref()
            .map_or_else(String::new, |f| format!(" ({})", page.text(f)));
        rows.push(("time-out", format!("{}{from}", say_duration(ns))));
    }
    if let Some(identity) = &c.client.identity {
        rows.push(("identity", page.text(&page.redactor.token(identity))));
    }
    let wire = |code: Option<u16>| code.map_or_else(|| "no code".to_owned(), |c| c.to_string());
    let mut close: Vec<String> = Vec::new();
    close.extend(
        c.close
            .from_client
            .map(|x| format!("{} from the client", wire(x))),
    );
    close.extend(
        c.close
            .from_server
            .map(|x| format!("{} from the server", wire(x))),
    );
    close.extend(
        c.close
            .reported_client
            .map(|x| format!("the client's library reported {x}")),
    );
    close.extend(
        c.close
            .reported_server
            .map(|x| format!("the server's library reported {x}")),
    );
    close.extend(c.close.tcp.as_deref().map(|t| page.text(t)));
    if !close.is_empty() {
        rows.push(("close", close.join("; ")));
    }
    let again = |id: &Option<String>| id.as_deref().map(escape);
    rows.extend(again(&c.reconnect_of).map(|id| ("came back after", id)));
    rows.extend(again(&c.reconnected_as).map(|id| ("came back as", id)));
    out.push_str("<dl>");
    for (name, value) in rows {
        let _ = write!(out, "<dt>{name}</dt><dd>{value}</dd>");
    }
    out.push_str("</dl>\n");
}

fn evidence(page: &Page<'_>, judged: &Judged, out: &mut String) {
    let all = &judged.verdict.evidence;
    if all.is_empty() {
        return;
    }
    out.push_str(
        "<table><caption>Evidence</caption><thead><tr><th scope=\"col\">what</th>\
         <th scope=\"col\">speaks</th><th scope=\"col\">strength</th><th scope=\"col\">record</th></tr></thead><tbody>",
    );
    for evidence in all.iter().take(ROWS) {
        let at = evidence.record.map_or_else(String::new, |record| {
            page.text(&place(page.analysis, record))
        });
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{at}</td></tr>",
            page.text(&evidence.say),
            if evidence.supports { "for" } else { "against" },
            evidence.strength.name(),
        );
    }
    more(all.len(), 4, out);
    out.push_str("</tbody></table>\n");
}

fn rivals(page: &Page<'_>, judged: &Judged, out: &mut String) {
    let v = &judged.verdict;
    if v.rivals.is_empty() && v.untestable.is_empty() {
        return;
    }
    out.push_str(
        "<table><caption>Other causes</caption><thead><tr><th scope=\"col\">cause</th>\
         <th scope=\"col\">verdict</th><th scope=\"col\">why</th></tr></thead><tbody>",
    );
    let weighed = v
        .rivals
        .iter()
        .map(|r| (r.cause, r.verdict.name(), page.text(&r.why)));
    let open = v.untestable.iter().map(|u| {
        let needs = format!("needs {}", page.marked(&u.needs));
        (u.cause, "untestable", needs)
    });
    for (cause, verdict, why) in weighed.chain(open).take(ROWS) {
        let _ = write!(
            out,
            "<tr><td>{} {}</td><td>{verdict}</td><td>{why}</td></tr>",
            cause.code(),
            cause.id()
        );
    }
    more(v.rivals.len() + v.untestable.len(), 3, out);
    out.push_str("</tbody></table>\n");
}

fn more(all: usize, columns: usize, out: &mut String) {
    if all > ROWS {
        let _ = write!(
            out,
            "<tr><td colspan=\"{columns}\">and {} more</td></tr>",
            all - ROWS
        );
    }
}

fn time_line(page: &Page<'_>, judged: &Judged, out: &mut String) {
    let events = &judged.connection.events;
    if events.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<table><caption>Time line ({})</caption><thead><tr><th scope=\"col\">when</th><th scope=\"col\">who</th>\
         <th scope=\"col\">what</th><th scope=\"col\">record</th></tr></thead><tbody>",
        page.zone().name()
    );
    let whole = events.len() <= FIRST + LAST + 1;
    let mut before: Option<&Event> = None;
    for (n, event) in events.iter().enumerate() {
        let hidden = !whole && n >= FIRST && n < events.len() - LAST;
        if hidden && n == FIRST {
            let _ = write!(
                out,
                "<tr><td colspan=\"4\">… {} more events</td></tr>",
                events.len() - FIRST - LAST
            );
        }
        if !hidden {
            let gap = before.map_or(0, |b| event.at.at.since(b.at.at));
            if gap >= GAP_NS {
                let _ = write!(
                    out,
                    "<tr><td colspan=\"4\">┊ {} without an event</td></tr>",
                    say_duration(gap)
                );
            }
            let about = if event.at.tick_ns >= SECOND_NS {
                " +1s"
            } else {
                ""
            };
            let _ = write!(
                out,
                "<tr><td>{}{about}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                page.zone().time(event.at, 6),
                ends(page, judged, event),
                page.text(&event.say),
                page.text(&place(page.analysis, event.record)),
            );
        }
        before = Some(event);
    }
    out.push_str("</tbody></table>\n");
}

/// `nginx → server` for a packet, the hop's name for a log line.
fn ends(page: &Page<'_>, judged: &Judged, event: &Event) -> String {
    let c = &judged.connection;
    let name = |hop: usize| {
        c.hops
            .get(hop)
            .map_or_else(|| "?".to_owned(), |h| page.text(&h.name))
    };
    match (event.leg.and_then(|leg| c.legs.get(leg)), event.direction) {
        (Some(leg), Some(crate::model::Direction::ToServer)) => {
            format!("{} → {}", name(leg.from), name(leg.from + 1))
        }
        (Some(leg), Some(_)) => format!("{} ← {}", name(leg.from), name(leg.from + 1)),
        _ => event.hop.map_or_else(String::new, name),
    }
}
