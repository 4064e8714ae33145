//! Rule files, built in and given -> the pack in force, or every mistake in them.

use super::eval::{self, Score, Standing, Weighed, WhyOut};
use super::fact::{self, FACTS, Reading, Row, Value, Witnesses};
use super::lint::{self, RuleError};
use super::overrides::Overrides;
use super::program::Program;
use super::rule::{Expect, Phase, Rule, Sample, Status};
use crate::model::{Cause, Tier};
use rayon::prelude::*;

/// The rules in force, one per cause at most, in order of their codes.
#[derive(Debug)]
pub struct Pack {
    /// `builtin`, or `builtin + dir`.
    pub name: String,
    pub rules: Vec<Rule>,
    /// Rules of the user's own, which say more of some connections of a cause; in order of their codes.
    pub own: Vec<Rule>,
    pub overrides: Overrides,
    /// The rules that are asked, made ready for weighing many rows; `None` where they have more conditions than that takes.
    program: Option<Program>,
}

macro_rules! builtin {
    ($($cause:literal),+ $(,)?) => {
        /// `(path, text)` of every rule that is compiled in.
        pub const BUILTIN: &[(&str, &str)] = &[
            $((concat!("rules/", $cause, ".toml"), include_str!(concat!("../../rules/", $cause, ".toml")))),+
        ];
    };
}

builtin!(
    "idle-timeout",
    "lifetime-cap",
    "middlebox-expiry",
    "missed-heartbeat",
    "client-heartbeat-timeout",
    "missing-upgrade",
    "upstream-unavailable",
    "handshake-timeout",
    "handshake-rejected",
    "tls-failure",
    "client-network-change",
    "client-vanished",
    "half-open-duplicate",
    "client-abort",
    "injected-reset",
    "server-crash",
    "server-exception",
    "server-restart",
    "resource-exhaustion",
    "slow-consumer",
    "proxy-restart",
    "message-too-big",
    "protocol-error",
    "policy-close",
    "undecided",
);

impl Pack {
    /// The rules compiled in. A mistake in one is found by the tests; a rule that can't be read is left out.
    pub fn builtin() -> Self {
        let rules = BUILTIN
            .par_iter()
            .filter_map(|(path, text)| lint::read(path, text).ok())
            .collect();
        Self::of(
            "builtin".to_owned(),
            rules,
            Vec::new(),
            Overrides::default(),
        )
    }

    /// The built-in rules and those of `files`, each `(path, text)`. A rule with `replaces = true` stands in for the
    /// built-in one of its code; any other code that is taken is a mistake.
    pub fn with_dir(name: &str, files: &[(String, String)]) -> Result<Self, Vec<RuleError>> {
        let mut pack = Self::builtin();
        let mut given: Vec<Rule> = Vec::new();
        let mut own: Vec<Rule> = Vec::new();
        let mut overrides = Overrides::default();
        let mut errors = Vec::new();
        for (path, text) in files {
            if is_overrides(path) {
                match lint::read_overrides(path, text) {
                    Ok(found) => overrides.extend(found),
                    Err(found) => errors.extend(found),
                }
                continue;
            }
            match lint::read(path, text) {
                Ok(rule) if rule.own.is_some() => own.push(rule),
                Ok(rule) => given.push(rule),
                Err(found) => errors.extend(found),
            }
        }
        for (i, rule) in own.iter().enumerate() {
            if let Some(other) = own[..i].iter().find(|r| r.name() == rule.name()) {
                errors.push(taken(rule, other));
            }
        }
        for (i, rule) in given.iter().enumerate() {
            let twin = given[..i].iter().find(|r| r.cause == rule.cause);
            let built_in = pack
                .rules
                .iter()
                .find(|r| r.cause == rule.cause)
                .filter(|_| !rule.replaces);
            if let Some(other) = twin.or(built_in) {
                errors.push(taken(rule, other));
            }
        }
        if errors.is_empty() {
            pack.rules
                .retain(|r| !given.iter().any(|g| g.cause == r.cause));
            pack.rules.extend(given);
            errors = circles(&pack.rules);
        }
        if errors.is_empty() {
            Ok(Self::of(
                format!("builtin + {name}"),
                pack.rules,
                own,
                overrides,
            ))
        } else {
            Err(errors)
        }
    }

    fn of(name: String, mut rules: Vec<Rule>, mut own: Vec<Rule>, overrides: Overrides) -> Self {
        rules.sort_by_key(Rule::code);
        own.sort_by(|a, b| a.name().cmp(b.name()));
        let program = Program::new(&rules, |r| is_asked(r, &overrides));
        Self {
            name,
            rules,
            own,
            overrides,
            program,
        }
    }

    pub fn rule(&self, cause: Cause) -> Option<&Rule> {
        self.rules.iter().find(|r| r.cause == cause)
    }

