//! `rules`: the rules in force, their pages, their mistakes, their samples, and how often they are right.

use crate::analysis::{self, Options};
use crate::case::{Case, OpenOptions};
use crate::cli::args::{Rules, RulesCommand, RulesTest};
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::cli::rules as pages;
use crate::diagnose::accuracy::{self, Accuracy, Label, Share};
use crate::diagnose::coverage::{Covered, coverage};
use crate::diagnose::pack::{self, BUILTIN};
use crate::diagnose::{Pack, RuleError, handbook, lint};
use crate::model::{Cause, Tier, inert};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a folder of a corpus holds beside the evidence.
const NOT_EVIDENCE: &[&str] = &["expected.json", "README.md"];

pub(in crate::cli) fn rules(args: &Rules, screen: &Screen) -> Result<Exit, Stop> {
    match &args.command {
        RulesCommand::List(files) => super::print(pages::list(&meaning::pack(files)?)),
        RulesCommand::Show { rule, rules } => {
            super::print(pages::page(&meaning::pack(rules)?, rule)?)
        }
        RulesCommand::Lint { files } => lint_files(files),
        RulesCommand::Test(args) => test(args, screen),
        RulesCommand::Export { folder } => export(folder, screen),
        RulesCommand::Doc(files) => super::print(handbook::markdown(&meaning::pack(files)?)),
    }
}

fn mistakes(of: &str, errors: &[RuleError]) -> Failure {
    let count = errors.len();
    let plural = if count == 1 { "" } else { "s" };
    errors
        .iter()
        .flat_map(|e| e.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
        .fold(
            Failure::usage(format!("{count} mistake{plural} in {of}")),
            Failure::because,
        )
}

/// Every mistake in the files, then what they do to the pack as a whole, then their samples.
fn lint_files(files: &[PathBuf]) -> Result<Exit, Stop> {
    let texts = pages::texts(files)?;
    let of = format!(
        "{} rule file{}",
        texts.len(),
        if texts.len() == 1 { "" } else { "s" }
    );
    let mut errors: Vec<RuleError> = Vec::new();
    for (path, text) in &texts {
        if Path::new(path)
            .file_name()
            .is_some_and(|n| n == lint::OVERRIDES)
        {
            errors.extend(lint::read_overrides(path, text).err().unwrap_or_default());
        } else {
            errors.extend(lint::read(path, text).err().unwrap_or_default());
        }
    }
    if errors.is_empty() {
        // A built-in rule as it is stands in for nothing; its samples are weighed like all others.
        let own: Vec<(String, String)> = texts
            .iter()
            .filter(|(_, text)| BUILTIN.iter().all(|(_, built_in)| built_in != text))
            .cloned()
            .collect();
        match Pack::with_dir("these", &own) {
            Ok(pack) => errors.extend(pack::check_samples(&pack)),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() {
        super::print(format!("{of}, no mistake\n"))
    } else {
        Err(mistakes(&of, &errors).into())
    }
}

fn test(args: &RulesTest, screen: &Screen) -> Result<Exit, Stop> {
    let pack = meaning::pack(&args.rules)?;
    let wrong = pack::check_samples(&pack);
    if !wrong.is_empty() {
        return Err(mistakes("the samples of the rules", &wrong).into());
    }
    let covered = args.coverage.then(|| coverage(&pack));
    let gaps: Vec<&Covered> = covered.iter().flatten().filter(|c| !c.is_whole()).collect();
    if !gaps.is_empty() && !args.json {
        let failure = Failure::usage(format!(
            "{} condition{} that no sample tries in every way",
            gaps.len(),
            if gaps.len() == 1 { "" } else { "s" }
        ));
        let failure = gaps
            .iter()
            .fold(failure, |f, c| f.because(condition(c)))
            .help("add a [[sample]] in which it holds, and one in which it does not");
        return Err(failure.into());
    }
    let accuracy = match &args.corpus {
        Some(folder) => Some(measure(folder, &pack, screen)?),
        None => None,
    };
    if args.json {
        super::print_json(&document(&pack, accuracy.as_ref(), covered))
    } else {
        let all = || pack.rules.iter().chain(&pack.own);
        let samples: usize = all().map(|r| r.samples.len()).sum();
        let mut out = format!(
            "{samples} samples of {} rules come out as they say ({})\n",
            all().count(),
            inert(&pack.name)
        );
        if let Some(covered) = &covered {
            let _ = writeln!(
                out,
                "{} conditions, each shown, refuted and unobserved in some sample",
                covered.len()
            );
        }
        if let Some(accuracy) = &accuracy {
            table(&mut out, accuracy);
        }
        super::print(out)
    }
}

fn condition(c: &Covered) -> String {
    format!(
        "{} {}: {} {}: shown by {}, refuted by {}, unobserved in {}",
        c.cause.code(),
        c.part.name(),
        c.fact,
        c.wanted,
        c.shown,
        c.refuted,
        c.unobserved
    )
}

/// Folders with an `expected.json` in `folder`, or `folder` itself.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cant = |e: std::io::Error| Failure::usage(format!("can't read {}: {e}", folder.display()));
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(cant)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .chain(std::iter::once(folder.to_owned()))
        .filter(|p| p.join("expected.json").is_file())
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(Failure {
            exit: Exit::NothingRecognised,
            ..Failure::usage(format!("no expected.json in {}", folder.display()))
        }
        .because(
            "a corpus is a folder of incidents, each a folder with its files and an expected.json",
        ));
    }
    Ok(found)
}

fn measure(corpus: &Path, pack: &Pack, screen: &Screen) -> Result<Accuracy, Failure> {
    let mut accuracy = Accuracy::default();
    for folder in folders(corpus)? {
        let path = folder.join("expected.json");
        let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
        let expected = accuracy::parse(&text).map_err(wrong)?;
        let options = OpenOptions {
            exclude: NOT_EVIDENCE.iter().map(|n| (*n).to_owned()).collect(),
            ..OpenOptions::default()
        };
        let case = Case::open(std::slice::from_ref(&folder), &options)
            .map_err(|e| Failure::usage(e.to_string()))?;
        let analysis = analysis::run(
            &case,
            &Options::default(),
            pack,
            &Told::new(screen.progress),
        );
        accuracy.add(&expected, &analysis);
    }
    Ok(accuracy)
}

fn per_cent(share: Share) -> String {
    share.ratio().map_or_else(
        || "-".to_owned(),
        |r| format!("{:.1} %", (r * 1_000.0).floor() / 10.0),
    )
}

fn of(share: Option<&Share>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |s| format!("{}/{} {:>7}", s.right, s.all, per_cent(*s)),
    )
}

