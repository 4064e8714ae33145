//! Real TLS traffic, made by rustls and by OpenSSL -> whether what is said inside is told, whole, cut, with holes and without its keys.

use super::*;
use crate::capture::{Vantage, frame};
use crate::model::{LegProtocol, Moment, RecordRef, SourceId};
use proptest::prelude::*;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig,
    ServerConnection, SideData, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::sync::{Mutex, OnceLock};

const REQUEST: &[u8] = b"GET /ws HTTP/1.1\r\nHost: ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const CLIENT: Side = 0;
const SERVER: Side = 1;

#[derive(Debug, Default)]
struct Lines(Mutex<String>);

impl rustls::KeyLog for Lines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |b: &[u8]| b.iter().map(|x| format!("{x:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().push_str(&line);
    }
}

/// What two sides sent, flight by flight, and the key log of it.
#[derive(Debug, Clone)]
struct Traffic {
    flights: Vec<(Side, Vec<u8>)>,
    keys: String,
}

struct Pair {
    client: ClientConnection,
    server: ServerConnection,
    log: Arc<Lines>,
    flights: Vec<(Side, Vec<u8>)>,
}

fn certificate() -> &'static (CertificateDer<'static>, Vec<u8>) {
    static MADE: OnceLock<(CertificateDer<'static>, Vec<u8>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec!["ws.test".to_owned()]).unwrap();
        (made.cert.der().clone(), made.signing_key.serialize_der())
    })
}

impl Pair {
    fn new(
        suite: SupportedCipherSuite,
        version: &'static SupportedProtocolVersion,
        trusted: bool,
    ) -> Self {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![suite],
            ..ring::default_provider()
        });
        let (cert, key) = certificate();
        let mut roots = RootCertStore::empty();
        if trusted {
            roots.add(cert.clone()).unwrap();
        }
        let log = Arc::new(Lines::default());
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.key_log = Arc::<Lines>::clone(&log);
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let key = PrivateKeyDer::try_from(key.clone()).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("ws.test").unwrap();
        let mut pair = Self {
            client: ClientConnection::new(Arc::new(client), name).unwrap(),
            server: ServerConnection::new(Arc::new(server)).unwrap(),
            log,
            flights: Vec::new(),
        };
        while pair.turn() {}
        pair
    }

    /// What either side has to send goes over.
    fn turn(&mut self) -> bool {
        let up = send(&mut self.client, &mut self.server);
        let down = send(&mut self.server, &mut self.client);
        let moved = !up.is_empty() || !down.is_empty();
        for (side, bytes) in [(CLIENT, up), (SERVER, down)] {
            if !bytes.is_empty() {
                self.flights.push((side, bytes));
            }
        }
        moved
    }

    fn up(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).unwrap();
        while self.turn() {}
    }

    fn down(&mut self, bytes: &[u8]) {
        self.server.writer().write_all(bytes).unwrap();
        while self.turn() {}
    }

    fn done(self) -> Traffic {
        let keys = self.log.0.lock().unwrap().clone();
        Traffic {
            flights: self.flights,
            keys,
        }
    }
}

fn send<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) -> Vec<u8>
where
    A: SideData,
    B: SideData,
{
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    let mut plain = [0; 4096];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        let _ = to.process_new_packets();
        while to.reader().read(&mut plain).is_ok_and(|n| n > 0) {}
    }
    bytes
}

fn suites() -> Vec<(SupportedCipherSuite, &'static SupportedProtocolVersion)> {
    ring::ALL_CIPHER_SUITES
        .iter()
        // How the server proves itself changes nothing in the records, and its key here is ECDSA.
        .filter(|s| !format!("{s:?}").contains("ECDHE_RSA"))
        .map(|&s| (s, s.version()))
        .collect()
}

fn masked(opcode: u8, body: &[u8]) -> Vec<u8> {
    frame::encode(true, opcode, Some([1, 2, 3, 4]), body)
}

fn bare(opcode: u8, body: &[u8]) -> Vec<u8> {
    frame::encode(true, opcode, None, body)
}

