//! `diff`: two cases, before and after a fix -> which causes came, grew, shrank and went, as text or JSON.

use crate::analysis;
use crate::cli::args::{Diff, Input};
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::diagnose::Pack;
use crate::diagnose::compare::{Change, Comparison, Row, Side, compare};
use crate::model::{Analysis, inert, say_duration};
use serde::Serialize;
use std::fmt::Write as _;

pub(in crate::cli) fn diff(args: &Diff, screen: &Screen) -> Result<Exit, Stop> {
    let json = super::wants_json(args.json, args.format, "diff")?;
    let [before, after] = args.input.paths.as_slice() else {
        return Err(Failure::usage(format!(
            "wsdrop diff compares two cases, and {} {} given",
            args.input.paths.len(),
            if args.input.paths.len() == 1 {
                "is"
            } else {
                "are"
            }
        ))
        .help("wsdrop diff BEFORE AFTER")
        .into());
    };
    let pack = meaning::pack(&args.rules)?;
    let one = |path: &std::path::PathBuf| -> Result<(Analysis, Exit, String), Stop> {
        // The flags of both, the path of one.
        let input = Input {
            paths: vec![path.clone()],
            ..args.input.clone()
        };
        let (analysis, shown) = analysed(&input, &pack, screen)?;
        let exit = meaning::completeness(&analysis, input.strict, screen);
        Ok((analysis, exit, shown))
    };
    let (before, exit_before, name_before) = one(before)?;
    let (after, exit_after, name_after) = one(after)?;
    let found = compare(&before, &after);
    if json {
        super::print_json(&document(&found))?;
    } else {
        super::page(text(&found, &name_before, &name_after), screen)?;
    }
    Ok(exit_before.max(exit_after))
}

fn analysed(input: &Input, pack: &Pack, screen: &Screen) -> Result<(Analysis, String), Stop> {
    let options = meaning::options(input, None)?;
    let (case, shown) = meaning::open(input, &[])?;
    let analysis = analysis::run(&case, &options, pack, &Told::new(screen.progress));
    match meaning::nothing_used(&analysis, &shown) {
        Some(failure) => Err(failure.into()),
        None => Ok((analysis, shown)),
    }
}

fn text(found: &Comparison, before: &str, after: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "  {:<31}{:>9}{:>9}{:>12}{:>12}",
        "", "before", "after", "before /h", "after /h"
    );
    let Comparison {
        before: b,
        after: a,
        rows,
        ..
    } = found;
    for row in rows {
        let name = format!("{} {}", row.cause.code(), row.cause.id());
        let note = match (row.change, row.chance) {
            (Change::Same, _) => String::new(),
            (change, true) => format!("  {} (may be chance)", change.name()),
            (change, false) => format!("  {}", change.name()),
        };
        let _ = writeln!(
            out,
            "  {name:<31}{:>9}{:>9}{:>12}{:>12}{note}",
            row.before,
            row.after,
            rate(row.rate_before),
            rate(row.rate_after)
        );
    }
    if rows.is_empty() {
        out.push_str("  nothing dropped, neither before nor after\n");
    }
    out.push('\n');
    for (what, of) in [
        (
            "connections",
            &(|s: &Side| s.connections) as &dyn Fn(&Side) -> usize,
        ),
        ("drops", &|s: &Side| s.drops),
        ("failed handshakes", &|s: &Side| s.failed_handshakes),
    ] {
        let _ = writeln!(out, "  {what:<31}{:>9}{:>9}", of(b), of(a));
    }
    let _ = writeln!(
        out,
        "  {:<31}{:>9}{:>9}",
        "connection-hours",
        hours(b.connection_hours),
        hours(a.connection_hours)
    );
    let mut kinds: Vec<&str> = b
        .beside
        .iter()
        .chain(&a.beside)
        .map(|(k, _)| k.as_str())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let n = |side: &Side| {
            side.beside
                .iter()
                .find(|(k, _)| k == kind)
                .map_or(0, |(_, n)| *n)
        };
        let _ = writeln!(out, "  {:<31}{:>9}{:>9}", inert(kind), n(b), n(a));
    }
    let _ = writeln!(
        out,
        "  {:<31}{:>9}{:>9}",
        "with answered pings", b.pinged, a.pinged
    );
    if b.ping_period_ns.or(a.ping_period_ns).is_some() {
        let period = |s: &Side| {
            s.ping_period_ns
                .map_or_else(|| "-".to_owned(), say_duration)
        };
        let _ = writeln!(
            out,
            "  {:<31}{:>9}{:>9}",
            "their period",
            period(b),
            period(a)
        );
    }
    let _ = writeln!(
        out,
        "\nbefore: {}, after: {}; rates are for each hour that a connection stood.\n\n{}",
        inert(before),
        inert(after),
        verdict(found)
    );
    out
}

