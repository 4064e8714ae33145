//! One large log -> its parts, read at the same time, and put together as if it had been read from its beginning to its end.

use super::stopping::ended;
use super::{LogResult, Progress, Stoppable, steps};
use crate::case::Case;
use crate::logs::{self, LogOptions, LogSummary};
use crate::model::{Line, Source};
use rayon::prelude::*;
use std::ops::Range;

/// Bytes of a part, whatever the number of threads: what is read does not depend on it.
pub(super) const PART: u64 = 16 << 20;
/// Bytes looked through for a place where a part may begin: some lines, and where none ends in them two of the longest kind.
const LOOKS: [usize; 2] = [32 << 10, 2 << 20];

/// Where the parts of a file begin and end; `None` where it has to be read in one piece.
pub(super) fn of(
    case: &Case,
    source: &Source,
    choice: &logs::Choice,
    part: u64,
) -> Option<Vec<Range<u64>>> {
    if source.compression.is_some() || source.bytes < part * 2 {
        return None;
    }
    if !logs::has_parts(choice, &case.head(source.id).0) {
        return None;
    }
    let mut begins = vec![0];
    // The last one is as long as the others, or shorter: who reads it is not waited for.
    for k in 1..source.bytes.div_ceil(part) {
        let near = k * part;
        let look = |len| {
            let bytes = case.read_span(source.id, near, len).ok()?;
            logs::between_lines(choice, &bytes)
        };
        // Where no line ends in so many bytes, the part before goes on.
        begins.extend(LOOKS.into_iter().find_map(look).map(|at| near + at as u64));
    }
    begins.dedup();
    // A file that is written to while it is read is read to its end.
    let ends = begins.iter().skip(1).copied().chain([u64::MAX]);
    let parts: Vec<_> = begins
        .iter()
        .zip(ends)
        .map(|(&from, to)| from..to)
        .collect();
    (parts.len() > 1).then_some(parts)
}

