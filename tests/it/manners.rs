//! The built program among shells, pipes, pagers and other programs -> whether it behaves as each of them expects.

use crate::outputs::{csv, sample};
use crate::samples::{names, samples, wsdrop};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn alone_it_prints_twelve_lines_and_what_lies_here() {
    let empty = folder();
    let output = wsdrop(&[], empty.path());
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(text.lines().count() <= 12, "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert_eq!(
        text.matches("\n  wsdrop ").count(),
        5,
        "five examples:\n{text}"
    );
    let full = sample("mixed-incident");
    let text = out(&wsdrop(&[], full.path()));
    assert!(
        text.contains("1 capture and 3 logs here: wsdrop ."),
        "{text}"
    );
}

#[test]
fn mistakes_are_told_in_one_form_with_a_way_out() {
    let dir = sample("policy-close");
    #[track_caller]
    fn check(dir: &TempDir, args: &[&str], said: &[&str]) {
        let output = wsdrop(args, dir.path());
        let text = err(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}\n{text}");
        assert!(output.stdout.is_empty(), "{args:?}: {}", out(&output));
        assert!(text.starts_with("error: "), "{args:?}\n{text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.starts_with("   = help: "), "{args:?}\n{text}");
        for said in said {
            assert!(text.contains(said), "{args:?}: no {said:?} in\n{text}");
        }
    }
    check(
        &dir,
        &["report", ".", "-f", "xml"],
        &["--format xml: no such value", "there are text, json"],
    );
    check(&dir, &["report", ".", "-f", "jsn"], &["did you mean json?"]);
    check(
        &dir,
        &["report", ".", "--jobs", "x"],
        &["--jobs x: no such value", "invalid digit"],
    );
    check(
        &dir,
        &["report", ".", "--format"],
        &["--format needs a value"],
    );
    check(
        &dir,
        &["show"],
        &["wsdrop show needs <ID>", "wsdrop show --help"],
    );
    check(&dir, &["diff"], &["compares two cases"]);
    check(&dir, &["rules", "shwo"], &["wsdrop rules --help"]);
    check(
        &dir,
        &["help", "filtres"],
        &[
            "no help about filtres",
            "did you mean `wsdrop help filters`?",
        ],
    );
    check(&dir, &["help", "nonsense"], &["topics: filters, times"]);
    check(
        &dir,
        &["rules", "test", "--corpus", ".", "--markdown", "--json"],
        &["do not go together"],
    );
    check(
        &dir,
        &["report", ".", "--columns", "id,nope"],
        &["--columns nope", "wsdrop help formats"],
    );
    check(
        &dir,
        &[".", "--fail-on", "high"],
        &["--fail-on belongs to wsdrop check"],
    );
    check(&dir, &["chek", "."], &["did you mean `wsdrop check`?"]);
    // what clap took for two paths
    check(
        &dir,
        &["--color", "never", "report", "nowhere"],
        &["no such file or folder: nowhere"],
    );
}

#[test]
fn the_version_tells_what_a_report_of_a_mistake_needs() {
    let dir = folder();
    let short = out(&wsdrop(&["-V"], dir.path()));
    assert_eq!(short, format!("wsdrop {}\n", env!("CARGO_PKG_VERSION")));
    let long = out(&wsdrop(&["--version"], dir.path()));
    assert!(long.starts_with(short.trim_end()), "{long}");
    for word in ["\ncommit ", "\nrules ", "25 built in", "\nfeatures "] {
        assert!(long.contains(word), "no {word:?} in\n{long}");
    }
}

#[test]
fn topics_have_pages() {
    let dir = folder();
    for (topic, word) in [
        ("filters", "key:value"),
        ("times", "before the last record"),
        ("formats", "client_ip"),
        ("config", "/etc/wsdrop.toml"),
        ("exit-codes", "130, 143"),
        ("severities", "W501"),
    ] {
        let output = wsdrop(&["help", topic], dir.path());
        assert_eq!(output.status.code(), Some(0));
        let page = out(&output);
        assert!(page.contains(word), "{topic}: no {word}\n{page}");
        // what says how long a line of a file may be is a table of its own
        let wide = page.lines().filter(|l| l.chars().count() > 80).count();
        assert!(
            wide == 0 || matches!(topic, "filters" | "severities" | "exit-codes"),
            "{page}"
        );
        // each is named where a reader begins
        assert!(out(&wsdrop(&[], dir.path())).contains(topic), "{topic}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let page = out(&wsdrop(&["completions", shell], dir.path()));
        assert!(
            page.contains("no-pager") && page.contains("config"),
            "{shell}"
        );
    }
    let help = out(&wsdrop(&["--help"], dir.path()));
    let commands = help.split("Commands:").nth(1).expect("a list");
    for line in commands.split("Options:").next().expect("its end").lines() {
        let Some(name) = line.split_whitespace().next().filter(|n| *n != "help") else {
            continue;
        };
        let page = wsdrop(&["man", name], dir.path());
        assert_eq!(page.status.code(), Some(0), "{name}: {}", err(&page));
        assert!(out(&page).contains(&format!(".TH wsdrop-{name}")), "{name}");
    }
}

#[test]
fn outputs_are_of_their_schemas() {
    let dir = sample("mixed-incident");
    let schema = |what: &str| -> jsonschema::Validator {
        let output = wsdrop(&["schema", what], dir.path());
        let schema: Value = serde_json::from_str(&out(&output)).expect("JSON");
        jsonschema::validator_for(&schema).expect("a schema")
    };
    #[track_caller]
    fn faults(validator: &jsonschema::Validator, document: &Value) -> Vec<String> {
        validator
            .iter_errors(document)
            .map(|e| format!("{}: {e}", e.instance_path))
            .collect()
    }
    let lines = schema("ndjson");
    let mut kinds = std::collections::BTreeSet::new();
    for line in out(&wsdrop(&["report", ".", "-f", "ndjson"], dir.path())).lines() {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(faults(&lines, &line), Vec::<String>::new());
        kinds.insert(line["type"].as_str().expect("a type").to_owned());
        line["type"] = json!("other");
        assert!(!faults(&lines, &line).is_empty());
    }
    assert!(
        kinds.contains("connection") && kinds.contains("finding"),
        "{kinds:?}"
    );
    let rules = schema("rules");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    for name in names(&folder) {
        let text = fs::read_to_string(folder.join(&name)).expect("a rule");
        let rule: toml::Table = toml::from_str(&text).expect("TOML");
        let mut rule = serde_json::to_value(rule).expect("JSON");
        assert_eq!(faults(&rules, &rule), Vec::<String>::new(), "{name}");
        rule["cuase"] = json!("x");
        assert!(!faults(&rules, &rule).is_empty(), "an unknown key passes");
    }
    for (key, wrong) in [
        ("cause", json!("idle")),
        ("phase", json!("later")),
        ("since", json!("1")),
        (
            "evidence",
            json!([{"fact": "no.such", "is": true, "say": "x"}]),
        ),
        ("evidence", json!([{"fact": "idle.logged", "is": true}])),
        ("scope", json!({"no.such": true})),
        ("fix", json!([{"say": "x", "when_hop": "apachee"}])),
    ] {
        let text = fs::read_to_string(folder.join("idle-timeout.toml")).expect("a rule");
        let rule: toml::Table = toml::from_str(&text).expect("TOML");
        let mut rule = serde_json::to_value(rule).expect("JSON");
        rule[key] = wrong;
        assert!(
            !faults(&rules, &rule).is_empty(),
            "{key} = {} passes",
            rule[key]
        );
    }
}

#[test]
fn columns_are_those_asked_for() {
    let dir = sample("mixed-incident");
    let text = |args: &[&str]| {
        out(&wsdrop(
            &[&["report", ".", "-f", "csv"][..], args].concat(),
            dir.path(),
        ))
    };
    let all = csv(&text(&[]));
    let two = csv(&text(&["--columns", "cause,id"]));
    assert_eq!(two[0], ["cause", "id"]);
    assert_eq!(two.len(), all.len());
    for (two, all) in two.iter().zip(&all) {
        assert_eq!((&two[0], &two[1]), (&all[2], &all[0]));
    }
}

/// Nothing is dropped silently: what can't be read is listed with its reason, what is cut short says so.
#[test]
fn every_file_is_accounted_for() {
    let dir = folder();
    let from = sample("mixed-incident");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("notes.txt"), "bread, milk, eggs\nbutter\n").expect("written");
    fs::write(at("metrics.json"), "{\"cpu\":1}\n{\"cpu\":2}\n").expect("written");
    let pcap = fs::read(from.path().join("nginx-any.pcap")).expect("a capture");
    fs::write(at("cut.pcap"), &pcap[..pcap.len() / 2 + 7]).expect("written");
    let log = fs::read(from.path().join("access.log")).expect("a log");
    let lines = log.iter().filter(|b| **b == b'\n').count() as u64;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&log).expect("packed");
    packed
        .write_all(b"what nobody understands\n")
        .expect("packed");
    fs::write(at("access.log.gz"), packed.finish().expect("packed")).expect("written");
    let page = out(&wsdrop(&["sources", ".", "--json"], dir.path()));
    let document: Value = serde_json::from_str(&page).expect("JSON");
    let sources = document["sources"].as_array().expect("a list");
    let of = |path: &str| {
        sources
            .iter()
            .find(|s| s["path"] == path)
            .unwrap_or_else(|| panic!("no {path}"))
    };
    assert_eq!(sources.len(), 4, "{page}");
    for name in ["notes.txt", "metrics.json"] {
        let source = of(name);
        let told = source["reason"].is_string() || source["odd"] == source["records"];
        assert!(told && source["used"] == 0, "{source}");
    }
    let gz = of("access.log.gz");
    assert_eq!(gz["records"], lines + 1, "{gz}");
    assert_eq!(gz["odd"], 1, "{gz}");
    let cut = of("cut.pcap");
    assert!(cut["used"].as_u64().is_some_and(|n| n > 100), "{cut}");
    assert!(
        cut["anomalies"].as_array().is_some_and(|a| !a.is_empty()),
        "{cut}"
    );
    let strict = wsdrop(&["report", ".", "--strict"], dir.path());
    assert_eq!(strict.status.code(), Some(4), "{}", err(&strict));
    for name in ["notes.txt", "metrics.json", "cut.pcap", "access.log.gz"] {
        assert!(err(&strict).contains(name), "{name}:\n{}", err(&strict));
    }
}

