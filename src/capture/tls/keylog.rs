//! The lines of a TLS key log (the NSS format, draft-ietf-tls-keylogfile) -> the secrets of sessions, by the random of their ClientHello.

use crate::model::{Anomaly, add_anomaly};
use std::collections::HashMap;
use std::io::{ErrorKind, Read};

/// A line is at most a label, 32 and 48 bytes in hex; ECH lines are longer and not needed.
const MAX_LINE: usize = 4096;
/// Sessions kept: at about 300 bytes each, 300 MB.
const MAX_SESSIONS: usize = 1_000_000;

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// TLS 1.2's master secret.
    Master,
    ClientHandshake,
    ServerHandshake,
    ClientTraffic,
    ServerTraffic,
}

/// The secrets of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Secrets(Vec<(Label, Box<[u8]>)>);

impl Secrets {
    pub(super) fn get(&self, label: Label) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(l, _)| *l == label)
            .map(|(_, s)| s.as_ref())
    }
}

/// The secrets of TLS sessions, from one or more key logs.
#[derive(Clone, Default)]
pub struct KeyLog {
    sessions: HashMap<[u8; 32], Secrets>,
}

impl std::fmt::Debug for KeyLog {
    /// Secrets are not printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyLog({} sessions)", self.sessions.len())
    }
}

/// What reading one key log gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLogSummary {
    /// Lines, blank ones and comments left out.
    pub lines: u64,
    /// Secrets that can open records.
    pub used: u64,
    /// Lines that are none of a key log.
    pub odd: u64,
    pub anomalies: Vec<Anomaly>,
}

enum Line<'a> {
    Blank,
    /// A secret that opens no record (exporters, ECH, RSA premasters).
    Unneeded,
    Odd,
    Secret(Label, [u8; 32], &'a [u8]),
}

impl KeyLog {
    /// No session at all.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sessions that it holds secrets of.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Takes over what another log holds.
    pub fn merge(&mut self, other: Self) {
        for (random, secrets) in other.sessions {
            if self.sessions.len() >= MAX_SESSIONS && !self.sessions.contains_key(&random) {
                continue;
            }
            let known = self.sessions.entry(random).or_default();
            for (label, secret) in secrets.0 {
                if known.get(label).is_none() {
                    known.0.push((label, secret));
                }
            }
        }
    }

    /// Reads a key log to its end. A line that is longer than any of a key log counts as odd.
    pub fn read(&mut self, input: &mut dyn Read) -> KeyLogSummary {
        let mut summary = KeyLogSummary::default();
        let mut buffer = vec![0; 64 * 1024];
        let mut line: Vec<u8> = Vec::new();
        let mut number = 0;
        loop {
            let n = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => {
                    let note = format!("reading stopped: {e}; what came before was used");
                    add_anomaly(&mut summary.anomalies, "read-error", 1, number + 1, note);
                    break;
                }
            };
            for part in buffer
                .get(..n)
                .unwrap_or_default()
                .split_inclusive(|&b| b == b'\n')
            {
                if line.len() < MAX_LINE {
                    line.extend_from_slice(part);
                }
                if part.ends_with(b"\n") {
                    number += 1;
                    self.line(&line, number, &mut summary);
                    line.clear();
                }
            }
        }
        if !line.is_empty() {
            self.line(&line, number + 1, &mut summary);
        }
        summary
    }

    fn line(&mut self, line: &[u8], number: u64, summary: &mut KeyLogSummary) {
        match parse(line) {
            Line::Blank => return,
            Line::Unneeded => {}
            Line::Odd => {
                summary.odd += 1;
                let note = "lines that are none of a TLS key log were left out";
                add_anomaly(&mut summary.anomalies, "unknown-line", 1, number, note);
            }
            Line::Secret(label, random, secret) => {
                let full = self.sessions.len() >= MAX_SESSIONS;
                if full && !self.sessions.contains_key(&random) {
                    let note = "secrets beyond a million sessions were left out";
                    add_anomaly(&mut summary.anomalies, "too-many-keys", 1, number, note);
                } else if let Some(secret) = unhex(secret) {
                    summary.used += 1;
                    let known = self.sessions.entry(random).or_default();
                    known.0.retain(|(l, _)| *l != label);
                    known.0.push((label, secret.into()));
                }
            }
        }
        summary.lines += 1;
    }

    pub(super) fn get(&self, random: &[u8; 32]) -> Option<&Secrets> {
        self.sessions.get(random)
    }
}

