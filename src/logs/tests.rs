//! Every format on its samples, and on the recorded incidents.

mod apache;
mod apps;

use super::*;
use crate::model::{AppEvent, AppLine, HopKind, TunnelLine, ZoneBasis};
use std::path::Path;

pub(super) fn read_all(
    name: &'static str,
    options: &LogOptions,
    text: &[u8],
) -> (LogSummary, Vec<Line>) {
    let mut lines = Vec::new();
    let summary = read(
        SourceId(3),
        &Choice { name },
        options,
        &mut &text[..],
        &mut |_| (),
        &mut |l| lines.push(l),
    );
    assert_eq!(summary.records, summary.used + summary.odd);
    // As if every path were one of WebSockets.
    let mut again = summary.put_off.iter().map(|p| {
        let from = p.record.start as usize;
        (p.record, text[from..from + p.record.len as usize].to_vec())
    });
    let emit = &mut |l: Line| lines.push(l);
    read_again(&Choice { name }, options, &mut || again.next(), emit);
    if !summary.put_off.is_empty() {
        lines.sort_by_key(|l| l.record().ordinal);
    }
    (summary, lines)
}

fn sniffed(options: &LogOptions, text: &[u8]) -> (&'static str, LogSummary, Vec<Line>) {
    let choice = sniff(text, options, None).expect("a format");
    let (summary, lines) = read_all(choice.name, options, text);
    (choice.name, summary, lines)
}

fn tunnel(line: &str) -> TunnelLine {
    match sniffed(&LogOptions::default(), line.as_bytes())
        .2
        .as_slice()
    {
        [Line::Tunnel(t)] => t.clone(),
        other => panic!("{line}: {other:?}"),
    }
}

fn app(lines: &[Line]) -> Vec<&AppLine> {
    lines
        .iter()
        .filter_map(|l| if let Line::App(a) = l { Some(a) } else { None })
        .collect()
}

fn samples(name: &str) -> &'static [&'static str] {
    find(name).expect("a format").samples()
}

#[test]
fn each_sample_is_read_by_its_format_and_by_no_other() {
    for format in FORMATS {
        assert!(!format.samples().is_empty(), "{}", format.name());
        for sample in format.samples() {
            for other in FORMATS {
                let mut ignore = |_: Line| ();
                let mut out = Out::new(&mut ignore);
                let record = RecordRef {
                    source: SourceId(0),
                    ordinal: 1,
                    start: 0,
                    len: 0,
                };
                let outcome =
                    other
                        .open(&LogOptions::default())
                        .line(record, sample.as_bytes(), &mut out);
                let read = outcome == Outcome::Used;
                assert_eq!(
                    read,
                    format.name() == other.name(),
                    "{} reads {sample}: {outcome:?}",
                    other.name()
                );
            }
            let choice = Choice {
                name: format.name(),
            };
            assert!(
                fields(&choice, &LogOptions::default(), sample.as_bytes()).len() > 1,
                "no fields: {sample}"
            );
        }
    }
}

#[test]
fn what_is_no_log_is_none() {
    for text in [
        "",
        "\n\n",
        "user root;\nworker_processes 1;\n",
        "{\n  \"Attributes\": [\n",
        "# Notes\n\nThe socket closed.\n",
        "CLIENT_RANDOM 00 11\n",
        "\u{0}\u{1}\u{2}\u{3}",
        "{\"Attributes\":[{\"Key\":\"a\",\"Value\":\"b\"}]}\n",
        "Timeline\n2026-11-20T21:00:00Z it began\na\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n",
    ] {
        assert_eq!(
            sniff(text.as_bytes(), &LogOptions::default(), None).map(|c| c.name),
            None,
            "{text}"
        );
    }
}

