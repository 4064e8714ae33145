//! `rules`: the rules in force, their pages, their mistakes, their samples, and how often they are right.

use crate::analysis::{self, Options};
use crate::case::{Case, OpenOptions};
use crate::cli::args::{Rules, RulesCommand, RulesTest};
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told as Progress;
use crate::cli::rules as pages;
use crate::diagnose::accuracy::{self, Accuracy, Expected, Label, Share};
use crate::diagnose::coverage::{Covered, coverage};
use crate::diagnose::pack::{self, BUILTIN};
use crate::diagnose::{Pack, RuleError, handbook, interplay, lint, template};
use crate::model::{Analysis, Cause, SourceKind, Tier, inert};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub(in crate::cli) fn rules(args: &Rules, screen: &Screen) -> Result<Exit, Stop> {
    match &args.command {
        RulesCommand::List(files) => super::page(pages::list(&meaning::pack(files)?), screen),
        RulesCommand::Show { rule, rules } => {
            super::page(pages::page(&meaning::pack(rules)?, rule)?, screen)
        }
        RulesCommand::Lint { files } => lint_files(files),
        RulesCommand::Test(args) => test(args, screen),
        RulesCommand::New { code, cause, file } => new_rule(code, cause, file.as_deref(), screen),
        RulesCommand::Export { folder } => export(folder, screen),
        RulesCommand::Doc(files) => super::print(handbook::markdown(&meaning::pack(files)?)),
    }
}

fn new_rule(code: &str, cause: &str, file: Option<&Path>, screen: &Screen) -> Result<Exit, Stop> {
    if !lint::is_own(code) {
        let said = format!("`{}` is no code for a rule of your own", inert(code));
        return Err(Failure::usage(said)
            .help("write U and one to four digits")
            .into());
    }
    let known = Cause::parse(&cause.to_ascii_lowercase());
    let Some(text) = known.and_then(|c| template::own_rule(code, c)) else {
        let said = format!("no rule is about `{}`", inert(cause));
        let near = lint::did_you_mean(cause, Cause::ALL.iter().map(|c| c.id()));
        let help = near.map_or_else(
            || "`wsdrop explain` lists the causes".to_owned(),
            |c| format!("did you mean `{c}`?"),
        );
        return Err(Failure::usage(said).help(help).into());
    };
    let Some(file) = file else {
        return super::print(text);
    };
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(file)
        .and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()));
    if let Err(e) = written {
        let said = format!("can't write {}: {e}", inert(&file.display().to_string()));
        return Err(Failure::usage(said)
            .help("wsdrop rules new NEW_FILE never writes over a file that is there")
            .into());
    }
    let folder = file
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    if screen.quiet == 0 {
        eprintln!(
            "wrote {0}; next: wsdrop rules lint {0} · wsdrop report --rules {1} ./incident",
            inert(&file.to_string_lossy()),
            inert(&folder.to_string_lossy())
        );
    }
    Ok(Exit::Done)
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
            Ok(pack) => {
                errors.extend(pack::check_samples(&pack));
                if errors.is_empty() {
                    errors.extend(interplay::check(&pack));
                }
            }
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
        Some(folder) => Some(measure(folder, &pack, args.parts, screen)?),
        None => None,
    };
    if args.json {
        super::print_json(&document(&pack, accuracy.as_ref(), covered))
    } else if let (true, Some(accuracy)) = (args.markdown, &accuracy) {
        super::print(markdown(accuracy))
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
            if screen.verbose > 0 {
                list_wrong(&mut out, accuracy);
            }
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

/// An incident of a corpus: its folder, the file that tells what happened, and what that says.
type Told = (PathBuf, PathBuf, Expected);

/// The incidents in `corpus`, or `corpus` itself where it is one.
fn incidents(corpus: &Path) -> Result<Vec<Told>, Failure> {
    let cant = |e: std::io::Error| Failure::usage(format!("can't read {}: {e}", corpus.display()));
    let mut folders: Vec<PathBuf> = std::fs::read_dir(corpus)
        .map_err(cant)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .chain(std::iter::once(corpus.to_owned()))
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        found.extend(told(&folder)?);
    }
    if found.is_empty() {
        return Err(Failure {
            exit: Exit::NothingRecognised,
            ..Failure::usage(format!("no expected.json in {}", corpus.display()))
        }
        .because(
            "a corpus is a folder of incidents, each a folder with its files and an expected.json",
        ));
    }
    Ok(found)
}

/// `expected.json` where it is there, else the first JSON file that is a record of what happened.
fn told(folder: &Path) -> Result<Option<Told>, Failure> {
    let path = folder.join("expected.json");
    if path.is_file() {
        let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
        let expected = accuracy::parse(&text).map_err(wrong)?;
        return Ok(Some((folder.to_owned(), path.clone(), expected)));
    }
    let mut files: Vec<PathBuf> = files(folder)
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).ok()?;
        accuracy::parse(&text).ok()
    };
    Ok(files
        .into_iter()
        .find_map(|path| read(&path).map(|e| (folder.to_owned(), path, e))))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.is_file())
        .collect();
    files.sort();
    files
}

