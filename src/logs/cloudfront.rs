//! CloudFront standard logs (tab-separated, columns named by `#Fields`) -> tunnels.

use super::access::{blank, matters};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{HopKind, Line, RecordRef, Word, Zone, ZoneBasis};

#[derive(Debug)]
pub(super) struct CloudFront;

/// Columns where the file's head was cut off (AWS, CloudFront standard logs, version 1.0).
const FIELDS: &str = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end";

impl LogFormat for CloudFront {
    fn name(&self) -> &'static str {
        "cloudfront"
    }
    fn title(&self) -> &'static str {
        "CloudFront standard log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "2026-11-20\t20:48:04\tFRA56-P8\t587\t203.0.113.7\tGET\td111111abcdef8.cloudfront.net\t/ws\t101\t-\tMozilla/5.0%20(X11)\ts=1\t-\tMiss\tSOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==\tws.test\twss\t218\t600.812\t-\tTLSv1.3\tTLS_AES_128_GCM_SHA256\tMiss\tHTTP/1.1\t-\t-\t11040\t0.078\tMiss\t-\t-\t-\t-",
            "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status",
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader {
            columns: columns(FIELDS.as_bytes()),
        })
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let names: Vec<&str> = FIELDS.split(' ').collect();
        let mut all: Vec<(String, String)> = line
            .split(|c| *c == b'\t')
            .enumerate()
            .map(|(i, v)| {
                (
                    names.get(i).copied().unwrap_or("field").to_owned(),
                    text::string(v),
                )
            })
            .collect();
        if let Some(rest) = line.strip_prefix(b"#Fields:") {
            all = columns(rest)
                .into_iter()
                .enumerate()
                .map(|(i, c)| (format!("field {}", i + 1), format!("{c:?}")))
                .collect();
        }
        all
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Date,
    Time,
    Bytes,
    Client,
    Method,
    Path,
    Query,
    Status,
    UserAgent,
    Detail,
    RequestId,
    Host,
    Protocol,
    Received,
    Taken,
    ForwardedFor,
    Port,
    Other,
}

fn columns(names: &[u8]) -> Vec<Column> {
    names
        .split(|c| matches!(c, b' ' | b'\t'))
        .filter(|n| !n.is_empty())
        .map(|name| match name {
            b"date" => Column::Date,
            b"time" => Column::Time,
            b"sc-bytes" => Column::Bytes,
            b"c-ip" => Column::Client,
            b"cs-method" => Column::Method,
            b"cs-uri-stem" => Column::Path,
            b"cs-uri-query" => Column::Query,
            b"sc-status" => Column::Status,
            b"cs(User-Agent)" => Column::UserAgent,
            b"x-edge-detailed-result-type" => Column::Detail,
            b"x-edge-request-id" => Column::RequestId,
            b"x-host-header" => Column::Host,
            b"cs-protocol" => Column::Protocol,
            b"cs-bytes" => Column::Received,
            b"time-taken" => Column::Taken,
            b"x-forwarded-for" => Column::ForwardedFor,
            b"c-port" => Column::Port,
            _ => Column::Other,
        })
        .collect()
}

/// `%20` undone; CloudFront encodes what would break its columns.
fn decode(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        let hex = rest
            .get(at + 1..at + 3)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                rest = &rest[at + 3..];
            }
            None => {
                out.push(b'%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

struct Reader {
    columns: Vec<Column>,
}

impl Reader {
    fn read(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        if let Some(names) = line.strip_prefix(b"#Fields:") {
            let found = columns(names);
            if !found.contains(&Column::Date) || !found.contains(&Column::Status) {
                return None;
            }
            self.columns = found;
            return Some(Outcome::Used);
        }
        if line.starts_with(b"#Version:") {
            return Some(Outcome::Beside);
        }
        let mut t = blank(record, HopKind::CloudFront);
        let (mut date, mut time) = (&b""[..], &b""[..]);
        let (mut path, mut query) = (&b""[..], &b""[..]);
        let mut seen = 0;
        for (value, column) in line.split(|c| *c == b'\t').zip(&self.columns) {
            seen += 1;
            match column {
                Column::Date => date = value,
                Column::Time => time = value,
                Column::Bytes => t.bytes_to_client = text::unsigned(value),
                Column::Client => t.client = text::address(value).map(|(ip, _)| ip),
                Column::Method => t.method = text::present(value).map(text::word),
                Column::Path => path = value,
                Column::Query => query = value,
                // 000: the client left before any answer.
                Column::Status => t.status = text::any_status(value),
                Column::UserAgent => {
                    t.user_agent = text::present(value)
                        .map(|v| text::string(&decode(v)))
                        .map(Word::from);
                }
                Column::Detail => {
                    t.termination = text::kept(value)
                        .filter(|d| {
                            d.contains("Error") || d.contains("Timeout") || d.contains("Comm")
                        })
                        .map(Word::from);
                }
                Column::RequestId => t.request_id = text::present(value).map(text::word),
                Column::Host => t.host = text::present(value).map(text::word),
                Column::Protocol => {
                    t.upgrade_asked = matches!(value, b"ws" | b"wss").then_some(true);
                }
                Column::Received => t.bytes_to_server = text::unsigned(value),
                Column::Taken => t.life_ns = stamp::seconds(value),
                Column::ForwardedFor => t.forwarded_for = text::addresses(&decode(value)),
                Column::Port => {
                    t.client_port = text::unsigned(value).and_then(|p| u16::try_from(p).ok());
                }
                Column::Other => {}
            }
        }
        if seen < self.columns.len().min(8) || date.len() != 10 || time.len() < 8 {
            return None;
        }
        let stamp_text = [date, b"T", time].concat();
        // The time is that of the end, and UTC.
        let end = stamp::iso(&stamp_text)?.utc();
        out.saw(end);
        out.zone(Zone {
            offset_s: 0,
            basis: ZoneBasis::Format,
        });
        if !matters(&t) {
            return Some(Outcome::Used);
        }
        t.end = Some(end);
        t.start = t.life_ns.map(|life| end.plus(-life));
        t.uri = text::present(path)
            .map(|p| match text::present(query) {
                Some(q) => format!("{}?{}", text::string(p), text::string(q)),
                None => text::string(p),
            })
            .map(Word::from);
        out.emit(Line::Tunnel(t));
        Some(Outcome::Used)
    }
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        self.read(record, line, out)
            .unwrap_or(Outcome::Odd("unknown-line"))
    }
}
