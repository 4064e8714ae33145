//! How far the reading of a case has come, as plain numbers for whoever watches.

use super::source::SourceId;

/// Where one file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileState {
    #[default]
    Waiting,
    Reading,
    /// Read to its end.
    Read,
}

/// One file that is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileProgress {
    pub state: FileState,
    /// Stored bytes, and how many of them were read.
    pub bytes: u64,
    pub read: u64,
}

/// Where the reading of a case stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loading {
    /// By the id of the source.
    pub files: Vec<FileProgress>,
    /// Stored bytes of all files that are to be read, and how many of them were.
    pub total: u64,
    pub read: u64,
    /// Bytes a second of late, 0 = not known yet.
    pub rate: u64,
    /// The reader of the screen has had enough; what was read is being judged.
    pub stopped: bool,
}

impl Loading {
    /// Whole percent of the bytes, 100 only where all is read.
    pub fn percent(&self) -> u64 {
        match self.total {
            0 => 0,
            _ if self.read >= self.total => 100,
            total => (u128::from(self.read) * 100 / u128::from(total)) as u64,
        }
    }

    /// Seconds to the end at the present rate, rounded up.
    pub fn left_s(&self) -> Option<u64> {
        let rest = self.total.saturating_sub(self.read);
        (self.rate > 0 && self.read > 0).then(|| rest.div_ceil(self.rate))
    }

    pub fn state(&self, id: SourceId) -> FileState {
        let file = self.files.get(id.0 as usize);
        file.map_or(FileState::Waiting, |f| f.state)
    }

    /// Files that are read, of those that are to be.
    pub fn counted(&self) -> (usize, usize) {
        let read = |f: &&FileProgress| f.state == FileState::Read;
        (self.files.iter().filter(read).count(), self.files.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_rounded_so_that_it_never_promises_too_much() {
        let check = |(total, read, rate): (u64, u64, u64), percent: u64, left: Option<u64>| {
            let loading = Loading {
                total,
                read,
                rate,
                ..Loading::default()
            };
            assert_eq!((loading.percent(), loading.left_s()), (percent, left));
        };
        check((0, 0, 0), 0, None);
        check((1000, 999, 0), 99, None);
        check((1000, 999, 500), 99, Some(1));
        check((1000, 1000, 500), 100, Some(0));
        check((u64::MAX, u64::MAX / 2, 1), 49, Some(u64::MAX / 2 + 1));
    }
}
