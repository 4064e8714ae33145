//! Bytes that are no log, and logs that were damaged -> every line counted, nothing worse.

use super::tests::read_all;
use super::*;
use proptest::prelude::*;

fn junk() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<Vec<u8>> = FORMATS
        .iter()
        .flat_map(|f| f.samples().iter().map(|s| s.as_bytes().to_vec()))
        .collect();
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[ -~\n]{0,60}".prop_map(String::into_bytes),
        (
            proptest::sample::select(samples),
            any::<proptest::sample::Index>(),
            any::<u8>(),
            any::<bool>()
        )
            .prop_map(|(mut s, at, byte, cut)| {
                let i = at.index(s.len());
                if cut {
                    s.truncate(i)
                } else {
                    s[i] = byte
                }
                s.push(b'\n');
                s
            }),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_bytes_harm_and_every_line_is_counted(bytes in junk()) {
        let options = LogOptions { nginx_formats: vec![("x".into(), "$msec $request_uri${status}$x-$upstream_addr $host".into())], assumed_zone: LocalZone::Fixed(3600), ..LogOptions::default() };
        // Of one long list the elements are counted.
        prop_assume!(!text::elements::is_list(&bytes));
        let _ = sniff(&bytes, &options, None);
        let lines = bytes.split(|c| *c == b'\n').enumerate().filter(|(i, l)| {
            let l = if *i == 0 { l.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(l) } else { l };
            !l.trim_ascii().is_empty()
        }).count() as u64;
        for format in FORMATS {
            let (summary, _) = read_all(format.name(), &options, &bytes);
            prop_assert_eq!(summary.records, lines);
            for line in bytes.split(|c| *c == b'\n').take(4) {
                let _ = fields(&Choice { name: format.name() }, &options, line);
            }
        }
    }
}
