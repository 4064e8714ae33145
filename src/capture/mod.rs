//! A capture's bytes -> what its vantage point saw of each leg, and every WebSocket frame.

mod app;
mod assembler;
mod dissect;
mod events;
mod file;
mod frame;
mod half;
mod http1;
mod leg;
mod packet;
mod tls;
mod tracker;

use crate::model::{
    Anomaly, Frame, LegObservation, Mark, Moment, RecordRef, SourceId, SourceKind, Stamp,
    add_anomaly,
};
use file::{PacketFile, Record};
use packet::Packet;
use std::io::Read;
use tracker::Tracker;

pub use dissect::dissect;

/// Bytes between two reports of progress.
const PROGRESS: u64 = 4 * 1024 * 1024;

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
pub fn sniff(head: &[u8]) -> Option<SourceKind> {
    file::sniff(head)
}

/// The time of the first packet, to put rotated files in order.
pub fn first_packet_at(head: &[u8]) -> Option<Moment> {
    file::first_packet_at(head)
}

/// One vantage point: fed with its file, or with its rotated files one after the other.
#[derive(Debug)]
pub struct Vantage {
    tracker: Tracker,
    last_at: Option<Moment>,
}

impl Vantage {
    pub fn new(index: u32) -> Self {
        Self {
            tracker: Tracker::new(index),
            last_at: None,
        }
    }

    /// The time of the last packet read so far.
    pub const fn last_at(&self) -> Option<Moment> {
        self.last_at
    }

    /// Reads one file to its end. `on_frame` gets every WebSocket frame; `progress` the bytes read so far.
    pub fn read(
        &mut self,
        source: SourceId,
        input: &mut dyn Read,
        mut on_frame: Option<&mut dyn FnMut(Frame)>,
        progress: &mut dyn FnMut(u64),
    ) -> FileSummary {
        let mut summary = FileSummary::default();
        let mut file = PacketFile::new(input);
        let mut reported = 0;
        self.tracker.up.frames_wanted = on_frame.is_some();
        while let Some(record) = file.next() {
            self.packet(source, &record, &mut summary);
            if let Some(on_frame) = on_frame.as_mut() {
                for frame in self.tracker.up.frames.drain(..) {
                    on_frame(frame);
                }
            }
            let position = record.start;
            if position - reported >= PROGRESS {
                reported = position;
                progress(position);
            }
        }
        progress(file.position());
        summary.packets = file.packets();
        summary.odd += file.odd();
        let (anomalies, links) = file.finish();
        for a in anomalies {
            add_anomaly(
                &mut summary.anomalies,
                &a.kind,
                a.count,
                a.first_record,
                a.note,
            );
        }
        self.tracker.anomalies(&mut summary.anomalies);
        summary.links = links.into_iter().map(file::link_name).collect();
        summary
    }

    fn packet(&mut self, source: SourceId, record: &Record<'_>, summary: &mut FileSummary) {
        let stamp = Stamp::new(record.at, record.tick_ns);
        if summary.first.is_none_or(|f| stamp.at < f.at) {
            summary.first = Some(stamp);
        }
        if summary.last.is_none_or(|l| stamp.at >= l.at) {
            summary.last = Some(stamp);
        }
        if self.last_at.is_none_or(|l| record.at > l) {
            self.last_at = Some(record.at);
        }
        match packet::parse(record.link, record.data, record.wire_len) {
            Packet::Tcp(mut segment) => {
                summary.used += 1;
                segment.tap ^= record.interface << 24;
                let place = RecordRef {
                    source,
                    ordinal: record.ordinal,
                    start: record.start,
                    len: record.len,
                };
                self.tracker.segment(
                    &segment,
                    Mark {
                        at: record.at,
                        record: place,
                    },
                );
            }
            Packet::Other => {}
            Packet::Odd(kind) => {
                summary.odd += 1;
                add_anomaly(
                    &mut summary.anomalies,
                    kind,
                    1,
                    record.ordinal,
                    explain(kind),
                );
            }
        }
    }

    /// The legs that spoke WebSocket, tried to, or spoke TLS, in order of their first packet.
    pub fn finish(self) -> Vec<LegObservation> {
        self.tracker.finish()
    }
}

/// What an anomaly of a packet means.
fn explain(kind: &str) -> &'static str {
    match kind {
        "short-packet" => {
            "packets were cut before the end of their TCP header: capture with a larger snap length"
        }
        "ip-fragment" => "IP fragments are not put together: their bytes count as lost",
        "bad-ip-header" => "packets whose IP header contradicts itself were left out",
        "too-many-layers" => "packets with too many tunnels or extension headers were left out",
        "unknown-link-type" => "packets of a link type that is not read were left out",
        _ => "packets that could not be read were left out",
    }
}
