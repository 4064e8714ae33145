//! xz and LZ4 frames, one member after the other -> their bytes as a stream, up to where a broken one breaks off.

use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzStream;
use lzma_rust2::{Action, Status};
use std::io::{self, BufRead, ErrorKind, Read};

/// Memory that an xz file may ask for, in KiB: `xz -9` takes 64 MiB, what a header claims can be 4 GiB.
const XZ_MEMORY_KIB: u32 = 256 * 1024;
/// Output decoded at once: what an error in the middle of it takes along.
const XZ_STEP: usize = 32 * 1024;

/// The streams of an xz file (xz file format 1.2.1, 2.), padding between them passed over.
pub(super) struct Xz<R> {
    inner: R,
    stream: XzStream,
    ended: bool,
}

impl<R: BufRead> Xz<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            stream: XzStream::new_mem_limit(true, XZ_MEMORY_KIB),
            ended: false,
        }
    }
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(XZ_STEP);
        let out = buffer.get_mut(..most).unwrap_or_default();
        while !self.ended && !out.is_empty() {
            let input = self.inner.fill_buf()?;
            let action = if input.is_empty() {
                Action::Finish
            } else {
                Action::Run
            };
            let done = self.stream.process(input, out, action)?;
            self.inner.consume(done.bytes_consumed);
            self.ended = done.status == Status::StreamEnd;
            if done.bytes_produced > 0 {
                return Ok(done.bytes_produced);
            }
            if action == Action::Finish && !self.ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}

/// The frames of an LZ4 file (LZ4 frame format 1.6.4).
pub(super) struct Lz4<R: BufRead> {
    frames: FrameDecoder<Tail<R>>,
}

