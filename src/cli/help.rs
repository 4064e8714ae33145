//! `wsdrop help TOPIC`, `wsdrop completions` and the man page -> their texts, made from the grammar and the tables in force.

use super::args::Cli;
use super::failure::Failure;
use crate::model::filter::KEYS;
use crate::model::{Severity, catalogue};
use clap::CommandFactory;
use std::fmt::Write;

/// Topics beside the commands, each with what it tells.
pub(super) const TOPICS: &[(&str, &str)] = &[
    ("filters", "the language of -w"),
    ("exit-codes", "what the program returns"),
    ("severities", "what wsdrop check fails on"),
];

/// The page of a topic; `None` = no topic of that name.
pub(super) fn topic(name: &str) -> Option<String> {
    match name {
        "filters" => Some(filters()),
        "exit-codes" => Some(format!("{}\n", super::args::EXIT_CODES)),
        "severities" => Some(severities()),
        "--help" | "-h" => {
            let mut out = String::from("wsdrop help COMMAND, or one of these:\n");
            for (name, tells) in TOPICS {
                let _ = writeln!(out, "  {name:<12} {tells}");
            }
            Some(out)
        }
        _ => None,
    }
}

fn filters() -> String {
    let mut out = String::from(
        "A filter chooses connections. Words are joined by AND.\n\n  \
         word, \"two words\", /regex/   found in anything that a row shows\n  \
         key:value                    contains it; key=value is it as a whole; * stands for anything\n  \
         key>value, >=, <, <=         for durations, sizes, codes, times and conf\n  \
         key:a..b, key:60s~0.5s       between; about\n  \
         key:none                     not known, or not there\n  \
         -word, -key:value            not\n  \
         (a OR b)                     either\n\nKeys:\n",
    );
    for (key, help) in KEYS {
        let _ = writeln!(out, "  {key:<8} {help}");
    }
    out.push_str("\nwsdrop report -w 'cause:idle-timeout silent>55s' -w 'by:nginx' ./incident\n");
    out
}

fn severities() -> String {
    let mut out =
        String::from("wsdrop check --fail-on SEVERITY fails on this and what stands above it.\n");
    for severity in Severity::ALL.iter().rev() {
        let _ = writeln!(out, "\n{}", severity.name());
        for (code, id, title, _) in catalogue().filter(|r| r.3 == *severity) {
            let _ = writeln!(out, "  {code} {id:<25} {title}");
        }
    }
    out
}

pub(super) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wsdrop", &mut out);
    out
}

/// The man page of the program, or of one command.
pub(super) fn man(command: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut root = Cli::command();
    root.build();
    let (command, title) = match command {
        None => (root, "wsdrop".to_owned()),
        Some(name) => (
            root.find_subcommand(name).cloned().ok_or_else(|| {
                Failure::usage(format!("no command {name}"))
                    .help("wsdrop --help lists the commands")
            })?,
            format!("wsdrop-{name}"),
        ),
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(command)
        .title(title)
        .render(&mut out)
        .map_err(|e| Failure::usage(format!("can't write the page: {e}")))?;
    Ok(out)
}
