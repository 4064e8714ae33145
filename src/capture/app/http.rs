//! The bytes of an HTTP/1 leg -> requests, answers, and the upgrade that makes it something else (RFC 9112, RFC 6455 4).

use super::{App, Bytes, Protocol, Said};
use crate::capture::events::Side;
use crate::capture::frame::FrameDecoder;
use crate::capture::http1::{self, Head};
use crate::capture::inflate;
use crate::model::{Mark, Request, Response};

/// Bytes of the client kept while its upgrade waits for an answer.
const MAX_PENDING: usize = 256 * 1024;

#[derive(Debug)]
pub(super) enum Pending {
    Bytes(Vec<u8>, u32, Mark),
    Gap(u32, Mark),
}

#[derive(Debug, Default)]
pub(super) struct Http {
    pub(super) client: Side,
    /// The head being collected, per side.
    pub(super) head: [Vec<u8>; 2],
    /// Bytes of a body still to be passed over.
    pub(super) skip: u64,
    pub(super) asked: Option<Asked>,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: Option<String>,
    /// The end of the head is not in the capture.
    pub(super) cut: bool,
    /// What could be read of it asks for a WebSocket.
    pub(super) sure: bool,
    pub(super) offers_extensions: bool,
    pub(super) pending: Vec<Pending>,
    pub(super) pending_bytes: usize,
}

impl App {
    pub(super) fn http(&mut self, input: Bytes<'_>, said: &mut Vec<Said>) {
        let Protocol::Http(http) = &mut self.protocol else {
            return;
        };
        if input.side == http.client {
            self.client_bytes(input, said)
        } else {
            self.server_bytes(input, said)
        }
    }

    pub(super) fn client_bytes(&mut self, input: Bytes<'_>, said: &mut Vec<Said>) {
        let Protocol::Http(http) = &mut self.protocol else {
            return;
        };
        if let Some(asked) = &mut http.asked {
            asked.wait(input.bytes, input.cut, input.mark);
            return;
        }
        let mut bytes = input.bytes;
        let at = input.side.min(1);
        let skip = usize::try_from(http.skip)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        http.skip -= skip as u64;
        bytes = bytes.get(skip..).unwrap_or_default();
        let mut cut = u64::from(input.cut);
        if http.skip > 0 {
            http.skip = http.skip.saturating_sub(cut);
            cut = 0;
        }
        if bytes.is_empty() || (http.head[at].is_empty() && !http1::begins_request(bytes)) {
            return;
        }
        if http.head[at].len() + bytes.len() > http1::MAX_HEAD {
            http.head[at].clear();
            return;
        }
        http.head[at].extend_from_slice(bytes);
        let mut from = 0;
        loop {
            let rest = http.head[at].get(from..).unwrap_or_default();
            if rest.is_empty() || !http1::begins_request(rest) {
                http.head[at].clear();
                return;
            }
            match http1::request(rest, input.mark) {
                Head::Partial if cut > 0 => {
                    let head = rest.to_vec();
                    http.head[at].clear();
                    Self::cut_request(http, &head, input.mark, said);
                    return;
                }
                Head::Partial => {
                    http.head[at].drain(..from);
                    return;
                }
                Head::NoHttp => {
                    http.head[at].clear();
                    return;
                }
                Head::Whole { head, len, body } => {
                    from += len;
                    if http1::asks(&head) {
                        let mut asked = Asked::new(&head, false);
                        let rest = http.head[at].get(from..).unwrap_or_default();
                        if !rest.is_empty() || cut > 0 {
                            asked.wait(rest, input.cut, input.mark);
                        }
                        http.head[at].clear();
                        http.asked = Some(asked);
                        said.push(Said::Request(Box::new(head)));
                        return;
                    }
                    said.push(Said::PlainRequest);
                    let rest = http.head[at].len() - from;
                    let passed = (body.min(rest as u64)) as usize;
                    from += passed;
                    http.skip = (body - passed as u64).saturating_sub(cut);
                }
            }
        }
    }

    /// The head of a request stops where the capture cut it, or before a gap.
    pub(super) fn cut_request(http: &mut Http, head: &[u8], mark: Mark, said: &mut Vec<Said>) {
        if let Some(request) = http1::cut_request(head, mark) {
            http.asked = Some(Asked::new(&request, true));
            said.push(Said::Request(Box::new(request)));
        }
    }

    pub(super) fn server_bytes(&mut self, input: Bytes<'_>, said: &mut Vec<Said>) {
        let Protocol::Http(http) = &mut self.protocol else {
            return;
        };
        let at = input.side.min(1);
        let begins = http1::begins_response(input.bytes);
        // Without a question only a 101 is of interest: its question is not in the capture.
        let status = |head: &[u8]| head.get(9..12).is_none_or(|s| s == b"101");
        let wanted = http.asked.is_some() || status(input.bytes);
        if http.head[at].is_empty() && !(begins && wanted) {
            if http.asked.is_some() && !begins && !input.bytes.is_empty() {
                // The body of an earlier answer, or frames behind an answer that is lost.
                let frames =
                    FrameDecoder::behind_gap(false, true).looks_like_frames(input.bytes, input.cut);
                if frames {
                    self.answer_lost(input.mark, said);
                    self.feed(input, said);
                }
            }
            return;
        }
        if http.head[at].len() + input.bytes.len() > http1::MAX_HEAD {
            http.head[at].clear();
            return;
        }
        http.head[at].extend_from_slice(input.bytes);
        if http.asked.is_none() && !status(&http.head[at]) {
            http.head[at].clear();
            return;
        }
        loop {
            match http1::response(&http.head[at], input.mark) {
                Head::Partial if input.cut > 0 => {
                    let head = std::mem::take(&mut http.head[at]);
                    if let Some(response) = http1::cut_response(&head, input.mark) {
                        self.answered(response, &[], input, true, said);
                    }
                    return;
                }
                Head::Partial => return,
                Head::NoHttp => {
                    http.head[at].clear();
                    return;
                }
                // Interim answers (RFC 9110 15.2).
                Head::Whole { head, len, .. } if head.status < 200 && head.status != 101 => {
                    http.head[at].drain(..len);
                    if http.head[at].is_empty() {
                        return;
                    }
                }
                Head::Whole { head, len, .. } => {
                    let all = std::mem::take(&mut http.head[at]);
                    self.answered(head, all.get(len..).unwrap_or_default(), input, false, said);
                    return;
                }
            }
        }
    }

