//! `report`, `open` and `demo`: the analysis -> a report in each form asked for, or the terminal UI.

use super::aloud;
use crate::analysis::{self, Options};
use crate::case::Case;
use crate::cli::args::{Demo, Format, Privacy, Report, RuleFiles};
use crate::cli::demo;
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::cli::selection::Chosen;
use crate::diagnose::Pack;
use crate::model::Analysis;
use crate::report::{
    Look, Redact, Redactor, Selected, Zone, csv, gate::Gate, github, html, json, junit, markdown,
    ndjson, sarif, text,
};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a report is written with.
pub(super) struct Writing<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) zone: Zone,
    pub(super) top: usize,
    /// Of CSV; none = all.
    pub(super) columns: &'a [String],
    pub(super) paths: &'a str,
    pub(super) screen: &'a Screen,
    pub(super) selected: Option<&'a Selected>,
    /// For `check`: what its limit says.
    pub(super) gate: Option<&'a Gate<'a>>,
}

impl Writing<'_> {
    /// `quiet` = as little as was asked for; a file that was named is written whole all the same.
    fn write(
        &self,
        format: Format,
        redact: Redact,
        (look, quiet): (Look, bool),
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let redactor = Redactor::new(redact, self.analysis);
        match format {
            Format::Json | Format::JsonV1 => json::write(self.analysis, &redactor, out)?,
            Format::Ndjson => ndjson::write(self.analysis, &redactor, out)?,
            Format::Text => {
                let quiet = quiet && self.screen.quiet > 0;
                let options = text::Options {
                    look,
                    zone: self.zone,
                    top: self.top,
                    verbose: self.screen.verbose,
                    quiet: quiet || self.gate.is_some(),
                    paths: self.paths,
                    selected: self.selected,
                };
                if self.gate.is_none() || !quiet {
                    text::write(self.analysis, &redactor, &options, out)?;
                }
                if let Some(gate) = self.gate {
                    gate.write(self.analysis, &redactor, look, quiet, out)?;
                }
            }
            Format::Html => {
                let options = html::Options {
                    zone: self.zone,
                    paths: self.paths,
                    selected: self.selected,
                };
                html::write(self.analysis, &redactor, &options, out)?;
            }
            Format::Sarif | Format::Junit | Format::Github => {
                let Some(gate) = self.gate else {
                    return Err(std::io::Error::other(
                        "only wsdrop check writes this format",
                    ));
                };
                match format {
                    Format::Sarif => sarif::write(self.analysis, gate, &redactor, out)?,
                    Format::Junit => junit::write(self.analysis, gate, &redactor, out)?,
                    _ => github::write(self.analysis, gate, &redactor, out)?,
                }
            }
            Format::Csv => csv::write(self.analysis, &redactor, self.columns, out)?,
            Format::Md => {
                let options = markdown::Options {
                    zone: self.zone,
                    top: self.top,
                    paths: self.paths,
                    selected: self.selected,
                };
                markdown::write(self.analysis, &redactor, &options, out)?;
            }
        }
        out.flush()
    }
}

pub(in crate::cli) fn report(args: &Report, screen: &Screen) -> Result<Exit, Stop> {
    let zone = meaning::zone("--tz", &args.time.tz)?;
    let targets = targets(&args.output, args.format)?;
    let formats = targets.iter().map(|t| t.1).chain(args.format);
    if formats.into_iter().any(of_check) {
        return Err(Failure::usage(
            "sarif, junit and github tell what a limit says; wsdrop report has none",
        )
        .help("wsdrop check -f sarif")
        .into());
    }
    meaning::redact(&args.privacy, false)?;
    meaning::columns(&args.columns)?;
    let (case, options, pack, chosen, paths) = prepare(args)?;
    let whole = chosen.is_all()
        && options.since.is_none()
        && options.until.is_none()
        && pack.overrides.excluded.is_empty();
    if let Some(path) = aloud::target(&targets, args.format).filter(|_| whole) {
        let analysis = line_by_line(path, (&case, &options, &pack), &args.privacy, screen)?;
        return ending(&analysis, args, &paths, screen);
    }
    let mut analysis = analysis::run(&case, &options, &pack, &Told::new(screen.progress));
    let selected = chosen.apply(&mut analysis);
    let writing = Writing {
        analysis: &analysis,
        zone,
        top: args.top,
        columns: &args.columns,
        paths: &paths,
        screen,
        selected: selected.as_ref(),
        gate: None,
    };
    let nothing = meaning::nothing_used(&analysis, &paths).is_some();
    deliver(&writing, &targets, args.format, &args.privacy, nothing)?;
    ending(&analysis, args, &paths, screen)
}

