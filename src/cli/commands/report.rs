//! `report`, `open` and `demo`: the analysis -> text, JSON or the terminal UI.

use crate::analysis::{self, Options};
use crate::case::Case;
use crate::cli::args::{Demo, Format, Report, RuleFiles};
use crate::cli::demo;
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::diagnose::Pack;
use crate::model::Analysis;
use crate::report::{Look, Redact, Redactor, Zone, json, ndjson, text};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What a report is written with.
struct Writing<'a> {
    analysis: &'a Analysis,
    zone: Zone,
    top: usize,
    paths: &'a str,
    screen: &'a Screen,
}

impl Writing<'_> {
    fn write(
        &self,
        format: Format,
        redact: Redact,
        look: Look,
        out: &mut impl Write,
    ) -> std::io::Result<()> {
        let redactor = Redactor::new(redact, self.analysis);
        match format {
            Format::Json | Format::JsonV1 => json::write(self.analysis, &redactor, out)?,
            Format::Ndjson => ndjson::write(self.analysis, &redactor, out)?,
            Format::Text => {
                let options = text::Options {
                    look,
                    zone: self.zone,
                    top: self.top,
                    verbose: self.screen.verbose,
                    quiet: self.screen.quiet > 0,
                    paths: self.paths,
                };
                text::write(self.analysis, &redactor, &options, out)?;
            }
        }
        out.flush()
    }
}

pub(in crate::cli) fn report(args: &Report, screen: &Screen) -> Result<Exit, Stop> {
    let zone = meaning::zone("--tz", &args.time.tz)?;
    let targets = targets(args)?;
    let to_stdout = targets.is_empty() || targets.iter().any(|(path, _)| path.as_os_str() == "-");
    let redact = |to_tty| meaning::redact(&args.privacy, to_tty);
    redact(false)?;
    let (case, options, pack, paths) = prepare(args)?;
    let analysis = analysis::run(&case, &options, &pack, &Told::new(screen.progress));

    let writing = Writing {
        analysis: &analysis,
        zone,
        top: args.top,
        paths: &paths,
        screen,
    };
    let nothing = meaning::nothing_used(&analysis, &paths);
    for (path, format) in &targets {
        if path.as_os_str() != "-" {
            to_file(&writing, path, *format, redact(false)?)?;
        }
    }
    if to_stdout {
        let format = targets
            .iter()
            .find(|(path, _)| path.as_os_str() == "-")
            .map(|(_, format)| *format)
            .or(args.format)
            .unwrap_or(Format::Text);
        // a program that reads the document gets it in any case
        if nothing.is_none() || format != Format::Text {
            let mut out = BufWriter::new(std::io::stdout().lock());
            match writing.write(format, redact(screen.stdout_tty)?, screen.look, &mut out) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
                    // what is left in the buffer can't be written either
                    let _ = out.into_parts();
                }
                Err(e) => return Err(Stop::writing("standard output", &e)),
            }
        }
    }
    match nothing {
        Some(failure) => Err(failure.into()),
        None => Ok(meaning::completeness(&analysis, args.input.strict, screen)),
    }
}

fn prepare(args: &Report) -> Result<(Case, Options, Pack, String), Failure> {
    let options = meaning::options(&args.input, Some(&args.time))?;
    let pack = meaning::pack(&args.rules)?;
    let (case, paths) = meaning::open(&args.input, &args.output)?;
    Ok((case, options, pack, paths))
}

/// Each `-o` with its format; what can be known to fail fails before the work begins.
fn targets(args: &Report) -> Result<Vec<(PathBuf, Format)>, Failure> {
    let mut targets = Vec::new();
    for path in &args.output {
        let format = match (meaning::format_of(path), args.format) {
            // several outputs: each tells its own format; a single one may be told by -f
            (Ok(own), None) => own,
            (Ok(own), Some(_)) if args.output.len() > 1 => own,
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
    let file =
        File::create(path).map_err(|e| Failure::usage(format!("can't write {name}: {e}")))?;
    let look = Look {
        color: false,
        width: 100,
        ascii: writing.screen.look.ascii,
    };
    writing
        .write(format, redact, look, &mut BufWriter::new(file))
        .map_err(|e| Failure::usage(format!("can't write {name}: {e}")))?;
    if writing.screen.quiet == 0 {
        eprintln!("wrote {}", crate::model::inert(&name));
    }
    Ok(())
}

pub(in crate::cli) fn open(args: &Report, screen: &Screen) -> Result<Exit, Stop> {
    let wants_report = args.format.is_some() || !args.output.is_empty() || !screen.stdout_tty;
    if wants_report || !super::super::browse::possible() {
        return report(args, screen);
    }
    let zone = meaning::zone("--tz", &args.time.tz)?;
    let (case, options, pack, paths) = prepare(args)?;
    super::super::browse::browse(case, options, pack, paths, zone, screen)
}

pub(in crate::cli) fn demo(args: &Demo, screen: &Screen) -> Result<Exit, Stop> {
    if let Some(folder) = &args.write {
        return write_files(folder, screen);
    }
    let case = Case::from_memory(demo::NAME, demo::FILES);
    let pack = meaning::pack(&RuleFiles { rules: Vec::new() })?;
    let options = Options::default();
    if args.format.is_none() && screen.stdout_tty && super::super::browse::possible() {
        return super::super::browse::browse(
            case,
            options,
            pack,
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
        paths: "DIR",
        screen,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let format = args.format.unwrap_or(Format::Text);
    let written = writing.write(format, Redact::NONE, screen.look, &mut out);
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
