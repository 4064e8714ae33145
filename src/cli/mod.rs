//! Arguments -> a command, run to its exit code: the only room that prints.

mod args;
mod browse;
mod commands;
mod config;
mod demo;
#[cfg(feature = "tui")]
mod desk;
#[cfg(feature = "tui")]
mod elsewhere;
mod failure;
mod help;
mod kept;
mod meaning;
mod pager;
mod progress;
mod rules;
mod selection;
mod words;

pub use failure::{Exit, Failure};

use args::{Cli, Command};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use failure::Stop;
use meaning::Screen;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};

/// A panic says that it is a bug, writes down what a report of it needs, and says where. The exit code is then 101.
pub fn tell_of_bugs() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        let written = write_down(info);
        let file = match &written {
            Ok(path) => format!(
                "{} holds what is needed; look through it first",
                path.display()
            ),
            Err(e) => format!("the lines above are what is needed (no file could be written: {e})"),
        };
        let _ = writeln!(
            std::io::stderr(),
            "error: this is a bug in wsdrop {}, not in the input\n   = help: {file}\n   = help: please send it to \
             the issues of the project; `wsdrop sources PATH` tells whether one file alone does it",
            env!("CARGO_PKG_VERSION")
        );
    }));
}

/// Of a panic on another thread, whose message was kept until the screen was given back.
#[cfg(feature = "tui")]
fn about_a_bug() {
    let _ = writeln!(
        std::io::stderr(),
        "error: this is a bug in wsdrop {}, not in the input\n   = help: please send the lines above and the command to \
         the issues of the project; `wsdrop sources PATH` tells whether one file alone does it",
        env!("CARGO_PKG_VERSION")
    );
}

