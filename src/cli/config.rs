//! Configuration files -> flags that nobody typed, each with the file and line it stands in. None is read from the folder that is analysed: it is foreign data.

use super::args::Cli;
use super::failure::Failure;
use super::words::{self, Grammar};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What a key may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One value; a list of words is joined by commas.
    One,
    /// `true` gives the flag.
    Switch,
    /// One value or a list: the flag once for each.
    Many,
    /// The same, for paths: relative ones start at the configuration file.
    Paths,
    /// One value, or a table: the flag once for each of its entries, as `NAME=VALUE`.
    Table,
}

/// A key is the long name of a flag.
struct Key {
    name: &'static str,
    kind: Kind,
    example: &'static str,
}

const fn key(name: &'static str, kind: Kind, example: &'static str) -> Key {
    Key {
        name,
        kind,
        example,
    }
}

/// What may stand in a configuration file. What a single run is about (paths, outputs, times, filters) is not among it.
const KEYS: &[Key] = &[
    key("tz", Kind::One, "\"+02:00\""),
    key(
        "redact",
        Kind::One,
        "[\"ips\", \"tokens\", \"payload\", \"cookies\"]",
    ),
    key("rules", Kind::Paths, "[\"rules\"]"),
    key("exclude", Kind::Many, "[\"*.bak\"]"),
    key("as", Kind::Table, "{ \"nginx-access\" = \"edge-*.txt\" }"),
    key(
        "nginx-log-format",
        Kind::Many,
        "[\"$remote_addr [$time_local] $status\"]",
    ),
    key("assume-tz", Kind::Table, "\"+02:00\""),
    key("clock", Kind::Table, "{ \"app.log\" = \"+3s\" }"),
    key("map", Kind::Many, "[\"clientId=client,ts=time\"]"),
    key("jobs", Kind::One, "4"),
    key("top", Kind::One, "10"),
    key("columns", Kind::One, "[\"id\", \"cause\", \"closed\"]"),
    key("min-confidence", Kind::One, "\"likely\""),
    key("allow", Kind::Many, "[\"W404\"]"),
    key("fail-on", Kind::One, "\"high\""),
    key("tolerate", Kind::One, "3"),
    key("deny", Kind::Many, "[\"W504\"]"),
    key("color", Kind::One, "\"never\""),
    key("theme", Kind::One, "\"dark\""),
    key("ascii", Kind::Switch, "true"),
    key("mouse", Kind::Switch, "true"),
    key("pager", Kind::One, "\"less -FRX\""),
    key("progress", Kind::One, "\"plain\""),
    key("quiet", Kind::Switch, "true"),
];

/// One key as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    /// What stands behind the flag, once for each time it is given; none for a switch that is on.
    values: Vec<String>,
    on: bool,
    file: PathBuf,
    line: usize,
}

impl Setting {
    fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

/// A file that may say something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    path: PathBuf,
    /// `--config or WSDROP_CONFIG`, `yours`, `the machine's`.
    whose: &'static str,
    there: bool,
}

/// All that the files say, the stronger one's word where two speak of one key.
#[derive(Debug, Default)]
pub(super) struct Config {
    layers: Vec<Layer>,
    settings: BTreeMap<&'static str, Setting>,
}

/// Where files may lie, the strongest first.
fn layers(given: Option<&OsStr>) -> Vec<(PathBuf, &'static str)> {
    let mut all = Vec::new();
    if let Some(path) = given.filter(|p| !p.is_empty()) {
        all.push((PathBuf::from(path), GIVEN));
    }
    all.extend(own().map(|path| (path, "yours")));
    if cfg!(unix) {
        all.push((PathBuf::from("/etc/wsdrop.toml"), "the machine's"));
    }
    all
}

/// `$XDG_CONFIG_HOME/wsdrop/config.toml` (XDG Base Directory Specification 0.8: a relative one is not to be used).
fn own() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let base = absolute("XDG_CONFIG_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".config")))
        .or_else(|| absolute("APPDATA"))?;
    Some(base.join("wsdrop").join("config.toml"))
}

