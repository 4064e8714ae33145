//! A weighed row -> the verdict: its sentence, evidence, rivals, what could not be tested, and the fix in the user's numbers.

use super::eval::{self, Score, Standing, Weighed, WhyOut};
use super::explain;
use super::fact::{self, FACTS, NamedDuration, Row, Value};
use super::pack::Pack;
use super::rule::{Condition, Rule, Slot, Template};
use super::told::Told;
use crate::model::{
    Cause, Evidence, MILLI_NS, Outcome, Rival, RivalVerdict, SECOND_NS, Strength, Test, Tier,
    Truth, Untestable, Verdict, Word, say_duration,
};
use std::sync::Arc;

/// How many refuted rivals a verdict names beside the look-alikes.
const RIVALS: usize = 3;
/// How many rules an undecided verdict shows the tests of.
const CLOSE: usize = 4;

/// What a verdict calls the hops and places of one connection. Whatever is `None` leaves the wordings that need it unused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The hop that ended it, or the one nearest to the fault: `nginx`.
    pub hop: Option<String>,
    pub server: Option<String>,
    pub client: Option<String>,
    /// Where the request is routed: `location /ws (nginx.conf:28)`.
    pub location: Option<String>,
    /// The smallest time-out of the path, nanoseconds, for fixes of causes that no time-out explains.
    pub timeout_ns: Option<i64>,
    /// `proxy_read_timeout, nginx.conf:31`.
    pub timeout_name: Option<String>,
    /// The library or server of the application, as in [`super::rule::STACKS`].
    pub stack: Option<&'static str>,
}

/// From the documents' own advice (X1): often enough for any 60 s, and no oftener.
const PING_NS: i64 = 25 * SECOND_NS;

/// A period under half of a silence that ends connections, in round numbers, 25 s at most: of 60 s 25 s, of 10 s 4 s.
fn period_under(silence_ns: i64) -> i64 {
    let most = (silence_ns / 12).saturating_mul(5).min(PING_NS);
    let unit = if most >= SECOND_NS {
        SECOND_NS
    } else {
        100 * MILLI_NS
    };
    (most / unit * unit).max(unit)
}

/// Writes verdicts, one after the other.
#[derive(Debug)]
pub struct Composer<'p> {
    pack: &'p Pack,
    told: Told,
}

impl<'p> Composer<'p> {
    pub fn new(pack: &'p Pack) -> Self {
        Self {
            pack,
            told: Told::default(),
        }
    }

    pub const fn pack(&self) -> &'p Pack {
        self.pack
    }

    pub(super) fn word(&mut self, text: &str) -> Word {
        self.told.word(text)
    }

    /// The verdict about a connection whose outcome is a drop or a failed handshake.
    pub fn verdict(
        &mut self,
        row: &Row,
        weighed: &Weighed,
        names: &Names,
        outcome: Outcome,
    ) -> Verdict {
        let (pack, told) = (self.pack, &mut self.told);
        told.next();
        let cause = weighed.best.unwrap_or(Cause::Undecided);
        let own = weighed.own.as_ref().and_then(|name| pack.find(name));
        let Some(rule) = own.or_else(|| pack.rule(cause)) else {
            return without_rule(weighed, outcome, cause);
        };
        let words = Words {
            row,
            names,
            timeout: eval::timeout(rule, row),
        };
        let (timeout_ns, timeout_from) = match words.timeout {
            Some(d) => (Some(d.ns), (!d.name.is_empty()).then(|| told.word(&d.name))),
            None => (None, None),
        };
        let mut evidence = evidence(rule, row, &words, told);
        if evidence.is_empty() {
            evidence.push(Evidence {
                say: told.word("no source shows how it ended"),
                supports: true,
                strength: Strength::Weak,
                record: None,
                at: None,
            });
        }
        let (rivals, untestable, fix) = (
            rivals(pack, rule, row, weighed, &words),
            untestable(pack, rule, weighed, &words),
            fixes(rule, row, &words),
        );
        Verdict {
            outcome,
            cause: Some(cause),
            tier: weighed.tier,
            sentence: words.first(&rule.sentence),
            contributing: weighed.contributing.clone(),
            timeout_ns,
            timeout_from,
            evidence,
            rivals: rivals
                .into_iter()
                .map(|(cause, verdict, why)| Rival {
                    cause,
                    verdict,
                    why: told.word(&why),
                })
                .collect(),
            untestable: untestable
                .into_iter()
                .map(|(cause, needs)| Untestable {
                    cause,
                    needs: told.word(&needs),
                })
                .collect(),
            fix: fix.iter().map(|text| told.word(text)).collect(),
            tests: tests(pack, rule, row, weighed, told),
            own_rule: own.map(|r| format!("{} ({})", r.name(), r.path)),
        }
    }
}

