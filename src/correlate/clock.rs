//! Things seen in two places -> the offset of each source's clock, and every observation moved to reference time.

mod points;

use crate::model::{
    Clock, ClockBasis, Flow, LegEvent, LegObservation, Line, MILLI_NS, Mark, Moment, RecordRef,
    SECOND_NS, Source, SourceId, Zone, ZoneBasis,
};
use points::{Key, Point, points};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

pub(super) use points::{addresses, first_teardown};

/// Zone offsets are multiples of 15 minutes, at most 14 hours.
const ZONE_STEP_NS: i64 = 900 * SECOND_NS;
/// Weak keys (an address alone) are compared within this distance only.
const WEAK_RANGE_NS: i64 = 120 * SECOND_NS;
/// Logs stamp when they get to write: differences below this say nothing of their clock.
const LOG_JITTER_NS: i64 = 100 * MILLI_NS;

/// When, in reference time, and how finely each thing was stamped by the sources placed so far.
type Known<'a> = HashMap<(&'a Key, bool), Vec<(i64, i64)>>;

/// Estimates every source's offset and moves `legs` and `lines` to reference time.
pub(super) fn align(legs: &mut [LegObservation], lines: &mut [Line], sources: &mut [Source]) {
    let clock_of = one_clock_per_vantage(legs, sources.len());
    let mut by_source: BTreeMap<SourceId, Vec<Point>> = BTreeMap::new();
    // One clock alone has nothing to be compared with.
    let first = |record: RecordRef| clock_of.get(record.source.0 as usize);
    let of_legs = legs.iter().map(|leg| first(leg.first.record));
    let of_lines = lines.iter().map(|line| first(line.record()));
    let mut clocks = of_legs.chain(of_lines);
    let one = clocks.next().is_none_or(|one| clocks.all(|c| c == one));
    for mut p in points(legs, lines, one) {
        p.source = clock_of[p.source.0 as usize];
        by_source.entry(p.source).or_default().push(p);
    }
    if let Some(reference) = choose_reference(&by_source, sources) {
        place_all(&by_source, reference, sources);
    }
    zones_of_neighbours(sources);
    for (i, first) in clock_of.iter().enumerate() {
        if first.0 as usize != i {
            sources[i].clock = sources[first.0 as usize].clock;
        }
    }
    let offsets = Offsets(sources.iter().map(|s| (s.clock, zone_shift(s))).collect());
    for leg in legs {
        shift_leg(leg, &offsets);
    }
    for line in lines {
        shift_line(line, &offsets);
    }
    for source in sources {
        for stamp in [&mut source.first, &mut source.last].into_iter().flatten() {
            *stamp = stamp.plus(-offsets.at(source.id, stamp.at));
        }
    }
}

/// A log without zones that shares nothing with the others and lies in no part of their time: where its neighbours all have one zone that puts
/// it there, that is its own.
fn zones_of_neighbours(sources: &mut [Source]) {
    let span = |s: &Source| Some((s.first?.at.0, s.last?.at.0));
    let open = |s: &Source| {
        let assumed = s
            .zone
            .as_ref()
            .is_some_and(|z| z.basis == ZoneBasis::Assumed);
        assumed && s.clock.basis != ClockBasis::Given && s.clock.pairs == 0
    };
    let told = |s: &&Source| {
        let basis = s.zone.as_ref().map(|z| z.basis);
        let placed = s.clock.basis == ClockBasis::Measured && s.clock.pairs > 0;
        matches!(
            basis,
            Some(ZoneBasis::Epoch | ZoneBasis::Line | ZoneBasis::Format | ZoneBasis::Matched)
        ) || s.kind.is_capture()
            || placed
    };
    let shifted = |s: &Source| {
        let by = s.clock.offset_ns + zone_shift(s);
        span(s).map(|(a, b)| (a - by, b - by))
    };
    let spans: Vec<(i64, i64)> = sources.iter().filter(told).filter_map(shifted).collect();
    let from = spans.iter().map(|s| s.0).min();
    let to = spans.iter().map(|s| s.1).max();
    let zones: BTreeSet<i32> = sources
        .iter()
        .filter_map(|s| s.zone.as_ref())
        .filter(|z| matches!(z.basis, ZoneBasis::Line | ZoneBasis::Matched))
        .map(|z| z.offset_s)
        .filter(|s| *s != 0)
        .collect();
    let (Some(from), Some(to), 1) = (from, to, zones.len()) else {
        return;
    };
    let Some(&offset_s) = zones.first() else {
        return;
    };
    for source in sources.iter_mut().filter(|s| open(s)) {
        let Some((first, last)) = span(source) else {
            continue;
        };
        let overlaps = |by: i64| first - by <= to && last - by >= from;
        let by = i64::from(offset_s) * SECOND_NS;
        if !overlaps(0) && overlaps(by) {
            source.zone = Some(Zone {
                offset_s,
                basis: ZoneBasis::Matched,
            });
        }
    }
}