impl Config {
    fn load(given: Option<&OsStr>) -> Result<Self, Failure> {
        let mut config = Self::default();
        for (path, whose) in layers(given) {
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => Some(text),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && whose != GIVEN => None,
                Err(e) => {
                    return Err(Failure::usage(format!(
                        "can't read the configuration {}: {e}",
                        path.display()
                    ))
                    .help("wsdrop config init    writes one with every key in it"));
                }
            };
            if let Some(text) = &text {
                for (key, setting) in read(&path, text)? {
                    config.settings.entry(key).or_insert(setting);
                }
            }
            config.layers.push(Layer {
                path,
                whose,
                there: text.is_some(),
            });
        }
        Ok(config)
    }

    /// Says where a value stands that a command could not use.
    pub(super) fn explain(&self, mut failure: Failure) -> Failure {
        for (name, setting) in &self.settings {
            let flag = format!("--{name}");
            let named = failure
                .what
                .split(|c: char| c.is_whitespace() || c == ':')
                .any(|word| word == flag);
            if named {
                failure = failure.because(format!("{name} stands in {}", setting.place()));
            }
        }
        failure
    }
}

const GIVEN: &str = "--config or WSDROP_CONFIG";

/// The keys of one file.
fn read(path: &Path, text: &str) -> Result<Vec<(&'static str, Setting)>, Failure> {
    let line_of = |at: usize| text.get(..at).map_or(0, |t| t.matches('\n').count()) + 1;
    let wrong = |at: usize, what: &str| {
        Failure::usage(format!("{}:{}: {what}", path.display(), line_of(at)))
    };
    let table = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |s| s.start);
        wrong(at, e.message())
    })?;
    let mut found = Vec::new();
    for (name, value) in table.get_ref() {
        let at = name.span().start;
        let Some(key) = KEYS.iter().find(|k| k.name == name.get_ref().as_ref()) else {
            let name = name.get_ref();
            let failure = wrong(at, &format!("no key {name}"));
            let near = KEYS
                .iter()
                .map(|k| (words::distance(k.name, name), k.name))
                .min()
                .filter(|(d, k)| *d <= 2 && *d < k.len());
            return Err(match near {
                Some((_, near)) => failure.help(format!("did you mean {near}?")),
                None => failure,
            }
            .help("wsdrop config init    writes a file with every key in it"));
        };
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let (values, on) = values(key, value.get_ref(), base).map_err(|what| {
            wrong(at, &format!("{}: {what}", key.name))
                .help(format!("{} = {}", key.name, key.example))
        })?;
        found.push((
            key.name,
            Setting {
                values,
                on,
                file: path.to_owned(),
                line: line_of(at),
            },
        ));
    }
    Ok(found)
}

/// What stands behind the flag, and whether a switch is on.
fn values(key: &Key, value: &DeValue<'_>, base: &Path) -> Result<(Vec<String>, bool), String> {
    let word = |value: &DeValue<'_>| -> Result<String, String> {
        match value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.to_string()),
            _ => Err("a text or a whole number is wanted".to_owned()),
        }
    };
    let words = |value: &DeValue<'_>| -> Result<Vec<String>, String> {
        match value {
            DeValue::Array(list) => list.iter().map(|v| word(v.get_ref())).collect(),
            one => word(one).map(|w| vec![w]),
        }
    };
    let values = match (key.kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => return Ok((Vec::new(), *on)),
        (Kind::Switch, _) => return Err("true or false is wanted".to_owned()),
        (Kind::One, value) => vec![words(value)?.join(",")],
        (Kind::Table, DeValue::Table(table)) => table
            .iter()
            .map(|(name, value)| Ok(format!("{}={}", name.get_ref(), word(value.get_ref())?)))
            .collect::<Result<_, String>>()?,
        (Kind::Many | Kind::Table, value) => words(value)?,
        (Kind::Paths, value) => words(value)?
            .into_iter()
            .map(|path| base.join(path).to_string_lossy().into_owned())
            .collect(),
    };
    Ok((values, true))
}

