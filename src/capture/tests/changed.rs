//! Recordings with bytes changed, taken out, put in and moved -> whether reading ends, within bounds, whatever they hold.

use super::*;
use proptest::sample::Index;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Larger ones take too long to be read over and over.
const MAX_SEED: u64 = 120_000;

/// The recordings of the samples, and those of others where `WSDROP_CAPTURES` names a folder.
pub(super) static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut folders: Vec<PathBuf> = std::env::var_os("WSDROP_CAPTURES")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    folders.push(samples);
    let mut seeds = Vec::new();
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(folder)
            .expect("readable")
            .map(|e| e.expect("readable"))
            .collect();
        entries.sort_by_key(|e| e.path());
        for entry in entries {
            let meta = entry.metadata().expect("readable");
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.len() <= MAX_SEED {
                let bytes = std::fs::read(entry.path()).expect("readable");
                if sniff(&bytes).is_some() {
                    seeds.push(bytes);
                }
            }
        }
    }
    // One of what fits into a packet, should there be nothing else.
    seeds.push(pcap(&conversation().sent, 65_535));
    seeds
});

fn change(bytes: &mut Vec<u8>, at: Index, value: u8, how: u8) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    let some = (at + 1 + usize::from(value) % 64).min(bytes.len());
    match how {
        0 => bytes[at] = value,
        1 => bytes[at] ^= 1 << (value & 7),
        2 => drop(bytes.drain(at..some)),
        3 => {
            let copy = bytes[at..some].to_vec();
            let to = at / 2;
            drop(bytes.splice(to..to, copy));
        }
        _ => bytes[at..some.min(at + 4)].fill(value),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn no_change_of_a_recording_stops_the_reading(
        which: Index, changes in proptest::collection::vec((any::<Index>(), any::<u8>(), 0u8..5), 1..60), cut in proptest::option::of(any::<Index>()),
    ) {
        let mut bytes = which.get(&SEEDS).clone();
        for (at, value, how) in changes {
            change(&mut bytes, at, value, how);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let (frames, legs, summary) = read_bytes(&bytes);
        // A frame has two bytes at least, a record twelve.
        prop_assert!(frames.len() <= bytes.len() / 2);
        prop_assert!(summary.packets <= bytes.len() as u64 / 12);
        prop_assert!(summary.used + summary.odd <= summary.packets + bytes.len() as u64 / 12);
        for leg in legs {
            prop_assert!(leg.events.len() <= 96 && leg.fingerprints.len() <= 32 && leg.pings.len() <= 64 + 64);
        }
    }
}
