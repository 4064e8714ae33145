//! The words of the command line -> what they mean, validated once.

use super::args::{
    Display, Format, Input, Privacy, ProgressKind, RuleFiles, ThemeName, Time, When,
};
use super::failure::{Exit, Failure};
use crate::analysis::{FieldMap, Forced, Meaning, Options, TimeSpec, parse_time};
use crate::case::{Case, CaseError, OpenOptions};
use crate::diagnose::Pack;
use crate::model::{Analysis, LocalZone, Moment, SourceKind};
use crate::report::{Look, Redact, Zone};
use globset::GlobMatcher;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What standard output and standard error can show.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    pub(super) look: Look,
    pub(super) stderr_color: bool,
    pub(super) stdout_tty: bool,
    // Flags stay the same in every build, so that a configuration file fits each.
    #[cfg_attr(not(feature = "tui"), expect(dead_code))]
    pub(super) theme: ThemeName,
    #[cfg_attr(not(feature = "tui"), expect(dead_code))]
    pub(super) mouse: bool,
    pub(super) progress: ProgressKind,
    pub(super) quiet: u8,
    pub(super) verbose: u8,
    /// What shows text that is longer than the terminal; `None` = nothing does.
    pub(super) pager: Option<String>,
    /// The configuration file that was named.
    pub(super) config: Option<PathBuf>,
}

impl Screen {
    pub(super) fn new(display: &Display) -> Self {
        let Display {
            color,
            ascii,
            theme,
            mouse,
            progress,
            quiet,
            verbose,
            ref config,
            ref pager,
            no_pager,
        } = *display;
        let stdout_tty = std::io::stdout().is_terminal();
        let stderr_tty = std::io::stderr().is_terminal();
        let (out, err) = match color {
            When::Always => (true, true),
            When::Never => (false, false),
            When::Auto => {
                let on = colours_wanted();
                (on.unwrap_or(stdout_tty), on.unwrap_or(stderr_tty))
            }
        };
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let progress = match progress {
            ProgressKind::Auto if !stderr_tty || dumb || quiet > 0 => ProgressKind::Never,
            other => other,
        };
        Self {
            look: Look {
                color: out,
                ascii: ascii || !utf8_locale(stdout_tty),
                width: width(stdout_tty),
            },
            stderr_color: err,
            stdout_tty,
            theme,
            mouse,
            progress,
            quiet,
            verbose,
            pager: (stdout_tty && !dumb && !no_pager)
                .then(|| super::pager::command(pager.as_deref()))
                .flatten(),
            config: config.clone(),
        }
    }
}

/// What the environment says of colours: `NO_COLOR` (no-color.org), `CLICOLOR_FORCE`, `FORCE_COLOR`, a dumb terminal.
pub(super) fn colours_wanted() -> Option<bool> {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let on = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
    if set("NO_COLOR") {
        Some(false)
    } else if on("CLICOLOR_FORCE") || on("FORCE_COLOR") {
        Some(true)
    } else if std::env::var_os("TERM").is_some_and(|t| t == "dumb") {
        Some(false)
    } else {
        None
    }
}

/// A terminal whose locale says something other than UTF-8 gets ASCII; files and pipes get UTF-8.
fn utf8_locale(tty: bool) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_default()
        .to_lowercase();
    !tty || locale.is_empty() || locale.contains("utf-8") || locale.contains("utf8")
}

fn width(tty: bool) -> usize {
    let told = std::env::var("COLUMNS")
        .ok()
        .and_then(|c| c.parse().ok())
        .filter(|&n: &usize| n >= 20);
    let measured = || {
        tty.then(terminal_size::terminal_size)
            .flatten()
            .map(|(w, _)| usize::from(w.0))
    };
    told.or_else(measured).unwrap_or(100).clamp(40, 200)
}

/// `UTC`, `Z`, `+02:00`, `-0530`, `+2`: seconds east of UTC.
pub(super) fn zone(flag: &str, text: &str) -> Result<Zone, Failure> {
    let wrong = || {
        Failure::usage(format!("{flag} {text} is no zone that is known here"))
            .help(format!("{flag} UTC, or an offset: {flag} +02:00"))
    };
    if ["utc", "z", "gmt"].contains(&text.to_lowercase().as_str()) {
        return Ok(Zone(0));
    }
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(wrong()),
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: i32 = digits.parse().map_err(|_| wrong())?;
    let (hours, minutes) = if digits.len() <= 2 {
        (number, 0)
    } else {
        (number / 100, number % 100)
    };
    if hours > 14 || minutes > 59 {
        Err(wrong())
    } else {
        Ok(Zone(sign * (hours * 3_600 + minutes * 60)))
    }
}

