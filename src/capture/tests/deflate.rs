//! Packets of legs with permessage-deflate -> the heartbeats read from them, and what is said of those that were not.

use super::*;

/// One compressed text message.
fn deflated(deflate: &mut flate2::Compress, text: &[u8], masked: bool) -> Vec<u8> {
    let mut packed = Vec::with_capacity(200);
    deflate
        .compress_vec(text, &mut packed, flate2::FlushCompress::Sync)
        .expect("packs");
    packed.truncate(packed.len() - 4);
    let mut frame = frame::encode(true, 1, masked.then_some([5, 6, 7, 8]), &packed);
    frame[0] |= 0x40;
    frame
}

#[test]
fn a_compressed_heartbeat_is_read() {
    let (ping, pong) = (&br#"{"type":"ping"}"#[..], &br#"{"type":"pong"}"#[..]);
    let leg = |extension: &str, takeover: bool, lost: bool| {
        let mut s = Script::opened();
        let answer = String::from_utf8_lossy(RESPONSE).replace(
            "Upgrade: websocket",
            &format!("Upgrade: websocket\r\nSec-WebSocket-Extensions: {extension}"),
        );
        s.up(ACK, REQUEST).down(ACK, answer.as_bytes());
        let new = || flate2::Compress::new(flate2::Compression::best(), false);
        let (mut up, mut down) = (new(), new());
        for n in 0..3 {
            if !takeover {
                (up, down) = (new(), new());
            }
            s.down(ACK, &deflated(&mut down, ping, false));
            if lost && n == 0 {
                s.lost().up(ACK, b"");
            }
            s.up(ACK, &deflated(&mut up, pong, true)).wait(1000);
        }
        let leg = one(&s);
        let c = leg.compression.expect("agreed on");
        (
            leg.pings.len(),
            leg.pings.iter().filter(|p| p.answered.is_some()).count(),
            c.to_client.messages,
            c.to_client.unread,
            c.to_server.unread,
        )
    };
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(leg("permessage-deflate", true, false), (3, 3, 3, 0, 0));
    assert_eq!(leg(both, false, false), (3, 3, 3, 0, 0));
    // The first message is lost, and the others refer to it: nothing is told, and that is said.
    assert_eq!(leg("permessage-deflate", true, true), (0, 0, 2, 2, 0));
    assert_eq!(leg(both, false, true), (2, 2, 2, 0, 0));
}
