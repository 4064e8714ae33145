//! The packet that nearly every packet is -> the same changes as the long way makes, within a few cache lines.

use super::{Leg, Seen, Spot, Yield};
use crate::capture::events::Side;
use crate::capture::frame::Pass;
use crate::capture::packet::{ACK, FIN, RST, SYN, Segment};

impl Leg {
    /// Takes a packet that brings the next bytes, an acknowledgement of what was seen, or both, where nothing is missing, both windows are
    /// open and neither side has ended. False where it is another one: then nothing was changed.
    #[inline]
    pub(in crate::capture) fn steady(
        &mut self,
        segment: &Segment<'_>,
        spot: Spot,
        up: &mut Yield,
    ) -> bool {
        let side: Side = usize::from(segment.side.min(1));
        let peer = 1 - side;
        let len = segment.payload_len;
        if segment.flags & (ACK | SYN | FIN | RST) != ACK
            || self.reset_seen
            || !self.halves[side].steady(segment.seq)
        {
            return false;
        }
        let Some(news) = self.halves[peer].steady_ack(segment.ack) else {
            return false;
        };
        let scales = self.halves[peer].scales();
        let Some(window) = self.halves[side].open_window(segment.window, scales) else {
            return false;
        };
        let now = Seen::of(segment, spot.at);
        // The next bytes show that they are no copy: an acknowledgement may be one.
        if len == 0 && self.recent[side].iter().any(|s| s.print == now.print) {
            return false;
        }
        self.remember(side, now);
        self.last_by = side as u8;
        if news > 0 {
            self.halves[peer].acknowledge(segment.ack);
            if !self.pings.settled(peer) || self.carries {
                self.awaited(peer, segment.ack, spot);
            }
        }
        self.halves[side].continues(len, window, segment.ttl, spot);
        if len > 0 {
            self.payload_seen = true;
            self.next_bytes(side, segment, spot, up);
        }
        true
    }

    /// Tells of a frame; a call of its own, so that what it needs is no burden where nobody asks.
    #[inline(never)]
    fn show(&self, side: Side, spot: Spot, shape: (u8, u64), up: &mut Yield) {
        up.frames.push(self.whole_frame(side, spot.into(), shape));
    }

    /// An acknowledgement that heartbeats or streams of HTTP/2 may have waited for.
    #[inline(never)]
    fn awaited(&mut self, peer: Side, ack: u32, spot: Spot) {
        self.pings.acked(peer, ack, spot.into());
        self.streams_acked(peer, ack, spot.into());
    }

    /// The next bytes of a flow: data frames that nobody looks into are only counted.
    #[inline(never)]
    fn next_bytes(&mut self, side: Side, segment: &Segment<'_>, spot: Spot, up: &mut Yield) {
        let mut rest = segment.payload;
        let cut = segment.payload_len as usize != rest.len();
        while let Some(decoder) = self.app.decoder(side)
            && !cut
        {
            let passed = match decoder.pass(rest) {
                Pass::Nothing => break,
                Pass::Middle => {
                    self.halves[side].flow.bytes += rest.len() as u64;
                    return;
                }
                Pass::Frame(passed) => passed,
            };
            let flow = &mut self.halves[side].flow;
            flow.bytes += passed.size as u64;
            flow.data_frames += 1;
            flow.last_data_frame = Some(spot);
            let shape = (passed.opcode, passed.len);
            self.events.data(spot, side, shape, Some(passed.hash));
            if up.frames_wanted {
                self.show(side, spot, shape, up);
            }
            rest = rest.get(passed.size..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
        }
        let behind = (segment.payload.len() - rest.len()) as u32;
        let left = segment.payload_len.saturating_sub(behind);
        self.bytes(side, rest, left, 0, spot.into(), up);
    }
}