/// The paths, `.` where none was given, and how they stand in a command.
pub(super) fn paths(input: &Input) -> (Vec<PathBuf>, String) {
    let paths = if input.paths.is_empty() {
        vec![PathBuf::from(".")]
    } else {
        input.paths.clone()
    };
    let quoted: Vec<String> = paths.iter().map(|p| quote(&p.to_string_lossy())).collect();
    (paths, quoted.join(" "))
}

/// As a shell reads it as one word.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./,:@%+=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

pub(super) fn open(input: &Input, outputs: &[PathBuf]) -> Result<(Case, String), Failure> {
    let (paths, quoted) = paths(input);
    let options = OpenOptions {
        exclude: input.exclude.clone(),
        outputs: outputs.to_vec(),
        beside: input.tls_keylog.clone(),
    };
    match Case::open(&paths, &options) {
        Ok(case) => Ok((case, quoted)),
        Err(e @ CaseError::NotFound { .. }) => {
            let others = if paths.len() > 1 {
                format!("none of the {} paths exists", paths.len())
            } else {
                String::new()
            };
            let failure =
                Failure::usage(e.to_string()).help("wsdrop report FOLDER    reads all files in it");
            Err(if others.is_empty() {
                failure
            } else {
                failure.because(others)
            })
        }
        Err(e @ CaseError::BadGlob { .. }) => Err(Failure::usage(e.to_string())),
        Err(e @ CaseError::EmptyFolder { hidden, .. }) => {
            let mut failure = Failure {
                exit: Exit::NothingRecognised,
                ..Failure::usage(e.to_string())
            };
            if hidden > 0 {
                failure = failure.because(format!(
                    "{hidden} hidden files are there; they are not read unless named"
                ));
            }
            Err(failure.help("wsdrop demo    shows an incident that comes with the program"))
        }
        Err(e @ CaseError::Stdin { .. }) => Err(Failure::usage(e.to_string())),
    }
}

pub(super) fn options(input: &Input, time: Option<&Time>) -> Result<Options, Failure> {
    let mut forced = Vec::new();
    for text in &input.read_as {
        let Some((format, glob)) = text
            .split_once('=')
            .filter(|(f, g)| !f.is_empty() && !g.is_empty())
        else {
            return Err(Failure::usage(format!("--as {text} is not FORMAT=GLOB"))
                .help("--as nginx-access='*.txt'"));
        };
        let formats = crate::analysis::formats();
        if !formats.contains(&format) {
            return Err(Failure::usage(format!("--as {text}: no format {format}"))
                .because(format!("there are {}", formats.join(", "))));
        }
        let glob = globset::Glob::new(glob)
            .map_err(|e| Failure::usage(format!("--as {text}: {glob} is no glob: {}", e.kind())))?
            .compile_matcher();
        forced.push(Forced {
            format: format.to_owned(),
            glob,
        });
    }
    if input.jobs == Some(0) {
        return Err(Failure::usage("--jobs 0 leaves nobody to work")
            .help("--jobs 1, or none for one thread a core"));
    }
    let nginx_formats = input
        .nginx_log_format
        .iter()
        .map(|format| ("command line".to_owned(), format.clone()))
        .collect();
    let (mut since, mut until) = (None, None);
    if let Some(time) = time {
        let zone = zone("--tz", &time.tz)?;
        since = moment("--since", time.since.as_deref(), zone)?;
        until = moment("--until", time.until.as_deref(), zone)?;
    }
    let mut map = FieldMap::default();
    for list in &input.map {
        let more = FieldMap::parse(list).map_err(|why| {
            let meanings: Vec<&str> = Meaning::names().collect();
            Failure::usage(format!("--map {list}: {why}"))
                .because(format!("a key can mean {}", meanings.join(", ")))
                .help("--map 'clientId=client,ts=time'")
        })?;
        map = map.and(&more);
    }
    let (assumed_zone, zones) = zones(input)?;
    Ok(Options {
        nginx_formats,
        assumed_zone,
        zones,
        clocks: clocks(input)?,
        map,
        forced,
        since,
        until,
        jobs: input.jobs,
    })
}