/// Reads the parts; `None` where what a line means turned out to depend on lines of other parts.
pub(super) fn read(
    case: &Case,
    source: &Source,
    choice: &logs::Choice,
    options: &LogOptions,
    parts: &[Range<u64>],
    progress: &dyn Progress,
) -> Option<LogResult> {
    let read: Option<Vec<(LogSummary, Vec<Line>, Stoppable<'_>)>> = parts
        .par_iter()
        .enumerate()
        .map(|(i, part)| {
            let bytes = case.part(source.id, part.clone());
            let mut input = Stoppable::of(bytes, source.id, progress);
            let mut step = steps(&input.inner, source.id, progress);
            let mut lines = Vec::new();
            let summary = logs::read(
                source.id,
                choice,
                options,
                &mut input,
                &mut |_| step(),
                &mut |line| lines.push(line),
            );
            step();
            // After one that does not, no other is begun.
            let alone = summary.stands_alone(i == 0);
            alone.then_some((summary, lines, input))
        })
        .collect();
    let read = read?;
    let (mut whole, mut lines) = (LogSummary::default(), Vec::new());
    lines.reserve_exact(read.iter().map(|(_, own, _)| own.len()).sum());
    whole
        .put_off
        .reserve_exact(read.iter().map(|(s, ..)| s.put_off.len()).sum());
    let mut inputs = Vec::new();
    for (part, (summary, mut own, input)) in parts.iter().zip(read) {
        let before = whole.lines;
        for line in &mut own {
            line.record_mut().moved(before, part.start);
        }
        lines.append(&mut own);
        whole.append(summary, part.start);
        inputs.push(input);
    }
    whole
        .anomalies
        .extend(ended(&inputs.iter().collect::<Vec<_>>(), source.bytes));
    let problem = inputs.iter().find_map(|input| input.inner.problem());
    Some((whole, lines, problem.cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Silent, sniff};

    /// Samples of a format by chance, the plain ones mostly, with blank lines and rubbish between them.
    fn log(samples: &[&str], plain: &str) -> Vec<u8> {
        let mut state = 7_u64;
        let mut below = |n: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % n
        };
        let mut text = String::new();
        while text.len() < 300_000 {
            match below(12) {
                0 => text.push('\n'),
                1 if below(9) == 0 => text.push_str("rubbish that nobody wrote\n"),
                1 | 2 => text.push_str(&format!("{}\n", samples[below(samples.len())])),
                _ => text.push_str(&format!("{plain}\n")),
            }
        }
        text.push_str("the last line is cut");
        text.into_bytes()
    }

    #[test]
    fn parts_are_as_the_whole() {
        let plain = [
            r#"192.0.2.17 - - [20/Nov/2026:20:48:04 +0000] "GET /a HTTP/1.1" 404 12 "-" "x""#,
            r#"https 2026-11-20T20:48:04.186641Z app/a/5 10.0.0.140:40914 10.0.1.192:8010 0.001 0.003 0.000 404 404 218 587 "GET https://x.test:443/a HTTP/1.1" "-" - - arn "Root=1""#,
            r#"Nov 20 20:48:04 lb1 haproxy[3015]: 192.0.2.7:4000 [20/Nov/2026:20:48:04.019] fe be/web1 0/0/1/4/9 404 215 - - ---- 8/8/7/7/0 0/0 "GET /a HTTP/1.1""#,
            r#"{"level":30,"time":1795207684000,"pid":7,"hostname":"app1","msg":"request completed"}"#,
        ];
        for (name, plain) in ["nginx-access", "alb-access", "haproxy", "app-json"]
            .into_iter()
            .zip(plain)
        {
            let format = logs::FORMATS.iter().find(|f| f.name() == name).expect(name);
            let text: &'static [u8] = log(format.samples(), plain).leak();
            let case = Case::from_memory("memory", &[("a.log", text)]);
            let source = sniff::blank_source(&case.files()[0]);
            let choice = logs::Choice {
                name: format.name(),
            };
            let options = LogOptions::default();
            let mut lines = Vec::new();
            let mut emit = |line| lines.push(line);
            let mut input = text;
            let mut whole = logs::read(
                source.id,
                &choice,
                &options,
                &mut input,
                &mut |_| (),
                &mut emit,
            );
            let put_off = std::mem::take(&mut whole.put_off);
            for part in [9_000, 50_000, 131_072] {
                let parts = of(&case, &source, &choice, part).expect("parts");
                assert!(parts.len() as u64 >= 300_000 / part - 1, "{name} {parts:?}");
                let (mut summary, own, problem) =
                    read(&case, &source, &choice, &options, &parts, &Silent).expect(name);
                assert!(problem.is_none());
                // A part does not know the paths that asked for WebSockets before it: what it puts off is settled when all is read.
                let own_put_off = std::mem::take(&mut summary.put_off);
                let later: Vec<&logs::PutOff> = own_put_off
                    .iter()
                    .filter(|p| !put_off.contains(p))
                    .collect();
                assert_eq!(
                    later.len() + put_off.len(),
                    own_put_off.len(),
                    "{name} {part}"
                );
                let here = |line: &&Line| later.iter().all(|p| p.record != line.record());
                assert!(own.iter().eq(lines.iter().filter(here)), "{name} {part}");
                assert_eq!(own.len() + later.len(), lines.len(), "{name} {part}");
                // Each part tells what its first records have under which key.
                let fields = std::mem::replace(&mut summary.fields, whole.fields.clone());
                assert!(
                    whole.fields.iter().all(|f| fields.contains(f)),
                    "{name} {part}"
                );
                assert_eq!(
                    format!("{summary:?}"),
                    format!("{whole:?}"),
                    "{name} {part}"
                );
            }
            assert!(lines.len() > 50, "{name} {}", lines.len());
        }
    }

    #[test]
    fn what_depends_on_lines_before_is_read_in_one_piece() {
        // Whose requests were refused is told by tunnels far before.
        let line = r#"{"time":"2026-11-20T20:48:04+00:00","remote_addr":"192.0.2.1","status":"200","upstream_addr":"10.0.0.1:80","upstream_status":"200"}"#;
        let text: &'static [u8] = format!("{line}\n").repeat(2_000).into_bytes().leak();
        let case = Case::from_memory("memory", &[("a.log", text)]);
        let source = sniff::blank_source(&case.files()[0]);
        let choice = logs::Choice {
            name: "nginx-access",
        };
        let parts = of(&case, &source, &choice, 20_000).expect("parts");
        let read = read(
            &case,
            &source,
            &choice,
            &LogOptions::default(),
            &parts,
            &Silent,
        );
        assert!(read.is_none());
        // Nor has a file parts whose lines stand in wrappers, or that is packed.
        let wrapped = format!("2026-11-20T20:48:04Z stdout F {line}\n").repeat(2_000);
        let case = Case::from_memory("memory", &[("a.log", wrapped.into_bytes().leak())]);
        let source = sniff::blank_source(&case.files()[0]);
        assert!(of(&case, &source, &choice, 20_000).is_none());
    }
}
