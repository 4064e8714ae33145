//! Texts, many of which were said before -> one copy of each.

use super::line::Word;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Texts remembered at a time, a power of two: each new one takes the place of one that was met before.
const PLACES: usize = 4096;

/// What was said lately, so that who says it again gets the same copy. It never grows.
#[derive(Debug, Default)]
pub struct OneCopy {
    places: Vec<Option<Word>>,
    hasher: FixedState,
}

impl OneCopy {
    pub fn of(&mut self, text: &str) -> Word {
        self.places.resize(PLACES, None);
        let place = self.hasher.hash_one(text) as usize % PLACES;
        match self.places.get_mut(place) {
            Some(Some(known)) if **known == *text => Word::clone(known),
            Some(place) => Word::clone(place.insert(text.into())),
            None => text.into(),
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
        let first = words.of("ping every 25 s");
        assert!(Arc::ptr_eq(&first, &words.of("ping every 25 s")));
        for n in 0..100_000 {
            let text = format!("silent for {n} s");
            assert_eq!(*words.of(&text), text);
        }
        assert_eq!(words.places.len(), PLACES);
        assert_eq!(*words.of("ping every 25 s"), *first);
    }
}
