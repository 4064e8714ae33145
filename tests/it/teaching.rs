//! The page that teaches wsdrop a load balancer and a close code -> whether its files and commands do what the page shows.

use crate::samples::{samples, wsdrop};
use serde_json::Value;
use std::fs;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/book/src/teaching.md");

/// Runs a command of the page, as its reader would.
fn run(command: &str, folder: &Path) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let ["wsdrop", args @ ..] = words.as_slice() else {
        panic!("no command of wsdrop: {command}");
    };
    let output = wsdrop(args, folder);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    text(output.stdout) + &text(output.stderr)
}

/// The page with what its commands print now: files are written where they stand, commands run in the order of the page.
fn renewed(page: &str, folder: &Path) -> String {
    let mut out = String::new();
    let (mut file, mut lines) = (None, page.lines());
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if let Some(name) = line.strip_prefix('`').and_then(|l| l.strip_suffix("`:")) {
            file = Some(name);
        }
        if !line.starts_with("```") {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        if line == "```console" {
            for command in block.iter().filter_map(|l| l.strip_prefix("$ ")) {
                out.push_str(&format!("$ {command}\n{}", run(command, folder)));
            }
        } else {
            let text: String = block.iter().map(|l| format!("{l}\n")).collect();
            let name = file.take().expect("a block without a name");
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, &text).expect("written");
            out.push_str(&text);
        }
        out.push_str("```\n");
    }
    out
}

#[test]
fn the_page_does_what_it_shows() {
    let page = fs::read_to_string(PAGE).expect("the page");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let now = renewed(&page, dir.path());
    // The switch that renews snapshots renews the page as well.
    if std::env::var_os("INSTA_UPDATE").is_some_and(|v| v == "always") {
        fs::write(PAGE, &now).expect("written");
        return;
    }
    for (n, (a, b)) in page.lines().zip(now.lines()).enumerate() {
        assert_eq!(
            a,
            b,
            "book/src/teaching.md:{}; renew it with\n    INSTA_UPDATE=always cargo test --test it teaching",
            n + 1
        );
    }
    assert_eq!(page.lines().count(), now.lines().count());
}

/// What the page claims in its words: undecided before, and named after.
#[test]
fn the_case_is_taught_by_files_alone() {
    let page = fs::read_to_string(PAGE).expect("the page");
    let dir = tempfile::tempdir().expect("a temporary folder");
    renewed(&page, dir.path());
    let report = |more: &[&str]| -> Value {
        let args = [&["report", "-f", "json", "incident"], more].concat();
        serde_json::from_slice(&wsdrop(&args, dir.path()).stdout).expect("JSON")
    };
    let before = report(&[]);
    assert_eq!(before["summary"]["by_cause"]["undecided"], 3);
    assert!(before.get("overrides").is_none());
    let after = report(&["--rules", "rules"]);
    assert_eq!(after["summary"]["by_cause"]["idle-timeout"], 3);
    assert_eq!(after["summary"]["by_cause"]["policy-close"], 2);
    assert_eq!(after["overrides"].as_array().map(Vec::len), Some(2));
    for c in after["connections"].as_array().expect("a list") {
        match c["cause"].as_str() {
            Some("idle-timeout") => {
                assert_eq!(c["timeout_ms"], 90_000);
                assert_eq!(c["closer"]["hop"], "lb");
                assert_eq!(c["tier"], "possible");
            }
            Some("policy-close") => {
                assert_eq!(c["rule"], "W603");
                assert_eq!(c["own_rule"], "U410 (rules/token-expired.toml)");
            }
            _ => assert_eq!(c["outcome"], "clean"),
        }
    }
}

/// A recorded incident under these overrides: its report, and what `check` makes of it.
fn under(overrides: &str, check: &[&str]) -> (Value, Option<i32>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let case = dir.path().join("case");
    fs::create_dir(&case).expect("made");
    for entry in fs::read_dir(samples().join("mixed-incident"))
        .expect("a sample")
        .flatten()
    {
        let file = entry.file_name().to_string_lossy().into_owned();
        if file != "README.md" && file != "expected.json" {
            fs::copy(entry.path(), case.join(file)).expect("copied");
        }
    }
    fs::write(dir.path().join("overrides.toml"), overrides).expect("written");
    let rules = ["--rules", "overrides.toml"];
    let report = wsdrop(
        &[&["report", "-f", "json", "case"], &rules[..]].concat(),
        dir.path(),
    );
    assert_eq!(
        report.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&report.stderr)
    );
    let gate = wsdrop(
        &[&["check", "-q", "case"], &rules[..], check].concat(),
        dir.path(),
    );
    (
        serde_json::from_slice(&report.stdout).expect("JSON"),
        gate.status.code(),
    )
}

#[test]
fn overrides_do_what_they_say_and_no_more() {
    let plain = "[[close_code]]\ncode = 4999\nmeans = \"never sent\"\nwhy = \"w\"\n";
    let (before, _) = under(plain, &[]);
    let count = |report: &Value, cause: &str| report["summary"]["by_cause"][cause].as_u64();
    let idle = count(&before, "idle-timeout").expect("idle time-outs");
    let crashes = count(&before, "server-crash").expect("crashes");

    let disable = "[[rule]]\nrule = \"W101\"\ndisable = true\nwhy = \"w\"\n";
    let (report, _) = under(disable, &[]);
    assert_eq!(count(&report, "idle-timeout"), None);
    assert_eq!(count(&report, "server-crash"), Some(crashes));
    assert_eq!(
        report["overrides"][0]["what"],
        "W101 idle-timeout is not asked"
    );

    let exclude = "[[exclude]]\nrule = \"idle-timeout\"\nwhere = \"how:drop\"\nwhy = \"w\"\n";
    let (report, _) = under(exclude, &[]);
    assert_eq!(count(&report, "idle-timeout"), None);
    assert_eq!(report["overrides"][0]["connections"], idle);
    assert_eq!(
        report["summary"]["connections"].as_u64(),
        before["summary"]["connections"].as_u64().map(|n| n - idle)
    );

    let severity = "[[rule]]\nrule = \"server-crash\"\nseverity = \"low\"\nwhy = \"w\"\n";
    let others = ["-A", "W302", "-A", "W702", "--fail-on", "high"];
    assert_eq!(under(plain, &others).1, Some(1));
    assert_eq!(under(severity, &others).1, Some(0));

    // A value that is given stands for the one in the configuration: nginx's 6 s no longer explain the drops as configured.
    let timeout = "[[timeout]]\nhop = \"nginx\"\nidle = \"600s\"\nwhy = \"w\"\n";
    let (report, _) = under(timeout, &[]);
    let text = report.to_string();
    assert!(
        !text.contains("proxy_read_timeout, case/nginx.conf"),
        "{text}"
    );
}
