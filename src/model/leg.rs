//! What one capture vantage point saw of one leg: the plain values that `capture` writes and `correlate` reads.

use super::source::RecordRef;
use super::time::Moment;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A packet: when and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// As the capture's clock told it.
    pub at: Moment,
    pub record: RecordRef,
}

/// Which way a packet or frame went on its leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToServer => "to-server",
            Self::ToClient => "to-client",
        }
    }
}

/// What the bytes of a leg were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegProtocol {
    /// A 101 was seen.
    WebSocket,
    /// No handshake in the capture, frames recognised by their shape.
    WebSocketMidstream,
    /// An upgrade was asked for (Upgrade header or Sec-WebSocket-Key) and answered with something else.
    UpgradeRefused,
    /// An upgrade was asked for and never answered.
    UpgradeUnanswered,
    /// TLS records: nothing inside was read. What they show beside that stands in `LegObservation::tls`.
    Tls,
    /// TCP only: SYN without an answer, or reset before any byte, or accepted and never used.
    NoPayload,
}

/// The HTTP/1.1 request that asked for the WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub mark: Mark,
    pub method: String,
    pub uri: String,
    /// The capture's snapshot length ended inside the URI.
    pub uri_cut: bool,
    /// 0 or 1: HTTP/1.0, HTTP/1.1; 2: HTTP/2, whose `:protocol` then stands in `upgrade` (RFC 8441 4).
    pub minor_version: u8,
    pub host: Option<String>,
    /// The header as it came; `None` = not there.
    pub upgrade: Option<String>,
    pub connection: Option<String>,
    pub key: Option<String>,
    pub protocol: Option<String>,
    pub extensions: Option<String>,
    pub forwarded_for: Option<String>,
    pub real_ip: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub cookie: Option<String>,
    pub via: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub mark: Mark,
    pub status: u16,
    pub reason: String,
    pub minor_version: u8,
    pub upgrade: Option<String>,
    pub connection: Option<String>,
    pub accept: Option<String>,
    /// Sec-WebSocket-Accept is the right answer to the request's key (RFC 6455 4.2.2); `None` where either was not seen.
    pub accept_right: Option<bool>,
    pub protocol: Option<String>,
    pub extensions: Option<String>,
    pub server: Option<String>,
    pub via: Option<String>,
}

impl Request {
    /// Extended CONNECT of HTTP/2: there is no Upgrade header that a hop could lose.
    pub const fn is_http2(&self) -> bool {
        self.minor_version == 2
    }
}

impl Response {
    /// The WebSocket was granted: 101, or over HTTP/2 any status that says yes (RFC 8441 5).
    pub const fn upgraded(&self) -> bool {
        match self.minor_version {
            2 => matches!(self.status, 200..=299),
            _ => self.status == 101,
        }
    }
}

/// The stream of an HTTP/2 connection that carried a WebSocket (RFC 8441). Its END_STREAM and RST_STREAM are the flows' `fin`
/// and `rst`; where it was still open when TCP ended, TCP's own are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http2Stream {
    pub id: u32,
    /// The first RST_STREAM: who received it, and its error code (RFC 9113 7).
    pub reset: Option<(Direction, u32)>,
    /// END_STREAM or RST_STREAM ended it, not TCP.
    pub ended: bool,
    /// The last GOAWAY while it was open: who received it, and its error code.
    pub goaway: Option<(Direction, u32)>,
}

/// A Close frame as it was on the wire (RFC 6455 5.5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseFrame {
    pub mark: Mark,
    /// `None` = an empty payload (which APIs report as 1005).
    pub code: Option<u16>,
    pub reason: String,
    /// It has a code, and the source does not tell which.
    pub hidden: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    pub mark: Mark,
    pub ttl: u8,
    /// Its sequence number lies in the window the peer had open (RFC 9293 3.10.7.4).
    pub in_window: bool,
}

/// Sent bytes that nobody acknowledged until the end of the leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// When the oldest of these bytes were first sent.
    pub first: Mark,
    /// The last transmission of them.
    pub last: Mark,
    /// Transmissions after the first one.
    pub retransmissions: u32,
}

