//! What was said on a leg -> its events, heartbeats and frames, and the handshake it stands for.

use super::{Leg, MAX_PARTS, Yield};
use crate::capture::app::Said;
use crate::capture::beat::application_beat;
use crate::capture::events::Side;
use crate::capture::frame::{Decoded, faults, fingerprint};
use crate::capture::http1::handshake_faults;
use crate::model::{CloseFrame, Closing, Frame, LegEventKind, Mark, add_anomaly};

impl Leg {
    pub(super) fn heard(&mut self, up: &mut Yield) {
        if up.said.is_empty() {
            return;
        }
        let mut said = std::mem::take(&mut up.said);
        for item in said.drain(..) {
            match item {
                Said::Client(side) => {
                    if !self.certain {
                        self.client = side;
                    }
                }
                Said::PlainRequest => {
                    if self.doubtful {
                        self.part(up);
                    }
                    self.earlier_requests = self.earlier_requests.saturating_add(1);
                }
                Said::Request(request) => {
                    self.part(up);
                    self.events
                        .push(request.mark, self.client, LegEventKind::Request);
                    self.request = Some(request);
                }
                Said::Doubtful(response) => {
                    self.events
                        .push(response.mark, 1 - self.client, LegEventKind::Response);
                    self.response = Some(response);
                    self.doubtful = true;
                }
                Said::Response(response) => {
                    self.events
                        .push(response.mark, 1 - self.client, LegEventKind::Response);
                    self.agree(&response, up);
                    if let Some(request) = &self.request {
                        for kind in handshake_faults(request, &response) {
                            let at = response.mark.record.ordinal;
                            add_anomaly(&mut up.anomalies, kind, 1, at, faults::explain(kind));
                        }
                    }
                    self.response = Some(response);
                }
                Said::Frame(side, mut frame) => {
                    let place = self.place(side);
                    self.frame(side, &mut frame, place, up);
                }
                Said::Stream(id, what, at) => self.on_stream(id, what, at, up),
                Said::GoAway {
                    side,
                    last,
                    code,
                    mark,
                } => self.go_away(side, (last, code), mark),
                Said::Alert(side, alert, at) => {
                    self.events.push(
                        at,
                        side,
                        LegEventKind::TlsAlert {
                            level: alert.level,
                            description: alert.description,
                        },
                    );
                }
                Said::ServerName(name) => self.sni = Some(name),
                Said::Record(side, len, at) => {
                    self.events.push(at, side, LegEventKind::TlsRecord { len });
                }
                Said::Odd(kind, note, at) => {
                    add_anomaly(&mut up.anomalies, kind, 1, at.record.ordinal, note);
                }
            }
        }
        up.said = said;
    }

    /// A further upgrade on a leg whose last one was refused: that one is an observation of its own.
    pub(super) fn part(&mut self, up: &mut Yield) {
        if self.request.is_some() && self.response.is_some() && self.parts < MAX_PARTS {
            self.hand_up(up);
            self.parts += 1;
            self.earlier_requests = self.earlier_requests.saturating_add(1);
            self.events.clear();
        }
        self.doubtful = false;
        self.request = None;
        self.response = None;
    }

    /// The sequence number behind what was read so far, and since when it is acknowledged.
    pub(super) fn place(&self, side: Side) -> (u32, Option<Mark>) {
        let half = &self.halves[side.min(1)];
        let end = half.assembler.next().unwrap_or(0);
        (end, half.ack_of(end))
    }

    pub(super) fn frame(
        &mut self,
        side: Side,
        frame: &mut Decoded,
        (end, acked): (u32, Option<Mark>),
        up: &mut Yield,
    ) {
        if frame.faults != 0 {
            self.faults |= frame.faults;
            faults::complain(frame, &mut up.anomalies);
        }
        if frame.rsv & 4 != 0 && matches!(frame.opcode, 1 | 2) {
            self.inflate(side, frame, up);
        }
        let mark = frame.mark;
        let flow = &mut self.halves[side].flow;
        let len = frame.len;
        let mut close = (None, None);
        let control = match frame.opcode {
            8 => {
                let (code, reason) = frame.close();
                close = (code, Some(reason.clone()));
                flow.close.get_or_insert_with(|| {
                    Box::new(CloseFrame {
                        mark,
                        code,
                        reason: reason.clone(),
                        hidden: false,
                    })
                });
                Some(LegEventKind::Close(Box::new(Closing { code, reason })))
            }
            9 => {
                flow.pings += 1;
                self.pings.sent(side, mark, of_payload(frame), end);
                if let Some(at) = acked {
                    self.pings.acked(side, end, at);
                }
                Some(LegEventKind::Ping { len })
            }
            10 => {
                flow.pongs += 1;
                self.pings.answered(side, mark, of_payload(frame));
                Some(LegEventKind::Pong { len })
            }
            opcode => {
                flow.data_frames += 1;
                flow.last_data_frame = Some(mark.into());
                if let Some(beat) = application_beat(frame) {
                    self.pings.application(side, mark, end, beat);
                }
                self.events
                    .data(mark.into(), side, (opcode, len), frame.hash);
                None
            }
        };
        if let Some(control) = control {
            self.events.control(mark, side, control, (len, frame.hash));
        }
        if up.frames_wanted {
            up.frames.push(Frame {
                fin: frame.fin,
                rsv1: frame.rsv & 4 != 0,
                masked: frame.masked,
                close_code: close.0,
                close_reason: close.1,
                ..self.whole_frame(side, mark, (frame.opcode, len))
            });
        }
    }

    /// A message in one frame, as its sender has to send it.
    pub(super) fn whole_frame(&self, side: Side, mark: Mark, (opcode, len): (u8, u64)) -> Frame {
        Frame {
            mark,
            client: self.ends[self.client].socket(),
            server: self.ends[1 - self.client].socket(),
            direction: self.direction(side),
            fin: true,
            rsv1: false,
            opcode,
            masked: side == self.client,
            len,
            close_code: None,
            close_reason: None,
        }
    }
}

fn of_payload(frame: &Decoded) -> u64 {
    fingerprint(&frame.body)
}
