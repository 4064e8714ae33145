//! What the program writes in each form -> whether the forms agree, whether hostile input stays text in them, and whether a gate tells by its code.

use crate::samples::samples;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn program(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdrop"));
    for name in [
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "FORCE_COLOR",
        "COLUMNS",
        "WSDROP_TZ",
        "WSDROP_CONFIG",
        "GITHUB_STEP_SUMMARY",
    ] {
        command.env_remove(name);
    }
    // no configuration of whoever runs the tests
    command.env("XDG_CONFIG_HOME", folder.join("no-home"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn run(args: &[&str], folder: &Path) -> Output {
    program(args, folder).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// The folder of a recorded incident, without what tells how it was recorded.
pub(crate) fn sample(name: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(samples().join(name))
        .expect("a sample")
        .flatten()
    {
        let file = entry.file_name().to_string_lossy().into_owned();
        if !file.ends_with(".md") && !file.ends_with(".json") {
            fs::copy(entry.path(), dir.path().join(file)).expect("copied");
        }
    }
    dir
}

fn stdout(dir: &TempDir, args: &[&str]) -> String {
    let output = run(args, dir.path());
    let code = output.status.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{args:?}: {code:?}\n{}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Fields of each line, by RFC 4180.
pub(crate) fn csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let (mut row, mut field, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut field)),
                c => field.push(c),
            }
        }
        assert!(!quoted, "{line}");
        row.push(field);
        rows.push(row);
    }
    rows
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|c| c["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// One output alone is written while connections are judged, several of them afterwards.
#[test]
fn ndjson_as_it_goes_is_that_of_the_whole() {
    for name in [
        "mixed-incident",
        "server-crash",
        "all-clean",
        "alb-idle-timeout",
    ] {
        let (dir, out) = (sample(name), tempfile::tempdir().expect("a folder"));
        let path = |file: &str| out.path().join(file).display().to_string();
        for redact in ["none", "all"] {
            let report = |rest: &[&str]| {
                let asked = [&["report", ".", "--redact", redact][..], rest].concat();
                stdout(&dir, &asked)
            };
            report(&["-o", &path("whole.ndjson"), "-o", &path("whole.json")]);
            report(&["-o", &path("alone.ndjson")]);
            let read = |file: &str| fs::read_to_string(path(file)).expect("written");
            let whole = read("whole.ndjson");
            assert!(
                whole.contains("\"tests\"") || whole.contains("\"evidence\""),
                "{name}"
            );
            assert!(report(&["-f", "ndjson"]) == whole, "{name}");
            assert!(read("alone.ndjson") == whole, "{name}");
        }
    }
}

#[test]
fn a_filter_chooses_the_same_rows_in_every_form() {
    let dir = sample("mixed-incident");
    let whole: Value =
        serde_json::from_str(&stdout(&dir, &["report", ".", "-f", "json"])).expect("JSON");
    let all = whole["connections"].as_array().expect("a list").len();
    let mut sizes = BTreeSet::new();
    for filters in [
        &[][..],
        &["-w", "cause:idle-timeout"],
        &["-w", "how:drop"],
        &["-w", "-how:drop"],
        &["-w", "silent>2s", "-w", "how:drop"],
        &["-w", "(cause:server-crash OR cause:missed-heartbeat)"],
        &["-w", "no-row-has-this"],
        &["-w", "rule:W501"],
        &["-w", "by:nginx"],
        &["-w", "by:server -cause:server-crash"],
        &["-w", "code:1006"],
        &["-w", "client:10.77.1.0/24"],
        &["-w", "alive>10s"],
        &["-w", "silent:6s~0.5s"],
        &["-w", "path:/feed"],
        &["-w", "conf:certain"],
        &["-w", "id:c-5"],
        &["-w", "file:error.log"],
        &["-w", "/feed|trade/"],
        &["--min-confidence", "certain"],
        &["-A", "W101", "-A", "server-crash"],
    ] {
        let report = |format: &str| {
            stdout(
                &dir,
                &[&["report", ".", "-f", format][..], filters].concat(),
            )
        };
        let json: Value = serde_json::from_str(&report("json")).expect("JSON");
        let wanted = ids(&json["connections"]);
        sizes.insert(wanted.len());
        let lines: Vec<Value> = report("ndjson")
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .filter(|l: &Value| l["type"] == "connection")
            .collect();
        assert_eq!(ids(&Value::Array(lines)), wanted, "{filters:?}");
        let rows = csv(&report("csv"));
        let of: Vec<String> = rows.iter().skip(1).map(|r| r[0].clone()).collect();
        assert_eq!(of, wanted, "{filters:?}");
        assert!(rows.iter().all(|r| r.len() == rows[0].len()));
        let page = report("html");
        for id in &wanted {
            assert!(page.contains(id), "{id}");
        }
        if !filters.is_empty() {
            let said = format!("{} of {all} connections shown", wanted.len());
            for page in [report("text"), report("md"), page] {
                assert!(page.contains(&said), "no {said}:\n{page}");
            }
        }
        for kept in json["findings"].as_array().expect("a list") {
            for id in kept["connections"].as_array().expect("a list") {
                assert!(wanted.contains(&id.as_str().expect("an id").to_owned()));
            }
        }
    }
    assert!(sizes.len() > 4, "the filters differ: {sizes:?}");
}

#[test]
fn a_wrong_filter_is_told_with_its_place() {
    let dir = sample("policy-close");
    let check = |args: &[&str], said: &[&str]| {
        let output = run(args, dir.path());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}\n{err}");
        for said in said {
            assert!(err.contains(said), "{args:?}: no {said:?} in\n{err}");
        }
    };
    check(
        &["report", ".", "-w", "alive>5s hopp:nginx"],
        &[
            "no such key: hopp",
            "|  alive>5s hopp:nginx",
            "|           ^",
            "did you mean hop:?",
        ],
    );
    check(&["show", "1", ".", "-w", "(a"], &["never closed"]);
    check(&["check", ".", "-w", "code:x"], &["not a close code"]);
    check(
        &["report", ".", "-A", "W999"],
        &["--allow W999: no such rule"],
    );
    check(
        &["check", ".", "-D", "nothing"],
        &["--deny nothing: no such rule"],
    );
    check(
        &["check", ".", "-D", "W101", "-A", "W101"],
        &["both allowed and denied"],
    );
    check(&["report", ".", "-f", "sarif"], &["wsdrop check -f sarif"]);
    check(
        &["report", ".", "--fail-on", "low"],
        &["belongs to wsdrop check"],
    );
    check(
        &["show", "99999", ".", "-w", "how:drop"],
        &["no drop number"],
    );
}

#[test]
fn every_form_is_the_same_again() {
    let dir = sample("mixed-incident");
    for (command, format) in [
        ("report", "text"),
        ("report", "html"),
        ("report", "md"),
        ("report", "csv"),
        ("check", "text"),
        ("check", "sarif"),
        ("check", "junit"),
        ("check", "github"),
    ] {
        let out = |jobs: &str| stdout(&dir, &[command, ".", "-f", format, "-j", jobs]);
        assert_eq!(out("1"), out("4"), "{command} -f {format}");
    }
}

#[test]
fn several_reports_from_one_run() {
    let dir = sample("mixed-incident");
    let names = [
        "a.html", "a.md", "a.csv", "a.json", "a.ndjson", "a.txt", "a.sarif", "a.xml",
    ];
    let mut args = vec!["check", ".", "-q"];
    for name in names {
        args.extend(["-o", name]);
    }
    let output = run(&args, dir.path());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        Default::default()
    );
    let begin = [
        "<!DOCTYPE html>",
        "## ",
        "id,outcome,",
        "{",
        "{\"type\":",
        "",
        "{",
        "<?xml",
    ];
    for (name, begin) in names.iter().zip(begin) {
        let written = fs::read_to_string(dir.path().join(name)).expect("written");
        assert!(!written.is_empty() && written.starts_with(begin), "{name}");
    }
}

