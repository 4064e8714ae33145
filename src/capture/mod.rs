//! A capture's bytes -> what its vantage point saw of each leg, and every WebSocket frame.

mod app;
mod assembler;
mod beat;
mod cut;
mod dissect;
mod ends;
mod events;
mod file;
mod fragments;
mod frame;
mod half;
mod http1;
mod http2;
mod index;
mod inflate;
mod leg;
mod packet;
mod pings;
mod spot;
mod tls;
mod tracker;

use crate::model::{
    Anomaly, Frame, LegObservation, Mark, Moment, SourceId, SourceKind, Stamp, add_anomaly, add_odd,
};
use ends::Seeds;
use file::{Each, PacketFile, Record};
use fragments::Fragments;
use packet::{Packet, Segment};
use spot::Spot;
use std::io::Read;
use std::sync::Arc;
use tracker::{Arrived, Tracker};

pub use cut::{PcapngWriter, Picked, Wanted, pick, written_here};
pub use dissect::dissect;
pub use tls::keylog::{KeyLog, KeyLogSummary, is_key_log};

/// Packets looked at together.
const BATCH: usize = 32;
/// A lane that another share follows.
const OTHERS: u8 = u8::MAX;
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

/// The TLS secrets that a pcapng carries in its first bytes, where captures have them.
pub fn secrets_in(head: &[u8]) -> KeyLog {
    let mut keys = KeyLog::default();
    if sniff(head) == Some(SourceKind::Pcapng) {
        let mut input = head;
        let mut file = PacketFile::new(&mut input);
        while file.next().is_some() {}
        let secrets = std::mem::take(&mut file.secrets);
        keys.read(&mut secrets.as_slice());
    }
    keys
}

/// Parts that the legs of a vantage point fall into. It does not depend on the machine, so that neither do the limits of each.
pub const LANES: usize = 8;

/// The first and the last stamp of a file.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// There is a packet.
    met: bool,
    first: Stamp,
    last: Stamp,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            met: false,
            first: Stamp::new(Moment(i64::MAX), 1),
            last: Stamp::new(Moment(i64::MIN), 1),
        }
    }
}

impl Span {
    #[inline(always)]
    fn take(&mut self, record: &Record<'_>) {
        if record.at < self.first.at {
            self.first = record.stamp();
        }
        if record.at >= self.last.at {
            self.last = record.stamp();
        }
        self.met = true;
    }

    fn ends(&self) -> (Option<Stamp>, Option<Stamp>) {
        let known = |stamp| self.met.then_some(stamp);
        (known(self.first), known(self.last))
    }
}

/// The room of a list for another one, whose elements live longer or shorter: nothing is asked of the system for it.
fn emptied<A, B>(mut list: Vec<A>) -> Vec<B> {
    list.clear();
    list.into_iter().filter_map(|_| None).collect()
}

/// A share of one vantage point: fed with its file, or with its rotated files one after the other.
///
/// Every share reads all packets and follows only its own legs, so that several threads may read one file at once.
#[derive(Debug)]
pub struct Vantage {
    /// Those of its lanes: `share`, `share + of`, ...
    trackers: Vec<Tracker>,
    /// Which of them follows each lane.
    lanes: [u8; LANES],
    share: usize,
    fragments: Fragments,
    /// Of the file's own blocks: each has more sessions than the one behind it, so that they are few.
    secrets: Vec<Arc<KeyLog>>,
    last_at: Option<Moment>,
}

impl Vantage {
    /// The share number `share` (from 0) of `of`, at most [`LANES`]; `keys` may open its TLS legs.
    pub fn new(index: u32, (share, of): (usize, usize), keys: &Arc<KeyLog>) -> Self {
        let of = of.clamp(1, LANES);
        let seeds = Seeds::default();
        let tracker = |_| {
            let mut tracker = Tracker::new(index, seeds);
            tracker.up.tls.keys = Arc::clone(keys);
            tracker
        };
        let lane = |lane: usize| match lane % of == share {
            true => (lane / of) as u8,
            false => OTHERS,
        };
        Self {
            trackers: (share..LANES).step_by(of).map(tracker).collect(),
            lanes: std::array::from_fn(lane),
            share,
            fragments: Fragments::default(),
            secrets: Vec::new(),
            last_at: None,
        }
    }

    /// The time of the last packet read so far.
    pub const fn last_at(&self) -> Option<Moment> {
        self.last_at
    }

