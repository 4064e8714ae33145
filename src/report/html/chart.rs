//! Counts -> bars as SVG, each with its numbers in words for whoever does not see them.

use super::escape::escape;
use crate::model::SECOND_NS;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: i64 = 440;
const TALL: usize = 110;
/// Room above the bars for their numbers, and where they stand.
const BASE: usize = TALL + 18;
/// Room on the left and on the right for labels that are wider than what they label.
const SIDE: i64 = 28;

/// A part of a whole as a line; the number itself stands beside it as text.
pub(super) fn share(part: usize, of: usize) -> String {
    let wide = (part * 1_000 / of.max(1)).max(4);
    format!(
        "<svg class=\"share\" viewBox=\"0 0 1000 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"rest\" width=\"1000\" height=\"8\"/><rect width=\"{wide}\" height=\"8\"/></svg>"
    )
}

/// Bars beside each other, evenly wide on a scale of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Histogram {
    /// Nanoseconds that a bar stands for.
    pub(super) step_ns: i64,
    /// Multiple of the step, count; ascending, empty bars left out.
    pub(super) bars: Vec<(i64, usize)>,
}

/// A value such as a time-out, which many share, must fall inside a bar and not on its edge: bars are centred on round values.
pub(super) fn histogram(values: &[i64]) -> Option<Histogram> {
    let mut values: Vec<i64> = values.iter().copied().filter(|v| *v >= 0).collect();
    values.sort_unstable();
    if values.len() < 2 {
        return None;
    }
    // a few that lasted for hours must not press all others into one bar
    let high = *values.get((values.len() - 1) * 19 / 20)?;
    let mut step_ns = SECOND_NS / 10;
    while high / step_ns > 40 {
        let next = [2, 5, 10].map(|by| round_up(step_ns, by));
        step_ns = next.into_iter().find(|s| *s > step_ns)?;
    }
    let mut bars: BTreeMap<i64, usize> = BTreeMap::new();
    for value in values {
        let at = value.saturating_add(step_ns / 2) / step_ns;
        *bars.entry(at.min(48)).or_insert(0) += 1;
    }
    Some(Histogram {
        step_ns,
        bars: bars.into_iter().collect(),
    })
}

/// The next of 1, 2, 5, 10 ... times a power of ten tenths of a second.
fn round_up(step_ns: i64, by: i64) -> i64 {
    let mut power = SECOND_NS / 10;
    while power.saturating_mul(10) <= step_ns {
        power = power.saturating_mul(10);
    }
    power.saturating_mul(by)
}

impl Histogram {
    /// What a bar stands for: `60 s`; the last one takes all that is longer.
    pub(super) fn label(&self, at: i64) -> String {
        let label = match at {
            0 => "0 s".to_owned(),
            at => crate::model::say_duration(at.saturating_mul(self.step_ns)),
        };
        if at >= 48 {
            format!("{label} and more")
        } else {
            label
        }
    }

    pub(super) fn svg(&self, title: &str) -> String {
        let last = self.bars.last().map_or(0, |b| b.0).max(1);
        let label = |at: i64| self.label(at);
        // the highest bars say what they are
        let marks = highest(&self.bars, last).into_iter().map(|at| at.0);
        draw(title, &self.bars, last, &marks.collect::<Vec<_>>(), &label)
    }
}

/// Moments on a line from the start to the end of the evidence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TimeLine {
    /// Nanoseconds since the epoch of the first bar's left side, a multiple of the step.
    pub(super) start_ns: i64,
    pub(super) step_ns: i64,
    /// Bars in all, empty ones too.
    pub(super) last: i64,
    /// Steps since the start, count; ascending, empty bars left out.
    pub(super) bars: Vec<(i64, usize)>,
}

/// Steps that a clock has.
const STEPS_S: &[i64] = &[
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400,
    172_800, 604_800,
];

/// `from` and `to` are the ends of the evidence; what lies outside widens it.
pub(super) fn time_line(moments: &[i64], from: i64, to: i64) -> Option<TimeLine> {
    let first = moments.iter().copied().min()?.min(from);
    let last = moments.iter().copied().max()?.max(to);
    if moments.len() < 2 {
        return None;
    }
    let span = last.saturating_sub(first);
    let tenths = [SECOND_NS / 10, SECOND_NS / 5, SECOND_NS / 2];
    let steps = tenths
        .into_iter()
        .chain(STEPS_S.iter().map(|s| s * SECOND_NS));
    let step_ns = steps
        .clone()
        .find(|step| span / step < 60)
        .or(steps.last())?;
    let start_ns = first.div_euclid(step_ns) * step_ns;
    let mut bars: BTreeMap<i64, usize> = BTreeMap::new();
    let at = |ns: i64| (ns.saturating_sub(start_ns) / step_ns).min(199);
    for moment in moments {
        *bars.entry(at(*moment)).or_insert(0) += 1;
    }
    Some(TimeLine {
        start_ns,
        step_ns,
        last: at(last).max(1),
        bars: bars.into_iter().collect(),
    })
}

