//! `check`: the analysis -> passed or failed, as an exit code, a page, and what CI systems read.

use super::report::{self, Writing};
use crate::analysis;
use crate::cli::args::{Check, FailOn, Format};
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::cli::selection::{self, Chosen};
use crate::model::Severity;
use crate::report::{Redactor, gate::Gate, gate::Limit, markdown};
use std::io::Write;

pub(in crate::cli) fn check(args: &Check, screen: &Screen) -> Result<Exit, Stop> {
    let zone = meaning::zone("--tz", &args.time.tz)?;
    let targets = report::targets(&args.output, args.format)?;
    let options = meaning::options(&args.input, Some(&args.time))?;
    meaning::redact(&args.privacy, false)?;
    meaning::columns(&args.columns)?;
    let pack = meaning::pack(&args.rules)?;
    let chosen = Chosen::new(&args.selection, &pack)?;
    let limit = limit(args, &pack)?;
    let (case, paths) = meaning::open(&args.input, &args.output)?;
    let mut analysis = analysis::run(&case, &options, &pack, &Told::new(screen.progress));
    let selected = chosen.apply(&mut analysis);
    let gate = Gate::new(&analysis, &limit);
    let writing = Writing {
        analysis: &analysis,
        zone,
        top: args.top,
        columns: &args.columns,
        paths: &paths,
        screen,
        selected: selected.as_ref(),
        gate: Some(&gate),
    };
    let nothing = meaning::nothing_used(&analysis, &paths);
    report::deliver(
        &writing,
        &targets,
        args.format,
        &args.privacy,
        nothing.is_some(),
    )?;
    if let Some(failure) = nothing {
        return Err(failure.into());
    }
    if args.format == Some(Format::Github) || targets.iter().any(|(_, f)| *f == Format::Github) {
        summary(&writing, &args.privacy)?;
    }
    let complete = meaning::completeness(&analysis, args.input.strict, screen);
    Ok(if gate.failed() {
        Exit::Findings
    } else {
        complete
    })
}

fn limit(args: &Check, pack: &crate::diagnose::Pack) -> Result<Limit, Failure> {
    let denied = args
        .deny
        .iter()
        .map(|name| selection::rule("--deny", name, pack))
        .collect::<Result<Vec<_>, _>>()?;
    for name in &args.selection.allow {
        let code = selection::rule("--allow", name, pack)?;
        if denied.contains(&code) {
            return Err(Failure::usage(format!("{code} is both allowed and denied")));
        }
    }
    Ok(Limit {
        fail_on: match args.fail_on {
            FailOn::Info => Some(Severity::Info),
            FailOn::Low => Some(Severity::Low),
            FailOn::Medium => Some(Severity::Medium),
            FailOn::High => Some(Severity::High),
            FailOn::Never => None,
        },
        tolerate: args.tolerate,
        denied,
    })
}

/// GitHub Actions shows what is appended to this file on the run's page.
fn summary(writing: &Writing<'_>, privacy: &crate::cli::args::Privacy) -> Result<(), Stop> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|p| !p.is_empty()) else {
        return Ok(());
    };
    let redactor = Redactor::new(meaning::redact(privacy, false)?, writing.analysis);
    let options = markdown::Options {
        zone: writing.zone,
        top: writing.top,
        paths: writing.paths,
        selected: writing.selected,
    };
    let mut page = Vec::new();
    let written = markdown::write_summary(writing.analysis, &redactor, &options, &mut page)
        .and_then(|()| {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)?;
            file.write_all(&page)
        });
    written.map_err(|e| {
        let name = std::path::Path::new(&path).display().to_string();
        Failure::usage(format!("can't write the summary {name}: {e}")).into()
    })
}
