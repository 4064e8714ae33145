//! Lines of a JSON log that were read in full and did not matter -> their shape, by which those of the same keys are passed over.

use super::gate::{is_plain, is_refusal, may_tell};
use super::json::{Kind, Leaf};
use super::text;
use super::text::near::{digits, near3};
use std::ops::Range;

/// What decides about a value of a JSON record, so that a line of the same keys can be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Decides nothing.
    Free,
    /// Has to be the same.
    Same,
    /// The status of a plain request, or of one that failed.
    Status,
    /// The request line: of one that failed, it decides.
    Asked,
    /// Any number: a status, a code. Without a word beside it, it decides nothing.
    Digits,
    /// Has to be empty or a dash.
    Absent,
    /// The record's time.
    Time,
    /// Words of which none may tell anything.
    Said,
    /// Lines with such a key are read in full.
    Never,
}

/// Text that has to stand in a line. Two times sixteen bytes are compared at once: most is so short that a call to do it takes longer.
#[derive(Debug)]
struct Literal {
    text: Vec<u8>,
    /// Its first bytes, and which of so many are its.
    begin: [u128; 2],
    own: [u128; 2],
}

/// Bytes compared at once.
const AT_ONCE: usize = 32;

impl Literal {
    fn new(text: &[u8]) -> Self {
        let sixteen = |at: usize, of: fn(u8) -> u8| {
            let bytes = text.iter().skip(at).take(16).rev();
            bytes.fold(0, |all, c| all << 8 | u128::from(of(*c)))
        };
        Self {
            begin: [sixteen(0, |c| c), sixteen(16, |c| c)],
            own: [sixteen(0, |_| 0xff), sixteen(16, |_| 0xff)],
            text: text.to_vec(),
        }
    }

    /// What stands behind it, if `text` begins with it.
    #[inline]
    fn after<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let len = self.text.len();
        let Some(chunk) = text.first_chunk::<AT_ONCE>().filter(|_| len <= AT_ONCE) else {
            return text.strip_prefix(self.text.as_slice());
        };
        let sixteens = chunk.as_chunks::<16>().0.iter();
        let wanted = self.begin.iter().zip(&self.own);
        let others = sixteens
            .zip(wanted)
            .fold(0, |others, (bytes, (begin, own))| {
                others | (u128::from_le_bytes(*bytes) ^ begin) & own
            });
        if others == 0 { text.get(len..) } else { None }
    }
}

/// A value, and the fixed text behind it.
#[derive(Debug)]
struct Part {
    role: Role,
    quoted: bool,
    then: Literal,
}

/// The keys of a JSON line that did not matter, in their order, and what a line of the same keys needs not to matter either.
#[derive(Debug)]
struct Shape {
    front: Literal,
    parts: Vec<Part>,
    said: Said,
}

/// The longest number, or word without quotes, that is passed over.
const MAX_BARE: usize = 32;

/// What stands in numbers and in words without quotes.
const BARE: [bool; 256] = {
    let mut bare = [false; 256];
    let mut c = 0;
    while c < 256 {
        let byte = c as u8;
        bare[c] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
        c += 1;
    }
    bare
};

/// A line of a known shape that does not matter, if nothing comes of its having failed.
#[derive(Debug, Default)]
pub(super) struct Fit<'a> {
    /// Bytes of the line, its end not among them.
    pub(super) len: usize,
    /// As written.
    pub(super) time: &'a [u8],
    /// The request failed with this status.
    pub(super) refused: Option<&'a [u8]>,
    pub(super) asked: Option<&'a [u8]>,
    /// The line says that no upgrade was asked for.
    pub(super) denies: bool,
}

impl Shape {
    fn learn(
        line: &[u8],
        leaves: &[Leaf<'_>],
        role: &mut dyn FnMut(usize) -> Role,
    ) -> Option<Self> {
        let mut values = Vec::new();
        let mut timed = false;
        for (i, leaf) in leaves.iter().enumerate() {
            if leaf.kind == Kind::Tree {
                continue;
            }
            let role = role(i);
            match role {
                Role::Never => return None,
                Role::Same => continue,
                Role::Time if timed => return None,
                _ => timed |= role == Role::Time,
            }
            let at = (leaf.value.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
            values.push((role, leaf.kind == Kind::Text, at..at + leaf.value.len()));
        }
        let begins = values.iter().map(|(_, _, at)| at.start);
        let mut texts = begins.skip(1).chain([line.len()]);
        let front = values.first().filter(|_| timed)?.2.start;
        let part = |(role, quoted, at): &(Role, bool, Range<usize>)| {
            let then = Literal::new(line.get(at.end..texts.next()?)?);
            Some(Part {
                role: *role,
                quoted: *quoted,
                then,
            })
        };
        Some(Self {
            front: Literal::new(line.get(..front)?),
            parts: values.iter().map(part).collect::<Option<_>>()?,
            said: Said::default(),
        })
    }

    /// What decides about the line that `text` begins with, if it is of this shape and may be passed over.
    fn fit<'a>(&mut self, text: &'a [u8]) -> Option<Fit<'a>> {
        let mut rest = self.front.after(text)?;
        let mut fit = Fit::default();
        for part in &self.parts {
            let end = if part.quoted {
                quoted(rest, part.role == Role::Free)?
            } else {
                bare(rest)
            };
            let (value, behind) = rest.split_at_checked(end)?;
            rest = part.then.after(behind)?;
            if part.role != Role::Free && !self.said.allows(part.role, value, &mut fit) {
                return None;
            }
        }
        fit.len = text.len() - rest.len();
        let ends = rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n");
        (ends && !fit.time.is_empty()).then_some(fit)
    }
}

