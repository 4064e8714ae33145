//! Words of access lines -> one copy of those that many lines say: methods, hosts, browsers, the few paths that speak WebSocket.

use crate::model::{TunnelLine, Word};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Words remembered at a time, a power of two: each new one takes the place of one that was met before.
const PLACES: usize = 1024;

#[derive(Default)]
pub(super) struct Words {
    places: Vec<Option<Word>>,
    hasher: FixedState,
}

impl Words {
    /// Ids and keys are left out: no two lines have the same.
    pub(super) fn share(&mut self, line: &mut TunnelLine) {
        self.places.resize(PLACES, None);
        let said = [
            &mut line.method,
            &mut line.uri,
            &mut line.host,
            &mut line.termination,
            &mut line.user_agent,
        ];
        for word in said.into_iter().flatten() {
            let place = self.hasher.hash_one(&**word) as usize % PLACES;
            match self.places.get_mut(place) {
                Some(Some(known)) if known == word => word.clone_from(known),
                Some(place) => *place = Some(Word::clone(word)),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::access::blank;
    use crate::model::{HopKind, RecordRef, SourceId};
    use std::sync::Arc;

    #[test]
    fn lines_that_say_the_same_share_it() {
        let record = RecordRef {
            source: SourceId(0),
            ordinal: 1,
            start: 0,
            len: 0,
        };
        let line = |uri: &str| TunnelLine {
            method: Some("GET".into()),
            uri: Some(uri.into()),
            ..blank(record, HopKind::Nginx)
        };
        let mut words = Words::default();
        let mut lines = [line("/ws"), line("/ws?id=1"), line("/ws")];
        for line in &mut lines {
            words.share(line);
        }
        let [a, b, c] = lines;
        let same = |x: &Option<Word>, y: &Option<Word>| {
            x.as_ref()
                .zip(y.as_ref())
                .is_some_and(|(x, y)| Arc::ptr_eq(x, y))
        };
        assert!(same(&a.uri, &c.uri) && same(&a.method, &b.method));
        assert_eq!(b.uri.as_deref(), Some("/ws?id=1"));
    }
}
