//! Texts, many of which come again -> one copy of each, and what was made of it the last time.

use super::line::Word;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Texts remembered at a time, a power of two: each new one takes the place of one that was met before.
const PLACES: usize = 4096;

/// What was met lately, each with its `V`. It never grows beyond its places.
#[derive(Debug)]
pub struct Recent<V> {
    places: Vec<Option<(Word, V)>>,
    hasher: FixedState,
}

/// The one copy of what many say.
pub type OneCopy = Recent<()>;

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Recent<V> {
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            hasher: FixedState::with_seed(0),
        }
    }

    fn place(&mut self, text: &str) -> Option<&mut Option<(Word, V)>> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let at = self.hasher.hash_one(text) as usize % PLACES;
        self.places.get_mut(at)
    }

    /// What stands at the text's place once it stands there.
    fn met(&mut self, text: &str, new: impl FnOnce() -> (Word, V)) -> Option<&(Word, V)> {
        let place = self.place(text)?;
        if place.as_ref().is_none_or(|(known, _)| **known != *text) {
            *place = Some(new());
        }
        place.as_ref()
    }

    /// What was made of the text, now or before.
    pub fn of(&mut self, text: &str, make: impl FnOnce() -> V) -> Option<&V> {
        self.met(text, || (text.into(), make())).map(|(_, v)| v)
    }
}

impl OneCopy {
    /// The copy that everybody has who said the same.
    pub fn copy(&mut self, text: &str) -> Word {
        let met = self.met(text, || (text.into(), ()));
        met.map_or_else(|| text.into(), |(word, ())| Word::clone(word))
    }

    /// Gives up a copy of one's own for that of the others.
    pub fn share(&mut self, word: &mut Word) {
        let own = Word::clone(word);
        if let Some((known, ())) = self.met(&own, || (Word::clone(&own), ())) {
            word.clone_from(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_is_said_again_is_the_same_copy_and_nothing_grows() {
        let mut words = OneCopy::default();
        let first = words.copy("ping every 25 s");
        assert!(Arc::ptr_eq(&first, &words.copy("ping every 25 s")));
        let mut own = Word::from("ping every 25 s");
        words.share(&mut own);
        assert!(Arc::ptr_eq(&first, &own));
        for n in 0..100_000 {
            let text = format!("silent for {n} s");
            assert_eq!(*words.copy(&text), text);
        }
        assert_eq!(words.places.len(), PLACES);
        assert_eq!(*words.copy("ping every 25 s"), *first);
    }

    #[test]
    fn what_was_made_of_a_text_is_made_once() {
        let mut made = 0;
        let mut lengths = Recent::new();
        for text in ["one", "three", "one", "one"] {
            let length = lengths.of(text, || {
                made += 1;
                text.len()
            });
            assert_eq!(length.copied(), Some(text.len()));
        }
        assert_eq!(made, 2);
    }
}