/// The pack lacks `undecided`, which a user may have done.
fn without_rule(weighed: &Weighed, outcome: Outcome, cause: Cause) -> Verdict {
    Verdict {
        outcome,
        cause: Some(cause),
        tier: weighed.tier,
        sentence: "no rule explains how this connection ended".to_owned(),
        contributing: Vec::new(),
        timeout_ns: None,
        timeout_from: None,
        evidence: Vec::new(),
        rivals: Vec::new(),
        untestable: Vec::new(),
        fix: Vec::new(),
        tests: Vec::new(),
        own_rule: None,
    }
}

/// Fills the slots of templates.
struct Words<'a> {
    row: &'a Row,
    names: &'a Names,
    timeout: Option<&'a NamedDuration>,
}

impl Words<'_> {
    /// The time-out that explains the end, else the one the caller knows.
    fn timeout_ns(&self) -> Option<i64> {
        self.timeout.map(|d| d.ns).or(self.names.timeout_ns)
    }

    /// How often to ping, from the shortest silence that is known to end connections here.
    fn ping_ns(&self) -> i64 {
        let forgotten =
            fact::index("middlebox.silence").and_then(|at| eval::duration(self.row, at));
        [self.timeout.map(|d| d.ns), self.names.timeout_ns, forgotten]
            .into_iter()
            .flatten()
            .filter(|ns| *ns > 0)
            .min()
            .map_or(PING_NS, period_under)
    }

    fn slot(&self, slot: Slot) -> Option<String> {
        let names = self.names;
        Some(match slot {
            Slot::Hop => match (&names.hop, self.timeout) {
                (Some(hop), _) => hop.clone(),
                (None, Some(d)) if !d.hop.is_empty() => d.hop.clone(),
                _ => "a hop on the path".to_owned(),
            },
            Slot::Server => names
                .server
                .clone()
                .unwrap_or_else(|| "the server".to_owned()),
            Slot::Client => names
                .client
                .clone()
                .unwrap_or_else(|| "the client".to_owned()),
            Slot::Ender => match eval::value(self.row, fact::index("close.side")?)? {
                Value::Word("client") => self.slot(Slot::Client)?,
                Value::Word("proxy") => self.slot(Slot::Hop)?,
                Value::Word("server") => self.slot(Slot::Server)?,
                _ => return None,
            },
            Slot::Location => names.location.clone()?,
            Slot::Timeout => say_duration(self.timeout_ns()?),
            Slot::TimeoutHalf => say_duration(self.timeout_ns()? / 2),
            Slot::TimeoutDouble => say_duration(self.timeout_ns()?.saturating_mul(2)),
            Slot::TimeoutName => match self.timeout {
                Some(d) => Some(d.name.clone()).filter(|n| !n.is_empty())?,
                None => names.timeout_name.clone()?,
            },
            Slot::Ping => say_duration(self.ping_ns()),
            Slot::PingSeconds => {
                let ms = self.ping_ns() / MILLI_NS;
                match ms % 1_000 {
                    0 => (ms / 1_000).to_string(),
                    rest => format!("{}.{}", ms / 1_000, rest / 100),
                }
            }
            Slot::PingMillis => (self.ping_ns() / MILLI_NS).to_string(),
            Slot::Fact(at) => match eval::value(self.row, at)? {
                // A list or a yes is no word for a sentence.
                Value::Bool(_) | Value::Durations(_) => return None,
                value => explain::say_value(value),
            },
            Slot::Value | Slot::Nearest | Slot::NearestName => return None,
        })
    }

    fn first(&self, templates: &[Template]) -> String {
        templates
            .iter()
            .find_map(|t| t.fill(|slot| self.slot(slot)))
            .unwrap_or_default()
    }

    /// An evidence line's text.
    fn line(&self, template: &Template, condition: &Condition) -> Option<String> {
        let nearest = eval::nearest(condition, self.row);
        template.fill(|slot| match slot {
            Slot::Value => eval::value(self.row, condition.fact).map(explain::say_value),
            Slot::Nearest => nearest.map(|d| say_duration(d.ns)),
            Slot::NearestName => nearest.map(|d| d.name.clone()).filter(|n| !n.is_empty()),
            slot => self.slot(slot),
        })
    }

    /// Why a condition fails: the fact's question, what was seen and what was wanted.
    fn refuted(&self, condition: &Condition) -> String {
        let asks = FACTS.get(condition.fact).map_or("", |f| f.asks);
        let seen =
            eval::value(self.row, condition.fact).map_or_else(String::new, explain::say_value);
        let wanted = explain::wanted(condition);
        match condition.want {
            super::rule::Want::Bool(want) => {
                format!("{}: {asks}", if want { "not so" } else { "it is so" })
            }
            _ => format!("{asks}: {seen}, not {wanted}"),
        }
    }

    fn refuted_line(&self, rule: &Rule, at: usize) -> String {
        let Some(line) = rule.evidence.get(at) else {
            return String::new();
        };
        line.say_if_false
            .as_ref()
            .and_then(|t| self.line(t, &line.condition))
            .unwrap_or_else(|| self.refuted(&line.condition))
    }

    fn shown_line(&self, rule: &Rule, at: usize) -> String {
        let Some(line) = rule.evidence.get(at) else {
            return String::new();
        };
        self.line(&line.say, &line.condition).unwrap_or_else(|| {
            let asks = FACTS.get(line.condition.fact).map_or("", |f| f.asks);
            let seen = eval::value(self.row, line.condition.fact)
                .map_or_else(String::new, explain::say_value);
            format!("{asks}: {seen}")
        })
    }
}