/// Every drop shows a record that is there, and what it was not.
#[test]
fn every_drop_has_a_record_that_can_be_opened() {
    let mut drops = 0;
    for name in names(&samples()) {
        if !samples().join(&name).is_dir() {
            continue;
        }
        let dir = sample(&name);
        let page = out(&wsdrop(&["report", ".", "-f", "json"], dir.path()));
        let document: Value = serde_json::from_str(&page).expect("JSON");
        let sources = document["sources"].as_array().expect("a list");
        for drop in document["connections"].as_array().expect("a list") {
            if !matches!(drop["outcome"].as_str(), Some("drop" | "failed-handshake")) {
                continue;
            }
            drops += 1;
            let mut places = 0;
            for evidence in drop["evidence"].as_array().expect("a list") {
                let (Some(source), Some(record)) =
                    (evidence["source"].as_u64(), evidence["record"].as_u64())
                else {
                    continue;
                };
                let source = sources
                    .iter()
                    .find(|s| s["id"] == source)
                    .expect("the source is listed");
                assert!(
                    record >= 1 && record <= source["records"].as_u64().expect("a number"),
                    "{name}: {evidence}"
                );
                places += 1;
            }
            assert!(
                places > 0,
                "{name}: no record shows why {} dropped",
                drop["id"]
            );
            let weighed = drop["rivals"].as_array().map_or(0, Vec::len)
                + drop["untestable"].as_array().map_or(0, Vec::len);
            assert!(
                weighed > 0,
                "{name}: nothing else was weighed for {}",
                drop["id"]
            );
        }
    }
    assert!(drops > 60, "{drops}");
}