/// An upgrade, an exchange, a ping, a large message in several records, a Close, close_notify.
fn chat(suite: SupportedCipherSuite, version: &'static SupportedProtocolVersion) -> Traffic {
    let mut pair = Pair::new(suite, version, true);
    pair.up(REQUEST);
    pair.down(RESPONSE);
    pair.up(&masked(1, b"hello"));
    pair.down(&bare(1, b"hello"));
    if version.version == rustls::ProtocolVersion::TLSv1_3 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.server.refresh_traffic_keys().unwrap();
    }
    pair.down(&bare(9, b""));
    pair.up(&masked(10, b""));
    pair.down(&bare(2, &[7; 40_000]));
    pair.up(&masked(8, &1000u16.to_be_bytes()));
    pair.down(&bare(8, &1000u16.to_be_bytes()));
    pair.server.send_close_notify();
    while pair.turn() {}
    pair.client.send_close_notify();
    while pair.turn() {}
    pair.done()
}

const CHAT: &str = "name ws.test, GET /ws, 101, up text 5, down text 5, down ping 0, up pong 0, down binary 40000, up close 1000, down close 1000, down alert 0, up alert 0";

fn mark(n: usize) -> Mark {
    Mark {
        at: Moment(n as i64 * 1_000_000),
        record: RecordRef {
            source: SourceId(0),
            ordinal: n as u64,
            start: 0,
            len: 0,
        },
    }
}

/// What a capture holds of a flow.
enum Seen<'a> {
    Bytes(&'a [u8]),
    Lost(usize),
}

fn listen<'a>(keys: &str, seen: impl Iterator<Item = (Side, Seen<'a>)>) -> (Vec<String>, App) {
    let mut log = KeyLog::default();
    log.read(&mut keys.as_bytes());
    let mut shared = Shared {
        keys: Arc::new(log),
        ..Shared::default()
    };
    let mut app = App::default();
    app.opened_by(CLIENT);
    let mut said = Vec::new();
    for (n, (side, seen)) in seen.enumerate() {
        match seen {
            Seen::Bytes(bytes) => {
                let input = Bytes {
                    side,
                    bytes,
                    cut: 0,
                    mark: mark(n),
                };
                if let Some(input) = app.feed(input, &mut said) {
                    app.encrypted(input, CLIENT, &mut shared, &mut said);
                }
            }
            Seen::Lost(count) => app.gap(side, count as u32, mark(n), &mut said),
        }
    }
    (said.iter().filter_map(word).collect(), app)
}

fn word(said: &Said) -> Option<String> {
    let way = |side: &Side| if *side == CLIENT { "up" } else { "down" };
    Some(match said {
        Said::ServerName(name) => format!("name {name}"),
        Said::Request(r) => format!("{} {}", r.method, r.uri),
        Said::Response(r) => r.status.to_string(),
        Said::Frame(side, f) => {
            let close = (f.opcode == 8).then(|| f.close().0.map(|c| c.to_string()));
            let what = match f.opcode {
                1 => "text",
                2 => "binary",
                8 => "close",
                9 => "ping",
                10 => "pong",
                _ => "?",
            };
            let faults = if f.faults == 0 { "" } else { " faulty" };
            format!(
                "{} {what} {}{faults}",
                way(side),
                close.flatten().unwrap_or_else(|| f.len.to_string())
            )
        }
        Said::Alert(side, alert, _) => format!("{} alert {}", way(side), alert.description),
        Said::Odd(kind, ..) => (*kind).to_owned(),
        _ => return None,
    })
}

fn whole(traffic: &Traffic) -> impl Iterator<Item = (Side, Seen<'_>)> {
    traffic.flights.iter().map(|(s, b)| (*s, Seen::Bytes(b)))
}

