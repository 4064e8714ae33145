//! The values of one access-log line, whatever its layout -> a `TunnelLine`, or nothing where it is a plain request.

use super::stamp::{self, Memo};
use super::text;
use super::{Out, Outcome};
use crate::model::{HopKind, Line, LocalZone, RecordRef, Stamp, TunnelLine, Word, Zone, ZoneBasis};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A tunnel of which nothing is known yet.
pub(super) const fn blank(record: RecordRef, hop: HopKind) -> TunnelLine {
    TunnelLine {
        record,
        hop,
        start: None,
        end: None,
        life_ns: None,
        client: None,
        client_port: None,
        forwarded_for: Vec::new(),
        upstream: None,
        upstream_local: None,
        method: None,
        uri: None,
        host: None,
        status: None,
        upstream_status: None,
        bytes_to_client: None,
        bytes_to_server: None,
        upgrade_asked: None,
        termination: None,
        user_agent: None,
        request_id: None,
        ws_key: None,
        serial: None,
    }
}

/// What is worth passing on: a tunnel, a wish for one, or a refusal that may have been of one.
pub(super) fn matters(tunnel: &TunnelLine) -> bool {
    tunnel.status.is_none_or(|s| s == 101 || s >= 400)
        || tunnel.upgrade_asked == Some(true)
        || tunnel.ws_key.is_some()
}

/// What a place in an access line holds. Names are nginx's variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Var {
    RemoteAddr,
    RemotePort,
    /// `$time_local`, `$time_iso8601`, or any date under a key.
    Time,
    Msec,
    Request,
    Method,
    Uri,
    /// `$args`: what stands after the `?` that `$uri` leaves out.
    Args,
    Status,
    BytesSent,
    BodyBytesSent,
    RequestTime,
    /// `$upstream_response_time`: of a tunnel its whole life as well.
    UpstreamTime,
    UpstreamAddr,
    UpstreamStatus,
    UpstreamBytesSent,
    Upgrade,
    WsKey,
    ForwardedFor,
    /// `$proxy_add_x_forwarded_for`: the list with the peer itself at its end.
    ForwardedForAdded,
    /// The client as a hop before this one named it by itself: the PROXY protocol, `X-Real-IP`, a CDN's own header.
    RealIp,
    UserAgent,
    RequestId,
    Host,
    Serial,
    /// `stream`: `$protocol`, `$session_time`, `$bytes_received`.
    Protocol,
    SessionTime,
    BytesReceived,
    /// Nothing that is used.
    Gap,
}

const VARS: usize = Var::Gap as usize + 1;
/// Every variable in its own place.
const VALUED: [Var; VARS] = [
    Var::RemoteAddr,
    Var::RemotePort,
    Var::Time,
    Var::Msec,
    Var::Request,
    Var::Method,
    Var::Uri,
    Var::Args,
    Var::Status,
    Var::BytesSent,
    Var::BodyBytesSent,
    Var::RequestTime,
    Var::UpstreamTime,
    Var::UpstreamAddr,
    Var::UpstreamStatus,
    Var::UpstreamBytesSent,
    Var::Upgrade,
    Var::WsKey,
    Var::ForwardedFor,
    Var::ForwardedForAdded,
    Var::RealIp,
    Var::UserAgent,
    Var::RequestId,
    Var::Host,
    Var::Serial,
    Var::Protocol,
    Var::SessionTime,
    Var::BytesReceived,
    Var::Gap,
];

impl Var {
    /// By nginx's own name, without `$`.
    pub(super) fn of_variable(name: &str) -> Self {
        match name {
            "remote_addr" => Self::RemoteAddr,
            "remote_port" => Self::RemotePort,
            "time_local" | "time_iso8601" => Self::Time,
            "msec" => Self::Msec,
            "request" => Self::Request,
            "request_method" => Self::Method,
            "request_uri" | "uri" | "document_uri" => Self::Uri,
            "args" | "query_string" => Self::Args,
            "status" => Self::Status,
            "bytes_sent" => Self::BytesSent,
            "body_bytes_sent" => Self::BodyBytesSent,
            "request_time" => Self::RequestTime,
            "upstream_response_time" => Self::UpstreamTime,
            "upstream_addr" => Self::UpstreamAddr,
            "upstream_status" => Self::UpstreamStatus,
            "upstream_bytes_sent" => Self::UpstreamBytesSent,
            "http_upgrade" => Self::Upgrade,
            "http_sec_websocket_key" => Self::WsKey,
            "http_x_forwarded_for" => Self::ForwardedFor,
            "proxy_add_x_forwarded_for" => Self::ForwardedForAdded,
            "proxy_protocol_addr"
            | "http_x_real_ip"
            | "http_true_client_ip"
            | "http_cf_connecting_ip" => Self::RealIp,
            "http_user_agent" => Self::UserAgent,
            "request_id" | "req_id" | "http_x_request_id" => Self::RequestId,
            "host" | "http_host" => Self::Host,
            "connection" => Self::Serial,
            "protocol" => Self::Protocol,
            "session_time" => Self::SessionTime,
            "bytes_received" => Self::BytesReceived,
            _ => Self::Gap,
        }
    }

