//! The words of the command line, as typed: what they mean is settled in `meaning`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    done; findings change it for wsdrop check only
  1    wsdrop check: findings at or above --fail-on
  2    wrong usage, a bad rule, or an output that can't be written
  3    no input was recognised
  4    results are there, but an input named on the command line could not be used,
       or --strict and anything was skipped or cut short
  101  a bug
  130, 143  interrupted, terminated";

pub(super) const EXAMPLES: &str = "\
Examples:
  wsdrop ./incident                      browse it in the terminal
  wsdrop report ./incident               the answer as text
  wsdrop report -f json ./incident | jq .summary
  wsdrop report -w 'silent>55s' ./incident -o drops.html -o drops.md
  wsdrop show 1 ./incident               the evidence of the first drop
  wsdrop check ./incident --fail-on high && echo fine
  wsdrop demo                            the incident that comes with the program";

/// What `wsdrop` alone prints, up to the list of topics.
pub(super) const SHORT: &str = "\
wsdrop tells why WebSocket connections dropped, who ended them, and what fixes it,
from a folder of captures, logs and configuration.

  wsdrop ./incident                          browse it in the terminal
  wsdrop report ./incident -o drops.html     write a report to hand on
  wsdrop show 1 ./incident                   the evidence of the first drop
  wsdrop check ./logs --fail-on high         a gate for scripts
  wsdrop demo                                the incident that comes with the program

wsdrop --help        all commands and flags";

