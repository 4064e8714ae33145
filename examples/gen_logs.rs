//! Numbers -> a log of any size, the same bytes for the same numbers: for measuring speed and memory.
//!
//! `cargo run --release --example gen_logs -- nginx|nginx-json|alb|pino|haproxy OUT [--size 1000000000] [--websockets 5]`
//!
//! Of a hundred requests `--websockets` are tunnels or refused upgrades; the others are plain ones, as on a busy front end.

use std::io::{BufWriter, Write};

/// xorshift64 (Marsaglia 2003): no seed from outside, so that every run writes the same file.
#[derive(Debug)]
struct Random(u64);

impl Random {
    const fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

pub const KINDS: [&str; 5] = ["nginx", "nginx-json", "alb", "pino", "haproxy"];

struct Options {
    kind: String,
    out: String,
    /// Bytes to write, at least.
    size: u64,
    /// Of a hundred lines.
    websockets: u64,
}

fn options() -> Result<Options, String> {
    let mut names = Vec::new();
    let (mut size, mut websockets) = (100_000_000, 5);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            words
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .ok_or(format!("{word} wants a number"))
        };
        match word.as_str() {
            "--size" => size = number()?,
            "--websockets" => websockets = number()?.min(100),
            _ => names.push(word),
        }
    }
    match <[String; 2]>::try_from(names) {
        Ok([kind, out]) if KINDS.contains(&kind.as_str()) => Ok(Options {
            kind,
            out,
            size,
            websockets,
        }),
        _ => Err(
            "usage: gen_logs nginx|nginx-json|alb|pino|haproxy OUT [--size N] [--websockets N]"
                .to_owned(),
        ),
    }
}

/// One request as every kind of log tells it.
struct Request {
    /// Microseconds since the epoch, of the end.
    end_us: u64,
    life_us: u64,
    client: [u8; 4],
    port: u64,
    upstream: u64,
    websocket: bool,
    status: u16,
    path: &'static str,
    bytes: u64,
    serial: u64,
    random: u64,
}

const PATHS: [&str; 8] = [
    "/",
    "/api/v1/rooms?limit=50&after=1795207689",
    "/assets/app.3f9c2d1e.js",
    "/assets/vendor.91ab77c0.css",
    "/api/v1/messages?room=general",
    "/favicon.ico",
    "/healthz",
    "/api/v1/users/me/avatar.png?size=64",
];
const STATUSES: [u16; 16] = [
    200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 304, 304, 302, 404, 499,
];
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

fn request(random: &mut Random, serial: u64, now_us: u64, websockets: u64) -> Request {
    let websocket = random.below(100) < websockets;
    let pick = |list: &[u16], n: u64| list[n as usize % list.len()];
    Request {
        end_us: now_us,
        life_us: if websocket {
            1_000_000 + random.below(600_000_000)
        } else {
            500 + random.below(80_000)
        },
        client: [
            203,
            random.below(256) as u8,
            random.below(256) as u8,
            random.below(254) as u8 + 1,
        ],
        port: 1024 + random.below(60_000),
        upstream: random.below(4) + 2,
        websocket,
        status: if websocket {
            if random.below(20) == 0 { 502 } else { 101 }
        } else {
            pick(&STATUSES, random.below(16))
        },
        path: if websocket {
            "/ws?v=2"
        } else {
            PATHS[random.below(8) as usize]
        },
        bytes: random.below(50_000),
        serial,
        random: random.below(u64::MAX),
    }
}