    /// By the key that somebody gave it in a JSON or `key=value` layout.
    pub(super) fn of_key(key: &[u8]) -> Self {
        let mut buffer = [0u8; 32];
        match normal(key, &mut buffer) {
            b"remoteaddr" | b"clientip" | b"client" | b"ip" | b"remoteip" | b"clientaddr"
            | b"srcip" | b"remote" | b"remotehost" => Self::RemoteAddr,
            b"remoteport" | b"clientport" | b"srcport" => Self::RemotePort,
            b"time" | b"timelocal" | b"timeiso8601" | b"timestamp" | b"ts" | b"date"
            | b"datetime" | b"isotime" | b"timeiso" | b"localtime" => Self::Time,
            b"msec" | b"timemsec" => Self::Msec,
            b"request" | b"req" | b"requestline" => Self::Request,
            b"method" | b"requestmethod" | b"verb" => Self::Method,
            b"uri" | b"requesturi" | b"url" | b"path" | b"requestpath" => Self::Uri,
            b"args" | b"query" | b"querystring" => Self::Args,
            b"upstreamresponsetime" | b"urt" | b"upstreamtime" => Self::UpstreamTime,
            b"status" | b"statuscode" | b"responsecode" | b"responsestatus" | b"code" => {
                Self::Status
            }
            b"bytessent" | b"bytes" | b"size" => Self::BytesSent,
            b"bodybytessent" | b"bodybytes" => Self::BodyBytesSent,
            b"requesttime" | b"rt" | b"reqtime" | b"duration" | b"elapsed" | b"latency"
            | b"took" | b"requestduration" => Self::RequestTime,
            b"upstreamaddr" | b"upstream" | b"upsaddr" | b"upstreamhost" | b"ua1" => {
                Self::UpstreamAddr
            }
            b"upstreamstatus" | b"ustatus" | b"upsstatus" => Self::UpstreamStatus,
            b"upstreambytessent" | b"upstx" => Self::UpstreamBytesSent,
            b"httpupgrade" | b"upgrade" | b"upg" => Self::Upgrade,
            b"httpsecwebsocketkey" | b"secwebsocketkey" | b"swk" | b"wskey" | b"websocketkey" => {
                Self::WsKey
            }
            b"xff" | b"httpxforwardedfor" | b"xforwardedfor" | b"forwardedfor" => {
                Self::ForwardedFor
            }
            b"xrealip"
            | b"realip"
            | b"httpxrealip"
            | b"proxyprotocoladdr"
            | b"cfconnectingip"
            | b"httpcfconnectingip"
            | b"trueclientip" => Self::RealIp,
            b"httpuseragent" | b"useragent" | b"ua" | b"agent" => Self::UserAgent,
            b"requestid" | b"reqid" | b"xrequestid" => Self::RequestId,
            b"host" | b"httphost" | b"vhost" => Self::Host,
            b"connection" | b"conn" | b"connectionserial" => Self::Serial,
            b"bytesreceived" => Self::BytesReceived,
            b"sessiontime" => Self::SessionTime,
            _ => Self::Gap,
        }
    }
}

/// A key in lower case without `_`, `-`, `.`, `@`, `$`; keys over 32 bytes are nobody's.
pub(super) fn normal<'b>(key: &[u8], buffer: &'b mut [u8; 32]) -> &'b [u8] {
    let mut n = 0;
    for c in key {
        if matches!(c, b'_' | b'-' | b'.' | b'@' | b'$' | b' ') {
            continue;
        }
        if n == buffer.len() {
            return b"";
        }
        buffer[n] = c.to_ascii_lowercase();
        n += 1;
    }
    &buffer[..n]
}

/// The raw values of one line by what they are; escapes still in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a>([Option<&'a [u8]>; VARS]);

