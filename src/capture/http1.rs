//! The first bytes of a flow -> the HTTP/1 heads in them: the request that asked for a WebSocket, and its answer (RFC 6455 4, RFC 9112).

use crate::model::{Mark, Request, Response};

/// A head longer than this is none.
pub(super) const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// What stood in a head.
#[derive(Debug)]
pub(super) enum Head<T> {
    /// Not all of it is there.
    Partial,
    NoHttp,
    Whole {
        head: T,
        len: usize,
        /// Length of the body where the head gives it; bodies in chunks are told by their shape instead.
        body: u64,
    },
}

/// Whether bytes could begin a request.
pub(super) fn begins_request(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] = [
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"PUT ",
        b"OPTIONS ",
        b"DELETE ",
        b"PATCH ",
        b"CONNECT ",
        b"TRACE ",
    ];
    METHODS.iter().any(|m| {
        let n = m.len().min(bytes.len());
        n > 0 && bytes.get(..n) == m.get(..n)
    })
}

/// Whether bytes could begin a response.
pub(super) fn begins_response(bytes: &[u8]) -> bool {
    const VERSION: &[u8] = b"HTTP/1.";
    let n = VERSION.len().min(bytes.len());
    n > 0 && bytes.get(..n) == VERSION.get(..n)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Several fields of one name are one list (RFC 9110 5.3).
fn join(slot: &mut Option<String>, value: &[u8]) {
    match slot {
        Some(known) => {
            known.push_str(", ");
            known.push_str(&String::from_utf8_lossy(value));
        }
        None => *slot = Some(text(value)),
    }
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|v| v.trim().parse().ok())
        .unwrap_or(0)
}

/// A request asks for a WebSocket by its Upgrade field, or by its key where a hop took that away.
pub(super) fn asks(request: &Request) -> bool {
    let upgrade = request
        .upgrade
        .as_deref()
        .is_some_and(|u| has_token(u, "websocket"));
    upgrade || request.key.is_some()
}

pub(super) fn has_token(list: &str, token: &str) -> bool {
    list.split(',').any(|t| {
        t.split('/')
            .next()
            .unwrap_or(t)
            .trim()
            .eq_ignore_ascii_case(token)
    })
}

pub(super) fn request(bytes: &[u8], mark: Mark) -> Head<Request> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut fields);
    let len = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(_) => return Head::NoHttp,
    };
    let mut head = empty_request(
        mark,
        parsed.method.unwrap_or_default(),
        parsed.path.unwrap_or_default(),
        parsed.version.unwrap_or(1),
    );
    let body = fill(&mut head, parsed.headers);
    Head::Whole { head, len, body }
}

fn empty_request(mark: Mark, method: &str, uri: &str, minor_version: u8) -> Request {
    Request {
        mark,
        method: method.to_owned(),
        uri: uri.to_owned(),
        uri_cut: false,
        minor_version,
        host: None,
        upgrade: None,
        connection: None,
        key: None,
        protocol: None,
        extensions: None,
        forwarded_for: None,
        real_ip: None,
        user_agent: None,
        request_id: None,
        cookie: None,
        via: None,
    }
}

fn fill(head: &mut Request, fields: &[httparse::Header<'_>]) -> u64 {
    let mut body = 0;
    for field in fields {
        let slot = match field.name.to_ascii_lowercase().as_str() {
            "host" => &mut head.host,
            "upgrade" => &mut head.upgrade,
            "connection" => &mut head.connection,
            "sec-websocket-key" => &mut head.key,
            "sec-websocket-protocol" => &mut head.protocol,
            "sec-websocket-extensions" => &mut head.extensions,
            "x-forwarded-for" => &mut head.forwarded_for,
            "x-real-ip" => &mut head.real_ip,
            "user-agent" => &mut head.user_agent,
            "x-request-id" | "x-amzn-trace-id" | "x-correlation-id" => &mut head.request_id,
            "cookie" => &mut head.cookie,
            "via" => &mut head.via,
            "content-length" => {
                body = number(field.value);
                continue;
            }
            _ => continue,
        };
        join(slot, field.value);
    }
    body
}

/// A request in the fields of HTTP/2 (RFC 9113 8.3.1, RFC 8441 4): `:protocol` says what the Upgrade header says.
pub(super) fn from_fields<'b>(
    fields: impl Iterator<Item = (&'b str, &'b [u8])>,
    mark: Mark,
) -> Request {
    let mut head = empty_request(mark, "CONNECT", "", 2);
    for (name, value) in fields {
        match name {
            ":method" => head.method = text(value),
            ":path" => head.uri = text(value),
            ":protocol" => head.upgrade = Some(text(value)),
            ":authority" => head.host = Some(text(value)),
            "host" if head.host.is_some() => {}
            _ => {
                fill(&mut head, &[httparse::Header { name, value }]);
            }
        }
    }
    head
}

