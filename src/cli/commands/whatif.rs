//! `what-if`: another ping or time-out -> which drops of the case would not have happened, as text or JSON.

use crate::analysis;
use crate::cli::args::WhatIf as Args;
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::diagnose::rule::parse_duration;
use crate::diagnose::whatif::{Changes, Fate, WhatIf};
use crate::model::{Cause, inert, say_duration};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(in crate::cli) fn what_if(args: &Args, screen: &Screen) -> Result<Exit, Stop> {
    let json = super::wants_json(args.json, args.format, "what-if")?;
    let changes = changes(args)?;
    let options = meaning::options(&args.input, Some(&args.time))?;
    let pack = meaning::pack(&args.rules)?;
    let (case, paths) = meaning::open(&args.input, &[])?;
    let (analysis, found) = analysis::what_if(
        &case,
        &options,
        &pack,
        &changes,
        &Told::new(screen.progress),
    );
    if let Some(failure) = meaning::nothing_used(&analysis, &paths) {
        return Err(failure.into());
    }
    for (hop, _) in &changes.timeouts {
        if !found.hops.contains(hop) {
            let known: Vec<&str> = found.hops.iter().map(String::as_str).collect();
            let failure = Failure::usage(format!("no hop of this case is called {hop}"));
            return Err(match known.as_slice() {
                [] => failure.because("no proxy or load balancer is seen in it"),
                known => failure.because(format!("there is {}", known.join(", "))),
            }
            .into());
        }
    }
    if json {
        super::print_json(&document(&changes, &found))?;
    } else {
        super::print(text(&changes, &found))?;
    }
    Ok(meaning::completeness(&analysis, args.input.strict, screen))
}

fn changes(args: &Args) -> Result<Changes, Failure> {
    let duration = |flag: &str, text: &str| {
        parse_duration(text).filter(|ns| *ns > 0).ok_or_else(|| {
            Failure::usage(format!("{flag} {text} is no duration"))
                .help(format!("{flag} needs a unit: 25s, 500ms, 5m, 1h"))
        })
    };
    let ping_ns = args
        .ping
        .as_deref()
        .map(|text| duration("--ping", text))
        .transpose()?;
    let mut timeouts: Vec<(String, i64)> = Vec::new();
    for text in &args.timeout {
        let Some((hop, value)) = text.split_once('=').filter(|(hop, _)| !hop.is_empty()) else {
            return Err(
                Failure::usage(format!("--timeout {text} is not HOP=DURATION"))
                    .help("--timeout nginx=300s"),
            );
        };
        let ns = duration("--timeout", value)?;
        if timeouts.iter().any(|(known, _)| known == hop) {
            return Err(Failure::usage(format!("--timeout {hop} is given twice")));
        }
        timeouts.push((hop.to_owned(), ns));
    }
    if ping_ns.is_none() && timeouts.is_empty() {
        return Err(
            Failure::usage("wsdrop what-if needs something that is different")
                .help("wsdrop what-if --ping 25s PATH")
                .help("wsdrop what-if --timeout nginx=300s PATH"),
        );
    }
    Ok(Changes { ping_ns, timeouts })
}

fn heading(changes: &Changes) -> String {
    let mut parts: Vec<String> = changes
        .ping_ns
        .map(|ns| format!("the server pinged every {}", say_duration(ns)))
        .into_iter()
        .collect();
    parts.extend(changes.timeouts.iter().map(|(hop, ns)| {
        format!(
            "{} let silent connections stand for {}",
            inert(hop),
            say_duration(*ns)
        )
    }));
    format!("If {}", parts.join(" and "))
}