    /// By code or cause id, in any case.
    pub fn find(&self, name: &str) -> Option<&Rule> {
        let own = self
            .own
            .iter()
            .find(|r| r.name().eq_ignore_ascii_case(name));
        if own.is_some() {
            return own;
        }
        self.rule(Cause::parse(&name.to_ascii_lowercase())?)
    }

    /// The rules that are asked: neither deprecated, nor `undecided`, nor disabled by an override.
    pub fn asked(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|r| is_asked(r, &self.overrides))
    }

    /// How the rules that are asked about such a connection come out: those in the running first, each part in the order of their
    /// codes; and how many are in the running.
    pub(super) fn scores(&self, row: &Row, handshake_failed: bool) -> (Vec<Score>, usize) {
        if let Some(program) = &self.program {
            return program.scores(&self.rules, row, handshake_failed);
        }
        let (mut scores, others): (Vec<Score>, Vec<Score>) = self
            .asked()
            .filter(|r| r.phase.asks(handshake_failed))
            .map(|r| eval::score(r, row))
            .partition(|s| s.standing == Standing::Running);
        let running = scores.len();
        scores.extend(others);
        (scores, running)
    }

    /// Whether the one is the closer explanation where both hold.
    pub(super) fn beats(&self, cause: Cause, other: Cause) -> bool {
        match &self.program {
            Some(program) => program.beats(cause, other),
            None => self.rule(cause).is_some_and(|r| r.beats.contains(&other)),
        }
    }
}

fn is_asked(rule: &Rule, overrides: &Overrides) -> bool {
    rule.status != Status::Deprecated
        && rule.cause != Cause::Undecided
        && !overrides.disabled(rule.code())
}

/// A file of overrides by its name, whatever its folder.
fn is_overrides(path: &str) -> bool {
    path.rsplit(['/', '\\']).next() == Some(lint::OVERRIDES)
}

fn taken(rule: &Rule, other: &Rule) -> RuleError {
    let help = if rule.own.is_some() {
        "give each rule of your own a code of its own"
    } else {
        "write `replaces = true` where it should stand in for the built-in rule, or give it a code of your own: U and digits"
    };
    RuleError {
        code: "R012",
        path: rule.path.clone(),
        line: 1,
        column: 1,
        message: format!("the code {} is taken by {}", rule.name(), other.path),
        help: Some(help.to_owned()),
    }
}

/// Rules that beat each other in a circle: each such rule is named.
pub fn circles(rules: &[Rule]) -> Vec<RuleError> {
    let mut out = Vec::new();
    for rule in rules {
        let mut reached: Vec<Cause> = Vec::new();
        let mut open: Vec<Cause> = rule.beats.clone();
        while let Some(cause) = open.pop() {
            if !reached.contains(&cause) {
                reached.push(cause);
                open.extend(
                    rules
                        .iter()
                        .filter(|r| r.cause == cause)
                        .flat_map(|r| r.beats.iter().copied()),
                );
            }
        }
        if reached.contains(&rule.cause) {
            out.push(RuleError {
                code: "R032",
                path: rule.path.clone(),
                line: 1,
                column: 1,
                message: format!("`{}` beats a rule that beats it", rule.cause.id()),
                help: Some("take one of the causes out of `beats`".to_owned()),
            });
        }
    }
    out
}

impl Sample {
    /// The row that the sample describes; its facts stand as if a capture showed them.
    pub fn row(&self) -> Row {
        let mut row = Row::new();
        let witness = Witnesses {
            capture: true,
            ..Witnesses::default()
        };
        for (fact, value) in &self.facts {
            row.put(
                *fact,
                Reading {
                    value: Some(value.clone()),
                    records: Vec::new(),
                    witness,
                },
            );
        }
        row
    }

    /// Whether it is about a handshake that failed: as its facts say, else as its rule's phase says.
    pub fn handshake_failed(&self, rule: &Rule) -> bool {
        let result = fact::index("handshake.result");
        self.facts
            .iter()
            .find(|(f, _)| Some(*f) == result)
            .map_or_else(
                || rule.phase == Phase::Handshake,
                |(_, value)| *value != Value::Word("accepted"),
            )
    }
}

/// Weighs every sample against the whole pack: the samples that do not come out as they should.
pub fn check_samples(pack: &Pack) -> Vec<RuleError> {
    let mut out = Vec::new();
    for rule in pack.rules.iter().chain(&pack.own) {
        for sample in &rule.samples {
            let weighed = eval::weigh(pack, &sample.row(), sample.handshake_failed(rule));
            if let Some(message) = wrong(rule, sample, &weighed) {
                out.push(RuleError {
                    code: "R033",
                    path: rule.path.clone(),
                    line: sample.line,
                    column: 1,
                    message,
                    help: standing_help(rule, sample, &weighed),
                });
            }
        }
    }
    out
}

