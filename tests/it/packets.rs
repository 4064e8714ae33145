//! `wsdrop show ID --pcap FILE` on the recorded incidents -> whether the file holds the connection's packets and says what they show.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");

fn wsdrop(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wsdrop"))
        .args(args)
        .current_dir(folder)
        .output()
        .expect("the program runs")
}

fn json(args: &[&str], folder: &Path) -> Value {
    let out = wsdrop(args, folder);
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{args:?}: {e}\n{}", String::from_utf8_lossy(&out.stderr)))
}

/// The lines of `tshark -r file` with these fields; `None` where there is no tshark.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Option<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-r".as_ref(), file.as_os_str()]);
    command.args(["-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let out = command.output().ok()?;
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    Some(text.lines().map(str::to_owned).collect())
}

/// Of the first drop of a sample: the cut file tells the same connection, and tshark finds in it what its filter finds in the
/// captures.
fn check(sample: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let incident = Path::new(SAMPLES).join(sample);
    let path = incident.to_str().expect("a path in UTF-8");
    let drop = json(
        &["show", "1", path, "--json", "--pcap", "cut.pcapng"],
        dir.path(),
    );
    let id = drop["id"].as_str().expect("an id");

    let again = json(
        &["report", "cut.pcapng", "-f", "json", "--redact", "none"],
        dir.path(),
    );
    let legs = |v: &Value| {
        let mut legs: Vec<String> = v["legs"]
            .as_array()
            .expect("legs")
            .iter()
            .map(|l| format!("{} {}", l["client"], l["server"]))
            .collect();
        legs.sort_unstable();
        legs
    };
    let found = again["connections"].as_array().expect("connections");
    assert_eq!(found.len(), 1, "{sample}: {again:#}");
    assert_eq!(legs(&found[0]), legs(&drop), "{sample}");
    assert_eq!(found[0]["outcome"], drop["outcome"], "{sample}");

    let cut = dir.path().join("cut.pcapng");
    let times = ["frame.time_epoch"];
    let Some(mut got) = tshark(&cut, "frame", &times) else {
        eprintln!("no tshark here: its reading of the file is not checked");
        return;
    };
    assert!(!got.is_empty());
    let filter: Vec<String> = drop["legs"]
        .as_array()
        .expect("legs")
        .iter()
        .map(|l| format!("({})", l["filter"].as_str().expect("a filter")))
        .collect();
    let mut theirs = Vec::new();
    for entry in fs::read_dir(&incident).expect("a sample") {
        let file = entry.expect("an entry").path();
        let name = file.to_string_lossy().into_owned();
        if name.contains(".pcap") {
            theirs.extend(tshark(&file, &filter.join(" || "), &times).expect("tshark"));
        }
    }
    got.sort_unstable();
    theirs.sort_unstable();
    // A packet of another connection comes along where the evidence cites it.
    let foreign = got.iter().filter(|t| !theirs.contains(t)).count();
    assert!(theirs.iter().all(|t| got.contains(t)), "{sample} {id}");
    assert!(foreign <= 4, "{sample}: {foreign} foreign packets");

    let comments = tshark(&cut, "frame.comment", &["frame.comment"]).expect("tshark");
    let cited: Vec<&str> = drop["evidence"]
        .as_array()
        .expect("evidence")
        .iter()
        .filter(|e| {
            let source = e["source"].as_u64();
            let captured = |s: &u64| {
                let all = again_sources(path);
                all[*s as usize].contains("pcap")
            };
            source.as_ref().is_some_and(captured)
        })
        .filter_map(|e| e["say"].as_str())
        .collect();
    for say in cited {
        assert!(
            comments.iter().any(|c| c.contains(say)),
            "{sample}: {say} in {comments:?}"
        );
    }
}

/// The kinds of a case's sources, by id.
fn again_sources(path: &str) -> Vec<String> {
    let report = json(&["sources", path, "--json"], Path::new(SAMPLES));
    report["sources"]
        .as_array()
        .expect("sources")
        .iter()
        .map(|s| s["kind"].as_str().expect("a kind").to_owned())
        .collect()
}

#[test]
fn the_packets_of_a_drop_are_written() {
    for sample in [
        "nginx-idle-timeout",
        "mixed-incident",
        "client-network-change",
    ] {
        check(sample);
    }
}

#[test]
fn a_recording_is_never_written_over() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sample = Path::new(SAMPLES).join("nginx-idle-timeout");
    let mut recorded = Vec::new();
    for entry in fs::read_dir(&sample).expect("a sample") {
        let file = entry.expect("an entry").path();
        let to = dir.path().join(file.file_name().expect("a name"));
        fs::copy(&file, &to).expect("copied");
        if to.to_string_lossy().contains(".pcap") {
            recorded.push(to);
        }
    }
    for file in &recorded {
        let name = file.to_str().expect("UTF-8");
        let before = fs::read(file).expect("reads");
        let out = wsdrop(&["show", "1", ".", "--pcap", name], dir.path());
        assert_eq!(out.status.code(), Some(2), "{name}");
        assert_eq!(fs::read(file).expect("reads"), before, "{name}");
    }
    assert!(!recorded.is_empty());
    // What the program wrote itself it may write again, and does not read as part of the case.
    let write = || wsdrop(&["show", "1", ".", "--pcap", "cut.pcapng"], dir.path());
    assert_eq!(write().status.code(), Some(0));
    let first = fs::read(dir.path().join("cut.pcapng")).expect("reads");
    assert_eq!(write().status.code(), Some(0));
    assert_eq!(
        fs::read(dir.path().join("cut.pcapng")).expect("reads"),
        first
    );
}