#[test]
fn a_tunnel_of_each_proxy() {
    let t = tunnel(samples("nginx-access")[2]);
    assert_eq!(
        (t.hop, t.status, t.serial, t.life_ns),
        (HopKind::Nginx, Some(101), Some(5), Some(4_336_000_000))
    );
    assert_eq!(
        t.end.map(Stamp::rfc3339).as_deref(),
        Some("2026-11-20T21:40:37.402Z")
    );
    assert_eq!(
        t.start.map(Stamp::rfc3339).as_deref(),
        Some("2026-11-20T21:40:33.066Z")
    );
    assert_eq!(
        (t.upgrade_asked, t.uri.as_deref()),
        (Some(true), Some("/ws?s=1"))
    );
    assert_eq!(t.upstream, "192.0.2.2:8080".parse().ok());
    assert_eq!(t.user_agent.as_deref(), Some("okhttp/4.12.0"));

    let t = tunnel(samples("nginx-access")[5]);
    assert_eq!(
        (t.status, t.upgrade_asked, t.upstream),
        (Some(502), None, "192.0.2.3:80".parse().ok())
    );

    let t = tunnel(samples("alb-access")[0]);
    assert_eq!(
        (t.hop, t.life_ns, t.bytes_to_server),
        (HopKind::Alb, Some(11_822_641_000), Some(218))
    );
    assert_eq!(
        (t.client_port, t.upgrade_asked, t.uri.as_deref()),
        (Some(40_914), Some(true), Some("/"))
    );

    let t = tunnel(samples("haproxy")[0]);
    assert_eq!(
        (t.hop, t.termination.as_deref(), t.life_ns),
        (HopKind::Haproxy, Some("cD--"), Some(6_706_000_000))
    );
    assert_eq!(
        t.end.map(Stamp::rfc3339).as_deref(),
        Some("2026-11-20T21:42:53.591Z")
    );
    let t = tunnel(samples("haproxy")[2]);
    assert_eq!(
        (t.status, t.upgrade_asked, t.termination.as_deref()),
        (Some(503), Some(true), Some("sQ--"))
    );

    let t = tunnel(samples("envoy-access")[1]);
    assert_eq!(
        (t.hop, t.termination.as_deref()),
        (HopKind::Envoy, Some("SI stream_idle_timeout"))
    );
    assert_eq!(
        (t.client_port, t.life_ns),
        (Some(50_000), Some(2_002_000_000))
    );

    let t = tunnel(samples("proxy-pairs")[0]);
    assert_eq!(
        (t.hop, t.termination.as_deref(), t.life_ns),
        (HopKind::Proxy, Some("idle-timeout"), Some(5_007_000_000))
    );
}

