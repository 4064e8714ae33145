//! The built program's command line -> its exit codes, what stands on which stream, and the errors people read.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/mixed-incident");

/// The program with these arguments, in a folder of its own, free of what the environment would change.
fn program(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdrop"));
    for name in [
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "FORCE_COLOR",
        "COLUMNS",
        "WSDROP_TZ",
        "WSDROP_CONFIG",
        "RUST_BACKTRACE",
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

/// A folder with a small incident, a file that is nothing, an empty file and an empty folder.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| dir.path().join(name);
    for name in ["incident", "junk", "empty"] {
        fs::create_dir(at(name)).expect("made");
    }
    for name in ["access.log", "error.log", "app.log", "nginx.conf"] {
        fs::copy(Path::new(SAMPLE).join(name), at("incident").join(name)).expect("copied");
    }
    fs::write(at("junk/notes.txt"), "bread, milk, eggs\nbutter\n").expect("written");
    fs::write(at("junk/blob"), [0, 159, 3, 0, 0, 1, 2]).expect("written");
    dir
}

#[track_caller]
fn check(folder: &TempDir, args: &[&str], code: i32, stdout: &str, stderr: &str) {
    let output = run(args, folder.path());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    assert!(
        out.contains(stdout),
        "{args:?}: no {stdout:?} in stdout:\n{out}"
    );
    assert!(
        err.contains(stderr),
        "{args:?}: no {stderr:?} in stderr:\n{err}"
    );
    assert!(
        !out.contains('\x1b') && !err.contains('\x1b'),
        "no colours off a terminal"
    );
}

#[test]
fn exit_codes_and_what_is_said() {
    let dir = folder();
    // done
    check(&dir, &["report", "incident"], 0, "WebSocket connection", "");
    check(&dir, &["incident"], 0, "WebSocket connection", "");
    check(
        &dir,
        &["--color", "never", "report", "incident"],
        0,
        "WebSocket connection",
        "",
    );
    check(
        &dir,
        &["report", "incident/a*.log", "incident/error.log"],
        0,
        "WebSocket connection",
        "",
    );
    check(&dir, &["sources", "incident"], 0, "nginx", "");
    check(&dir, &["explain"], 0, "W101", "");
    check(&dir, &["explain", "w101"], 0, "idle-timeout", "");
    check(&dir, &["rules", "list"], 0, "W901", "");
    check(&dir, &["schema", "report"], 0, "wsdrop.report/1", "");
    check(&dir, &["--help"], 0, "Exit codes", "");
    check(&dir, &["--version"], 0, env!("CARGO_PKG_VERSION"), "");
    check(&dir, &[], 0, "wsdrop demo", "");
    check(&dir, &["-q", "report", "incident"], 0, "", "");
    // wrong usage
    check(
        &dir,
        &["reprot", "incident"],
        2,
        "",
        "did you mean `wsdrop report`?",
    );
    check(
        &dir,
        &["bundle", "incident"],
        2,
        "",
        "this version does not have",
    );
    check(
        &dir,
        &["report", "nowhere"],
        2,
        "",
        "no such file or folder: nowhere",
    );
    check(
        &dir,
        &["report", "--raw", "incident"],
        2,
        "",
        "--raw belongs to wsdrop show",
    );
    check(
        &dir,
        &["report", "--formt", "json", "incident"],
        2,
        "",
        "did you mean --format?",
    );
    check(&dir, &["report", "-f", "yaml", "incident"], 2, "", "yaml");
    check(
        &dir,
        &["report", "--tz", "Mars", "incident"],
        2,
        "",
        "--tz Mars",
    );
    check(
        &dir,
        &["report", "--since", "noonish", "incident"],
        2,
        "",
        "--since noonish is no time",
    );
    check(
        &dir,
        &["report", "--redact", "names", "incident"],
        2,
        "",
        "names can't be redacted",
    );
    check(
        &dir,
        &["report", "--as", "nginx=*", "incident"],
        2,
        "",
        "nginx-access",
    );
    check(
        &dir,
        &["report", "--as", "nginx", "incident"],
        2,
        "",
        "FORMAT=GLOB",
    );
    check(
        &dir,
        &["report", "-o", "drops", "incident"],
        2,
        "",
        "does not tell its format",
    );
    check(
        &dir,
        &["report", "-o", "no/such/drops.json", "incident"],
        2,
        "",
        "no folder no/such",
    );
    check(
        &dir,
        &["report", "--exclude", "[z-a]", "incident"],
        2,
        "",
        "is no glob",
    );
    check(
        &dir,
        &["show", "99999", "incident"],
        2,
        "",
        "no drop number 99999",
    );
    check(
        &dir,
        &["show", "c-nothing", "incident"],
        2,
        "",
        "no connection c-nothing",
    );
    check(
        &dir,
        &["show", "incident"],
        2,
        "",
        "needs the id or the rank",
    );
    check(&dir, &["explain", "W999"], 2, "", "W999");
    // nothing recognised
    check(
        &dir,
        &["report", "junk"],
        3,
        "",
        "nothing to analyse in junk",
    );
    check(&dir, &["sources", "junk"], 3, "notes.txt", "");
    check(&dir, &["report", "empty"], 3, "", "no files in empty");
    check(
        &dir,
        &["frames", "incident"],
        3,
        "",
        "no capture in incident",
    );
    // results, but not of all that was named
    check(
        &dir,
        &["report", "incident", "nowhere"],
        4,
        "WebSocket connection",
        "nowhere: no such file or folder",
    );
    check(
        &dir,
        &["report", "incident", "junk/notes.txt"],
        4,
        "WebSocket connection",
        "warning: junk/notes.txt",
    );
    check(
        &dir,
        &["report", "incident", "junk"],
        0,
        "WebSocket connection",
        "",
    );
    check(
        &dir,
        &["report", "--strict", "incident", "junk"],
        4,
        "WebSocket connection",
        "--strict",
    );
}

#[test]
fn every_input_is_accounted_for() {
    let dir = folder();
    let output = run(&["sources", "--json", "incident", "junk"], dir.path());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let sources = document["sources"].as_array().expect("a list");
    let paths: Vec<&str> = sources.iter().filter_map(|s| s["path"].as_str()).collect();
    assert_eq!(
        paths,
        [
            "incident/access.log",
            "incident/app.log",
            "incident/error.log",
            "incident/nginx.conf",
            "junk/blob",
            "junk/notes.txt"
        ]
    );
    for source in sources {
        let count = |name: &str| source[name].as_u64().expect("a number");
        if source["kind"] == "unrecognised" {
            assert!(source["reason"].is_string(), "{source}");
        } else if source["kind"] != "nginx-conf" {
            assert_eq!(count("used") + count("odd"), count("records"), "{source}");
        }
    }
}

#[test]
fn the_report_is_of_its_schema_and_the_same_again() {
    let dir = folder();
    let report = |jobs: &str| {
        let output = run(
            &[
                "report", "-f", "json", "--redact", "none", "-j", jobs, SAMPLE,
            ],
            dir.path(),
        );
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        output.stdout
    };
    let first = report("1");
    assert_eq!(first, report("4"), "the same whatever the thread count");
    let schema = run(&["schema", "report"], dir.path());
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    let document: serde_json::Value = serde_json::from_slice(&first).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let connections = document["connections"].as_array().expect("a list");
    assert!(
        connections.iter().any(|c| c["outcome"] == "drop"),
        "the sample has drops"
    );
    let uri = |c: &serde_json::Value| c["request"]["uri"].as_str().unwrap_or_default().to_owned();
    let shared = run(&["report", "-f", "json", SAMPLE], dir.path());
    let shared = text(&shared.stdout);
    for token in connections
        .iter()
        .map(uri)
        .filter_map(|u| u.split_once("session=").map(|(_, t)| t.to_owned()))
    {
        assert!(
            !shared.contains(&token),
            "{token} is left in what goes to a pipe"
        );
    }
}

#[test]
fn outputs_go_where_they_are_sent() {
    let dir = folder();
    check(
        &dir,
        &[
            "report", "incident", "-o", "a.json", "-o", "b.ndjson", "-o", "c.txt",
        ],
        0,
        "",
        "wrote a.json",
    );
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("written");
    assert!(read("a.json").starts_with('{') && read("a.json").contains("wsdrop.report/1"));
    assert!(
        read("b.ndjson")
            .lines()
            .all(|l| l.starts_with("{\"type\":"))
    );
    assert!(read("c.txt").contains("WebSocket connection"));
    let before = read("a.json");
    // an output inside the analysed folder is no input of the next run
    for _ in 0..2 {
        check(
            &dir,
            &["report", "incident", "-q", "-o", "incident/a.json"],
            0,
            "",
            "",
        );
    }
    assert_eq!(read("incident/a.json"), before);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let dir = folder();
    for args in [
        &["report", "-f", "json", SAMPLE][..],
        &["frames", SAMPLE],
        &["sources", SAMPLE],
        &["explain"],
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
fn standard_input_is_a_file() {
    let dir = folder();
    let log = fs::File::open(dir.path().join("incident/access.log")).expect("opens");
    let conf = "incident/nginx.conf";
    let output = program(&["sources", "--json", "-", conf], dir.path())
        .stdin(log)
        .output()
        .expect("runs");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let kinds: Vec<_> = document["sources"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| (&s["path"], &s["kind"]))
        .collect();
    assert_eq!(kinds[0], (&"<stdin>".into(), &"nginx-access".into()));
}

#[test]
fn the_demo_needs_no_file_and_writes_its_own() {
    let dir = folder();
    check(&dir, &["demo"], 0, "dropped", "wsdrop demo --write DIR");
    check(&dir, &["demo", "--write", "new"], 0, "", "wrote");
    check(&dir, &["demo", "--write", "new"], 2, "", "is there already");
    let demo = run(&["demo", "-f", "ndjson"], dir.path());
    let written = run(
        &["report", "-f", "ndjson", "--redact", "none", "new"],
        dir.path(),
    );
    assert_eq!(
        text(&demo.stdout),
        text(&written.stdout),
        "the same incident, the same answer"
    );
}

#[test]
fn a_drop_is_shown_with_its_evidence() {
    let dir = folder();
    check(&dir, &["show", "1", SAMPLE], 0, "time line", "");
    let output = run(&["report", "-f", "json", SAMPLE], dir.path());
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let connections = document["connections"].as_array().expect("a list");
    let drop = connections
        .iter()
        .find(|c| c["outcome"] == "drop")
        .expect("a drop");
    let (id, rule) = (
        drop["id"].as_str().expect("text"),
        drop["rule"].as_str().expect("text"),
    );
    check(&dir, &["show", id, SAMPLE], 0, rule, "");
    check(&dir, &["show", "--raw", "-v", id, SAMPLE], 0, rule, "");
    check(
        &dir,
        &["show", id, "-f", "json", SAMPLE],
        0,
        &format!("\"id\": \"{id}\""),
        "",
    );
}
