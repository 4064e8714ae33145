//! Arguments as typed -> arguments with the command first: a bare PATH means `open`, and a mistyped command is told.

use super::args::Cli;
use super::failure::Failure;
use clap::CommandFactory;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Commands that may come; nobody should get used to them as paths.
const RESERVED: &[&str] = &["scan", "merge", "bundle", "watch", "serve"];

/// What stands on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// Nothing at all.
    Bare,
    /// For clap, with the command right after the program's name.
    Command(Vec<OsString>),
}

pub(super) fn sort(args: Vec<OsString>) -> Result<Words, Failure> {
    if args.len() <= 1 {
        return Ok(Words::Bare);
    }
    let grammar = Grammar::new();
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        let Some(text) = arg.to_str() else { break };
        if matches!(text, "-h" | "--help" | "-V" | "--version") {
            return Ok(Words::Command(args));
        }
        if text == "--" {
            break;
        }
        if text.len() > 1 && text.starts_with('-') {
            at += if grammar.takes_next(text) { 2 } else { 1 };
            continue;
        }
        if grammar.is_command(text) {
            return Ok(Words::Command(hoist(args, at)));
        }
        check_near_miss(text, &grammar)?;
        break;
    }
    let mut all = args;
    all.insert(1, OsString::from("open"));
    Ok(Words::Command(all))
}

/// The word at `at` moves to the front, so that flags before it are its flags.
fn hoist(mut args: Vec<OsString>, at: usize) -> Vec<OsString> {
    let word = args.remove(at);
    args.insert(1, word);
    args
}

fn check_near_miss(text: &str, grammar: &Grammar) -> Result<(), Failure> {
    if Path::new(text).exists() || text.contains(['/', '\\', '*', '?', '[', '{', '.']) {
        return Ok(());
    }
    if RESERVED.contains(&text) {
        return Err(
            Failure::usage(format!("{text} is a command this version does not have"))
                .help(format!("./{text} names a file or folder"))
                .help("wsdrop --help lists the commands"),
        );
    }
    let near = grammar
        .commands
        .keys()
        .filter(|c| c.as_str() != "man")
        .map(|c| (distance(text, c), c))
        .min();
    match near {
        Some((d, command)) if d <= 2 && d < command.len() => Err(Failure::usage(format!(
            "no such command, file or folder: {text}"
        ))
        .help(format!("./{text} names a file or folder"))
        .help(format!("did you mean `wsdrop {command}`?"))),
        _ => Ok(()),
    }
}

/// What clap knows of commands and flags.
pub(super) struct Grammar {
    /// Long flags of each command.
    commands: BTreeMap<String, Vec<String>>,
    longs_with_value: Vec<String>,
    shorts_with_value: Vec<char>,
}

impl Grammar {
    pub(super) fn new() -> Self {
        let root = Cli::command();
        let mut grammar = Self {
            commands: BTreeMap::from([("help".to_owned(), Vec::new())]),
            longs_with_value: Vec::new(),
            shorts_with_value: Vec::new(),
        };
        for command in root.get_subcommands().chain([&root]) {
            let mut longs = Vec::new();
            for arg in command.get_arguments() {
                let value = arg.get_action().takes_values();
                if let Some(long) = arg.get_long() {
                    longs.push(long.to_owned());
                    if value {
                        grammar.longs_with_value.push(long.to_owned());
                    }
                }
                if let Some(short) = arg.get_short().filter(|_| value) {
                    grammar.shorts_with_value.push(short);
                }
            }
            if command.get_name() != root.get_name() {
                grammar
                    .commands
                    .insert(command.get_name().to_owned(), longs);
            }
        }
        grammar
    }

    fn is_command(&self, word: &str) -> bool {
        self.commands.contains_key(word)
    }

    /// The flag's value is the next argument.
    fn takes_next(&self, flag: &str) -> bool {
        if let Some(long) = flag.strip_prefix("--") {
            return self.longs_with_value.iter().any(|l| l == long);
        }
        let mut shorts = flag.chars().skip(1);
        shorts
            .by_ref()
            .find(|c| self.shorts_with_value.contains(c))
            .is_some()
            && shorts.next().is_none()
    }