/// What every proxy's line says of one tunnel: kind, start, end, status, client, upstream, path.
#[test]
fn starts_and_ends_of_each_proxy() {
    let check = |name: &str, sample: usize, want: [&str; 7]| {
        let line = samples(name)[sample];
        let (format, _, lines) = sniffed(&LogOptions::default(), line.as_bytes());
        assert_eq!(format, name, "{line}");
        let [Line::Tunnel(t)] = lines.as_slice() else {
            panic!("{line}: {lines:?}")
        };
        let stamp = |s: Option<Stamp>| s.map(Stamp::rfc3339).unwrap_or_default();
        let client = match (t.client, t.client_port) {
            (Some(ip), Some(port)) => std::net::SocketAddr::new(ip, port).to_string(),
            (Some(ip), None) => ip.to_string(),
            _ => String::new(),
        };
        let got = [
            t.hop.name().to_owned(),
            stamp(t.start),
            stamp(t.end),
            t.status.map(|s| s.to_string()).unwrap_or_default(),
            client,
            t.upstream.map(|u| u.to_string()).unwrap_or_default(),
            t.uri.clone().unwrap_or_default().to_string(),
        ];
        assert_eq!(got.each_ref().map(String::as_str), want, "{line}");
    };
    check(
        "apache-access",
        0,
        [
            "apache",
            "2026-11-20T20:57:56Z",
            "",
            "101",
            "192.0.2.17",
            "",
            "/idle",
        ],
    );
    check(
        "apache-access",
        1,
        [
            "apache",
            "2026-11-20T20:57:56Z",
            "2026-11-20T20:58:00Z",
            "101",
            "192.0.2.17",
            "",
            "/idle",
        ],
    );
    check(
        "apache-access",
        2,
        [
            "apache",
            "2026-11-20T20:57:56Z",
            "",
            "101",
            "192.0.2.17",
            "",
            "/idle",
        ],
    );
    check(
        "apache-access",
        3,
        [
            "apache",
            "2026-11-20T20:57:56Z",
            "2026-11-20T20:58:00Z",
            "101",
            "192.0.2.17:54516",
            "",
            "/idle",
        ],
    );
    check(
        "traefik-access",
        0,
        [
            "traefik",
            "2026-11-20T20:48:04Z",
            "2026-11-20T20:48:07Z",
            "101",
            "192.0.2.17",
            "10.8.0.3:8080",
            "/ws",
        ],
    );
    check(
        "traefik-access",
        1,
        [
            "traefik",
            "2026-11-20T20:48:04.123456789Z",
            "2026-11-20T20:48:07.129977936Z",
            "101",
            "192.0.2.17:54516",
            "10.8.0.3:8080",
            "/ws",
        ],
    );
    check(
        "caddy",
        0,
        [
            "caddy",
            "2026-11-20T20:57:44.090587Z",
            "2026-11-20T20:57:47.097108Z",
            "101",
            "192.0.2.17:54516",
            "",
            "/idle",
        ],
    );
    check(
        "cloudfront",
        0,
        [
            "cloudfront",
            "2026-11-20T20:38:03Z",
            "2026-11-20T20:48:04Z",
            "101",
            "203.0.113.7:11040",
            "",
            "/ws?s=1",
        ],
    );
    check(
        "iis",
        0,
        [
            "iis",
            "2026-11-20T20:48:03Z",
            "2026-11-20T20:49:04Z",
            "101",
            "203.0.113.7",
            "",
            "/hub?id=1",
        ],
    );
    for (sample, upstream, uri) in [(0, "10.0.0.4:8080", "/ws?s=1"), (1, "", "/ws")] {
        check(
            "azure",
            sample,
            [
                "app-gateway",
                "2026-11-20T20:48:03Z",
                "2026-11-20T20:49:04Z",
                "101",
                "203.0.113.7:54516",
                upstream,
                uri,
            ],
        );
    }
    check(
        "azure",
        2,
        [
            "front-door",
            "2026-11-20T20:48:04.088Z",
            "2026-11-20T20:49:04.100Z",
            "101",
            "203.0.113.7:54516",
            "192.0.2.4:443",
            "/ws?s=1",
        ],
    );
    check(
        "nlb-tls",
        0,
        [
            "nlb",
            "2018-12-20T02:53:39Z",
            "2018-12-20T02:59:40Z",
            "",
            "192.0.2.154:51341",
            "10.8.0.185:443",
            "",
        ],
    );
    check(
        "elb-classic",
        0,
        [
            "elb",
            "2026-11-20T20:48:04.123456Z",
            "",
            "",
            "192.0.2.131:2817",
            "10.8.0.1:80",
            "",
        ],
    );
    check(
        "elb-classic",
        1,
        [
            "elb",
            "2026-11-20T20:48:04.123456Z",
            "",
            "503",
            "192.0.2.131:2817",
            "",
            "/ws",
        ],
    );
    check(
        "cloudflare",
        0,
        [
            "cloudflare",
            "2026-11-20T20:48:04Z",
            "2026-11-20T20:49:44Z",
            "101",
            "203.0.113.7:54516",
            "",
            "/ws?s=1",
        ],
    );
    check(
        "cloudflare",
        1,
        [
            "cloudflare",
            "2026-11-20T20:48:04.123456789Z",
            "2026-11-20T20:49:44.123456789Z",
            "524",
            "203.0.113.7",
            "",
            "/ws",
        ],
    );
    check(
        "gcp-lb",
        0,
        [
            "gcp",
            "2026-11-20T20:48:04.123456Z",
            "2026-11-20T20:48:34.124660Z",
            "101",
            "203.0.113.7:54516",
            "",
            "/ws?s=1",
        ],
    );
    check(
        "heroku-router",
        0,
        [
            "heroku",
            "2026-11-20T21:45:06.136964Z",
            "2026-11-20T21:46:48.472964Z",
            "101",
            "203.0.113.7",
            "",
            "/ws",
        ],
    );
    check(
        "heroku-router",
        1,
        [
            "heroku",
            "2026-11-20T21:45:47.452964Z",
            "2026-11-20T21:46:48.472964Z",
            "101",
            "198.51.100.2",
            "",
            "/ws",
        ],
    );
    check(
        "nginx-access",
        6,
        [
            "nginx",
            "2026-11-20T20:50:38Z",
            "2026-11-20T20:50:41Z",
            "",
            "192.0.2.17",
            "192.0.2.2:18001",
            "",
        ],
    );
}