/// An answer in the fields of HTTP/2.
pub(super) fn response_from_fields<'b>(
    status: u16,
    fields: impl Iterator<Item = (&'b str, &'b [u8])>,
    mark: Mark,
) -> Response {
    let mut head = empty_response(mark, status, "", 2);
    for (name, value) in fields {
        answer_field(&mut head, name, value);
    }
    head
}

/// What can be read of a head whose end is in no packet: the request line, and the fields that are whole.
pub(super) fn cut_request(bytes: &[u8], mark: Mark) -> Option<Request> {
    let mut lines = bytes
        .split(|&b| b == b'\n')
        .map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let first = lines.next()?;
    let mut words = first.split(|&b| b == b' ');
    let (method, uri) = (words.next()?, words.next()?);
    let protocol = words.next();
    let version = protocol.map_or(1, |v| u8::from(v != b"HTTP/1.0"));
    let mut request = empty_request(mark, &text(method), &text(uri), version);
    request.uri_cut = protocol.is_none();
    let whole: Vec<&[u8]> = lines.collect();
    let whole = whole.split_last().map_or(&[][..], |(_, w)| w);
    let fields: Vec<httparse::Header<'_>> = whole
        .iter()
        .filter_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            let name = std::str::from_utf8(line.get(..colon)?).ok()?;
            Some(httparse::Header {
                name,
                value: line.get(colon + 1..)?.trim_ascii(),
            })
        })
        .collect();
    fill(&mut request, &fields);
    Some(request)
}

pub(super) fn response(bytes: &[u8], mark: Mark) -> Head<Response> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(_) => return Head::NoHttp,
    };
    let mut head = empty_response(
        mark,
        parsed.code.unwrap_or(0),
        parsed.reason.unwrap_or_default(),
        parsed.version.unwrap_or(1),
    );
    let mut body = 0;
    for field in parsed.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            body = number(field.value);
        }
        answer_field(&mut head, field.name, field.value);
    }
    Head::Whole { head, len, body }
}

fn answer_field(head: &mut Response, name: &str, value: &[u8]) {
    let slot = match name.to_ascii_lowercase().as_str() {
        "upgrade" => &mut head.upgrade,
        "connection" => &mut head.connection,
        "sec-websocket-accept" => &mut head.accept,
        "sec-websocket-protocol" => &mut head.protocol,
        "sec-websocket-extensions" => &mut head.extensions,
        "server" => &mut head.server,
        "via" => &mut head.via,
        _ => return,
    };
    join(slot, value);
}

fn empty_response(mark: Mark, status: u16, reason: &str, minor_version: u8) -> Response {
    Response {
        mark,
        status,
        reason: reason.to_owned(),
        minor_version,
        upgrade: None,
        connection: None,
        accept: None,
        accept_right: None,
        protocol: None,
        extensions: None,
        server: None,
        via: None,
    }
}

/// The status line of a head whose end is in no packet.
pub(super) fn cut_response(bytes: &[u8], mark: Mark) -> Option<Response> {
    let line = bytes.split(|&b| b == b'\r' || b == b'\n').next()?;
    let mut words = line.splitn(3, |&b| b == b' ');
    let version = words.next()?;
    let status = std::str::from_utf8(words.next()?)
        .ok()
        .filter(|s| s.len() == 3)?
        .parse()
        .ok()?;
    Some(empty_response(
        mark,
        status,
        &text(words.next().unwrap_or_default()),
        u8::from(version != b"HTTP/1.0"),
    ))
}

