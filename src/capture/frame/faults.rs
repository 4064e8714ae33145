//! What a frame breaks of RFC 6455 -> anomalies of its file, each in words.

use super::Decoded;
use crate::model::{Anomaly, add_anomaly};

/// Violations of RFC 6455 by bit.
pub(in crate::capture) const FAULTS: [&str; 13] = [
    "reserved-bits",
    "reserved-opcode",
    "masked-to-client",
    "unmasked-to-server",
    "control-too-long",
    "fragmented-control",
    "length-not-minimal",
    "unexpected-continuation",
    "continuation-missing",
    "close-payload-of-one-byte",
    "close-code-not-allowed",
    "close-reason-not-utf8",
    "rsv1-without-extension",
];

/// The names of faults that are set.
pub(in crate::capture) fn names(faults: u16) -> impl Iterator<Item = &'static str> {
    (0..FAULTS.len())
        .filter(move |bit| faults >> bit & 1 == 1)
        .filter_map(|bit| FAULTS.get(bit).copied())
}

/// Makes what a frame breaks an anomaly of its file.
pub(in crate::capture) fn complain(frame: &Decoded, anomalies: &mut Vec<Anomaly>) {
    for name in names(frame.faults) {
        let at = frame.mark.record.ordinal;
        add_anomaly(anomalies, name, 1, at, explain(name));
    }
}

/// What a violation of RFC 6455 is, and where the RFC forbids it.
pub(in crate::capture) fn explain(name: &str) -> &'static str {
    match name {
        "reserved-bits" => {
            "frames with RSV2 or RSV3 set, for which no extension was agreed on (RFC 6455 5.2)"
        }
        "reserved-opcode" => "frames with an opcode that means nothing yet (RFC 6455 5.2)",
        "masked-to-client" => {
            "the server masked its frames: a client has to close with 1002 (RFC 6455 5.1)"
        }
        "unmasked-to-server" => {
            "the client did not mask its frames: a server has to close with 1002 (RFC 6455 5.1)"
        }
        "control-too-long" => "control frames with more than 125 bytes (RFC 6455 5.5)",
        "fragmented-control" => "control frames in parts (RFC 6455 5.5)",
        "length-not-minimal" => "lengths written in more bytes than they need (RFC 6455 5.2)",
        "unexpected-continuation" => "continuation frames where no message was open (RFC 6455 5.4)",
        "continuation-missing" => {
            "a new message began before the last one was complete (RFC 6455 5.4)"
        }
        "close-payload-of-one-byte" => "Close frames whose payload is half a code (RFC 6455 5.5.1)",
        "close-code-not-allowed" => {
            "Close frames with a code that must not be on the wire (RFC 6455 7.4)"
        }
        "close-reason-not-utf8" => "Close frames whose reason is no UTF-8 (RFC 6455 5.5.1)",
        "rsv1-without-extension" => {
            "compressed frames, and no compression was agreed on (RFC 7692 6)"
        }
        "subprotocol-not-offered" => {
            "the server chose a subprotocol that the client had not offered: a client has to fail the connection (RFC 6455 4.1)"
        }
        "extension-not-offered" => {
            "the server chose an extension that the client had not offered: a client has to fail the connection (RFC 6455 4.1)"
        }
        _ => "frames that break RFC 6455",
    }
}