/// Gives each source that others can be compared with its clock, from the reference outwards.
fn place_all(
    by_source: &BTreeMap<SourceId, Vec<Point>>,
    reference: SourceId,
    sources: &mut [Source],
) {
    let mut known: Known<'_> = HashMap::new();
    let mut todo: BTreeSet<SourceId> = by_source.keys().copied().collect();
    let given = |sources: &[Source], id: SourceId| {
        let clock = sources[id.0 as usize].clock;
        (clock.basis == ClockBasis::Given).then_some(clock.offset_ns)
    };
    let start = Estimate::constant(given(sources, reference).unwrap_or(0), 0, 0);
    let mut next = Some((reference, start));
    // The source with most pairs against what is placed already comes next: offsets spread outwards from the reference.
    while let Some((id, found)) = next {
        todo.remove(&id);
        place(&mut sources[id.0 as usize], id == reference, &found);
        let placed = by_source.get(&id).filter(|_| !todo.is_empty());
        for p in placed.into_iter().flatten() {
            known
                .entry((&p.key, p.opening))
                .or_default()
                .push((p.at - found.at(p.at), p.tick));
        }
        next = todo
            .iter()
            .filter_map(|&id| {
                let tick = by_source[&id].iter().map(|p| p.tick).min().unwrap_or(0);
                let capture = sources[id.0 as usize].kind.is_capture();
                let mut found = estimate(&by_source[&id], &known)?;
                if let Some(offset) = given(sources, id) {
                    found = Estimate::constant(offset, found.spread, found.pairs);
                } else if !capture
                    && found.drift_ppb == 0
                    && found.offset.abs() < LOG_JITTER_NS.max(tick)
                {
                    found.offset = 0;
                }
                Some((id, found))
            })
            .max_by_key(|(id, found)| (found.pairs, std::cmp::Reverse(*id)));
    }
}

/// What every source's stamps are off by.
struct Offsets(Vec<(Clock, i64)>);

impl Offsets {
    /// Of a source's stamp, in its own time.
    fn at(&self, source: SourceId, at: Moment) -> i64 {
        self.0
            .get(source.0 as usize)
            .map_or(0, |(clock, zone)| clock.offset_at(at) + zone)
    }
}

/// How a source's clock stands, as its pairs show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Estimate {
    offset: i64,
    /// Half the spread of the pairs that agree.
    spread: i64,
    pairs: u32,
    drift_ppb: i64,
    /// The offset holds here, in the source's own time.
    from: i64,
}

impl Estimate {
    const fn constant(offset: i64, spread: i64, pairs: u32) -> Self {
        Self {
            offset,
            spread,
            pairs,
            drift_ppb: 0,
            from: 0,
        }
    }

    fn at(&self, at: i64) -> i64 {
        self.offset + drifted(at - self.from, self.drift_ppb)
    }
}

fn drifted(since_ns: i64, ppb: i64) -> i64 {
    let ns = i128::from(since_ns) * i128::from(ppb) / i128::from(SECOND_NS);
    i64::try_from(ns).unwrap_or_default()
}

/// Rotated files of one vantage point were stamped by one clock: each source's clock is that of the first of them.
fn one_clock_per_vantage(legs: &[LegObservation], sources: usize) -> Vec<SourceId> {
    let mut first: BTreeMap<u32, SourceId> = BTreeMap::new();
    let mut vantage: Vec<Option<u32>> = vec![None; sources];
    for leg in legs {
        // What begins and ends in one file lies in it as a whole.
        let rotated = leg.first.record.source != leg.last.record.source;
        let between = leg.events.iter().filter(|_| rotated).map(|e| e.mark.record);
        for record in [leg.first.record, leg.last.record]
            .into_iter()
            .chain(between)
        {
            if let Some(v) = vantage.get_mut(record.source.0 as usize) {
                *v = Some(leg.vantage);
            }
            let least = first.entry(leg.vantage).or_insert(record.source);
            *least = (*least).min(record.source);
        }
    }
    (0..sources)
        .map(|i| vantage[i].map_or(SourceId(i as u32), |v| first[&v]))
        .collect()
}