#[test]
fn json_of_nobody_known_is_some_proxys() {
    let hop = |time: &str, more: &str| {
        let line = format!(
            r#"{{"time":"{time}","client_ip":"203.0.113.7","method":"GET","url":"/ws","status":101,"duration":"60.012"{more}}}"#
        );
        tunnel(&line).hop
    };
    for (time, more, whose) in [
        ("2026-11-29T10:00:00+0000", "", HopKind::Proxy),
        ("2026-11-29T10:00:00Z", "", HopKind::Proxy),
        ("2026-11-29T10:00:00.123+00:00", "", HopKind::Proxy),
        ("2026-11-29T10:00:00+00:00", "", HopKind::Nginx),
        ("29/Nov/2026:10:00:00 +0000", "", HopKind::Nginx),
        ("1795946400.123", "", HopKind::Nginx),
        (
            "2026-11-29T10:00:00Z",
            r#","upstream_addr":"10.0.0.4:8080""#,
            HopKind::Nginx,
        ),
    ] {
        assert_eq!(hop(time, more), whose, "{time} {more}");
    }
}

#[test]
fn idle_is_only_what_a_proxy_calls_so() {
    let ended = |name: &str, sample: usize| tunnel(samples(name)[sample]).ended_by_timer();
    assert_eq!(ended("heroku-router", 0), Some(true));
    assert_eq!(ended("heroku-router", 1), None);
    assert_eq!(ended("gcp-lb", 0), None);
    assert_eq!(ended("cloudfront", 0), None);
    assert_eq!(ended("azure", 0), Some(true));
    assert_eq!(ended("azure", 1), None);
    assert_eq!(ended("iis", 0), None);
    let came = |sample: &str| tunnel(sample).end_came();
    let iis = samples("iis")[0];
    assert_eq!(came(iis), Some(crate::model::Direction::ToServer));
    assert_eq!(came(&iis.replace(" 64 ", " 0 ")), None);
}

