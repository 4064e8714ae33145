//! An unpacked stream -> its bytes, a block at a time, here or by a thread of its own while the bytes before are looked at.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Bytes unpacked at once: what an error takes along. The first blocks are smaller, so that a small file that is damaged is not lost as a
/// whole. How much of it is read does not depend on who reads it, nor by how much at a time.
const LEAST: usize = 16 * 1024;
const BLOCK: usize = 128 * 1024;
/// Blocks read ahead: both threads' caches hold them.
const BLOCKS: usize = 4;

struct Unpacked {
    inner: Box<dyn Read + Send>,
    block: usize,
}

impl Unpacked {
    /// Fills the beginning of `room`; `None` where it has too little for a block.
    fn fill(&mut self, room: &mut [u8]) -> Option<io::Result<usize>> {
        let room = room.get_mut(..self.block)?;
        self.block = (self.block * 2).min(BLOCK);
        loop {
            match self.inner.read(room) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                done => return Some(done),
            }
        }
    }

    /// What comes next, in a block that was used before.
    fn next(&mut self, mut block: Vec<u8>) -> io::Result<Vec<u8>> {
        block.resize(self.block, 0);
        let n = self.fill(&mut block).unwrap_or(Ok(0))?;
        block.truncate(n);
        Ok(block)
    }
}

/// An error, or nothing more.
fn is_last(block: &io::Result<Vec<u8>>) -> bool {
    !matches!(block, Ok(block) if !block.is_empty())
}

enum From {
    Here(Unpacked),
    /// Blocks to be looked at come, those that were go back to be filled again.
    There(Receiver<io::Result<Vec<u8>>>, SyncSender<Vec<u8>>),
}

pub(super) struct Blocks {
    from: From,
    now: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Blocks {
    pub(super) fn here(inner: Box<dyn Read + Send>) -> Self {
        Self::new(From::Here(Unpacked {
            inner,
            block: LEAST,
        }))
    }

    /// The thread ends with the stream, or when nobody takes its bytes any more.
    pub(super) fn ahead(inner: Box<dyn Read + Send>) -> io::Result<Self> {
        let (fill, full) = sync_channel(BLOCKS);
        let (empty, emptied) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            let _ = empty.try_send(Vec::new());
        }
        let mut unpacked = Unpacked {
            inner,
            block: LEAST,
        };
        let unpack = move || {
            while let Ok(block) = emptied.recv() {
                let block = unpacked.next(block);
                let last = is_last(&block);
                if fill.send(block).is_err() || last {
                    return;
                }
            }
        };
        thread::Builder::new().spawn(unpack)?;
        Ok(Self::new(From::There(full, empty)))
    }

    const fn new(from: From) -> Self {
        Self {
            from,
            now: Vec::new(),
            taken: 0,
            ended: false,
        }
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.now.len() && !self.ended {
            self.taken = 0;
            let used = std::mem::take(&mut self.now);
            let block = match &mut self.from {
                From::Here(unpacked) => {
                    // Without a copy where there is room.
                    if let Some(filled) = unpacked.fill(buffer) {
                        return filled;
                    }
                    unpacked.next(used)
                }
                From::There(full, empty) => {
                    let block = full.recv().map_err(io::Error::other)?;
                    let _ = empty.try_send(used);
                    block
                }
            };
            self.ended = is_last(&block);
            self.now = block?;
        }
        let rest = self.now.get(self.taken..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.taken += n;
        Ok(n)
    }
}