/// The last text under `Role::Said` that was looked at.
#[derive(Debug, Default)]
struct Said(Vec<u8>);

impl Said {
    /// A line with this value may be passed over; what else decides about it goes into `fit`.
    #[inline(never)]
    fn allows<'a>(&mut self, role: Role, value: &'a [u8], fit: &mut Fit<'a>) -> bool {
        match role {
            Role::Free | Role::Same | Role::Never => true,
            Role::Status if is_refusal(value) => {
                fit.refused = Some(value);
                true
            }
            Role::Status => is_plain(value),
            Role::Asked => {
                fit.asked = Some(value);
                true
            }
            Role::Absent => {
                fit.denies = true;
                text::present(value).is_none()
            }
            // What may be a close code decides by itself.
            Role::Digits => {
                digits(value) == value.len() && !matches!(value, [b'1' | b'3' | b'4', _, _, _])
            }
            Role::Time => {
                fit.time = value;
                true
            }
            Role::Said => self.0 == value || self.is_quiet(value),
        }
    }

    #[cold]
    fn is_quiet(&mut self, value: &[u8]) -> bool {
        let coloured = memchr::memchr(0x1b, value).is_some();
        let quiet = !value.is_empty() && !coloured && !may_tell(value);
        if quiet {
            value.clone_into(&mut self.0);
        }
        quiet
    }
}

/// Bytes of the string that stands here, which ends in its line.
#[inline]
fn quoted(text: &[u8], escapes: bool) -> Option<usize> {
    let end = near3(text, b'"', b'\\', b'\n')?;
    match text.get(end)? {
        b'"' => Some(end),
        b'\\' if escapes => escaped(text),
        _ => None,
    }
}

#[cold]
fn escaped(text: &[u8]) -> Option<usize> {
    let end = text::quoted(text, b'"')?;
    let line = memchr::memchr(b'\n', text.get(..end)?).is_none();
    line.then_some(end)
}

/// Bytes of the number, or word without quotes, that stands here.
#[inline]
fn bare(text: &[u8]) -> usize {
    let whole = digits(text);
    match text.get(whole) {
        Some(c) if BARE[usize::from(*c)] => bare_word(text),
        _ => whole,
    }
}

#[inline(never)]
fn bare_word(text: &[u8]) -> usize {
    let bare = text.iter().take(MAX_BARE);
    bare.take_while(|c| BARE[usize::from(**c)]).count()
}

/// As many shapes are known at a time.
const MAX_SHAPES: usize = 8;
/// Lines from which shapes are learnt before it is asked whether that was worth it.
const TRIALS: u64 = 256;

/// What the lines of a JSON log look like that do not matter, learnt from those that were read in full.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// The one that fitted last first.
    all: Vec<Shape>,
    learnt: u64,
    fitted: u64,
}

impl Shapes {
    /// `line` said nothing that matters; `role` tells what each of its leaves decides.
    pub(super) fn learn(
        &mut self,
        line: &[u8],
        leaves: &[Leaf<'_>],
        role: &mut dyn FnMut(usize) -> Role,
    ) {
        // Records that are all of different keys are read sooner than learnt.
        if self.learnt >= TRIALS && self.fitted / 4 < self.learnt {
            return;
        }
        self.learnt += 1;
        if let Some(shape) = Shape::learn(line, leaves, role) {
            self.all.truncate(MAX_SHAPES - 1);
            self.all.insert(0, shape);
        }
    }

    /// What decides about the line that `text` begins with, if it is of a shape that did not matter before.
    pub(super) fn fit<'a>(&mut self, text: &'a [u8]) -> Option<Fit<'a>> {
        let (at, fit) = self
            .all
            .iter_mut()
            .enumerate()
            .find_map(|(at, shape)| Some((at, shape.fit(text)?)))?;
        if at > 0 {
            self.all[..=at].rotate_right(1);
        }
        self.fitted += 1;
        Some(fit)
    }
}