/// What the exit code says of the files.
fn ending(analysis: &Analysis, args: &Report, paths: &str, screen: &Screen) -> Result<Exit, Stop> {
    match meaning::nothing_used(analysis, paths) {
        Some(failure) => Err(failure.into()),
        None => Ok(meaning::completeness(analysis, args.input.strict, screen)),
    }
}

/// NDJSON as it goes: a million connections need not all be judged, nor kept in words, before the first is told.
fn line_by_line(
    path: &Path,
    work: (&Case, &Options, &Pack),
    privacy: &Privacy,
    screen: &Screen,
) -> Result<Analysis, Stop> {
    let redact = meaning::redact(privacy, false)?;
    let progress = Told::new(screen.progress);
    if path.as_os_str() == "-" {
        let to = (std::io::stdout(), "standard output");
        return aloud::write(work, &progress, redact, to);
    }
    let name = path.display().to_string();
    let file = create(path, &name)?;
    let analysis = aloud::write(work, &progress, redact, (file, &name))?;
    wrote(&name, screen);
    Ok(analysis)
}

fn create(path: &Path, name: &str) -> Result<File, Failure> {
    File::create(path).map_err(|e| Failure::usage(format!("can't write {name}: {e}")))
}

fn wrote(name: &str, screen: &Screen) {
    if screen.quiet == 0 {
        eprintln!("wrote {}", crate::model::inert(name));
    }
}

const fn of_check(format: Format) -> bool {
    matches!(format, Format::Sarif | Format::Junit | Format::Github)
}

/// Each target in its format, standard output last; a closed pipe is quiet.
pub(super) fn deliver(
    writing: &Writing<'_>,
    targets: &[(PathBuf, Format)],
    format: Option<Format>,
    privacy: &Privacy,
    nothing: bool,
) -> Result<(), Stop> {
    let stdout = |path: &Path| path.as_os_str() == "-";
    for (path, format) in targets.iter().filter(|(path, _)| !stdout(path)) {
        to_file(writing, path, *format, meaning::redact(privacy, false)?)?;
    }
    let to_stdout = targets.iter().find(|(path, _)| stdout(path));
    if !targets.is_empty() && to_stdout.is_none() {
        return Ok(());
    }
    let format = to_stdout
        .map(|(_, format)| *format)
        .or(format)
        .unwrap_or(Format::Text);
    // a program that reads the document gets it in any case
    if nothing && format == Format::Text {
        return Ok(());
    }
    let screen = writing.screen;
    let redact = meaning::redact(privacy, screen.stdout_tty && format == Format::Text)?;
    if format == Format::Text && screen.pager.is_some() {
        let mut page = Vec::new();
        writing
            .write(format, redact, (screen.look, true), &mut page)
            .map_err(|e| Stop::writing("standard output", &e))?;
        return super::page(page, screen).map(|_| ());
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    match writing.write(format, redact, (screen.look, true), &mut out) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            // what is left in the buffer can't be written either
            let _ = out.into_parts();
            Ok(())
        }
        Err(e) => Err(Stop::writing("standard output", &e)),
    }
}

fn prepare(args: &Report) -> Result<(Case, Options, Pack, Chosen, String), Failure> {
    let options = meaning::options(&args.input, Some(&args.time))?;
    let pack = meaning::pack(&args.rules)?;
    let chosen = Chosen::new(&args.selection, &pack)?;
    let (case, paths) = meaning::open(&args.input, &args.output)?;
    Ok((case, options, pack, chosen, paths))
}

/// Each `-o` with its format; what can be known to fail fails before the work begins.
pub(super) fn targets(
    output: &[PathBuf],
    format: Option<Format>,
) -> Result<Vec<(PathBuf, Format)>, Failure> {
    let mut targets = Vec::new();
    for path in output {
        let format = match (meaning::format_of(path), format) {
            // several outputs: each tells its own format; a single one may be told by -f
            (Ok(own), None) => own,
            (Ok(own), Some(_)) if output.len() > 1 => own,
            (_, Some(told)) => told,
            (Err(failure), None) if path.as_os_str() != "-" => return Err(failure),
            (Err(_), None) => Format::Text,
        };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        if path.is_dir() {
            return Err(Failure::usage(format!(
                "can't write {}: it is a folder",
                path.display()
            )));
        }
        if let Some(folder) = folder.filter(|f| !f.is_dir()) {
            return Err(Failure::usage(format!(
                "can't write {}: no folder {}",
                path.display(),
                folder.display()
            ))
            .help(format!("mkdir -p {}", folder.display())));
        }
        targets.push((path.clone(), format));
    }
    Ok(targets)
}