/// Tells why WebSocket connections dropped, who ended them, and what fixes it.
#[derive(Debug, Parser)]
#[command(
    name = "wsdrop",
    version,
    long_version = super::help::version(),
    about,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}\n\nwsdrop help filters|times|formats|config|exit-codes|severities tells more."),
    max_term_width = 100,
    override_usage = "wsdrop [PATH]...\n       wsdrop <COMMAND> [OPTIONS]",
    disable_help_subcommand = false,
    subcommand_required = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) display: Display,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Browse the case in the terminal; the text report where the output is no terminal
    Open(Report),
    /// Analyse, and print or write the answer
    Report(Report),
    /// The same analysis as a gate: exit code 1 where something at or above a limit is found
    Check(Check),
    /// One drop: its evidence, what was ruled out, the fix, the time line
    Show(Show),
    /// What each file is, its span, zone, clock and odd records; no verdicts
    Sources(Sources),
    /// What a cause means, what shows it, what looks like it, what fixes it
    Explain(Explain),
    /// Every WebSocket frame of the captures, one JSON object a line
    Frames(Frames),
    /// The incident that comes with the program
    Demo(Demo),
    /// The JSON Schema of an output
    Schema(Schema),
    /// The rules in force: list, show, test, lint, export, doc
    Rules(Rules),
    /// Which drops would not have happened with another ping or time-out
    WhatIf(WhatIf),
    /// Has the fix worked? Causes before and after, new ones first
    Diff(Diff),
    /// The configuration: which files are read, what they say, one to begin with
    Config(Configuration),
    /// What a shell needs to complete commands and flags
    Completions(Completions),
    /// The man page of the program, or of one command
    #[command(hide = true)]
    Man(Man),
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Display")]
pub(super) struct Display {
    /// Colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: When,
    /// Draw with ASCII characters only
    #[arg(long, global = true)]
    pub(super) ascii: bool,
    /// Colours of the terminal UI: the terminal's own, for a dark or a light background, none
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "NAME",
        env = "WSDROP_THEME",
        hide_env = true
    )]
    pub(super) theme: ThemeName,
    /// Take the mouse in the terminal UI: wheel, click, double click; Shift keeps the terminal's own selection
    #[arg(long, global = true)]
    pub(super) mouse: bool,
    /// How progress is told on standard error
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW")]
    pub(super) progress: ProgressKind,
    /// A configuration file, stronger than your own and the machine's
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "WSDROP_CONFIG",
        hide_env = true
    )]
    pub(super) config: Option<PathBuf>,
    /// Shows text that is longer than the terminal; none: as it comes [default: $PAGER, or less]
    #[arg(
        long,
        global = true,
        value_name = "COMMAND",
        env = "WSDROP_PAGER",
        hide_env = true
    )]
    pub(super) pager: Option<String>,
    /// Text as it comes, however long
    #[arg(long, global = true)]
    pub(super) no_pager: bool,
    /// Say less; twice: errors only
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) quiet: u8,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ThemeName {
    #[default]
    Auto,
    Dark,
    Light,
    Mono,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressKind {
    #[default]
    Auto,
    Plain,
    Json,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    /// The same as json
    #[value(hide = true)]
    JsonV1,
    Ndjson,
    /// One row for each connection
    Csv,
    /// Markdown
    Md,
    /// One page that asks for nothing else
    Html,
    /// SARIF 2.1.0, for wsdrop check
    Sarif,
    /// JUnit XML, for wsdrop check
    Junit,
    /// Annotations of GitHub Actions, for wsdrop check
    Github,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    Info,
    Low,
    #[default]
    Medium,
    High,
    Never,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Input")]
pub(super) struct Input {
    /// Files, folders, globs; `-` is standard input [default: the current folder]
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Leave out files that match
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,
    /// Read files that match as this format, whatever they look like
    #[arg(long = "as", value_name = "FORMAT=GLOB")]
    pub(super) read_as: Vec<String>,
    /// The nginx log_format string of access logs whose configuration is not here
    #[arg(long, value_name = "STRING")]
    pub(super) nginx_log_format: Vec<String>,
    /// TLS secrets as browsers and curl write them with SSLKEYLOGFILE [default: those found in the case]
    #[arg(long, value_name = "FILE")]
    pub(super) tls_keylog: Vec<PathBuf>,
    /// What keys of application records mean: 'clientId=client,ts=time'; repeatable [default: found by content]
    #[arg(long, value_name = "KEY=MEANING,...")]
    pub(super) map: Vec<String>,
    /// The zone of stamps that carry none, of all files or of those that match: UTC, +02:00, 'app*.log=Europe/Berlin'; repeatable [default: that of the same program's other logs, else UTC]
    #[arg(long, value_name = "[SOURCE=]ZONE", allow_hyphen_values = true)]
    pub(super) assume_tz: Vec<String>,
    /// How the clock of files that match stands: auto measures it, none trusts it, +1.5s is ahead of the others; repeatable [default: auto]
    #[arg(long, value_name = "SOURCE=HOW", allow_hyphen_values = true)]
    pub(super) clock: Vec<String>,
    /// Exit code 4 where anything was skipped, not understood or cut short
    #[arg(long)]
    pub(super) strict: bool,
    /// Threads [default: one for each core]
    #[arg(short, long, value_name = "N")]
    pub(super) jobs: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Time")]
pub(super) struct Time {
    /// Connections that were over before this are left out: 10:30, -15m (before the last record), now-2h, RFC 3339
    #[arg(short = 'S', long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) since: Option<String>,
    /// Connections opened after this are left out
    #[arg(short = 'U', long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) until: Option<String>,
    /// The zone of times in text, and of --since and --until
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "UTC",
        env = "WSDROP_TZ",
        allow_hyphen_values = true
    )]
    pub(super) tz: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct Selection {
    /// Only connections that match, as in cause:idle-timeout, silent>55s, client:203.0.113.0/24, -by:nginx; repeatable, all must hold
    #[arg(
        short = 'w',
        long = "where",
        value_name = "FILTER",
        allow_hyphen_values = true
    )]
    pub(super) filters: Vec<String>,
    /// Leave out drops whose verdict is weaker than this
    #[arg(long, value_enum, value_name = "TIER")]
    pub(super) min_confidence: Option<Confidence>,
    /// Leave out drops and findings of this rule: W404, client-abort; repeatable
    #[arg(short = 'A', long, value_name = "RULE")]
    pub(super) allow: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Confidence {
    Possible,
    Likely,
    Certain,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Privacy")]
pub(super) struct Privacy {
    /// Take out ips, tokens, payload, cookies; all; none [default: none on a terminal, else tokens,payload,cookies]
    #[arg(long, value_name = "WHAT")]
    pub(super) redact: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Rules")]
pub(super) struct RuleFiles {
    /// A folder of rules, or one rule, beside the built-in ones
    #[arg(long, value_name = "PATH")]
    pub(super) rules: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Report {
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) time: Time,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) rules: RuleFiles,
    #[command(flatten)]
    pub(super) privacy: Privacy,
    /// Form of the report
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) format: Option<Format>,
    /// Write to this file, in the format of its extension; repeatable
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(super) output: Vec<PathBuf>,
    /// Causes shown in text and Markdown; 0 = all
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Output")]
    pub(super) top: usize,
    /// Columns of csv, in this order: id,cause,client_ip (wsdrop help formats)
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Output"
    )]
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) time: Time,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) rules: RuleFiles,
    #[command(flatten)]
    pub(super) privacy: Privacy,
    /// What fails: this severity and above (wsdrop help severities)
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "SEVERITY",
        help_heading = "Verdict"
    )]
    pub(super) fail_on: FailOn,
    /// So many of these are let through
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Verdict")]
    pub(super) tolerate: usize,
    /// This rule fails whatever its severity, and is never tolerated; repeatable
    #[arg(short = 'D', long, value_name = "RULE", help_heading = "Verdict")]
    pub(super) deny: Vec<String>,
    /// Form of the answer
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) format: Option<Format>,
    /// Write to this file, in the format of its extension (.sarif, .xml for JUnit); repeatable
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(super) output: Vec<PathBuf>,
    /// Causes shown in Markdown; 0 = all
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Output")]
    pub(super) top: usize,
    /// Columns of csv, in this order: id,cause,client_ip (wsdrop help formats)
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Output"
    )]
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The connection: its id, the beginning of it, or its rank among the drops (1 = the first)
    pub(super) id: String,
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) time: Time,
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) rules: RuleFiles,
    #[command(flatten)]
    pub(super) privacy: Privacy,
    /// Each test of the rules that came close: what was wanted, what was seen, how far off, in which records
    #[arg(long, help_heading = "Output")]
    pub(super) why: bool,
    /// Each record in full: neighbouring lines and fields, packet layers and bytes
    #[arg(long, help_heading = "Output")]
    pub(super) raw: bool,
    /// Write its packets, of all legs and captures, as pcapng with the evidence as comments; payloads are in it
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) pcap: Option<PathBuf>,
    /// One JSON document
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Form of the answer: text or json
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(super) struct Sources {
    #[command(flatten)]
    pub(super) input: Input,
    /// The zone of times in text
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "UTC",
        env = "WSDROP_TZ",
        allow_hyphen_values = true
    )]
    pub(super) tz: String,
    #[command(flatten)]
    pub(super) privacy: Privacy,
    /// One JSON document
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Form of the table: text or json
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A rule's code (W101), its cause (idle-timeout), or a row of the runbook (X1); none lists the rules
    pub(super) rule: Option<String>,
    #[command(flatten)]
    pub(super) rules: RuleFiles,
}