/// A pcapng of raw IP packets, each packet 1 ms after the one before it, a FIN of each side at the end; `keys` in a block of it.
fn pcapng(traffic: &Traffic, keys: &str) -> Vec<u8> {
    fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let total = (padded as u32 + 12).to_le_bytes();
        out.extend(kind.to_le_bytes());
        out.extend(total);
        out.extend(body);
        out.resize(out.len() + padded - body.len(), 0);
        out.extend(total);
    }
    let mut out = Vec::new();
    let section = [
        &0x1A2B_3C4D_u32.to_le_bytes()[..],
        &[1, 0, 0, 0],
        &[0xff; 8],
    ]
    .concat();
    block(&mut out, 0x0A0D_0D0A, &section);
    block(&mut out, 1, &[101, 0, 0, 0, 0, 0, 4, 0]);
    if !keys.is_empty() {
        let len = (keys.len() as u32).to_le_bytes();
        let body = [&0x544c_534b_u32.to_le_bytes()[..], &len, keys.as_bytes()].concat();
        block(&mut out, 10, &body);
    }
    let mut next = [1000_u32, 5000];
    let mut at = 0_u32;
    let mut packet = |side: Side, flags: u8, payload: &[u8]| {
        let (from, to) = if side == CLIENT { (0, 1) } else { (1, 0) };
        let (ips, ports) = ([[10, 0, 0, 1], [10, 0, 0, 2]], [40_000_u16, 443]);
        let mut ip = vec![0x45, 0];
        ip.extend((40 + payload.len() as u16).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        ip.extend(ips[from]);
        ip.extend(ips[to]);
        ip.extend(ports[from].to_be_bytes());
        ip.extend(ports[to].to_be_bytes());
        ip.extend(next[from].to_be_bytes());
        ip.extend(next[to].to_be_bytes());
        ip.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        ip.extend(payload);
        next[from] += payload.len() as u32 + u32::from(flags & 3 != 0);
        at += 1;
        let words = [0, 0, at * 1000, ip.len() as u32, ip.len() as u32];
        let mut body: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        body.extend(ip);
        block(&mut out, 6, &body);
    };
    packet(CLIENT, 2, &[]);
    packet(SERVER, 0x12, &[]);
    for (side, bytes) in &traffic.flights {
        bytes.chunks(1400).for_each(|c| packet(*side, 0x10, c));
    }
    packet(SERVER, 0x11, &[]);
    packet(CLIENT, 0x11, &[]);
    out
}

#[test]
fn a_capture_may_bring_its_own_keys() {
    for (suite, version) in suites() {
        let traffic = chat(suite, version);
        for (keys, expected) in [
            (traffic.keys.as_str(), LegProtocol::WebSocket),
            ("", LegProtocol::Tls),
        ] {
            let bytes = pcapng(&traffic, keys);
            let mut vantage = Vantage::new(0, (0, 1), &Arc::default());
            let summary = vantage.read(SourceId(0), &mut &bytes[..], None, &mut |_| {});
            assert!(summary.anomalies.is_empty(), "{:?}", summary.anomalies);
            let legs = Vantage::finish(vec![vantage]);
            let [leg] = legs.as_slice() else {
                panic!("{} legs", legs.len());
            };
            assert_eq!(leg.protocol, expected, "{suite:?}");
            assert_eq!(leg.sni.as_deref(), Some("ws.test"));
            let view = leg.tls.as_ref().unwrap();
            let read = expected == LegProtocol::WebSocket;
            assert_eq!(view.close_shape.is_some(), !read);
            assert_eq!(leg.to_client.close.is_some(), read);
            for flow in [&leg.to_server, &leg.to_client] {
                let (notify, payload) = (flow.close_notify.unwrap(), flow.last_payload.unwrap());
                assert!(payload.at < notify.at && notify.at < flow.fin.unwrap().at);
            }
        }
    }
}

#[test]
fn every_suite_of_rustls_is_read() {
    for (suite, version) in suites() {
        let traffic = chat(suite, version);
        let (said, app) = listen(&traffic.keys, whole(&traffic));
        assert_eq!(said.join(", "), CHAT, "{suite:?}");
        let look = app.tls().unwrap().look();
        assert_eq!(look.keys, TlsKeys::Read);
        assert_eq!(look.alpn.as_deref(), Some("http/1.1"));
        assert_eq!(app.kind(), Kind::WebSocket);
    }
}

#[test]
fn segments_may_be_shorter_than_a_header() {
    let (suite, version) = suites()[0];
    let traffic = chat(suite, version);
    for size in [1, 2, 4] {
        let pieces = traffic
            .flights
            .iter()
            .flat_map(|(s, b)| b.chunks(size).map(|c| (*s, Seen::Bytes(c))));
        let (said, _) = listen(&traffic.keys, pieces);
        assert_eq!(said.join(", "), CHAT, "{size}");
    }
}

