//! The sources of this crate -> whether the house still stands: arrows that point down, files that say what they are, registers that forget nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which room may name which. Arrows point one way: a room names only rooms that stand below it here, so there are no circles.
/// `book/src/architecture.md` shows the same table; a test compares them.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &["analysis", "report", "tui", "case", "diagnose", "model"],
    ),
    (
        "analysis",
        &[
            "case",
            "capture",
            "logs",
            "config",
            "host",
            "browser",
            "correlate",
            "diagnose",
            "model",
        ],
    ),
    ("report", &["model"]),
    ("tui", &["model"]),
    ("case", &["model"]),
    ("capture", &["model"]),
    ("logs", &["text", "model"]),
    ("config", &["model"]),
    ("host", &["text", "model"]),
    ("browser", &["text", "model"]),
    ("correlate", &["model"]),
    ("diagnose", &["model"]),
    ("text", &["model"]),
    ("model", &[]),
];

/// Above this a file is rarely one kind of thing.
const MOST_LINES: usize = 900;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct File {
    /// Relative to the crate, `/`-separated.
    name: String,
    text: String,
}

impl File {
    /// The module path below the crate root: `src/logs/nginx.rs` is `[logs, nginx]`.
    fn module(&self) -> Vec<&str> {
        let inner = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|part| *part != "mod").collect()
    }

    fn room(&self) -> &str {
        self.module().first().copied().unwrap_or_default()
    }

    /// What the compiler sees outside the tests, with comments and literals blanked out.
    fn code(&self) -> String {
        let code = blank_out(&self.text);
        match code.find("#[cfg(test)]\nmod ") {
            Some(tests) => code[..tests].to_owned(),
            None => code,
        }
    }
}

/// The files below `folder` that end in `.extension`, by name.
fn files(folder: &str, extension: &str) -> Vec<File> {
    fn walk(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, into);
            } else if path.extension().is_some_and(|e| e == extension) {
                into.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), extension, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            File {
                name,
                text: fs::read_to_string(&path).unwrap(),
            }
        })
        .collect()
}

