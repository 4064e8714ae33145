//! A sample whose logs were written by clocks that are off -> the same verdicts, and offsets that say by how much.

use crate::samples::{names, samples, wsdrop};
use chrono::{DateTime, Duration, NaiveDateTime};
use regex::{Captures, Regex};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The text with every stamp of its lines moved.
fn moved(text: &str, ms: i64) -> String {
    let by = Duration::milliseconds(ms);
    let epoch_ms = Regex::new(r#"("time":)(1[0-9]{12})\b"#).expect("a pattern");
    let seconds = Regex::new(r#"(msec"?[=:]"?)(1[0-9]{9})\.([0-9]{3})"#).expect("a pattern");
    let clf = Regex::new(r"\[([0-9]{2}/[A-Z][a-z]{2}/[0-9:]+ [+]0000)\]").expect("a pattern");
    let error = Regex::new(r"(?m)^([0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8}) ").expect("a pattern");
    let iso = Regex::new(r#"("time":")([0-9T:+-]{25})""#).expect("a pattern");
    let number = |c: &Captures<'_>, i: usize| c[i].parse::<i64>().expect("digits");
    let text = epoch_ms.replace_all(text, |c: &Captures<'_>| {
        format!("{}{}", &c[1], number(c, 2) + ms)
    });
    let text = seconds.replace_all(&text, |c: &Captures<'_>| {
        let all = number(c, 2) * 1000 + number(c, 3) + ms;
        format!("{}{}.{:03}", &c[1], all / 1000, all % 1000)
    });
    // Stamps of whole seconds lose the rest, as a clock that is off would have cut it.
    let text = clf.replace_all(&text, |c: &Captures<'_>| {
        let at = DateTime::parse_from_str(&c[1], "%d/%b/%Y:%H:%M:%S %z").expect("a date");
        format!("[{}]", (at + by).format("%d/%b/%Y:%H:%M:%S %z"))
    });
    let text = error.replace_all(&text, |c: &Captures<'_>| {
        let at = NaiveDateTime::parse_from_str(&c[1], "%Y/%m/%d %H:%M:%S").expect("a date");
        format!("{} ", (at + by).format("%Y/%m/%d %H:%M:%S"))
    });
    iso.replace_all(&text, |c: &Captures<'_>| {
        let at = DateTime::parse_from_rfc3339(&c[2]).expect("a date");
        format!("{}{}\"", &c[1], (at + by).format("%Y-%m-%dT%H:%M:%S%:z"))
    })
    .into_owned()
}

fn report(sample: &str, shifts: &[(&str, i64)]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let from = samples().join(sample);
    fs::create_dir(folder.path().join("incident")).expect("made");
    for name in names(&from) {
        if name == "README.md" || name == "expected.json" {
            continue;
        }
        let (from, to) = (from.join(&name), folder.path().join("incident").join(&name));
        match shifts.iter().find(|(file, _)| *file == name) {
            Some((_, ms)) => {
                let text = fs::read_to_string(&from).expect("text");
                fs::write(to, moved(&text, *ms)).expect("written");
            }
            None => {
                fs::copy(from, to).expect("copied");
            }
        }
    }
    json(folder.path())
}