/// A frame by which legs of one connection find each other: proxies pass the bytes on unchanged, mask included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub at: Moment,
    pub direction: Direction,
    pub opcode: u8,
    pub len: u64,
    /// Of the frame's first raw bytes after its length (mask key and masked payload).
    pub hash: u64,
}

/// What a heartbeat is made of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum BeatKind {
    /// Ping and Pong frames (RFC 6455 5.5.2).
    #[default]
    Frame,
    /// Engine.IO's packets `2` and `3`, under Socket.IO as well (socket.io/docs/v4/engine-io-protocol).
    EngineIo,
    /// A text of one word: `ping`, `pong`.
    Word,
    /// A JSON object that says ping or pong.
    Json,
    /// PINGREQ and PINGRESP (MQTT 5.0, 3.12).
    Mqtt,
    /// The Heartbeat call of a charge point and its result (OCPP-J 1.6, 4.2).
    Ocpp,
    /// `heartbeat` on Phoenix's own topic.
    Phoenix,
    /// SignalR's message of type 6 (HubProtocol.md): each side sends its own, and nobody answers.
    SignalR,
    /// An end of line between frames (STOMP 1.2, Heart-beating): each side sends its own, and nobody answers.
    Stomp,
    /// `h` of SockJS: nobody answers.
    SockJs,
    /// `{"type":"ka"}` of the older GraphQL protocol (subscriptions-transport-ws): nobody answers.
    GraphqlKeepAlive,
}

impl BeatKind {
    /// Whether the other side answers it; of the others each stands for itself.
    pub const fn answers(self) -> bool {
        !matches!(
            self,
            Self::SignalR | Self::Stomp | Self::SockJs | Self::GraphqlKeepAlive
        )
    }

    /// As a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "WebSocket ping",
            Self::EngineIo => "Engine.IO ping",
            Self::Word => "text ping",
            Self::Json => "JSON ping",
            Self::Mqtt => "MQTT PINGREQ",
            Self::Ocpp => "OCPP Heartbeat",
            Self::Phoenix => "Phoenix heartbeat",
            Self::SignalR => "SignalR ping",
            Self::Stomp => "STOMP heart-beat",
            Self::SockJs => "SockJS heartbeat",
            Self::GraphqlKeepAlive => "GraphQL keep-alive",
        }
    }
}

/// One Ping (RFC 6455 5.5.2) or application ping and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    pub kind: BeatKind,
    pub sent: Mark,
    pub direction: Direction,
    /// The Pong with the same payload, or the next Pong.
    pub answered: Option<Mark>,
    /// The TCP acknowledgement that covers it.
    pub acked: Option<Mark>,
}

/// One flow: everything one side of the leg sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flow {
    pub packets: u64,
    /// New payload bytes: retransmissions, keep-alive and zero-window probes left out.
    pub bytes: u64,
    pub first_packet: Option<Mark>,
    pub last_packet: Option<Mark>,
    /// The last packet with new payload; on TLS legs the last one that completed a record of application data.
    pub last_payload: Option<Mark>,
    /// The last data frame (text, binary, continuation); control frames left out.
    pub last_data_frame: Option<Mark>,
    pub data_frames: u64,
    pub pings: u64,
    pub pongs: u64,
    pub close: Option<CloseFrame>,
    /// TLS's own end of this flow (RFC 8446 6.1): read, or told by the type, size and place of its record.
    pub close_notify: Option<Mark>,
    /// The first FIN; a retransmitted one is no new one.
    pub fin: Option<Mark>,
    pub fin_acked: bool,
    /// The first RST.
    pub rst: Option<Reset>,
    pub retransmissions: u32,
    pub unanswered: Option<Unanswered>,
    pub keepalives: u32,
    /// Times this side advertised a window of zero, since when (if it still did at the end), and nanoseconds in all.
    pub zero_windows: u32,
    pub zero_window_since: Option<Mark>,
    pub zero_window_ns: i64,
    /// Bytes of this flow that the capture does not hold although the peer acknowledged them.
    pub lost_bytes: u64,
    pub out_of_order: u32,
    /// TTL or hop limit of this side's ordinary packets, as seen here.
    pub ttl: Option<u8>,
}

