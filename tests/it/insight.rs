//! `what-if`, `diff`, `show --why`, `explain` and `rules` on recorded incidents -> whether they say what they should, in whole outputs.

use crate::samples::{samples, wsdrop};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A folder with the evidence of these samples, each under its name.
fn cases(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in names {
        copy(name, &dir.path().join(name));
    }
    dir
}

fn copy(sample: &str, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(samples().join(sample))
        .expect("a sample")
        .flatten()
    {
        let file = entry.file_name().to_string_lossy().into_owned();
        if file != "README.md" && file != "expected.json" {
            fs::copy(entry.path(), to.join(file)).expect("copied");
        }
    }
}

#[track_caller]
fn stdout(dir: &TempDir, args: &[&str]) -> String {
    let output = wsdrop(args, dir.path());
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}\n{err}");
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!out.contains('\x1b'), "{args:?}");
    out
}

#[track_caller]
fn json(dir: &TempDir, args: &[&str]) -> Value {
    serde_json::from_str(&stdout(dir, args)).expect("JSON")
}

#[test]
fn what_if_in_whole() {
    let dir = cases(&["mixed-incident", "haproxy-idle-timeout", "all-clean"]);
    let said = |args: &[&str]| {
        let line = format!("$ wsdrop {}\n", args.join(" "));
        line + &stdout(&dir, args)
    };
    let whole = [
        said(&["what-if", "--ping", "25s", "mixed-incident"]),
        said(&["what-if", "--ping", "2s", "mixed-incident"]),
        said(&["what-if", "--timeout", "nginx=300s", "mixed-incident"]),
        said(&[
            "what-if",
            "--ping",
            "2s",
            "--timeout",
            "haproxy=1h",
            "haproxy-idle-timeout",
        ]),
        said(&["what-if", "--ping", "2s", "all-clean"]),
    ]
    .join("\n");
    insta::assert_snapshot!("what-if", whole);
}

/// The drops of the JSON are those of the report, and their fates add up to its summary.
#[test]
fn what_if_as_json_agrees_with_the_report() {
    let dir = cases(&["mixed-incident"]);
    let found = json(
        &dir,
        &["what-if", "--ping", "2s", "mixed-incident", "-f", "json"],
    );
    assert_eq!(found["schema"], "wsdrop.what-if/1");
    let report = json(&dir, &["report", "-f", "json", "mixed-incident"]);
    let dropped: Vec<&Value> = report["connections"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|c| c["outcome"] == "drop" || c["outcome"] == "failed-handshake")
        .collect();
    let drops = found["drops"].as_array().expect("a list");
    assert_eq!(drops.len(), dropped.len());
    for (drop, connection) in drops.iter().zip(dropped) {
        assert_eq!(drop["id"], connection["id"]);
        assert_eq!(drop["cause"], connection["cause"]);
        // An idle time-out of 6 s does not strike where something is sent every 2 s; nothing else is changed by a ping.
        let averted = drop["cause"] == "idle-timeout";
        assert_eq!(drop["fate"] == "averted", averted, "{drop}");
    }
    let sum: u64 = found["summary"]
        .as_object()
        .expect("an object")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(sum, drops.len() as u64);
}

#[test]
fn diff_in_whole() {
    let dir = cases(&["nginx-idle-timeout", "mixed-incident", "all-clean"]);
    let said = |before: &str, after: &str| {
        let line = format!("$ wsdrop diff {before} {after}\n");
        line + &stdout(&dir, &["diff", before, after])
    };
    let whole = [
        said("nginx-idle-timeout", "all-clean"),
        said("all-clean", "mixed-incident"),
        said("mixed-incident", "mixed-incident"),
        said("all-clean", "all-clean"),
    ]
    .join("\n");
    insta::assert_snapshot!("diff", whole);
}

#[test]
fn diff_as_json_compares_by_the_hour() {
    let dir = cases(&["mixed-incident", "nginx-idle-timeout"]);
    let found = json(
        &dir,
        &["diff", "--json", "mixed-incident", "nginx-idle-timeout"],
    );
    assert_eq!(found["schema"], "wsdrop.diff/1");
    for cause in found["causes"].as_array().expect("a list") {
        for side in ["before", "after"] {
            let rate = cause[format!("{side}_per_connection_hour")]
                .as_f64()
                .expect("a rate");
            let hours = found[side]["connection_hours"].as_f64().expect("hours");
            let count = cause[side].as_f64().expect("a count");
            assert!((rate * hours - count).abs() < 1e-6, "{cause}");
        }
    }
}

#[test]
fn why_in_whole() {
    let dir = cases(&["nginx-idle-timeout"]);
    let text = stdout(&dir, &["show", "1", "--why", "nginx-idle-timeout"]);
    let why = text
        .split("\nwhy\n")
        .nth(1)
        .and_then(|rest| rest.split("\ntime line").next())
        .expect("a section of tests");
    insta::assert_snapshot!("why", why);
    let found = json(
        &dir,
        &["show", "1", "--why", "--json", "nginx-idle-timeout"],
    );
    let tests = found["tests"].as_array().expect("a list");
    let lines = why.lines().filter(|l| l.starts_with("    ")).count();
    assert_eq!(lines, tests.len());
    let without = json(&dir, &["show", "1", "--json", "nginx-idle-timeout"]);
    assert!(without.get("tests").is_none());
    // Each record that a test names is one of a source of the case.
    let report = json(&dir, &["report", "-f", "json", "nginx-idle-timeout"]);
    for record in tests
        .iter()
        .flat_map(|t| t["records"].as_array().expect("a list"))
    {
        let source = report["sources"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|s| s["id"] == record["source"])
            .expect("its source");
        assert!(
            record["record"].as_u64() <= source["records"].as_u64(),
            "{record}"
        );
    }
}