/// The arguments with what the files say put in front of what was typed; what was typed, or stands in the environment, wins.
pub(super) fn apply(args: Vec<OsString>) -> Result<(Vec<OsString>, Config), Failure> {
    let root = Cli::command();
    let Ok(matches) = root.clone().try_get_matches_from(&args) else {
        // what is wrong with the arguments is told by whoever parses them for good
        return Ok((args, Config::default()));
    };
    let Some((name, typed)) = matches.subcommand() else {
        return Ok((args, Config::default()));
    };
    let config = Config::load(given(typed))?;
    let mut added: Vec<OsString> = Vec::new();
    for (key, setting) in &config.settings {
        let Some(id) = id_of(&root, name, key) else {
            continue;
        };
        let told = matches!(
            typed.value_source(&id),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        );
        if told || (*key == "color" && super::meaning::colours_wanted().is_some()) {
            continue;
        }
        if setting.on && setting.values.is_empty() && !is_list(key) {
            added.push(format!("--{key}").into());
        }
        added.extend(setting.values.iter().map(|v| format!("--{key}={v}").into()));
    }
    let mut all = args;
    all.splice(2..2, added);
    if let Err(e) = root.try_get_matches_from(&all) {
        let failure = super::clap_failure(&e, &all, &Grammar::new());
        return Err(config.explain(failure));
    }
    Ok((all, config))
}

fn is_list(key: &str) -> bool {
    KEYS.iter().any(|k| k.name == key && k.kind != Kind::Switch)
}

fn given(typed: &ArgMatches) -> Option<&OsStr> {
    typed
        .try_get_one::<PathBuf>("config")
        .ok()
        .flatten()
        .map(|p| p.as_os_str())
}

/// clap's name of the flag, where the command has it.
fn id_of(root: &Command, command: &str, flag: &str) -> Option<String> {
    let of = |c: &Command| {
        c.get_arguments()
            .find(|a| a.get_long() == Some(flag))
            .map(|a| a.get_id().to_string())
    };
    root.find_subcommand(command)
        .and_then(of)
        .or_else(|| of(root))
}

/// What clap says of a flag, from any command that has it; `None` = this version has no such flag.
fn about(root: &Command, flag: &str) -> Option<String> {
    root.get_subcommands().chain([root]).find_map(|c| {
        let arg = c.get_arguments().find(|a| a.get_long() == Some(flag))?;
        Some(arg.get_help()?.to_string())
    })
}

/// `config path`: every file that is looked for, the strongest first.
pub(super) fn path(given: Option<&Path>) -> Result<String, Failure> {
    let config = Config::load(given.map(Path::as_os_str))?;
    let mut out = String::new();
    for layer in &config.layers {
        let there = if layer.there { "read" } else { "not there" };
        let _ = writeln!(
            out,
            "{:<9}  {}  ({})",
            there,
            crate::model::inert(&layer.path.display().to_string()),
            layer.whose
        );
    }
    Ok(out)
}

/// `config show`: what is in force and where it stands.
pub(super) fn show(given: Option<&Path>) -> Result<String, Failure> {
    let config = Config::load(given.map(Path::as_os_str))?;
    let root = Cli::command();
    let mut out = String::new();
    for (key, setting) in &config.settings {
        let value = match setting.values.as_slice() {
            [] => setting.on.to_string(),
            values => values.join("  "),
        };
        let unknown = if about(&root, key).is_none() {
            "; this build has no use for it"
        } else {
            ""
        };
        let line = format!("{key:<17} {value}   ({}{unknown})", setting.place());
        let _ = writeln!(out, "{}", crate::model::inert(&line));
    }
    if config.settings.is_empty() {
        out.push_str("nothing is configured; wsdrop config init writes a file to begin with\n");
    }
    Ok(out)
}

