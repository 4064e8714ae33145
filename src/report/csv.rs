//! The connections of an `Analysis` -> one row each, quoted by RFC 4180, and inert in a spreadsheet.

use super::Redactor;
use super::groups::place;
use super::json::v1;
use crate::model::{Analysis, Judged, inert};
use std::io::{self, Write};

enum Cell {
    Text(String),
    /// Written by this program: a minus in front of it is a minus.
    Number(String),
    Empty,
}

impl Cell {
    fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Empty, |t| Self::Text(t.to_owned()))
    }

    fn number(number: Option<impl ToString>) -> Self {
        number.map_or(Self::Empty, |n| Self::Number(n.to_string()))
    }

    fn millis(ms: Option<v1::Ms>) -> Self {
        Self::number(ms.and_then(|ms| serde_json::to_string(&ms).ok()))
    }

    fn time(time: Option<v1::Time>) -> Self {
        time.map_or(Self::Empty, |t| Self::Text(t.0.rfc3339()))
    }
}

/// One connection: as JSON has it, where its first evidence stands, and the files that hold records of it.
struct Row {
    connection: v1::Connection,
    evidence: Option<String>,
    files: String,
}

type Column = (&'static str, fn(&Row) -> Cell);

/// Names are those of the JSON report, `_` for the dot.
const COLUMNS: &[Column] = &[
    ("id", |r| Cell::text(Some(&r.connection.id))),
    ("outcome", |r| Cell::text(Some(r.connection.outcome))),
    ("cause", |r| Cell::text(r.connection.cause)),
    ("rule", |r| Cell::text(r.connection.rule)),
    ("tier", |r| Cell::text(Some(r.connection.tier))),
    ("sentence", |r| Cell::text(Some(&r.connection.sentence))),
    ("closer_role", |r| {
        Cell::text(Some(r.connection.closer.role))
    }),
    ("closer_hop", |r| {
        Cell::text(r.connection.closer.hop.as_deref())
    }),
    ("client_ip", |r| {
        Cell::text(r.connection.client.ip.as_deref())
    }),
    ("client_port", |r| Cell::number(r.connection.client.port)),
    ("client_identity", |r| {
        Cell::text(r.connection.client.identity.as_deref())
    }),
    ("request_uri", |r| {
        Cell::text(r.connection.request.uri.as_deref())
    }),
    ("request_host", |r| {
        Cell::text(r.connection.request.host.as_deref())
    }),
    ("request_status", |r| {
        Cell::number(r.connection.request.status)
    }),
    ("opened", |r| Cell::time(r.connection.opened)),
    ("closed", |r| Cell::time(r.connection.closed)),
    ("duration_ms", |r| Cell::millis(r.connection.duration_ms)),
    ("silence_ms", |r| Cell::millis(r.connection.silence_ms)),
    ("timeout_ms", |r| Cell::millis(r.connection.timeout_ms)),
    ("timeout_from", |r| {
        Cell::text(r.connection.timeout_from.as_deref())
    }),
    ("close_from_client", |r| {
        Cell::number(r.connection.close.from_client)
    }),
    ("close_from_server", |r| {
        Cell::number(r.connection.close.from_server)
    }),
    ("close_reported_client", |r| {
        Cell::number(r.connection.close.reported_client)
    }),
    ("close_reported_server", |r| {
        Cell::number(r.connection.close.reported_server)
    }),
    ("close_tcp", |r| {
        Cell::text(r.connection.close.tcp.as_deref())
    }),
    ("reconnect_of", |r| {
        Cell::text(r.connection.reconnect_of.as_deref())
    }),
    ("reconnected_as", |r| {
        Cell::text(r.connection.reconnected_as.as_deref())
    }),
    ("evidence", |r| Cell::text(r.evidence.as_deref())),
    ("fix", |r| {
        Cell::text(r.connection.fix.first().map(String::as_str))
    }),
    ("files", |r| Cell::text(Some(&r.files))),
];

/// The names of all columns, in their order.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|c| c.0)
}

/// The header, then the connections in the order of the JSON report. Lines end in a line feed. No `names` = all columns.
pub fn write(
    analysis: &Analysis,
    redactor: &Redactor,
    names: &[String],
    out: &mut impl Write,
) -> io::Result<()> {
    let chosen: Vec<&Column> = if names.is_empty() {
        COLUMNS.iter().collect()
    } else {
        let find = |name: &String| COLUMNS.iter().find(|c| c.0 == *name);
        names.iter().filter_map(find).collect()
    };
    let heads: Vec<&str> = chosen.iter().map(|c| c.0).collect();
    writeln!(out, "{}", heads.join(","))?;
    for judged in &analysis.connections {
        let row = Row::new(analysis, judged, redactor);
        for (n, (_, cell)) in chosen.iter().enumerate() {
            if n > 0 {
                out.write_all(b",")?;
            }
            match cell(&row) {
                Cell::Text(text) => out.write_all(field(&text).as_bytes())?,
                Cell::Number(number) => out.write_all(number.as_bytes())?,
                Cell::Empty => {}
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

impl Row {
    fn new(analysis: &Analysis, judged: &Judged, redactor: &Redactor) -> Self {
        let evidence = &judged.verdict.evidence;
        let files: Vec<&str> = judged
            .connection
            .sources()
            .into_iter()
            .filter_map(|id| Some(analysis.source(id)?.path.as_str()))
            .collect();
        Self {
            connection: v1::Connection::new(judged, redactor),
            evidence: evidence
                .iter()
                .filter(|e| e.supports)
                .find_map(|e| Some(place(analysis, e.record?))),
            files: files.join("; "),
        }
    }
}

/// Text as a field: nothing in it is obeyed by a terminal, taken for a formula, or ends the field early.
fn field(text: &str) -> String {
    let text = inert(text);
    // a spreadsheet runs what begins like this, also behind blanks and in full width
    let formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        // what was a tab or a carriage return before it was made visible
        || text.starts_with(['␉', '␍', '\u{240a}']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', ';', '\'']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::tests::fabricated;

    #[test]
    fn fields_are_inert_and_quoted() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(field(text), expected);
        }
        check("plain", "plain");
        check("a,b", "\"a,b\"");
        check("say \"no\"", "\"say \"\"no\"\"\"");
        check("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\"");
        check("+1", "\"'+1\"");
        check("-1", "\"'-1\"");
        check("@SUM(A1)", "\"'@SUM(A1)\"");
        check(" =1", "\"' =1\"");
        check("＝1", "\"'＝1\"");
        check("\t=1", "\"'␉=1\"");
        check("\rx", "\"'␍x\"");
        check("a\nb\x1b[2J", "a␊b␛[2J");
        check("", "");
    }

    #[test]
    fn one_row_for_each_connection() {
        let mut analysis = fabricated();
        analysis.connections[0].connection.request.uri = Some("/ws,\"x\"\n=1".into());
        let mut out = Vec::new();
        write(&analysis, &Redactor::none(), &[], &mut out).expect("writes to memory");
        insta::assert_snapshot!("csv", String::from_utf8(out).expect("UTF-8"));
    }
}
