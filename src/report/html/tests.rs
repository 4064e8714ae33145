//! The page of a fabricated analysis -> whether it is whole, inert, of bounded size, and runs no script but its own.

use super::*;
use crate::report::Redact;
use crate::report::json::tests::fabricated;

fn page(analysis: &Analysis, redactor: &Redactor) -> String {
    let options = Options {
        zone: Zone(0),
        paths: "incident",
        selected: None,
    };
    let mut out = Vec::new();
    write(analysis, redactor, &options, &mut out).expect("writes to memory");
    String::from_utf8(out).expect("UTF-8")
}

/// The names of elements that are open where they should not be, or closed where they are not open.
fn unbalanced(page: &str) -> Vec<String> {
    let void = ["meta", "input", "!DOCTYPE"];
    let mut open: Vec<String> = Vec::new();
    let mut wrong = Vec::new();
    let page = page.replace(SCRIPT, "").replace(STYLE, "");
    for tag in page.split('<').skip(1) {
        let Some((tag, _)) = tag.split_once('>') else {
            wrong.push(tag.to_owned());
            continue;
        };
        let name = tag.split(' ').next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            if open.pop().as_deref() != Some(name) {
                wrong.push(format!("/{name}"));
            }
        } else if !tag.ends_with('/') && !void.contains(&name) {
            open.push(name.to_owned());
        }
    }
    wrong.extend(open);
    wrong
}

#[test]
fn the_page_is_whole_and_asks_for_nothing() {
    let page = page(&fabricated(), &Redactor::none());
    assert_eq!(unbalanced(&page), Vec::<String>::new());
    for word in ["://", "src=", "url(", "@import", "<link", "<img", "<iframe"] {
        assert!(!page.contains(word), "{word}");
    }
    for word in [
        "<h1>1 of 2 WebSocket connections dropped</h1>",
        "id=\"c-7f3a91\"",
        "edge.pcap#91",
        "ruled-out",
        "W701 reconnect-storm",
        "notes.docx",
        "Time line (UTC)",
        "s without an event",
    ] {
        assert!(page.contains(word), "no {word}");
    }
}

#[test]
fn hostile_text_is_text() {
    let mut analysis = fabricated();
    let hostile = "<script>alert(1)</script>\" onload='x' \x1b[2J\u{202e}</details>&amp;";
    analysis.connections[0].verdict.sentence = hostile.to_owned();
    analysis.connections[0].verdict.fix = vec![hostile.into()];
    analysis.connections[0].verdict.evidence[0].say = hostile.into();
    analysis.connections[0].connection.request.uri = Some(hostile.repeat(10_000).into());
    analysis.connections[0].connection.client.identity = Some(hostile.to_owned());
    analysis.connections[0].connection.hops[1].name = hostile.into();
    analysis.connections[0].connection.closer.hop = Some(hostile.into());
    analysis.connections[0].connection.events[1].say = hostile.to_owned();
    analysis.sources[0].path = hostile.to_owned();
    analysis.sources[2].reason = Some(hostile.to_owned());
    analysis.findings[0].say = hostile.to_owned();
    analysis.findings[0].kind = hostile.to_owned();
    let page = page(&analysis, &Redactor::none());
    assert_eq!(page.matches("<script>").count(), 1, "its own");
    assert_eq!(unbalanced(&page), Vec::<String>::new());
    assert!(!page.contains('\x1b') && !page.contains('\u{202e}'));
    assert!(page.len() < 100_000, "{}", page.len());
}

#[test]
fn nothing_redacted_is_left() {
    let analysis = fabricated();
    let redactor = Redactor::new(Redact::parse("all").expect("known"), &analysis);
    let page = page(&analysis, &redactor);
    for secret in ["203.0.113.7", "10.0.0.2", "2001:db8::7", "user-8812"] {
        assert!(!page.contains(secret), "{secret}");
    }
    assert!(page.contains("Taken out: addresses, tokens, payload, cookies"));
}

#[test]
fn ten_thousand_connections_stay_below_five_megabytes() {
    let mut analysis = fabricated();
    let one = analysis.connections[0].clone();
    analysis.connections = (0..12_000)
        .map(|n| {
            let mut judged = one.clone();
            judged.connection.id = format!("c-{n:06x}");
            judged.connection.request.uri = Some(format!("/ws?{}", "x".repeat(400)).into());
            judged.connection.silence_ns = Some(SECOND_NS * (n % 90));
            judged
        })
        .collect();
    let page = page(&analysis, &Redactor::none());
    assert!(page.len() <= 5_000_000, "{}", page.len());
    assert!(page.contains("more are not shown in full here"));
    assert!(page.contains(" at 60 s,"), "the chart in words");
}

#[test]
fn the_policy_names_the_script() {
    assert_eq!(base64(&sha256(SCRIPT.as_bytes())), SCRIPT_HASH);
    assert_eq!(
        base64(&sha256(b"abc")),
        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        "the hash of FIPS 180-4's example"
    );
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - part.len()));
        for at in 0..4 {
            if at <= part.len() {
                out.push(DIGITS[(bits >> (18 - 6 * at) & 63) as usize] as char);
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// FIPS 180-4, 6.2.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let primes: Vec<u64> = (2..400)
        .filter(|n| (2..*n).all(|d| n % d != 0))
        .take(64)
        .collect();
    let fraction = |root: f64| ((root - root.floor()) * 4_294_967_296.0) as u32;
    let k: Vec<u32> = primes
        .iter()
        .map(|p| fraction((*p as f64).cbrt()))
        .collect();
    let mut h: Vec<u32> = primes
        .iter()
        .take(8)
        .map(|p| fraction((*p as f64).sqrt()))
        .collect();
    let mut message = bytes.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend((bytes.len() as u64 * 8).to_be_bytes());
    for block in message.chunks(64) {
        let mut w: Vec<u32> = block
            .chunks(4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        for t in 16..64 {
            let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
            let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
            w.push(
                w[t - 16]
                    .wrapping_add(s0)
                    .wrapping_add(w[t - 7])
                    .wrapping_add(s1),
            );
        }
        let mut v = h.clone();
        for t in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let ch = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let t1 = v[7]
                .wrapping_add(s1)
                .wrapping_add(ch)
                .wrapping_add(k[t])
                .wrapping_add(w[t]);
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let maj = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            v.rotate_right(1);
            v[4] = v[4].wrapping_add(t1);
            v[0] = t1.wrapping_add(s0.wrapping_add(maj));
        }
        for (h, v) in h.iter_mut().zip(v) {
            *h = h.wrapping_add(v);
        }
    }
    let mut out = [0; 32];
    for (to, from) in out.chunks_mut(4).zip(h) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    out
}