/// Year, month, day, hour, minute, second of an epoch second (civil calendar, proleptic Gregorian).
const fn civil(second: u64) -> (u64, u64, u64, u64, u64, u64) {
    let (days, rest) = (second / 86_400, second % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
}

fn iso(us: u64) -> String {
    let (y, mo, d, h, m, s) = civil(us / 1_000_000);
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{m:02}:{s:02}")
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn clf(us: u64) -> String {
    let (y, mo, d, h, m, s) = civil(us / 1_000_000);
    let month = MONTHS[(mo as usize + 11) % 12];
    format!("{d:02}/{month}/{y:04}:{h:02}:{m:02}:{s:02} +0000")
}

fn line(kind: &str, r: &Request, out: &mut impl Write) -> std::io::Result<()> {
    let [a, b, c, d] = r.client;
    let (life_s, life_ms) = (r.life_us / 1_000_000, r.life_us / 1000 % 1000);
    match kind {
        "nginx" => writeln!(
            out,
            r#"{a}.{b}.{c}.{d} - - [{}] "GET {} HTTP/1.1" {} {} "https://chat.example.test/" "{AGENT}""#,
            clf(r.end_us),
            r.path,
            r.status,
            r.bytes
        ),
        "nginx-json" => writeln!(
            out,
            r#"{{"time":"{}+00:00","msec":"{}.{:03}","remote_addr":"{a}.{b}.{c}.{d}","remote_port":"{}","conn":"{}","request":"GET {} HTTP/1.1","status":"{}","request_time":"{life_s}.{life_ms:03}","bytes_sent":"{}","http_upgrade":"{}","ups_addr":"10.8.0.{}:8080","ups_status":"{}","ua":"{AGENT}","request_id":"{:016x}"}}"#,
            iso(r.end_us),
            r.end_us / 1_000_000,
            r.end_us / 1000 % 1000,
            r.port,
            r.serial,
            r.path,
            r.status,
            r.bytes,
            if r.websocket { "websocket" } else { "" },
            r.upstream,
            r.status,
            r.random
        ),
        "alb" => {
            let begun = r.end_us - r.life_us;
            writeln!(
                out,
                r#"{} {}.{:06}Z app/chat/50dc6c495c0c9188 {a}.{b}.{c}.{d}:{} 10.8.0.{}:8080 0.001 0.003 0.000 {} {} {} {} "GET https://chat.example.test:443{} HTTP/1.1" "{AGENT}" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/chat/73e2d6bc24d8a067 "Root=1-58337364-{:016x}" "chat.example.test" "session-reused" 1 {}.{:06}Z "forward" "-" "-" "10.8.0.{}:8080" "{}" "-" "-" TID_{:016x}"#,
                if r.status == 101 { "wss" } else { "https" },
                iso(r.end_us),
                r.end_us % 1_000_000,
                r.port,
                r.upstream,
                r.status,
                r.status,
                r.bytes / 7,
                r.bytes,
                r.path,
                r.random,
                iso(begun),
                begun % 1_000_000,
                r.upstream,
                r.status,
                r.random
            )
        }
        "haproxy" => {
            let begun = r.end_us - r.life_us;
            let life_ms = r.life_us / 1000;
            let (_, mo, d, h, m, s) = civil(r.end_us / 1_000_000);
            let month = MONTHS[(mo as usize + 11) % 12];
            let date = clf(begun);
            writeln!(
                out,
                r#"{month} {d:>2} {h:02}:{m:02}:{s:02} lb1 haproxy[3015]: {a}.{b}.{c}.{d4}:{port} [{accepted}.{ms:03}] fe_ws be_ws/web{web} 0/0/1/{answer}/{life_ms} {status} {bytes} - - {state} 812/811/40/9/0 0/0 "GET {path} HTTP/1.1""#,
                d4 = r.client[3],
                port = r.port,
                accepted = &date[..20],
                ms = begun / 1000 % 1000,
                web = r.upstream,
                answer = life_ms.min(40),
                status = r.status,
                bytes = r.bytes,
                state = if r.websocket && r.random.is_multiple_of(4) {
                    "cD--"
                } else {
                    "----"
                },
                path = r.path,
            )
        }
        _ => {
            let ms = r.end_us / 1000;
            let head = format!(r#"{{"level":30,"time":{ms},"pid":27065,"hostname":"app1""#);
            if r.websocket && r.random.is_multiple_of(2) {
                writeln!(
                    out,
                    r#"{head},"connId":"c{}","sessionId":"{:012x}","clientIp":"{a}.{b}.{c}.{d}","clientPort":{},"url":"/ws?v=2","msg":"ws open"}}"#,
                    r.serial,
                    r.random >> 16,
                    r.port
                )
            } else if r.websocket {
                writeln!(
                    out,
                    r#"{head},"connId":"c{}","sessionId":"{:012x}","clientIp":"{a}.{b}.{c}.{d}","code":1006,"reason":"","msg":"ws close"}}"#,
                    r.serial,
                    r.random >> 16
                )
            } else {
                writeln!(
                    out,
                    r#"{head},"req":{{"id":{},"method":"GET","url":"{}","remoteAddress":"{a}.{b}.{c}.{d}"}},"res":{{"statusCode":{}}},"responseTime":{},"msg":"request completed"}}"#,
                    r.serial,
                    r.path,
                    r.status,
                    r.life_us / 1000
                )
            }
        }
    }
}

/// Lines of a kind without end.
#[derive(Debug)]
pub struct Lines {
    kind: String,
    websockets: u64,
    random: Random,
    serial: u64,
    now_us: u64,
}

impl Lines {
    pub fn new(kind: &str, websockets: u64) -> Self {
        Self {
            kind: kind.to_owned(),
            websockets,
            random: Random(0x9E37_79B9_7F4A_7C15),
            serial: 0,
            // 2026-11-20T20:00:00Z
            now_us: 1_795_204_800_000_000,
        }
    }

    /// Appends the next one.
    pub fn next(&mut self, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.serial += 1;
        self.now_us += self.random.below(400);
        let request = request(&mut self.random, self.serial, self.now_us, self.websockets);
        line(&self.kind, &request, out)
    }
}

/// Writes lines of a kind until there are `size` bytes.
pub fn write(kind: &str, size: u64, websockets: u64, out: &mut impl Write) -> std::io::Result<()> {
    let mut lines = Lines::new(kind, websockets);
    let mut text = Vec::with_capacity(1024);
    let mut written = 0u64;
    while written < size {
        text.clear();
        lines.next(&mut text)?;
        out.write_all(&text)?;
        written += text.len() as u64;
    }
    out.flush()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Options {
        kind,
        out,
        size,
        websockets,
    } = options()?;
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(out)?);
    write(&kind, size, websockets, &mut out)?;
    Ok(())
}
