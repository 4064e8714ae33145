//! A packet's time and place -> the same in three words, for what is kept of every leg.

use crate::model::{Mark, Moment, RecordRef, SourceId};
use std::num::NonZeroU64;

const SOURCE_BITS: u32 = 20;
const LEN_BITS: u32 = 26;
const MAX_SOURCE: u64 = (1 << SOURCE_BITS) - 1;
const MAX_START: u64 = (1 << (64 - SOURCE_BITS)) - 1;
const MAX_LEN: u64 = (1 << LEN_BITS) - 1;
/// One less than the bits hold: the sum below must not overflow.
const MAX_ORDINAL: u64 = (1 << (64 - LEN_BITS)) - 2;

/// A [`Mark`], packed: a quarter smaller, and nearly half of that where it may be missing, because most of what is written for each packet
/// is marks. Beyond a million files, 16 TiB of one file, or 2^38 packets of it, the largest number stands for all above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) at: Moment,
    /// Where the record begins, and in which source.
    place: u64,
    /// Ordinal and length of the record, plus one.
    record: NonZeroU64,
}

impl From<Mark> for Spot {
    fn from(mark: Mark) -> Self {
        let RecordRef {
            source,
            ordinal,
            start,
            len,
        } = mark.record;
        Self::new(mark.at, source, ordinal, start, len)
    }
}

impl From<Spot> for Mark {
    fn from(spot: Spot) -> Self {
        let record = spot.record.get() - 1;
        Self {
            at: spot.at,
            record: RecordRef {
                source: SourceId((spot.place & MAX_SOURCE) as u32),
                ordinal: record >> LEN_BITS,
                start: spot.place >> SOURCE_BITS,
                len: (record & MAX_LEN) as u32,
            },
        }
    }
}

impl Spot {
    #[inline]
    pub(super) fn new(at: Moment, source: SourceId, ordinal: u64, start: u64, len: u32) -> Self {
        let place = start.min(MAX_START) << SOURCE_BITS | u64::from(source.0).min(MAX_SOURCE);
        let record = ordinal.min(MAX_ORDINAL) << LEN_BITS | u64::from(len).min(MAX_LEN);
        Self {
            at,
            place,
            record: NonZeroU64::MIN.saturating_add(record),
        }
    }

    /// The packet's number in its file.
    pub(super) const fn ordinal(&self) -> u64 {
        (self.record.get() - 1) >> LEN_BITS
    }

    /// Reads a word of it, so that the processor fetches it.
    pub(super) const fn touch(&self) -> u64 {
        self.record.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost_on_the_way(at: i64, source in 0u32..1 << 20, ordinal in 0u64..1 << 37, start in 0u64..1 << 44, len in 0u32..1 << 26) {
            let record = RecordRef { source: SourceId(source), ordinal, start, len };
            let mark = Mark { at: Moment(at), record };
            prop_assert_eq!(Mark::from(Spot::from(mark)), mark);
        }
    }

    #[test]
    fn what_is_too_large_stays_the_largest() {
        let record = RecordRef {
            source: SourceId(u32::MAX),
            ordinal: u64::MAX,
            start: u64::MAX,
            len: u32::MAX,
        };
        let mark = Mark::from(Spot::from(Mark {
            at: Moment(1),
            record,
        }));
        assert_eq!(
            (mark.record.source.0, mark.record.ordinal),
            (0xf_ffff, MAX_ORDINAL)
        );
        assert_eq!(
            (mark.record.start, mark.record.len),
            (MAX_START, MAX_LEN as u32)
        );
        assert_eq!(size_of::<Option<Spot>>(), 24);
    }
}
