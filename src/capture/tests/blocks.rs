//! pcapng files as programs other than Wireshark write them -> whether every packet is read, at its time, under its number.

use super::*;

struct Writer {
    big: bool,
    out: Vec<u8>,
}

impl Writer {
    fn u32(&self, value: u32) -> [u8; 4] {
        if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn u16(&self, value: u16) -> [u8; 2] {
        if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let total = 12 + body.len().next_multiple_of(4) as u32;
        let (kind, total) = (self.u32(kind), self.u32(total));
        self.out.extend(kind);
        self.out.extend(total);
        self.out.extend(body);
        self.out.resize(self.out.len().next_multiple_of(4), 0);
        self.out.extend(total);
        self
    }

    fn section(&mut self) -> &mut Self {
        let body = [
            &self.u32(0x1A2B_3C4D)[..],
            &self.u16(1),
            &self.u16(0),
            &[0xff; 8],
        ]
        .concat();
        self.block(0x0A0D_0D0A, &body)
    }

    /// Options as code and value.
    fn interface(&mut self, link: u16, options: &[(u16, &[u8])]) -> &mut Self {
        let mut body = [&self.u16(link)[..], &[0; 2], &self.u32(0)].concat();
        for (code, value) in options {
            body.extend(self.u16(*code));
            body.extend(self.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(1, &body)
    }

    fn packet(&mut self, interface: u32, ticks: u64, data: &[u8]) -> &mut Self {
        let len = data.len() as u32;
        let mut body = Vec::new();
        for value in [interface, (ticks >> 32) as u32, ticks as u32, len, len] {
            body.extend(self.u32(value));
        }
        body.extend(data);
        self.block(6, &body)
    }
}

/// The packets of an upgraded leg and one frame, on the link types `link(n)`, each as the writer's `write` puts it.
fn legs_of(
    big: bool,
    write: impl Fn(&mut Writer, usize, i64, &[u8]),
    begin: impl Fn(&mut Writer),
) -> (Vec<Frame>, Vec<LegObservation>, FileSummary) {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true)).down(ACK, &bye(false));
    let mut w = Writer {
        big,
        out: Vec::new(),
    };
    begin(&mut w);
    for (n, sent) in s.sent.iter().enumerate() {
        write(&mut w, n, sent.at_ms, &raw(sent));
    }
    read_bytes(&w.out)
}

const EXPECTED: [&str; 2] = ["to-server 1:5", "to-client 8:2"];

#[test]
fn interfaces_have_their_own_link_types_and_clocks() {
    for big in [false, true] {
        let offset = |w: &Writer| {
            if w.big {
                1000i64.to_be_bytes()
            } else {
                1000i64.to_le_bytes()
            }
        };
        let (frames, legs, summary) = legs_of(
            big,
            |w, n, ms, ip| {
                let ethernet = [&[2; 12][..], &[8, 0], ip].concat();
                // Milliseconds, nanoseconds, and 2^-10 s behind an offset: one moment.
                match n % 3 {
                    0 => w.packet(0, ms as u64 + 2_000_000, ip),
                    1 => w.packet(1, (ms as u64 + 2_000_000) * 1_000_000, &ethernet),
                    _ => w.packet(2, (ms as u64 + 1_000_000) * 1024 / 1000, ip),
                };
            },
            |w| {
                let offset = offset(w);
                w.section()
                    .interface(101, &[(9, &[3])])
                    .interface(1, &[(2, b"eth0"), (9, &[9])])
                    .interface(101, &[(9, &[0x8a]), (14, &offset)]);
            },
        );
        assert_eq!(text(&frames), EXPECTED, "{big}");
        assert_eq!(legs.len(), 1);
        assert_eq!(summary.anomalies, []);
        let ms = |at: Moment| at.0 / MILLI_NS;
        assert_eq!(ms(legs[0].first.at), 2_000_001, "{big}");
        assert!((ms(legs[0].last.at) - 2_000_008).abs() <= 1, "{big}");
    }
}

#[test]
fn sections_begin_anew_in_their_own_byte_order() {
    let (frames, _, summary) = legs_of(
        false,
        |w, n, ms, ip| {
            w.big = n % 2 == 1;
            w.section()
                .interface(101, &[(9, &[3])])
                .packet(0, ms as u64, ip);
        },
        |_| {},
    );
    assert_eq!(text(&frames), EXPECTED);
    assert_eq!((summary.packets, summary.anomalies.len()), (8, 0));
}

#[test]
fn blocks_between_packets_change_nothing_but_their_numbers() {
    let (frames, legs, summary) = legs_of(
        false,
        |w, n, ms, ip| {
            match n {
                // Names of hosts, statistics, and a kind nobody knows: Wireshark gives them no number.
                1 => w
                    .block(4, &[0; 4])
                    .block(5, &[0; 12])
                    .block(0x0123_4567, b"what"),
                // Custom blocks, and systemd's journal: it does.
                3 => w
                    .block(0x0BAD, &[0; 8])
                    .block(0x4000_0BAD, &[0; 8])
                    .block(9, b"A=b\n"),
                _ => &mut *w,
            };
            w.packet(0, ms as u64, ip);
        },
        |w| {
            w.section().interface(101, &[(9, &[3])]);
        },
    );
    assert_eq!(text(&frames), EXPECTED);
    assert_eq!((summary.packets, summary.used), (8, 8));
    let numbers = |m: Mark| m.record.ordinal;
    assert_eq!(numbers(legs[0].first), 1);
    assert_eq!(numbers(legs[0].last), 11);
}

#[test]
fn garbage_between_blocks_is_stepped_across() {
    let (frames, _, summary) = legs_of(
        false,
        |w, n, ms, ip| {
            w.packet(0, ms as u64, ip);
            if n == 5 {
                w.out.extend([0xEE; 4 * 19]);
            }
        },
        |w| {
            w.section().interface(101, &[(9, &[3])]);
        },
    );
    assert_eq!(text(&frames), EXPECTED);
    let kinds: Vec<&str> = summary.anomalies.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["corrupt-record"]);
}