/// The answer: what runbook rows V1 to V3 ask.
fn verdict(found: &Comparison) -> String {
    let rows = &found.rows;
    let mut out = String::new();
    let of = |change: Change, chance: bool| -> Vec<&Row> {
        rows.iter()
            .filter(|r| r.change == change && r.chance == chance)
            .collect()
    };
    for (change, says) in [
        (Change::New, "New"),
        (Change::More, "More"),
        (Change::Fewer, "Fewer"),
        (Change::Gone, "Gone"),
    ] {
        let sure = of(change, false);
        if !sure.is_empty() {
            let names: Vec<&str> = sure.iter().map(|r| r.cause.id()).collect();
            let _ = writeln!(out, "{says}: {}.", names.join(", "));
        }
        for row in of(change, true) {
            let more = row.hours_to_tell.map_or_else(String::new, |h| {
                let left = h - found.after.connection_hours;
                format!(
                    "; {} connection-hours more without it would tell",
                    hours(left.max(0.0))
                )
            });
            let _ = writeln!(
                out,
                "{says}, and so few that it may be chance: {}{more}.",
                row.cause.id()
            );
        }
    }
    for s in &found.timeouts {
        let hop = if s.hop.is_empty() {
            "a hop".to_owned()
        } else {
            inert(&s.hop)
        };
        let outlived = match s.outlived {
            0 => String::new(),
            1 => ", and 1 connection outlived such a silence".to_owned(),
            n => format!(", and {n} connections outlived such a silence"),
        };
        let _ = writeln!(
            out,
            "{hop}'s time-out of {}: {} drops before, {} after{outlived}.",
            say_duration(s.timeout_ns),
            s.before,
            s.after
        );
    }
    let nothing = rows.iter().all(|r| r.change == Change::Same);
    let worse =
        |chance| !of(Change::New, chance).is_empty() || !of(Change::More, chance).is_empty();
    let better =
        |chance| !of(Change::Gone, chance).is_empty() || !of(Change::Fewer, chance).is_empty();
    out.push_str("Has the fix worked? ");
    out.push_str(if rows.is_empty() {
        "Nothing dropped on either side: there is nothing to compare."
    } else if nothing {
        "Nothing changed."
    } else if worse(false) && better(false) {
        "In part: some causes went or shrank, others came or grew."
    } else if worse(false) {
        "No: causes came or grew."
    } else if better(false) && worse(true) {
        "Yes, as far as it is known; what came with it may be chance."
    } else if better(false) {
        "Yes, and no other cause came."
    } else {
        "There is too little to tell."
    });
    out.push('\n');
    out
}

fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(r) if r >= 100.0 => format!("{r:.0}"),
        Some(r) if r >= 1.0 => format!("{r:.1}"),
        Some(r) => format!("{r:.3}"),
    }
}

fn hours(hours: f64) -> String {
    if hours >= 100.0 {
        format!("{hours:.0}")
    } else {
        format!("{hours:.2}")
    }
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    before: SideOut<'a>,
    after: SideOut<'a>,
    causes: Vec<RowOut>,
    timeouts: Vec<StruckOut<'a>>,
}

#[derive(Debug, Serialize)]
struct StruckOut<'a> {
    hop: Option<&'a str>,
    timeout_ms: f64,
    before: usize,
    after: usize,
    outlived_after: usize,
}

#[derive(Debug, Serialize)]
struct SideOut<'a> {
    connections: usize,
    drops: usize,
    failed_handshakes: usize,
    connection_hours: f64,
    beside: std::collections::BTreeMap<&'a str, usize>,
    with_answered_pings: usize,
    ping_period_ms: Option<f64>,
}

impl<'a> SideOut<'a> {
    fn new(s: &'a Side) -> Self {
        Self {
            connections: s.connections,
            drops: s.drops,
            failed_handshakes: s.failed_handshakes,
            connection_hours: s.connection_hours,
            with_answered_pings: s.pinged,
            ping_period_ms: s.ping_period_ns.map(|ns| ns as f64 / 1e6),
            beside: s.beside.iter().map(|(k, n)| (k.as_str(), *n)).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct RowOut {
    cause: &'static str,
    rule: &'static str,
    change: &'static str,
    before: usize,
    after: usize,
    before_per_connection_hour: Option<f64>,
    after_per_connection_hour: Option<f64>,
    may_be_chance: bool,
    /// For a cause that is gone by what may be chance.
    connection_hours_to_tell: Option<f64>,
}

fn document(found: &Comparison) -> Document<'_> {
    Document {
        schema: "wsdrop.diff/1",
        before: SideOut::new(&found.before),
        after: SideOut::new(&found.after),
        causes: found
            .rows
            .iter()
            .map(|r| RowOut {
                cause: r.cause.id(),
                rule: r.cause.code(),
                change: r.change.name(),
                before: r.before,
                after: r.after,
                before_per_connection_hour: r.rate_before,
                after_per_connection_hour: r.rate_after,
                may_be_chance: r.chance,
                connection_hours_to_tell: r.hours_to_tell,
            })
            .collect(),
        timeouts: found
            .timeouts
            .iter()
            .map(|s| StruckOut {
                hop: Some(s.hop.as_str()).filter(|h| !h.is_empty()),
                timeout_ms: s.timeout_ns as f64 / 1e6,
                before: s.before,
                after: s.after,
                outlived_after: s.outlived,
            })
            .collect(),
    }
}