/// `--assume-tz ZONE` and `--assume-tz SOURCE=ZONE`.
fn zones(input: &Input) -> Result<(Option<LocalZone>, Vec<(GlobMatcher, LocalZone)>), Failure> {
    let mut everywhere = None;
    let mut own = Vec::new();
    for text in &input.assume_tz {
        match text.rsplit_once('=') {
            Some((source, of)) => own.push((
                source_glob("--assume-tz", text, source)?,
                place("--assume-tz", of)?,
            )),
            None => everywhere = Some(place("--assume-tz", text)?),
        }
    }
    Ok((everywhere, own))
}

/// What `zone` takes, or a place whose clocks change.
fn place(flag: &str, text: &str) -> Result<LocalZone, Failure> {
    match (zone(flag, text), LocalZone::named(text)) {
        (Ok(zone), _) => Ok(LocalZone::Fixed(zone.0)),
        (Err(_), Some(place)) => Ok(place),
        (Err(failure), None) => Err(failure.help(format!(
            "{flag} Europe/Berlin, or another place of the IANA time zone database"
        ))),
    }
}

/// `--clock SOURCE=auto|none|±DUR`.
fn clocks(input: &Input) -> Result<Vec<(GlobMatcher, Option<i64>)>, Failure> {
    let mut all = Vec::new();
    for text in &input.clock {
        let wrong = || {
            Failure::usage(format!(
                "--clock {text} is not SOURCE=auto, none or a duration"
            ))
            .help("--clock 'app*.log=+1.5s'    their clock is 1.5 s ahead of the others'")
            .help("--clock 'app*.log=none'     their clock is right as it is")
        };
        let (source, how) = text.rsplit_once('=').ok_or_else(wrong)?;
        let offset = match how {
            "auto" => None,
            "none" => Some(0),
            _ => {
                let (sign, rest) = match how.split_at_checked(1) {
                    Some(("-", rest)) => (-1, rest),
                    Some(("+", rest)) => (1, rest),
                    _ => (1, how),
                };
                Some(sign * crate::diagnose::rule::parse_duration(rest).ok_or_else(wrong)?)
            }
        };
        all.push((source_glob("--clock", text, source)?, offset));
    }
    Ok(all)
}

fn source_glob(flag: &str, text: &str, source: &str) -> Result<GlobMatcher, Failure> {
    if source.is_empty() {
        return Err(Failure::usage(format!("{flag} {text} names no source"))
            .help(format!("{flag} 'logs/app*.log=...'")));
    }
    globset::Glob::new(source)
        .map(|g| g.compile_matcher())
        .map_err(|e| Failure::usage(format!("{flag} {text}: {source} is no glob: {}", e.kind())))
}

fn moment(flag: &str, text: Option<&str>, zone: Zone) -> Result<Option<TimeSpec>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    parse_time(text, zone.0, Moment(now))
        .map(Some)
        .ok_or_else(|| {
            Failure::usage(format!("{flag} {text} is no time"))
                .help(format!(
                    "{flag} 10:30, {flag} 'yesterday 14:00', {flag} 2026-03-14T09:27:00Z"
                ))
                .help(format!(
                    "{flag} -15m    15 minutes before the last record; now-2h counts from now"
                ))
        })
}

/// What is taken out, given where it goes.
pub(super) fn redact(privacy: &Privacy, to_tty: bool) -> Result<Redact, Failure> {
    match &privacy.redact {
        Some(text) => {
            Redact::parse(text).map_err(|why| Failure::usage(format!("--redact {text}: {why}")))
        }
        None if to_tty => Ok(Redact::NONE),
        None => Ok(Redact::SHARED),
    }
}

/// Names of CSV columns, all of them known.
pub(super) fn columns(names: &[String]) -> Result<(), Failure> {
    let known = || crate::report::csv::columns();
    match names.iter().find(|name| !known().any(|k| k == *name)) {
        None => Ok(()),
        Some(name) => Err(
            Failure::usage(format!("--columns {name}: csv has no such column"))
                .help("wsdrop help formats    lists them"),
        ),
    }
}

/// The format of a file by its extension.
pub(super) fn format_of(path: &Path) -> Result<Format, Failure> {
    let name = path.to_string_lossy().to_lowercase();
    if name.ends_with(".sarif.json") {
        return Ok(Format::Sarif);
    }
    match path
        .extension()
        .and_then(|e| e.to_str())
        .map(str::to_lowercase)
        .as_deref()
    {
        Some("json") => Ok(Format::Json),
        Some("ndjson" | "jsonl") => Ok(Format::Ndjson),
        Some("txt" | "text" | "log") => Ok(Format::Text),
        Some("csv") => Ok(Format::Csv),
        Some("sarif") => Ok(Format::Sarif),
        Some("xml") => Ok(Format::Junit),
        Some("html" | "htm") => Ok(Format::Html),
        Some("md" | "markdown") => Ok(Format::Md),
        _ => Err(Failure::usage(format!(
            "the name {} does not tell its format",
            path.display()
        ))
        .help("-f json -o FILE, or a name that ends in .html, .md, .csv, .json, .ndjson or .txt")),
    }
}