fn json(folder: &Path) -> Value {
    let args = ["report", "--format", "json", "--redact", "none", "incident"];
    let output = wsdrop(&args, folder);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What each connection came to, by what does not depend on any clock.
fn verdicts(report: &Value) -> Vec<String> {
    let list = report["connections"].as_array().expect("connections");
    let mut all: Vec<String> = list
        .iter()
        .map(|c| {
            format!(
                "{} {} {} {} {} {}",
                c["client"]["ip"],
                c["client"]["port"],
                c["request"]["uri"],
                c["outcome"],
                c["cause"],
                c["closer"]["role"],
            )
        })
        .collect();
    all.sort();
    all
}

fn offset(report: &Value, path: &str) -> (f64, String) {
    let sources = report["sources"].as_array().expect("sources");
    let source = sources
        .iter()
        .find(|s| s["path"] == path)
        .expect("the source");
    (
        source["clock"]["offset_ms"].as_f64().expect("a number"),
        source["clock"]["basis"]
            .as_str()
            .expect("a word")
            .to_owned(),
    )
}

#[test]
fn logs_of_clocks_that_are_off_say_the_same() {
    let check = |sample: &str, shifts: &[(&str, i64, f64)]| {
        let plain = report(sample, &[]);
        let by: Vec<(&str, i64)> = shifts.iter().map(|s| (s.0, s.1)).collect();
        let off = report(sample, &by);
        let (a, b) = (verdicts(&plain), verdicts(&off));
        assert_eq!(a.len(), b.len(), "{sample} {by:?}");
        let other = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        assert!(
            other * 50 <= a.len(),
            "{sample} {by:?}: {other} of {}\n{a:#?}\n{b:#?}",
            a.len()
        );
        for (file, ms, within) in shifts {
            let (before, _) = offset(&plain, file);
            let (after, basis) = offset(&off, file);
            assert_eq!(basis, "measured", "{sample} {file}");
            assert!(
                (after - before - *ms as f64).abs() <= *within,
                "{sample} {file}: moved by {ms} ms, {before} before and {after} after"
            );
        }
    };
    // Milliseconds are found within 100 ms, whole seconds within one.
    check(
        "mixed-incident",
        &[
            ("app.log", 7_400, 100.0),
            ("access.log", -3_250, 100.0),
            ("error.log", -3_250, 1_000.0),
        ],
    );
    check("nginx-idle-timeout", &[("app.log", -41_700, 100.0)]);
    check(
        "server-restart",
        &[("access.log", 12_345, 100.0), ("app.log", 90_000, 100.0)],
    );
}

/// Clocks three seconds apart, either way, change no id and no cause.
#[test]
fn three_seconds_change_neither_ids_nor_causes() {
    let drops = |shifts: &[(&str, i64)]| {
        let report = report("mixed-incident", shifts);
        let list = report["connections"].as_array().expect("connections");
        let mut all: Vec<(String, String)> = list
            .iter()
            .map(|c| (c["id"].to_string(), c["cause"].to_string()))
            .collect();
        all.sort();
        all
    };
    let plain = drops(&[]);
    for (app, proxy) in [
        (3_000, 0),
        (-3_000, 0),
        (0, 3_000),
        (3_000, -3_000),
        (-3_000, 3_000),
    ] {
        let shifts = [
            ("app.log", app),
            ("access.log", proxy),
            ("error.log", proxy),
        ];
        assert_eq!(drops(&shifts), plain, "{shifts:?}");
    }
}

/// What systemd's journal and rsyslog print by default: the dates of the application's lines have no year, and no other date is in its file.
#[test]
fn dates_without_a_year_take_it_from_the_other_sources() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = samples().join("mixed-incident");
    let to = folder.path().join("incident");
    fs::create_dir(&to).expect("made");
    for name in ["access.log", "error.log", "nginx.conf", "nginx-any.pcap"] {
        fs::copy(from.join(name), to.join(name)).expect("copied");
    }
    let record = Regex::new(r#"^\{"level":[0-9]+,"time":([0-9]{13}),(.*)$"#).expect("a pattern");
    let lines: String = fs::read_to_string(from.join("app.log"))
        .expect("text")
        .lines()
        .map(|line| {
            let c = record.captures(line).expect("a record of pino");
            let at = DateTime::from_timestamp_millis(c[1].parse().expect("digits"));
            let at = at.expect("a date").format("%b %e %H:%M:%S");
            format!("{at} app1 node[812]: {{{}\n", &c[2])
        })
        .collect();
    fs::write(to.join("app.log"), lines).expect("written");
    let (there, whole) = (json(folder.path()), report("mixed-incident", &[]));
    let app = |all: &Value| {
        let sources = all["sources"].as_array().expect("sources");
        let app = sources.iter().find(|s| s["path"] == "app.log");
        app.expect("the application's log").clone()
    };
    assert_eq!(app(&there)["odd"], 0, "{}", app(&there));
    assert_eq!(app(&there)["records"], app(&whole)["records"]);
    assert_eq!(there["summary"], whole["summary"]);

    // Alone it tells no year: that of its last writing is assumed, and said to be.
    for name in ["access.log", "error.log", "nginx.conf", "nginx-any.pcap"] {
        fs::remove_file(to.join(name)).expect("removed");
    }
    let written = DateTime::parse_from_rfc3339("2023-12-01T08:00:00Z").expect("a date");
    let log = fs::File::options().append(true).open(to.join("app.log"));
    log.expect("the log")
        .set_modified(written.into())
        .expect("another date");
    let alone = app(&json(folder.path()));
    assert_eq!(
        alone["first"].as_str().map(|at| &at[..10]),
        Some("2023-11-20")
    );
    let kinds = alone["anomalies"].as_array().expect("anomalies").iter();
    assert!(
        kinds.clone().any(|a| a["kind"] == "assumed-year"),
        "{alone}"
    );
}

#[test]
fn a_clock_and_a_zone_that_are_told_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::write(
        path.join("app.log"),
        "2026-11-20 21:43:56,005 INFO client u77 connected from 203.0.113.7:51000\n2026-11-20 21:43:58,005 INFO client u77 disconnected code=1006\n",
    )
    .expect("written");
    let source = |args: &[&str]| -> Value {
        let all = [&["sources", "--json", "app.log"], args].concat();
        let output = wsdrop(&all, path);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        report["sources"][0].clone()
    };
    for (args, zone, basis, first, clock) in [
        (
            &[][..],
            0,
            "Assumed",
            "2026-11-20T21:43:56.005Z",
            "reference",
        ),
        (
            &["--assume-tz", "+02:00"][..],
            7200,
            "Given",
            "2026-11-20T19:43:56.005Z",
            "reference",
        ),
        (
            &["--assume-tz", "app*=+01:00", "--assume-tz", "+02:00"][..],
            3600,
            "Given",
            "2026-11-20T20:43:56.005Z",
            "reference",
        ),
        (
            &["--assume-tz", "other*=+01:00"][..],
            0,
            "Assumed",
            "2026-11-20T21:43:56.005Z",
            "reference",
        ),
        (
            &["--clock", "*.log=+1.5s"][..],
            0,
            "Assumed",
            "2026-11-20T21:43:54.505Z",
            "given",
        ),
        (
            &["--clock", "app.log=none"][..],
            0,
            "Assumed",
            "2026-11-20T21:43:56.005Z",
            "given",
        ),
        (
            &["--clock", "app.log=auto"][..],
            0,
            "Assumed",
            "2026-11-20T21:43:56.005Z",
            "reference",
        ),
    ] {
        let got = source(args);
        assert_eq!(
            (
                &got["zone"]["offset_s"],
                &got["zone"]["basis"],
                &got["first"],
                &got["clock"]["basis"]
            ),
            (
                &Value::from(zone),
                &Value::from(basis),
                &Value::from(first),
                &Value::from(clock)
            ),
            "{args:?}"
        );
    }
    for (args, say) in [
        (["--clock", "app.log"], "is not SOURCE=auto"),
        (["--clock", "=none"], "names no source"),
        (["--clock", "x=soon"], "is not SOURCE=auto"),
        (["--assume-tz", "app.log=here"], "is no zone"),
        (["--map", "ts=when"], "a key can mean time, level"),
    ] {
        let all = [&["sources", "app.log"][..], &args].concat();
        let output = wsdrop(&all, path);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(say), "{args:?}: {err}");
    }
}

