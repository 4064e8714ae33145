//! `--rules` and the rules' own words -> the pack in force and the pages about it.

use super::failure::Failure;
use crate::diagnose::Pack;
use crate::model::Cause;
use std::path::PathBuf;

pub(super) fn load(files: &[PathBuf]) -> Result<Pack, Failure> {
    if let Some(path) = files.first() {
        return Err(Failure::usage(format!(
            "--rules {}: rules from files are not read yet",
            path.display()
        )));
    }
    Ok(Pack {
        name: "builtin".to_owned(),
    })
}

/// The page about one rule, by code or cause.
pub(super) fn page(_pack: &Pack, name: &str) -> Result<String, Failure> {
    let Some(cause) = Cause::parse(name) else {
        return Err(
            Failure::usage(format!("no rule {name}")).help("wsdrop explain    lists them all")
        );
    };
    Ok(format!(
        "{} {}\n\nA connection {}.\n",
        cause.code(),
        cause.id(),
        cause.title()
    ))
}

/// One line for each rule.
pub(super) fn list(_pack: &Pack) -> String {
    Cause::ALL
        .iter()
        .map(|c| format!("{}  {:<24} {}\n", c.code(), c.id(), c.title()))
        .collect()
}
