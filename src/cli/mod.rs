//! Arguments -> a command, run to its exit code: the only room that prints.

mod args;
mod browse;
mod commands;
mod demo;
#[cfg(feature = "tui")]
mod desk;
#[cfg(feature = "tui")]
mod elsewhere;
mod failure;
mod help;
mod kept;
mod meaning;
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

/// A panic says that it is a bug, and what to send along. The exit code is then 101.
pub fn tell_of_bugs() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        about_a_bug();
    }));
}

fn about_a_bug() {
    eprintln!(
        "error: this is a bug in wsdrop {}, not in the input\n   = help: please report it with the lines above and \
         the command; `wsdrop sources PATH` tells whether one file alone does it",
        env!("CARGO_PKG_VERSION")
    );
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
    if let [_, first, second, ..] = args.as_slice()
        && first == "help"
        && let Some(page) = second.to_str().and_then(help::topic)
    {
        let _ = std::io::stdout().lock().write_all(page.as_bytes());
        return Exit::Done;
    }
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
        Command::Explain(args) => commands::explain(&args),
        Command::Frames(args) => commands::frames(&args, &screen),
        Command::Demo(args) => commands::demo(&args, &screen),
        Command::Schema(args) => commands::schema(&args),
        Command::Rules(args) => commands::rules(&args, &screen),
        Command::WhatIf(args) => commands::what_if(&args, &screen),
        Command::Diff(args) => commands::diff(&args, &screen),
        Command::Completions(args) => commands::print(help::completions(args.shell)),
        Command::Man(args) => help::man(args.command.as_deref())
            .map_err(Stop::from)
            .and_then(|page| commands::print(&page)),
    };
    match result {
        Ok(exit) => exit,
        Err(Stop::ClosedPipe) => Exit::Done,
        Err(Stop::Failed(failure)) => {
            failure.print("error", screen.stderr_color);
            failure.exit
        }
    }
}

/// `wsdrop` alone: what it is for, five examples, and what lies here.
fn bare() -> Exit {
    let mut text = format!(
        "wsdrop tells why WebSocket connections dropped, who ended them, and what fixes it,\n\
         from a folder of captures, logs and configuration.\n\n{}\n\nwsdrop --help lists all commands and flags; wsdrop help tells of {}.\n",
        args::EXAMPLES,
        help::TOPICS
            .iter()
            .map(|t| format!("{} ({})", t.0, t.1))
            .collect::<Vec<_>>()
            .join(", ")
    );
    if let Some(here) = commands::here() {
        text.push_str(&format!("\n{here}\n"));
    }
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Exit::Done
}

/// What clap says, and for a flag of another command whose it is.
fn refuse(e: &clap::Error, args: &[OsString], color: bool) -> Exit {
    if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = e.print();
        return Exit::Done;
    }
    if e.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = e.get(ContextKind::InvalidArg)
        && flag.starts_with('-')
    {
        let grammar = words::Grammar::new();
        let command = words::command_of(args);
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
        failure = failure.help(match command {
            Some(command) => format!("wsdrop {command} --help"),
            None => "wsdrop --help".to_owned(),
        });
        failure.print("error", color);
        return Exit::Usage;
    }
    let _ = e.print();
    Exit::Usage
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
