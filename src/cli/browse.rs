//! A case -> the terminal UI over its analysis.

use super::failure::{Exit, Stop};
use super::meaning::Screen;
use super::selection::Chosen;
use crate::analysis::Options;
use crate::case::Case;
use crate::diagnose::Pack;
use crate::report::Zone;

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
    _options: Options,
    _pack: Pack,
    _chosen: Option<Chosen>,
    _paths: String,
    _zone: Zone,
    _screen: &Screen,
) -> Result<Exit, Stop> {
    Ok(Exit::Done)
}

#[cfg(feature = "tui")]
pub(super) fn browse(
    case: Case,
    options: Options,
    pack: Pack,
    chosen: Option<Chosen>,
    paths: String,
    zone: Zone,
    screen: &Screen,
) -> Result<Exit, Stop> {
    use super::failure::Failure;
    use super::meaning;
    use super::progress::Told;
    use crate::analysis::{self, CaseRaw};
    use crate::tui::{self, Theme, TuiOptions};

    let mut analysis = analysis::run(&case, &options, &pack, &Told::new(screen.progress));
    if let Some(failure) = meaning::nothing_used(&analysis, &paths) {
        return Err(failure.into());
    }
    let mut filter = String::new();
    if let Some(chosen) = chosen {
        filter = chosen.filter();
        chosen.without_filters().apply(&mut analysis);
    }
    let mut raw = CaseRaw::new(case, &analysis.sources, &options);
    let look = TuiOptions {
        theme: Theme {
            mono: !screen.look.color,
            ascii: screen.look.ascii,
        },
        formats: FORMATS.to_vec(),
        again: Some(again(&typed())),
        filter,
        ..TuiOptions::default()
    };
    let mut files = Files {
        zone,
        paths: if paths == super::demo::NAME {
            "DIR".to_owned()
        } else {
            paths
        },
        of: analysis.connections.len(),
    };
    let farewell = tui::run(&analysis, &mut raw, &mut files, &look)
        .map_err(|e| Failure::usage(format!("the terminal can't be used: {e}")))?;
    println!("{}", crate::model::inert(&farewell.line));
    if let Some(signal) = farewell.signal {
        return Ok(Exit::Signal(u8::try_from(signal).unwrap_or_default()));
    }
    Ok(Exit::Done)
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

#[cfg(feature = "tui")]
const FORMATS: &[&str] = &["json", "ndjson", "csv", "md", "html"];

/// Exports into files of their own, with what is hidden in every file that is written.
#[cfg(feature = "tui")]
struct Files {
    zone: Zone,
    /// How the user would name the case in a command.
    paths: String,
    /// Connections of the case.
    of: usize,
}

#[cfg(feature = "tui")]
impl Files {
    fn write(
        &self,
        format: &str,
        shown: &crate::model::Analysis,
        filter: &str,
        out: &mut impl std::io::Write,
    ) -> std::io::Result<()> {
        use crate::report::{Redact, Redactor, Selected, csv, html, json, markdown, ndjson};

        let redactor = Redactor::new(Redact::SHARED, shown);
        let selected = (!filter.is_empty()).then(|| Selected {
            shown: shown.connections.len(),
            of: self.of,
            by: format!("-w {}", super::meaning::quote(filter)),
        });
        let (zone, paths, selected) = (self.zone, self.paths.as_str(), selected.as_ref());
        match format {
            "ndjson" => ndjson::write(shown, &redactor, out)?,
            "csv" => csv::write(shown, &redactor, &[], out)?,
            "md" => {
                let options = markdown::Options {
                    zone,
                    top: 0,
                    paths,
                    selected,
                };
                markdown::write(shown, &redactor, &options, out)?;
            }
            "html" => {
                let options = html::Options {
                    zone,
                    paths,
                    selected,
                };
                html::write(shown, &redactor, &options, out)?;
            }
            _ => json::write(shown, &redactor, out)?,
        }
        out.flush()
    }
}

#[cfg(feature = "tui")]
impl crate::tui::Exporter for Files {
    fn export(
        &mut self,
        format: &str,
        path: &std::path::Path,
        shown: &crate::model::Analysis,
        filter: &str,
    ) -> Result<String, String> {
        if !FORMATS.contains(&format) {
            return Err(format!("this build writes no {format}"));
        }
        let name = crate::model::inert(&path.display().to_string());
        let cant = |e: std::io::Error| format!("can't write {name}: {e}");
        let file = std::fs::File::create_new(path).map_err(cant)?;
        let mut out = std::io::BufWriter::new(file);
        self.write(format, shown, filter, &mut out).map_err(cant)?;
        let n = shown.connections.len();
        let plural = if n == 1 { "" } else { "s" };
        Ok(format!(
            "wrote {name}: {n} connection{plural}, tokens, cookies and payload hidden"
        ))
    }
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