fn table(out: &mut String, a: &Accuracy) {
    let _ = writeln!(
        out,
        "\n{} incidents, {} connections: {} of {} drops have the right cause ({}), {} of {} others were left alone; \
         {} false drops, {} made up, {} not found",
        a.folders,
        a.connections,
        a.cause.right,
        a.cause.all,
        per_cent(a.cause),
        a.left_alone.right,
        a.left_alone.all,
        a.false_drops(),
        a.invented(),
        a.missed()
    );
    if a.incidents.all > 0 || a.false_incidents > 0 {
        let _ = writeln!(
            out,
            "{} of {} incidents were told, {} too many",
            a.incidents.right, a.incidents.all, a.false_incidents
        );
    }
    let _ = writeln!(out, "\n  {:<31}{:>16}", "tier", "right");
    for (tier, share) in a.tiers.iter().rev() {
        let _ = writeln!(out, "  {:<31}{:>16}", tier.name(), of(Some(share)));
    }
    let causes: BTreeSet<Cause> = a.precision.keys().chain(a.recall.keys()).copied().collect();
    let _ = writeln!(
        out,
        "\n  {:<31}{:>16}  {:>16}",
        "cause", "precision", "recall"
    );
    for cause in causes {
        let name = format!("{} {}", cause.code(), cause.id());
        let (precision, recall) = (of(a.precision.get(&cause)), of(a.recall.get(&cause)));
        let _ = writeln!(out, "  {name:<31}{precision:>16}  {recall:>16}");
    }
    matrix(out, a);
}

