//! The first bytes of a file -> which stage reads it, or why none does.

use crate::case::{Case, CaseFile, Problem};
use crate::logs::{Choice, LogOptions};
use crate::model::{Clock, Moment, Source, SourceKind, Zone, ZoneBasis};
use crate::{browser, capture, config, host, logs};
use globset::GlobMatcher;

/// `--as FORMAT=GLOB`.
#[derive(Debug, Clone)]
pub struct Forced {
    pub format: String,
    pub glob: GlobMatcher,
}

/// What a file's head told.
#[derive(Debug, Default)]
pub(super) struct Sniffed {
    pub(super) capture: Option<SourceKind>,
    /// Of a capture: its first packet's time, and its link type.
    pub(super) first: Option<Moment>,
    pub(super) link: Option<u32>,
    pub(super) config: Option<&'static str>,
    pub(super) log: Option<Choice>,
    /// The nginx `log_format` that its lines showed, where nobody told it.
    pub(super) layout: Option<String>,
    /// An access log whose layout nobody told, read as an application's text for want of better.
    own_layout: bool,
    pub(super) host: Option<host::Choice>,
    /// A browser's recording of itself.
    pub(super) browser: Option<&'static str>,
    pub(super) key_log: bool,
    /// TLS secrets in a capture's head: for the other captures as well.
    pub(super) secrets: capture::KeyLog,
    empty: bool,
    reason: Option<Problem>,
}

impl Sniffed {
    /// Neither capture nor configuration: perhaps a log, once the configuration has been read.
    pub(super) const fn undecided(&self) -> bool {
        self.capture.is_none()
            && self.browser.is_none()
            && self.config.is_none()
            && !self.key_log
            && !self.empty
            && self.reason.is_none()
    }
}

pub(super) fn blank_source(file: &CaseFile) -> Source {
    Source {
        id: file.id,
        path: file.path.clone(),
        kind: SourceKind::Unrecognised,
        compression: file.compression.map(crate::case::Compression::name),
        bytes: file.bytes,
        vantage: None,
        records: 0,
        used: 0,
        odd: 0,
        first: None,
        last: None,
        zone: None,
        clock: Clock::default(),
        fields: Vec::new(),
        anomalies: Vec::new(),
        reason: None,
        named: file.named,
    }
}

fn forced_for<'a>(file: &CaseFile, forced: &'a [Forced]) -> Option<&'a str> {
    forced
        .iter()
        .find(|f| names(&f.glob, &file.path))
        .map(|f| f.format.as_str())
}

/// The pattern fits the path, or the file's own name.
pub(super) fn names(glob: &GlobMatcher, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    glob.is_match(path) || glob.is_match(name)
}

/// Captures, configuration, key logs, empty files, and what is known not to be readable.
pub(super) fn first_pass(case: &Case, file: &CaseFile, forced: &[Forced]) -> Sniffed {
    let mut found = Sniffed::default();
    if let Some(problem) = &file.problem {
        found.reason = Some(problem.clone());
        return found;
    }
    let (head, problem) = case.head(file.id);
    if head.is_empty() {
        match problem {
            Some(problem) => found.reason = Some(problem),
            None => found.empty = true,
        }
        return found;
    }
    if let Some(format) = forced_for(file, forced) {
        found.config = config::sniff(&head).filter(|reader| *reader == format);
        found.browser = browser::formats().find(|name| *name == format);
        return found;
    }
    found.capture = capture::sniff(&head);
    if found.capture.is_some() {
        found.first = capture::first_packet_at(&head);
        found.link = super::rotation::link_type(&head);
        found.secrets = capture::secrets_in(&head);
    } else if capture::is_key_log(&head) {
        found.key_log = true;
    } else if let Some(name) = browser::sniff(&head) {
        found.browser = Some(name);
    } else {
        found.reason = foreign(&head);
    }
    if found.undecided() {
        found.config = config::sniff(&head);
    }
    found
}

/// Logs, now that the formats of the configuration are known.
pub(super) fn second_pass(
    found: &mut Sniffed,
    case: &Case,
    file: &CaseFile,
    options: &LogOptions,
    forced: &[Forced],
) {
    let format = forced_for(file, forced);
    // read again rather than kept: a case may have many thousand files
    let (head, _) = case.head(file.id);
    found.host = host::sniff(&head, format);
    if found.host.is_none() {
        found.log = logs::sniff(&head, options, format);
    }
    // A stamp in front makes it look like an application's text.
    let vague = found.log.as_ref().is_none_or(|c| c.name == "app-text");
    if vague
        && found.host.is_none()
        && format.is_none()
        && let Some(layout) = logs::infer_layout(&head)
    {
        let mut with = options.clone();
        with.nginx_formats
            .push(("by content".to_owned(), layout.clone()));
        let choice = logs::sniff(&head, &with, None);
        if choice.as_ref().is_some_and(|c| c.name == "nginx-access") {
            (found.log, found.layout) = (choice, Some(layout));
        }
    }
    found.own_layout =
        vague && format.is_none() && found.layout.is_none() && logs::is_access_log(&head);
    if found.log.is_none() && found.host.is_none() {
        found.reason = Some(match format {
            Some(format) => Problem {
                kind: "not-that-format",
                say: format!("no line of it reads as {format}"),
            },
            None => unknown(&head),
        });
    }
}