pub(super) fn pack(files: &RuleFiles) -> Result<Pack, Failure> {
    super::rules::load(&files.rules)
}

/// Nothing of the case could be used: the error that says so.
pub(super) fn nothing_used(analysis: &Analysis, paths: &str) -> Option<Failure> {
    let used =
        |s: &crate::model::Source| s.used > 0 && s.kind != SourceKind::KeyLog || s.is_outside();
    if analysis.sources.iter().any(used) {
        return None;
    }
    let mut reasons: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for source in &analysis.sources {
        *reasons
            .entry(source.reason.as_deref().unwrap_or("nothing usable in it"))
            .or_insert(0) += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|&(reason, n)| (std::cmp::Reverse(n), reason));
    let files = analysis.sources.len();
    let mut failure = Failure {
        exit: Exit::NothingRecognised,
        ..Failure::usage(format!("nothing to analyse in {paths}"))
    };
    failure = failure.because(format!(
        "{files} {} looked at:",
        if files == 1 { "file" } else { "files" }
    ));
    for (reason, n) in reasons.into_iter().take(5) {
        failure = failure.because(format!("{n}  {reason}"));
    }
    Some(
        failure
            .help("--as nginx-access='*.txt'  or  --nginx-log-format '$remote_addr ...'")
            .help(format!(
                "wsdrop sources {paths}    shows why each was left out"
            )),
    )
}

/// 4 where an input that was named could not be used, or `--strict` and anything was left out; a warning for each.
pub(super) fn completeness(analysis: &Analysis, strict: bool, screen: &Screen) -> Exit {
    let mut exit = Exit::Done;
    for source in &analysis.sources {
        if source.is_outside() {
            continue;
        }
        let unused = source.used == 0 && source.kind != SourceKind::KeyLog;
        if source.named && unused {
            let why = source.reason.as_deref().unwrap_or("nothing usable in it");
            warn(screen, &Failure::usage(format!("{}: {why}", source.path)));
            exit = Exit::Partial;
        } else if strict
            && (unused || source.odd > 0 || !source.anomalies.is_empty() || source.reason.is_some())
        {
            let why = match (&source.reason, source.anomalies.first()) {
                (Some(reason), _) => reason.clone(),
                (None, Some(a)) if a.note.is_empty() => format!("{}, {} times", a.kind, a.count),
                (None, Some(a)) => format!("{}, {} times: {}", a.kind, a.count, a.note),
                (None, None) => format!(
                    "{} of {} records not understood",
                    source.odd, source.records
                ),
            };
            warn(
                screen,
                &Failure::usage(format!("--strict: {}: {why}", source.path)),
            );
            exit = Exit::Partial;
        }
    }
    exit
}

pub(super) fn warn(screen: &Screen, what: &Failure) {
    if screen.quiet < 2 {
        what.print("warning", screen.stderr_color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_by_offset() {
        for (text, expected) in [
            ("UTC", Some(0)),
            ("z", Some(0)),
            ("+02:00", Some(7_200)),
            ("-0530", Some(-19_800)),
            ("+2", Some(7_200)),
            ("+14", Some(50_400)),
            ("Mars", None),
            ("+", None),
            ("+25", None),
            ("+02:60", None),
            ("", None),
        ] {
            assert_eq!(zone("--tz", text).ok().map(|z| z.0), expected, "{text}");
        }
    }

    #[test]
    fn words_for_a_shell() {
        for (word, expected) in [
            ("./a-b.log", "./a-b.log"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("*.log", "'*.log'"),
        ] {
            assert_eq!(quote(word), expected);
        }
    }

    #[test]
    fn formats_by_extension() {
        assert_eq!(
            format_of(Path::new("a/drops.JSON")).ok(),
            Some(Format::Json)
        );
        assert_eq!(
            format_of(Path::new("drops.jsonl")).ok(),
            Some(Format::Ndjson)
        );
        assert!(format_of(Path::new("drops")).is_err());
    }
}
