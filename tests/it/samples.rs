//! The recorded incidents in `samples/` and the built program -> whether each connection comes out as `expected.json` says.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A sample and the least that must come out of it, in per cent of what `expected.json` names. Whatever the numbers, no
/// connection that ended well may be called a drop, and no drop may be made up.
struct Least {
    sample: &'static str,
    /// Connections found at all.
    found: usize,
    /// Connections with the right outcome.
    outcome: usize,
    /// Drops and failed handshakes with an accepted cause.
    cause: usize,
    /// Drops and failed handshakes with the right role as closer.
    closer: usize,
    /// Named time-outs that are given, and right within 2 % or half a second.
    timeout: usize,
}

const fn least(
    sample: &'static str,
    [found, outcome, cause, closer, timeout]: [usize; 5],
) -> Least {
    Least {
        sample,
        found,
        outcome,
        cause,
        closer,
        timeout,
    }
}

#[rustfmt::skip]
const SAMPLES: &[Least] = &[
    //                              found outcome cause closer timeout
    least("alb-idle-timeout",      [100, 100, 100, 100, 100]),
    least("all-clean",             [100, 100, 100, 100, 100]),
    least("apache-idle-timeout",   [100, 100, 100, 100, 100]),
    least("caddy-reload",          [100, 100, 100, 100, 100]),
    least("client-network-change", [100, 100, 100, 100, 100]),
    least("client-vanished",       [100, 100, 100, 100, 100]),
    least("engine-io-heartbeat",   [100, 100, 100, 100, 100]),
    least("firewall-log",          [100, 100, 100, 100, 100]),
    least("haproxy-idle-timeout",  [100, 100, 100, 100, 100]),
    least("haproxy-tcp-mode",      [100, 100, 100, 100, 100]),
    least("http2-streams",         [100, 100, 100, 100, 100]),
    least("lifetime-cap",          [100, 100, 100, 100, 100]),
    least("logs-only",             [100, 100, 100, 100, 100]),
    least("missed-heartbeat",      [100, 100, 100, 100, 100]),
    least("missing-upgrade",       [100, 100, 100, 100, 100]),
    least("mixed-incident",        [100, 100, 100, 100, 100]),
    least("nat-expiry",            [100, 100, 100, 100, 100]),
    least("nginx-idle-timeout",    [100, 100, 100, 100, 100]),
    least("nginx-reload",          [100, 100, 100, 100, 100]),
    least("policy-close",          [100, 100, 100, 100, 100]),
    least("proxy-stop",            [100, 100, 100, 100, 100]),
    least("server-crash",          [100, 100, 100, 100, 100]),
    least("server-idle",           [100, 100, 100, 100, 100]),
    least("server-restart",        [100, 100, 100, 100, 100]),
    least("tls-keylog",            [100, 100, 100, 100, 100]),
    least("tls-no-keys",           [100, 100, 100, 100, 100]),
    least("upstream-down",         [100, 100, 100, 100, 100]),
    least("worker-connections",    [100, 100, 100, 100, 100]),
];

/// What a sample folder holds beside the incident.
pub(crate) const NOT_EVIDENCE: &[&str] = &["README.md", "expected.json"];

pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The program, with nothing from the environment that could change an answer.
pub(crate) fn wsdrop(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdrop"));
    for variable in [
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "FORCE_COLOR",
        "COLUMNS",
        "GITHUB_ACTIONS",
        "CI",
    ] {
        command.env_remove(variable);
    }
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("WSDROP_") {
            command.env_remove(variable);
        }
    }
    // No configuration and no state of the one who runs the tests.
    let home = folder.join("no-home");
    command
        .env("XDG_CONFIG_HOME", &home)
        .env("XDG_STATE_HOME", &home);
    command.env("XDG_CACHE_HOME", &home).env("HOME", &home);
    command.current_dir(folder).args(args).output().unwrap()
}