#[test]
fn keys_that_are_told_go_before_those_found_by_content() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("app.log"),
        "{\"stamp\":\"2026-11-20T21:43:50Z\",\"time\":\"2026-11-20T21:43:56Z\",\"what\":\"ws open\",\"who\":{\"addr\":\"203.0.113.7\"},\"handle\":\"u77\"}\n\
         {\"stamp\":\"2026-11-20T21:44:50Z\",\"time\":\"2026-11-20T21:44:56Z\",\"what\":\"ws closed\",\"cause\":1011,\"who\":{\"addr\":\"203.0.113.7\"},\"handle\":\"u77\"}\n",
    )
    .expect("written");
    let args = [
        "report",
        "--format",
        "json",
        "--redact",
        "none",
        "app.log",
        "--map",
        "stamp=time,what=event,cause=code",
        "--map",
        "who.addr=client,handle=user",
    ];
    let output = wsdrop(&args, folder.path());
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let c = &report["connections"][0];
    assert_eq!(c["client"]["ip"], "203.0.113.7", "{report:#}");
    assert_eq!(c["client"]["identity"], "u77");
    assert_eq!(c["opened"], "2026-11-20T21:43:50Z");
    assert_eq!(c["close"]["reported_server"], 1011);
    let fields = report["sources"][0]["fields"].as_array().expect("fields");
    for (meaning, key) in [
        ("client", "who.addr"),
        ("code", "cause"),
        ("event", "what"),
        ("session", "handle"),
        ("time", "stamp"),
    ] {
        assert!(
            fields
                .iter()
                .any(|f| f["meaning"] == meaning && f["key"] == key),
            "{meaning}={key}: {fields:?}"
        );
    }
}

#[test]
fn an_access_log_in_a_layout_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |minute: u32, life: &str, session: &str| {
        format!(
            "[20/Nov/2026:20:{minute:02}:04 +0000] 203.0.113.17 | \"GET /ws?session={session} HTTP/1.1\" | 101 | 117 | {life} | \"10.0.0.1:8080\" | websocket\n"
        )
    };
    let text = line(10, "60.004", "a1b2c3d4")
        + &line(12, "60.002", "b1b2c3d4")
        + &line(14, "60.003", "c1b2c3d4");
    fs::write(folder.path().join("edge.log"), &text).expect("written");
    let output = wsdrop(&["sources", "--json", "edge.log"], folder.path());
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let source = &report["sources"][0];
    assert_eq!(source["kind"], "nginx-access", "{report:#}");
    assert_eq!(
        (&source["records"], &source["odd"]),
        (&Value::from(3), &Value::from(0))
    );
    assert_eq!(
        source["fields"][0]["key"],
        r#"[$time_local] $remote_addr | "$request" | $status | $field_5 | $request_time | "$upstream_addr" | $http_upgrade"#
    );
    // Without a duration nobody knows whether the stamp is the start or the end.
    fs::write(
        folder.path().join("edge.log"),
        text.replace("60.004", "60")
            .replace("60.002", "61")
            .replace("60.003", "62"),
    )
    .expect("written");
    let output = wsdrop(&["sources", "edge.log"], folder.path());
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("--nginx-log-format"), "{out}");
}
