//! Failed requests that were put off while logs were read -> the lines of those whose path turned out to speak WebSocket.

use super::LogResult;
use super::sniff::Sniffed;
use crate::case::{Case, SourceReader};
use crate::logs::{self, LogOptions, PutOff};
use crate::model::attempt::path_number;
use crate::model::{LegObservation, Line, RecordRef, SourceId};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Read};

/// Paths are known by what asked for a WebSocket anywhere in the case.
pub(super) fn settle<'o>(
    case: &Case,
    sniffed: &[Sniffed],
    legs: &[LegObservation],
    read: Vec<(SourceId, LogResult)>,
    options_of: &(dyn Fn(SourceId, &Sniffed) -> Cow<'o, LogOptions> + Sync),
) -> Vec<(SourceId, LogResult)> {
    if read
        .iter()
        .all(|(_, (summary, ..))| summary.put_off.is_empty())
    {
        return read;
    }
    let asked = legs.iter().filter_map(|leg| leg.request.as_ref());
    let mut paths: HashSet<u64> = asked.map(|r| path_number(r.uri.as_bytes())).collect();
    for (_, (_, lines, _)) in &read {
        paths.extend(lines.iter().filter_map(|line| match line {
            Line::Tunnel(t) if t.says_websocket() => {
                t.uri.as_ref().map(|uri| path_number(uri.as_bytes()))
            }
            _ => None,
        }));
    }
    read.into_par_iter()
        .map(|(id, mut result)| {
            let (summary, lines, _) = &mut result;
            let put_off = std::mem::take(&mut summary.put_off);
            let is_wanted = |p: &&PutOff| paths.contains(&p.path);
            let found = sniffed.get(id.0 as usize);
            if let Some((found, choice)) = found.and_then(|f| Some((f, f.log.as_ref()?)))
                && put_off.iter().any(|p| is_wanted(&p))
            {
                let mut records = Records::new(case, id, put_off.iter().filter(is_wanted));
                let emit = &mut |line| lines.push(line);
                logs::read_again(choice, &options_of(id, found), &mut || records.next(), emit);
                lines.sort_by_key(|line| line.record().ordinal);
            }
            (id, result)
        })
        .collect()
}

/// The bytes of records, in one pass over a file.
struct Records<'c, I> {
    case: &'c Case,
    id: SourceId,
    /// Read from any place at once.
    plain: bool,
    input: io::BufReader<SourceReader>,
    at: u64,
    wanted: I,
}

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;
/// Bytes that are passed over sooner by opening the file behind them than by reading them.
const FAR: u64 = 1024 * 1024;

impl<'c, 'a, I: Iterator<Item = &'a PutOff>> Records<'c, I> {
    fn new(case: &'c Case, id: SourceId, wanted: I) -> Self {
        let file = case.files().get(id.0 as usize);
        Self {
            case,
            id,
            plain: file.is_some_and(|file| file.compression.is_none()),
            input: io::BufReader::with_capacity(BUFFER, case.reader(id)),
            at: 0,
            wanted,
        }
    }

    fn next(&mut self) -> Option<(RecordRef, Vec<u8>)> {
        loop {
            let record = self.wanted.next()?.record;
            // A record in several lines may reach over the one before it.
            let Some(mut skip) = record.start.checked_sub(self.at) else {
                continue;
            };
            if self.plain && skip > FAR {
                let behind = self.case.part(self.id, record.start..u64::MAX);
                self.input = io::BufReader::with_capacity(BUFFER, behind);
                (self.at, skip) = (record.start, 0);
            }
            let skipped = io::copy(&mut (&mut self.input).take(skip), &mut io::sink()).ok()?;
            let mut bytes = Vec::with_capacity(record.len as usize);
            let len = u64::from(record.len);
            let read = (&mut self.input).take(len).read_to_end(&mut bytes).ok()?;
            self.at += skipped + read as u64;
            return (skipped == skip && read as u64 == len).then_some((record, bytes));
        }
    }
}
