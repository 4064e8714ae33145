//! The recorded WebSockets over HTTP/2, whole, begun late and cut -> whether each stream's frames and ending are told.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/http2-streams/app.pcap")
}

fn output(args: &[&str]) -> Vec<u8> {
    let out = Command::new(env!("CARGO_BIN_EXE_wsdrop"))
        .args(args)
        .output()
        .expect("the program runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

fn frames(file: &Path) -> Vec<Value> {
    let name = file.to_str().expect("UTF-8");
    let lines = String::from_utf8(output(&["frames", name])).expect("UTF-8");
    lines
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

fn connections(file: &Path) -> Vec<Value> {
    let name = file.to_str().expect("UTF-8");
    let report: Value =
        serde_json::from_slice(&output(&["report", name, "-f", "json", "--redact", "none"]))
            .expect("JSON");
    report["connections"].as_array().expect("a list").clone()
}

/// A pcap's header, and its packets with their own.
fn packets(file: &Path) -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = fs::read(file).expect("the sample");
    let (head, mut rest) = bytes.split_at(24);
    let mut all = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().expect("four")) as usize;
        let (one, later) = rest.split_at(16 + len);
        all.push(one.to_vec());
        rest = later;
    }
    (head.to_vec(), all)
}

/// The capture alone tells what the application's log knows better.
#[test]
fn the_capture_alone_tells_each_stream() {
    let told: BTreeMap<String, String> = connections(&recorded())
        .iter()
        .map(|c| {
            let uri = c["request"]["uri"].as_str().expect("a URI");
            let session = uri.rsplit('=').next().expect("a session");
            let cause = c["cause"].as_str().unwrap_or("-");
            let tcp = c["close"]["tcp"].as_str().unwrap_or("-");
            let said = format!("{} {} {cause}, {tcp}", c["request"]["status"], c["outcome"]);
            (session.to_owned(), said.replace('"', ""))
        })
        .collect();
    let expected = [
        ("alice", "200 clean -, END_STREAM by client"),
        ("bob", "200 drop undecided, END_STREAM by server"),
        ("carol", "200 drop idle-timeout, END_STREAM by server"),
        (
            "dave",
            "403 failed-handshake handshake-rejected, END_STREAM by server",
        ),
        (
            "erin",
            "200 drop server-restart, RST_STREAM NO_ERROR by server",
        ),
        ("frank", "200 drop server-restart, FIN by server"),
        ("grace", "200 open -, -"),
    ];
    let expected = expected.map(|(s, t)| (s.to_owned(), t.to_owned()));
    assert_eq!(told, BTreeMap::from(expected));
}

/// What the clients and the server wrote into their sockets, by opcode.
#[test]
fn every_frame_is_found() {
    let mut count: BTreeMap<u64, usize> = BTreeMap::new();
    for f in frames(&recorded()) {
        *count
            .entry(f["opcode"].as_u64().expect("a number"))
            .or_default() += 1;
    }
    assert_eq!(count, BTreeMap::from([(1, 36), (8, 2), (9, 7), (10, 7)]));
}

/// A capture that begins after the handshakes finds the frames by their shape; none is made up.
#[test]
fn a_capture_begun_late_goes_on() {
    let (head, all) = packets(&recorded());
    let whole = frames(&recorded());
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("late.pcap");
    for from in [20, 24, 30, 40] {
        fs::write(&file, [head.clone(), all[from..].concat()].concat()).expect("written");
        let late = frames(&file);
        let same = |f: &Value| {
            whole.iter().any(|w| {
                w["at"] == f["at"] && w["opcode"] == f["opcode"] && w["length"] == f["length"]
            })
        };
        assert!(
            late.iter().all(same),
            "from {from}: a frame that nobody sent"
        );
        let there = whole
            .iter()
            .filter(|w| w["packet"].as_u64().expect("a number") > from as u64)
            .count();
        assert!(
            late.len() * 10 >= there * 8,
            "from {from}: {} of {there}",
            late.len()
        );
    }
}

/// Lost packets cost the frames in them, and not the others.
#[test]
fn lost_packets_cost_what_was_in_them() {
    let (head, all) = packets(&recorded());
    let whole = frames(&recorded());
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("lossy.pcap");
    let mut found = 0;
    for lost in (20..all.len()).step_by(5) {
        let rest: Vec<u8> = all
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != lost)
            .flat_map(|(_, p)| p.clone())
            .collect();
        fs::write(&file, [head.clone(), rest].concat()).expect("written");
        let got = frames(&file);
        assert!(got.len() <= whole.len(), "without packet {lost}");
        found += got.len() * 100 / whole.len();
    }
    let runs = (20..all.len()).step_by(5).count();
    assert!(found / runs >= 90, "{} % on average", found / runs);
}
