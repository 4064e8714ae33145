//! W3C extended logs, whose columns `#Fields` names (CloudFront's standard logs, IIS) -> tunnels.

use super::access::{blank, matters};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{HopKind, Line, MILLI_NS, RecordRef, SECOND_NS, Word, Zone, ZoneBasis};
use std::borrow::Cow;

#[derive(Debug)]
pub(super) struct CloudFront;

#[derive(Debug)]
pub(super) struct Iis;

/// What one program makes of the format.
#[derive(Debug)]
struct Dialect {
    hop: HopKind,
    separator: u8,
    /// Columns where the file's head was cut off.
    fields: &'static str,
    /// What only its own columns are called, or begin with.
    own: &'static [&'static str],
    /// Of `time-taken`.
    unit_ns: i64,
    /// What it makes of values that would break its columns, undone.
    decode: fn(&[u8]) -> Cow<'_, [u8]>,
}

/// AWS, CloudFront standard logs, version 1.0.
static CLOUDFRONT: Dialect = Dialect {
    hop: HopKind::CloudFront,
    separator: b'\t',
    fields: "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end",
    own: &["x-edge-", "fle-"],
    unit_ns: SECOND_NS,
    decode: unescaped,
};

/// What IIS 10 logs where nobody chose otherwise (learn.microsoft.com, W3C logging).
static IIS: Dialect = Dialect {
    hop: HopKind::Iis,
    separator: b' ',
    fields: "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken",
    own: &["s-", "cs-username", "sc-substatus", "sc-win32-status"],
    unit_ns: MILLI_NS,
    decode: with_blanks,
};

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
        Box::new(Reader::of(&CLOUDFRONT))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        CLOUDFRONT.named(line)
    }
}

impl LogFormat for Iis {
    fn name(&self) -> &'static str {
        "iis"
    }
    fn title(&self) -> &'static str {
        "IIS log (W3C)"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "2026-11-20 20:49:04 192.0.2.4 GET /hub id=1 443 - 203.0.113.7 Mozilla/5.0+(Windows+NT+10.0) https://ws.test/ 101 0 64 60015",
            "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken",
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader::of(&IIS))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        IIS.named(line)
    }
}

impl Dialect {
    /// Each value of a line under its column's name.
    fn named(&self, line: &[u8]) -> Vec<(String, String)> {
        if let Some(rest) = line.strip_prefix(b"#Fields:") {
            let all = columns(rest).into_iter().enumerate();
            return all
                .map(|(i, c)| (format!("field {}", i + 1), format!("{c:?}")))
                .collect();
        }
        let names: Vec<&str> = self.fields.split(' ').collect();
        line.split(|c| *c == self.separator)
            .enumerate()
            .map(|(i, v)| {
                let name = names.get(i).copied().unwrap_or("field");
                (name.to_owned(), text::string(v))
            })
            .collect()
    }

    /// Columns as `#Fields` names them, where they are this program's.
    fn columns(&self, names: &[u8]) -> Option<Vec<Column>> {
        let own = names.split(|c| matches!(c, b' ' | b'\t')).any(|name| {
            let begins = |own: &&str| name.starts_with(own.as_bytes());
            self.own.iter().any(begins)
        });
        let found = columns(names);
        let enough = found.contains(&Column::Date) && found.contains(&Column::Status);
        (own && enough).then_some(found)
    }
}

/// A line of IIS, which begins as a record of an application may.
pub(super) fn looks(line: &[u8]) -> bool {
    let mut values = line.split(|c| *c == b' ');
    let dated = values.next().is_some_and(|date| date.len() == 10)
        && values.next().is_some_and(|time| time.len() == 8);
    // The server's address, which may stand behind the site's name and the computer's, and the method.
    let mut rest = values.skip_while(|v| text::address(v).is_none());
    dated
        && rest.next().is_some()
        && rest.next().is_some_and(|method| {
            (3..=7).contains(&method.len()) && method.iter().all(u8::is_ascii_uppercase)
        })
        && rest.next().is_some_and(|path| path.starts_with(b"/"))
        && rest.count() >= 6
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
    /// `sc-win32-status`: what the system said of the request's end; 0 = nothing.
    System,
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
            b"x-host-header" | b"cs-host" => Column::Host,
            b"cs-protocol" => Column::Protocol,
            b"cs-bytes" => Column::Received,
            b"time-taken" => Column::Taken,
            b"x-forwarded-for" | b"X-Forwarded-For" => Column::ForwardedFor,
            b"c-port" => Column::Port,
            b"sc-win32-status" => Column::System,
            _ => Column::Other,
        })
        .collect()
}

/// `%20` undone: CloudFront encodes what would break its columns.
fn unescaped(value: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let hex = from
            .get(1..3)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(hex.unwrap_or(b'%'));
        rest = from
            .get(if hex.is_some() { 3 } else { 1 }..)
            .unwrap_or_default();
    }
    if out.is_empty() {
        return Cow::Borrowed(value);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// IIS writes `+` for a blank.
fn with_blanks(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', value).is_none() {
        return Cow::Borrowed(value);
    }
    let blank = |&c: &u8| if c == b'+' { b' ' } else { c };
    Cow::Owned(value.iter().map(blank).collect())
}

struct Reader {
    dialect: &'static Dialect,
    columns: Vec<Column>,
}

impl Reader {
    fn of(dialect: &'static Dialect) -> Self {
        Self {
            dialect,
            columns: columns(dialect.fields.as_bytes()),
        }
    }

    fn read(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        let Dialect {
            hop,
            separator,
            unit_ns,
            decode,
            ..
        } = self.dialect;
        if let Some(names) = line.strip_prefix(b"#Fields:") {
            self.columns = self.dialect.columns(names)?;
            return Some(Outcome::Used);
        }
        let heads: [&[u8]; 3] = [b"#Version:", b"#Software:", b"#Date:"];
        if heads.iter().any(|head| line.starts_with(head)) {
            return Some(Outcome::Beside);
        }
        let mut t = blank(record, *hop);
        let (mut date, mut time) = (&b""[..], &b""[..]);
        let (mut path, mut query) = (&b""[..], &b""[..]);
        let mut seen = 0;
        for (value, column) in line.split(|c| c == separator).zip(&self.columns) {
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
                    t.user_agent = text::present(value).map(|v| text::word(&decode(v)));
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
                Column::Taken => {
                    let taken = stamp::seconds(value);
                    t.life_ns = taken.and_then(|s| s.checked_div(SECOND_NS / unit_ns));
                }
                Column::ForwardedFor => t.forwarded_for = text::addresses(&decode(value)),
                Column::Port => {
                    t.client_port = text::unsigned(value).and_then(|p| u16::try_from(p).ok());
                }
                Column::System => {
                    t.termination = text::present(value)
                        .filter(|status| *status != b"0")
                        .map(|status| text::word(&[b"win32-status ", status].concat()));
                }
                Column::Other => {}
            }
        }
        // An address where none can be missing: what else begins with a date has words there.
        let nobody = t.client.is_none() && self.columns.contains(&Column::Client);
        if seen < self.columns.len().min(8) || nobody || date.len() != 10 || time.len() != 8 {
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
