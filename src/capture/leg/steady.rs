//! The packet that nearly every packet is -> the same changes as the long way makes, within a few cache lines.

use super::{Leg, Seen, Spot, Yield};
use crate::capture::events::Side;
use crate::capture::packet::{ACK, FIN, RST, SYN, Segment};
use crate::model::Mark;

impl Leg {
    /// Takes a packet that brings the next bytes, an acknowledgement of what was seen, or both, where nothing is missing, both windows are
    /// open and neither side has ended. False where it is another one: then nothing was changed.
    #[inline]
    pub(in crate::capture) fn steady(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        mark: Mark,
        up: &mut Yield,
    ) -> bool {
        let side = side.min(1);
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
        let now = Seen::of(segment, mark.at);
        // The next bytes show that they are no copy: an acknowledgement may be one.
        if len == 0 && self.recent[side].iter().any(|s| s.print == now.print) {
            return false;
        }
        self.remember(side, now);
        self.last_by = side as u8;
        if news > 0 {
            self.halves[peer].acknowledge(segment.ack);
            if !self.pings.settled(peer) {
                self.pings.acked(peer, segment.ack, mark);
            }
            if self.streams.is_some() {
                self.streams_acked(peer, segment.ack, mark);
            }
        }
        self.halves[side].continues(len, window, segment.ttl, mark.into());
        if len > 0 {
            self.payload_seen = true;
            if !self.passes(side, segment, mark, up) {
                self.bytes(side, segment.payload, len, 0, mark, up);
            }
        }
        true
    }

    /// The next bytes of a WebSocket, where they are of data that nobody looks into.
    #[inline]
    fn passes(&mut self, side: Side, segment: &Segment<'_>, mark: Mark, up: &mut Yield) -> bool {
        let Some(decoder) = self.app.decoder(side) else {
            return false;
        };
        if segment.payload.len() != segment.payload_len as usize {
            return false;
        }
        let Ok(passed) = decoder.pass(segment.payload) else {
            return false;
        };
        let flow = &mut self.halves[side].flow;
        flow.bytes += u64::from(segment.payload_len);
        let Some(passed) = passed else {
            return true;
        };
        let spot = Spot::from(mark);
        flow.data_frames += 1;
        flow.last_data_frame = Some(spot);
        let shape = (passed.opcode, passed.len);
        self.events.data(spot, side, shape, Some(passed.hash));
        if up.frames_wanted {
            up.frames.push(self.whole_frame(side, mark, shape));
        }
        true
    }
}