/// Apache's combined layout is nginx's, but for the stamp: Apache's is the start. Where the case has an error log or a configuration of Apache's, and
/// nothing else of nginx's, an access log that may be either's is Apache's.
pub(super) fn tell_apache(
    case: &Case,
    sniffed: &mut [Sniffed],
    options: &LogOptions,
    forced: &[Forced],
) {
    const EITHER: &str = "nginx-access";
    const ITS: &str = "apache-access";
    let some = |log: &str, config: &str| {
        sniffed.iter().any(|found| {
            found.config == Some(config) || found.log.as_ref().is_some_and(|c| c.name == log)
        })
    };
    if !some("apache-error", "apache-conf") || some("nginx-error", "nginx-conf") {
        return;
    }
    for (found, file) in sniffed.iter_mut().zip(case.files()) {
        let either = found.log.as_ref().is_some_and(|c| c.name == EITHER)
            && found.layout.is_none()
            && forced_for(file, forced).is_none();
        if !either {
            continue;
        }
        let (head, _) = case.head(file.id);
        let odd = |name| logs::odd_lines(&head, options, name);
        // A log in JSON, or in a format of its own, is not in the shared layout.
        if odd(ITS) <= odd(EITHER) {
            found.log = Some(Choice { name: ITS });
        }
    }
}

/// Writes into the source what was found.
pub(super) fn settle(source: &mut Source, found: &Sniffed) {
    let line_format = match (&found.log, found.host) {
        (Some(choice), _) => Some(choice.name),
        (None, Some(choice)) => Some(choice.name),
        (None, None) => found.browser,
    };
    source.kind = match (found.capture, found.config, line_format) {
        (Some(kind), ..) => kind,
        (_, Some(reader), _) => SourceKind::Config(reader),
        (_, _, Some(name)) => SourceKind::Log(name),
        _ if found.key_log => SourceKind::KeyLog,
        _ if found.empty => SourceKind::Empty,
        _ => SourceKind::Unrecognised,
    };
    if source.kind.is_capture() {
        source.zone = Some(Zone {
            offset_s: 0,
            basis: ZoneBasis::Epoch,
        });
    } else if source.kind == SourceKind::Empty {
        source.reason = Some("an empty file".to_owned());
    }
    if found.own_layout && source.kind != SourceKind::Unrecognised {
        source.anomaly("own-layout", 1, 0, OWN_LAYOUT);
    }
    if let Some(layout) = &found.layout {
        source
            .fields
            .push(("log_format".to_owned(), layout.clone()));
    }
    if let Some(problem) = &found.reason {
        source.anomalies.push(problem.anomaly());
        source.reason = Some(problem.say.clone());
    }
}

/// A source that was recognised and gave nothing says so.
pub(super) fn reason_for_nothing(source: &mut Source) {
    if source.reason.is_some() || source.used > 0 {
        return;
    }
    source.reason = match source.kind {
        SourceKind::Pcap | SourceKind::Pcapng if source.records == 0 => {
            Some("no packet in it".to_owned())
        }
        SourceKind::Pcap | SourceKind::Pcapng => {
            Some("no TCP packet in it that could be read".to_owned())
        }
        SourceKind::Log(_) if source.records > 0 => Some("no line of it could be read".to_owned()),
        SourceKind::KeyLog => Some("no secret in it that opens a TLS record".to_owned()),
        _ => None,
    };
}

