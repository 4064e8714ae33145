//! Lines that are passed over by the block -> the same evidence, counts and times as when every line is read in full.

use super::*;
use crate::model::Word;

/// xorshift64: the same files on every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// What was read, but for the order of the anomalies.
#[derive(Debug, PartialEq)]
struct Read {
    lines: Vec<Line>,
    put_off: Vec<PutOff>,
    counts: (u64, u64, u64),
    span: (Option<Stamp>, Option<Stamp>),
    zone: Option<Zone>,
    anomalies: Vec<Anomaly>,
}

fn with_skimming(name: &'static str, text: &[u8]) -> Read {
    let mut lines = Vec::new();
    let summary = read(
        SourceId(0),
        &Choice { name },
        &LogOptions::default(),
        &mut &text[..],
        &mut |_| (),
        &mut |line| lines.push(line),
    );
    Read {
        lines,
        put_off: summary.put_off,
        counts: (summary.records, summary.used, summary.odd),
        span: (summary.first, summary.last),
        zone: summary.zone,
        anomalies: summary.anomalies,
    }
}

/// Every line through `LineReader::line`; `forgetful` = by a reader that has learnt nothing yet.
fn line_by_line(name: &'static str, text: &[u8], forgetful: bool) -> Read {
    let options = LogOptions::default();
    let format = find(name).expect("registered");
    let mut reader = format.open(&options);
    let mut lines = Vec::new();
    let mut emit = |line: Line| lines.push(line);
    let mut out = Out::new(&mut emit);
    out.paths = Some(Paths::new(&options.settings));
    let tally = records::read(
        SourceId(0),
        &mut &text[..],
        &mut |_| (),
        &mut |record, line, outer| {
            if forgetful {
                reader = format.open(&options);
            }
            out.wrapped_in(outer);
            match reader.line(record, line, &mut out) {
                Outcome::Used | Outcome::Beside => Verdict::Used,
                Outcome::Odd(kind) => Verdict::Odd(kind),
            }
        },
    );
    reader.finish(&mut out);
    let (first, last, zone) = (out.first, out.last, out.zone);
    let put_off = out.paths.take().map(|p| p.put_off).unwrap_or_default();
    Read {
        lines,
        put_off,
        counts: (tally.records, tally.used, tally.odd),
        span: (first, last),
        zone,
        anomalies: tally.anomalies,
    }
}

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0";

