//! Captures beside the project and captures made here -> whether they are read to their end, and as tshark reads them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What reading a folder of small captures may take of memory, in KiB.
const MEMORY_KIB: u64 = 3 * 1024 * 1024;

fn wsdrop(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wsdrop"))
        .args(args)
        .output()
        .expect("the program runs")
}

/// The folder of third-party captures, where one is named.
fn theirs() -> Option<PathBuf> {
    let root = std::env::var_os("WSDROP_CAPTURES").map(PathBuf::from);
    if root.is_none() {
        eprintln!("skipped: WSDROP_CAPTURES names no folder of captures");
    }
    root
}

fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.to_string_lossy();
        if path.is_dir() {
            captures(&path, found);
        } else if name.contains(".pcap") || name.ends_with(".cap") || name.ends_with(".ntar") {
            found.push(path);
        }
    }
}

/// Opcode, last of its message, masked, length, close code.
type Shape = (u64, bool, bool, u64, Option<u64>);

/// The frames that tshark finds; `None` where there is no tshark.
fn frames_of_tshark(path: &Path) -> Option<Vec<Shape>> {
    const FIELDS: [&str; 7] = [
        "websocket.fin",
        "websocket.opcode",
        "websocket.mask",
        "websocket.payload_length",
        "websocket.payload_length_ext_16",
        "websocket.payload_length_ext_64",
        "websocket.payload.close.status_code",
    ];
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "tcp.reassemble_out_of_order:TRUE", "-r"]);
    command.arg(path).args(["-Y", "websocket", "-T", "fields"]);
    command.args(["-E", "separator=|", "-E", "occurrence=a"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let out = command.output().ok()?;
    let mut frames = Vec::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let columns: Vec<Vec<&str>> = line
            .split('|')
            .map(|c| c.split(',').filter(|v| !v.is_empty()).collect())
            .collect();
        let [fin, opcode, mask, length, ext16, ext64, close] = &columns[..] else {
            panic!("{}: {line}", path.display());
        };
        let truth = |v: &str| v == "1" || v == "True";
        let number = |v: &str| v.parse::<u64>().expect("a number");
        let (mut ext16, mut ext64) = (ext16.iter(), ext64.iter());
        let mut close = close.iter();
        for (i, op) in opcode.iter().enumerate() {
            let len = match number(length[i]) {
                126 => ext16.next().map_or(126, |v| number(v)),
                127 => ext64.next().map_or(127, |v| number(v)),
                len => len,
            };
            let op = number(op);
            let code = (op == 8 && len >= 2)
                .then(|| close.next().map(|v| number(v)))
                .flatten();
            frames.push((op, truth(fin[i]), truth(mask[i]), len, code));
        }
    }
    Some(frames)
}

fn frames_here(path: &Path) -> Vec<Shape> {
    let path = path.to_str().expect("a path in UTF-8");
    let out = wsdrop(&["frames", "--format", "ndjson", "--redact", "none", path]);
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    text.lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("a line of JSON"))
        .filter(|v| v["opcode"].is_u64())
        .map(|v| {
            let number = |name: &str| v[name].as_u64();
            let flag = |name: &str| v[name].as_bool().expect("a flag");
            (
                number("opcode").expect("an opcode"),
                flag("fin"),
                flag("masked"),
                number("length").expect("a length"),
                number("close_code"),
            )
        })
        .collect()
}

/// No frame that tshark finds is missing. tshark is no oracle the other way: it needs the 101, and stops at a gap.
fn nothing_of_tshark_is_missing(files: &[PathBuf]) {
    let mut found = 0;
    for path in files {
        let Some(theirs) = frames_of_tshark(path) else {
            eprintln!("skipped: there is no tshark here");
            return;
        };
        if theirs.is_empty() {
            continue;
        }
        let mut ours: BTreeMap<Shape, usize> = BTreeMap::new();
        for shape in frames_here(path) {
            *ours.entry(shape).or_default() += 1;
        }
        for shape in theirs {
            let left = ours.get_mut(&shape).filter(|n| **n > 0);
            *left.unwrap_or_else(|| panic!("{}: {shape:?}", path.display())) -= 1;
            found += 1;
        }
    }
    assert!(found > 0, "tshark found no frame in any of the files");
}

#[test]
fn the_samples_have_every_frame_that_tshark_finds() {
    let mut files = Vec::new();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for name in ["nginx-idle-timeout", "policy-close", "missed-heartbeat"] {
        captures(&samples.join(name), &mut files);
    }
    nothing_of_tshark_is_missing(&files);
}

#[test]
fn captures_of_others_have_every_frame_that_tshark_finds() {
    let Some(root) = theirs() else { return };
    let mut files = Vec::new();
    // Where there are WebSockets; the hundreds of files about link layers have none.
    for name in ["zeek", "evsetool", "pcap2har", "edge-cases", "deepflow"] {
        let folder = root.join(name);
        if folder.is_dir() {
            captures(&folder, &mut files);
        }
    }
    nothing_of_tshark_is_missing(&files);
}

/// The packets of TCP that tshark finds in a capture, tunnels taken off.
fn segments_of_tshark(path: &Path) -> Option<u64> {
    let mut command = Command::new("tshark");
    // Whole headers; what an ICMP error quotes of a packet is none.
    command.args(["-n", "-r"]).arg(path);
    command.args(["-Y", "tcp.urgent_pointer && !icmp && !icmpv6"]);
    command.args(["-T", "fields", "-e", "frame.number"]);
    let out = command.output().ok()?;
    Some(String::from_utf8_lossy(&out.stdout).lines().count() as u64)
}

