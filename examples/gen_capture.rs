//! Numbers -> a capture of WebSocket traffic of any size, the same bytes for the same numbers: for measuring speed and memory.
//!
//! `cargo run --release --example gen_capture -- OUT --size 1000000000 --flows 4000 --payload 620 [--other PERCENT] [--http PERCENT] [--pcapng]`

use std::io::{BufWriter, Write};

/// xorshift64 (Marsaglia 2003): no seed from outside, so that every run writes the same file.
struct Random(u64);

impl Random {
    const fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

pub(crate) struct Options {
    pub(crate) out: String,
    /// Bytes to write, at least.
    pub(crate) size: u64,
    pub(crate) flows: u32,
    /// Mean payload of a frame in bytes.
    pub(crate) payload: u64,
    /// Of a hundred connections, those that speak something else than HTTP, and those that speak HTTP and never upgrade.
    pub(crate) other: u64,
    pub(crate) http: u64,
    pub(crate) pcapng: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            out: String::new(),
            size: 100_000_000,
            flows: 4000,
            payload: 620,
            other: 0,
            http: 0,
            pcapng: false,
        }
    }
}

/// A nonce of sixteen bytes in base64 (RFC 6455 4.1), another one for each handshake.
fn key(random: &mut Random) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut key: String = (0..21)
        .map(|_| char::from(DIGITS[random.below(64) as usize]))
        .collect();
    key.push_str("A==");
    key
}

fn options() -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            words
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .ok_or_else(|| format!("{word} wants a number"))
        };
        match word.as_str() {
            "--size" => options.size = number()?,
            "--flows" => {
                options.flows = u32::try_from(number()?.max(1)).map_err(|e| e.to_string())?
            }
            "--payload" => options.payload = number()?.max(1),
            "--other" => options.other = number()?.min(100),
            "--http" => options.http = number()?.min(100),
            "--pcapng" => options.pcapng = true,
            _ => options.out = word,
        }
    }
    if options.out.is_empty() {
        Err("usage: gen_capture OUT [--size N] [--flows N] [--payload N] [--other PERCENT] [--http PERCENT] [--pcapng]".to_owned())
    } else {
        Ok(options)
    }
}

struct Writer<W> {
    out: W,
    pcapng: bool,
    written: u64,
    /// Microseconds since the epoch.
    clock: u64,
}

