//! Combined lines with and without a mark of Apache's -> whose they are, and which moment their stamp is.

use super::*;

/// Apache's combined format is nginx's until a line shows whose it is; then the stamp is that of the start.
#[test]
fn apache_is_told_from_nginx_by_what_only_it_writes() {
    let plain = r#"192.0.2.17 - - [20/Nov/2026:20:57:56 +0000] "GET /a HTTP/1.1" 404 196 "-" "x""#;
    let dash = samples("apache-access")[0];
    let stamps = |lines: &[Line]| -> Vec<(&'static str, bool)> {
        lines
            .iter()
            .filter_map(|l| match l {
                Line::Tunnel(t) => Some((t.hop.name(), t.end.is_some())),
                _ => None,
            })
            .collect()
    };
    let (name, _, lines) = sniffed(&LogOptions::default(), plain.as_bytes());
    assert_eq!(
        (name, stamps(&lines)),
        ("nginx-access", vec![("nginx", true)])
    );
    let few = format!("{}{dash}\n{plain}\n", format!("{plain}\n").repeat(40));
    let (name, summary, lines) = sniffed(&LogOptions::default(), few.as_bytes());
    assert_eq!((name, summary.odd, lines.len()), ("apache-access", 0, 42));
    assert!(stamps(&lines).iter().all(|s| *s == ("apache", false)));
    // The first sign comes after what is looked at to choose.
    let late = format!("{}{dash}\n{plain}\n", format!("{plain}\n").repeat(300));
    let (name, summary, lines) = sniffed(&LogOptions::default(), late.as_bytes());
    assert_eq!((name, summary.odd), ("nginx-access", 0));
    assert_eq!(stamps(&lines)[300..], [("apache", false); 2]);
}