fn to_file(writing: &Writing<'_>, path: &Path, format: Format, redact: Redact) -> Result<(), Stop> {
    let name = path.display().to_string();
    let file = create(path, &name)?;
    let look = Look {
        color: false,
        width: 100,
        ascii: writing.screen.look.ascii,
    };
    let mut out = BufWriter::new(file);
    writing
        .write(format, redact, (look, false), &mut out)
        .and_then(|()| out.flush())
        .map_err(|e| Failure::usage(format!("can't write {name}: {e}")))?;
    wrote(&name, writing.screen);
    Ok(())
}

pub(in crate::cli) fn open(args: &Report, screen: &Screen) -> Result<Exit, Stop> {
    let wants_report = args.format.is_some() || !args.output.is_empty() || !screen.stdout_tty;
    if wants_report || !super::super::browse::possible() {
        return report(args, screen);
    }
    let zone = meaning::zone("--tz", &args.time.tz)?;
    let (case, options, pack, chosen, paths) = prepare(args)?;
    let reopen = || {
        if args.input.paths.iter().any(|p| p.as_os_str() == "-") {
            return Err("what came from standard input can't be read again".to_owned());
        }
        let opened = meaning::open(&args.input, &args.output).map_err(|f| f.what);
        opened.map(|(case, _)| case)
    };
    let work = (options, pack, Some(chosen));
    super::super::browse::browse(case, Box::new(reopen), work, paths, zone, screen)
}

pub(in crate::cli) fn demo(args: &Demo, screen: &Screen) -> Result<Exit, Stop> {
    if let Some(folder) = &args.write {
        return write_files(folder, screen);
    }
    if args.format.is_some_and(of_check) {
        return Err(Failure::usage("wsdrop demo has no limit to check")
            .help("wsdrop demo --write DIR && wsdrop check DIR -f sarif")
            .into());
    }
    let case = Case::from_memory(demo::NAME, demo::FILES);
    let pack = meaning::pack(&RuleFiles { rules: Vec::new() })?;
    let options = Options::default();
    if args.format.is_none() && screen.stdout_tty && super::super::browse::possible() {
        return super::super::browse::browse(
            case,
            Box::new(|| Ok(Case::from_memory(demo::NAME, demo::FILES))),
            (options, pack, None),
            demo::NAME.to_owned(),
            Zone(0),
            screen,
        );
    }
    let analysis = analysis::run(&case, &options, &pack, &analysis::Silent);
    let writing = Writing {
        analysis: &analysis,
        zone: Zone(0),
        top: 0,
        columns: &[],
        paths: "DIR",
        screen,
        selected: None,
        gate: None,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let format = args.format.unwrap_or(Format::Text);
    let written = writing.write(format, Redact::NONE, (screen.look, true), &mut out);
    if let Err(e) = written {
        let _ = out.into_parts();
        return Err(Stop::writing("standard output", &e));
    }
    if format == Format::Text && screen.quiet == 0 {
        eprintln!(
            "wsdrop demo --write DIR    writes the files of this incident, to try the other commands on"
        );
    }
    Ok(Exit::Done)
}

fn write_files(folder: &Path, screen: &Screen) -> Result<Exit, Stop> {
    let wrong = |path: &Path, e: &std::io::Error| {
        Failure::usage(format!("can't write {}: {e}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|e| wrong(folder, &e))?;
    for (name, _) in demo::FILES {
        let path = folder.join(name);
        if path.exists() {
            return Err(Failure::usage(format!(
                "{} is there already; nothing was written",
                path.display()
            ))
            .help("wsdrop demo --write NEW_FOLDER")
            .into());
        }
    }
    for (name, bytes) in demo::FILES {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|e| wrong(&path, &e))?;
    }
    if screen.quiet == 0 {
        let folder = crate::model::inert(&folder.display().to_string());
        eprintln!("wrote {} files: wsdrop report {folder}", demo::FILES.len());
    }
    Ok(Exit::Done)
}
