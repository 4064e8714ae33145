//! One input file of a case: what it is, where its records lie, how its clock stands, what was wrong with it.

use super::time::{Moment, Stamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u32);

/// One packet (its number in the file, from 1) or one log line (from 1) of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    pub source: SourceId,
    pub ordinal: u64,
    /// Byte offset of the record in the source's uncompressed bytes.
    pub start: u64,
    /// Bytes of the record, its own header included.
    pub len: u32,
}

impl RecordRef {
    /// Behind what stands before it: so many records, and so many bytes.
    pub const fn moved(&mut self, records: u64, bytes: u64) {
        self.ordinal += records;
        self.start += bytes;
    }

    /// The Wireshark display filter that finds this packet in its own file.
    pub fn display_filter(&self) -> String {
        format!("frame.number == {}", self.ordinal)
    }
}

/// What the content of a file showed it to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SourceKind {
    Pcap,
    Pcapng,
    /// The name of a log format, as registered in `logs::FORMATS` (`nginx-access`, `haproxy`, `app-json` ...).
    #[serde(skip_deserializing)]
    Log(&'static str),
    /// The name of a configuration reader (`nginx-conf`, `haproxy-cfg`, `alb-attributes` ...).
    #[serde(skip_deserializing)]
    Config(&'static str),
    KeyLog,
    Empty,
    Unrecognised,
}

impl SourceKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Log(name) | Self::Config(name) => name,
            Self::KeyLog => "tls-keylog",
            Self::Empty => "empty",
            Self::Unrecognised => "unrecognised",
        }
    }

    pub const fn is_capture(self) -> bool {
        matches!(self, Self::Pcap | Self::Pcapng)
    }
}

/// How the time zone of a source's stamps is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneBasis {
    /// The stamps count from the epoch.
    Epoch,
    /// Each line carries its offset.
    Line,
    /// The format says UTC.
    Format,
    /// The user said so.
    Given,
    /// Nothing says so: assumed, and to be checked against other sources.
    Assumed,
    /// Zone-less stamps were matched against another source.
    Matched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Seconds east of UTC that were subtracted.
    pub offset_s: i32,
    pub basis: ZoneBasis,
}

/// How the offset of a source's clock is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockBasis {
    Reference,
    /// From connections seen here and in a source whose offset is known.
    Measured,
    Given,
    /// No connection was seen in two places: taken as right.
    Assumed,
}

/// A source's clock against the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// This source's clock minus the reference's, in nanoseconds: subtract it to get reference time.
    pub offset_ns: i64,
    /// Half the spread of the pairs that it was measured from.
    pub spread_ns: i64,
    pub pairs: u32,
    /// How much further off it is with each second, in nanoseconds (parts per thousand million), counted from `drift_from`.
    pub drift_ppb: i64,
    pub drift_from: Moment,
    pub basis: ClockBasis,
}

impl Clock {
    /// Its offset at a moment of its own.
    pub fn offset_at(&self, at: Moment) -> i64 {
        let since = i128::from(at.since(self.drift_from));
        let drifted = since * i128::from(self.drift_ppb) / 1_000_000_000;
        self.offset_ns
            .saturating_add(i64::try_from(drifted).unwrap_or_default())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            offset_ns: 0,
            spread_ns: 0,
            pairs: 0,
            drift_ppb: 0,
            drift_from: Moment(0),
            basis: ClockBasis::Assumed,
        }
    }
}

/// What was wrong with an input: named, counted, never fatal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// A stable kebab-case name: `truncated-tail`, `unknown-line` ...
    pub kind: String,
    pub count: u64,
    /// The first record it was met at; 0 where it concerns the whole file.
    pub first_record: u64,
    /// One sentence for the reader: what it means, what to do.
    pub note: String,
    /// The first ones it was met at, as far as each stands in a place of its own; at most [`ODD_KEPT`].
    pub records: Vec<RecordRef>,
}

/// Records kept of one kind of anomaly.
pub const ODD_KEPT: usize = 100;

impl Anomaly {
    /// Remembers a place it was met at.
    pub fn keep(&mut self, records: &[RecordRef]) {
        let room = ODD_KEPT.saturating_sub(self.records.len());
        self.records.extend(records.iter().take(room));
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    pub id: SourceId,
    /// As the user would name it: relative to the case's folder, `/`-separated.
    pub path: String,
    pub kind: SourceKind,
    /// `gz`, `zst`, `xz`, `bz2`, `lz4`.
    pub compression: Option<&'static str>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Where it was recorded, as far as the content shows: `nginx 192.0.2.9`.
    pub vantage: Option<String>,
    /// Packets or lines.
    pub records: u64,
    /// Records that were understood.
    pub used: u64,
    /// Records that were not: for logs `records = used + odd`, blank lines left out of all three.
    pub odd: u64,
    pub first: Option<Stamp>,
    pub last: Option<Stamp>,
    pub zone: Option<Zone>,
    pub clock: Clock,
    /// What its records say, and under which of their keys it was found or told: `client`, `clientIp`.
    pub fields: Vec<(String, String)>,
    pub anomalies: Vec<Anomaly>,
    /// Why nothing, or not all, of it was used; `None` where all is well.
    pub reason: Option<String>,
    /// A path given on the command line itself, not found inside a folder.
    pub named: bool,
}

impl Source {
    /// Adds `count` to the anomaly of that kind, or starts it.
    pub fn anomaly(&mut self, kind: &str, count: u64, first_record: u64, note: impl Into<String>) {
        add_anomaly(&mut self.anomalies, kind, count, first_record, note);
    }

    /// Left unread because its records lie outside the asked-for time.
    pub fn is_outside(&self) -> bool {
        self.anomalies.iter().any(|a| a.kind == OUTSIDE)
    }
}

/// The anomaly of a source that was left unread for its time.
pub const OUTSIDE: &str = "outside-window";

pub fn add_anomaly(
    anomalies: &mut Vec<Anomaly>,
    kind: &str,
    count: u64,
    first_record: u64,
    note: impl Into<String>,
) {
    if let Some(known) = anomalies.iter_mut().find(|a| a.kind == kind) {
        known.count += count;
        known.first_record = known.first_record.min(first_record);
    } else {
        anomalies.push(Anomaly {
            kind: kind.to_owned(),
            count,
            first_record,
            note: note.into(),
            records: Vec::new(),
        });
    }
}

/// One more of that kind, at this record.
pub fn add_odd(
    anomalies: &mut Vec<Anomaly>,
    kind: &str,
    record: RecordRef,
    note: impl Into<String>,
) {
    add_anomaly(anomalies, kind, 1, record.ordinal, note);
    if let Some(anomaly) = anomalies.iter_mut().find(|a| a.kind == kind) {
        anomaly.keep(&[record]);
    }
}
