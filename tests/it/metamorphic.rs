//! The same evidence in another shape (files renamed, captures rotated, logs collected twice, clocks off) -> the same labels.

use crate::samples::{names, samples, wsdrop};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Samples with captures and logs of several places.
const SAMPLES: &[&str] = &[
    "client-network-change",
    "haproxy-idle-timeout",
    "http2-streams",
    "logs-only",
    "missed-heartbeat",
    "mixed-incident",
    "nginx-idle-timeout",
    "server-crash",
    "tls-no-keys",
];

/// (client's address, its port, what it asked for) -> each outcome and cause.
type Labels = BTreeMap<(String, String, String), Vec<(String, String)>>;

fn labels(folder: &Path) -> (Labels, Vec<String>) {
    let args = ["report", "--format", "json", "--redact", "none", "incident"];
    let output = wsdrop(&args, folder);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let mut all = Labels::new();
    for c in report["connections"].as_array().unwrap() {
        let of = |v: &Value| v.to_string();
        let key = (
            of(&c["client"]["ip"]),
            of(&c["client"]["port"]),
            of(&c["request"]["uri"]),
        );
        let label = (of(&c["outcome"]), of(&c["cause"]));
        all.entry(key).or_default().push(label);
    }
    for of_one in all.values_mut() {
        of_one.sort();
    }
    let incidents = report["incidents"].as_array().unwrap();
    let mut kinds: Vec<String> = incidents.iter().map(|i| i["kind"].to_string()).collect();
    kinds.sort();
    (all, kinds)
}

/// A file of the incident, and what it is changed into: names and bytes.
type Change = fn(&str, Vec<u8>) -> Vec<(String, Vec<u8>)>;

fn is_capture(name: &str) -> bool {
    name.ends_with(".pcap") || name.ends_with(".pcapng")
}

fn changed(sample: &str, change: Change) -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    let (from, to) = (samples().join(sample), temporary.path().join("incident"));
    fs::create_dir(&to).unwrap();
    for name in names(&from) {
        if name == "README.md" || name == "expected.json" {
            continue;
        }
        for (name, bytes) in change(&name, fs::read(from.join(&name)).unwrap()) {
            fs::write(to.join(name), bytes).unwrap();
        }
    }
    temporary
}

fn as_it_is(name: &str, bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    vec![(name.to_owned(), bytes)]
}

/// Every file under a name that sorts elsewhere.
fn shuffled(name: &str, bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let order: u32 = name.bytes().map(u32::from).sum();
    vec![(format!("{:03}-{name}", 997 * order % 1_000), bytes)]
}

/// Where the packets of a capture begin and end: classic pcap of this machine's order, or pcapng.
fn packets(bytes: &[u8]) -> (usize, Vec<(usize, usize)>) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let ng = bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]);
    let (mut at, mut head, mut all) = (if ng { 0 } else { 24 }, 24, Vec::new());
    while at + 12 <= bytes.len() {
        let len = if ng { word(at + 4) } else { 16 + word(at + 8) };
        if !ng || word(at) == 6 {
            if all.is_empty() {
                head = at;
            }
            all.push((at, at + len));
        }
        at += len;
    }
    (head, all)
}

/// Captures in four parts, as tcpdump rotates them.
fn rotated(name: &str, bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    const PARTS: usize = 4;
    if !is_capture(name) {
        return as_it_is(name, bytes);
    }
    let (head, all) = packets(&bytes);
    assert!(all.len() > PARTS, "{name}: {} packets", all.len());
    let (stem, end) = name.rsplit_once('.').unwrap();
    (0..PARTS)
        .map(|part| {
            let mut file = bytes[..head].to_vec();
            for (from, to) in &all[part * all.len() / PARTS..(part + 1) * all.len() / PARTS] {
                file.extend(&bytes[*from..*to]);
            }
            (format!("{stem}_{part:05}.{end}"), file)
        })
        .collect()
}

/// Every log, and every capture, collected twice.
fn twice(name: &str, bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![(format!("again-{name}"), bytes.clone())];
    if !(is_capture(name) || name.ends_with(".log")) {
        all.clear();
    }
    all.push((name.to_owned(), bytes));
    all
}

/// The clock of one capture 41 s ahead of all others.
fn ahead(name: &str, mut bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    // The capture beside the client, which every sample with two captures has in the classic format.
    if name.starts_with("client") && name.ends_with(".pcap") {
        for (at, _) in packets(&bytes).1 {
            let seconds = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            bytes[at..at + 4].copy_from_slice(&(seconds + 41).to_le_bytes());
        }
    }
    as_it_is(name, bytes)
}

#[test]
fn the_same_evidence_in_another_shape_gives_the_same_labels() {
    let changes: [(&str, Change); 4] = [
        ("files renamed", shuffled),
        ("captures rotated", rotated),
        ("everything collected twice", twice),
        ("one clock ahead", ahead),
    ];
    let mut said = String::new();
    for sample in SAMPLES {
        let wanted = labels(changed(sample, as_it_is).path());
        assert!(wanted.0.len() >= 5, "{sample}");
        for (what, change) in changes {
            let found = labels(changed(sample, change).path());
            if found != wanted {
                let other = wanted
                    .0
                    .iter()
                    .filter(|(key, label)| found.0.get(*key) != Some(*label))
                    .count();
                let more = found.0.len() as i64 - wanted.0.len() as i64;
                said.push_str(&format!(
                    "{sample}, {what}: {other} labels are others, {more} connections more; incidents {:?} and {:?}\n",
                    wanted.1, found.1
                ));
            }
        }
    }
    assert!(said.is_empty(), "\n{said}");
}

/// The changes do change something.
#[test]
fn each_change_changes_the_files() {
    let files = |change: Change| {
        let folder = changed("haproxy-idle-timeout", change);
        let folder = folder.path().join("incident");
        let all = names(&folder).into_iter();
        all.map(|n| (fs::read(folder.join(&n)).unwrap(), n))
            .collect::<Vec<_>>()
    };
    let whole = files(as_it_is);
    for change in [shuffled, rotated, twice, ahead] {
        assert_ne!(files(change), whole);
    }
    assert!(files(rotated).len() == whole.len() + 6 && files(twice).len() > whole.len() + 5);
}