#[test]
fn block_ciphers_of_openssl_are_read() {
    for (name, bytes) in [
        ("sha1", &include_bytes!("vectors/cbc-sha1.tls")[..]),
        (
            "sha1, MAC inside",
            include_bytes!("vectors/cbc-sha1-mac-inside.tls"),
        ),
        (
            "sha256, MAC inside",
            include_bytes!("vectors/cbc-sha256-mac-inside.tls"),
        ),
        ("sha384", include_bytes!("vectors/cbc-sha384.tls")),
    ] {
        let end = bytes.iter().position(|&b| b == b'\n').unwrap();
        let keys = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut rest = &bytes[end + 1..];
        let mut flights = Vec::new();
        while let [side, a, b, c, d, tail @ ..] = rest {
            let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            flights.push((usize::from(*side), tail[..len].to_vec()));
            rest = &tail[len..];
        }
        let (said, _) = listen(
            &keys,
            whole(&Traffic {
                flights,
                keys: keys.clone(),
            }),
        );
        assert_eq!(
            said[..9].join(", "),
            "name ws.test, GET /ws, 101, up text 5, down text 5, down ping 0, up pong 0, up close 1000, down close 1000",
            "{name}"
        );
    }
}

#[test]
fn the_secrets_of_the_handshake_may_be_missing() {
    let (suite, version) = suites()[0];
    let traffic = chat(suite, version);
    let keys: String = traffic
        .keys
        .lines()
        .filter(|l| l.contains("TRAFFIC_SECRET_0"))
        .map(|l| format!("{l}\n"))
        .collect();
    let (said, _) = listen(&keys, whole(&traffic));
    assert_eq!(said.join(", "), CHAT);
}

#[test]
fn without_its_keys_a_leg_is_told_by_its_records() {
    for (suite, version) in suites() {
        let traffic = chat(suite, version);
        let other = chat(suite, version).keys;
        let wrong: String = traffic
            .keys
            .lines()
            .map(|l| {
                let (start, secret) = l.rsplit_once(' ').unwrap();
                format!("{start} {}\n", "0".repeat(secret.len()))
            })
            .collect();
        let modern = version.version == rustls::ProtocolVersion::TLSv1_3;
        for (keys, expected, odd) in [
            ("", TlsKeys::Missing, None),
            (other.as_str(), TlsKeys::Missing, Some("tls-no-keys")),
            (wrong.as_str(), TlsKeys::Wrong, Some("tls-wrong-keys")),
        ] {
            let mut repeated = traffic.clone();
            if expected == TlsKeys::Wrong {
                // Enough records to be sure.
                let last = repeated.flights[repeated.flights.len() - 4].clone();
                repeated.flights.extend(std::iter::repeat_n(last, 30));
            }
            let (said, app) = listen(keys, whole(&repeated));
            let look = app.tls().unwrap().look();
            assert_eq!(look.keys, expected, "{suite:?}");
            assert_eq!((app.kind(), look.websocket), (Kind::Tls, Some(true)));
            assert_eq!(said.first().map(String::as_str), Some("name ws.test"));
            assert_eq!(
                said.iter()
                    .find(|s| s.starts_with("tls"))
                    .map(String::as_str),
                odd
            );
            assert!(said.iter().all(|s| !s.contains("text")));
            if expected == TlsKeys::Missing {
                let leg = app.tls().unwrap();
                let ends = [Ends::default(), Ends::default()];
                let (_, close) = leg.shapes(CLIENT, &ends);
                assert_eq!(close.map(|c| c.side), Some(CLIENT), "{suite:?}");
                let notify = [CLIENT, SERVER].map(|s| leg.close_notify(s, CLIENT, &ends));
                assert!(notify.iter().all(Option::is_some), "{suite:?} {modern}");
                let last = leg.last_payload(SERVER, notify[SERVER]).unwrap();
                assert!(last.at < notify[SERVER].unwrap().at);
            }
        }
    }
}

