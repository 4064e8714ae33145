//! A capture's bytes -> what its vantage point saw of each leg, and every WebSocket frame.

use crate::model::{Anomaly, Frame, LegObservation, Moment, SourceId, SourceKind, Stamp};
use std::io::Read;

/// What reading one capture file gave beside its legs.
#[derive(Debug, Clone, Default)]
pub struct FileSummary {
    pub packets: u64,
    /// Packets of TCP that were understood.
    pub used: u64,
    /// Packets that could not be read; what was read and is no TCP counts in neither `used` nor `odd`.
    pub odd: u64,
    pub first: Option<Stamp>,
    pub last: Option<Stamp>,
    /// Names of the link types met: `Ethernet`, `Linux cooked v2`.
    pub links: Vec<String>,
    pub anomalies: Vec<Anomaly>,
}

/// `Pcap` or `Pcapng` by the magic number at the start of the (decompressed) bytes.
pub fn sniff(_head: &[u8]) -> Option<SourceKind> {
    None
}

/// The time of the first packet, to put rotated files in order.
pub fn first_packet_at(_head: &[u8]) -> Option<Moment> {
    None
}

/// One vantage point: fed with its file, or with its rotated files one after the other.
#[derive(Debug)]
pub struct Vantage {
    index: u32,
}

impl Vantage {
    pub const fn new(index: u32) -> Self {
        Self { index }
    }

    /// The time of the last packet read so far.
    pub const fn last_at(&self) -> Option<Moment> {
        None
    }

    /// Reads one file to its end. `on_frame` gets every WebSocket frame; `progress` the bytes read so far.
    pub fn read(
        &mut self,
        _source: SourceId,
        _input: &mut dyn Read,
        _on_frame: Option<&mut dyn FnMut(Frame)>,
        _progress: &mut dyn FnMut(u64),
    ) -> FileSummary {
        FileSummary::default()
    }

    /// The legs that spoke WebSocket, tried to, or spoke TLS, in order of their first packet.
    pub fn finish(self) -> Vec<LegObservation> {
        let _ = self.index;
        Vec::new()
    }
}

/// A packet's layers for the Raw view: depth, text, byte range; and the unmasked payload of its first WebSocket frame.
/// `file_head` holds the file's first bytes (global header, or section and interface blocks), `record` the record itself.
#[allow(clippy::type_complexity)]
pub fn dissect(
    _file_head: &[u8],
    _record: &[u8],
) -> (Vec<(usize, String, std::ops::Range<usize>)>, Option<Vec<u8>>) {
    (Vec::new(), None)
}