impl TlsView {
    /// `TLS 1.3`; `TLS` where the version is not known.
    pub const fn name(&self) -> &'static str {
        match self.version {
            Some(0x0304) => "TLS 1.3",
            Some(0x0303) => "TLS 1.2",
            Some(0x0302) => "TLS 1.1",
            Some(0x0301) => "TLS 1.0",
            _ => "TLS",
        }
    }
}

impl Flow {
    /// The first thing by which this side ended the leg in good order: TLS's close_notify, or TCP's FIN.
    pub fn ended(&self) -> Option<Mark> {
        [self.close_notify, self.fin]
            .into_iter()
            .flatten()
            .min_by_key(|m| (m.at, m.record))
    }
}

/// What a Close frame says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    pub code: Option<u16>,
    pub reason: String,
}

/// Something a reader of the evidence ladder wants to see, bounded per leg: the first ones, the last ones, every ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegEvent {
    pub mark: Mark,
    pub direction: Direction,
    pub what: LegEventKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegEventKind {
    Syn,
    SynAck,
    Request,
    Response,
    /// A data frame: opcode and payload length.
    Data {
        opcode: u8,
        len: u64,
    },
    Ping {
        len: u64,
    },
    Pong {
        len: u64,
    },
    /// In a box: hardly one of many events is one.
    Close(Box<Closing>),
    Fin,
    Rst,
    Retransmission,
    KeepAlive,
    ZeroWindow,
    WindowOpen,
    /// END_STREAM of HTTP/2.
    EndStream,
    /// RST_STREAM of HTTP/2 with its error code.
    ResetStream {
        code: u32,
    },
    /// GOAWAY of HTTP/2: error code, and the last stream that is still served.
    GoAway {
        code: u32,
        last: u32,
    },
    /// Bytes that the capture does not hold.
    Gap {
        bytes: u64,
    },
    /// Level 0: encrypted, by its type or its size.
    TlsAlert {
        level: u8,
        description: u8,
    },
    /// A record of encrypted application data that could not be read: its length on the wire, without its header.
    TlsRecord {
        len: u64,
    },
}

/// What became of the encryption of a TLS leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TlsKeys {
    /// The handshake is not in the capture, or was not completed: there was nothing to look keys up by.
    #[default]
    Unasked,
    /// No key log of the case holds this session.
    Missing,
    /// Records were decrypted.
    Read,
    /// The session's keys open none of its records.
    Wrong,
    /// A version or cipher suite that is not decrypted.
    Unread,
}

/// A Close handshake, by nothing but the sizes and times of two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseShape {
    /// Which way the first of the two went.
    pub direction: Direction,
    pub sent: Mark,
    pub answered: Mark,
}

/// What a TLS leg shows beside what is inside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TlsView {
    /// 0x0303 is TLS 1.2, 0x0304 is TLS 1.3; `None` where the ServerHello was not seen.
    pub version: Option<u16>,
    /// The number of the cipher suite (IANA).
    pub cipher: Option<u16>,
    /// The protocol that was chosen (RFC 7301); TLS 1.3 shows it under encryption only.
    pub alpn: Option<String>,
    pub keys: TlsKeys,
    /// Bytes that encryption adds to each record; `None` where it depends on the content.
    pub overhead: Option<u64>,
    /// The handshake was completed: application data of the client followed.
    pub established: bool,
    /// The handshake ended with an alert.
    pub failed: bool,
    /// Whether sizes and times of the records are those of a WebSocket; `None` where they could be others' as well.
    pub websocket: Option<bool>,
    /// The pings of this leg are inferred from sizes and times.
    pub inferred_pings: bool,
    pub close_shape: Option<CloseShape>,
    /// It ended, and by sizes and times none of its last records was a Close.
    pub no_close: bool,
}

/// permessage-deflate as both sides agreed on it (RFC 7692 7.1), and what of it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compression {
    /// The answer named the extension; false where compressed messages went by without a handshake in the capture.
    pub agreed: bool,
    pub to_server: CompressedFlow,
    pub to_client: CompressedFlow,
}

