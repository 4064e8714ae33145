//! The answer to an upgrade and compressed frames -> what of a leg's permessage-deflate was agreed on, read and left unread.

use super::{Leg, Yield};
use crate::capture::events::Side;
use crate::capture::frame::Decoded;
use crate::capture::inflate;
use crate::model::{Compression, Response};

/// What is known of a leg's permessage-deflate.
#[derive(Debug, Default)]
pub(super) struct Compressed {
    agreed: Option<Compression>,
    /// Contexts taken from the shared number of them.
    contexts: usize,
    /// Compressed messages by side, and those short texts of them that stayed unread.
    messages: [u64; 2],
    unread: [u64; 2],
}

impl Leg {
    /// Gives the contexts of compressed messages back.
    pub(super) fn let_go(&mut self, up: &mut Yield) {
        if let Some(compressed) = &mut self.compression
            && compressed.contexts > 0
        {
            up.inflaters
                .give_back(std::mem::take(&mut compressed.contexts));
            self.app.inflate(false);
        }
    }

    /// The answer to an upgrade names what may be compressed, and how.
    pub(super) fn agree(&mut self, response: &Response, up: &mut Yield) {
        let agreed = response.extensions.as_deref().and_then(inflate::agreed);
        if !response.upgraded() || agreed.is_none() {
            return;
        }
        let mut compressed = Compressed {
            agreed,
            ..Compressed::default()
        };
        let grant = up.inflaters.take(2);
        let granted = self.app.inflate(grant);
        if grant {
            up.inflaters.give_back(2 - granted.min(2));
            compressed.contexts = granted;
        }
        self.compression = Some(Box::new(compressed));
    }

    /// Counts a compressed message, and reads it where it stands for itself.
    pub(super) fn inflate(&mut self, side: Side, frame: &mut Decoded, up: &mut Yield) {
        let compressed = self.compression.get_or_insert_default();
        if let Some(n) = compressed.messages.get_mut(side) {
            *n += 1;
        }
        if !frame.fin || !frame.whole {
            return;
        }
        if frame.inflated.is_none() {
            frame.inflated = up.inflaters.alone(&frame.body);
        }
        if frame.inflated.is_none()
            && frame.opcode == 1
            && let Some(n) = compressed.unread.get_mut(side)
        {
            *n += 1;
        }
    }

    pub(super) fn compressed(&self) -> Option<Compression> {
        let known = self.compression.as_deref()?;
        let mut all = known.agreed.unwrap_or_default();
        for (side, flow) in [
            (self.client, &mut all.to_server),
            (1 - self.client, &mut all.to_client),
        ] {
            flow.messages = known.messages.get(side).copied().unwrap_or(0);
            flow.unread = known.unread.get(side).copied().unwrap_or(0);
        }
        Some(all)
    }
}