/// What was, down; what was said, across.
fn matrix(out: &mut String, a: &Accuracy) {
    let was: BTreeSet<Label> = a.matrix.keys().map(|(was, _)| *was).collect();
    let said: BTreeSet<Label> = a.matrix.keys().map(|(_, said)| *said).collect();
    let _ = write!(out, "\n  {:<31}", "what was, and what was said");
    for label in &said {
        let _ = write!(out, "{:>6}", label.short());
    }
    out.push('\n');
    for row in &was {
        let name = match row {
            Label::Cause(cause) => format!("{} {}", cause.code(), cause.id()),
            other => other.name().to_owned(),
        };
        let mut line = format!("  {name:<31}");
        for column in &said {
            let n = a.matrix.get(&(*row, *column));
            let _ = write!(line, "{:>6}", n.map_or(String::new(), usize::to_string));
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    rules: String,
    samples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Vec<CoveredOut>>,
    corpus: Option<Corpus>,
}

#[derive(Debug, Serialize)]
struct CoveredOut {
    rule: &'static str,
    part: &'static str,
    fact: &'static str,
    wanted: String,
    shown: usize,
    refuted: usize,
    unobserved: usize,
}

#[derive(Debug, Serialize)]
struct Corpus {
    incidents: usize,
    connections: usize,
    cause: Share,
    left_alone: Share,
    false_drops: usize,
    made_up: usize,
    not_found: usize,
    incidents_told: Share,
    incidents_too_many: usize,
    tiers: BTreeMap<&'static str, Share>,
    causes: BTreeMap<&'static str, CauseOut>,
    confusion: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct CauseOut {
    precision: Option<Share>,
    recall: Option<Share>,
}

#[derive(Debug, Serialize)]
struct Cell {
    was: &'static str,
    said: &'static str,
    count: usize,
}

fn document(pack: &Pack, accuracy: Option<&Accuracy>, covered: Option<Vec<Covered>>) -> Document {
    Document {
        schema: "wsdrop.rules-test/1",
        rules: pack.name.clone(),
        samples: pack.rules.iter().map(|r| r.samples.len()).sum(),
        coverage: covered.map(|all| {
            all.into_iter()
                .map(|c| CoveredOut {
                    rule: c.cause.code(),
                    part: c.part.name(),
                    fact: c.fact,
                    wanted: c.wanted,
                    shown: c.shown,
                    refuted: c.refuted,
                    unobserved: c.unobserved,
                })
                .collect()
        }),
        corpus: accuracy.map(|a| Corpus {
            incidents: a.folders,
            connections: a.connections,
            cause: a.cause,
            left_alone: a.left_alone,
            false_drops: a.false_drops(),
            made_up: a.invented(),
            not_found: a.missed(),
            incidents_told: a.incidents,
            incidents_too_many: a.false_incidents,
            tiers: a.tiers.iter().map(|(t, s)| (Tier::name(*t), *s)).collect(),
            causes: a
                .precision
                .keys()
                .chain(a.recall.keys())
                .map(|c| {
                    (
                        c.id(),
                        CauseOut {
                            precision: a.precision.get(c).copied(),
                            recall: a.recall.get(c).copied(),
                        },
                    )
                })
                .collect(),
            confusion: a
                .matrix
                .iter()
                .map(|((was, said), count)| Cell {
                    was: was.name(),
                    said: said.name(),
                    count: *count,
                })
                .collect(),
        }),
    }
}

/// The built-in rules as files to start from, each ready to stand in for its original; nothing is written over.
fn export(folder: &Path, screen: &Screen) -> Result<Exit, Stop> {
    let wrong = |path: &Path, e: &std::io::Error| {
        Failure::usage(format!("can't write {}: {e}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|e| wrong(folder, &e))?;
    let files: Vec<(PathBuf, &str)> = BUILTIN
        .iter()
        .map(|(path, text)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            (folder.join(name), *text)
        })
        .collect();
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(Failure::usage(format!(
            "{} is there already; nothing was written",
            path.display()
        ))
        .help("wsdrop rules export NEW_FOLDER")
        .into());
    }
    for (path, text) in &files {
        std::fs::write(path, format!("replaces = true\n{text}")).map_err(|e| wrong(path, &e))?;
    }
    if screen.quiet == 0 {
        let shown = inert(&folder.display().to_string());
        eprintln!(
            "wrote {} rules; keep those that you change: wsdrop report --rules {shown}",
            files.len()
        );
    }
    Ok(Exit::Done)
}