#[test]
fn hop_events_of_the_newer_formats() {
    let check = |line: &str, hop: HopKind, what: crate::model::HopEvent| {
        let (_, _, lines) = sniffed(&LogOptions::default(), line.as_bytes());
        match lines.as_slice() {
            [Line::Hop(h)] => assert_eq!((h.hop, h.what), (hop, what), "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    };
    use crate::model::HopEvent as E;
    check(samples("apache-error")[0], HopKind::Apache, E::IdleTimeout);
    check(
        samples("apache-error")[1],
        HopKind::Apache,
        E::UpstreamRefused,
    );
    check(samples("apache-error")[2], HopKind::Apache, E::Stopped);
    check(samples("caddy")[1], HopKind::Caddy, E::UpstreamRefused);
    check(samples("nginx-error")[4], HopKind::Nginx, E::IdleTimeout);
    check(samples("alb-connection")[1], HopKind::Alb, E::TlsFailed);
    check(
        r#"{"level":"error","timestamp":"2026-11-20T20:48:09Z","pid":1,"tid":1,"cnum":3,"msg":"connect() failed while connecting to upstream","client":"192.0.2.1","errno":111,"errtext":"Connection refused"}"#,
        HopKind::Nginx,
        E::UpstreamRefused,
    );
}

/// The same lines in every wrapper give the same records.
#[test]
fn wrapped_lines_are_the_lines() {
    let error = samples("nginx-error")[0];
    let quoted = error.replace('\\', "\\\\").replace('"', "\\\"");
    let (front, back) = error.split_at(60);
    for text in [
        format!("2026-11-20T20:48:09.123456789Z stderr F {error}\n"),
        format!(
            "2026-11-20T20:48:09.1Z stderr P {front}\n2026-11-20T20:48:09.1Z stdout F other\n2026-11-20T20:48:09.1Z stderr F {back}\n2026-11-20T20:48:09.1Z stderr F {error}\n"
        ),
        format!("2026-11-20T20:48:09.123456789Z {error}\n"),
        format!("web-7d4b9c5f6-abcde nginx {error}\n"),
        format!("nginx-1  | {error}\n"),
        format!(
            "{{\"log\":\"{quoted}\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-20T20:48:09.1Z\"}}\n"
        ),
        format!(
            "{{\"__REALTIME_TIMESTAMP\":\"1795207689123456\",\"MESSAGE\":\"{quoted}\",\"_PID\":\"7\",\"SYSLOG_IDENTIFIER\":\"nginx\"}}\n"
        ),
        format!("__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795207689123456\nMESSAGE={error}\n_PID=7\n\n"),
        format!(
            "{{\n  \"events\": [\n    {{\n \"logStreamName\": \"a\",\n \"timestamp\": 1795207689123,\n \"message\": \"{quoted}\",\n \"ingestionTime\": 1795207689999,\n \"eventId\": \"1\"\n }}\n ],\n \"searchedLogStreams\": []\n}}\n"
        ),
        format!(
            "[\n {{\n \"insertId\": \"a\", \"textPayload\": \"{quoted}\", \"timestamp\": \"2026-11-20T20:48:09Z\"\n }}\n]\n"
        ),
    ] {
        let (name, summary, lines) = sniffed(&LogOptions::default(), text.as_bytes());
        assert_eq!(name, "nginx-error", "{text}");
        assert!(summary.odd <= 1, "{text}: {:?}", summary.anomalies);
        let Some(Line::Hop(h)) = lines.first() else {
            panic!("{text}: {lines:?}")
        };
        assert_eq!(
            (h.serial, h.uri.as_deref()),
            (Some(57), Some("/idle")),
            "{text}"
        );
        let from = h.record.start as usize;
        let raw = &text.as_bytes()[from..from + h.record.len as usize];
        let read = fields(&Choice { name }, &LogOptions::default(), raw);
        assert!(
            read.iter().any(|(k, v)| k == "connection" && v == "57"),
            "{text}: {read:?}"
        );
    }
}

#[test]
fn a_log_format_of_the_case_is_read_by_its_own_names() {
    let format = r#"{"t":"$time_iso8601","m":$msec,"a":"$remote_addr","r":"$request","s":$status,"d":$request_time,"u":"$http_upgrade","l":"$upstream_addr"}"#;
    let options = LogOptions {
        nginx_formats: vec![("j".into(), format.into())],
        ..LogOptions::default()
    };
    let line = r#"{"t":"2026-11-21T03:09:16+05:30","m":1795210756.233,"a":"192.0.2.16","r":"GET /ws?x=\"1\" HTTP/1.1","s":101,"d":-,"u":"websocket","l":"10.0.0.1:80, 10.0.0.2:81"}"#;
    let (name, summary, lines) = sniffed(&options, line.as_bytes());
    assert_eq!((name, summary.used), ("nginx-access", 1));
    assert_eq!(
        summary.zone.map(|z| (z.offset_s, z.basis)),
        Some((19_800, ZoneBasis::Line))
    );
    let [Line::Tunnel(t)] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(
        t.end.map(Stamp::rfc3339).as_deref(),
        Some("2026-11-20T21:39:16.233Z")
    );
    assert_eq!((t.life_ns, t.upstream), (None, "10.0.0.2:81".parse().ok()));
    assert_eq!(t.uri.as_deref(), Some("/ws?x=\"1\""));
}

#[test]
fn plain_requests_are_dropped_and_refused_upgrades_kept() {
    let line = |status: u16, tail: &str| {
        format!(
            r#"192.0.2.1 - - [20/Nov/2026:20:48:04 +0000] "GET /x HTTP/1.1" {status} 12 "-" "a"{tail}"#
        )
    };
    for (text, want) in [
        (line(200, ""), false),
        (line(101, ""), true),
        (line(404, ""), true),
        (line(404, " upgrade=-"), false),
        (line(426, " upgrade=-"), true),
        (line(200, " upgrade=websocket"), true),
        (line(302, ""), false),
    ] {
        let (summary, lines) = read_all("nginx-access", &LogOptions::default(), text.as_bytes());
        assert_eq!(
            (summary.used, lines.len()),
            (1, usize::from(want)),
            "{text}"
        );
    }
    // What decides is learnt from the first line; the span still takes every line in.
    let json = |second: u8, status: u16, upgrade: &str| {
        format!(
            r#"{{"time":"2026-11-20T20:48:{second:02}+00:00","request":"GET /x HTTP/1.1","status":"{status}","http_upgrade":"{upgrade}"}}"#
        )
    };
    for (status, upgrade, want) in [
        (200, "", 0),
        (304, "-", 0),
        (101, "websocket", 1),
        (101, "", 1),
        (200, "websocket", 1),
        (426, "", 1),
        (404, "", 0),
    ] {
        let text = [json(5, 200, ""), json(6, status, upgrade), json(7, 200, "")].join("\n");
        let (summary, lines) = read_all("nginx-access", &LogOptions::default(), text.as_bytes());
        assert_eq!((summary.used, lines.len()), (3, want), "{text}");
        let span = [summary.first, summary.last].map(|s| s.map(Stamp::rfc3339));
        assert_eq!(
            span.each_ref().map(Option::as_deref),
            [Some("2026-11-20T20:48:05Z"), Some("2026-11-20T20:48:07Z")]
        );
    }
}

#[test]
fn wrappers_beginnings_and_tails() {
    let inner = samples("nginx-access")[0];
    let text = format!(
        "\u{feff}{inner}\r\n2026-11-20T20:48:09.123456789Z stdout F {inner}\n\0\0\0{inner}\n\n{}",
        &inner[..40]
    );
    let (summary, lines) = read_all("nginx-access", &LogOptions::default(), text.as_bytes());
    assert_eq!((summary.records, summary.used, lines.len()), (4, 3, 3));
    assert_eq!(
        summary
            .anomalies
            .iter()
            .map(|a| (a.kind.as_str(), a.first_record))
            .collect::<Vec<_>>(),
        [("truncated-tail", 5)]
    );
}

/// Recorded incidents lie beside the project where they are at hand.
#[test]
fn every_line_of_the_recorded_incidents_is_used() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = if corpus.is_dir() {
        corpus
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus")
    };
    let Ok(scenarios) = std::fs::read_dir(&corpus) else {
        eprintln!("no recorded incidents here: skipped");
        return;
    };
    let mut files = 0;
    for scenario in scenarios.flatten().filter(|s| s.path().is_dir()) {
        let options = match std::fs::read(scenario.path().join("nginx.conf")) {
            Ok(text) => LogOptions {
                nginx_formats: crate::config::read(SourceId(0), "nginx-conf", &text).log_formats,
                ..LogOptions::default()
            },
            Err(_) => LogOptions::default(),
        };
        for file in std::fs::read_dir(scenario.path())
            .expect("a folder")
            .flatten()
        {
            let path = file.path();
            let name = file.file_name().to_string_lossy().into_owned();
            if !(name.ends_with(".log") || name.ends_with(".log.gz")) || name == "sslkeys.log" {
                continue;
            }
            let mut bytes = std::fs::read(&path).expect("a file");
            if name.ends_with(".gz") {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(bytes.as_slice())
                    .read_to_end(&mut plain)
                    .expect("gzip");
                bytes = plain;
            }
            if bytes.is_empty() {
                continue;
            }
            for options in [&options, &LogOptions::default()] {
                let choice = sniff(&bytes, options, None);
                let want = match name.as_str() {
                    "access.log" => "nginx-access",
                    "error.log" => "nginx-error",
                    "haproxy.log" => "haproxy",
                    "envoy.log" => "envoy-access",
                    "lb.log" => "proxy-pairs",
                    "app-py.log" => "app-text",
                    n if n.ends_with(".gz") => "alb-access",
                    _ => "app-json",
                };
                assert_eq!(
                    choice.as_ref().map(|c| c.name),
                    Some(want),
                    "{}",
                    path.display()
                );
                let (summary, lines) = read_all(want, options, &bytes);
                assert_eq!(
                    summary.odd,
                    0,
                    "{}: {:?}",
                    path.display(),
                    summary.anomalies
                );
                for line in &lines {
                    let record = line.record();
                    let end = record.start as usize + record.len as usize;
                    assert!(end <= bytes.len() && record.len > 0);
                }
                files += 1;
            }
        }
    }
    assert!(files > 100, "{files}");
}