/// Files of known kinds that no stage reads, with what to do about it.
fn foreign(head: &[u8]) -> Option<Problem> {
    const KINDS: &[(&[u8], &str)] = &[
        (
            b"PK\x03\x04",
            "a zip archive (or an office document): unpack it first",
        ),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
        (b"Rar!\x1a\x07", "a rar archive: unpack it first"),
        (
            b"snoop\0\0\0",
            "a snoop capture: convert it first (editcap -F pcapng IN OUT)",
        ),
        (
            b"GMBU",
            "a Network Monitor capture: convert it first (editcap -F pcapng IN OUT)",
        ),
        (
            b"RTSS",
            "a Network Monitor capture: convert it first (editcap -F pcapng IN OUT)",
        ),
        (
            b"XCP\0",
            "a NetXRay capture: convert it first (editcap -F pcapng IN OUT)",
        ),
        (
            b"\x1f\x8b",
            "compressed twice: decompress it first (gzip -d)",
        ),
        (
            b"\x28\xb5\x2f\xfd",
            "compressed twice: decompress it first (zstd -d)",
        ),
        (
            b"\xfd7zXZ\0",
            "compressed twice: decompress it first (xz -d)",
        ),
        (
            b"BZh91AY&SY",
            "compressed twice: decompress it first (bzip2 -d)",
        ),
        (
            b"\x04\x22\x4d\x18",
            "compressed twice: decompress it first (lz4 -d)",
        ),
        (b"\x7fELF", "a program"),
        (b"%PDF", "a PDF document"),
        (b"\x89PNG", "a picture"),
        (b"\xff\xd8\xff", "a picture"),
        (b"SQLite format 3\0", "an SQLite database"),
        (
            b"\x4c\x50\x4b\x53\x48\x48\x52\x48",
            "a systemd journal: export it first (journalctl -o json --file FILE)",
        ),
        (
            b"LPKSHHRH",
            "a systemd journal: export it first (journalctl -o json --file FILE)",
        ),
        (
            b"\xff\xfe",
            "UTF-16 text: convert it first (iconv -f UTF-16 -t UTF-8)",
        ),
        (
            b"\xfe\xff",
            "UTF-16 text: convert it first (iconv -f UTF-16 -t UTF-8)",
        ),
    ];
    let say = if head.get(257..262) == Some(b"ustar") {
        "a tar archive: unpack it first (tar -xf)"
    } else {
        KINDS.iter().find(|(magic, _)| head.starts_with(magic))?.1
    };
    Some(Problem {
        kind: "foreign-format",
        say: say.to_owned(),
    })
}

/// What to do about an access log that nobody can read.
const OWN_LAYOUT: &str = "an access log in a layout of its own: --nginx-log-format 'STRING' tells it, or the nginx.conf that defines it beside the log";

/// What to do about an application's lines that nobody can place.
const NO_TIMES: &str = "an application's lines without times, which can be tied to nothing: have it write them (uvicorn: %(asctime)s in its --log-config), or collect its output with them (docker logs --timestamps, journalctl -o json)";

fn unknown(head: &[u8]) -> Problem {
    let control = head
        .iter()
        .filter(|&&b| b == 0 || (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)))
        .count();
    let say = if control * 20 > head.len() {
        "binary, and neither pcap nor pcapng"
    } else if logs::lacks_times(head) {
        return Problem {
            kind: "no-time",
            say: NO_TIMES.to_owned(),
        };
    } else if logs::is_access_log(head) {
        OWN_LAYOUT
    } else {
        "text in no log or configuration format that is known"
    };
    Problem {
        kind: "unrecognised",
        say: say.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_logs_are_known_by_their_lines() {
        let secret = "0c06220d2e03ff91e36764e439c260fec2e42c64475d10b14ed98ac4278ba6ed";
        for (line, expected) in [
            (format!("CLIENT_RANDOM {secret} {secret}\n"), true),
            (
                format!("# made by a browser\nSERVER_HANDSHAKE_TRAFFIC_SECRET {secret} {secret}\n"),
                true,
            ),
            (format!("CLIENT_TRAFFIC_SECRET_0 {secret} {secret}"), true),
            ("CLIENT_RANDOM of the day\n".to_owned(), false),
            ("GET /ws HTTP/1.1\n".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(capture::is_key_log(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn what_the_host_says_is_told_from_what_programs_log() {
        for (name, samples) in host::samples() {
            for sample in samples {
                let found = host::sniff(sample.as_bytes(), None).map(|c| c.name);
                assert_eq!(found, Some(name), "{sample}");
                assert_eq!(config::sniff(sample.as_bytes()), None, "{sample}");
            }
        }
        for format in logs::FORMATS {
            for sample in format.samples() {
                let found = host::sniff(sample.as_bytes(), None).map(|c| c.name);
                assert_eq!(found, None, "{sample}");
            }
        }
    }

    #[test]
    fn what_no_stage_reads_gets_a_reason() {
        let mut tar = vec![0; 512];
        tar.splice(257..262, *b"ustar");
        for (head, word) in [
            (&b"PK\x03\x04rest"[..], "zip"),
            (&tar, "tar"),
            (b"snoop\0\0\0\x02", "editcap"),
            (b"\xff\xfeh\0i\0", "UTF-16"),
        ] {
            assert!(foreign(head).expect("known").say.contains(word), "{word}");
        }
        assert!(foreign(b"plain text").is_none());
        assert!(unknown(b"plain text\n").say.starts_with("text"));
        let uvicorn = b"INFO:     Started server process [7]\nINFO:     Waiting for application startup.\n\
            INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)\n\
            INFO:     192.0.2.7:51624 - \"WebSocket /ws\" [accepted]\nINFO:     connection open\nINFO:     connection closed\n";
        assert_eq!(unknown(uvicorn).kind, "no-time");
        assert!(unknown(&[0, 1, 2, 3, 0, 9]).say.starts_with("binary"));
    }
}
