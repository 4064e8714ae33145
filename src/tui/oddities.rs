//! A source -> the records of it that were not understood, by place, with the text of those that are in sight.

use std::collections::HashMap;

use crate::model::{Analysis, Raw, RecordRef, SourceId, inert};

use super::state::{Screen, State};

#[derive(Debug, Clone)]
pub struct Oddities {
    pub source: SourceId,
    /// What each was called, and where it stands, in order of place.
    pub rows: Vec<(String, RecordRef)>,
    pub row: usize,
    /// Of those that were in sight.
    pub texts: HashMap<RecordRef, String>,
}

/// `None` where no odd record of the source has a place of its own.
pub fn build(analysis: &Analysis, source: SourceId) -> Option<Oddities> {
    let anomalies = &analysis.source(source)?.anomalies;
    let mut rows: Vec<(String, RecordRef)> = anomalies
        .iter()
        .flat_map(|a| a.records.iter().map(|r| (a.kind.clone(), *r)))
        .collect();
    rows.sort_by_key(|(_, record)| record.ordinal);
    (!rows.is_empty()).then(|| Oddities {
        source,
        rows,
        row: 0,
        texts: HashMap::new(),
    })
}

impl State {
    pub(super) fn open_source(&mut self, analysis: &Analysis) {
        let source = analysis.sources.get(self.source);
        self.oddities = source.and_then(|s| build(analysis, s.id));
        if self.oddities.is_some() {
            self.enter(Screen::Oddities);
            return;
        }
        self.message = Some(
            match source {
                Some(s) if s.odd > 0 => "its odd records are counted, and none stands alone",
                _ => "no odd record in it",
            }
            .to_owned(),
        );
    }

    /// The odd record under the cursor.
    pub(super) fn oddity(&self) -> Option<RecordRef> {
        let odd = self.oddities.as_ref()?;
        odd.rows.get(odd.row).map(|r| r.1)
    }

    /// The next of those in sight whose text is not known yet.
    pub(super) fn unread_oddity(&self) -> Option<RecordRef> {
        let odd = self.oddities.as_ref()?;
        let in_sight = usize::from(self.size.1);
        let from = odd.row.saturating_sub(in_sight);
        let mut near = odd.rows.iter().skip(from).take(2 * in_sight);
        near.find(|(_, r)| !odd.texts.contains_key(r)).map(|r| r.1)
    }

    /// Remembers what the list shows of a record.
    pub(super) fn note_oddity(&mut self, record: RecordRef, raw: &Raw) {
        let Some(odd) = &mut self.oddities else {
            return;
        };
        let text = match raw {
            Raw::Line { lines, focus, .. } => {
                let line = lines.get(*focus).map_or("", |l| l.1.as_str());
                line.chars().take(400).collect()
            }
            Raw::Packet { tree, .. } => tree.last().map_or_else(String::new, |t| t.1.clone()),
            Raw::Missing(why) => why.clone(),
        };
        odd.texts.insert(record, inert(&text));
    }
}