fn parse(line: &[u8]) -> Line<'_> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Line::Blank;
    }
    let mut words = line
        .split(|b| b.is_ascii_whitespace())
        .filter(|w| !w.is_empty());
    let (Some(label), Some(random), Some(secret), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Line::Odd;
    };
    let hex = |w: &[u8]| w.len().is_multiple_of(2) && w.iter().all(u8::is_ascii_hexdigit);
    if !hex(random) || !hex(secret) {
        return Line::Odd;
    }
    let label = match label {
        b"CLIENT_RANDOM" => Label::Master,
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
        b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
        b"CLIENT_TRAFFIC_SECRET_0" => Label::ClientTraffic,
        b"SERVER_TRAFFIC_SECRET_0" => Label::ServerTraffic,
        b"RSA"
        | b"PMS_CLIENT_RANDOM"
        | b"EXPORTER_SECRET"
        | b"EARLY_EXPORTER_SECRET"
        | b"EARLY_EXPORTER_MASTER_SECRET"
        | b"CLIENT_EARLY_TRAFFIC_SECRET"
        | b"ECH_SECRET"
        | b"ECH_CONFIG" => return Line::Unneeded,
        // The secrets behind a key update follow from the first ones.
        l if l.starts_with(b"CLIENT_TRAFFIC_SECRET_")
            || l.starts_with(b"SERVER_TRAFFIC_SECRET_") =>
        {
            return Line::Unneeded;
        }
        _ => return Line::Odd,
    };
    let random = unhex(random).and_then(|r| <[u8; 32]>::try_from(r).ok());
    match random {
        Some(random) if matches!(secret.len(), 64 | 96) => Line::Secret(label, random, secret),
        _ => Line::Odd,
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.chunks_exact(2)
        .map(|pair| match *pair {
            [a, b] => Some(digit(a)? << 4 | digit(b)?),
            _ => None,
        })
        .collect()
}

/// Whether the first line that is no comment is one of a key log.
pub fn is_key_log(head: &[u8]) -> bool {
    head.split(|&b| b == b'\n')
        .map(parse)
        .find(|l| !matches!(l, Line::Blank))
        .is_some_and(|l| !matches!(l, Line::Odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_key_log() {
        let (r, s32, s48) = ("ab".repeat(32), "01".repeat(32), "02".repeat(48));
        let check = |line: String, expected: (u64, u64, u64)| {
            let mut log = KeyLog::default();
            let got = log.read(&mut line.as_bytes());
            assert_eq!((got.lines, got.used, got.odd), expected, "{line}");
        };
        check(format!("CLIENT_RANDOM {r} {s48}\n"), (1, 1, 0));
        check(
            format!("CLIENT_RANDOM {} {s48}\r\n", r.to_uppercase()),
            (1, 1, 0),
        );
        check(
            format!("# made by\n\nCLIENT_TRAFFIC_SECRET_0 {r} {s32}"),
            (1, 1, 0),
        );
        check(
            format!("CLIENT_TRAFFIC_SECRET_1 {r} {s32}\nEXPORTER_SECRET {r} {s32}\n"),
            (2, 0, 0),
        );
        check(format!("CLIENT_RANDOM {r}\n"), (1, 0, 1));
        check(format!("CLIENT_RANDOM {r} {s48} more\n"), (1, 0, 1));
        check(format!("CLIENT_RANDOM {r} {s48}0\n"), (1, 0, 1));
        check(format!("CLIENT_RANDOM abcd {s48}\n"), (1, 0, 1));
        check("GET / HTTP/1.1\n".to_owned(), (1, 0, 1));
        check("x".repeat(100_000), (1, 0, 1));
        check(String::new(), (0, 0, 0));
    }

    #[test]
    fn the_same_secret_from_two_logs_counts_once() {
        let line = format!("CLIENT_RANDOM {} {}\n", "ab".repeat(32), "02".repeat(48));
        let mut a = KeyLog::default();
        let mut b = KeyLog::default();
        a.read(&mut line.as_bytes());
        b.read(&mut line.as_bytes());
        a.merge(b);
        let secrets = a.get(&[0xab; 32]).unwrap();
        assert_eq!(secrets.get(Label::Master), Some(&[2; 48][..]));
        assert_eq!((a.len(), secrets.0.len()), (1, 1));
        assert!(!format!("{a:?}").contains("02"));
    }
}
