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
    // What its client repeats begins neither HTTP nor TLS: such legs are not told of.
    ("server-queue-lack", "ServerQueueLack", "no leg"),
    (
        "server-no-response",
        "ClientEstablishReset",
        // The SYNs share one instant and one IP identification: one packet, recorded more than once.
        "no SYN-ACK, RST by client",
    ),
    (
        "client-no-response",
        "ServerEstablishReset",
        // Beyond the next byte, and within the window that the receiver had open.
        "SYN-ACK repeated, RST by server",
    ),
    (
        "client-syn-try-lack",
        "TcpFinClientRst",
        "SYN-ACK repeated, RST by client",
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
    let mut wrong = Vec::new();
    for (name, theirs, expected) in DEEPFLOW {
        let Ok(bytes) = std::fs::read(flows.join(format!("{name}.pcap"))) else {
            eprintln!("skipped: no {name}.pcap of deepflow there");
            continue;
        };
        let got = end(&bytes);
        if got != expected {
            wrong.push(format!("{name}, {theirs}: {got}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
    // The server's Close crossed the client's FIN: a socket that nobody reads any more answers with a RST.
    (
        "wstunnel-http",
        1,
        (Some(1000), Some(1000)),
        "RST by client, FIN by client",
    ),
    ("wstunnel-ssh", 2, (Some(1000), Some(1000)), "RST by client"),
];

#[test]
fn ends_are_those_that_zeek_recorded() {
    let Some(root) = folder() else { return };
    let mut wrong = Vec::new();
    for (name, count, codes, expected) in ZEEK {
        let path = root.join(format!("zeek/websocket/{name}.pcap"));
        let Ok(bytes) = std::fs::read(path) else {
            eprintln!("skipped: no {name}.pcap of zeek there");
            continue;
        };
        let (_, legs, _) = read_bytes(&bytes);
        let sockets = legs.iter().filter(|l| l.protocol == LegProtocol::WebSocket);
        let sockets = sockets.count();
        let code = |f: &crate::model::Flow| f.close.as_ref().map(|c| c.code.unwrap_or(1005));
        let got = (code(&legs[0].to_server), code(&legs[0].to_client));
        let end = end(&bytes);
        if (sockets, got, end.as_str()) != (count, codes, expected) {
            wrong.push(format!(
                "{name}: {sockets} legs, {got:?}, {end}; expected {count}, {codes:?}, {expected}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
