//! The book, the README and their relatives -> whether every link leads somewhere and every command and flag in them exists.

use crate::samples::{names, samples, wsdrop};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that a reader may open: relative path, text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "samples/README.md",
    ]
    .map(PathBuf::from)
    .to_vec();
    let chapters = names(&root().join("book/src"));
    paths.extend(chapters.iter().map(|name| Path::new("book/src").join(name)));
    for name in names(&samples()) {
        if samples().join(&name).is_dir() {
            paths.push(Path::new("samples").join(name).join("README.md"));
        }
    }
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(root().join(&path))
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path, text)
        })
        .collect()
}

/// Targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// Lines of fenced blocks that a reader is meant to type, without their prompt.
fn commands(text: &str) -> Vec<&str> {
    let (mut inside, mut found) = (false, Vec::new());
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) => inside = !inside && matches!(language, "console" | "text"),
            None if inside => found.extend(line.strip_prefix("$ ")),
            None => {}
        }
    }
    found
}

fn show(faults: &[String]) {
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    for (path, text) in pages() {
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let folder = root().join(&path);
            if !folder.parent().unwrap().join(target).exists() {
                faults.push(format!("{}: {link} leads nowhere", path.display()));
            }
        }
    }
    show(&faults);
}

#[test]
fn the_summary_lists_every_chapter() {
    let summary = fs::read_to_string(root().join("book/src/SUMMARY.md")).unwrap();
    let listed: BTreeSet<String> = links(&summary).into_iter().map(str::to_owned).collect();
    let mut there: BTreeSet<String> = names(&root().join("book/src")).into_iter().collect();
    there.remove("SUMMARY.md");
    assert_eq!(listed, there);
}

/// Long flags in a command line or a code span.
fn flags(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || c == '=' || c == '`')
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(|word| word.trim_end_matches([',', '.', ')']).to_owned())
        .collect()
}

/// `report`, `what-if`; no path and no flag.
fn is_command(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn help(args: &[&str]) -> Option<String> {
    let output = wsdrop(&[args, &["--help"]].concat(), &std::env::temp_dir());
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_command_in_the_book_exists() {
    let general = help(&[]).expect("wsdrop --help");
    let mut of: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (path, text) in pages() {
        for line in commands(&text) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let words = match words.as_slice() {
                ["wsdrop", rest @ ..] => rest,
                ["cargo", "run", "--release", "--", rest @ ..] => rest,
                _ => continue,
            };
            let word = words.first().copied().unwrap_or_default();
            let is_command = is_command(word);
            let help = if is_command {
                // The commands of `rules` have flags of their own.
                let deep = if word == "rules" { 2 } else { 1 };
                let words = &words[..deep.min(words.len())];
                of.entry(words.join(" "))
                    .or_insert_with(|| help(words))
                    .clone()
            } else {
                Some(general.clone())
            };
            let Some(help) = help else {
                faults.push(format!(
                    "{}: `{line}`: there is no command `{word}`",
                    path.display()
                ));
                continue;
            };
            for flag in flags(line).into_iter().filter(|flag| flag != "--release") {
                if !help.contains(&flag) && !general.contains(&flag) {
                    faults.push(format!(
                        "{}: `{line}`: there is no flag {flag}",
                        path.display()
                    ));
                }
            }
        }
    }
    show(&faults);
}

#[test]
fn every_flag_of_the_reference_exists() {
    let reference = fs::read_to_string(root().join("book/src/cli.md")).unwrap();
    let mut known = help(&[]).expect("wsdrop --help");
    let mut faults = Vec::new();
    // The first block lists the commands: `wsdrop word ...`.
    for line in reference.split("```").nth(1).unwrap_or_default().lines() {
        let word = line.split_whitespace().nth(1).unwrap_or_default();
        if line.starts_with("wsdrop ") && is_command(word) {
            match help(&[word]) {
                Some(text) => known.push_str(&text),
                None => faults.push(format!("cli.md: there is no command `{word}`")),
            }
        }
    }
    for span in reference
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.starts_with("--"))
    {
        for flag in flags(span) {
            if !known.contains(&flag) {
                faults.push(format!("cli.md: there is no flag {flag}"));
            }
        }
    }
    show(&faults);
}

#[test]
fn the_chapter_about_rules_is_up_to_date() {
    let written = fs::read_to_string(root().join("book/src/rules.md")).unwrap();
    let output = wsdrop(&["rules", "doc"], &std::env::temp_dir());
    assert!(
        written.as_bytes() == output.stdout,
        "book/src/rules.md is not what the rules say now; renew it with\n    cargo run -q -- rules doc > book/src/rules.md"
    );
}

/// The first command of the README, as far as a program without a terminal can type it; the second is running now.
#[test]
fn the_readme_keeps_its_word() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert_eq!(
        commands(&readme)[..2],
        ["cargo run --release -- demo", "cargo test"]
    );
    let output = wsdrop(&["demo"], &std::env::temp_dir());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    for cause in [
        "idle-timeout",
        "missed-heartbeat",
        "server-crash",
        "client-network-change",
    ] {
        assert!(
            text.contains(cause),
            "the demo does not speak of {cause}:\n{text}"
        );
    }
}

/// What `commands` and `flags` take from a page.
#[test]
fn the_page_reader_reads() {
    let check = |text: &str, expected: &[&str]| assert_eq!(commands(text), expected, "{text}");
    check(
        "```console\n$ wsdrop report x\noutput\n```\n$ no\n",
        &["wsdrop report x"],
    );
    check("```sh\n$ no\n```\n```text\n$ wsdrop\n```\n", &["wsdrop"]);
    assert_eq!(
        flags("report --as a='*.txt' --redact=none, -f"),
        ["--as", "--redact"]
    );
    assert_eq!(links("[a](b.md) and [c](https://d)"), ["b.md", "https://d"]);
}
