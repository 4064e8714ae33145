//! A case -> the terminal UI over its analysis.

use super::failure::{Exit, Stop};
use super::meaning::Screen;
use super::selection::Chosen;
use crate::analysis::Options;
use crate::case::Case;
use crate::diagnose::Pack;
use crate::report::Zone;

/// Finds the files again, for a reading anew; or says why they can't be.
pub(super) type Reopen<'a> = Box<dyn Fn() -> Result<Case, String> + 'a>;

/// This build, and this terminal, can show it.
#[cfg(not(feature = "tui"))]
pub(super) const fn possible() -> bool {
    false
}

#[cfg(feature = "tui")]
pub(super) fn possible() -> bool {
    crate::tui::usable()
}

#[cfg(not(feature = "tui"))]
pub(super) fn browse(
    _case: Case,
    _reopen: Reopen<'_>,
    (_options, _pack, _chosen): (Options, Pack, Option<Chosen>),
    _paths: String,
    _zone: Zone,
    _screen: &Screen,
) -> Result<Exit, Stop> {
    Ok(Exit::Done)
}

#[cfg(feature = "tui")]
pub(super) fn browse(
    case: Case,
    reopen: Reopen<'_>,
    (options, pack, chosen): (Options, Pack, Option<Chosen>),
    paths: String,
    zone: Zone,
    screen: &Screen,
) -> Result<Exit, Stop> {
    use super::desk::{Desk, FORMATS, Trouble, Work};
    use super::failure::Failure;
    use crate::tui::{self, TuiOptions};

    let pages = pages(&pack);
    let demo = paths == super::demo::NAME;
    let filter = chosen.as_ref().map(Chosen::filter).unwrap_or_default();
    let chosen = chosen.map(Chosen::without_filters);
    let cant = |e: std::io::Error| Failure::usage(format!("the terminal can't be used: {e}"));
    let work = Work {
        options,
        pack,
        chosen,
    };
    let mut desk = Desk::open(case, reopen, work, paths, zone).map_err(cant)?;
    let look = TuiOptions {
        theme: theme(screen),
        mouse: screen.mouse,
        east_s: zone.0,
        pages,
        formats: FORMATS.to_vec(),
        again: Some(again(&typed())),
        filter,
        guide: demo,
        notes: desk.notes(),
    };
    let end = |trouble| match trouble {
        Trouble::Nothing(failure) => Stop::from(failure),
        // Its message was printed when the screen was given back.
        Trouble::Panic(panic) => {
            super::about_a_bug();
            std::panic::resume_unwind(panic)
        }
    };
    let first = desk.first().map_err(end)?;
    let farewell = tui::run(first, &mut desk, &look).map_err(cant)?;
    if let Some(trouble) = desk.trouble.take() {
        return Err(end(trouble));
    }
    println!("{}", crate::model::inert(&farewell.line));
    drop(desk);
    if let Some(signal) = farewell.signal {
        return Ok(Exit::Signal(u8::try_from(signal).unwrap_or_default()));
    }
    Ok(Exit::Done)
}

/// What was asked for, and what the terminal can show of it.
#[cfg(feature = "tui")]
fn theme(screen: &Screen) -> crate::tui::Theme {
    use crate::tui::Theme;
    use clap::ValueEnum;

    let word = screen.theme.to_possible_value();
    let named = word.and_then(|w| Theme::named(w.get_name()));
    let named = named.unwrap_or_default();
    Theme {
        mono: named.mono || !screen.look.color,
        ascii: screen.look.ascii,
        rich: many_colours(),
        ..named
    }
}

/// What the rules say of themselves, for the screen of rules.
#[cfg(feature = "tui")]
fn pages(pack: &Pack) -> Vec<crate::tui::RulePage> {
    use crate::diagnose::explain;
    use crate::model::inert;

    let rules = pack.rules.iter().chain(&pack.own);
    rules
        .map(|rule| crate::tui::RulePage {
            code: rule.name().to_owned(),
            file: inert(&rule.path),
            meaning: inert(&rule.meaning.replace('\n', " ")),
            samples: explain::samples(rule).iter().map(|s| inert(s)).collect(),
        })
        .collect()
}

/// What the terminal says of itself: 256 colours or more.
#[cfg(feature = "tui")]
fn many_colours() -> bool {
    let says =
        |name, what: &[&str]| std::env::var(name).is_ok_and(|v| what.iter().any(|w| v.contains(w)));
    says("TERM", &["256color", "direct"]) || says("COLORTERM", &["truecolor", "24bit"])
}

/// The arguments as they were typed, the program's name left out.
#[cfg(feature = "tui")]
fn typed() -> Vec<String> {
    let args = std::env::args_os().skip(1);
    args.map(|a| a.to_string_lossy().into_owned()).collect()
}

/// The command that prints what the terminal UI shows: as it is, and what stands before ` -w FILTER`. Filters among the
/// arguments are left out: the UI began with them and names its own.
#[cfg(feature = "tui")]
fn again(typed: &[String]) -> (String, String) {
    use super::meaning::quote;

    let mut words = Vec::new();
    let mut command = None;
    let mut rest = typed.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-w" | "--where" => {
                rest.next();
            }
            w if w.starts_with("--where=") || (w.starts_with("-w") && w.len() > 2) => {}
            "open" | "demo" if command.is_none() => command = Some(word.as_str()),
            _ => words.push(quote(&crate::model::inert(word))),
        }
    }
    if command == Some("demo") {
        return (
            "wsdrop demo".to_owned(),
            "wsdrop demo --write DIR && wsdrop report DIR".to_owned(),
        );
    }
    words.insert(0, "wsdrop report".to_owned());
    let command = words.join(" ");
    (command.clone(), command)
}

#[cfg(all(test, feature = "tui"))]
mod tests {
    use super::*;

    #[test]
    fn the_same_view_has_a_command() {
        let check = |typed: &[&str], plain: &str, filtered: &str| {
            let typed: Vec<String> = typed.iter().map(|w| (*w).to_owned()).collect();
            assert_eq!(again(&typed), (plain.to_owned(), filtered.to_owned()));
        };
        let same = |typed: &[&str], command: &str| check(typed, command, command);
        same(&["./incident"], "wsdrop report ./incident");
        same(&["open", "a", "b c"], "wsdrop report a 'b c'");
        same(
            &["--color", "never", "open", "x", "--since", "-15m"],
            "wsdrop report --color never x --since -15m",
        );
        same(&["x", "-w", "code:1006", "--where=a"], "wsdrop report x");
        same(&["open", "open"], "wsdrop report open");
        check(
            &["demo"],
            "wsdrop demo",
            "wsdrop demo --write DIR && wsdrop report DIR",
        );
    }
}