#[test]
fn a_page_asks_for_nothing_and_hides_secrets() {
    let dir = sample("mixed-incident");
    let page = stdout(&dir, &["report", ".", "-f", "html"]);
    let document: Value = serde_json::from_str(&stdout(
        &dir,
        &["report", ".", "-f", "json", "--redact", "none"],
    ))
    .expect("JSON");
    for word in ["://", "src=", "@import", "<link"] {
        assert!(!page.contains(word), "{word}");
    }
    for connection in document["connections"].as_array().expect("a list") {
        let uri = connection["request"]["uri"].as_str().unwrap_or_default();
        if let Some((_, token)) = uri.split_once("session=") {
            assert!(!page.contains(token), "{token}");
        }
    }
    for word in [
        "<caption>",
        "scope=\"col\"",
        "<details",
        "aria-label",
        "lang=\"en\"",
    ] {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn a_gate_tells_by_its_code() {
    #[track_caller]
    fn check(dir: &TempDir, args: &[&str], code: i32, said: &str) {
        let output = run(&[&["check", "."][..], args].concat(), dir.path());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        assert!(
            out.contains(said) || err.contains(said),
            "{args:?}: no {said}\n{out}\n{err}"
        );
    }
    let crash = sample("server-crash");
    check(&crash, &[], 1, "failed: ");
    check(&crash, &["--fail-on", "high"], 1, "W501");
    check(
        &crash,
        &["--fail-on", "never"],
        0,
        "passed: no severity fails",
    );
    check(
        &crash,
        &["--fail-on", "never", "-D", "server-crash"],
        1,
        "failed: ",
    );
    check(&crash, &["--tolerate", "100000"], 0, "passed: ");
    check(
        &crash,
        &["-w", "no-row-has-this", "--fail-on", "high"],
        0,
        "none of",
    );
    check(&crash, &["-q"], 1, "failed: ");
    check(&crash, &["nowhere"], 1, "no such file or folder");
    let clean = sample("all-clean");
    check(&clean, &[], 0, "none dropped");
    check(&clean, &["nowhere"], 4, "no such file or folder");
    let empty = tempfile::tempdir().expect("a temporary folder");
    check(&empty, &[], 3, "no files");
    fs::write(empty.path().join("notes.txt"), "bread, milk\n").expect("written");
    check(&empty, &[], 3, "nothing to analyse");
}

#[test]
fn github_gets_annotations_and_a_summary() {
    let dir = sample("server-crash");
    let output = program(&["check", ".", "-f", "github"], dir.path())
        .env("GITHUB_STEP_SUMMARY", dir.path().join("summary.md"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let titles: Vec<&str> = out
        .lines()
        .filter_map(|l| l.split_once("title=")?.1.split("%2C").next())
        .collect();
    let once: BTreeSet<&str> = titles.iter().copied().collect();
    assert!(!titles.is_empty() && titles.len() == once.len(), "{out}");
    let summary = fs::read_to_string(dir.path().join("summary.md")).expect("written");
    assert!(summary.contains("| cause | drops |"), "{summary}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let dir = sample("mixed-incident");
    for args in [
        &["report", ".", "-f", "html"][..],
        &["report", ".", "-f", "csv"],
        &["report", ".", "-f", "md"],
        &["report", ".", "-f", "ndjson"],
        &["completions", "bash"],
        &["help", "filters"],
    ] {
        let mut child = program(args, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("ends");
        assert_eq!(
            (output.status.code(), text(&output.stderr).as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn a_drop_is_shown_by_what_tells_it_apart() {
    let dir = sample("mixed-incident");
    let document: Value =
        serde_json::from_str(&stdout(&dir, &["report", ".", "-f", "json"])).expect("JSON");
    let all = ids(&document["connections"]);
    let id = &all[0];
    let short = (3..=id.len())
        .map(|n| &id[..n])
        .find(|short| all.iter().filter(|i| i.starts_with(short)).count() == 1)
        .expect("ids differ");
    let shown = |args: &[&str]| -> Value {
        serde_json::from_str(&stdout(&dir, &[&["show"][..], args, &["--json"]].concat()))
            .expect("JSON")
    };
    assert_eq!(shown(&[short, "."])["id"], id.as_str());
    let first = shown(&["1", ".", "-w", "cause:server-crash"]);
    assert_eq!(first["cause"], "server-crash");
    assert!(stdout(&dir, &["show", "1", ".", "--raw"]).contains("time line"));
}

#[test]
fn the_book_has_the_table_of_severities() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("book/src/cli.md"))
        .expect("the reference");
    for (code, id, _, severity) in wsdrop::model::catalogue() {
        let row = format!("| {code} | `{id}` | {} |", severity.name());
        assert!(page.contains(&row), "cli.md: no row {row}");
    }
}

#[test]
fn shells_and_readers_get_their_pages() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (args, word) in [
        (&["completions", "bash"][..], "--fail-on"),
        (&["completions", "zsh"], "--where"),
        (&["completions", "fish"], "min-confidence"),
        (&["man"], ".TH wsdrop"),
        (&["man", "check"], "tolerate"),
        (&["help", "filters"], "silent"),
        (&["help", "exit-codes"], "130, 143"),
        (&["help", "severities"], "W501"),
        (&["help", "report"], "--output"),
    ] {
        let out = stdout(&dir, args);
        assert!(out.contains(word), "{args:?}: no {word}\n{out}");
    }
}