/// Where tshark reads a header that says of itself that it is none, or goes by a port that anybody may use.
const NOT_AS_TSHARK: [(&str, &str); 3] = [
    (
        "ah/17_ah_invalid_payload_length_too_small",
        "the authentication header is shorter than itself",
    ),
    (
        "geneve/06_geneve_invalid_version",
        "version 1 of GENEVE does not exist",
    ),
    (
        "vxlan/17_vxlan_udp_port_and_header_matrix",
        "one of its headers lacks the flag that makes it VXLAN (RFC 7348 5)",
    ),
];

#[test]
fn captures_of_others_are_read_within_bounds() {
    let Some(root) = theirs() else { return };
    let root = root.to_str().expect("a path in UTF-8");
    // A shell of its own, so that the bound is the program's alone.
    let script = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"");
    let out = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_wsdrop")])
        .args(["sources", root, "--json", "--jobs", "2", "--redact", "none"])
        .output()
        .expect("a shell");
    let code = out.status.code();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(matches!(code, Some(0 | 4)), "{code:?}: {said}");
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let told: BTreeMap<&str, &Value> = report["sources"]
        .as_array()
        .expect("sources")
        .iter()
        .map(|s| (s["path"].as_str().expect("a path"), s))
        .collect();
    let mut files = Vec::new();
    captures(Path::new(root), &mut files);
    assert!(!files.is_empty(), "the folder holds no capture");
    for path in &files {
        let short = path.strip_prefix(root).expect("below it").to_string_lossy();
        let source = told
            .get(&*short)
            .unwrap_or_else(|| panic!("{short} is not listed"));
        // A file that is none (a place-holder of a version control system) says so.
        let read = matches!(source["kind"].as_str(), Some("pcap" | "pcapng"));
        let told = source["anomalies"]
            .as_array()
            .is_some_and(|a| !a.is_empty());
        assert!(read || told, "{short}: {source}");
    }
}

#[test]
fn captures_of_others_have_every_segment_that_tshark_finds() {
    let Some(root) = theirs() else { return };
    let layers = root.join("pcapflowlab/tests/data/parsing");
    if !layers.is_dir() {
        eprintln!("skipped: no pcapflowlab there");
        return;
    }
    let mut files = Vec::new();
    captures(&layers, &mut files);
    let out = wsdrop(&[
        "sources",
        layers.to_str().expect("UTF-8"),
        "--json",
        "--redact",
        "none",
    ]);
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let used: BTreeMap<String, u64> = report["sources"]
        .as_array()
        .expect("sources")
        .iter()
        .map(|s| {
            let path = s["path"].as_str().expect("a path").to_owned();
            (path, s["used"].as_u64().unwrap_or(0))
        })
        .collect();
    for path in &files {
        let short = path
            .strip_prefix(&layers)
            .expect("below it")
            .to_string_lossy();
        let Some(theirs) = segments_of_tshark(path) else {
            eprintln!("skipped: there is no tshark here");
            return;
        };
        if NOT_AS_TSHARK
            .iter()
            .any(|(name, _)| short.starts_with(name))
        {
            continue;
        }
        let ours = used.get(&*short).copied().unwrap_or(0);
        assert!(ours >= theirs, "{short}: tshark {theirs}, here {ours}");
    }
}

/// Every filter that evidence offers finds, in tshark, the packet that the evidence is about.
#[test]
fn filters_of_evidence_find_its_packets() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for name in ["nginx-idle-timeout", "missed-heartbeat"] {
        let folder = samples.join(name);
        let path = folder.to_str().expect("UTF-8");
        let out = wsdrop(&["report", path, "-f", "json", "--redact", "none"]);
        let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let sources = report["sources"].as_array().expect("sources");
        let drops = report["connections"].as_array().expect("connections");
        // What several connections have in common is shown by packets of others, too.
        let legs: Vec<String> = drops
            .iter()
            .flat_map(|c| c["legs"].as_array().expect("legs"))
            .map(|l| format!("({})", l["filter"].as_str().expect("a filter")))
            .collect();
        let mut checked = 0;
        for drop in drops.iter().filter(|c| c["outcome"] == "drop").take(2) {
            for e in drop["evidence"].as_array().expect("evidence") {
                let (Some(source), Some(record)) = (e["source"].as_u64(), e["record"].as_u64())
                else {
                    continue;
                };
                let source = &sources[source as usize];
                if !source["kind"]
                    .as_str()
                    .is_some_and(|k| k.starts_with("pcap"))
                {
                    continue;
                }
                let file = folder.join(source["path"].as_str().expect("a path"));
                let filter = format!("frame.number == {record} && ({})", legs.join(" || "));
                let Ok(out) = Command::new("tshark")
                    .arg("-r")
                    .arg(&file)
                    .args(["-Y", &filter, "-T", "fields", "-e", "frame.time_epoch"])
                    .output()
                else {
                    eprintln!("skipped: there is no tshark here");
                    return;
                };
                let found = String::from_utf8_lossy(&out.stdout).lines().count();
                if e["for"] == true && e["strength"] != "weak" {
                    assert_eq!(found, 1, "{name}: {filter}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 0, "{name}: no evidence in a capture");
    }
}
