//! `key=value` lines of TCP load balancers and proxies (source, destination, duration, reason) -> tunnels.

use super::access::normal;
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{
    HopKind, Line, LocalZone, MICRO_NS, MILLI_NS, RecordRef, SECOND_NS, Stamp, TunnelLine, Zone,
    ZoneBasis,
};
use std::net::{IpAddr, SocketAddr};

#[derive(Debug)]
pub(super) struct ProxyPairs;

impl LogFormat for ProxyPairs {
    fn name(&self) -> &'static str {
        "proxy-pairs"
    }
    fn title(&self) -> &'static str {
        "load balancer log of key=value pairs"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "2026-11-20T21:42:29.472Z conn=2 src=192.0.2.11:38421 dst=192.0.2.2:80 dur_ms=5007 in=249 out=210 reason=idle-timeout",
            "time=2026-11-20T21:42:29Z client=192.0.2.11:38421 backend=192.0.2.2:80 duration=5.007s bytes_in=249 bytes_out=210 close_reason=client",
        ]
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader {
            assumed: options.assumed_zone,
        })
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let mut all = Vec::new();
        if let Some(date) = stamp::iso(line) {
            all.push(("time".to_owned(), text::string(&line[..date.len])));
        }
        all.extend(text::Pairs(line).map(|(k, v)| (text::string(k), text::string(v))));
        all
    }
}

#[derive(Default)]
struct Entry<'a> {
    time: Option<&'a [u8]>,
    client: Option<(IpAddr, Option<u16>)>,
    client_port: Option<u16>,
    upstream: Option<SocketAddr>,
    life_ns: Option<i64>,
    reason: Option<&'a [u8]>,
    to_server: Option<u64>,
    to_client: Option<u64>,
}

/// A duration under a key that names its unit, or with the unit written after it.
fn duration(key: &[u8], value: &[u8]) -> Option<i64> {
    let digits = value
        .iter()
        .take_while(|c| c.is_ascii_digit() || **c == b'.')
        .count();
    let (number, unit) = value.split_at(digits);
    let unit_ns = match unit {
        b"ms" => MILLI_NS,
        b"s" | b"sec" => SECOND_NS,
        b"us" => MICRO_NS,
        b"ns" => 1,
        b"" if key.ends_with(b"ms") || key.ends_with(b"millis") => MILLI_NS,
        b"" if key.ends_with(b"us") => MICRO_NS,
        b"" if key.ends_with(b"ns") => 1,
        b"" if key.ends_with(b"s")
            || key.ends_with(b"sec")
            || memchr::memchr(b'.', number).is_some() =>
        {
            SECOND_NS
        }
        // Proxies that name no unit count milliseconds.
        b"" => MILLI_NS,
        _ => return None,
    };
    stamp::decimal(number, unit_ns)
}

fn entry(line: &[u8]) -> Option<Entry<'_>> {
    if memchr::memchr_iter(b'=', line).take(4).count() < 4 {
        return None;
    }
    let mut e = Entry::default();
    for (key, value) in text::Pairs(line) {
        let mut buffer = [0; 32];
        let key = normal(key, &mut buffer);
        match key {
            b"src" | b"source" | b"client" | b"clientaddr" | b"clientip" | b"srcaddr"
            | b"srcip" | b"from" | b"peer" | b"remote" | b"remoteaddr" => {
                e.client = e.client.or_else(|| text::address(value))
            }
            b"srcport" | b"clientport" | b"sport" | b"spt" | b"remoteport" => {
                e.client_port = text::unsigned(value).and_then(|p| u16::try_from(p).ok());
            }
            b"dst" | b"dest" | b"destination" | b"backend" | b"upstream" | b"server"
            | b"target" | b"to" | b"dstaddr" | b"upstreamaddr" => {
                e.upstream = e.upstream.or_else(|| text::socket(value))
            }
            b"durms" | b"durationms" | b"duration" | b"dur" | b"elapsed" | b"elapsedms"
            | b"life" | b"lifems" | b"sessiontime" | b"durs" | b"durations" | b"connms" => {
                e.life_ns = duration(key, value)
            }
            b"reason" | b"closereason" | b"termination" | b"terminationstate" | b"endreason"
            | b"cause" | b"closedby" => {
                e.reason = text::present(value);
            }
            b"in" | b"bytesin" | b"rx" | b"received" | b"bytesreceived" | b"c2s" => {
                e.to_server = text::unsigned(value)
            }
            b"out" | b"bytesout" | b"tx" | b"sent" | b"bytessent" | b"s2c" => {
                e.to_client = text::unsigned(value)
            }
            b"time" | b"ts" | b"timestamp" | b"t" => e.time = Some(value),
            _ => {}
        }
    }
    // A connection between two addresses that was over: anything less may be an application's own words.
    (e.client.is_some() && e.upstream.is_some() && e.life_ns.is_some()).then_some(e)
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    entry(line).is_some()
}

struct Reader {
    assumed: LocalZone,
}

impl Reader {
    fn time(&self, line: &[u8], e: &Entry<'_>, out: &Out<'_>) -> Option<(Stamp, Zone)> {
        let front = line.strip_prefix(b"[").unwrap_or(line);
        for text in [Some(front), e.time].into_iter().flatten() {
            if let Some(date) = stamp::iso(text).or_else(|| stamp::clf(text)) {
                return Some(date.stamp(self.assumed));
            }
        }
        let epoch = Zone {
            offset_s: 0,
            basis: ZoneBasis::Epoch,
        };
        if let Some(stamp) = e.time.and_then(stamp::epoch) {
            return Some((stamp, epoch));
        }
        if let Some((Some(date), _)) = stamp::syslog(front, out.near()) {
            return Some(date.stamp(self.assumed));
        }
        out.outer.map(|s| (s, epoch))
    }
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        let Some(e) = entry(line) else {
            // Such programs say more than connections: what has a date is theirs.
            return match stamp::iso(line) {
                Some(_) if !super::nginx_error::looks(line) => Outcome::Beside,
                _ => Outcome::Odd("unknown-line"),
            };
        };
        let Some((end, zone)) = self.time(line, &e, out) else {
            return Outcome::Odd("no-time");
        };
        out.saw(end);
        out.zone(zone);
        out.emit(Line::Tunnel(TunnelLine {
            record,
            hop: HopKind::Proxy,
            start: e.life_ns.map(|life| end.plus(-life)),
            end: Some(end),
            life_ns: e.life_ns,
            client: e.client.map(|(ip, _)| ip),
            client_port: e.client.and_then(|(_, port)| port).or(e.client_port),
            forwarded_for: Vec::new(),
            upstream_local: None,
            upstream: e.upstream,
            method: None,
            uri: None,
            host: None,
            status: None,
            upstream_status: None,
            bytes_to_client: e.to_client,
            bytes_to_server: e.to_server,
            upgrade_asked: None,
            termination: e.reason.map(text::word),
            user_agent: None,
            request_id: None,
            ws_key: None,
            serial: None,
        }));
        Outcome::Used
    }
}