    /// Commands that have this flag.
    pub(super) fn owners(&self, flag: &str) -> Vec<&str> {
        let Some(long) = flag.strip_prefix("--") else {
            return Vec::new();
        };
        let long = long.split('=').next().unwrap_or(long);
        self.commands
            .iter()
            .filter(|(_, longs)| longs.iter().any(|l| l == long))
            .map(|(c, _)| c.as_str())
            .collect()
    }

    /// The flag of any command that is nearest to a mistyped one.
    pub(super) fn nearest_flag(&self, command: Option<&str>, flag: &str) -> Option<String> {
        let long = flag.strip_prefix("--")?;
        let long = long.split('=').next().unwrap_or(long);
        let all: Vec<&String> = match command.and_then(|c| self.commands.get(c)) {
            Some(longs) => longs.iter().collect(),
            None => self.commands.values().flatten().collect(),
        };
        let (d, best) = all.into_iter().map(|l| (distance(long, l), l)).min()?;
        (d <= 2 && d < best.len()).then(|| format!("--{best}"))
    }
}

/// Edits from one word to the other: insert, delete, replace, swap neighbours.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(40).collect(), b.chars().take(40).collect());
    let mut rows: Vec<Vec<usize>> = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

/// The command word of sorted arguments.
pub(super) fn command_of(args: &[OsString]) -> Option<&str> {
    args.get(1).map(OsString::as_os_str).and_then(OsStr::to_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, expected: Result<&str, &str>) {
        let args = std::iter::once("wsdrop")
            .chain(typed.split_whitespace())
            .map(OsString::from)
            .collect();
        let sorted = sort(args);
        match (sorted, expected) {
            (Ok(Words::Bare), Ok(text)) => assert_eq!("", text, "{typed}"),
            (Ok(Words::Command(args)), Ok(text)) => {
                let args: Vec<_> = args
                    .iter()
                    .skip(1)
                    .map(|a| a.to_string_lossy().into_owned())
                    .collect();
                assert_eq!(args.join(" "), text, "{typed}");
            }
            (Err(failure), Err(word)) => assert!(
                format!("{failure:?}").contains(word),
                "{typed}: {failure:?}"
            ),
            (got, wanted) => panic!("{typed}: {got:?}, not {wanted:?}"),
        }
    }

    #[test]
    fn the_command_comes_first() {
        check("", Ok(""));
        check("report x", Ok("report x"));
        check("--color never report x", Ok("report --color never x"));
        check("--color=never report x", Ok("report --color=never x"));
        check("-q -v report x", Ok("report -q -v x"));
        check("-f json report x", Ok("report -f json x"));
        check("-fjson report x", Ok("report -fjson x"));
        check("-qf json x", Ok("open -qf json x"));
        check("--top 3 ./incident", Ok("open --top 3 ./incident"));
        check("./incident", Ok("open ./incident"));
        check("./report", Ok("open ./report"));
        check("-", Ok("open -"));
        check("-- report", Ok("open -- report"));
        check("-f json", Ok("open -f json"));
        check("--help", Ok("--help"));
        check("help report", Ok("help report"));
        check("/no/such/report x", Ok("open /no/such/report x"));
    }

    #[test]
    fn near_misses_are_told() {
        check("reprot x", Err("wsdrop report"));
        check("shwo 1", Err("wsdrop show"));
        check("fames x", Err("wsdrop frames"));
        check("bundle x", Err("does not have"));
        check("what-fi x", Err("wsdrop what-if"));
        check("chek x", Err("wsdrop check"));
        check("quite-another-name", Ok("open quite-another-name"));
    }

    #[test]
    fn flags_know_their_commands() {
        let grammar = Grammar::new();
        assert_eq!(grammar.owners("--top"), ["check", "open", "report"]);
        assert_eq!(grammar.owners("--raw"), ["show"]);
        assert_eq!(grammar.owners("--fail-on"), ["check"]);
        assert_eq!(
            grammar
                .nearest_flag(Some("report"), "--formt=json")
                .as_deref(),
            Some("--format")
        );
    }
}