    pub(super) fn answered(
        &mut self,
        mut response: Response,
        rest: &[u8],
        input: Bytes<'_>,
        cut: bool,
        said: &mut Vec<Said>,
    ) {
        let Protocol::Http(http) = &mut self.protocol else {
            return;
        };
        let asked = http.asked.take();
        let client = http.client;
        let names_it = match response.upgrade.as_deref() {
            Some(upgrade) => http1::has_token(upgrade, "websocket"),
            None => cut || response.accept.is_some(),
        };
        let upgraded = response.status == 101 && names_it;
        let doubtful = asked.as_ref().is_some_and(|a| !a.sure);
        if doubtful && response.status != 101 && response.status != 426 {
            said.push(Said::Doubtful(Box::new(response)));
            return;
        }
        let key = asked.as_ref().and_then(|a| a.key.as_deref());
        response.accept_right = match (key, &response.accept) {
            (Some(key), Some(accept)) => Some(http1::accept(key) == accept.trim()),
            // Present, and no answer to it: the handshake fails (RFC 6455 4.1).
            (Some(_), None) if upgraded && !cut => Some(false),
            _ => None,
        };
        let deflate = response
            .extensions
            .as_deref()
            .is_some_and(|e| !e.trim().is_empty());
        let agreed = response.extensions.as_deref().and_then(inflate::agreed);
        let status = response.status;
        said.push(Said::Response(Box::new(response)));
        if !upgraded {
            if status == 101 {
                self.protocol = Protocol::Other;
            }
            return;
        }
        let rsv1 = if cut {
            asked.as_ref().is_none_or(|a| a.cut || a.offers_extensions)
        } else {
            deflate
        };
        let decoder = |side: Side, sure: bool| {
            let masked = side == client;
            if sure {
                FrameDecoder::after_handshake(masked, rsv1)
            } else {
                FrameDecoder::behind_gap(masked, rsv1)
            }
        };
        let request_whole = asked.as_ref().is_some_and(|a| !a.cut);
        let sure = |side: Side| if side == client { request_whole } else { !cut };
        let mut decoders = [decoder(0, sure(0)), decoder(1, sure(1))];
        for (side, decoder) in decoders.iter_mut().enumerate() {
            let flow = agreed.map(|a| {
                if side == client {
                    a.to_server
                } else {
                    a.to_client
                }
            });
            // A context that begins behind a gap is none.
            if flow.is_some_and(|f| !f.no_context_takeover) && sure(side) {
                decoder.follow(Some(Box::default()));
            }
        }
        self.protocol = Protocol::WebSocket(Box::new(decoders));
        self.replay(asked, client, said);
        if !rest.is_empty() || (input.cut > 0 && !cut) {
            self.feed(
                Bytes {
                    bytes: rest,
                    ..input
                },
                said,
            );
        }
    }

    /// Frames will come, or came, behind an answer that the capture does not hold.
    pub(super) fn answer_lost(&mut self, _mark: Mark, said: &mut Vec<Said>) {
        let Protocol::Http(http) = &mut self.protocol else {
            return;
        };
        let client = http.client;
        let asked = http.asked.take();
        self.client = Some(client);
        self.protocol = Protocol::Midstream(Box::new([
            FrameDecoder::midstream(),
            FrameDecoder::midstream(),
        ]));
        self.replay(asked, client, said);
    }

    pub(super) fn replay(&mut self, asked: Option<Asked>, client: Side, said: &mut Vec<Said>) {
        for pending in asked.map(|a| a.pending).unwrap_or_default() {
            match pending {
                Pending::Bytes(bytes, cut, mark) => {
                    let bytes = Bytes {
                        side: client,
                        bytes: &bytes,
                        cut,
                        mark,
                    };
                    self.feed(bytes, said);
                }
                Pending::Gap(count, mark) => self.gap(client, count, mark, said),
            }
        }
    }
}

impl Asked {
    pub(super) fn new(request: &Request, cut: bool) -> Self {
        Self {
            key: request.key.clone(),
            cut,
            sure: http1::asks(request),
            offers_extensions: request.extensions.is_some(),
            pending: Vec::new(),
            pending_bytes: 0,
        }
    }

    pub(super) fn wait(&mut self, bytes: &[u8], cut: u32, mark: Mark) {
        self.pending_bytes += bytes.len();
        let gap = u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .saturating_add(cut);
        match self.pending.last_mut() {
            Some(Pending::Gap(count, _)) if self.pending_bytes > MAX_PENDING => {
                *count = count.saturating_add(gap)
            }
            _ if self.pending_bytes > MAX_PENDING => self.pending.push(Pending::Gap(gap, mark)),
            _ => self.pending.push(Pending::Bytes(bytes.to_vec(), cut, mark)),
        }
    }
}