/// The shown lines, strongest first, then those that speak against it.
fn evidence(rule: &Rule, row: &Row, words: &Words<'_>, told: &mut Told) -> Vec<Evidence> {
    let mut out = Vec::new();
    for (at, line) in rule.evidence.iter().enumerate() {
        let truth = eval::truth(&line.condition, row);
        let shown = truth == Truth::Shown;
        let (say, strength) = match (truth, line.if_true, line.if_false) {
            (Truth::Shown, strength, _) => (
                words.shown_line(rule, at),
                strength.unwrap_or(Strength::Weak),
            ),
            (Truth::Refuted, _, Some(against)) => {
                // In a group that another line carries, a refuted one is no counter-evidence.
                let carried = rule
                    .members(at)
                    .iter()
                    .any(|&i| eval::truth(&rule.evidence[i].condition, row) == Truth::Shown);
                if carried {
                    continue;
                }
                (words.refuted_line(rule, at), against)
            }
            _ => continue,
        };
        let record = row.at(line.condition.fact).and_then(|r| r.records.first());
        out.push(Evidence {
            say: told.word(&say),
            supports: shown,
            strength,
            record: record.map(|r| r.0),
            at: record.and_then(|r| r.1),
        });
    }
    out.sort_by_key(|e| (!e.supports, std::cmp::Reverse(e.strength)));
    out.dedup_by(|a, b| a.say == b.say);
    out
}

fn rivals(
    pack: &Pack,
    rule: &Rule,
    row: &Row,
    weighed: &Weighed,
    words: &Words<'_>,
) -> Vec<(Cause, RivalVerdict, String)> {
    let mut out = Vec::new();
    for score in weighed.weaker() {
        let Some(other) = pack.rule(score.cause) else {
            continue;
        };
        let why = why_weaker(rule, other, score, row, words);
        out.push((score.cause, RivalVerdict::Weaker, why));
    }
    // Refuted look-alikes, then what came nearest before it was refuted.
    let mut refuted: Vec<(&Score, String)> = weighed
        .scores
        .iter()
        .filter_map(|score| Some((score, why_refuted(pack.rule(score.cause)?, score, words)?)))
        .collect();
    refuted.sort_by_key(|(score, _)| {
        let listed = rule
            .confused_with
            .iter()
            .position(|c| *c == score.cause)
            .unwrap_or(usize::MAX);
        (
            listed,
            std::cmp::Reverse(shown_bits(pack, score, row)),
            score.cause,
        )
    });
    let look_alikes = refuted
        .iter()
        .filter(|(s, _)| rule.confused_with.contains(&s.cause))
        .count();
    for (score, why) in refuted.into_iter().take(look_alikes.max(RIVALS)) {
        out.push((score.cause, RivalVerdict::RuledOut, why));
    }
    out
}

fn why_weaker(rule: &Rule, other: &Rule, score: &Score, row: &Row, words: &Words<'_>) -> String {
    if rule.beats.contains(&other.cause) && score.tier >= Tier::Likely {
        return format!(
            "it holds too, but {} is the closer explanation",
            rule.cause.id()
        );
    }
    let truths = eval::truths(other, row);
    let unseen = truths.iter().enumerate().find_map(|(at, truth)| {
        let line = other.evidence.get(at)?;
        let open = line.required
            && *truth == Truth::Unobserved
            && !other
                .members(at)
                .iter()
                .any(|&i| truths.get(i) == Some(&Truth::Shown));
        open.then_some(line)
    });
    if let Some(line) = unseen {
        let spec = &FACTS[line.condition.fact];
        return format!("nothing shows whether {} (needs {})", spec.asks, spec.needs);
    }
    let against = truths.iter().enumerate().find(|(at, truth)| {
        **truth == Truth::Refuted
            && other
                .evidence
                .get(*at)
                .is_some_and(|l| l.if_false.is_some())
    });
    if let Some((at, _)) = against {
        return words.refuted_line(other, at);
    }

    format!("less speaks for it than for {}", rule.cause.id())
}