/// The same incident told in other zones is the same incident.
#[test]
fn zones_change_no_verdict() {
    let ids = |dir: &TempDir, args: &[&str]| -> Vec<(String, String)> {
        let page = out(&wsdrop(
            &[&["report", ".", "-f", "json"][..], args].concat(),
            dir.path(),
        ));
        let document: Value = serde_json::from_str(&page).expect("JSON");
        let all = document["connections"].as_array().expect("a list");
        all.iter()
            .map(|c| (c["id"].to_string(), c["cause"].to_string()))
            .collect()
    };
    let dir = sample("mixed-incident");
    let before = ids(&dir, &[]);
    let access = fs::read_to_string(dir.path().join("access.log")).expect("a log");
    let error = fs::read_to_string(dir.path().join("error.log")).expect("a log");
    for (zone, hours) in [
        ("+0530", 5.5),
        ("-0800", -8.0),
        ("+1400", 14.0),
        ("+0200", 2.0),
    ] {
        let moved = |text: &str, format: &str| {
            let at = chrono::NaiveDateTime::parse_from_str(text, format).expect("a stamp");
            let by = chrono::TimeDelta::minutes((hours * 60.0) as i64);
            at.checked_add_signed(by)
                .expect("a time")
                .format(format)
                .to_string()
        };
        let lines: Vec<String> = access
            .lines()
            .map(|line| {
                let (head, rest) = line.split_once('[').expect("a stamp");
                let (stamp, tail) = rest.split_once(" +0000]").expect("its zone");
                format!("{head}[{} {zone}]{tail}", moved(stamp, "%d/%b/%Y:%H:%M:%S"))
            })
            .collect();
        fs::write(dir.path().join("access.log"), lines.join("\n") + "\n").expect("written");
        let lines: Vec<String> = error
            .lines()
            .map(|line| {
                let (stamp, tail) = line.split_at(19);
                format!("{}{tail}", moved(stamp, "%Y/%m/%d %H:%M:%S"))
            })
            .collect();
        fs::write(dir.path().join("error.log"), lines.join("\n") + "\n").expect("written");
        assert_eq!(ids(&dir, &[]), before, "{zone}");
        // and shown in another one
        assert_eq!(ids(&dir, &["--tz", "+03:00"]), before, "{zone}");
    }
}