/// Nanoseconds that a matched zone adds to the clock offset.
fn zone_shift(source: &Source) -> i64 {
    match &source.zone {
        Some(Zone {
            offset_s,
            basis: ZoneBasis::Matched,
        }) => i64::from(*offset_s) * SECOND_NS,
        _ => 0,
    }
}

fn place(source: &mut Source, reference: bool, found: &Estimate) {
    let Estimate {
        offset,
        spread,
        pairs,
        drift_ppb,
        from,
    } = *found;
    if source.clock.basis == ClockBasis::Given {
        return;
    }
    if reference {
        source.clock.basis = ClockBasis::Reference;
        return;
    }
    source.clock.basis = ClockBasis::Measured;
    source.clock.spread_ns = spread;
    source.clock.pairs = pairs;
    source.clock.drift_ppb = drift_ppb;
    source.clock.drift_from = Moment(from);
    let zone = (offset + offset.signum() * ZONE_STEP_NS / 2) / ZONE_STEP_NS * ZONE_STEP_NS;
    let assumed = source
        .zone
        .as_ref()
        .is_some_and(|z| z.basis == ZoneBasis::Assumed);
    if assumed && zone != 0 && (offset - zone).abs() < 60 * SECOND_NS {
        // A stamp without a zone that is a quarter of an hour or more off is a zone, not a clock.
        source.zone = Some(Zone {
            offset_s: (zone / SECOND_NS) as i32,
            basis: ZoneBasis::Matched,
        });
        let rest = offset - zone;
        source.clock.offset_ns = if rest.abs() < SECOND_NS { 0 } else { rest };
    } else {
        source.clock.offset_ns = offset;
    }
}

/// Captures before logs, fine ticks before coarse, then the one with most to compare.
fn choose_reference(
    by_source: &BTreeMap<SourceId, Vec<Point>>,
    sources: &[Source],
) -> Option<SourceId> {
    by_source
        .iter()
        .map(|(&id, points)| {
            let tick = points.iter().map(|p| p.tick).min().unwrap_or(i64::MAX);
            let capture = sources[id.0 as usize].kind.is_capture();
            let epoch = sources[id.0 as usize]
                .zone
                .as_ref()
                .is_none_or(|z| z.basis != ZoneBasis::Assumed);
            (
                (
                    capture,
                    epoch,
                    tick < SECOND_NS,
                    points.len(),
                    std::cmp::Reverse(id),
                ),
                id,
            )
        })
        .max()
        .map(|(_, id)| id)
}

/// A source against what is known: by the densest window of differences, and by their slope where they grow with time.
fn estimate(points: &[Point], known: &Known<'_>) -> Option<Estimate> {
    let mut strong = Vec::new();
    let mut timed: Vec<(i64, i64)> = Vec::new();
    let mut weak = Vec::new();
    let mut whose: Vec<(i64, IpAddr)> = Vec::new();
    let mut tick = 0;
    for p in points {
        let Some(others) = known.get(&(&p.key, p.opening)) else {
            continue;
        };
        for &(at, other_tick) in others.iter().take(64) {
            tick = tick.max(p.tick).max(other_tick);
            let delta = p.at - at;
            if let Key::Address(ip) = p.key {
                if delta.abs() < WEAK_RANGE_NS {
                    weak.push(delta);
                    whose.push((delta, ip));
                }
            } else {
                strong.push(delta);
                timed.push((p.at, delta));
            }
        }
    }
    let window = tick + LOG_JITTER_NS;
    if let Some((offset, spread, pairs)) = densest(&mut strong, window) {
        // One pair alone may be a coincidence; a whole zone off is none.
        let zone_like = offset.abs() > ZONE_STEP_NS / 2
            && (offset.abs() % ZONE_STEP_NS).min(ZONE_STEP_NS - offset.abs() % ZONE_STEP_NS)
                < 5 * SECOND_NS;
        let trusted = pairs > 1 || zone_like || offset.abs() <= window;
        let plain = if trusted {
            Estimate::constant(offset, spread, pairs)
        } else {
            Estimate::constant(0, 0, pairs)
        };
        return Some(drifting(timed, tick, &plain).unwrap_or(plain));
    }
    // Addresses alone agree by chance: only a clear majority counts, and no offset is the simpler explanation of a few.
    let (offset, spread, pairs) = densest(&mut weak, window)?;
    let near_zero = weak.iter().filter(|d| d.abs() <= window).count() as u32;
    if near_zero * 3 >= pairs * 2 {
        return Some(Estimate::constant(0, spread, near_zero.max(1)));
    }
    // Many behind one address that come at once are one witness.
    let agreeing = whose.iter().filter(|(d, _)| (d - offset).abs() <= window);
    let addresses: BTreeSet<IpAddr> = agreeing.map(|&(_, ip)| ip).collect();
    (pairs >= 4 && addresses.len() >= 3).then_some(Estimate::constant(offset, spread, pairs))
}