fn text(changes: &Changes, found: &WhatIf) -> String {
    let mut out = format!("{}\n\n", heading(changes));
    let all = found.outlooks.len();
    if all == 0 {
        out.push_str("  Nothing dropped in this case, and nothing would have.\n");
        return out;
    }
    let counts: Vec<String> = Fate::ALL
        .into_iter()
        .map(|fate| (found.count(fate), words(fate)))
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    let _ = writeln!(
        out,
        "  Of {all} drop{}: {}.\n",
        if all == 1 { "" } else { "s" },
        counts.join(", ")
    );
    let mut by_cause: BTreeMap<Cause, [usize; 4]> = BTreeMap::new();
    let mut reasons: BTreeMap<Fate, BTreeMap<&str, usize>> = BTreeMap::new();
    for o in &found.outlooks {
        let row = by_cause.entry(o.cause).or_default();
        for (n, fate) in row.iter_mut().zip(Fate::ALL) {
            *n += usize::from(fate == o.fate);
        }
        *reasons
            .entry(o.fate)
            .or_default()
            .entry(&o.why)
            .or_default() += 1;
    }
    let _ = writeln!(
        out,
        "  {:<31}{:>7}{:>9}{:>6}{:>9}{:>9}",
        "cause", "drops", "averted", "race", "put off", "remain"
    );
    for (cause, [averted, race, put_off, remain]) in &by_cause {
        let name = format!("{} {}", cause.code(), cause.id());
        let sum = averted + race + put_off + remain;
        let _ = writeln!(
            out,
            "  {name:<31}{sum:>7}{averted:>9}{race:>6}{put_off:>9}{remain:>9}"
        );
    }
    for fate in Fate::ALL {
        let Some(whys) = reasons.get(&fate) else {
            continue;
        };
        let _ = writeln!(out, "\n{}", title(fate));
        let mut whys: Vec<(&&str, &usize)> = whys.iter().collect();
        whys.sort_by_key(|(why, n)| (std::cmp::Reverse(**n), **why));
        for (why, n) in whys {
            let _ = writeln!(out, "  {n:>5}  {}", inert(why));
        }
    }
    out.push_str(
        "\nMeasured from the silences before each close; what users would have done instead is not known.\n",
    );
    out
}

const fn words(fate: Fate) -> &'static str {
    match fate {
        Fate::Averted => "would not have happened",
        Fate::Race => "would have been a race",
        Fate::PutOff => "would have come later",
        Fate::Remains => "remain",
    }
}

const fn title(fate: Fate) -> &'static str {
    match fate {
        Fate::Averted => "Averted",
        Fate::Race => "A race: not to be relied on",
        Fate::PutOff => "Put off",
        Fate::Remains => "Remain",
    }
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    ping_ms: Option<f64>,
    timeouts: Vec<Timeout<'a>>,
    summary: BTreeMap<&'static str, usize>,
    drops: Vec<Drop<'a>>,
}

#[derive(Debug, Serialize)]
struct Timeout<'a> {
    hop: &'a str,
    timeout_ms: f64,
}

#[derive(Debug, Serialize)]
struct Drop<'a> {
    id: &'a str,
    cause: &'static str,
    rule: &'static str,
    fate: &'static str,
    silence_ms: Option<f64>,
    timeout_ms: Option<f64>,
    why: &'a str,
}

fn document<'a>(changes: &'a Changes, found: &'a WhatIf) -> Document<'a> {
    let ms = |ns: i64| ns as f64 / 1e6;
    Document {
        schema: "wsdrop.what-if/1",
        ping_ms: changes.ping_ns.map(ms),
        timeouts: changes
            .timeouts
            .iter()
            .map(|(hop, ns)| Timeout {
                hop,
                timeout_ms: ms(*ns),
            })
            .collect(),
        summary: Fate::ALL
            .into_iter()
            .map(|fate| (fate.name(), found.count(fate)))
            .collect(),
        drops: found
            .outlooks
            .iter()
            .map(|o| Drop {
                id: &o.id,
                cause: o.cause.id(),
                rule: o.cause.code(),
                fate: o.fate.name(),
                silence_ms: o.silence_ns.map(ms),
                timeout_ms: o.timeout_ns.map(ms),
                why: &o.why,
            })
            .collect(),
    }
}