#[test]
fn mistakes_are_told_with_a_way_out() {
    let dir = cases(&["nginx-idle-timeout"]);
    let here = "nginx-idle-timeout";
    for (args, code, said) in [
        (&["what-if", here][..], 2, "wsdrop what-if --ping 25s PATH"),
        (&["what-if", "--ping", "25", here], 2, "needs a unit"),
        (&["what-if", "--ping", "0s", here], 2, "is no duration"),
        (
            &["what-if", "--timeout", "nginx", here],
            2,
            "not HOP=DURATION",
        ),
        (
            &["what-if", "--timeout", "nginx=", here],
            2,
            "not HOP=DURATION",
        ),
        (
            &["what-if", "--timeout", "ngnix=9s", here],
            2,
            "did you mean nginx?",
        ),
        (
            &["what-if", "--timeout", "alb=9s", here],
            2,
            "there is nginx",
        ),
        (
            &[
                "what-if",
                "--timeout",
                "nginx=9s",
                "--timeout",
                "nginx=8s",
                here,
            ],
            2,
            "given twice",
        ),
        (
            &["what-if", "--ping", "5s", "-f", "csv", here],
            2,
            "text or json",
        ),
        (&["what-if", "--ping", "5s", "nowhere"], 2, "no such file"),
        (&["diff", here], 2, "wsdrop diff BEFORE AFTER"),
        (&["diff", here, here, here], 2, "3 are given"),
        (&["diff", here, "nowhere"], 2, "no such file"),
        (
            &["explain", "idle-timeot"],
            2,
            "did you mean `idle-timeout`?",
        ),
        (&["explain", "X99"], 2, "lists them all"),
        (&["rules", "show", "w999"], 2, "no rule or cause"),
        (&["rules", "lint", "nowhere"], 2, "can't read"),
        (&["rules", "test", "--corpus", here], 3, "no expected.json"),
    ] {
        let output = wsdrop(args, dir.path());
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{err}");
        assert!(err.contains(said), "{args:?}: no {said:?} in\n{err}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

/// Names of folders and the words of a foreign rule are shown and never obeyed.
#[test]
#[cfg(unix)]
fn foreign_text_stays_text() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let name = "a\x1b[2J\u{202e}b";
    copy("nginx-idle-timeout", &dir.path().join(name));
    let out = stdout(&dir, &["diff", name, name]);
    assert!(!out.contains('\u{202e}'), "{out}");
    let rule =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/idle-timeout.toml"))
            .expect("a rule");
    let rule = format!("replaces = true\n{rule}").replace(
        "title = \"A hop closed a silent connection\"",
        "title = \"\\u001b[2J<script>\"",
    );
    fs::write(dir.path().join("mine.toml"), rule).expect("written");
    for args in [
        &["explain", "W101", "--rules", "mine.toml"][..],
        &["rules", "show", "W101", "--rules", "mine.toml"],
        &["rules", "list", "--rules", "mine.toml"],
        &["rules", "doc", "--rules", "mine.toml"],
    ] {
        let out = stdout(&dir, args);
        assert!(out.contains("script"), "{args:?}");
    }
}

/// What the rules leave behind reads again: each file is a rule that stands in for its original.
#[test]
fn exported_rules_are_read_and_change_nothing() {
    let dir = cases(&["mixed-incident"]);
    let export = wsdrop(&["rules", "export", "mine"], dir.path());
    assert_eq!(export.status.code(), Some(0));
    assert!(stdout(&dir, &["rules", "lint", "mine"]).contains("no mistake"));
    let own = |more: &[&str]| {
        let mut report = json(
            &dir,
            &[&["report", "-f", "json", "mixed-incident"], more].concat(),
        );
        report["tool"]["rules"] = Value::Null;
        report
    };
    assert_eq!(own(&[]), own(&["--rules", "mine"]));
    let again = wsdrop(&["rules", "export", "mine"], dir.path());
    assert_eq!(again.status.code(), Some(2), "nothing is written over");
}

#[test]
fn coverage_is_whole_and_gaps_are_named() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert!(
        stdout(&dir, &["rules", "test", "--coverage"])
            .contains("each shown, refuted and unobserved")
    );
    let found = json(&dir, &["rules", "test", "--coverage", "--json"]);
    for c in found["coverage"].as_array().expect("a list") {
        for way in ["shown", "refuted", "unobserved"] {
            assert!(c[way].as_u64() > Some(0), "{c}");
        }
    }
    // The only samples in which a code of 4429 closes a connection are this rule's own.
    let rule =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/policy-close.toml"))
            .expect("a rule");
    let rule = format!(
        "replaces = true\n{}",
        rule.replace("true, \"close.code\" = 4429", "true, \"close.code\" = 4430")
    );
    fs::write(dir.path().join("mine.toml"), rule).expect("written");
    let output = wsdrop(
        &["rules", "test", "--coverage", "--rules", "mine.toml"],
        dir.path(),
    );
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(
        err.contains("W603 contributing: close.code 4429: shown by 0"),
        "{err}"
    );
}