#[test]
fn simple_and_old_packet_blocks_are_packets() {
    let (frames, legs, summary) = legs_of(
        true,
        |w, n, ms, ip| {
            let len = ip.len() as u32;
            let mut body = Vec::new();
            if n % 2 == 0 {
                // The obsolete packet block: interface and drops as halves of one word.
                body.extend(w.u16(0));
                body.extend(w.u16(7));
                for value in [0, ms as u32, len, len] {
                    body.extend(w.u32(value));
                }
                body.extend(ip);
                w.block(2, &body);
            } else {
                body.extend(w.u32(len));
                body.extend(ip);
                w.block(3, &body);
            }
        },
        |w| {
            w.section().interface(101, &[(9, &[3])]);
        },
    );
    assert_eq!(text(&frames), EXPECTED);
    assert_eq!(legs[0].first.at, Moment(MILLI_NS));
    let kinds: Vec<&str> = summary.anomalies.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["no-time-stamps"]);
}

/// Under the same magic numbers, with headers of 16, 20, 24 and 28 bytes.
#[test]
fn headers_of_records_are_as_long_as_their_records_tell() {
    let mut s = Script::upgraded();
    s.up(ACK, &hello(true)).down(ACK, &bye(false));
    let plain = pcap(&s.sent, 65_535);
    for (magic, more) in [
        (0xA1B2_C3D4u32, 0),
        (0xA1B2_C3D4, 4),
        (0xA1B2_C3D4, 8),
        (0xA1B2_CD34, 8),
        (0xA1B2_CD34, 12),
    ] {
        let mut out = plain[..24].to_vec();
        out[..4].copy_from_slice(&magic.to_le_bytes());
        let mut at = 24;
        while at < plain.len() {
            let len =
                u32::from_le_bytes(plain[at + 8..at + 12].try_into().expect("four bytes")) as usize;
            out.extend(&plain[at..at + 16]);
            out.extend([0, 0, 0x86, 0xDD, 0, 0, 0, 0, 0, 0, 0, 0].iter().take(more));
            out.extend(&plain[at + 16..at + 16 + len]);
            at += 16 + len;
        }
        for whole in [out.len(), out.len() - 3] {
            let (frames, _, summary) = read_bytes(&out[..whole]);
            let kinds: Vec<&str> = summary.anomalies.iter().map(|a| a.kind.as_str()).collect();
            let (seen, told): (usize, &[&str]) = match whole == out.len() {
                true => (2, &[]),
                false => (1, &["truncated-tail"]),
            };
            assert_eq!(text(&frames), EXPECTED[..seen], "{magic:x} {more}");
            assert_eq!(kinds, told, "{magic:x} {more}");
        }
    }
}