/// Rust with comments, strings and characters replaced by spaces; line breaks stay where they are.
fn blank_out(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    let ident = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            let mut depth = 0;
            let mut end = at;
            loop {
                match &bytes[end.min(bytes.len())..] {
                    [] => break,
                    [b'/', b'*', ..] => (depth, end) = (depth + 1, end + 2),
                    [b'*', b'/', ..] => (depth, end) = (depth - 1, end + 2),
                    _ => end += 1,
                }
                if depth == 0 {
                    break;
                }
            }
            end
        } else if rest[0] == b'r'
            && (at == 0 || !ident(bytes[at - 1]) || bytes[at - 1] == b'b')
            && raw_hashes(rest).is_some()
        {
            let hashes = raw_hashes(rest).unwrap();
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            at + text[at + open..]
                .find(&close)
                .map_or(rest.len(), |n| open + n + close.len())
        } else if rest[0] == b'"' {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        } else if rest[0] == b'\'' {
            // A character, or a lifetime: a lifetime has no quote after its first letter.
            match text[at + 1..].chars().next() {
                Some('\\') => {
                    at + 3
                        + bytes[at + 3..]
                            .iter()
                            .position(|&b| b == b'\'')
                            .map_or(0, |n| n + 1)
                }
                Some(c) if bytes.get(at + 1 + c.len_utf8()) == Some(&b'\'') => {
                    at + 2 + c.len_utf8()
                }
                _ => {
                    at += 1;
                    continue;
                }
            }
        } else {
            at += 1;
            continue;
        };
        let end = end.min(bytes.len());
        for b in &mut out[at..end] {
            if *b != b'\n' {
                *b = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// For `r"` and `r#"`: the number of hashes.
fn raw_hashes(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// The first names below the crate root that this code reaches for: through `crate::`, the crate's own name, or `super::` far enough up.
fn reaches(file: &File) -> BTreeSet<String> {
    let code = file.code();
    let tokens = tokens(&code);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let follows_path = at > 0 && tokens[at - 1] == "::";
        let start = match tokens[at] {
            "crate" | "wsdrop" if !follows_path => Some(at + 1),
            "super" if !follows_path => {
                let mut ups = 1;
                while tokens.get(at + 2 * ups - 1) == Some(&"::")
                    && tokens.get(at + 2 * ups) == Some(&"super")
                {
                    ups += 1;
                }
                let next = at + 2 * ups - 1;
                at = next;
                (ups >= file.module().len()).then_some(next)
            }
            _ => None,
        };
        at += 1;
        let Some(start) = start else { continue };
        if tokens.get(start) == Some(&"::") {
            heads(&tokens[start + 1..], &mut found);
        }
    }
    found
}

/// `a::b` gives `a`; `{a, b::{c, d}}` gives `a` and `b`.
fn heads(tokens: &[&str], into: &mut BTreeSet<String>) {
    if tokens.first() != Some(&"{") {
        into.extend(tokens.first().map(|t| (*t).to_owned()));
        return;
    }
    let (mut depth, mut fresh) = (0, true);
    for &token in tokens {
        match token {
            "{" => (depth, fresh) = (depth + 1, depth == 0),
            "}" => depth -= 1,
            "," => fresh = depth == 1,
            word if fresh && depth == 1 => {
                into.insert(word.to_owned());
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
}

fn tokens(code: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = code.trim_start();
    while let Some(c) = rest.chars().next() {
        let len = if c.is_alphanumeric() || c == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        all.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    all
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}

#[test]
fn arrows_point_down() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut faults = Vec::new();
    for (n, (room, below)) in ARROWS.iter().enumerate() {
        let lower: Vec<&str> = ARROWS[n + 1..].iter().map(|(room, _)| *room).collect();
        for to in below.iter().filter(|to| !lower.contains(to)) {
            faults.push(format!(
                "ARROWS lets {room} name {to}, which stands above it: a circle"
            ));
        }
    }
    let files = files("src", "rs");
    for (room, _) in ARROWS
        .iter()
        .filter(|(room, _)| files.iter().all(|f| f.room() != *room))
    {
        faults.push(format!(
            "ARROWS names the room `{room}`, which is not there"
        ));
    }
    for file in &files {
        let room = file.room();
        if room == "lib" || file.module().last() == Some(&"tests") {
            continue;
        }
        let Some(below) = allowed.get(room) else {
            faults.push(format!("{}: the room `{room}` is not in ARROWS", file.name));
            continue;
        };
        for to in reaches(file) {
            if to != room && !below.contains(&to.as_str()) {
                let what = if allowed.contains_key(to.as_str()) {
                    "which it may not know"
                } else {
                    "which is no room"
                };
                faults.push(format!("{}: names `{to}`, {what}", file.name));
            }
        }
    }
    report(&faults);
}

#[test]
fn the_book_draws_the_same_arrows() {
    let chapter = fs::read_to_string(root().join("book/src/architecture.md")).unwrap();
    let drawn = chapter
        .split_once("<!-- arrows -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /arrows -->"))
        .map(|(table, _)| table)
        .expect("architecture.md has a table between <!-- arrows --> and <!-- /arrows -->");
    let words = |cell: &str| {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let rows: Vec<(String, Vec<String>)> = drawn
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            Some((words(cells.get(1)?).pop()?, words(cells.get(2)?)))
        })
        .collect();
    let wanted: Vec<(String, Vec<String>)> = ARROWS
        .iter()
        .map(|(room, below)| {
            (
                (*room).to_owned(),
                below.iter().map(|to| (*to).to_owned()).collect(),
            )
        })
        .collect();
    assert_eq!(rows, wanted);
}

#[test]
fn every_file_says_what_it_is() {
    let mut faults = Vec::new();
    for file in files("src", "rs").iter().chain(&files("tests/it", "rs")) {
        if !file.text.starts_with("//! ") {
            faults.push(format!(
                "{}: does not open with a `//!` sentence",
                file.name
            ));
        }
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            faults.push(format!(
                "{}: {lines} lines, more than {MOST_LINES}: is it one kind of thing?",
                file.name
            ));
        }
    }
    report(&faults);
}

#[test]
fn no_unsafe_and_nothing_left_to_do() {
    let mut faults = Vec::new();
    let all = files("src", "rs");
    // A file that its parent declares under `cfg(test)` is tests from its first line.
    let test_only = |name: &str| {
        let stem = Path::new(name)
            .file_stem()
            .and_then(|s| s.to_str())
            .unwrap_or_default();
        let declared = ["mod", "pub mod", "pub(super) mod", "pub(crate) mod"]
            .map(|keyword| format!("#[cfg(test)]\n{keyword} {stem};"));
        all.iter()
            .any(|f| declared.iter().any(|d| f.text.contains(d)))
    };
    for file in all.iter().filter(|f| !test_only(&f.name)) {
        let code = file.code();
        let tokens = tokens(&code);
        for (n, pair) in tokens.windows(2).enumerate() {
            match pair {
                ["unsafe", _] => faults.push(format!("{}: `unsafe`", file.name)),
                ["todo" | "unimplemented", "!"] => {
                    faults.push(format!("{}: `{}!`", file.name, pair[0]))
                }
                ["unwrap", "("] if n > 0 && tokens[n - 1] == "." => {
                    faults.push(format!("{}: `.unwrap()` outside tests", file.name));
                }
                _ => {}
            }
        }
    }
    report(&faults);
}

#[test]
fn every_rule_is_registered() {
    let rules = files("rules", "toml");
    let register: String = files("src/diagnose", "rs")
        .into_iter()
        .filter(|file| file.text.contains("include_str!"))
        .map(|file| file.text)
        .collect();
    let mut faults: Vec<String> = rules
        .iter()
        .filter(|rule| {
            let stem = rule
                .name
                .trim_start_matches("rules/")
                .trim_end_matches(".toml");
            !register.contains(&format!("\"{stem}\""))
                && !register.contains(&format!("/{stem}.toml\""))
        })
        .map(|rule| format!("{}: not compiled in by src/diagnose", rule.name))
        .collect();
    for cause in wsdrop::model::Cause::ALL {
        let name = format!("rules/{}.toml", cause.id());
        let wanted = *cause != wsdrop::model::Cause::Undecided;
        if wanted && !rules.iter().any(|rule| rule.name == name) {
            faults.push(format!(
                "{name}: missing, so nothing can ever be {}",
                cause.code()
            ));
        }
    }
    report(&faults);
}

#[test]
fn every_log_format_is_registered() {
    let logs = files("src/logs", "rs");
    let all: String = logs.iter().map(File::code).collect::<Vec<_>>().join("\n");
    let register = all
        .split_once("FORMATS:")
        .and_then(|(_, rest)| rest.split_once("];"))
        .map(|(list, _)| list)
        .expect("src/logs has `const FORMATS: &[...] = &[...];`");
    let registered = tokens(register);
    let mut faults = Vec::new();
    let mut formats = 0;
    for file in &logs {
        let code = file.code();
        let tokens = tokens(&code);
        for window in tokens.windows(4) {
            if let ["impl", "LogFormat", "for", name] = window {
                formats += 1;
                if !registered.contains(name) {
                    faults.push(format!(
                        "{}: the format `{name}` is not in FORMATS",
                        file.name
                    ));
                }
            }
        }
    }
    assert!(formats > 0, "no `impl LogFormat for` below src/logs");
    report(&faults);
}

/// The readers above, on code written to mislead them.
#[test]
fn the_import_reader_is_not_misled() {
    let check = |name: &str, text: &str, expected: &[&str]| {
        let file = File {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let found: Vec<String> = reaches(&file).into_iter().collect();
        assert_eq!(found, expected, "{name}: {text}");
    };
    check(
        "src/logs/nginx.rs",
        "use crate::model::{Line, Stamp};",
        &["model"],
    );
    check(
        "src/logs/nginx.rs",
        "use crate::{model::Line, capture::{a, b}};",
        &["capture", "model"],
    );
    check(
        "src/logs/nginx.rs",
        "fn f() -> crate::config::Route { todo() }",
        &["config"],
    );
    check("src/logs/nginx.rs", "use super::LogFormat;", &[]);
    check(
        "src/logs/nginx.rs",
        "use super::super::capture::Vantage;",
        &["capture"],
    );
    check(
        "src/logs/mod.rs",
        "pub(crate) use super::host::Unit;",
        &["host"],
    );
    check("src/logs/json/mod.rs", "use super::wrapper;", &[]);
    check("src/main.rs", "fn main() { wsdrop::cli::run() }", &["cli"]);
    check(
        "src/logs/nginx.rs",
        "// use crate::capture::X;\n/* crate::tui */ const S: &str = \"crate::report\";",
        &[],
    );
    check(
        "src/logs/nginx.rs",
        "const S: &str = r#\"\" crate::report \"#; use crate::model::M;",
        &["model"],
    );
    check(
        "src/logs/nginx.rs",
        "fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' } use crate::model::M;",
        &["model"],
    );
    check(
        "src/logs/nginx.rs",
        "use crate::model::M;\n#[cfg(test)]\nmod tests { use crate::capture::C; }",
        &["model"],
    );
}
