//! Request records of Cloudflare (Logpush), Google Cloud's load balancer, Azure's gateway and front door, JSON lines -> tunnels.

use super::access::{blank, matters};
use super::json::{self, Kind, Leaf};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{HopKind, Line, RecordRef, Stamp, TunnelLine, Zone, ZoneBasis};

#[derive(Debug)]
pub(super) struct Cloudflare;

#[derive(Debug)]
pub(super) struct GcpLb;

/// Application Gateway and Front Door, as Azure Monitor exports them.
#[derive(Debug)]
pub(super) struct Azure;

impl LogFormat for Cloudflare {
    fn name(&self) -> &'static str {
        "cloudflare"
    }
    fn title(&self) -> &'static str {
        "Cloudflare Logpush, http_requests"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"{"ClientIP":"203.0.113.7","ClientSrcPort":54516,"ClientRequestHost":"ws.test","ClientRequestMethod":"GET","ClientRequestURI":"/ws?s=1","ClientRequestUserAgent":"wslab/1","EdgeStartTimestamp":"2026-11-20T20:48:04Z","EdgeEndTimestamp":"2026-11-20T20:49:44Z","EdgeResponseBytes":312,"EdgeResponseStatus":101,"OriginIP":"192.0.2.2","OriginResponseStatus":101,"RayID":"8f1e0c5a2b3d4e5f"}"#,
            r#"{"EdgeStartTimestamp":1795207684123456789,"EdgeEndTimestamp":1795207784123456789,"EdgeResponseStatus":524,"ClientIP":"203.0.113.7","ClientRequestURI":"/ws","RayID":"8f1e"}"#,
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader(cloudflare))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        json::fields(line)
    }
}

impl LogFormat for GcpLb {
    fn name(&self) -> &'static str {
        "gcp-lb"
    }
    fn title(&self) -> &'static str {
        "Google Cloud load balancer log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"{"httpRequest":{"latency":"30.001204s","remoteIp":"203.0.113.7:54516","requestMethod":"GET","requestSize":"412","requestUrl":"https://ws.test/ws?s=1","responseSize":"129","serverIp":"10.8.0.3","status":101,"userAgent":"wslab/1"},"insertId":"1a","jsonPayload":{"@type":"type.googleapis.com/google.cloud.loadbalancing.type.LoadBalancerLogEntry","statusDetails":"websocket_closed"},"logName":"projects/p/logs/requests","receiveTimestamp":"2026-11-20T20:48:35.2Z","resource":{"labels":{"backend_service_name":"chat"},"type":"http_load_balancer"},"timestamp":"2026-11-20T20:48:04.123456Z"}"#,
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader(gcp))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        json::fields(line)
    }
}

impl LogFormat for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }
    fn title(&self) -> &'static str {
        "Azure gateway or front door access log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"{"timeStamp":"2026-11-20T20:49:04+00:00","resourceId":"/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.NETWORK/APPLICATIONGATEWAYS/GW","listenerName":"https","operationName":"ApplicationGatewayAccess","category":"ApplicationGatewayAccessLog","properties":{"instanceId":"appgw_2","clientIP":"203.0.113.7","clientPort":54516,"httpMethod":"GET","originalRequestUriWithArgs":"/ws?s=1","requestUri":"/ws","requestQuery":"s=1","userAgent":"wslab/1","httpStatus":101,"httpVersion":"HTTP/1.1","receivedBytes":412,"sentBytes":129,"timeTaken":60.012,"transactionId":"592d1649","serverRouted":"10.0.0.4:8080","serverStatus":"101","serverResponseLatency":"0.004","upstreamSourcePort":"21564","originalHost":"ws.test","host":"ws.test","error_info":"ERRORINFO_UPSTREAM_TIMED_OUT"}}"#,
            r#"{"resourceId":"/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.NETWORK/APPLICATIONGATEWAYS/GW","operationName":"ApplicationGatewayAccess","time":"2026-11-20T20:49:04Z","category":"ApplicationGatewayAccessLog","properties":{"instanceId":"ApplicationGatewayRole_IN_0","clientIP":"203.0.113.7","clientPort":54516,"httpMethod":"GET","requestUri":"/ws","requestQuery":"X-AzureApplicationGateway-CACHE-HIT=0","userAgent":"-","httpStatus":101,"httpVersion":"HTTP/1.1","receivedBytes":412,"sentBytes":129,"timeTaken":60012,"sslEnabled":"off"}}"#,
            r#"{"time":"2026-11-20T20:49:04.1Z","resourceId":"/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.CDN/PROFILES/P","category":"FrontDoorAccessLog","operationName":"Microsoft.Cdn/Profiles/AccessLog/Write","properties":{"trackingReference":"0Lk2","httpMethod":"GET","httpVersion":"1.1.0.0","requestUri":"https://ws.test:443/ws?s=1","requestBytes":"412","responseBytes":"129","userAgent":"wslab/1","clientIp":"203.0.113.7","clientPort":"54516","timeTaken":"60.012","requestProtocol":"HTTPS","httpStatusCode":"101","errorInfo":"NoError","hostName":"ws.test","originIp":"192.0.2.4:443"}}"#,
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader(azure))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        json::fields(line)
    }
}

