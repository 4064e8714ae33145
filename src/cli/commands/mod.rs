//! One file for each command that does more than print a text.

mod aloud;
mod check;
mod diff;
mod look;
mod report;
mod rules;
mod whatif;

pub(super) use check::check;
pub(super) use diff::diff;
pub(super) use look::{frames, show, sources};
pub(super) use report::{demo, open, report};
pub(super) use rules::rules;
pub(super) use whatif::what_if;

use super::args::{ConfigCommand, Configuration, Explain, Format, Schema, SchemaOf};
use super::config;
use super::failure::{Exit, Failure, Stop};
use super::meaning::Screen;
use super::{help, meaning, pager, rules as pages};
use crate::model::InertJson;
use std::io::Write;

/// Writes to standard output; a closed pipe is quiet.
pub(super) fn print(text: impl AsRef<[u8]>) -> Result<Exit, Stop> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())
        .and_then(|()| out.flush())
        .map_err(|e| Stop::writing("standard output", &e))?;
    Ok(Exit::Done)
}

/// Writes to standard output, through a pager where the terminal is too small for it.
pub(super) fn page(text: impl AsRef<[u8]>, screen: &Screen) -> Result<Exit, Stop> {
    let text = text.as_ref();
    match &screen.pager {
        Some(command) if pager::is_long(text) && pager::show(command, text) => Ok(Exit::Done),
        _ => print(text),
    }
}

/// One JSON document, and a line end.
fn print_json(document: &impl serde::Serialize) -> Result<Exit, Stop> {
    let mut text = Vec::new();
    serde_json::to_writer_pretty(InertJson(&mut text), document)
        .map_err(|e| Failure::usage(format!("can't write JSON: {e}")))?;
    text.push(b'\n');
    print(text)
}

/// `--json` or `-f json`; commands that print text or JSON know no other form.
fn wants_json(json: bool, format: Option<Format>, command: &str) -> Result<bool, Failure> {
    match format {
        None => Ok(json),
        Some(Format::Text) => Ok(false),
        Some(Format::Json | Format::JsonV1) => Ok(true),
        Some(_) => Err(Failure::usage(format!(
            "wsdrop {command} prints text or json"
        ))),
    }
}

pub(super) fn explain(args: &Explain, screen: &Screen) -> Result<Exit, Stop> {
    let pack = meaning::pack(&args.rules)?;
    let text = match &args.rule {
        Some(name) => pages::page(&pack, name)?,
        None => pages::list_all(&pack)?,
    };
    page(text, screen)
}

pub(super) fn config(args: &Configuration, screen: &Screen) -> Result<Exit, Stop> {
    let given = screen.config.as_deref();
    match args.command {
        ConfigCommand::Path => print(config::path(given)?),
        ConfigCommand::Show => print(config::show(given)?),
        ConfigCommand::Init => {
            let path = config::init(given)?;
            let name = path.display().to_string();
            print(format!("{}\n", crate::model::inert(&name)))
        }
    }
}

pub(super) fn schema(args: &Schema) -> Result<Exit, Stop> {
    match args.what {
        SchemaOf::Report => print(crate::report::json::SCHEMA),
        SchemaOf::Ndjson => print_json(&crate::report::json::line_schema()),
        SchemaOf::Rules => print_json(&help::rule_schema()),
    }
}

/// What the current folder holds, if it holds something to analyse.
pub(super) fn here() -> Option<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(".").ok()?.flatten().take(2_000) {
        if !entry.file_name().to_string_lossy().starts_with('.')
            && entry.file_type().is_ok_and(|t| t.is_file())
        {
            names.push(entry.path());
        }
    }
    let (mut captures, mut logs) = (0, 0);
    names.sort_unstable();
    for path in names.iter().take(200) {
        let mut head = Vec::new();
        let Ok(file) = std::fs::File::open(path) else {
            continue;
        };
        let _ = std::io::Read::read_to_end(&mut std::io::Read::take(file, 8_192), &mut head);
        match crate::analysis::looks_like(&head) {
            Some(crate::analysis::LooksLike::Capture) => captures += 1,
            Some(crate::analysis::LooksLike::Log) => logs += 1,
            None => {}
        }
    }
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (captures, logs) {
        (0, 0) => None,
        (c, 0) => Some(format!("{} here: wsdrop .", plural(c, "capture"))),
        (0, l) => Some(format!("{} here: wsdrop .", plural(l, "log"))),
        (c, l) => Some(format!(
            "{} and {} here: wsdrop .",
            plural(c, "capture"),
            plural(l, "log")
        )),
    }
}