impl<W: Write> Writer<W> {
    fn head(&mut self) -> std::io::Result<()> {
        let mut head = Vec::new();
        if self.pcapng {
            for word in [
                0x0A0D_0D0A_u32,
                28,
                0x1A2B_3C4D,
                1,
                u32::MAX,
                u32::MAX,
                28,
                1,
                20,
                1,
                262_144,
                20,
            ] {
                head.extend_from_slice(&word.to_le_bytes());
            }
        } else {
            for word in [0xA1B2_C3D4_u32, 4 << 16 | 2, 0, 0, 262_144, 1] {
                head.extend_from_slice(&word.to_le_bytes());
            }
        }
        self.put(&head)
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn packet(&mut self, packet: &[u8]) -> std::io::Result<()> {
        self.clock += 7;
        let len = packet.len() as u32;
        let mut words = Vec::new();
        if self.pcapng {
            let total = 32 + len.next_multiple_of(4);
            words.extend([
                6,
                total,
                0,
                (self.clock >> 32) as u32,
                self.clock as u32,
                len,
                len,
            ]);
        } else {
            words.extend([
                (self.clock / 1_000_000) as u32,
                (self.clock % 1_000_000) as u32,
                len,
                len,
            ]);
        }
        for word in &words {
            self.put(&word.to_le_bytes())?;
        }
        self.put(packet)?;
        if self.pcapng {
            self.put(&[0; 3][..(len.next_multiple_of(4) - len) as usize])?;
            self.put(&words[1].to_le_bytes())?;
        }
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Flow {
    /// Next sequence number of client and server.
    seq: [u32; 2],
    id: [u16; 2],
    epoch: u32,
    frames: u32,
    open: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    WebSocket,
    Http,
    Other,
}

impl Speaks {
    fn question(self) -> Vec<u8> {
        match self {
            // The query protocol of PostgreSQL: a letter, a length, then text.
            Self::Other => [&b"Q"[..], &20u32.to_be_bytes(), b"select 1 from x;"].concat(),
            _ => b"GET /a HTTP/1.1\r\nHost: example\r\n\r\n".to_vec(),
        }
    }

    fn answer(self, body: &[u8]) -> Vec<u8> {
        let head = match self {
            Self::Other => "D".to_owned(),
            _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()),
        };
        [head.as_bytes(), body].concat()
    }
}

const FIN: u8 = 0x11;
const SYN: u8 = 2;
const ACK: u8 = 0x10;
const DATA: u8 = 0x18;

fn segment(number: u32, flow: &mut Flow, side: usize, flags: u8, payload: &[u8]) -> Vec<u8> {
    let client = [10, (number >> 16) as u8, (number >> 8) as u8, number as u8];
    let server = [192, 0, 2, 1];
    let ports = [10_000 + (flow.epoch % 50_000) as u16, 80];
    let (from, to) = if side == 0 {
        (client, server)
    } else {
        (server, client)
    };
    let mut p = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    p.extend_from_slice(&((40 + payload.len()) as u16).to_be_bytes());
    flow.id[side] = flow.id[side].wrapping_add(1).max(1);
    p.extend_from_slice(&flow.id[side].to_be_bytes());
    p.extend_from_slice(&[0x40, 0, 64, 6, 0, 0]);
    p.extend_from_slice(&from);
    p.extend_from_slice(&to);
    p.extend_from_slice(&ports[side].to_be_bytes());
    p.extend_from_slice(&ports[1 - side].to_be_bytes());
    p.extend_from_slice(&flow.seq[side].to_be_bytes());
    p.extend_from_slice(&if flags == SYN { 0 } else { flow.seq[1 - side] }.to_be_bytes());
    p.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    p.extend_from_slice(payload);
    flow.seq[side] = flow.seq[side].wrapping_add(payload.len() as u32 + u32::from(flags & 3 != 0));
    p
}

fn frame(opcode: u8, masked: bool, payload: &[u8], out: &mut Vec<u8>) {
    let bit = if masked { 0x80 } else { 0 };
    out.push(0x80 | opcode);
    match payload.len() {
        n @ 0..=125 => out.push(n as u8 | bit),
        n @ 126..=0xffff => {
            out.push(126 | bit);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(127 | bit);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    if masked {
        // A key of zeros masks nothing, and is a key all the same.
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(payload);
}

/// Writes the capture; returns the packets and frames in it.
pub(crate) fn run(options: &Options, out: impl Write) -> std::io::Result<(u64, u64)> {
    let mut w = Writer {
        out,
        pcapng: options.pcapng,
        written: 0,
        clock: 1_795_208_316_000_000,
    };
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut flows = vec![Flow::default(); options.flows as usize];
    let text: Vec<u8> = (0..64 * 1024)
        .map(|_| b'a' + random.below(26) as u8)
        .collect();
    let (mut packets, mut frames) = (0, 0);
    w.head()?;
    while w.written < options.size {
        let number = random.below(u64::from(options.flows)) as u32;
        let flow = &mut flows[number as usize];
        let lot = u64::from(number) % 100;
        let speaks = if lot < options.other {
            Speaks::Other
        } else if lot < options.other + options.http {
            Speaks::Http
        } else {
            Speaks::WebSocket
        };
        let mut send = |w: &mut Writer<_>, flow: &mut Flow, side, flags, payload: &[u8]| {
            packets += 1;
            let p = segment(number, flow, side, flags, payload);
            w.packet(&p)
        };
        if !flow.open {
            flow.open = true;
            flow.epoch += 1;
            flow.frames = 0;
            flow.seq = [random.below(1 << 32) as u32, random.below(1 << 32) as u32];
            send(&mut w, flow, 0, SYN, b"")?;
            send(&mut w, flow, 1, SYN | ACK, b"")?;
            send(&mut w, flow, 0, ACK, b"")?;
            if speaks != Speaks::WebSocket {
                // Who connects asks at once.
                send(&mut w, flow, 0, DATA, &speaks.question())?;
                send(&mut w, flow, 1, DATA, &speaks.answer(&text[..8]))?;
                send(&mut w, flow, 0, ACK, b"")?;
                continue;
            }
            let key = key(&mut random);
            let request = format!(
                "GET /ws HTTP/1.1\r\nHost: example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            );
            send(&mut w, flow, 0, DATA, request.as_bytes())?;
            let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            send(&mut w, flow, 1, DATA, response)?;
            continue;
        }
        let side = random.below(2) as usize;
        let mut message = Vec::new();
        let close = random.below(400) == 0;
        if speaks != Speaks::WebSocket {
            let n = random.below(options.payload * 2) as usize;
            message.extend(speaks.answer(&text[..n.min(text.len())]));
            send(&mut w, flow, 0, DATA, &speaks.question())?;
            for part in message.chunks(1460) {
                send(&mut w, flow, 1, DATA, part)?;
            }
            send(&mut w, flow, 0, ACK, b"")?;
        } else if close {
            frame(8, side == 0, &1000u16.to_be_bytes(), &mut message);
        } else if random.below(20) == 0 {
            frame(
                if random.below(2) == 0 { 9 } else { 10 },
                side == 0,
                b"",
                &mut message,
            );
        } else {
            let n = random.below(options.payload * 2) as usize;
            frame(1, side == 0, &text[..n.min(text.len())], &mut message);
        }
        if speaks == Speaks::WebSocket {
            flow.frames += 1;
            frames += 1;
            for part in message.chunks(1460) {
                send(&mut w, flow, side, DATA, part)?;
            }
            send(&mut w, flow, 1 - side, ACK, b"")?;
        }
        if close {
            send(&mut w, flow, side, FIN, b"")?;
            send(&mut w, flow, 1 - side, FIN, b"")?;
            send(&mut w, flow, side, ACK, b"")?;
            flow.open = false;
        }
    }
    w.out.flush()?;
    Ok((packets, frames))
}

fn main() -> std::process::ExitCode {
    let written = options().and_then(|o| {
        let file = std::fs::File::create(&o.out);
        file.and_then(|f| run(&o, BufWriter::with_capacity(1 << 20, f)))
            .map_err(|e| format!("{}: {e}", o.out))
    });
    match written {
        Ok((packets, frames)) => {
            println!("{packets} packets, {frames} frames");
            std::process::ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            std::process::ExitCode::FAILURE
        }
    }
}