fn measure(corpus: &Path, pack: &Pack, parts: bool, screen: &Screen) -> Result<Accuracy, Failure> {
    let mut accuracy = Accuracy::default();
    let analyse = |paths: &[PathBuf], without: &Path| -> Result<Analysis, Failure> {
        let name = without
            .file_name()
            .map(|n| n.to_string_lossy().into_owned());
        let options = OpenOptions {
            exclude: name.into_iter().chain(["README.md".to_owned()]).collect(),
            ..OpenOptions::default()
        };
        let case = Case::open(paths, &options).map_err(|e| Failure::usage(e.to_string()))?;
        let told = Progress::new(screen.progress);
        Ok(analysis::run(&case, &Options::default(), pack, &told))
    };
    for (folder, path, expected) in incidents(corpus)? {
        let whole = analyse(std::slice::from_ref(&folder), &path)?;
        accuracy.add(&expected, &whole);
        if !parts {
            continue;
        }
        for part in parts_of(&whole, &folder, &path) {
            let names: Vec<String> = part
                .iter()
                .map(|p| p.strip_prefix(corpus).unwrap_or(p).display().to_string())
                .collect();
            accuracy.add_part(&names.join(" "), &expected, &analyse(&part, &path)?);
        }
    }
    Ok(accuracy)
}

/// The captures alone, the rest alone, each file alone, and all but each file; each set once.
fn parts_of(whole: &Analysis, folder: &Path, told: &Path) -> BTreeSet<Vec<PathBuf>> {
    let evidence: Vec<PathBuf> = files(folder)
        .into_iter()
        .filter(|p| p != told && p.file_name().is_none_or(|n| n != "README.md"))
        .collect();
    let is_capture = |p: &PathBuf| {
        whole.sources.iter().any(|s| {
            (s.kind.is_capture() || s.kind == SourceKind::KeyLog)
                && Path::new(&s.path).file_name() == p.file_name()
        })
    };
    let (captures, rest): (Vec<PathBuf>, Vec<PathBuf>) =
        evidence.iter().cloned().partition(is_capture);
    let mut sets = BTreeSet::from([captures, rest]);
    for one in &evidence {
        sets.insert(vec![one.clone()]);
        sets.insert(evidence.iter().filter(|p| *p != one).cloned().collect());
    }
    sets.retain(|set| !set.is_empty() && set.len() < evidence.len());
    sets
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
    if a.parts > 0 {
        let _ = writeln!(
            out,
            "\n  {:<31}{:>16}",
            format!("tier, from {} parts of them", a.parts),
            "right"
        );
        for (tier, share) in a.tiers_of_parts.iter().rev() {
            let _ = writeln!(out, "  {:<31}{:>16}", tier.name(), of(Some(share)));
        }
        let _ = writeln!(out, "  {} false drops from parts", a.false_drops_of_parts);
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

/// Each one that came out otherwise than it was.
fn list_wrong(out: &mut String, a: &Accuracy) {
    out.push('\n');
    for w in &a.wrong {
        let tier = w.tier.map_or("-", Tier::name);
        let part = w
            .part
            .as_deref()
            .map_or_else(String::new, |p| format!("  from {}", inert(p)));
        let _ = writeln!(
            out,
            "  {} said to be {} ({tier}): {} {}{part}",
            w.was.name(),
            w.said.name(),
            inert(&w.client),
            w.id.as_deref().unwrap_or("-")
        );
    }
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

/// The same as the book shows it.
fn markdown(a: &Accuracy) -> String {
    let mut out = format!(
        "{} incidents, {} connections. {} of {} drops and failed handshakes have the right cause ({}), {} of {} other connections were left \
         alone; {} false drops, {} made up, {} not found.\n",
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
    let share =
        |s: Option<&Share>| s.map_or_else(String::new, |s| format!("{} of {}", s.right, s.all));
    let parts = a.parts > 0;
    let (head, rule) = if parts {
        (
            format!(" right from {} parts of the evidence |", a.parts),
            "---|",
        )
    } else {
        (String::new(), "")
    };
    let _ = writeln!(out, "\n| tier | right |{head}\n|---|---|{rule}");
    for tier in [Tier::Certain, Tier::Likely, Tier::Possible, Tier::Undecided] {
        let (whole, part) = (a.tiers.get(&tier), a.tiers_of_parts.get(&tier));
        if whole.is_none() && part.is_none() {
            continue;
        }
        let _ = write!(out, "| {} | {} |", tier.name(), share(whole));
        if parts {
            let _ = write!(out, " {} |", share(part));
        }
        out.push('\n');
    }
    out.push_str("\n| cause | precision | recall |\n|---|---|---|\n");
    let causes: BTreeSet<Cause> = a.precision.keys().chain(a.recall.keys()).copied().collect();
    for cause in causes {
        let _ = writeln!(
            out,
            "| {} `{}` | {} | {} |",
            cause.code(),
            cause.id(),
            share(a.precision.get(&cause)),
            share(a.recall.get(&cause))
        );
    }
    let was: BTreeSet<Label> = a.matrix.keys().map(|(was, _)| *was).collect();
    let said: BTreeSet<Label> = a.matrix.keys().map(|(_, said)| *said).collect();
    out.push_str("\n| what was, and what was said |");
    for label in &said {
        let _ = write!(out, " {} |", label.short());
    }
    let _ = writeln!(out, "\n|---|{}", "---:|".repeat(said.len()));
    for row in &was {
        let _ = write!(out, "| {} |", row.name());
        for column in &said {
            let n = a.matrix.get(&(*row, *column));
            let _ = write!(out, " {} |", n.map_or(String::new(), usize::to_string));
        }
        out.push('\n');
    }
    out
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
    parts: usize,
    tiers_of_parts: BTreeMap<&'static str, Share>,
    false_drops_of_parts: usize,
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
            parts: a.parts,
            tiers_of_parts: a
                .tiers_of_parts
                .iter()
                .map(|(t, s)| (Tier::name(*t), *s))
                .collect(),
            false_drops_of_parts: a.false_drops_of_parts,
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