#[test]
fn a_leg_may_begin_before_the_capture() {
    for (suite, version) in suites() {
        let traffic = chat(suite, version);
        let talk = traffic
            .flights
            .iter()
            .rposition(|(_, b)| b.len() > 40_000)
            .unwrap();
        let late = Traffic {
            flights: traffic.flights[talk - 4..].to_vec(),
            keys: String::new(),
        };
        let mut shared = Shared::default();
        let mut app = App::default();
        for (n, (side, bytes)) in late.flights.iter().enumerate() {
            let input = Bytes {
                side: *side,
                bytes,
                cut: 0,
                mark: mark(n),
            };
            if let Some(input) = app.feed(input, &mut Vec::new()) {
                app.encrypted(input, CLIENT, &mut shared, &mut Vec::new());
            }
        }
        let leg = app.tls().unwrap();
        let look = leg.look();
        assert_eq!(
            (look.version, look.websocket),
            (None, Some(true)),
            "{suite:?}"
        );
        let ends = [Ends::default(), Ends::default()];
        let notify = [CLIENT, SERVER].map(|s| leg.close_notify(s, CLIENT, &ends));
        assert!(notify.iter().all(Option::is_some), "{suite:?}");
        let modern = version.version == rustls::ProtocolVersion::TLSv1_3;
        if modern {
            assert_eq!(leg.shapes(CLIENT, &ends).1.map(|c| c.side), Some(CLIENT));
        }
    }
}

