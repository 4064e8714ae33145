//! `--rules` and the rules' own words -> the pack in force and the pages about it.

use super::failure::Failure;
use crate::diagnose::{Pack, explain};
use crate::model::inert;
use std::path::{Path, PathBuf};

/// The built-in rules, and those of the files and folders given: every mistake in them is told at once.
pub(super) fn load(given: &[PathBuf]) -> Result<Pack, Failure> {
    if given.is_empty() {
        return Ok(Pack::builtin());
    }
    let files = texts(given)?;
    let name = given
        .iter()
        .map(|p| p.display().to_string())
        .collect::<Vec<_>>()
        .join(" + ");
    Pack::with_dir(&name, &files).map_err(|errors| {
        let count = errors.len();
        let plural = if count == 1 { "" } else { "s" };
        let failure = Failure::usage(format!("{count} mistake{plural} in the rules of {name}"));
        errors
            .iter()
            .flat_map(|e| e.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
            .fold(failure, Failure::because)
            .help("wsdrop explain W101    shows what a rule is made of")
    })
}

/// `(path, text)` of each file given, and of those in the folders given.
pub(super) fn texts(given: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for path in given {
        read(path, &mut files)?;
    }
    Ok(files)
}

fn read(path: &Path, files: &mut Vec<(String, String)>) -> Result<(), Failure> {
    let cant =
        |e: std::io::Error| Failure::usage(format!("can't read the rules {}: {e}", path.display()));
    if path.is_dir() {
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(cant)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "toml"))
            .collect();
        inside.sort();
        if inside.is_empty() {
            return Err(Failure::usage(format!("no rule in {}", path.display()))
                .because("rules are files that end in .toml"));
        }
        return inside.iter().try_for_each(|p| read(p, files));
    }
    let text = std::fs::read_to_string(path).map_err(cant)?;
    files.push((path.display().to_string(), text));
    Ok(())
}

/// The page about one rule, by code or cause.
pub(super) fn page(pack: &Pack, name: &str) -> Result<String, Failure> {
    explain::explain(pack, Some(name))
        .map(|page| plain(&page))
        .map_err(Failure::usage)
}

/// One line for each rule.
pub(super) fn list(pack: &Pack) -> String {
    plain(&explain::list(pack))
}

/// The same, and what is told of many connections.
pub(super) fn list_all(pack: &Pack) -> Result<String, Failure> {
    explain::explain(pack, None)
        .map(|list| plain(&list))
        .map_err(Failure::usage)
}

/// A rule file of somebody else's is foreign text as well.
fn plain(text: &str) -> String {
    text.lines().map(|l| inert(l) + "\n").collect()
}