/// `config init`: a file with every key, all of them commented out; nothing is written over.
pub(super) fn init(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => own().ok_or_else(|| {
            Failure::usage("neither XDG_CONFIG_HOME nor HOME tells where a configuration belongs")
                .help("wsdrop config init --config FILE")
        })?,
    };
    let cant = |e: std::io::Error| Failure::usage(format!("can't write {}: {e}", path.display()));
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(cant)?;
    }
    let mut file = std::fs::File::create_new(&path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::usage(format!("{} is there already", path.display()))
                .help("wsdrop config show    tells what it says")
        } else {
            cant(e)
        }
    })?;
    std::io::Write::write_all(&mut file, template().as_bytes()).map_err(cant)?;
    Ok(path)
}

/// Every key that this build has a flag for, with what it does and an example.
fn template() -> String {
    let root = Cli::command();
    let mut out = String::from(
        "# Configuration of wsdrop: each key is a flag that is given to every command that has it.\n\
         # Flags and environment variables win. wsdrop config path lists the files that are read.\n",
    );
    for key in KEYS {
        let Some(about) = about(&root, key.name) else {
            continue;
        };
        let _ = write!(out, "\n# {about}\n# {} = {}\n", key.name, key.example);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &[&str])], &str>) {
        let found = read(Path::new("/c/config.toml"), text);
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                let found: Vec<(&str, Vec<&str>)> = found
                    .iter()
                    .map(|(k, s)| (*k, s.values.iter().map(String::as_str).collect()))
                    .collect();
                let expected: Vec<(&str, Vec<&str>)> =
                    expected.iter().map(|(k, v)| (*k, v.to_vec())).collect();
                assert_eq!(found, expected, "{text}");
            }
            (Err(failure), Err(said)) => {
                let text = failure.render("error", false);
                assert!(text.contains(said), "no {said} in {text}");
            }
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn keys_become_flags() {
        check("", Ok(&[]));
        check("tz = \"+02:00\"", Ok(&[("tz", &["+02:00"])]));
        check(
            "top = 3\nascii = true",
            Ok(&[("ascii", &[]), ("top", &["3"])]),
        );
        check(
            "redact = [\"ips\", \"tokens\"]",
            Ok(&[("redact", &["ips,tokens"])]),
        );
        check("exclude = \"*.bak\"", Ok(&[("exclude", &["*.bak"])]));
        check("rules = [\"r\", \"/x\"]", Ok(&[("rules", &["/c/r", "/x"])]));
        check("assume-tz = \"+02:00\"", Ok(&[("assume-tz", &["+02:00"])]));
        check(
            "[assume-tz]\n\"app.log\" = \"+02:00\"\n\"b.log\" = \"UTC\"",
            Ok(&[("assume-tz", &["app.log=+02:00", "b.log=UTC"])]),
        );
    }

    #[test]
    fn mistakes_have_a_place_and_a_way_out() {
        check("\ntzz = 1", Err("/c/config.toml:2: no key tzz"));
        check("redcat = 1", Err("did you mean redact?"));
        check(
            "ascii = \"yes\"",
            Err("config.toml:1: ascii: true or false is wanted"),
        );
        check("tz = { a = 1 }", Err("tz = \"+02:00\""));
        check("tz = ", Err("/c/config.toml:1: "));
        check("tz = \"a\"\ntz = \"b\"", Err("duplicate key"));
    }

    #[test]
    fn the_file_to_begin_with_says_nothing_and_could_say_all() {
        let text = template();
        check(&text, Ok(&[]));
        let awake: String = text
            .lines()
            .filter_map(|l| l.strip_prefix("# "))
            .filter(|l| l.split_once(" = ").is_some_and(|(k, _)| is_key(k)))
            .map(|l| format!("{l}\n"))
            .collect();
        let found = read(Path::new("x"), &awake).expect("every example is right");
        assert!(found.len() > 15, "{awake}");
        assert!(!text.contains("None"));
    }

    fn is_key(word: &str) -> bool {
        KEYS.iter().any(|k| k.name == word)
    }
}