fn find<'a, 'l>(leaves: &'l [Leaf<'a>], name: &[u8]) -> Option<&'l Leaf<'a>> {
    leaves
        .iter()
        .find(|l| l.key == name && l.kind != Kind::Tree)
}

/// Logpush's own names of things.
pub(super) fn is_cloudflare(leaves: &[Leaf<'_>]) -> bool {
    find(leaves, b"EdgeResponseStatus").is_some() && find(leaves, b"EdgeStartTimestamp").is_some()
}

/// Cloud Logging's entry of a load balancer's request.
pub(super) fn is_gcp(leaves: &[Leaf<'_>]) -> bool {
    find(leaves, b"requestUrl").is_some()
        && find(leaves, b"requestMethod").is_some()
        && (find(leaves, b"statusDetails").is_some()
            || find(leaves, b"type").is_some_and(|l| l.value == b"http_load_balancer"))
}

/// Which of both wrote it, by Azure Monitor's category.
fn azure_hop(leaves: &[Leaf<'_>]) -> Option<HopKind> {
    match find(leaves, b"category")?.value {
        b"ApplicationGatewayAccessLog" => Some(HopKind::AppGateway),
        b"FrontDoorAccessLog" | b"FrontdoorAccessLog" => Some(HopKind::FrontDoor),
        _ => None,
    }
}

/// Azure Monitor's entry of a request.
pub(super) fn is_azure(leaves: &[Leaf<'_>]) -> bool {
    azure_hop(leaves).is_some()
}

/// RFC 3339, or seconds or nanoseconds since the epoch, as the job was set up.
fn time(value: &[u8]) -> Option<(Stamp, Zone)> {
    let known = |basis| Zone { offset_s: 0, basis };
    if let Some(at) = stamp::epoch(value) {
        return Some((at, known(ZoneBasis::Epoch)));
    }
    Some((stamp::iso(value)?.utc(), known(ZoneBasis::Format)))
}

fn cloudflare(record: RecordRef, leaves: &[Leaf<'_>]) -> Option<(TunnelLine, Zone)> {
    if !is_cloudflare(leaves) {
        return None;
    }
    let mut t = blank(record, HopKind::Cloudflare);
    let mut zone = None;
    let mut origin = None;
    for leaf in leaves.iter().filter(|l| l.kind != Kind::Tree) {
        let text = leaf.text();
        let value = text.as_ref();
        match leaf.key {
            b"EdgeStartTimestamp" => (t.start, zone) = time(value).unzip(),
            b"EdgeEndTimestamp" | b"EdgeStopTimestamp" => t.end = time(value).map(|(at, _)| at),
            b"EdgeResponseStatus" => t.status = text::any_status(value),
            b"EdgeResponseBytes" => t.bytes_to_client = text::unsigned(value),
            b"OriginResponseStatus" => t.upstream_status = text::any_status(value),
            b"OriginIP" => origin = text::address(value),
            b"ClientIP" => t.client = text::address(value).map(|(ip, _)| ip),
            b"ClientSrcPort" => {
                t.client_port = text::unsigned(value).and_then(|p| u16::try_from(p).ok());
            }
            b"ClientRequestURI" => t.uri = text::present(value).map(text::word),
            b"ClientRequestPath" => {
                t.uri = t
                    .uri
                    .take()
                    .or_else(|| text::present(value).map(text::word))
            }
            b"ClientRequestHost" => t.host = text::present(value).map(text::word),
            b"ClientRequestMethod" => t.method = text::present(value).map(text::word),
            b"ClientRequestUserAgent" => t.user_agent = text::present(value).map(text::word),
            b"RayID" => t.request_id = text::present(value).map(text::word),
            b"ClientRequestBytes" => t.bytes_to_server = text::unsigned(value),
            _ => {}
        }
    }
    t.upstream = origin.and_then(|(ip, port)| Some(std::net::SocketAddr::new(ip, port?)));
    t.life_ns = match (t.start, t.end) {
        (Some(start), Some(end)) => Some(end.at.since(start.at)),
        _ => None,
    };
    Some((t, zone?))
}

/// The stamp is that of the request's arrival; `latency` is the life of a WebSocket.
fn gcp(record: RecordRef, leaves: &[Leaf<'_>]) -> Option<(TunnelLine, Zone)> {
    if !is_gcp(leaves) {
        return None;
    }
    let mut t = blank(record, HopKind::Gcp);
    let mut zone = None;
    for leaf in leaves.iter().filter(|l| l.kind != Kind::Tree) {
        let text = leaf.text();
        let value = text.as_ref();
        match (leaf.depth, leaf.key) {
            (1, b"timestamp") => (t.start, zone) = time(value).unzip(),
            (_, b"latency") => {
                t.life_ns = stamp::seconds(value.strip_suffix(b"s").unwrap_or(value));
            }
            (_, b"status") => t.status = text::any_status(value),
            (_, b"remoteIp") => {
                (t.client, t.client_port) =
                    text::address(value).map_or((None, None), |(ip, port)| (Some(ip), port));
            }
            (_, b"serverIp") => t.upstream = text::socket(value),
            (_, b"requestMethod") => t.method = text::present(value).map(text::word),
            (_, b"requestUrl") => {
                let (uri, host) = text::relative(value);
                t.uri = text::present(uri).map(text::word);
                t.host = host.map(text::word);
            }
            (_, b"requestSize") => t.bytes_to_server = text::unsigned(value),
            (_, b"responseSize") => t.bytes_to_client = text::unsigned(value),
            (_, b"userAgent") => t.user_agent = text::present(value).map(text::word),
            (_, b"statusDetails") => t.termination = text::present(value).map(text::word),
            (1, b"trace") => t.request_id = text::present(value).map(text::word),
            _ => {}
        }
    }
    if t.termination.as_deref().is_some_and(|d| {
        matches!(
            d,
            "websocket_closed" | "websocket_handshake_failed" | "upgrade_header_rejected"
        )
    }) {
        t.upgrade_asked = Some(true);
    }
    t.end = t.start.zip(t.life_ns).map(|(at, life)| at.plus(life));
    Some((t, zone?))
}

/// Both write a record when the request, or the WebSocket, is over, and stamp it with that moment (learn.microsoft.com, the services' logs).
fn azure(record: RecordRef, leaves: &[Leaf<'_>]) -> Option<(TunnelLine, Zone)> {
    let mut t = blank(record, azure_hop(leaves)?);
    let mut zone = None;
    let (mut query, mut whole) = (None, None);
    // The first version of the gateway counts milliseconds, and does not name the server.
    let millis = t.hop == HopKind::AppGateway && find(leaves, b"serverRouted").is_none();
    for leaf in leaves.iter().filter(|l| l.kind != Kind::Tree) {
        let text = leaf.text();
        let value = text.as_ref();
        match leaf.key {
            b"time" | b"timeStamp" if leaf.depth == 1 => (t.end, zone) = time(value).unzip(),
            b"clientIP" | b"clientIp" => t.client = text::address(value).map(|(ip, _)| ip),
            b"clientPort" => {
                t.client_port = text::unsigned(value).and_then(|p| u16::try_from(p).ok());
            }
            b"httpMethod" => t.method = text::present(value).map(text::word),
            b"originalRequestUriWithArgs" => whole = text::present(value).map(text::word),
            b"requestUri" => {
                let (uri, host) = text::relative(value);
                t.uri = text::present(uri).map(text::word);
                t.host = host.map(text::word).or(t.host);
            }
            b"requestQuery" => {
                query = text::present(value)
                    .filter(|q| !q.is_empty() && !q.starts_with(b"X-AzureApplicationGateway"))
                    .map(text::string);
            }
            b"originalHost" | b"hostName" => t.host = text::present(value).map(text::word),
            b"userAgent" => t.user_agent = text::present(value).map(text::word),
            b"httpStatus" | b"httpStatusCode" => t.status = text::any_status(value),
            b"serverStatus" => t.upstream_status = text::any_status(value),
            b"serverRouted" | b"originIp" => t.upstream = text::socket(value),
            b"receivedBytes" | b"requestBytes" => t.bytes_to_server = text::unsigned(value),
            b"sentBytes" | b"responseBytes" => t.bytes_to_client = text::unsigned(value),
            b"timeTaken" => {
                let taken = stamp::seconds(value);
                t.life_ns = taken.map(|ns| if millis { ns / 1000 } else { ns });
            }
            b"transactionId" | b"trackingReference" => {
                t.request_id = text::present(value).map(text::word);
            }
            b"error_info" | b"errorInfo" => {
                t.termination = text::present(value)
                    .filter(|e| !matches!(*e, b"NoError" | b"ERRORINFO_NO_ERROR"))
                    .map(text::word);
            }
            _ => {}
        }
    }
    if let (Some(uri), Some(query)) = (&t.uri, query) {
        t.uri = Some(format!("{uri}?{query}").into());
    }
    t.uri = whole.or(t.uri);
    t.start = t.end.zip(t.life_ns).map(|(at, life)| at.plus(-life));
    Some((t, zone?))
}

struct Reader(fn(RecordRef, &[Leaf<'_>]) -> Option<(TunnelLine, Zone)>);

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let mut leaves = Vec::new();
        let read = json::scan(line, &mut leaves)
            .then(|| (self.0)(record, &leaves))
            .flatten();
        let Some((tunnel, zone)) = read else {
            return Outcome::Odd("unknown-line");
        };
        if let Some(at) = tunnel.end.or(tunnel.start) {
            out.saw(at);
        }
        out.zone(zone);
        if matters(&tunnel) {
            out.emit(Line::Tunnel(tunnel));
        }
        Outcome::Used
    }
}