/// Fewer pairs, or less time between them, tell no drift from chance.
const DRIFT_PAIRS: usize = 12;
const DRIFT_SPAN_NS: i64 = 600 * SECOND_NS;
/// Quartz is off by less; what seems to drift faster is something else.
const DRIFT_MOST_PPB: i64 = 1_000_000;

/// The estimate with a slope, where that explains the differences clearly better than one offset does: by the middle one of the
/// slopes between the first third of the pairs and the last, which a few wrong pairs do not move.
fn drifting(mut timed: Vec<(i64, i64)>, tick: i64, plain: &Estimate) -> Option<Estimate> {
    timed.sort_unstable();
    let (first, last) = (timed.first()?.0, timed.last()?.0);
    let span = last - first;
    if timed.len() < DRIFT_PAIRS || span < DRIFT_SPAN_NS {
        return None;
    }
    let third = timed.len() / 3;
    let late = &timed[timed.len() - third..];
    let mut slopes: Vec<i64> = timed[..third]
        .iter()
        .zip(late)
        .filter(|(a, b)| b.0 - a.0 > span / 4)
        .map(|(a, b)| {
            let ppb = i128::from(b.1 - a.1) * i128::from(SECOND_NS) / i128::from(b.0 - a.0);
            i64::try_from(ppb).unwrap_or(i64::MAX)
        })
        .collect();
    slopes.sort_unstable();
    let ppb = slopes.get(slopes.len() / 2).copied()?;
    // Less than the stamps' own fineness is not there.
    if ppb.abs() > DRIFT_MOST_PPB || drifted(span, ppb).abs() <= LOG_JITTER_NS + 2 * tick {
        return None;
    }
    let mut rest: Vec<i64> = timed
        .iter()
        .map(|&(at, delta)| delta - drifted(at - first, ppb))
        .collect();
    let (offset, spread, pairs) = densest(&mut rest, tick + LOG_JITTER_NS)?;
    (pairs * 2 >= plain.pairs * 3).then_some(Estimate {
        offset,
        spread,
        pairs,
        drift_ppb: ppb,
        from: first,
    })
}

/// The median and half spread of the largest group of differences that lie within `window` of one another.
fn densest(deltas: &mut [i64], window: i64) -> Option<(i64, i64, u32)> {
    if deltas.is_empty() {
        return None;
    }
    deltas.sort_unstable();
    let mut best = (0, 0);
    let mut from = 0;
    for to in 0..deltas.len() {
        while deltas[to] - deltas[from] > window {
            from += 1;
        }
        let better = to + 1 - from > best.1 - best.0
            || to + 1 - from == best.1 - best.0
                && deltas[from].abs().min(deltas[to].abs())
                    < deltas[best.0].abs().min(deltas[best.1 - 1].abs());
        if better {
            best = (from, to + 1);
        }
    }
    let group = &deltas[best.0..best.1];
    let spread = (group[group.len() - 1] - group[0]) / 2;
    Some((group[group.len() / 2], spread, group.len() as u32))
}

