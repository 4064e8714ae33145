//! Captures of other projects, where `WSDROP_CAPTURES` names a folder of them -> whether ends are told as those projects tell them.

use super::*;
use std::path::PathBuf;

fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("WSDROP_CAPTURES").map(PathBuf::from);
    if root.is_none() {
        eprintln!("skipped: WSDROP_CAPTURES names no folder of captures");
    }
    root
}

/// How the first leg of a capture ended, in words.
fn end(bytes: &[u8]) -> String {
    let (_, legs, _) = read_bytes(bytes);
    let Some(leg) = legs.first() else {
        return "no leg".to_owned();
    };
    let mut said = Vec::new();
    let mut say = |what: bool, text: &str| {
        if what {
            said.push(text.to_owned());
        }
    };
    let (up, down) = (&leg.to_server, &leg.to_client);
    say(leg.syn_retransmissions > 0, "SYN repeated");
    say(leg.syn_ack.is_none(), "no SYN-ACK");
    say(
        leg.syn_ack.is_some() && down.retransmissions > 0,
        "SYN-ACK repeated",
    );
    say(leg.refused, "refused");
    say(up.rst.is_some(), "RST by client");
    say(down.rst.is_some() && !leg.refused, "RST by server");
    let in_window = |r: &Option<crate::model::Reset>| r.is_some_and(|r| r.in_window);
    say(
        (up.rst.is_some() || down.rst.is_some()) && !in_window(&up.rst) && !in_window(&down.rst),
        "out of window",
    );
    say(up.fin.is_some(), "FIN by client");
    say(down.fin.is_some(), "FIN by server");
    say(up.unanswered.is_some(), "client unanswered");
    said.join(", ")
}

/// What DeepFlow calls the end (`agent/src/flow_generator/flow_state.rs`), and what is seen here.
const DEEPFLOW: [(&str, &str, &str); 7] = [
    ("server-reset", "ServerReset", "no SYN-ACK, refused"),
    (
        "server-queue-lack",
        "ServerQueueLack",
        "SYN-ACK repeated, client unanswered",
    ),
    (
        "server-no-response",
        "ClientEstablishReset",
        "SYN repeated, no SYN-ACK, RST by client, out of window",
    ),
    (
        "client-no-response",
        "ServerEstablishReset",
        "SYN-ACK repeated, RST by server, out of window",
    ),
    (
        "client-syn-try-lack",
        "TcpFinClientRst",
        "SYN-ACK repeated, RST by client, out of window",
    ),
    ("syn-1", "ClientSourcePortReuse", "no SYN-ACK"),
    (
        "l4-source-port-reuse",
        "ClientSourcePortReuse",
        "no SYN-ACK, RST by client",
    ),
];

#[test]
fn ends_are_those_that_deepflow_tells() {
    let Some(root) = folder() else { return };
    let flows = root.join("deepflow/agent/resources/test/flow_generator");
    for (name, theirs, expected) in DEEPFLOW {
        let Ok(bytes) = std::fs::read(flows.join(format!("{name}.pcap"))) else {
            eprintln!("skipped: no {name}.pcap of deepflow there");
            continue;
        };
        assert_eq!(end(&bytes), expected, "{name}, {theirs}");
    }
}

/// Zeek's recordings of WebSockets: how many legs, the Close codes of client and server, and what TCP did after them.
const ZEEK: [(&str, usize, (Option<u16>, Option<u16>), &str); 7] = [
    (
        "broker-websocket",
        1,
        (Some(1000), None),
        "FIN by client, FIN by server",
    ),
    (
        "fragmented-http-reply",
        1,
        (Some(1000), Some(1000)),
        "FIN by client, FIN by server",
    ),
    (
        "http-websocket",
        1,
        (Some(1005), Some(1005)),
        "FIN by client, FIN by server",
    ),
    (
        "reply-ping-coalesced",
        1,
        (Some(1000), Some(1000)),
        "FIN by client, FIN by server",
    ),
    (
        "reply-ping-separate",
        1,
        (Some(1000), Some(1000)),
        "FIN by client, FIN by server",
    ),
    (
        "wstunnel-http",
        1,
        (Some(1000), Some(1000)),
        "FIN by client, FIN by server",
    ),
    (
        "wstunnel-ssh",
        2,
        (Some(1000), Some(1000)),
        "RST by client, FIN by client, FIN by server",
    ),
];

#[test]
fn ends_are_those_that_zeek_recorded() {
    let Some(root) = folder() else { return };
    for (name, count, codes, expected) in ZEEK {
        let path = root.join(format!("zeek/websocket/{name}.pcap"));
        let Ok(bytes) = std::fs::read(path) else {
            eprintln!("skipped: no {name}.pcap of zeek there");
            continue;
        };
        let (_, legs, _) = read_bytes(&bytes);
        let sockets = legs.iter().filter(|l| l.protocol == LegProtocol::WebSocket);
        assert_eq!(sockets.count(), count, "{name}");
        let code = |f: &crate::model::Flow| f.close.as_ref().map(|c| c.code.unwrap_or(1005));
        let got = (code(&legs[0].to_server), code(&legs[0].to_client));
        assert_eq!((got, end(&bytes).as_str()), (codes, expected), "{name}");
    }
}