/// The evidence of a sample alone, in a folder of its own; `without` leaves one file out.
fn incident(sample: &str, without: Option<&str>) -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    let (from, to) = (samples().join(sample), temporary.path().join("incident"));
    fs::create_dir(&to).unwrap();
    for name in names(&from) {
        if !NOT_EVIDENCE.contains(&name.as_str()) && without != Some(name.as_str()) {
            fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
    temporary
}

fn report_bytes(folder: &Path, more: &[&str]) -> Vec<u8> {
    let args = [
        &["report", "--format", "json", "--redact", "none"],
        more,
        &["incident"],
    ]
    .concat();
    let Output {
        status,
        stdout,
        stderr,
    } = wsdrop(&args, folder);
    assert!(
        matches!(status.code(), Some(0 | 4)),
        "wsdrop {args:?}: {status}\n{}",
        String::from_utf8_lossy(&stderr)
    );
    stdout
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&report_bytes(folder, &[])).unwrap()
}

pub(crate) fn expected(sample: &str) -> Value {
    let path = samples().join(sample).join("expected.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["format"], "wsdrop.expected/1", "{sample}");
    value
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn millis(stamp: &Value) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(stamp.as_str()?)
        .ok()
        .map(|t| t.timestamp_millis())
}

/// Milliseconds between an expected opening and a reported one (or the end, where the opening was not seen).
fn apart(wanted: &Value, got: &Value) -> i64 {
    let got = millis(&got["opened"]).or_else(|| millis(&got["closed"]));
    millis(&wanted["opened"])
        .zip(got)
        .map_or(i64::MAX, |(a, b)| a.abs_diff(b) as i64)
}

/// Every `ip:port` that this expected connection may be reported under.
fn addresses(wanted: &Value) -> impl Iterator<Item = &str> {
    let own = wanted["client"].as_str().into_iter();
    own.chain(list(wanted, "seen_as").iter().filter_map(Value::as_str))
}

/// Whether the reported client has one of the expected addresses; `None` = the report names none.
fn same_ip(wanted: &Value, got: &Value) -> Option<bool> {
    let ip = got["client"]["ip"].as_str()?;
    let mut ips = addresses(wanted).filter_map(|a| a.rsplit_once(':'));
    Some(ips.any(|(wanted, _)| wanted.trim_matches(['[', ']']) == ip))
}

fn by_port(wanted: &Value, got: &Value) -> bool {
    let port = got["client"]["port"].to_string();
    let mut ports = addresses(wanted).filter_map(|a| a.rsplit_once(':'));
    ports.any(|(ip, p)| got["client"]["ip"] == ip.trim_matches(['[', ']']) && p == port)
}

fn by_session(wanted: &Value, got: &Value) -> bool {
    let uri = got["request"]["uri"].as_str().unwrap_or_default();
    wanted["session"]
        .as_str()
        .is_some_and(|session| uri.contains(session))
        && same_ip(wanted, got) != Some(false)
        && apart(wanted, got) < 90_000
}

fn by_ip(wanted: &Value, got: &Value) -> bool {
    got["client"]["port"].is_null()
        && same_ip(wanted, got) == Some(true)
        && apart(wanted, got) < 10_000
}

/// For each expected connection the reported one, if there is one; each reported one is used once. By address and port, else
/// by the session in the URI, else by address alone; the nearest opening decides.
pub(crate) fn pair<'a>(wanted: &[Value], got: &'a [Value]) -> Vec<Option<&'a Value>> {
    let mut pairs = vec![None; wanted.len()];
    let mut free: Vec<&Value> = got.iter().collect();
    for fits in [by_port, by_session, by_ip] {
        for (w, pair) in wanted.iter().zip(&mut pairs) {
            if pair.is_some() {
                continue;
            }
            let nearest = (0..free.len())
                .filter(|&n| fits(w, free[n]))
                .min_by_key(|&n| (apart(w, free[n]), n));
            *pair = nearest.map(|n| free.remove(n));
        }
    }
    pairs
}