/// One direction of [`Compression`]: its parameters, as its sender has to keep them, and its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CompressedFlow {
    /// Each message stands for itself (`client_no_context_takeover`, `server_no_context_takeover`).
    pub no_context_takeover: bool,
    /// `client_max_window_bits`, `server_max_window_bits`: 8 to 15; `None` = not named, which means 15.
    pub window_bits: Option<u8>,
    /// Messages that came compressed (RSV1), each by itself.
    pub messages: u64,
    /// Of them, short texts whose content is not known: what they refer to is not in the capture, or no longer kept.
    pub unread: u64,
}

impl CompressedFlow {
    /// `context kept, window 2^12`, for people.
    pub fn say(&self) -> String {
        let context = if self.no_context_takeover {
            "each message alone"
        } else {
            "context kept"
        };
        match self.window_bits {
            Some(bits) => format!("{context}, window 2^{bits}"),
            None => context.to_owned(),
        }
    }
}

/// One leg as one vantage point saw it. Flows are named by who receives them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegObservation {
    /// Rotated files of one vantage point share it: the index of the vantage point, not of a file.
    pub vantage: u32,
    /// The side that opened the TCP connection.
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// False where no SYN told who opened it: guessed from the request, the masks or the ports.
    pub sides_certain: bool,
    pub protocol: LegProtocol,
    pub syn: Option<Mark>,
    pub syn_ack: Option<Mark>,
    /// SYNs sent again.
    pub syn_retransmissions: u32,
    /// The SYN was answered by RST.
    pub refused: bool,
    pub request: Option<Request>,
    pub response: Option<Response>,
    /// Requests on this leg before the one that asked for the WebSocket (a pooled upstream connection).
    pub earlier_requests: u32,
    pub first: Mark,
    pub last: Mark,
    pub to_server: Flow,
    pub to_client: Flow,
    /// The last ones, at most 64, in the order they were sent.
    pub pings: Vec<Ping>,
    /// The first and the last ones, at most 32, in order of time.
    pub fingerprints: Vec<Fingerprint>,
    /// In order of time.
    pub events: Vec<LegEvent>,
    /// Packets recorded twice (`-i any` on a router), counted once everywhere else.
    pub duplicates: u64,
    /// RFC 6455 violations by name: `masked-to-client`, `reserved-opcode` ...
    pub violations: Vec<String>,
    /// First application bytes of a TLS leg named this server (SNI).
    pub sni: Option<String>,
    /// `None` where no message was, or could be, compressed.
    pub compression: Option<Compression>,
    /// The stream, where HTTP/2 carried it; several of them share one TCP connection.
    pub http2: Option<Http2Stream>,
    /// `None` for legs without TLS.
    pub tls: Option<TlsView>,
}

impl LegObservation {
    /// Told by a program's sockets and not by packets: what acknowledgements, windows and sequence numbers would show is not known.
    pub const fn by_sockets(&self) -> bool {
        self.to_server.packets == 0
            && self.to_client.packets == 0
            && self.to_server.bytes + self.to_client.bytes > 0
    }
    /// Encrypted, and by its records a WebSocket.
    pub fn looks_like_websocket(&self) -> bool {
        self.protocol == LegProtocol::Tls
            && self.tls.as_ref().is_some_and(|t| t.websocket == Some(true))
    }
    /// Its first bytes and all behind them are in the capture, so that a handshake which is not there did not take place.
    pub const fn whole_from_start(&self) -> bool {
        self.syn.is_some()
            && self.to_server.bytes > 0
            && self.to_server.lost_bytes == 0
            && self.to_client.lost_bytes == 0
    }
    pub const fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

/// One WebSocket frame, as `wsdrop frames` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The packet that completed the frame.
    pub mark: Mark,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub direction: Direction,
    pub fin: bool,
    pub rsv1: bool,
    pub opcode: u8,
    pub masked: bool,
    /// Payload bytes on the wire.
    pub len: u64,
    pub close_code: Option<u16>,
    pub close_reason: Option<String>,
}
