//! Captures and logs of what a hop's timer does to connections -> what the verdicts say of that timer.

use crate::samples::wsdrop;
use serde_json::Value;
use std::fs;

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// Keys of handshakes with their answers (RFC 6455 4.2.2): one of each would make one connection of all.
const KEYS: [(&str, &str); 4] = [
    ("AQEBAQEBAQEBAQEBAQEBAQ==", "5tWd1XMQfqfRMZqGrwjPEgEvyeE="),
    ("AgICAgICAgICAgICAgICAg==", "HxQGuR/8NNkEk+gAR7AGRRQUR5I="),
    ("AwMDAwMDAwMDAwMDAwMDAw==", "rif6wL2Zb7jA4NcCyQSxjNNrZNs="),
    ("BAQEBAQEBAQEBAQEBAQEBA==", "qxuoi6TdLAVblW3X0cuvPg6Ld2A="),
];

/// One connection's packets, each with its time in milliseconds.
struct Client {
    number: u8,
    at_ms: u64,
    next: [u32; 2],
    sent: Vec<(u64, Vec<u8>)>,
}

impl Client {
    fn new(number: u8, at_ms: u64) -> Self {
        let (key, accept) = KEYS[usize::from(number) - 1];
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        let request = format!(
            "GET /feed HTTP/1.1\r\nHost: h\r\n{upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\n{upgrade}Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let client = Self {
            number,
            at_ms,
            next: [1000, 9000],
            sent: Vec::new(),
        };
        client
            .sends(0, SYN, b"", 0)
            .sends(1, SYN | ACK, b"", 0)
            .sends(0, ACK, b"", 0)
            .sends(0, ACK, request.as_bytes(), 0)
            .sends(1, ACK, response.as_bytes(), 0)
            .sends(0, ACK, b"", 0)
    }

    /// `back` puts the number back by so many bytes, as a keep-alive's is.
    fn sends(mut self, side: usize, flags: u8, bytes: &[u8], back: u32) -> Self {
        self.at_ms += 2;
        // A hop's own packets have come a shorter way.
        let ttl = if flags & RST != 0 { 250 } else { 63 };
        let seq = self.next[side] - back;
        let ack = if flags & ACK != 0 {
            self.next[1 - side]
        } else {
            0
        };
        let ends = [([10, 9, 0, self.number], 40_000), ([10, 8, 0, 1], 80)];
        let (from, to): (([u8; 4], u16), ([u8; 4], u16)) = (ends[side], ends[1 - side]);
        let mut p = vec![0x45, 0];
        p.extend((40 + bytes.len() as u16).to_be_bytes());
        p.extend((self.sent.len() as u16 + 1).to_be_bytes());
        p.extend([0x40, 0, ttl, 6, 0, 0]);
        p.extend(from.0);
        p.extend(to.0);
        p.extend(from.1.to_be_bytes());
        p.extend(to.1.to_be_bytes());
        p.extend(seq.to_be_bytes());
        p.extend(ack.to_be_bytes());
        p.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        p.extend(bytes);
        self.next[side] += bytes.len() as u32 + u32::from(flags & SYN != 0);
        self.sent.push((self.at_ms, p));
        self
    }

    fn says(self, text: &[u8]) -> Self {
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend(text);
        self.sends(0, ACK, &frame, 0).sends(1, ACK, b"", 0)
    }

    fn keeps_alive(mut self, ms: u64) -> Self {
        self.at_ms += ms;
        self.sends(0, ACK, b"", 1).sends(1, ACK, b"", 0)
    }

    fn reset_after(mut self, ms: u64) -> Self {
        self.at_ms += ms - 4;
        self.sends(0, RST | ACK, b"", 0).sends(1, RST | ACK, b"", 0)
    }
}