impl TimeLine {
    /// `label` writes the moment that is so many nanoseconds after the epoch.
    pub(super) fn svg(&self, title: &str, label: &dyn Fn(i64) -> String) -> String {
        let marks: Vec<i64> = (0..=3).map(|n| self.last * n / 3).collect();
        let at = |at: i64| label(self.start_ns.saturating_add(at * self.step_ns));
        draw(title, &self.bars, self.last, &marks, &at)
    }
}

/// The highest bars that are far enough from each other to be labelled.
fn highest(bars: &[(i64, usize)], last: i64) -> Vec<(i64, usize)> {
    let wide = (WIDTH - 2 * SIDE) / (last + 1);
    let mut high = bars.to_vec();
    high.sort_by_key(|&(at, n)| (std::cmp::Reverse(n), at));
    let mut shown: Vec<(i64, usize)> = Vec::new();
    for bar in high {
        if shown.len() < 5 && shown.iter().all(|s| (s.0 - bar.0).abs() * wide > 64) {
            shown.push(bar);
        }
    }
    shown
}

fn draw(
    title: &str,
    bars: &[(i64, usize)],
    last: i64,
    marks: &[i64],
    label: &dyn Fn(i64) -> String,
) -> String {
    let most = bars.iter().map(|b| b.1).max().unwrap_or(1).max(1);
    let high = |n: usize| (TALL * n / most).max(2);
    // tenths of a unit, so that many narrow bars still fill the whole width
    let left = |at: i64| SIDE * 10 + at * (WIDTH - 2 * SIDE) * 10 / (last + 1);
    let tenths = |n: i64| format!("{}.{}", n / 10, n % 10);
    let middle = |at: i64| tenths(i64::midpoint(left(at), left(at + 1)));
    let said: Vec<String> = bars
        .iter()
        .map(|(at, n)| format!("{n} at {}", label(*at)))
        .collect();
    let mut out = format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {}\" aria-label=\"{}\">\
         <line x1=\"{SIDE}\" y1=\"{BASE}\" x2=\"{}\" y2=\"{BASE}\"/>",
        BASE + 22,
        escape(&format!("{title}: {}", said.join(", "))),
        WIDTH - SIDE,
    );
    for (at, n) in bars {
        let wide = left(at + 1) - left(*at);
        let wide = (wide - (wide / 4).min(20)).max(10);
        let _ = write!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            tenths(left(*at)),
            BASE - high(*n),
            tenths(wide),
            high(*n),
            escape(&format!("{}: {n}", label(*at))),
        );
    }
    for (at, n) in highest(bars, last) {
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\">{n}</text>",
            middle(at),
            BASE - high(n) - 4
        );
    }
    for at in marks {
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\">{}</text>",
            middle(*at),
            BASE + 16,
            escape(&label(*at)),
        );
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_silences_stand_in_one_bar() {
        #[track_caller]
        fn check(seconds: &[f64], step: f64, bars: &[(&str, usize)]) {
            let values: Vec<i64> = seconds.iter().map(|s| (s * 1e9) as i64).collect();
            let found = histogram(&values).expect("enough values");
            assert_eq!(found.step_ns, (step * 1e9) as i64);
            let said: Vec<(String, usize)> = found
                .bars
                .iter()
                .map(|(at, n)| (found.label(*at), *n))
                .collect();
            let bars: Vec<(String, usize)> =
                bars.iter().map(|(l, n)| ((*l).to_owned(), *n)).collect();
            assert_eq!(said, bars);
        }
        check(
            &[59.98, 60.0, 60.02, 20.0],
            2.0,
            &[("20 s", 1), ("60 s", 3)],
        );
        check(&[3.9, 4.0, 4.04], 0.1, &[("3.9 s", 1), ("4 s", 2)]);
        check(&[0.0, 0.01], 0.1, &[("0 s", 2)]);
        assert_eq!(histogram(&[SECOND_NS]), None);
        let mut many = vec![SECOND_NS; 40];
        many.push(7_200 * SECOND_NS);
        let found = histogram(&many).expect("enough");
        assert_eq!(found.bars, [(10, 40), (48, 1)]);
    }

    #[test]
    fn moments_stand_where_a_clock_has_them() {
        #[track_caller]
        fn check(seconds: &[i64], span: (i64, i64), start: i64, step: i64, bars: &[(i64, usize)]) {
            let moments: Vec<i64> = seconds.iter().map(|s| s * SECOND_NS).collect();
            let found = time_line(&moments, span.0 * SECOND_NS, span.1 * SECOND_NS);
            let found = found.expect("enough moments");
            assert_eq!(
                (found.start_ns / SECOND_NS, found.step_ns / SECOND_NS),
                (start, step)
            );
            assert_eq!(found.bars, bars);
        }
        check(&[3, 3, 40], (0, 50), 0, 1, &[(3, 2), (40, 1)]);
        check(&[61, 119], (31, 400), 30, 10, &[(3, 1), (8, 1)]);
        check(&[0, 86_399], (0, 86_400), 0, 1_800, &[(0, 1), (47, 1)]);
        // a stamp before the evidence begins, and one from another century
        check(&[-60, 0], (0, 10), -60, 2, &[(0, 1), (30, 1)]);
        check(
            &[0, 4_000_000_000],
            (0, 10),
            0,
            604_800,
            &[(0, 1), (199, 1)],
        );
        assert_eq!(time_line(&[], 0, 1), None);
    }
}
