//! Folders of rotated and compressed logs -> only what lies in the asked-for time is read, the rest is named, and every thread count gives the
//! same bytes.

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// An hour's log: plain requests all over it, a tunnel that ended in its middle, and one that was refused before that.
fn hour(day: u8, hour: u8) -> String {
    let mut text = String::new();
    for minute in 0..60 {
        let at = format!("{day:02}/Nov/2026:{hour:02}:{minute:02}:07 +0000");
        let mut line = |request: &str, status: u16| {
            text.push_str(&format!(
                "192.0.2.{hour} - - [{at}] \"GET {request} HTTP/1.1\" {status} 123 \"-\" \"agent\"\n"
            ));
        };
        for n in 0..40 {
            line(&format!("/page/{n}"), if n % 9 == 0 { 404 } else { 200 });
        }
        match minute {
            20 => line("/live?s=1", 502),
            30 => line("/live?s=2", 101),
            _ => {}
        }
    }
    text
}

/// Six hours on each of three days, the older ones compressed as rotation leaves them.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for day in 18..21 {
        for h in (0..24).step_by(4) {
            let name = format!("access.log-{day}-{h:02}");
            let text = hour(day, h);
            if day == 20 {
                fs::write(dir.path().join(name), text).expect("written");
            } else {
                let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
                gz.write_all(text.as_bytes()).expect("packed");
                let packed = gz.finish().expect("packed");
                fs::write(dir.path().join(format!("{name}.gz")), packed).expect("written");
            }
        }
    }
    dir
}

fn report(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wsdrop"))
        .args(["report", "-f", "json"])
        .args(args)
        .arg(".")
        .current_dir(folder)
        .output()
        .expect("the program runs");
    let code = output.status.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{code:?} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Times of the connections' ends, with the records that tell of them.
fn connections(report: &Value) -> Vec<String> {
    let all = report["connections"].as_array().expect("connections");
    all.iter()
        .map(|c| format!("{} {}", c["opened"], c["closed"]))
        .collect()
}

#[test]
fn files_outside_the_time_are_left_unread_and_named() {
    let dir = folder();
    let whole: Value = serde_json::from_str(&report(dir.path(), &[])).expect("JSON");
    assert_eq!(
        connections(&whole).len(),
        36,
        "one tunnel and one refusal in each file"
    );
    let window = [
        "--since",
        "2026-11-19T03:00:00Z",
        "--until",
        "2026-11-19T12:40:00Z",
    ];
    let part: Value = serde_json::from_str(&report(dir.path(), &window)).expect("JSON");
    let (mut read, mut left) = (Vec::new(), 0);
    for source in part["sources"].as_array().expect("sources") {
        let path = source["path"].as_str().expect("a path");
        let records = source["records"].as_u64().expect("records");
        assert_eq!(records, source["used"].as_u64().expect("used"), "{path}");
        if records > 0 {
            read.push(path.to_owned());
            continue;
        }
        left += 1;
        assert_eq!(source["kind"], "nginx-access", "{path}");
        assert_eq!(source["anomalies"][0]["kind"], "outside-window", "{path}");
        assert!(source["first"].is_string(), "{path}");
        let why = source["reason"].as_str().expect("a reason");
        assert!(why.starts_with("not read: its records ("), "{why}");
        let last_of_it = why.contains(":59:07Z) lie before --since");
        assert!(
            last_of_it || why.contains(" on) lie after --until"),
            "{why}"
        );
    }
    let wanted = [
        "access.log-19-04.gz",
        "access.log-19-08.gz",
        "access.log-19-12.gz",
    ];
    assert_eq!(
        (read.as_slice(), left),
        (&wanted.map(str::to_owned)[..], 15)
    );
    let inside = |all: Vec<String>| -> Vec<String> {
        all.into_iter()
            .filter(|c| {
                wanted
                    .iter()
                    .any(|w| c.contains(&format!("19T{}:", &w[14..16])))
            })
            .collect()
    };
    assert_eq!(connections(&part), inside(connections(&whole)));
}

#[test]
fn the_window_is_in_the_time_of_clocks_that_are_known() {
    let dir = folder();
    let told = [
        "--clock",
        "access*=+5h",
        "--since",
        "2026-11-18T22:00:00Z",
        "--until",
        "2026-11-19T07:40:00Z",
    ];
    let part: Value = serde_json::from_str(&report(dir.path(), &told)).expect("JSON");
    let read: Vec<&str> = part["sources"]
        .as_array()
        .expect("sources")
        .iter()
        .filter(|s| s["records"].as_u64() > Some(0))
        .filter_map(|s| s["path"].as_str())
        .collect();
    assert_eq!(
        read,
        [
            "access.log-19-04.gz",
            "access.log-19-08.gz",
            "access.log-19-12.gz",
        ]
    );
}

/// Words that count from the last record leave out the same files as the moment they mean, and the same connections.
#[test]
fn a_window_that_counts_from_the_last_record_leaves_files_out() {
    let dir = folder();
    let read = |since: &str| -> (Vec<String>, Vec<String>) {
        let text = report(dir.path(), &["--since", since]);
        let report: Value = serde_json::from_str(&text).expect("JSON");
        let sources = report["sources"].as_array().expect("sources").iter();
        let read = sources.filter(|s| s["records"].as_u64() > Some(0));
        let names = read.filter_map(|s| s["path"].as_str().map(str::to_owned));
        (names.collect(), connections(&report))
    };
    // The last record is of 20:59:07 on the 20th.
    for (words, moment, files) in [
        ("-4h", "2026-11-20T16:59:07Z", 2),
        ("-22h", "2026-11-19T22:59:07Z", 6),
        ("14:30", "2026-11-20T14:30:00Z", 2),
        ("yesterday 19:00", "2026-11-19T19:00:00Z", 7),
    ] {
        let (names, found) = read(words);
        assert_eq!(found, read(moment).1, "{words}");
        assert!(!found.is_empty(), "{words}");
        assert!(names.iter().any(|n| n == "access.log-20-20"), "{names:?}");
        assert!(
            names.len() >= files && names.len() <= files + 2,
            "{words}: {names:?}"
        );
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let dir = folder();
    let one = report(dir.path(), &["--jobs", "1"]);
    for jobs in ["2", "3", "7"] {
        assert!(
            one == report(dir.path(), &["--jobs", jobs]),
            "--jobs {jobs}"
        );
    }
}