impl<'a> Values<'a> {
    pub(super) const fn new() -> Self {
        Self([None; VARS])
    }
    pub(super) fn set(&mut self, var: Var, value: &'a [u8]) {
        self.0[var as usize] = Some(value);
    }
    /// Sets it unless something already did.
    pub(super) fn fill(&mut self, var: Var, value: &'a [u8]) {
        self.0[var as usize].get_or_insert(value);
    }
    pub(super) const fn get(&self, var: Var) -> Option<&'a [u8]> {
        self.0[var as usize]
    }
    pub(super) const fn has(&self, var: Var) -> bool {
        self.0[var as usize].is_some()
    }
    /// The variable whose value this is: the same bytes in the same place.
    pub(super) fn holding(&self, value: &[u8]) -> Var {
        let here = |v: &Option<&[u8]>| {
            v.is_some_and(|v| v.as_ptr() == value.as_ptr() && v.len() == value.len())
        };
        let at = self.0.iter().position(here);
        at.and_then(|i| VALUED.get(i)).copied().unwrap_or(Var::Gap)
    }
    fn kept(&self, var: Var) -> Option<String> {
        self.get(var).and_then(text::present).map(decoded)
    }
    fn number(&self, var: Var) -> Option<u64> {
        self.get(var).and_then(text::unsigned)
    }
}

fn decoded(value: &[u8]) -> String {
    if memchr::memchr(b'\\', value).is_some() {
        text::string(&text::unescape(value))
    } else {
        text::string(value)
    }
}

/// Paths on which an upgrade was seen are remembered up to this many.
const MAX_PATHS: usize = 64;
/// Clients of tunnels in a log that names no request are remembered up to this many.
const MAX_CLIENTS: usize = 4096;

/// What carries over from line to line of one access log.
#[derive(Debug, Default)]
pub(super) struct AccessState {
    memo: Memo,
    paths: Vec<Vec<u8>>,
    /// Clients of tunnels without a request beside them; `true` = of plain requests as well.
    clients: BTreeMap<IpAddr, bool>,
    assumed: LocalZone,
}

impl AccessState {
    pub(super) fn new(assumed: LocalZone) -> Self {
        Self {
            assumed,
            ..Self::default()
        }
    }

    /// A date under `Var::Time` in any of its spellings.
    pub(super) fn date(&mut self, value: &[u8]) -> Option<(Stamp, Zone)> {
        let parse: fn(&[u8]) -> Option<stamp::Date> = if value.get(2) == Some(&b'/') {
            stamp::clf
        } else {
            stamp::iso
        };
        if let Some(date) = self.memo.get(value, parse) {
            return Some(date.stamp(self.assumed));
        }
        Some((
            stamp::epoch(value)?,
            Zone {
                offset_s: 0,
                basis: ZoneBasis::Epoch,
            },
        ))
    }