/// Version, arguments and stack in a file of their own, in the folder for temporary files.
fn write_down(info: &std::panic::PanicHookInfo<'_>) -> std::io::Result<std::path::PathBuf> {
    let stack = std::backtrace::Backtrace::force_capture();
    let arguments: Vec<String> = std::env::args_os()
        .map(|a| meaning::quote(&crate::model::inert(&a.to_string_lossy())))
        .collect();
    let text = format!(
        "wsdrop {}\n{} {}\n\n{}\n\n{info}\n\n{stack}\n",
        help::version(),
        std::env::consts::OS,
        std::env::consts::ARCH,
        arguments.join(" ")
    );
    let folder = std::env::temp_dir();
    let pid = std::process::id();
    for n in 0..100 {
        let path = folder.join(format!("wsdrop-bug-{pid}-{n}.txt"));
        match std::fs::File::create_new(&path) {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// Runs the program with these arguments, the program's name first.
pub fn run(args: Vec<OsString>) -> Exit {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let args = match words::sort(args) {
        Ok(words::Words::Bare) => return bare(),
        Ok(words::Words::Command(args)) => args,
        Err(failure) => {
            failure.print("error", color);
            return failure.exit;
        }
    };
    if let [_, first, rest @ ..] = args.as_slice()
        && first == "help"
        && let Some(result) = help::asked(rest)
    {
        return match result {
            Ok(page) => {
                let _ = std::io::stdout().lock().write_all(page.as_bytes());
                Exit::Done
            }
            Err(failure) => {
                failure.print("error", color);
                failure.exit
            }
        };
    }
    let (args, config) = match config::apply(args) {
        Ok(both) => both,
        Err(failure) => {
            failure.print("error", color);
            return failure.exit;
        }
    };
    let Cli { command, display } = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(e) => return refuse(&e, &args, color),
    };
    let screen = Screen::new(&display);
    let result = match command {
        Command::Open(args) => commands::open(&args, &screen),
        Command::Report(args) => commands::report(&args, &screen),
        Command::Check(args) => commands::check(&args, &screen),
        Command::Show(args) => commands::show(&args, &screen),
        Command::Sources(args) => commands::sources(&args, &screen),
        Command::Explain(args) => commands::explain(&args, &screen),
        Command::Frames(args) => commands::frames(&args, &screen),
        Command::Demo(args) => commands::demo(&args, &screen),
        Command::Schema(args) => commands::schema(&args),
        Command::Rules(args) => commands::rules(&args, &screen),
        Command::WhatIf(args) => commands::what_if(&args, &screen),
        Command::Diff(args) => commands::diff(&args, &screen),
        Command::Config(args) => commands::config(&args, &screen),
        Command::Completions(args) => commands::print(help::completions(args.shell)),
        Command::Man(args) => help::man(args.command.as_deref())
            .map_err(Stop::from)
            .and_then(|page| commands::print(&page)),
    };
    match result {
        Ok(exit) => exit,
        Err(Stop::ClosedPipe) => Exit::Done,
        Err(Stop::Failed(failure)) => {
            let failure = config.explain(failure);
            failure.print("error", screen.stderr_color);
            failure.exit
        }
    }
}

/// `wsdrop` alone: what it is for, five examples, and what lies here.
fn bare() -> Exit {
    let topics: Vec<&str> = help::TOPICS.iter().map(|t| t.0).collect();
    let mut text = format!(
        "{}\nwsdrop help TOPIC    {}\n",
        args::SHORT,
        topics.join(", ")
    );
    if let Some(here) = commands::here() {
        text.push_str(&format!("\n{here}\n"));
    }
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Exit::Done
}

/// What clap says, in this program's form.
fn refuse(e: &clap::Error, args: &[OsString], color: bool) -> Exit {
    if matches!(
        e.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let _ = e.print();
        return if e.use_stderr() {
            Exit::Usage
        } else {
            Exit::Done
        };
    }
    clap_failure(e, args, &words::Grammar::new()).print("error", color);
    Exit::Usage
}

/// What is wrong with the arguments: the flag and its value, what there is, and for a flag of another command whose it is.
fn clap_failure(e: &clap::Error, args: &[OsString], grammar: &words::Grammar) -> Failure {
    let text = |kind| match e.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let list = |kind| match e.get(kind) {
        Some(ContextValue::Strings(list)) => list.clone(),
        Some(ContextValue::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    let command = words::command_of(args);
    let page = match command {
        Some(command) => format!("wsdrop {command} --help"),
        None => "wsdrop --help".to_owned(),
    };
    // `--format <FORMAT>` -> `--format`
    let flag = text(ContextKind::InvalidArg).unwrap_or_default();
    let bare = flag.split([' ', '=']).next().unwrap_or_default();
    match e.kind() {
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            let mut failure = Failure::usage(match command {
                Some(command) => format!("wsdrop {command} has no flag {flag}"),
                None => format!("no flag {flag}"),
            });
            let owners = grammar.owners(flag);
            if owners.is_empty() {
                if let Some(near) = grammar.nearest_flag(command, flag) {
                    failure = failure.help(format!("did you mean {near}?"));
                }
            } else {
                failure = failure.help(format!(
                    "{flag} belongs to wsdrop {}",
                    owners.join(", wsdrop ")
                ));
            }
            failure.help(page)
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(ContextKind::InvalidValue).unwrap_or_default();
            let known = list(ContextKind::ValidValue);
            let mut failure = Failure::usage(match (value, bare) {
                ("", bare) => format!("{bare} needs a value"),
                (value, "") => format!("{value} is nothing that fits here"),
                (value, bare) => format!("{bare} {value}: no such value"),
            });
            if let Some(source) = std::error::Error::source(e) {
                failure = failure.because(source.to_string());
            }
            if !known.is_empty() {
                failure = failure.because(format!("there are {}", known.join(", ")));
            }
            failure = failure.help(page);
            let near = known
                .iter()
                .map(|k| (words::distance(k, value), k))
                .min()
                .filter(|(d, k)| *d <= 2 && *d < k.len());
            match near {
                Some((_, near)) if !value.is_empty() => {
                    failure.help(format!("did you mean {near}?"))
                }
                _ => failure,
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = list(ContextKind::InvalidArg).join(" ");
            let command = command.unwrap_or_default();
            Failure::usage(format!("wsdrop {command} needs {missing}")).help(page)
        }
        ErrorKind::ArgumentConflict => {
            let others = list(ContextKind::PriorArg).join(", ");
            Failure::usage(if others.is_empty() || others == flag {
                format!("{bare} is given twice")
            } else {
                format!("{flag} and {others} do not go together")
            })
            .help(page)
        }
        _ => {
            let said = e.to_string();
            let mut lines = said
                .lines()
                .map(str::trim_end)
                .filter(|l| !l.is_empty() && !l.starts_with("For more information"));
            let what = lines.next().unwrap_or("wrong usage");
            let what = what.strip_prefix("error: ").unwrap_or(what);
            lines
                .fold(Failure::usage(what), Failure::because)
                .help(page)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }
}
