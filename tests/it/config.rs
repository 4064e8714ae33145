//! Configuration files, variables and flags -> which of them a command obeys, and what is said of a wrong one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/mixed-incident");

/// The program in a home of its own; `env` is all that it has beside.
fn run(home: &TempDir, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdrop"));
    command
        .env_clear()
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path().join("xdg"))
        .envs(env.iter().copied())
        .args(args)
        .current_dir(home.path())
        .stdin(Stdio::null());
    command.output().expect("the program runs")
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(home: &TempDir, name: &str, text: &str) {
    let path = home.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const OWN: &str = "xdg/wsdrop/config.toml";

#[test]
fn the_nearer_word_wins() {
    // the zone stands in the first lines of the text report
    #[track_caller]
    fn check(files: &[(&str, &str)], env: &[(&str, &str)], flags: &[&str], zone: &str) {
        let home = home();
        for (name, zone) in files {
            write(&home, name, &format!("tz = \"{zone}\"\n"));
        }
        let output = run(&home, &[&["report", SAMPLE][..], flags].concat(), env);
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let head: String = out.lines().take(2).collect();
        assert!(head.contains(&format!(" {zone}")), "not {zone}: {head}");
    }
    let own = (OWN, "+01:00");
    let given = ("mine.toml", "+02:00");
    check(&[], &[], &[], "UTC");
    check(&[own], &[], &[], "+01:00");
    check(&[own, given], &[], &["--config", "mine.toml"], "+02:00");
    check(
        &[own, given],
        &[("WSDROP_CONFIG", "mine.toml")],
        &[],
        "+02:00",
    );
    check(&[own], &[("WSDROP_TZ", "+03:00")], &[], "+03:00");
    check(
        &[own, given],
        &[("WSDROP_TZ", "+03:00"), ("WSDROP_CONFIG", "mine.toml")],
        &["--tz", "+04:00"],
        "+04:00",
    );
    // nothing is read from where the program stands
    for name in [
        "wsdrop.toml",
        ".wsdrop.toml",
        "config.toml",
        ".config/wsdrop.toml",
    ] {
        check(&[(name, "+09:00")], &[], &[], "UTC");
    }
}

#[test]
fn the_analysed_folder_configures_nothing() {
    let home = home();
    for entry in fs::read_dir(SAMPLE).expect("a sample").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".md") && !name.ends_with(".json") {
            fs::create_dir_all(home.path().join("case")).expect("made");
            fs::copy(entry.path(), home.path().join("case").join(name)).expect("copied");
        }
    }
    let report = || {
        let output = run(&home, &["report", "case", "-f", "csv"], &[]);
        assert_eq!(output.status.code(), Some(0));
        text(&output.stdout)
    };
    let before = report();
    for name in [
        "wsdrop.toml",
        "config.toml",
        "wsdrop/config.toml",
        ".wsdrop.toml",
    ] {
        write(
            &home,
            &format!("case/{name}"),
            "redact = \"none\"\nexclude = [\"*.log\"]\ntop = 1\n",
        );
    }
    assert_eq!(report(), before);
}

#[test]
fn every_kind_of_value_reaches_its_flag() {
    #[track_caller]
    fn check(config: &str, args: &[&str], holds: impl Fn(&str) -> bool) {
        let home = home();
        write(&home, OWN, config);
        let output = run(&home, args, &[]);
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(holds(&all), "{config}\n{all}");
    }
    let csv = ["report", SAMPLE, "-f", "csv"];
    check("redact = \"none\"", &csv, |o| !o.contains("token-"));
    check("redact = [\"ips\", \"tokens\"]", &csv, |o| {
        o.contains("ip-1") && o.contains("token-1")
    });
    check("columns = [\"id\", \"cause\"]", &csv, |o| {
        o.starts_with("id,cause\nc-")
    });
    check("ascii = true", &["report", SAMPLE], |o| o.is_ascii());
    check("ascii = false", &["report", SAMPLE], |o| !o.is_ascii());
    check(
        "exclude = [\"*.pcap\", \"*.conf\"]",
        &["sources", SAMPLE],
        |o| !o.contains("nginx-any.pcap") && !o.contains("nginx.conf") && o.contains("app.log"),
    );
    check("color = \"always\"", &["report", SAMPLE], |o| {
        o.contains('\x1b')
    });
    check("allow = \"W101\"", &["report", SAMPLE], |o| {
        !o.contains("W101 idle-timeout ")
    });
    check("fail-on = \"never\"", &["check", SAMPLE], |o| {
        o.contains("passed: no severity fails")
    });
    // a key of another command is no mistake
    check("fail-on = \"never\"", &["report", SAMPLE], |o| {
        o.contains("23 of 44")
    });
    // flags replace what the file says and don't add to it
    check(
        "exclude = [\"*.log\"]",
        &["sources", SAMPLE, "--exclude", "*.pcap"],
        |o| o.contains("app.log") && !o.contains("nginx-any.pcap"),
    );
}

#[test]
fn a_wrong_file_is_told_with_its_place() {
    #[track_caller]
    fn check(config: &str, args: &[&str], said: &[&str]) {
        let home = home();
        write(&home, "c.toml", config);
        let output = run(&home, &[&["--config", "c.toml"][..], args].concat(), &[]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{config}\n{err}");
        for said in said {
            assert!(err.contains(said), "no {said:?} in\n{err}");
        }
    }
    let report = ["report", SAMPLE];
    check(
        "\ntzz = \"UTC\"\n",
        &report,
        &["c.toml:2: no key tzz", "did you mean tz?"],
    );
    check("tz = ", &report, &["c.toml:1: "]);
    check(
        "tz = \"Mars\"",
        &report,
        &["--tz Mars is no zone", "tz stands in c.toml:1"],
    );
    check(
        "top = \"many\"",
        &report,
        &["--top many", "top stands in c.toml:1"],
    );
    check(
        "color = \"pink\"",
        &report,
        &["--color pink", "there are auto, always, never"],
    );
    check("output = \"x.html\"", &report, &["no key output"]);
    let home = home();
    let output = run(&home, &["report", SAMPLE, "--config", "none.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("can't read the configuration none.toml"));
}

#[test]
fn the_command_tells_and_begins_one() {
    let home = home();
    let out = |args: &[&str], code: i32| {
        let output = run(&home, args, &[]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    };
    let path = out(&["config", "path"], 0);
    assert!(path.contains("not there") && path.contains(OWN), "{path}");
    assert!(out(&["config", "show"], 0).contains("nothing is configured"));
    assert!(out(&["config", "init"], 0).contains(OWN));
    assert!(out(&["config", "init"], 2).contains("is there already"));
    assert!(out(&["config", "path"], 0).contains("read "));
    // what was written says nothing until it is changed
    assert!(out(&["config", "show"], 0).contains("nothing is configured"));
    let file = home.path().join(OWN);
    let begun = fs::read_to_string(&file).expect("written");
    fs::write(&file, begun.replace("# tz = ", "tz = ")).expect("written");
    let shown = out(&["config", "show"], 0);
    assert!(
        shown.contains("tz ") && shown.contains("+02:00") && shown.contains(OWN),
        "{shown}"
    );
    assert!(Path::new(&file).is_file());
}