#[test]
fn what_any_http_looks_like_is_no_websocket() {
    let ask = |n: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: ws.test\r\nUser-Agent: a program of some name\r\nAccept: */*\r\n\r\n",
            "x".repeat(n)
        )
    };
    let answer = |n: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {n}\r\n\r\n{}",
            "y".repeat(n)
        )
    };
    let message = |n: usize| "{\"a\": 1}".repeat(n);
    for (suite, version) in suites() {
        for (rounds, expected) in [
            (
                vec![
                    (ask(5), answer(20)),
                    (ask(40), answer(3000)),
                    (ask(1), answer(0)),
                ],
                None,
            ),
            (vec![(ask(300), answer(200))], None),
            // Messages that are longer than an HTTP head can be short, and shorter than this client's.
            (
                vec![
                    (ask(300), answer(100)),
                    (message(8), message(20)),
                    (message(9), message(30)),
                ],
                Some(true),
            ),
        ] {
            let mut pair = Pair::new(suite, version, true);
            for (up, down) in rounds {
                pair.up(up.as_bytes());
                pair.down(down.as_bytes());
            }
            let traffic = pair.done();
            let (_, app) = listen("", whole(&traffic));
            assert_eq!(app.tls().unwrap().look().websocket, expected, "{suite:?}");
        }
    }
}

#[test]
fn a_handshake_that_fails_is_told() {
    for (suite, version) in suites() {
        let traffic = Pair::new(suite, version, false).done();
        for keys in [traffic.keys.as_str(), ""] {
            let (_, app) = listen(keys, whole(&traffic));
            let look = app.tls().unwrap().look();
            assert!(look.failed && !look.established, "{suite:?} {look:?}");
        }
    }
}

#[test]
fn a_heartbeat_shows_in_the_sizes() {
    let (suite, version) = suites()[0];
    let mut pair = Pair::new(suite, version, true);
    pair.up(REQUEST);
    pair.down(RESPONSE);
    pair.up(&masked(1, &[b'x'; 300]));
    let begun = pair.flights.len();
    for _ in 0..6 {
        pair.down(&bare(9, b"12345678"));
        pair.up(&masked(10, b"12345678"));
    }
    pair.down(&bare(9, b"12345678"));
    let traffic = pair.done();
    // Pings come every 20 ms of a clock that ticks once a flight: stretched to seconds.
    let mut shared = Shared::default();
    let mut app = App::default();
    app.opened_by(CLIENT);
    for (n, (side, bytes)) in traffic.flights.iter().enumerate() {
        let at = n.max(begun) - begun;
        let mut mark = mark(n);
        mark.at = Moment((at / 2 * 1000 + at % 2 * 20) as i64 * 1_000_000);
        let input = Bytes {
            side: *side,
            bytes,
            cut: 0,
            mark,
        };
        if let Some(input) = app.feed(input, &mut Vec::new()) {
            app.encrypted(input, CLIENT, &mut shared, &mut Vec::new());
        }
    }
    let ends = [Ends::default(), Ends::default()];
    let (beats, close) = app.tls().unwrap().shapes(CLIENT, &ends);
    assert!(close.is_none());
    assert_eq!(beats.len(), 7);
    assert!(beats.iter().all(|b| b.side == SERVER));
    assert_eq!(beats.iter().filter(|b| b.answered.is_none()).count(), 1);
}

#[test]
fn lost_records_cost_what_was_in_them_and_no_more() {
    for (suite, version) in suites() {
        let traffic = chat(suite, version);
        let binary = traffic
            .flights
            .iter()
            .position(|(_, b)| b.len() > 40_000)
            .unwrap();
        for (from, len) in [
            (0, 10),
            (3, 1400),
            (1400, 1400),
            (10_000, 20_000),
            (0, 30_000),
        ] {
            let seen = traffic
                .flights
                .iter()
                .enumerate()
                .flat_map(|(n, (side, b))| {
                    let parts = if n == binary {
                        // What comes behind a hole begins where a record does only by chance: look at segments.
                        let mut parts = vec![Seen::Bytes(&b[..from]), Seen::Lost(len)];
                        parts.extend(b[from + len..].chunks(1448).map(Seen::Bytes));
                        parts
                    } else {
                        vec![Seen::Bytes(b.as_slice())]
                    };
                    parts.into_iter().map(|p| (*side, p))
                });
            let (said, _) = listen(&traffic.keys, seen);
            let said = said.join(", ");
            let tail = "up close 1000, down close 1000, down alert 0, up alert 0";
            assert!(said.ends_with(tail), "{suite:?} {from} {len}: {said}");
            assert!(!said.contains("faulty"), "{said}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_cuts_give_the_same(which in 0usize..9, sizes in proptest::collection::vec(1usize..700, 1..40)) {
        let suites = suites();
        let (suite, version) = suites[which % suites.len()];
        let traffic = chat(suite, version);
        let mut sizes = sizes.iter().cycle();
        let mut seen = Vec::new();
        for (side, bytes) in &traffic.flights {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                seen.push((*side, Seen::Bytes(now)));
                rest = later;
            }
        }
        let (said, _) = listen(&traffic.keys, seen.into_iter());
        prop_assert_eq!(said.join(", "), CHAT);
    }

    #[test]
    fn damage_is_survived(
        which in 0usize..9,
        damage in proptest::collection::vec((0usize..60_000, 0usize..3000, 0u8..3), 0..12),
        snap in 40usize..1500,
    ) {
        let suites = suites();
        let (suite, version) = suites[which % suites.len()];
        let traffic = chat(suite, version);
        let mut at = 0;
        let mut seen = Vec::new();
        let mut flights = traffic.flights.clone();
        for (_, bytes) in &mut flights {
            for byte in bytes.iter_mut() {
                if damage.iter().any(|&(from, _, how)| how == 2 && from == at) {
                    *byte ^= 0x55;
                }
                at += 1;
            }
        }
        at = 0;
        for (side, bytes) in &flights {
            for segment in bytes.chunks(snap) {
                let hit = damage.iter().find(|&&(from, len, how)| how < 2 && at <= from + len && from <= at + segment.len());
                seen.push(match hit {
                    Some((_, _, 0)) => (*side, Seen::Lost(segment.len())),
                    Some(_) => (*side, Seen::Lost(segment.len() + 7)),
                    None => (*side, Seen::Bytes(segment)),
                });
                at += segment.len();
            }
        }
        let (said, app) = listen(&traffic.keys, seen.into_iter());
        let _ = app.tls().map(|t| t.shapes(CLIENT, &[Ends::default(), Ends::default()]));
        prop_assert!(said.iter().all(|s| !s.contains("faulty")), "{:?}", said);
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        chunks in proptest::collection::vec((0usize..2, proptest::collection::vec(any::<u8>(), 0..80), 0usize..30), 0..30),
        begin in proptest::bool::ANY,
    ) {
        let start = [22, 3, 1, 0, 40, 1, 0, 0, 36, 3, 3];
        let opening = begin.then_some((CLIENT, Seen::Bytes(&start[..])));
        let seen = chunks.iter().flat_map(|(side, bytes, lost)| {
            [(*side, Seen::Bytes(bytes.as_slice())), (*side, Seen::Lost(*lost))]
        });
        let (_, app) = listen("", opening.into_iter().chain(seen));
        let _ = app.tls().map(|t| t.shapes(CLIENT, &[Ends::default(), Ends::default()]));
    }
}