    /// Reads one file to its end. `on_frame` gets every WebSocket frame; `progress` what was read so far. What concerns the file as
    /// a whole is told by the first share only.
    pub fn read(
        &mut self,
        source: SourceId,
        input: &mut dyn Read,
        mut on_frame: Option<&mut dyn FnMut(Frame)>,
        progress: &mut dyn FnMut(SoFar<'_>),
    ) -> FileSummary {
        let mut summary = FileSummary::default();
        let mut file = PacketFile::new(input);
        let mut reported = 0;
        for tracker in &mut self.trackers {
            tracker.up.frames_wanted = on_frame.is_some();
        }
        let mut span = Span::default();
        let mut spare: Vec<Arrived<'_>> = Vec::with_capacity(BATCH);
        while file.ready() {
            if !file.secrets.is_empty() {
                let secrets = std::mem::take(&mut file.secrets);
                self.learn(&secrets);
            }
            // Parsing, finding the legs and using them are apart, so that the waits for memory overlap.
            let mut arrived = emptied(spare);
            let mut parser = Parser {
                vantage: self,
                source,
                span: &mut span,
                summary: &mut summary,
                arrived: &mut arrived,
            };
            file.batch(BATCH, &mut parser);
            (summary.first, summary.last) = span.ends();
            tracker::prepare(&self.trackers, &mut arrived);
            for packet in &arrived {
                let Some(tracker) = self.trackers.get_mut(packet.tracker) else {
                    continue;
                };
                tracker.take(packet);
                // Fragments that came before the first one of their packet.
                while let Some((early, mark)) = self.fragments.waiting(packet.spot.ordinal()) {
                    let early = early.segment();
                    tracker.take(&Arrived::new(packet.tracker, early, mark.into(), tracker));
                }
                if let Some(on_frame) = on_frame.as_mut() {
                    for frame in tracker.up.frames.drain(..) {
                        on_frame(frame);
                    }
                }
            }
            spare = emptied(arrived);
            let position = file.position();
            if position - reported >= PROGRESS {
                reported = position;
                progress(SoFar {
                    trackers: &self.trackers,
                    packets: file.packets(),
                    ended: false,
                    summary: &summary,
                });
            }
        }
        self.last_at = self.last_at.max(span.ends().1.map(|l| l.at));
        progress(SoFar {
            trackers: &self.trackers,
            packets: file.packets(),
            ended: true,
            summary: &summary,
        });
        summary.packets = file.packets();
        summary.odd += file.odd();
        let (anomalies, links) = file.finish();
        summary.take(anomalies);
        self.fragments.anomalies(&mut summary.anomalies);
        summary.links = links.into_iter().map(file::link_name).collect();
        if self.share > 0 {
            summary = FileSummary::default();
        }
        for tracker in &mut self.trackers {
            summary.take(tracker.anomalies());
        }
        summary
    }

    /// Secrets that the capture itself holds.
    fn learn(&mut self, secrets: &[u8]) {
        let mut log = KeyLog::default();
        log.read(&mut &*secrets);
        // Merged as a binary counter counts: a file of nothing but such blocks must not cost the square of their number.
        while let Some(last) = self.secrets.pop_if(|l| l.len() <= log.len()) {
            log.merge(last.as_ref().clone());
        }
        self.secrets.push(Arc::new(log));
        for tracker in &mut self.trackers {
            tracker.up.tls.own.clone_from(&self.secrets);
        }
    }

    /// The packet of a leg that this share follows waits for its turn.
    #[inline(always)]
    fn arrive<'b>(&self, segment: Segment<'b>, spot: Spot, arrived: &mut Vec<Arrived<'b>>) {
        let tracker = usize::from(self.follower(&segment));
        if let Some(follower) = self.trackers.get(tracker) {
            arrived.push(Arrived::new(tracker, segment, spot, follower));
        }
    }