impl<R: BufRead> Lz4<R> {
    pub(super) fn new(inner: R) -> Self {
        let tail = Tail {
            inner,
            end: End::Elsewhere,
            legacy: None,
        };
        Self {
            frames: FrameDecoder::new(tail),
        }
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let n = self.frames.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            // The decoder stops at the end of each frame, and of a frame that breaks off between two blocks.
            let tail = self.frames.get_mut();
            if tail.inner.fill_buf()?.is_empty() {
                return if tail.ended_well() {
                    Ok(0)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }
}

/// Where in a frame the decoder stands, told by what it asked for: lengths, marks and checksums are read by four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Elsewhere,
    /// Behind the end mark of a frame.
    Mark,
    /// Behind the checksum of its content.
    Checksum,
}

/// Remembers how the bytes that went by ended.
struct Tail<R> {
    inner: R,
    end: End,
    /// The first frame is of the old kind, which has no end mark.
    legacy: Option<bool>,
}

impl<R> Tail<R> {
    /// An end mark of four zero bytes, behind which a checksum may stand.
    fn ended_well(&self) -> bool {
        self.legacy == Some(true) || self.end != End::Elsewhere
    }
}

const LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const FRAME: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

impl<R: BufRead> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Four bytes are handed out at once, however the input is cut.
        let wanted = if buffer.len() == 4 { 4 } else { 1 };
        let mut n = 0;
        while n < wanted && !buffer.is_empty() {
            let got = self.inner.read(buffer.get_mut(n..).unwrap_or_default())?;
            if got == 0 {
                break;
            }
            n += got;
        }
        let got = buffer.get(..n).unwrap_or_default();
        if n > 0 {
            self.legacy.get_or_insert(got.starts_with(&LEGACY));
            self.end = match (<[u8; 4]>::try_from(got), self.end) {
                (Ok([0, 0, 0, 0]), End::Elsewhere) => End::Mark,
                (Ok(LEGACY | FRAME), _) => End::Elsewhere,
                (Ok(_), End::Mark) => End::Checksum,
                _ => End::Elsewhere,
            };
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use crate::case::{Case, Compression};
    use crate::model::SourceId;
    use proptest::prelude::*;
    use std::io::{Read, Write};

    fn xz(text: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn bz2(text: &[u8]) -> Vec<u8> {
        let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn lz4(text: &[u8]) -> Vec<u8> {
        let mut info = lz4_flex::frame::FrameInfo::new();
        info.content_checksum = true;
        info.block_size = lz4_flex::frame::BlockSize::Max64KB;
        let mut writer = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn zst(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    type Packer = fn(&[u8]) -> Vec<u8>;
    const PACKERS: [(&str, Packer); 5] = [
        ("xz", xz),
        ("bz2", bz2),
        ("lz4", lz4),
        ("gz", gz),
        ("zst", zst),
    ];

    /// The bytes, and the name of what went wrong.
    fn read(packed: Vec<u8>) -> (Vec<u8>, Option<&'static str>) {
        let case = Case::from_memory("memory", &[("a", packed.leak())]);
        let mut reader = case.reader(SourceId(0));
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        let mut ahead = (case.reader_ahead(SourceId(0)), Vec::new());
        ahead.0.read_to_end(&mut ahead.1).unwrap();
        assert!(ahead.1 == all);
        assert_eq!(ahead.0.problem(), reader.problem());
        (all, reader.problem().map(|p| p.kind))
    }

    /// Text that packs neither too well nor too badly.
    fn text(bytes: usize) -> Vec<u8> {
        let mut state = 1u32;
        let words = std::iter::from_fn(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(format!("{} ", state >> 16).into_bytes())
        });
        words.flatten().take(bytes).collect()
    }

    #[test]
    fn members_one_after_the_other_are_one_stream() {
        let (one, two) = (text(200_000), b"and the second\n".to_vec());
        for (name, pack) in PACKERS {
            let (all, problem) = read([pack(&one), pack(&two)].concat());
            assert_eq!(problem, None, "{name}");
            assert!(all == [&one[..], &two].concat(), "{name}");
            assert_eq!(read(pack(b"")), (Vec::new(), None), "{name}");
        }
    }

    #[test]
    fn what_stands_before_the_break_is_read() {
        let whole = text(3_000_000);
        for (name, pack) in PACKERS {
            let packed = pack(&whole);
            let cut = packed.len() / 2;
            let (some, problem) = read(packed[..cut].to_vec());
            assert_eq!(problem, Some("broken-compression"), "{name}");
            assert!(whole.starts_with(&some), "{name}");
            assert!(some.len() > whole.len() / 3, "{name}: {}", some.len());
        }
    }

    #[test]
    fn a_frame_that_ends_between_two_blocks_is_broken() {
        let packed = lz4(&text(500_000));
        // magic, descriptor of three bytes, then blocks behind their lengths
        let mut at = 7;
        for _ in 0..3 {
            let len = u32::from_le_bytes(packed[at..at + 4].try_into().unwrap());
            at += 4 + (len & 0x7fff_ffff) as usize;
        }
        let (some, problem) = read(packed[..at].to_vec());
        assert_eq!(
            (some.len(), problem),
            (3 * 65_536, Some("broken-compression"))
        );
    }

    #[test]
    fn no_cut_of_a_frame_passes_as_its_end() {
        // Zeros, so that the bytes of a block look like the mark behind the last one.
        let zeros = [text(70_000), vec![0; 300], text(64)].concat();
        for whole in [text(100), zeros] {
            let packed = lz4(&whole);
            let short = (4..64).chain(packed.len() - 64..packed.len());
            for cut in short.filter(|&cut| cut < packed.len()) {
                let (some, problem) = read(packed[..cut].to_vec());
                assert_eq!(
                    problem,
                    Some("broken-compression"),
                    "{cut} of {}",
                    packed.len()
                );
                assert!(whole.starts_with(&some), "{cut}");
            }
            assert_eq!(read(packed), (whole, None));
        }
    }

    #[test]
    fn what_would_take_all_memory_is_refused() {
        let mut packed = xz(&text(1_000));
        // the first block's header: size, flags, filter, size of its properties, dictionary, padding, CRC
        assert_eq!(packed[14..16], [0x21, 1]);
        packed[16] = 40;
        let crc = {
            let mut crc = flate2::Crc::new();
            crc.update(&packed[12..20]);
            crc.sum()
        };
        packed[20..24].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read(packed), (Vec::new(), Some("compressed")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever is damaged: reading ends, and nothing damaged passes as whole where the format has a checksum.
        #[test]
        fn damaged_files_end(which in 0usize..5, at in any::<prop::sample::Index>(), value: u8, cut in any::<prop::sample::Index>()) {
            let whole = text(40_000);
            let mut packed = PACKERS[which].1(&whole);
            let place = at.index(packed.len());
            packed[place] = value;
            packed.truncate(cut.index(packed.len()) + 1);
            let (some, problem) = read(packed.clone());
            let told = problem.is_some() || Compression::sniff(&packed).is_none();
            prop_assert!(some == whole || told || PACKERS[which].0 == "zst");
        }
    }
}