pub(crate) fn is_drop(outcome: &Value) -> bool {
    matches!(outcome.as_str(), Some("drop" | "failed-handshake"))
}

/// Right ones of all, and what was said instead.
#[derive(Debug, Default)]
struct Share {
    right: usize,
    all: usize,
    wrong: Vec<String>,
}

impl Share {
    fn count(&mut self, right: bool, wrong: impl FnOnce() -> String) {
        self.all += 1;
        self.right += usize::from(right);
        if !right {
            self.wrong.push(wrong());
        }
    }

    fn reaches(&self, per_cent: usize) -> bool {
        self.right * 100 >= self.all * per_cent
    }
}

#[derive(Debug, Default)]
struct Score {
    found: Share,
    outcome: Share,
    cause: Share,
    closer: Share,
    timeout: Share,
    /// Connections that ended well, called a drop.
    false_drops: Vec<String>,
    /// Reported drops that never were.
    invented: Vec<String>,
    missing_incidents: Vec<String>,
}

fn score(expected: &Value, report: &Value) -> Score {
    let mut s = Score::default();
    let (wanted, got) = (list(expected, "connections"), list(report, "connections"));
    let pairs = pair(wanted, got);
    let none = Value::Null;
    for (w, g) in wanted.iter().zip(&pairs) {
        let who = format!("{} ({})", w["client"], w["session"]);
        s.found.count(g.is_some(), || who.clone());
        let g = g.unwrap_or(&none);
        let said = |key: &str| format!("{who}: {}, wanted {}", g[key], w[key]);
        s.outcome
            .count(g["outcome"] == w["outcome"], || said("outcome"));
        if !is_drop(&w["outcome"]) {
            if is_drop(&g["outcome"]) {
                s.false_drops
                    .push(format!("{who}: {} {}", g["outcome"], g["cause"]));
            }
            continue;
        }
        let right = is_drop(&g["outcome"]) && list(w, "causes").contains(&g["cause"]);
        s.cause.count(right, || {
            format!("{who}: {}, wanted {}", g["cause"], w["causes"])
        });
        // What nobody closed is not said any better by `none` than by `network` or `unknown`.
        let role = &g["closer"]["role"];
        let nobody = w["closer"] == "none"
            && matches!(role.as_str(), None | Some("none" | "network" | "unknown"));
        s.closer.count(*role == w["closer"] || nobody, || {
            format!("{who}: {role}, wanted {}", w["closer"])
        });
        if let Some(timeout) = w["timeout_ms"].as_f64() {
            let near = |ms: f64| (ms - timeout).abs() <= (timeout * 0.02).max(500.0);
            s.timeout
                .count(g["timeout_ms"].as_f64().is_some_and(near), || {
                    said("timeout_ms")
                });
        }
    }
    let used = |g: &Value| pairs.iter().flatten().any(|p| std::ptr::eq(*p, g));
    s.invented = got
        .iter()
        .filter(|g| g["outcome"] == "drop" && !used(g))
        .map(|g| format!("{}: {} {}", g["id"], g["client"], g["cause"]))
        .collect();
    let kinds: Vec<&Value> = list(report, "incidents")
        .iter()
        .map(|i| &i["kind"])
        .collect();
    s.missing_incidents = list(expected, "incidents")
        .iter()
        .filter(|kind| !kinds.contains(kind))
        .map(Value::to_string)
        .collect();
    s
}