fn shift_leg(leg: &mut LegObservation, offsets: &Offsets) {
    let move_mark = |m: &mut Mark| m.at = m.at.plus(-offsets.at(m.record.source, m.at));
    let source = leg.first.record.source;
    for m in [&mut leg.syn, &mut leg.syn_ack].into_iter().flatten() {
        move_mark(m);
    }
    move_mark(&mut leg.first);
    move_mark(&mut leg.last);
    if let Some(r) = &mut leg.request {
        move_mark(&mut r.mark);
    }
    if let Some(r) = &mut leg.response {
        move_mark(&mut r.mark);
    }
    let shape = leg.tls.as_mut().and_then(|t| t.close_shape.as_mut());
    if let Some(shape) = shape {
        move_mark(&mut shape.sent);
        move_mark(&mut shape.answered);
    }
    for flow in [&mut leg.to_server, &mut leg.to_client] {
        let Flow {
            first_packet,
            last_packet,
            last_payload,
            last_data_frame,
            close,
            close_notify,
            fin,
            rst,
            unanswered,
            zero_window_since,
            ..
        } = flow;
        for m in [
            first_packet,
            last_packet,
            last_payload,
            last_data_frame,
            close_notify,
            fin,
            zero_window_since,
        ]
        .into_iter()
        .flatten()
        {
            move_mark(m);
        }
        if let Some(c) = close {
            move_mark(&mut c.mark);
        }
        if let Some(r) = rst {
            move_mark(&mut r.mark);
        }
        if let Some(u) = unanswered {
            move_mark(&mut u.first);
            move_mark(&mut u.last);
        }
    }
    for p in &mut leg.pings {
        move_mark(&mut p.sent);
        for m in [&mut p.answered, &mut p.acked].into_iter().flatten() {
            move_mark(m);
        }
    }
    for f in &mut leg.fingerprints {
        f.at = f.at.plus(-offsets.at(source, f.at));
    }
    for LegEvent { mark, .. } in &mut leg.events {
        move_mark(mark);
    }
}

fn shift_line(line: &mut Line, offsets: &Offsets) {
    let source = line.record().source;
    let move_at = |m: &mut Moment| *m = m.plus(-offsets.at(source, *m));
    match line {
        Line::Tunnel(t) => {
            for s in [&mut t.start, &mut t.end].into_iter().flatten() {
                move_at(&mut s.at);
            }
        }
        Line::Hop(h) => move_at(&mut h.at.at),
        Line::App(a) => move_at(&mut a.at.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densest_window() {
        let s = SECOND_NS;
        for (name, mut deltas, window, want) in [
            (
                "all agree",
                vec![3 * s, 3 * s + 5, 3 * s - 5],
                100,
                Some((3 * s, 5, 3)),
            ),
            ("a stray one", vec![-40 * s, 7, 9, 11], 100, Some((9, 2, 3))),
            ("none", vec![], 100, None),
            (
                "tie goes to the smaller offset",
                vec![50 * s, 1],
                100,
                Some((1, 0, 1)),
            ),
        ] {
            assert_eq!(densest(&mut deltas, window), want, "{name}");
        }
    }

    #[test]
    fn clocks_that_drift() {
        /// Differences of a clock that is off by `offset_ms` and drifts by `ppm`, one pair each `every_s`, `noise_ms` either way.
        fn pairs(
            count: i64,
            every_s: i64,
            offset_ms: i64,
            ppm: i64,
            noise_ms: i64,
        ) -> Vec<(i64, i64)> {
            (0..count)
                .map(|i| {
                    let at = i * every_s * SECOND_NS;
                    let noise = (i * 7919 % 3 - 1) * noise_ms * MILLI_NS;
                    (at, offset_ms * MILLI_NS + drifted(at, ppm * 1000) + noise)
                })
                .collect()
        }
        let check = |name: &str, timed: Vec<(i64, i64)>, tick: i64, want: Option<(i64, i64)>| {
            let mut plain: Vec<i64> = timed.iter().map(|p| p.1).collect();
            let (offset, spread, pairs) = densest(&mut plain, tick + LOG_JITTER_NS).expect("pairs");
            let plain = Estimate::constant(offset, spread, pairs);
            let got = drifting(timed, tick, &plain).map(|e| {
                // Offset in milliseconds, drift in parts per million.
                (
                    e.offset / MILLI_NS,
                    (e.drift_ppb as f64 / 1000.0).round() as i64,
                )
            });
            assert_eq!(got, want, "{name}");
        };
        let ms = MILLI_NS;
        check(
            "150 ppm over two hours",
            pairs(120, 60, 500, 150, 0),
            ms,
            Some((500, 150)),
        );
        check(
            "backwards",
            pairs(120, 60, -20, -300, 0),
            ms,
            Some((-20, -300)),
        );
        check("none", pairs(120, 60, 500, 0, 20), ms, None);
        check(
            "too little to be told from noise",
            pairs(120, 60, 500, 10, 20),
            ms,
            None,
        );
        check("too few pairs", pairs(8, 600, 500, 150, 0), ms, None);
        check("too short a time", pairs(60, 5, 500, 900, 0), ms, None);
        check(
            "stamps of whole seconds hide it",
            pairs(120, 60, 500, 150, 0),
            SECOND_NS,
            None,
        );
        check("no clock", pairs(120, 60, 0, 5000, 0), ms, None);
    }
}