/// The accept value that answers `key` (RFC 6455 4.2.2).
pub(super) fn accept(key: &str) -> String {
    let mut input = key.trim().as_bytes().to_vec();
    input.extend_from_slice(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&sha1(&input))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let value =
            chunk.iter().fold(0u32, |v, &b| v << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let index = (value >> (18 - 6 * i) & 63) as usize;
            out.push(if i <= chunk.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    out
}

/// SHA-1 (FIPS 180-4 6.1), here for the accept value alone.
fn sha1(input: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    let mut padded = input.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(input.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut w = [0u32; 80];
        for (slot, b) in w.iter_mut().zip(block.chunks_exact(4)) {
            *slot = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i {
                0..=19 => (b & c | !b & d, 0x5A82_7999),
                20..=39 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..=59 => (b & c | b & d | c & d, 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(f)
                .wrapping_add(e)
                .wrapping_add(k)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (s, v) in state.iter_mut().zip([a, b, c, d, e]) {
            *s = s.wrapping_add(v);
        }
    }
    let mut out = [0; 20];
    for (to, word) in out.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// What an answer grants that its request did not ask for: the client has to fail the connection (RFC 6455 4.1).
pub(super) fn handshake_faults(
    request: &Request,
    response: &Response,
) -> impl Iterator<Item = &'static str> + use<> {
    let strange = |granted: &Option<String>, asked: &Option<String>| {
        let name = |item: &str| item.split(';').next().unwrap_or(item).trim().to_owned();
        let asked: Vec<String> = asked.iter().flat_map(|a| a.split(',')).map(name).collect();
        granted
            .iter()
            .flat_map(|g| g.split(','))
            .map(name)
            .any(|g| !g.is_empty() && !asked.contains(&g))
    };
    // Of a head that is cut it is not known what it asked for.
    let told = response.upgraded() && !request.uri_cut && request.key.is_some();
    let subprotocol = told && strange(&response.protocol, &request.protocol);
    let extension = told && strange(&response.extensions, &request.extensions);
    [
        subprotocol.then_some("subprotocol-not-offered"),
        extension.then_some("extension-not-offered"),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Moment, RecordRef, SourceId};

    fn mark() -> Mark {
        Mark {
            at: Moment(0),
            record: RecordRef {
                source: SourceId(0),
                ordinal: 1,
                start: 0,
                len: 0,
            },
        }
    }

    #[test]
    fn the_accept_value_of_the_standard() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(base64(&sha1(b"abc")), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    }

    #[test]
    fn what_asks_for_a_websocket() {
        let check = |head: &str, expected: bool| match request(head.as_bytes(), mark()) {
            Head::Whole { head, .. } => assert_eq!(asks(&head), expected, "{head:?}"),
            other => panic!("{head}: {other:?}"),
        };
        check("GET /ws HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n", true);
        check("GET /ws HTTP/1.0\r\nSec-WebSocket-Key: abc\r\n\r\n", true);
        check("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", false);
        check("GET /h2 HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", false);
    }

    #[test]
    fn a_cut_head_gives_what_it_holds() {
        let r = cut_request(b"GET /ws?a=1 HTTP/1.1\r\nHost: h\r\nUpgr", mark()).unwrap();
        assert_eq!(
            (r.uri.as_str(), r.host.as_deref(), r.upgrade),
            ("/ws?a=1", Some("h"), None)
        );
        for (cut, inside_uri) in [
            (&b"GET /ws?session=al"[..], true),
            (b"GET /ws?session=alice H", false),
            (b"GET /ws?session=alice ", false),
        ] {
            assert_eq!(cut_request(cut, mark()).unwrap().uri_cut, inside_uri);
        }
        assert_eq!(
            cut_response(b"HTTP/1.1 101 Switching Pro", mark())
                .unwrap()
                .status,
            101
        );
        assert!(cut_response(b"HTTP/1.1 10", mark()).is_none());
    }
}
