//! The captures of a case -> sets of files that one vantage point wrote one after the other.

use super::sniff::Sniffed;
use crate::model::{MICRO_NS, Moment, SECOND_NS, Source, SourceId};
use std::collections::BTreeMap;

/// One capture file of a set.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) source: SourceId,
    pub(super) name: String,
    pub(super) first: Option<Moment>,
}

/// Files of one folder whose names differ in digits only, of one link type, in order of their first packet.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) files: Vec<Member>,
}

/// A file may begin this long before the one before it ended: packets are written by several threads.
const OVERLAP_NS: i64 = SECOND_NS;

pub(super) fn sets(sources: &[Source], sniffed: &[Sniffed]) -> Vec<Set> {
    let mut sets: BTreeMap<(String, Option<u32>), Vec<Member>> = BTreeMap::new();
    for (source, found) in sources.iter().zip(sniffed) {
        if !source.kind.is_capture() {
            continue;
        }
        let member = Member {
            source: source.id,
            name: source.path.clone(),
            first: found.first,
        };
        sets.entry((stem(&source.path), found.link))
            .or_default()
            .push(member);
    }
    let mut sets: Vec<Set> = sets
        .into_values()
        .map(|mut files| {
            files.sort_by_key(|f| (f.first, f.source));
            Set { files }
        })
        .collect();
    sets.sort_by_key(|set| set.files.iter().map(|f| f.source).min());
    sets
}

/// Which of the vantage points fed so far this file goes on with: it begins where that one ended. Among several, the one
/// whose last file has the most alike name: hosts have their own prefix.
pub(super) fn continues<'a>(
    file: &Member,
    open: impl Iterator<Item = (Option<Moment>, &'a str)>,
) -> Option<usize> {
    let first = file.first?;
    open.enumerate()
        .filter(|(_, (last, _))| last.is_some_and(|last| first.since(last) >= -OVERLAP_NS))
        .max_by_key(|&(at, (_, name))| (alike(&file.name, name), std::cmp::Reverse(at)))
        .map(|(at, _)| at)
}

pub(super) fn alike(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// The path without digits and without what compression adds to it.
pub(super) fn stem(path: &str) -> String {
    let path = [".gz", ".zst", ".xz", ".bz2", ".lz4"]
        .iter()
        .find_map(|packed| path.strip_suffix(packed))
        .unwrap_or(path);
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!(
        "{folder}/{}",
        name.replace(|c: char| c.is_ascii_digit(), "")
    )
}

/// How finely a capture tells time, in nanoseconds: its magic number, or the first interface's `if_tsresol` (option 9).
pub(super) fn tick(head: &[u8]) -> i64 {
    match head.get(..4) {
        Some([0x4d, 0x3c, 0xb2, 0xa1] | [0xa1, 0xb2, 0x3c, 0x4d]) => 1,
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng_tick(head).unwrap_or(MICRO_NS),
        _ => MICRO_NS,
    }
}

fn pcapng_tick(head: &[u8]) -> Option<i64> {
    let little = head.get(8..12)? == [0x4d, 0x3c, 0x2b, 0x1a];
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = head.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(usize::from(if little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        }))
    };
    let section: [u8; 4] = head.get(4..8)?.try_into().ok()?;
    let block = usize::try_from(if little {
        u32::from_le_bytes(section)
    } else {
        u32::from_be_bytes(section)
    })
    .ok()?;
    let mut at = block.checked_add(16)?;
    for _ in 0..32 {
        let (code, len) = (u16_at(at)?, u16_at(at.checked_add(2)?)?);
        if code == 0 {
            return None;
        }
        if code == 9 {
            let resolution = *head.get(at.checked_add(4)?)?;
            // high bit clear: a negative power of ten
            return match resolution {
                0 => Some(SECOND_NS),
                1..=9 => Some(SECOND_NS / 10_i64.pow(u32::from(resolution))),
                _ => Some(1),
            };
        }
        at = at.checked_add(4 + len.div_ceil(4) * 4)?;
    }
    None
}

/// The link type of a pcap's header, or of a pcapng's first interface (block type 1).
pub(super) fn link_type(head: &[u8]) -> Option<u32> {
    let u32_at = |at: usize, little: bool| {
        let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    match head.get(..4)? {
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => {
            Some(u32_at(20, true)? & 0x0fff_ffff)
        }
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => {
            Some(u32_at(20, false)? & 0x0fff_ffff)
        }
        [0x0a, 0x0d, 0x0d, 0x0a] => {
            let little = head.get(8..12)? == [0x4d, 0x3c, 0x2b, 0x1a];
            let mut at = 0;
            for _ in 0..64 {
                if u32_at(at, little)? == 1 {
                    let bytes: [u8; 2] = head.get(at + 8..at + 10)?.try_into().ok()?;
                    let link = if little {
                        u16::from_le_bytes(bytes)
                    } else {
                        u16::from_be_bytes(bytes)
                    };
                    return Some(u32::from(link));
                }
                let len = usize::try_from(u32_at(at + 4, little)?).ok()?;
                at = at.checked_add(len.max(12))?;
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_digits_are_of_one_stem() {
        let same = |a: &str, b: &str| stem(a) == stem(b);
        assert!(same("cap_00001_20260101.pcap", "cap_00002_20260102.pcap"));
        assert!(same("trace.pcap", "trace.pcap1"));
        assert!(same("x/trace.pcap3.gz", "x/trace.pcap12"));
        assert!(!same("x/trace1.pcap", "y/trace1.pcap"));
        assert!(!same("client.pcap", "server.pcap"));
    }

    #[test]
    fn a_file_goes_on_where_one_ended() {
        let at = |s: i64| Some(Moment(s * SECOND_NS));
        let file = |name: &str, first| Member {
            source: SourceId(0),
            name: name.to_owned(),
            first,
        };
        let check = |file: Member, open: &[(Option<Moment>, &str)], expected| {
            assert_eq!(continues(&file, open.iter().copied()), expected, "{file:?}");
        };
        check(file("a2", at(100)), &[(at(100), "a1")], Some(0));
        check(file("a2", at(99)), &[(at(100), "a1")], Some(0));
        check(file("a2", at(98)), &[(at(100), "a1")], None);
        check(file("a2", at(500)), &[], None);
        check(file("a2", None), &[(at(1), "a1")], None);
        check(file("a2", at(5)), &[(None, "a1")], None);
        check(
            file("h2-2", at(100)),
            &[(at(90), "h1-1"), (at(95), "h2-1")],
            Some(1),
        );
    }

    #[test]
    fn link_types_of_both_containers() {
        let pcap = [
            &0xa1b2_c3d4u32.to_le_bytes()[..],
            &[0; 16],
            &276u32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(link_type(&pcap), Some(276));
        let mut ng = vec![0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a];
        ng.resize(28, 0);
        ng.extend([1, 0, 0, 0, 20, 0, 0, 0, 113, 0, 0, 0]);
        assert_eq!(link_type(&ng), Some(113));
        assert_eq!(link_type(&ng[..30]), None);
        assert_eq!(link_type(b"text"), None);
    }
}
