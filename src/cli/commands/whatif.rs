//! `what-if`: another ping or time-out -> which drops of the case would not have happened, as text or JSON.

use crate::analysis;
use crate::cli::args::WhatIf as Args;
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::diagnose::lint;
use crate::diagnose::rule::parse_duration;
use crate::diagnose::whatif::{Changes, Fate, Struck, WhatIf};
use crate::model::{Cause, MILLI_NS, SECOND_NS, inert, say_duration};
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
            let mut failure = Failure::usage(format!("no hop of this case is called {hop}"));
            if let Some(near) = lint::did_you_mean(hop, known.iter().copied()) {
                failure = failure.help(format!("did you mean {near}?"));
            }
            return Err(match known.as_slice() {
                [] => failure.because("no proxy or load balancer is seen in it"),
                known => failure.because(format!("there is {}", known.join(", "))),
            }
            .into());
        }
    }
    if json {
        super::print_json(&document(&changes, &found, &found.struck()))?;
    } else {
        super::page(text(&changes, &found), screen)?;
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
        let Some((hop, value)) = text
            .split_once('=')
            .filter(|(hop, value)| !hop.is_empty() && !value.is_empty())
        else {
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
    let failed = found.outlooks.iter().filter(|o| o.failed).count();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let mut of = vec![
        format!("{} drop{}", all - failed, plural(all - failed)),
        format!("{failed} failed handshake{}", plural(failed)),
    ];
    if failed == 0 {
        of.truncate(1);
    }
    let _ = writeln!(out, "  Of {}: {}.\n", of.join(" and "), counts.join(", "));
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
    let struck = found.struck();
    if !struck.is_empty() {
        out.push_str("\nTime-outs that struck\n");
    }
    for s in &struck {
        let _ = writeln!(out, "  {:>5}  {}", s.drops, silences(s));
    }
    // What the change leaves, a faster ping may not.
    if let Some(period) = found
        .period_ns()
        .filter(|ns| changes.ping_ns.is_none_or(|p| p > *ns))
    {
        let _ = writeln!(
            out,
            "\nA ping every {} or less is under half of each of them: wsdrop what-if --ping {}",
            say_duration(period),
            flag(period)
        );
    }
    out.push_str(
        "\nMeasured from the silences before each close; what users would have done instead is not known.\n",
    );
    out
}

fn silences(s: &Struck) -> String {
    let hop = if s.hop.is_empty() {
        "a hop".to_owned()
    } else {
        inert(&s.hop)
    };
    let timeout = say_duration(s.timeout_ns);
    match s.silences {
        Some((least, most)) if say_duration(least) == say_duration(most) => {
            format!("{hop}'s {timeout}, silent for {}", say_duration(least))
        }
        Some((least, most)) => format!(
            "{hop}'s {timeout}, silent for {} to {}",
            say_duration(least),
            say_duration(most)
        ),
        None => format!("{hop}'s {timeout}, how long they were silent is not shown"),
    }
}

/// As `--ping` reads it.
fn flag(ns: i64) -> String {
    if ns % SECOND_NS == 0 {
        format!("{}s", ns / SECOND_NS)
    } else {
        format!("{}ms", ns / MILLI_NS)
    }
}

const fn words(fate: Fate) -> &'static str {
    match fate {
        Fate::Averted => "would not have happened",
        Fate::Race => "would have been a race",
        Fate::PutOff => "would have come later or not at all",
        Fate::Remains => "remain",
    }
}

const fn title(fate: Fate) -> &'static str {
    match fate {
        Fate::Averted => "Averted",
        Fate::Race => "A race: not to be relied on",
        Fate::PutOff => "Put off, perhaps for good",
        Fate::Remains => "Remain",
    }
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    ping_ms: Option<f64>,
    timeouts: Vec<Timeout<'a>>,
    summary: BTreeMap<&'static str, usize>,
    /// What ended silent connections, most drops first.
    struck: Vec<StruckOut<'a>>,
    /// A ping at most this far apart is under half of each of them.
    ping_at_most_ms: Option<f64>,
    drops: Vec<Drop<'a>>,
}

#[derive(Debug, Serialize)]
struct Timeout<'a> {
    hop: &'a str,
    timeout_ms: f64,
}

#[derive(Debug, Serialize)]
struct StruckOut<'a> {
    hop: Option<&'a str>,
    timeout_ms: f64,
    drops: usize,
    silence_least_ms: Option<f64>,
    silence_most_ms: Option<f64>,
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

fn document<'a>(changes: &'a Changes, found: &'a WhatIf, struck: &'a [Struck]) -> Document<'a> {
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
        struck: struck
            .iter()
            .map(|s| StruckOut {
                hop: Some(s.hop.as_str()).filter(|h| !h.is_empty()),
                timeout_ms: ms(s.timeout_ns),
                drops: s.drops,
                silence_least_ms: s.silences.map(|s| ms(s.0)),
                silence_most_ms: s.silences.map(|s| ms(s.1)),
            })
            .collect(),
        ping_at_most_ms: found.period_ns().map(ms),
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