/// What of this score is less than it has to be.
fn shortfalls(least: &Least, score: &Score) -> Vec<String> {
    let Least {
        sample,
        found,
        outcome,
        cause,
        closer,
        timeout,
    } = least;
    let shares = [
        ("found", &score.found, found),
        ("outcome", &score.outcome, outcome),
        ("cause", &score.cause, cause),
        ("closer", &score.closer, closer),
        ("time-out", &score.timeout, timeout),
    ];
    let mut faults: Vec<String> = shares
        .into_iter()
        .filter(|(_, share, per_cent)| !share.reaches(**per_cent))
        .map(|(what, share, per_cent)| {
            let Share { right, all, wrong } = share;
            format!(
                "{sample}: {what} {right} of {all}, less than {per_cent} %\n    {}",
                wrong.join("\n    ")
            )
        })
        .collect();
    let nevers = [
        ("called a drop", &score.false_drops),
        ("made up", &score.invented),
        ("incident not reported", &score.missing_incidents),
    ];
    for (what, cases) in nevers {
        if !cases.is_empty() {
            faults.push(format!("{sample}: {what}\n    {}", cases.join("\n    ")));
        }
    }
    faults
}

pub(crate) fn show(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn an_encrypted_leg_and_the_plain_one_behind_it_are_one_connection() {
    let with_keys = report(incident("tls-keylog", None).path());
    let without = report(incident("tls-keylog", Some("sslkeys.log")).path());
    assert_eq!(list(&without, "connections").len(), 8);
    for (a, b) in list(&with_keys, "connections")
        .iter()
        .zip(list(&without, "connections"))
    {
        for key in ["client", "outcome", "cause", "closer"] {
            assert_eq!(a[key], b[key], "{key} of {}", a["request"]["uri"]);
        }
        for legs in [list(a, "legs"), list(b, "legs")] {
            assert_eq!(legs.len(), 2);
            assert!(legs[1]["tls"].is_null());
        }
        let read = |c: &Value| c["legs"][0]["tls"]["decrypted"] == true;
        assert!(read(a) && !read(b));
    }
}

#[test]
fn every_sample_comes_out_as_recorded() {
    let faults: Vec<String> = SAMPLES
        .iter()
        .flat_map(|least| {
            let folder = incident(least.sample, None);
            shortfalls(
                least,
                &score(&expected(least.sample), &report(folder.path())),
            )
        })
        .collect();
    show(&faults);
}

#[test]
fn every_folder_is_a_sample_that_is_checked() {
    let folders: Vec<String> = names(&samples())
        .into_iter()
        .filter(|name| samples().join(name).is_dir())
        .collect();
    let checked: Vec<&str> = SAMPLES.iter().map(|least| least.sample).collect();
    assert_eq!(folders, checked);
    for folder in &folders {
        let files = names(&samples().join(folder));
        for needed in NOT_EVIDENCE {
            assert!(
                files.iter().any(|f| f == needed),
                "{folder} has no {needed}"
            );
        }
        assert!(files.len() > NOT_EVIDENCE.len(), "{folder} has no evidence");
    }
}

/// Same folder, same answer: twice, on one thread and on two.
#[test]
fn the_same_folder_gives_the_same_bytes() {
    for Least { sample, .. } in SAMPLES {
        let folder = incident(sample, None);
        let first = report_bytes(folder.path(), &["--jobs", "1"]);
        assert!(!first.is_empty(), "{sample}: no report");
        for jobs in ["1", "2"] {
            let again = report_bytes(folder.path(), &["--jobs", jobs]);
            assert!(
                first == again,
                "{sample}: another report with --jobs {jobs}"
            );
        }
    }
}

/// What is no evidence is listed as a source and changes no verdict.
#[test]
fn files_that_are_no_evidence_change_nothing() {
    let sample = "nginx-idle-timeout";
    let folder = incident(sample, None);
    let alone = report(folder.path());
    for name in NOT_EVIDENCE {
        fs::copy(
            samples().join(sample).join(name),
            folder.path().join("incident").join(name),
        )
        .unwrap();
    }
    let with = report(folder.path());
    assert_eq!(
        list(&with, "sources").len(),
        list(&alone, "sources").len() + NOT_EVIDENCE.len()
    );
    let verdicts = |report: &Value| -> Vec<(Value, Value, Value)> {
        list(report, "connections")
            .iter()
            .map(|c| (c["id"].clone(), c["outcome"].clone(), c["cause"].clone()))
            .collect()
    };
    assert_eq!(verdicts(&with), verdicts(&alone));
}

/// Missing evidence is never evidence of absence: without one of its files a sample may say less, but nothing false.
#[test]
fn taking_a_source_away_swaps_no_verdict() {
    let mut faults = Vec::new();
    for sample in [
        "all-clean",
        "client-network-change",
        "missed-heartbeat",
        "missing-upgrade",
        "nginx-idle-timeout",
        "server-crash",
    ] {
        let expected = expected(sample);
        for file in names(&samples().join(sample)) {
            if NOT_EVIDENCE.contains(&file.as_str()) {
                continue;
            }
            let report = report(incident(sample, Some(&file)).path());
            let wanted = list(&expected, "connections");
            let pairs = pair(wanted, list(&report, "connections"));
            for (w, g) in wanted.iter().zip(pairs) {
                let Some(g) = g.filter(|g| is_drop(&g["outcome"])) else {
                    continue;
                };
                let quiet = g["cause"].is_null() || g["cause"] == "undecided";
                let right =
                    is_drop(&w["outcome"]) && (quiet || list(w, "causes").contains(&g["cause"]));
                if !right {
                    faults.push(format!(
                        "{sample} without {file}: {} {} {}, wanted {} {}",
                        w["client"], g["outcome"], g["cause"], w["outcome"], w["causes"]
                    ));
                }
            }
        }
    }
    show(&faults);
}

/// The judge itself, on a report made up for it.
#[test]
fn the_judge_sees_what_is_wrong() {
    let expected = serde_json::json!({"incidents": [], "connections": [
        {"client": "192.0.2.1:1000", "seen_as": ["198.51.100.1:7"], "session": "s1", "opened": "2026-01-01T00:00:00.000Z",
         "outcome": "drop", "causes": ["idle-timeout"], "closer": "proxy", "timeout_ms": 60000},
        {"client": "192.0.2.2:1000", "session": "s2", "opened": "2026-01-01T00:00:01.000Z", "outcome": "clean"},
    ]});
    let drop = |ip: &str, port: u16, cause: &str, ms: f64| {
        serde_json::json!({"id": "c-1", "outcome": "drop", "cause": cause, "closer": {"role": "proxy"}, "timeout_ms": ms,
            "client": {"ip": ip, "port": port}, "request": {"uri": "/"}, "opened": "2026-01-01T00:00:00.1Z"})
    };
    let clean = serde_json::json!({"id": "c-2", "outcome": "clean", "client": {"ip": "192.0.2.2"},
        "request": {"uri": "/ws?session=s2"}, "opened": "2026-01-01T00:00:01Z"});
    let least = least("made up", [100; 5]);
    let check = |connections: Vec<Value>, faults: &[&str]| {
        let report = serde_json::json!({"incidents": [], "connections": connections});
        let found = shortfalls(&least, &score(&expected, &report));
        assert_eq!(found.len(), faults.len(), "{found:#?}");
        for (found, fault) in found.iter().zip(faults) {
            assert!(
                found.starts_with(&format!("made up: {fault}")),
                "{found} is no {fault}"
            );
        }
    };
    let right = drop("198.51.100.1", 7, "idle-timeout", 60_400.0);
    check(vec![right.clone(), clean.clone()], &[]);
    check(vec![right.clone()], &["found", "outcome"]);
    check(
        vec![
            drop("192.0.2.1", 1000, "server-crash", 60_000.0),
            clean.clone(),
        ],
        &["cause"],
    );
    check(
        vec![
            drop("192.0.2.1", 1000, "idle-timeout", 30_000.0),
            clean.clone(),
        ],
        &["time-out"],
    );
    let false_drop = drop("192.0.2.2", 1000, "idle-timeout", 0.0);
    check(
        vec![right.clone(), false_drop.clone()],
        &["outcome", "called a drop"],
    );
    check(
        vec![right, clean, drop("203.0.113.9", 9, "client-abort", 0.0)],
        &["made up"],
    );
}
