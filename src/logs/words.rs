//! Words of access lines -> one copy of those that many lines say: methods, hosts, browsers, the few paths that speak WebSocket.

use crate::model::{OneCopy, TunnelLine};

/// Ids and keys are left out: no two lines have the same.
pub(super) fn share(words: &mut OneCopy, line: &mut TunnelLine) {
    let said = [
        &mut line.method,
        &mut line.uri,
        &mut line.host,
        &mut line.termination,
        &mut line.user_agent,
    ];
    for word in said.into_iter().flatten() {
        words.share(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::access::blank;
    use crate::model::{HopKind, RecordRef, SourceId, Word};
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
        let mut words = OneCopy::default();
        let mut lines = [line("/ws"), line("/ws?id=1"), line("/ws")];
        for line in &mut lines {
            share(&mut words, line);
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
