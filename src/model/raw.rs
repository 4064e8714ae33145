//! One record as it stands in its file, with what surrounds it: what the Raw view shows.

use super::source::RecordRef;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    Line {
        /// Line number and text (lossy UTF-8, control characters still in it: views make them inert).
        lines: Vec<(u64, String)>,
        /// Index into `lines` of the record itself.
        focus: usize,
        /// What was read from it: field, value.
        fields: Vec<(String, String)>,
    },
    Packet {
        number: u64,
        /// Layers and fields: depth, text, byte range in `bytes`.
        tree: Vec<(usize, String, std::ops::Range<usize>)>,
        bytes: Vec<u8>,
        /// The WebSocket payload of the packet's first frame, unmasked.
        payload: Option<Vec<u8>>,
    },
    /// It can't be read any more: why.
    Missing(String),
}

/// Reads records again, on demand.
pub trait RawReader {
    fn read(&mut self, record: RecordRef) -> Raw;
}
