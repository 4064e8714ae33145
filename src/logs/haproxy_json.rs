//! A HAProxy log line that its `log-format` makes JSON of -> a tunnel, known by the termination state among its values.

use super::access::{self, normal};
use super::haproxy::is_state;
use super::json::{self, Kind, Leaf};
use super::{Out, Outcome, stamp, text};
use std::net::SocketAddr;

use crate::model::{HopKind, Line, LocalZone, MILLI_NS, RecordRef, Stamp, TunnelLine, Zone};

/// The parts of a line by what they are, whatever their keys are called.
#[derive(Default)]
struct Entry<'a> {
    time: Option<&'a [u8]>,
    client: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    /// Its own end towards the server: `%bi` and `%bp`.
    own_ip: Option<&'a [u8]>,
    own_port: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    state: Option<&'a [u8]>,
    life: Option<&'a [u8]>,
    uri: Option<&'a [u8]>,
    method: Option<&'a [u8]>,
    bytes: Option<&'a [u8]>,
}

/// Two flags, or four with those of cookies.
fn is_short_state(word: &[u8]) -> bool {
    match word {
        [a, b] => is_state(&[*a, *b, b'-', b'-']),
        _ => is_state(word),
    }
}

fn entry<'a>(leaves: &[Leaf<'a>]) -> Option<Entry<'a>> {
    let mut found = Entry::default();
    for leaf in leaves.iter().filter(|l| l.kind != Kind::Tree) {
        let mut buffer = [0; 32];
        let value = leaf.value;
        let place = match normal(leaf.key, &mut buffer) {
            b"time" | b"timestamp" | b"ts" | b"date" | b"t" | b"tr" | b"acceptdate"
            | b"requestdate" | b"datetime"
                if !is_short_state(value) =>
            {
                &mut found.time
            }
            b"clientip" | b"ci" | b"client" | b"src" | b"srcip" | b"remoteaddr" | b"ip" => {
                &mut found.client
            }
            b"clientport" | b"cp" | b"cport" | b"srcport" | b"remoteport" => &mut found.port,
            b"bi" | b"bip" | b"bcip" | b"backendsource" | b"backendsourceip" => &mut found.own_ip,
            b"bp" | b"bport" | b"bcport" | b"backendsourceport" => &mut found.own_port,
            b"status" | b"st" | b"statuscode" | b"httpstatus" => &mut found.status,
            b"term" | b"termination" | b"terminationstate" | b"termstate" | b"tsc" | b"ts"
            | b"state"
                if is_short_state(value) =>
            {
                &mut found.state
            }
            b"ta" | b"tt" | b"totalms" | b"totaltime" | b"timetotal" | b"durationms"
            | b"timeactive" | b"duration" | b"total" => &mut found.life,
            b"uri" | b"hu" | b"path" | b"url" | b"requesturi" | b"httpuri" | b"r" | b"request"
            | b"httprequest" | b"req" | b"requestline" | b"hr" => &mut found.uri,
            b"method" | b"hm" | b"httpmethod" => &mut found.method,
            b"bytes" | b"b" | b"bytesread" | b"bytessent" => &mut found.bytes,
            _ => continue,
        };
        place.get_or_insert(value);
    }
    (found.state.is_some() && found.client.is_some() && found.time.is_some()).then_some(found)
}

/// Whether the object is one of HAProxy's.
pub(super) fn looks(line: &[u8]) -> bool {
    let mut leaves = Vec::new();
    line.first() == Some(&b'{') && json::scan(line, &mut leaves) && entry(&leaves).is_some()
}

fn date(value: &[u8], assumed: LocalZone) -> Option<(Stamp, Zone)> {
    stamp::clf(value)
        .or_else(|| stamp::iso(value))
        .map(|d| d.stamp(assumed))
}

/// `None` = no line of HAProxy's.
pub(super) fn read(
    record: RecordRef,
    line: &[u8],
    assumed: LocalZone,
    out: &mut Out<'_>,
) -> Option<Outcome> {
    let mut leaves = Vec::new();
    if !json::scan(line, &mut leaves) {
        return None;
    }
    let e = entry(&leaves)?;
    // HAProxy's dates are those of the accept or of the request.
    let (start, zone) = date(e.time?, assumed)?;
    let life_ns = e.life.and_then(|v| stamp::decimal(v, MILLI_NS));
    let end = life_ns.map(|life| start.plus(life));
    out.saw(end.unwrap_or(start));
    out.zone(zone);
    let client = e.client.and_then(text::address);
    let port = e.port.and_then(text::unsigned);
    let own_port = e.own_port.and_then(text::unsigned);
    let own_port = own_port.and_then(|p| u16::try_from(p).ok());
    let own = e.own_ip.and_then(text::address).and_then(|(ip, port)| {
        let port = own_port.or(port).filter(|p| *p != 0)?;
        Some(Box::new(SocketAddr::new(ip, port)))
    });
    let (method, uri) = match e.uri.and_then(text::request) {
        Some((method, uri)) => (Some(method), Some(uri)),
        None => (e.method, e.uri.and_then(text::present)),
    };
    let tunnel = TunnelLine {
        start: Some(start),
        end,
        life_ns,
        client: client.map(|(ip, _)| ip),
        client_port: port
            .and_then(|p| u16::try_from(p).ok())
            .or_else(|| client.and_then(|(_, port)| port)),
        upstream_local: own,
        method: method.map(text::word),
        uri: uri.map(text::word),
        status: e.status.and_then(text::any_status),
        bytes_to_client: e.bytes.and_then(text::unsigned),
        termination: e.state.map(text::word),
        ..access::blank(record, HopKind::Haproxy)
    };
    if access::matters(&tunnel) {
        out.emit(Line::Tunnel(tunnel));
    }
    Some(Outcome::Used)
}

#[cfg(test)]
mod tests {
    use super::looks;

    #[test]
    fn a_termination_state_is_what_it_is_known_by() {
        let haproxy = r#"{"time":"30/Nov/2026:14:33:10.531","client_ip":"192.0.2.13","client_port":35473,"backend":"be_ws","server":"web1","status":101,"term":"cD","total_ms":3130,"uri":"/ws?session=u1"}"#;
        assert!(looks(haproxy.as_bytes()));
        for other in [
            r#"{"time":"2026-11-20T20:48:04+00:00","remote_addr":"192.0.2.1","request":"GET /a HTTP/1.1","status":101}"#,
            r#"{"time":1795210948674,"client":"192.0.2.1","state":"open","msg":"ws open"}"#,
        ] {
            assert!(!looks(other.as_bytes()), "{other}");
        }
    }
}
