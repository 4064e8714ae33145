//! The first records of a pcap file -> how long the headers of its records are.

use super::{Legacy, MAX_RECORD, u32_at};
use crate::model::SECOND_NS;

/// Records that have to make sense before their headers are believed to be of another length.
const RECORDS_TRIED: usize = 4;

impl Legacy {
    /// The length of a record's header: some programs (Nokia's, and those of old distributions) wrote longer ones under a known magic
    /// number, and only the records tell. The ordinary length counts unless its records make no sense and those of another do.
    pub(super) fn header_by_its_records(&self, head: &[u8]) -> usize {
        let others = if self.header == 24 {
            [28, 20]
        } else {
            [20, 24]
        };
        let begun = i64::from(u32_at(head, 24, self.order));
        // A damaged record must not make another length look right: that one has to fit in every way.
        let sound = |header: usize, strict: bool| {
            let mut at = 24;
            for n in 0..RECORDS_TRIED {
                let Some(record) = head.get(at..).filter(|r| r.len() >= header) else {
                    // The file is over, or all of its start was sound.
                    return match strict {
                        true => n > 1 && at == head.len(),
                        false => at >= head.len(),
                    };
                };
                let captured = u32_at(record, 8, self.order);
                let wire = u32_at(record, 12, self.order);
                let fraction = i64::from(u32_at(record, 4, self.order));
                let seconds = i64::from(u32_at(record, 0, self.order));
                let fits = captured <= wire
                    && captured as usize <= MAX_RECORD
                    && fraction * self.unit_ns < SECOND_NS;
                let near = captured > 0 && wire <= 1 << 24 && (seconds - begun).abs() <= 86_400;
                if !fits || strict && !near {
                    return false;
                }
                at += header + captured as usize;
            }
            true
        };
        if sound(self.header, false) {
            return self.header;
        }
        let other = others.into_iter().find(|&header| sound(header, true));
        other.unwrap_or(self.header)
    }
}