fn report(clients: Vec<Client>) -> Value {
    let mut all: Vec<_> = clients.into_iter().flat_map(|c| c.sent).collect();
    all.sort_by_key(|(at, _)| *at);
    let mut pcap = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    pcap.extend([0; 8]);
    pcap.extend([0, 0, 4, 0, 101, 0, 0, 0]);
    for (at, packet) in all {
        let at = at + 1_790_000_000_000;
        let len = packet.len() as u32;
        let words = [(at / 1000) as u32, (at % 1000 * 1000) as u32, len, len];
        words.iter().for_each(|w| pcap.extend(w.to_le_bytes()));
        pcap.extend(packet);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("net.pcap"), pcap).unwrap();
    let args = ["report", "-f", "json", "net.pcap"];
    let output = wsdrop(&args, folder.path());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn causes(report: &Value) -> Vec<&str> {
    let all = report["connections"].as_array().unwrap();
    all.iter().filter_map(|c| c["cause"].as_str()).collect()
}

/// Payload had been silent for unlike times, every packet for the same: it is the timer of a hop that counts packets.
#[test]
fn a_hop_that_counts_packets_is_told_by_their_silence() {
    let clients = (1..=4u8).map(|n| {
        let mut client = Client::new(n, u64::from(n) * 7_300).says(b"hello");
        for _ in 0..n + 1 {
            client = client.keeps_alive(20_000);
        }
        client.reset_after(90_000)
    });
    let report = report(clients.collect());
    assert_eq!(causes(&report), ["middlebox-expiry"; 4], "{report:#}");
    let told = report.to_string();
    assert!(told.contains("forgot this connection in 90"), "{told}");
}

/// The same resets, each behind another silence: nothing recurs, and no timer is made up.
#[test]
fn unlike_silences_are_no_timer() {
    let clients = (1..=4u8).map(|n| {
        let mut client = Client::new(n, u64::from(n) * 7_300).says(b"hello");
        for _ in 0..n + 1 {
            client = client.keeps_alive(20_000);
        }
        client.reset_after(31_000 + u64::from(n) * 13_777)
    });
    let report = report(clients.collect());
    assert!(!causes(&report).contains(&"middlebox-expiry"), "{report:#}");
}

/// Causes and sentences of the tunnels in an access log, of `lives` (milliseconds).
fn of_log(lives: &[u64], line: fn(usize, u64) -> String) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let log: String = lives
        .iter()
        .enumerate()
        .map(|(n, ms)| line(n, *ms))
        .collect();
    fs::write(dir.path().join("access.log"), log).unwrap();
    let output = wsdrop(&["report", "-f", "json", "access.log"], dir.path());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let all = report["connections"].as_array().unwrap();
    all.iter()
        .map(|c| (text(&c["cause"]), text(&c["sentence"])))
        .collect()
}

fn nginx(n: usize, ms: u64) -> String {
    let (minute, second) = (n % 60, n * 7 % 60);
    format!(
        "203.0.113.{n} - - [29/Nov/2026:10:{minute:02}:{second:02} +0000] \"GET /ws HTTP/1.1\" 101 230 \"-\" \"-\" rt={}.{:03}\n",
        ms / 1000,
        ms % 1000
    )
}

fn google(n: usize, ms: u64) -> String {
    let (minute, second) = (n % 60, n * 7 % 60);
    let (s, ms) = (ms / 1000, ms % 1000);
    format!(
        r#"{{"httpRequest":{{"requestMethod":"GET","requestUrl":"https://a.test/ws","status":101,"remoteIp":"203.0.113.{n}","latency":"{s}.{ms:03}s"}},"resource":{{"type":"http_load_balancer"}},"timestamp":"2026-11-29T10:{minute:02}:{second:02}.1Z","jsonPayload":{{"statusDetails":"websocket_closed"}}}}
"#
    )
}

/// nginx has timers for silences alone, and its log does not tell whether there was one; Google's balancer ends what flows as well.
#[test]
fn equal_lives_in_an_access_log_are_told_of() {
    let alike = [45_012, 45_003, 45_021, 45_017, 45_008, 45_030, 4_312];
    let odd = [45_012, 31_003, 12_021, 77_017, 8_008, 5_030, 4_312];
    let told = |found: &[(String, String)]| {
        let lived =
            |(_, say): &&(String, String)| say.contains("6 connections here lived for 45 s");
        assert!(found.iter().all(|(cause, _)| cause.is_empty()), "{found:?}");
        found.iter().filter(lived).count()
    };
    assert_eq!(told(&of_log(&alike, nginx)), 6);
    assert_eq!(told(&of_log(&odd, nginx)), 0);
    assert_eq!(told(&of_log(&alike[2..], nginx)), 0, "four are too few");
    let capped = of_log(&alike, google);
    let of_it = |(cause, _): &&(String, String)| cause == "lifetime-cap";
    assert_eq!(capped.iter().filter(of_it).count(), 6, "{capped:?}");
}
