//! AWS VPC flow logs -> packets in the middle of a flow that a security group or network ACL refused, having no state for it.

use super::flows::{self, Tuple};
use super::{Found, HostFormat, HostReader};
use crate::model::{HopEvent, Moment, RecordRef, SECOND_NS, Stamp};
use crate::text;
use crate::text::peel::Outer;
use crate::text::records::Verdict;

#[derive(Debug)]
pub(super) struct VpcFlow;

impl HostFormat for VpcFlow {
    fn name(&self) -> &'static str {
        "vpc-flow-log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "2 123456789012 eni-0a1b2c3d4e5f60718 192.0.2.17 10.0.1.20 40112 443 6 3 156 1795207680 1795207740 REJECT OK",
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags\n2 123456789012 eni-0a1b2c3d4e5f60718 192.0.2.17 10.0.1.20 40112 443 6 3 156 1795207680 1795207740 ACCEPT OK 19",
            "2 123456789012 eni-0a1b2c3d4e5f60718 - - - - - - - 1795207680 1795207740 - NODATA",
        ]
    }
    fn open(&self) -> Box<dyn HostReader> {
        Box::new(Reader {
            columns: DEFAULT.iter().map(|c| (*c).to_owned()).collect(),
        })
    }
    fn fields(&self, line: &[u8], _: &Outer) -> Vec<(String, String)> {
        DEFAULT
            .iter()
            .zip(words(line))
            .map(|(k, v)| ((*k).to_owned(), text::string(v)))
            .collect()
    }
}

/// Version 2, which every log without a header has (VPC user guide, flow log records).
const DEFAULT: &[&str] = &[
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
];

/// Columns without which a header is not one of these logs.
const NEEDED: &[&str] = &["srcaddr", "dstaddr", "start", "end", "action"];

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|c| *c == b' ' || *c == b'\t')
        .filter(|w| !w.is_empty())
}

struct Reader {
    columns: Vec<String>,
}

impl Reader {
    fn header(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii();
        let is = NEEDED
            .iter()
            .all(|n| words(line).any(|word| word == n.as_bytes()));
        if is {
            self.columns = words(line).map(text::string).collect();
        }
        is
    }

    /// `Some` where the line is one of these.
    fn row(&self, record: RecordRef, line: &[u8], found: &mut Found<'_>) -> Option<()> {
        let line = line.trim_ascii();
        if words(line).count() != self.columns.len() {
            return None;
        }
        let values: Vec<&[u8]> = words(line).collect();
        let get = |name: &str| {
            let at = self.columns.iter().position(|c| c == name)?;
            values.get(at).copied().filter(|v| *v != b"-")
        };
        let seconds = |name: &str| {
            text::unsigned(get(name)?)
                .and_then(|s| i64::try_from(s).ok())
                .filter(|s| {
                    // 2001 to 2100: other columns of numbers are no times.
                    (1_000_000_000..4_102_444_800).contains(s)
                })
        };
        let (start, end) = (seconds("start")?, seconds("end")?);
        let action = get("action");
        let status = matches!(action, None | Some(b"ACCEPT" | b"REJECT"));
        if end < start || !status {
            return None;
        }
        // One line sums up a minute or ten: the tick of its stamp.
        let tick = (end - start).max(1).saturating_mul(SECOND_NS);
        let at = found.wrapped(Stamp::new(Moment(start.saturating_mul(SECOND_NS)), tick));
        let tcp = get("protocol").is_none_or(|p| p == b"6");
        let flags = get("tcp-flags").and_then(text::unsigned).unwrap_or(0);
        // FIN 1, SYN 2, RST 4: attempts to open, and late words of a flow that is over.
        let in_the_middle = flags & 7 == 0;
        let port = |name: &str| text::unsigned(get(name)?).and_then(|p| u16::try_from(p).ok());
        let ip = |name: &str| text::address(get(name)?).map(|(ip, _)| ip);
        let tuple = Tuple::new(
            ip("srcaddr"),
            port("srcport"),
            ip("dstaddr"),
            port("dstport"),
        );
        if let Some(tuple) = tuple.filter(|_| action == Some(b"REJECT") && tcp && in_the_middle) {
            flows::emit(found, record, at, HopEvent::FlowUnknown, tuple);
        }
        Some(())
    }
}

impl HostReader for Reader {
    fn line(
        &mut self,
        record: RecordRef,
        line: &[u8],
        _: &Outer,
        found: &mut Found<'_>,
    ) -> Verdict {
        if self.header(line) || self.row(record, line, found).is_some() {
            Verdict::Used
        } else {
            Verdict::Odd("unknown-line")
        }
    }
}