/// The program as a shell in a terminal starts it: what runs these tests in the background has SIGINT ignored, and that is inherited.
#[cfg(unix)]
fn with_default_signals(program: &str) -> Command {
    let set = "--default-signal=INT,TERM";
    let able = Command::new("env").args([set, "true"]).output();
    if !able.is_ok_and(|o| o.status.success()) {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.args([set, program]);
    command
}

#[cfg(unix)]
#[test]
fn signals_end_it_as_they_end_any_program() {
    use std::os::unix::process::ExitStatusExt;
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let dir = folder();
        let mut child = with_default_signals(env!("CARGO_BIN_EXE_wsdrop"))
            .args(["report", "-"])
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        // it waits for what comes
        let mut input = child.stdin.take().expect("its input");
        input.write_all(b"127.0.0.1 - - [").expect("a beginning");
        std::thread::sleep(std::time::Duration::from_millis(300));
        let killed = Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status();
        assert!(killed.expect("kill").success());
        let status = child.wait().expect("ends");
        // which a shell tells as 128 and the number
        assert_eq!(status.signal(), Some(number), "{status}");
    }
}

/// A panic in this test binary, in a process of its own, goes through the same hook as one in the program.
#[test]
fn a_bug_is_written_down_and_told() {
    if std::env::var_os("WSDROP_TEST_OF_BUGS").is_some() {
        wsdrop::cli::tell_of_bugs();
        panic!("made on purpose");
    }
    let dir = folder();
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "manners::a_bug_is_written_down_and_told",
            "--exact",
            "--nocapture",
        ])
        .env("WSDROP_TEST_OF_BUGS", "1")
        .env("TMPDIR", dir.path())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(101));
    let text = err(&output);
    for word in [
        "made on purpose",
        "this is a bug in wsdrop",
        "please send it",
    ] {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
    let files = names(dir.path());
    let [file] = files.as_slice() else {
        panic!("{files:?}");
    };
    assert!(
        file.starts_with("wsdrop-bug-") && text.contains(file),
        "{text}"
    );
    let written = fs::read_to_string(dir.path().join(file)).expect("written");
    for word in [
        "made on purpose",
        env!("CARGO_PKG_VERSION"),
        "features",
        "a_bug_is_written_down",
    ] {
        assert!(written.contains(word), "no {word:?} in\n{written}");
    }
}

#[test]
fn the_first_line_is_enough_for_whoever_wants_no_more() {
    let dir = sample("mixed-incident");
    for args in [
        &["report", "."][..],
        &["report", ".", "-f", "ndjson"],
        &["sources", "."],
        &["show", "1", "."],
        &["diff", ".", "."],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wsdrop"))
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut first = [0; 16];
        child
            .stdout
            .take()
            .expect("its output")
            .read_exact(&mut first)
            .expect("a line");
        let output = child.wait_with_output().expect("ends");
        assert_eq!(
            (output.status.code(), err(&output).as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[cfg(all(unix, feature = "tui"))]
#[test]
fn long_text_goes_through_the_pager() {
    use crate::terminal::Session;
    let dir = sample("mixed-incident");
    let shown = |args: &[&str], env: &[(&str, &str)]| {
        let mut session = Session::start(args, env, (24, 80), dir.path());
        assert_eq!(session.ends(), 0);
        // the reader of the terminal may be a moment behind
        std::thread::sleep(std::time::Duration::from_millis(200));
        String::from_utf8_lossy(&session.bytes()).into_owned()
    };
    let mark = ("PAGER", "sed s/^/paged:/");
    let paged = |args: &[&str], env: &[(&str, &str)]| shown(args, env).contains("paged:");
    assert!(paged(&["explain", "W101"], &[mark]));
    assert!(paged(&["report", ".", "-v"], &[mark]));
    assert!(paged(
        &["show", "1", "."],
        &[("WSDROP_PAGER", "sed s/^/paged:/"), ("PAGER", "cat")]
    ));
    assert!(paged(
        &["explain", "W101", "--pager", "sed s/^/paged:/"],
        &[]
    ));
    // short enough, not wanted, for a program, not there
    assert!(!paged(&["report", ".", "-q"], &[mark]));
    assert!(!paged(&["explain", "W101", "--no-pager"], &[mark]));
    assert!(!paged(&["report", ".", "-f", "json"], &[mark]));
    assert!(!paged(&["explain", "W101"], &[mark, ("TERM", "dumb")]));
    assert!(shown(&["explain", "W101"], &[("PAGER", "/no/such/pager")]).contains("idle-timeout"));
}
