//! `wsdrop help TOPIC`, `wsdrop completions` and the man page -> their texts, made from the grammar and the tables in force.

use super::args::Cli;
use super::failure::Failure;
use crate::diagnose::BUILTIN;
use crate::model::filter::KEYS;
use crate::model::{Severity, catalogue};
use clap::CommandFactory;
use std::fmt::Write;

/// Topics beside the commands, each with what it tells.
pub(super) const TOPICS: &[(&str, &str)] = &[
    ("filters", "the language of -w"),
    ("times", "what --since, --until and --tz take"),
    (
        "formats",
        "what reports are written as, and the columns of csv",
    ),
    (
        "config",
        "which files and variables are read, and which wins",
    ),
    ("exit-codes", "what the program returns"),
    ("severities", "what wsdrop check fails on"),
];

/// What `help WORDS` prints; `None` = clap's own page of a command.
pub(super) fn asked(words: &[std::ffi::OsString]) -> Option<Result<String, Failure>> {
    let name = words.first()?.to_str()?;
    if let Some(page) = topic(name) {
        return Some(Ok(page));
    }
    let root = Cli::command();
    if root.find_subcommand(name).is_some() || name.starts_with('-') || name == "help" {
        return None;
    }
    let known = TOPICS.iter().map(|t| t.0);
    let known = known.chain(root.get_subcommands().map(clap::Command::get_name));
    let near = known
        .map(|k| (super::words::distance(k, name), k))
        .min()
        .filter(|(d, k)| *d <= 2 && *d < k.len());
    let topics: Vec<&str> = TOPICS.iter().map(|t| t.0).collect();
    let failure = Failure::usage(format!("there is no help about {name}"))
        .because(format!("topics: {}", topics.join(", ")))
        .help("wsdrop --help lists the commands");
    Some(Err(match near {
        Some((_, near)) => failure.help(format!("did you mean `wsdrop help {near}`?")),
        None => failure,
    }))
}

/// The page of a topic; `None` = no topic of that name.
fn topic(name: &str) -> Option<String> {
    match name {
        "filters" => Some(filters()),
        "times" => Some(TIMES.to_owned()),
        "formats" => Some(formats()),
        "config" => Some(CONFIG.to_owned()),
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

const TIMES: &str = "\
--since and --until keep the connections that touch a span. Incidents are
looked at later, so that a time without a date is of the last day in the
evidence, and a difference counts from the last record.

  10:30, 10:30:05.250         on the last day of the evidence
  2026-03-14T09:27:00Z        RFC 3339
  'yesterday 14:00'           the day before the last one
  -15m, -2h                   before the last record
  now-2h                      before now

--tz +02:00 is the zone of times in text, and of these. --assume-tz +02:00 is
that of stamps in logs that carry none. JSON and CSV are always in UTC.
";

const CONFIG: &str = "\
A value is taken from the first of these that has it:

  flags                                    wsdrop report --tz +02:00
  environment                              WSDROP_TZ, WSDROP_PAGER, NO_COLOR
  --config FILE, or WSDROP_CONFIG
  $XDG_CONFIG_HOME/wsdrop/config.toml      else ~/.config/wsdrop/config.toml
  /etc/wsdrop.toml

A key is the long name of a flag, given to every command that has the flag.

  tz = \"+02:00\"
  redact = [\"ips\", \"tokens\", \"payload\", \"cookies\"]
  rules = [\"rules\"]                        # relative to this file

Nothing is read from the folder that is analysed: it is foreign data.

  wsdrop config path    the files that are looked for
  wsdrop config show    what they say, and where
  wsdrop config init    writes a file with every key, commented out
";

fn formats() -> String {
    let mut out = String::from(
        "-f FORMAT, or the ending of -o FILE. Several -o: several reports from one run.\n\n",
    );
    for (name, ending, what) in [
        ("text", ".txt", "a terminal, a mail"),
        (
            "html",
            ".html",
            "colleagues: one page that asks for nothing else",
        ),
        ("md", ".md", "the incident channel"),
        ("csv", ".csv", "a spreadsheet: one row for each connection"),
        (
            "json",
            ".json",
            "programs: one document (wsdrop schema report)",
        ),
        (
            "ndjson",
            ".ndjson",
            "programs: one object a line (wsdrop schema ndjson)",
        ),
        (
            "sarif",
            ".sarif",
            "wsdrop check: code scanning, SARIF 2.1.0",
        ),
        ("junit", ".xml", "wsdrop check: test reports of CI systems"),
        (
            "github",
            "",
            "wsdrop check: annotations and step summary of GitHub Actions",
        ),
    ] {
        let _ = writeln!(out, "  {name:<7} {ending:<8} {what}");
    }
    out.push_str("\nColumns of csv, for --columns:\n");
    let mut line = String::from(" ");
    for name in crate::report::csv::columns() {
        if line.len() + name.len() > 78 {
            let _ = writeln!(out, "{line}");
            line = String::from(" ");
        }
        let _ = write!(line, " {name}");
    }
    let _ = writeln!(out, "{line}");
    out
}

/// Version, commit, rules and features: what a report of a mistake needs.
pub(super) fn version() -> &'static str {
    static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TEXT.get_or_init(|| {
        let mut features = Vec::new();
        if cfg!(feature = "tui") {
            features.push("tui");
        }
        if cfg!(feature = "tls") {
            features.push("tls");
        }
        let features = if features.is_empty() {
            "none".to_owned()
        } else {
            features.join(", ")
        };
        format!(
            "{}\ncommit    {}\nrules     {} built in, {:08x}\nschema    wsdrop.report/1\nfeatures  {features}",
            env!("CARGO_PKG_VERSION"),
            option_env!("WSDROP_COMMIT").unwrap_or("not told when it was built"),
            BUILTIN.len(),
            fingerprint(),
        )
    })
}

/// Of all rules as they are compiled in (FNV-1a, 32 bits): two builds with the same one judge by the same rules.
fn fingerprint() -> u32 {
    let bytes = BUILTIN
        .iter()
        .flat_map(|(path, text)| path.bytes().chain(text.bytes()));
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

pub(super) fn rule_schema() -> serde_json::Value {
    crate::diagnose::schema::rules()
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