/// A line of each kind, its numbers by chance; the first kinds are the common ones.
fn line(name: &str, chance: &mut Chance) -> String {
    let mut n = |below: usize| chance.below(below);
    let clock = format!("{:02}:{:02}:{:02}", n(2) + 20, n(60), n(60));
    let date = format!("20/Nov/2026:{clock} +0000");
    let iso = format!("2026-11-20T{clock}.{:06}Z", n(1_000_000));
    let ip = format!("203.0.{}.{}", n(256), n(256));
    let path = [
        "/",
        "/api/v1?x=1",
        "/favicon.ico",
        "/ws?v=2",
        "/a\\\"b",
        "/websocket",
    ][n(6)];
    let status = [200, 200, 200, 200, 304, 302, 404, 499, 502, 101, 0, 20][n(12)];
    let size = ["512", "0", "77"][n(3)];
    let (port, ms) = (n(60_000) + 1024, 1_795_204_800_000 + n(10_000_000));
    let kind = n(24);
    match name {
        "nginx-access" => {
            let head = format!(r#"{ip} - - [{date}] "GET {path} HTTP/1.1" {status} {size}"#);
            match kind {
                0..14 => format!(r#"{head} "-" "{AGENT}""#),
                14 => format!(r#"{head} "-" "{AGENT}" rt=0.1 upgrade=websocket"#),
                15 => format!(r#"{head} "http://x/WebSocket" "{AGENT}""#),
                16 => head.replace(" - - ", " - bob ") + " \"-\" \"x\"\r",
                17 => format!(r#"2001:db8::7 - - [{date}] "GET {path} HTTP/1.1" 200 1 "-" "x""#),
                18 => format!(r#"{head} "-" "{AGENT}" 3 "a@b" "http://x" 3ms"#),
                19 => format!(r#"2026-11-20T20:00:00.123456789Z {head} "-" "x""#),
                20 => String::new(),
                21 => "garbage that nobody wrote".to_owned(),
                22 if n(2) == 0 => format!(
                    r#"{ip} - - [31/Nov/2026:{clock} +0000] "GET / HTTP/1.1" 200 5 "-" "x""#
                ),
                22 if n(200) == 0 => format!(r#"{ip} - - [{date}] "GET / HTTP/1.1" 200 - "-" "x""#),
                _ => format!(r#"app-1  | {head} "-" "x""#),
            }
        }
        "nginx-json" => {
            let up = ["", "", "", "websocket", "-"][n(5)];
            format!(
                r#"{{"time":"2026-11-20T{clock}+00:00","msec":"{}.{:03}","remote_addr":"{ip}","request":"GET {path} HTTP/1.1","status":"{status}","request_time":"0.0{}","http_upgrade":"{up}","ua":"{AGENT}"}}"#,
                ms / 1000,
                n(1000),
                n(10)
            )
        }
        "alb-access" => {
            let of = ["https", "https", "http", "h2", "wss", "ws", "grpcs", "ftp"][n(8)];
            let target = ["10.8.0.4:8080", "-"][n(2)];
            let line = format!(
                r#"{of} {iso} app/chat/50dc {ip}:{port} {target} 0.001 0.003 0.000 {status} {status} 170 {size} "GET https://x.test:443{path} HTTP/1.1" "{AGENT}" - - arn "Root=1" "x.test" "-" 1 {iso} "forward" "-" "-" "{target}" "{status}" "-" "-" TID"#
            );
            match kind {
                0 => line.replacen(" 0.000 ", " ", 1),
                1 => line.replacen("2026-11", "2026-13", 1),
                2 => format!("{line}\r"),
                3 => line[..line.len() / 3].to_owned(),
                4 => String::new(),
                _ => line,
            }
        }
        "haproxy" => {
            let captured = ["", "", "", "{websocket|x} ", "{WebSocket} "][n(5)];
            let early = ["", "", "+"][n(3)];
            let message = format!(
                r#"{ip}:{port} [20/Nov/2026:{clock}.{:03}] fe be/web1 0/0/1/4/{early}{} {status} {size} - - ---- 8/8/7/7/0 0/0 {captured}"GET {path} HTTP/1.1""#,
                n(1000),
                n(60_000)
            );
            match kind {
                0..16 => format!("Nov 20 {clock} lb1 haproxy[3015]: {message}"),
                16 => message,
                17 => format!("<134>Nov 20 {clock} localhost haproxy[7]: {message}"),
                18 => format!("<142>1 2026-11-20T{clock}.5+01:00 - haproxy 7 - - {message}"),
                19 => format!("Nov 20 {clock} lb1 sshd[3015]: {message}"),
                20 => format!("Nov 20 {clock} lb1 haproxy[3015]: Server be/a is DOWN, reason: x"),
                21 => String::new(),
                _ => format!("Nov 40 {clock} lb1 haproxy[3015]: {message}"),
            }
        }
        _ => {
            let level = [30, 30, 30, 30, 40, 50, 60][n(7)];
            let said = [
                "request completed",
                "request completed",
                "user logged in",
                "ws close",
                "socket hang up",
                "listening on 0.0.0.0:8080",
                "cache \\u0063onnection reset",
                "",
            ][n(8)];
            let head = format!(r#"{{"level":{level},"time":{ms},"pid":7,"hostname":"app1""#);
            let code = [1000, 1006, 200, 404, 50][n(5)];
            match kind {
                0..10 => format!(
                    r#"{head},"req":{{"id":{port},"method":"GET","url":"{path}","remoteAddress":"{ip}"}},"res":{{"statusCode":{status}}},"responseTime":{code},"msg":"{said}"}}"#
                ),
                10 => format!(r#"{head},"connId":"c{port}","clientIp":"{ip}","msg":"{said}"}}"#),
                11 => {
                    format!(r#"{head},"sid":null,"clientIp":"{ip}","code":{code},"msg":"{said}"}}"#)
                }
                12 => format!(
                    r#"{head},"err":{{"message":"read ECONNRESET","stack":"x"}},"msg":"{said}"}}"#
                ),
                13 => format!(r#"{head},"error":"{said}","msg":"request completed"}}"#),
                14 => format!(r#"{head},"room":"connection-{port}","msg":"{said}"}}"#),
                15 => format!(r#"{head},"reason":"{said}","msg":"request completed"}}"#),
                16 => "Error: read ECONNRESET\n    at TCP.onStreamRead (node:internal)".to_owned(),
                17 => {
                    format!(r#"{{"level":"info","ts":"{iso}","msg":"{said}","status":{status}}}"#)
                }
                18 => format!(
                    r#"{{"log":"{{\"level\":30,\"time\":{ms},\"msg\":\"{said}\"}}\n","stream":"stdout","time":"{iso}"}}"#
                ),
                19 => String::new(),
                20 => format!(r#"{head},"msg":"{said}"#),
                21 => format!(r#"{head},"msg":null,"time":"{iso}"}}"#),
                22 => "socket closed {\n  code: 1006\n}".to_owned(),
                _ => format!(r#"{head},"event":"{said}","id":{port}}}"#),
            }
        }
    }
}

fn file(name: &str, seed: u64) -> Vec<u8> {
    let mut chance = Chance(seed | 1);
    let mut text = Vec::new();
    for _ in 0..6_000 {
        text.extend_from_slice(line(name, &mut chance).as_bytes());
        text.push(b'\n');
    }
    text
}

#[test]
fn nothing_is_lost_by_skimming() {
    for (kind, name) in [
        ("nginx-access", "nginx-access"),
        ("nginx-json", "nginx-access"),
        ("alb-access", "alb-access"),
        ("haproxy", "haproxy"),
        ("app-json", "app-json"),
    ] {
        for seed in [11, 0x9e37_79b9, 0x1234_5678_9abc] {
            let text = file(kind, seed);
            let skimmed = with_skimming(name, &text);
            let slowly = line_by_line(name, &text, false);
            for (a, b) in skimmed.lines.iter().zip(&slowly.lines) {
                assert_eq!(a, b, "{kind}");
            }
            assert_eq!(skimmed, slowly, "{kind}");
            assert!(skimmed.lines.len() > 100, "{kind}");
        }
    }
}

/// What a reader learnt from lines before makes it pass over none that tells something.
#[test]
fn what_was_learnt_hides_nothing() {
    for seed in [11, 0x9e37_79b9, 0x1234_5678_9abc] {
        let json: Vec<u8> = file("app-json", seed)
            .split_inclusive(|c| *c == b'\n')
            .filter(|l| l.starts_with(b"{") && l.ends_with(b"}\n"))
            .flatten()
            .copied()
            .collect();
        let learnt = with_skimming("app-json", &json);
        let forgetful = line_by_line("app-json", &json, true);
        for (a, b) in learnt.lines.iter().zip(&forgetful.lines) {
            assert_eq!(a, b);
        }
        assert_eq!(learnt.lines.len(), forgetful.lines.len());
        assert_eq!(learnt.counts, forgetful.counts);
    }
}

/// A failed request on a path that only a later line, or another file, shows to speak WebSocket.
#[test]
fn failed_requests_wait_until_their_path_is_known() {
    let line = |path: &str, status: u16| {
        format!(
            "192.0.2.1 - - [20/Nov/2026:20:00:00 +0000] \"GET {path} HTTP/1.1\" {status} 5 \"-\" \"x\"\n"
        )
    };
    let text = [
        line("/live?a=1", 502),
        line("/logo.png", 404),
        line("/app/ws", 400),
        line("/live?a=2", 101),
        line("/live?a=3", 502),
    ]
    .concat();
    let read = with_skimming("nginx-access", text.as_bytes());
    let ordinals: Vec<u64> = read.lines.iter().map(|l| l.record().ordinal).collect();
    assert_eq!(ordinals, [3, 4, 5]);
    let put_off: Vec<u64> = read.put_off.iter().map(|p| p.record.ordinal).collect();
    assert_eq!(put_off, [1, 2]);
    assert_eq!(read.put_off[0].path, path_number(b"/live"));
    assert!(size_of::<PutOff>() <= 32);

    let mut again = Vec::new();
    let mut left = read.put_off.iter().map(|p| {
        let from = p.record.start as usize;
        let bytes = &text.as_bytes()[from..from + p.record.len as usize];
        (p.record, bytes.to_vec())
    });
    read_again(
        &Choice {
            name: "nginx-access",
        },
        &LogOptions::default(),
        &mut || left.next(),
        &mut |line| again.push(line),
    );
    let whole = line_by_line("nginx-access", text.as_bytes(), false);
    assert_eq!(again.len(), 2);
    let Line::Tunnel(first) = &again[0] else {
        panic!("{again:?}");
    };
    assert_eq!(
        (first.status, first.uri.as_deref()),
        (Some(502), Some("/live?a=1"))
    );
    assert_eq!(whole.lines, read.lines);
}

/// A key whose meaning the user told decides as much as one that is known by its name.
#[test]
fn told_keys_are_never_passed_over() {
    let told = "client connection closed: 1006";
    let text: String = (0..400)
        .map(|i| {
            let note = if i % 100 == 99 { told } else { "-" };
            let at = 1_795_204_800_000_u64 + i;
            format!(r#"{{"level":30,"time":{at},"msg":"tick","note":"{note}"}}"#) + "\n"
        })
        .collect();
    for (map, expected) in [("", 0), ("note=message", 4), ("time=time", 0)] {
        let options = LogOptions {
            map: FieldMap::parse(map).unwrap_or_default(),
            ..LogOptions::default()
        };
        let mut lines = 0;
        let choice = Choice { name: "app-json" };
        let summary = read(
            SourceId(0),
            &choice,
            &options,
            &mut text.as_bytes(),
            &mut |_| (),
            &mut |_| lines += 1,
        );
        assert_eq!((lines, summary.used), (expected, 400), "{map}");
    }
}

/// A shape that fits every line tells of refused requests what reading each of them does: what was asked for decides.
#[test]
fn refused_requests_of_json_lines_are_as_those_read_in_full() {
    type Told = (u64, Option<u16>, Option<Word>, Option<bool>);
    let told = |text: &str| -> (Vec<Told>, Vec<(u64, u64)>) {
        let read = with_skimming("nginx-access", text.as_bytes());
        let lines = read.lines.into_iter().map(|line| match line {
            Line::Tunnel(t) => (t.record.ordinal, t.status, t.uri, t.upgrade_asked),
            other => panic!("{other:?}"),
        });
        let put_off = read.put_off.iter().map(|p| (p.record.ordinal, p.path));
        (lines.collect(), put_off.collect())
    };
    for upgrade in ["", r#""http_upgrade":"","#] {
        let mut chance = Chance(77);
        let (mut alike, mut apart) = (String::new(), String::new());
        for n in 0..3_000 {
            let path = ["/", "/live?a=1", "/logo.png", "/x/ws", "/only/426"][chance.below(5)];
            let status = [200, 200, 304, 404, 426, 502][chance.below(6)];
            let asks = n % 501 == 500;
            let (upgrade, path, status) = match asks {
                true => (r#""http_upgrade":"websocket","#, "/live?b=2", 101),
                false => (upgrade, path, status),
            };
            let line = format!(
                r#"{{"time":"2026-11-20T20:00:00+00:00","remote_addr":"192.0.2.7",{upgrade}"request":"GET {path} HTTP/1.1","status":"{status}","request_time":"0.01""#
            );
            alike.push_str(&format!("{line}}}\n"));
            // A key of its own, so that no shape fits.
            apart.push_str(&format!("{line},\"k{n}\":1}}\n"));
        }
        let (lines, put_off) = told(&alike);
        assert_eq!((&lines, &put_off), (&told(&apart).0, &told(&apart).1));
        assert!(lines.len() > 100, "{}", lines.len());
        assert_eq!(put_off.is_empty(), !upgrade.is_empty());
    }
}
