//! Every part of a sample's evidence -> no verdict that is *certain* names another cause than what happened.

use crate::samples::{NOT_EVIDENCE, expected, is_drop, list, names, pair, samples, show, wsdrop};
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All subsets of up to so many files; of more, those that lack or hold at most two.
const ALL_OF: usize = 10;

fn wanted_parts(files: usize) -> impl Iterator<Item = u32> {
    (1..(1_u32 << files)).filter(move |part| {
        let held = part.count_ones() as usize;
        files <= ALL_OF || held <= 2 || held + 2 >= files
    })
}

fn check(sample: &str, files: &[String], expected: &Value, part: u32) -> Vec<String> {
    let held: Vec<&str> = files
        .iter()
        .enumerate()
        .filter(|(i, _)| part >> i & 1 == 1)
        .map(|(_, f)| f.as_str())
        .collect();
    let args = [
        &[
            "report", "--format", "json", "--redact", "none", "--jobs", "1",
        ],
        held.as_slice(),
    ]
    .concat();
    let output = wsdrop(&args, &samples().join(sample));
    // 3: nothing of what was given is evidence by itself.
    if output.status.code() == Some(3) {
        return Vec::new();
    }
    let report: Value = match serde_json::from_slice(&output.stdout) {
        Ok(report) => report,
        Err(e) => return vec![format!("{sample} {held:?}: {e}")],
    };
    let mut faults = Vec::new();
    for source in list(&report, "sources") {
        let n = |key: &str| source[key].as_u64().unwrap_or(u64::MAX);
        let is_log =
            source["first"].is_string() && source["kind"] != "pcap" && source["kind"] != "pcapng";
        if is_log && n("records") != n("used") + n("odd") {
            faults.push(format!(
                "{sample} {held:?}: {} counts wrongly",
                source["path"]
            ));
        }
    }
    let wanted = list(expected, "connections");
    let pairs = pair(wanted, list(&report, "connections"));
    for (w, g) in wanted.iter().zip(pairs) {
        let Some(g) = g.filter(|g| g["tier"] == "certain" && is_drop(&g["outcome"])) else {
            continue;
        };
        let right = is_drop(&w["outcome"]) && list(w, "causes").contains(&g["cause"]);
        if !right {
            faults.push(format!(
                "{sample} from {held:?}: {} is certainly {} {}, wanted {} {}",
                w["client"], g["outcome"], g["cause"], w["outcome"], w["causes"]
            ));
        }
    }
    faults
}

#[test]
fn no_part_of_the_evidence_is_certain_of_another_cause() {
    let mut work = Vec::new();
    let mut expectations = Vec::new();
    for sample in names(&samples()) {
        if !samples().join(&sample).is_dir() {
            continue;
        }
        let files: Vec<String> = names(&samples().join(&sample))
            .into_iter()
            .filter(|f| !NOT_EVIDENCE.contains(&f.as_str()))
            .collect();
        work.extend(wanted_parts(files.len()).map(|part| (expectations.len(), part)));
        expectations.push((expected(&sample), sample, files));
    }
    assert!(work.len() > 300, "{} parts", work.len());
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(&(of, part)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (expected, sample, files) = &expectations[of];
                    let found = check(sample, files, expected, part);
                    faults.lock().expect("not poisoned").extend(found);
                }
            });
        }
    });
    let mut faults = faults.into_inner().expect("not poisoned");
    faults.sort();
    show(&faults);
}