    /// A packet that is not as nearly all are.
    #[inline(never)]
    fn parse_other<'b>(
        &mut self,
        source: SourceId,
        record: Record<'b>,
        summary: &mut FileSummary,
        arrived: &mut Vec<Arrived<'b>>,
    ) {
        let mark = Mark::from(record.spot(source));
        match packet::parse(record.link, record.data, record.wire_len) {
            Packet::Tcp(mut segment) => {
                summary.used += 1;
                segment.tap ^= record.interface << 24;
                self.arrive(segment, mark.into(), arrived);
            }
            Packet::Fragment(mut fragment) => {
                summary.used += 1;
                if let Some(segment) = &mut fragment.segment {
                    segment.tap ^= record.interface << 24;
                }
                let Some(segment) = self.fragments.take(&fragment, mark) else {
                    return;
                };
                if self.follower(&segment) == OTHERS {
                    // What waits behind it is for another share as well.
                    while self.fragments.waiting(mark.record.ordinal).is_some() {}
                }
                self.arrive(segment, mark.into(), arrived);
            }
            Packet::Other => {}
            Packet::Odd(kind) => {
                summary.odd += 1;
                add_odd(&mut summary.anomalies, kind, mark.record, explain(kind));
            }
        }
    }

    /// Which of its trackers follows the segment's leg, or [`OTHERS`].
    #[inline(always)]
    fn follower(&self, segment: &Segment<'_>) -> u8 {
        let lane = self.lanes.get(segment.ends.lane()).copied();
        lane.unwrap_or(OTHERS)
    }

    /// The legs that spoke WebSocket, tried to, or spoke TLS, in order of their first packet; `shares` are all of one vantage point.
    pub fn finish(shares: Vec<Self>) -> Vec<LegObservation> {
        tracker::finish(shares.into_iter().flat_map(|v| v.trackers).collect())
    }
}

/// Parses the records of a batch.
struct Parser<'v, 'b> {
    vantage: &'v mut Vantage,
    source: SourceId,
    span: &'v mut Span,
    summary: &'v mut FileSummary,
    arrived: &'v mut Vec<Arrived<'b>>,
}

impl<'b> Each<'b> for Parser<'_, 'b> {
    #[inline(always)]
    fn take(&mut self, record: Record<'b>) {
        self.span.take(&record);
        let plain = match record.link {
            packet::ETHERNET => packet::plain(record.data, record.wire_len),
            _ => None,
        };
        let Some(mut segment) = plain else {
            let (summary, arrived) = (&mut *self.summary, &mut *self.arrived);
            self.vantage
                .parse_other(self.source, record, summary, arrived);
            return;
        };
        self.summary.used += 1;
        segment.tap ^= record.interface << 24;
        let spot = record.spot(self.source);
        self.vantage.arrive(segment, spot, self.arrived);
    }
}

/// What a vantage point has seen while its file is still being read.
#[derive(Debug, Clone, Copy)]
pub struct SoFar<'a> {
    trackers: &'a [Tracker],
    /// Packets of the file read so far.
    pub packets: u64,
    /// This was the last one.
    pub ended: bool,
    summary: &'a FileSummary,
}

impl SoFar<'_> {
    /// First and last packet of the file so far.
    pub const fn span(&self) -> (Option<Stamp>, Option<Stamp>) {
        (self.summary.first, self.summary.last)
    }

    /// The legs as they stand, those that are over first, about `most` of them. Nothing is taken from the reading.
    pub fn legs(&self, most: usize) -> Vec<LegObservation> {
        tracker::so_far(self.trackers, most)
    }
}

impl FileSummary {
    /// Adds what another share of the same vantage point noticed in the file.
    pub fn join(&mut self, other: Self) {
        self.take(other.anomalies);
    }

    fn take(&mut self, anomalies: Vec<Anomaly>) {
        for a in anomalies {
            add_anomaly(
                &mut self.anomalies,
                &a.kind,
                a.count,
                a.first_record,
                a.note,
            );
            if let Some(known) = self.anomalies.iter_mut().find(|k| k.kind == a.kind) {
                known.keep(&a.records);
            }
        }
    }
}

/// What an anomaly of a packet means.
fn explain(kind: &str) -> &'static str {
    match kind {
        "short-packet" => {
            "packets were cut before the end of their TCP header: capture with a larger snap length"
        }
        "ip-fragment" => "a fragment too short for a TCP header began a packet: it was left out",
        "bad-ip-header" => "packets whose IP header contradicts itself were left out",
        "bad-tunnel-header" => "packets whose tunnel header contradicts itself were left out",
        "too-many-layers" => "packets with too many tunnels or extension headers were left out",
        "unknown-link-type" => "packets of a link type that is not read were left out",
        _ => "packets that could not be read were left out",
    }
}

#[cfg(test)]
mod tests;