fn why_refuted(rule: &Rule, score: &Score, words: &Words<'_>) -> Option<String> {
    if score.standing != Standing::Out {
        return None;
    }
    match eval::why_out(rule, words.row)? {
        WhyOut::Scope(at) => rule.scope.get(at).map(|c| words.refuted(c)),
        WhyOut::Line(at) => Some(words.refuted_line(rule, at)),
    }
}

fn shown_bits(pack: &Pack, score: &Score, row: &Row) -> i32 {
    pack.rule(score.cause).map_or(0, |rule| {
        rule.evidence
            .iter()
            .filter(|l| eval::truth(&l.condition, row) == Truth::Shown)
            .map(|l| l.if_true.map_or(0, Strength::bits))
            .sum()
    })
}

/// The look-alikes that nothing tests; for an undecided connection every cause that stays open.
fn untestable(
    pack: &Pack,
    rule: &Rule,
    weighed: &Weighed,
    words: &Words<'_>,
) -> Vec<(Cause, String)> {
    let mut out = Vec::new();
    for score in &weighed.scores {
        let Standing::Untestable(missing) = score.standing else {
            continue;
        };
        let wanted = rule.cause == Cause::Undecided || rule.confused_with.contains(&score.cause);
        let Some(other) = pack.rule(score.cause).filter(|_| wanted) else {
            continue;
        };
        out.push((score.cause, needs(other, missing, words)));
    }
    if rule.cause == Cause::Undecided {
        // What is nearest to an answer first.
        out.sort_by_key(|(cause, _)| {
            let score = weighed.score(*cause);
            (std::cmp::Reverse(score.map_or(0, |s| s.bits)), *cause)
        });
    }
    out
}

fn needs(rule: &Rule, missing: Option<usize>, words: &Words<'_>) -> String {
    if let Some(text) = rule
        .drills
        .iter()
        .find_map(|d| d.needs.fill(|slot| words.slot(slot)))
    {
        return text;
    }
    missing
        .and_then(|at| rule.evidence.get(at))
        .and_then(|l| FACTS.get(l.condition.fact))
        .map_or_else(
            || "more evidence of the end".to_owned(),
            |f| f.needs.to_owned(),
        )
}

fn fixes(rule: &Rule, row: &Row, words: &Words<'_>) -> Vec<String> {
    let hop = words
        .slot(Slot::Hop)
        .unwrap_or_default()
        .to_ascii_lowercase();
    let stack = words.names.stack;
    let told = stack.is_some_and(|s| rule.fixes.iter().any(|f| f.when_stack == Some(s)));
    rule.fixes
        .iter()
        .filter(|f| f.when_hop.is_none_or(|h| hop.contains(h)) && eval::all_shown(&f.when, row))
        .filter(|f| f.when_stack.is_none_or(|s| stack == Some(s)) && !(f.otherwise && told))
        .map(|f| words.first(&f.say))
        .filter(|text| !text.is_empty())
        .collect()
}

/// The tests of the rule that won, of its weaker rivals and of its look-alikes; an undecided one shows what came nearest.
fn tests(
    pack: &Pack,
    rule: &Rule,
    row: &Row,
    weighed: &Weighed,
    told: &mut Told,
) -> Vec<Arc<Test>> {
    let mut causes: Vec<Cause> = vec![rule.cause];
    causes.extend(weighed.weaker().map(|s| s.cause));
    causes.extend(
        rule.confused_with
            .iter()
            .copied()
            .filter(|c| weighed.score(*c).is_some()),
    );
    if rule.cause == Cause::Undecided {
        let mut close: Vec<&Score> = weighed
            .scores
            .iter()
            .filter(|s| matches!(s.standing, Standing::Untestable(_)))
            .collect();
        close.sort_by_key(|s| (std::cmp::Reverse(s.bits), s.cause));
        causes.extend(close.into_iter().take(CLOSE).map(|s| s.cause));
    }
    let mut done = Vec::new();
    let mut out = Vec::new();
    if rule.own.is_some() {
        out.extend(told.why_not(rule, row));
    }
    for cause in causes {
        if done.contains(&cause) {
            continue;
        }
        done.push(cause);
        if let Some(rule) = pack.rule(cause) {
            out.extend(told.why_not(rule, row));
        }
    }
    out
}