#[derive(Debug, Args)]
pub(super) struct Frames {
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) privacy: Privacy,
    /// Only ndjson
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Write the incident's files into this folder instead of analysing them
    #[arg(long, value_name = "DIR")]
    pub(super) write: Option<PathBuf>,
    /// Form of the report
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(super) struct Schema {
    #[arg(value_enum, default_value_t)]
    pub(super) what: SchemaOf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    /// wsdrop report -f json
    #[default]
    Report,
    /// One line of wsdrop report -f ndjson
    Ndjson,
    /// A rule file, for editors
    Rules,
}

#[derive(Debug, Args)]
pub(super) struct Rules {
    #[command(subcommand)]
    pub(super) command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// One line for each rule
    List(RuleFiles),
    /// The page of one rule
    Show {
        /// Its code (W101) or its cause (idle-timeout)
        rule: String,
        #[command(flatten)]
        rules: RuleFiles,
    },
    /// Weighs the samples inside the rules; with --corpus, measures recorded incidents
    Test(RulesTest),
    /// Every mistake in rule files, with its place and a way out
    Lint {
        /// Rule files, or folders of them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// A rule of your own to begin with: one file that has no mistake, with what to change in comments
    New {
        /// Its code: U and one to four digits
        #[arg(long, value_name = "CODE", default_value = "U1")]
        code: String,
        /// The cause that it says more of: policy-close, W603
        #[arg(long, value_name = "CAUSE", default_value = "policy-close")]
        cause: String,
        /// The file to write; without it the rule is printed
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Writes the built-in rules as files
    Export {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// All rules as Markdown
    Doc(RuleFiles),
}

#[derive(Debug, Args)]
pub(super) struct RulesTest {
    #[command(flatten)]
    pub(super) rules: RuleFiles,
    /// A folder of incidents, each with a JSON file that tells what happened: confusion matrix, precision and recall, reliability of each tier
    #[arg(long, value_name = "DIR")]
    pub(super) corpus: Option<PathBuf>,
    /// With --corpus: also each incident from its captures alone, from the rest alone, from each file alone and without each file
    #[arg(long, requires = "corpus")]
    pub(super) parts: bool,
    /// With --corpus: as Markdown tables
    #[arg(long, requires = "corpus", conflicts_with = "json")]
    pub(super) markdown: bool,
    /// Every condition of the rules: how many samples show it, refute it and leave it open; what none tries is a mistake
    #[arg(long)]
    pub(super) coverage: bool,
    /// One JSON document
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A drop is averted where something is sent at least twice in each time-out of the path. \
More than half of it is a race. Without a heartbeat a longer time-out puts the drop off, as far as the evidence tells."
)]
pub(super) struct WhatIf {
    /// The server pings this often, and each ping is answered: 25s, 500ms
    #[arg(long, value_name = "DURATION", help_heading = "Changes")]
    pub(super) ping: Option<String>,
    /// A hop waits this long before it closes what is silent: nginx=300s; repeatable
    #[arg(long, value_name = "HOP=DURATION", help_heading = "Changes")]
    pub(super) timeout: Vec<String>,
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) time: Time,
    #[command(flatten)]
    pub(super) rules: RuleFiles,
    /// One JSON document
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Form of the answer: text or json
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) format: Option<Format>,
}

#[derive(Debug, Args)]
#[command(override_usage = "wsdrop diff [OPTIONS] BEFORE AFTER")]
pub(super) struct Diff {
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) rules: RuleFiles,
    /// One JSON document
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Form of the answer: text or json
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(super) struct Configuration {
    #[command(subcommand)]
    pub(super) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// The files that are looked for, the strongest first
    Path,
    /// What they say, and where
    Show,
    /// Writes a file with every key, commented out
    Init,
}

#[derive(Debug, Args)]
pub(super) struct Completions {
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    pub(super) command: Option<String>,
}