fn wrong(rule: &Rule, sample: &Sample, weighed: &Weighed) -> Option<String> {
    let best = weighed.best.unwrap_or(Cause::Undecided);
    let came = format!("{} ({})", best.id(), weighed.tier.name());
    let own = best == rule.cause && (rule.own.is_none() || weighed.own == rule.own);
    let row = sample.row();
    let refuted = eval::score_of(weighed, rule, &row).is_some_and(|s| s.standing == Standing::Out);
    let held = match sample.expect {
        Expect::Fires => own && weighed.tier >= Tier::Likely,
        Expect::NearMiss => !own,
        Expect::RuledOut => refuted,
        Expect::Undecided => weighed.best.is_none(),
    };
    if !held {
        let wanted = Expect::ALL
            .iter()
            .find(|(_, e)| *e == sample.expect)
            .map_or("", |(n, _)| n);
        return Some(format!(
            "this sample should come out as `{wanted}`, and the verdict is {came}"
        ));
    }
    let like = sample.like?;
    (best != like || weighed.tier < Tier::Possible).then(|| {
        format!(
            "this sample looks like `{}`, and the verdict is {came}",
            like.id()
        )
    })
}

fn standing_help(rule: &Rule, sample: &Sample, weighed: &Weighed) -> Option<String> {
    let row = sample.row();
    let score = eval::score_of(weighed, rule, &row)?;
    let name = |c: &super::rule::Condition| FACTS.get(c.fact).map_or("", |f| f.name);
    Some(match score.standing {
        Standing::Out => match eval::why_out(rule, &row)? {
            WhyOut::Scope(at) => format!(
                "`{}` takes the rule out of scope",
                rule.scope.get(at).map_or("", name)
            ),
            WhyOut::Line(at) => format!(
                "`{}` rules it out",
                rule.evidence.get(at).map_or("", |l| name(&l.condition))
            ),
        },
        Standing::Untestable(_) => format!("too little is shown: {} bits", score.bits),
        Standing::Running => format!("it is {} with {} bits", score.tier.name(), score.bits),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_rule_reads() {
        let mut said = String::new();
        for (path, text) in BUILTIN {
            if let Err(errors) = lint::read(path, text) {
                for e in errors {
                    said.push_str(&format!("{e}\n"));
                }
            }
        }
        assert!(said.is_empty(), "{said}");
    }

    #[test]
    fn every_cause_has_its_rule_and_every_file_is_compiled_in() {
        let pack = Pack::builtin();
        for cause in Cause::ALL {
            assert!(pack.rule(*cause).is_some(), "no rule for {}", cause.id());
        }
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| format!("rules/{}", e.unwrap().file_name().to_string_lossy()))
            .collect();
        let mut known: Vec<String> = BUILTIN.iter().map(|(p, _)| (*p).to_owned()).collect();
        files.sort();
        known.sort();
        assert_eq!(files, known);
        for (path, _) in BUILTIN {
            let rule = pack.rules.iter().find(|r| r.path == *path).unwrap();
            assert_eq!(*path, format!("rules/{}.toml", rule.cause.id()));
        }
    }

    #[test]
    fn every_sample_comes_out_as_it_says() {
        let wrong = check_samples(&Pack::builtin());
        let said: String = wrong.iter().map(|e| format!("{e}\n")).collect();
        assert!(said.is_empty(), "{said}");
    }

    #[test]
    fn no_rules_beat_each_other_in_a_circle() {
        assert_eq!(circles(&Pack::builtin().rules), []);
        let mut rules = Pack::builtin().rules;
        let idle = rules
            .iter_mut()
            .find(|r| r.cause == Cause::IdleTimeout)
            .unwrap();
        idle.beats.push(Cause::MissedHeartbeat);
        let found = circles(&rules);
        assert!(
            found
                .iter()
                .any(|e| e.code == "R032" && e.path.ends_with("idle-timeout.toml")),
            "{found:?}"
        );
    }

    #[test]
    fn a_given_rule_replaces_only_where_it_says_so() {
        let (_, text) = BUILTIN[0];
        let file = |text: String| vec![("mine/idle.toml".to_owned(), text)];
        let errors = Pack::with_dir("mine", &file(text.to_owned())).unwrap_err();
        assert_eq!(errors.iter().map(|e| e.code).collect::<Vec<_>>(), ["R012"]);
        let pack = Pack::with_dir("mine", &file(format!("replaces = true\n{text}"))).unwrap();
        assert_eq!(pack.name, "builtin + mine");
        assert_eq!(pack.rules.len(), BUILTIN.len());
        assert_eq!(
            pack.rule(Cause::IdleTimeout).unwrap().path,
            "mine/idle.toml"
        );
        let errors = Pack::with_dir("mine", &file("code = 5".to_owned())).unwrap_err();
        assert!(errors.len() > 3, "{errors:?}");
    }
}
