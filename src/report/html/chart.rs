//! Counts -> bars as SVG, each with its numbers in words for whoever does not see them.

use super::escape::escape;
use crate::model::SECOND_NS;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: usize = 760;
const ROW: usize = 22;
const LABEL: usize = 250;

/// One horizontal bar for each label.
pub(super) fn bars(title: &str, counts: &[(String, usize)]) -> String {
    let most = counts.iter().map(|c| c.1).max().unwrap_or(0).max(1);
    let height = counts.len() * ROW + 4;
    let said: Vec<String> = counts.iter().map(|(l, n)| format!("{l} {n}")).collect();
    let mut out = format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" aria-label=\"{}\">",
        escape(&format!("{title}: {}", said.join(", ")))
    );
    for (at, (label, n)) in counts.iter().enumerate() {
        let y = at * ROW + 2;
        let wide = (WIDTH - LABEL - 60) * n / most;
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABEL}\" y=\"{y}\" width=\"{}\" height=\"{}\"/>\
             <text x=\"{}\" y=\"{}\">{n}</text>",
            LABEL - 8,
            y + 14,
            escape(label),
            wide.max(1),
            ROW - 5,
            LABEL + wide.max(1) + 6,
            y + 14,
        );
    }
    out.push_str("</svg>");
    out
}

/// Bars beside each other, evenly wide on a scale of time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Histogram {
    /// Nanoseconds that a bar stands for; a bar's values round to its multiple of this.
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
        let tall = 120;
        let last = self.bars.last().map_or(0, |b| b.0).max(1);
        let wide = (WIDTH as i64 - 40) / (last + 1);
        let most = self.bars.iter().map(|b| b.1).max().unwrap_or(1).max(1);
        let said: Vec<String> = self
            .bars
            .iter()
            .map(|(at, n)| format!("{n} at {}", self.label(*at)))
            .collect();
        let mut out = format!(
            "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {}\" aria-label=\"{}\">\
             <line x1=\"20\" y1=\"{base}\" x2=\"{WIDTH}\" y2=\"{base}\"/>",
            tall + 40,
            escape(&format!("{title}: {}", said.join(", "))),
            base = tall + 18,
        );
        for (at, n) in &self.bars {
            let high = (tall * n / most).max(2);
            let _ = write!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{high}\"><title>{}</title></rect>",
                20 + at * wide,
                tall + 18 - high,
                (wide - 2).max(2),
                escape(&format!("{}: {n}", self.label(*at))),
            );
        }
        // the highest bars say what they are
        let mut high: Vec<(i64, usize)> = self.bars.clone();
        high.sort_by_key(|&(at, n)| (std::cmp::Reverse(n), at));
        let mut labelled: Vec<i64> = Vec::new();
        for (at, n) in high {
            if labelled.len() < 6 && labelled.iter().all(|l| (l - at).abs() * wide > 70) {
                labelled.push(at);
                let top = tall + 18 - (tall * n / most).max(2);
                let _ = write!(
                    out,
                    "<text x=\"{x}\" y=\"{}\">{n}</text><text x=\"{x}\" y=\"{}\">{}</text>",
                    top - 4,
                    tall + 34,
                    escape(&self.label(at)),
                    x = 20 + at * wide,
                );
            }
        }
        out.push_str("</svg>");
        out
    }
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
}