    /// Turns the values into a record of that hop. nginx stamps a request when it is over (nginx.org ngx_http_log_module).
    pub(super) fn record(
        &mut self,
        hop: HopKind,
        values: &Values<'_>,
        record: RecordRef,
        out: &mut Out<'_>,
    ) -> Outcome {
        let written = match values.get(Var::Time) {
            Some(value) => match self.date(value) {
                Some(date) => Some(date),
                None => return Outcome::Odd("unknown-line"),
            },
            None => None,
        };
        let exact = values.get(Var::Msec).and_then(stamp::epoch);
        let (end, zone) = match (exact, written) {
            (Some(end), Some((_, zone))) => (end, zone),
            (Some(end), None) => (
                end,
                Zone {
                    offset_s: 0,
                    basis: ZoneBasis::Epoch,
                },
            ),
            (None, Some(found)) => found,
            (None, None) => match out.outer {
                Some(outer) => (
                    outer,
                    Zone {
                        offset_s: 0,
                        basis: ZoneBasis::Epoch,
                    },
                ),
                None => return Outcome::Odd("no-time"),
            },
        };
        out.saw(end);
        out.zone(zone);

        let status = values.get(Var::Status).and_then(text::any_status);
        let upgrade_asked = values
            .get(Var::Upgrade)
            .map(|v| v.len() >= 9 && v.windows(9).any(|w| w.eq_ignore_ascii_case(b"websocket")));
        let ws_key = values.kept(Var::WsKey);
        let stream = values.has(Var::SessionTime);
        let (method, target) = match values.get(Var::Request) {
            Some(request) => {
                text::request(request).map_or((None, None), |(m, u)| (Some(m), Some(u)))
            }
            None => (
                values.get(Var::Method),
                values.get(Var::Uri).and_then(text::present),
            ),
        };
        let path = target.map(text::path);
        let upgraded = status == Some(101) || upgrade_asked == Some(true) || ws_key.is_some();
        if upgraded
            && let Some(path) = path
            && self.paths.len() < MAX_PATHS
            && !self.was_upgraded(path)
        {
            self.paths.push(path.to_vec());
        }
        let client = values.get(Var::RemoteAddr).and_then(text::address);
        let refused = status.is_some_and(|s| s >= 400);
        let failed = refused && target.is_some();
        let wanted = upgraded
            || stream
            || refused && target.is_none() && self.only_tunnels(client)
            || failed
                && (upgrade_asked.is_none()
                    || status == Some(426)
                    || path.is_some_and(|p| self.was_upgraded(p)));
        if target.is_none() && !stream {
            self.remember(client, upgraded, refused);
            out.in_order = true;
        }
        if !wanted {
            return Outcome::Used;
        }
        // Most failed requests are for pages: no more is read of them than it takes to find them again.
        if let (false, false, None, Some(target)) = (upgraded, stream, upgrade_asked, target)
            && memchr::memchr(b'\\', target).is_none()
            && out.puts_off(record, text::relative(target).0)
        {
            return Outcome::Used;
        }

        let life_ns = values
            .get(Var::RequestTime)
            .or_else(|| values.get(Var::SessionTime))
            .or_else(|| values.get(Var::UpstreamTime).map(text::last_of))
            .and_then(stamp::seconds);
        let mut forwarded_for = values
            .get(Var::ForwardedFor)
            .map(text::addresses)
            .unwrap_or_default();
        if let Some(added) = values.get(Var::ForwardedForAdded).map(text::addresses)
            && forwarded_for.is_empty()
        {
            forwarded_for = added;
            forwarded_for.pop();
        }
        if forwarded_for.is_empty() {
            // An address that is the peer's own names nobody behind it.
            forwarded_for = values
                .get(Var::RealIp)
                .map(text::addresses)
                .unwrap_or_default();
            forwarded_for.retain(|ip| Some(*ip) != client.map(|(peer, _)| peer));
        }
        out.emit(Line::Tunnel(TunnelLine {
            record,
            hop,
            start: life_ns.map(|life| end.plus(-life)),
            end: Some(end),
            life_ns,
            client: client.map(|(ip, _)| ip),
            client_port: values
                .number(Var::RemotePort)
                .and_then(|p| u16::try_from(p).ok())
                .or_else(|| client.and_then(|(_, port)| port)),
            forwarded_for,
            upstream_local: None,
            upstream: values
                .get(Var::UpstreamAddr)
                .map(text::last_of)
                .and_then(text::socket),
            method: method.map(text::word),
            uri: target
                .map(|u| {
                    let uri = decoded(text::relative(u).0);
                    match values.kept(Var::Args) {
                        Some(args) if !uri.contains('?') => format!("{uri}?{args}"),
                        _ => uri,
                    }
                })
                .map(Word::from),
            host: values.kept(Var::Host).map(Word::from),
            status: status.filter(|_| !stream),
            upstream_status: values
                .get(Var::UpstreamStatus)
                .map(text::last_of)
                .and_then(text::status),
            bytes_to_client: values
                .number(Var::BytesSent)
                .or_else(|| values.number(Var::BodyBytesSent)),
            bytes_to_server: values
                .number(Var::UpstreamBytesSent)
                .or_else(|| values.number(Var::BytesReceived)),
            upgrade_asked,
            termination: None,
            user_agent: values.kept(Var::UserAgent).map(Word::from),
            request_id: values.kept(Var::RequestId).map(Word::from),
            ws_key: ws_key.map(Word::from),
            serial: values.number(Var::Serial),
        }));
        Outcome::Used
    }

    /// An upgrade was asked for on this path before.
    pub(super) fn was_upgraded(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|known| known == path)
    }

    fn remember(&mut self, client: Option<(IpAddr, Option<u16>)>, upgraded: bool, refused: bool) {
        let Some((ip, _)) = client else { return };
        if upgraded {
            if self.clients.len() < MAX_CLIENTS {
                self.clients.entry(ip).or_insert(false);
            }
        } else if !refused && let Some(plain) = self.clients.get_mut(&ip) {
            *plain = true;
        }
    }

    /// All that this client asked for so far were tunnels: what it was refused was one.
    fn only_tunnels(&self, client: Option<(IpAddr, Option<u16>)>) -> bool {
        client.is_some_and(|(ip, _)| self.clients.get(&ip) == Some(&false))
    }
}
