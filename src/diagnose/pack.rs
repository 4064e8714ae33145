//! Rule files, built in and given -> the pack in force, or every mistake in them.

use super::lint::{self, RuleError};
use super::rule::{Rule, Status};
use crate::model::Cause;

/// The rules in force, one per cause at most, in order of their codes.
#[derive(Debug)]
pub struct Pack {
    /// `builtin`, or `builtin + dir`.
    pub name: String,
    pub rules: Vec<Rule>,
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
            .iter()
            .filter_map(|(path, text)| lint::read(path, text).ok())
            .collect();
        Self::of("builtin".to_owned(), rules)
    }

    /// The built-in rules and those of `files`, each `(path, text)`. A rule with `replaces = true` stands in for the
    /// built-in one of its code; any other code that is taken is a mistake.
    pub fn with_dir(name: &str, files: &[(String, String)]) -> Result<Self, Vec<RuleError>> {
        let mut pack = Self::builtin();
        let mut given: Vec<Rule> = Vec::new();
        let mut errors = Vec::new();
        for (path, text) in files {
            match lint::read(path, text) {
                Ok(rule) => given.push(rule),
                Err(found) => errors.extend(found),
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
            Ok(Self::of(format!("builtin + {name}"), pack.rules))
        } else {
            Err(errors)
        }
    }

    fn of(name: String, mut rules: Vec<Rule>) -> Self {
        rules.sort_by_key(Rule::code);
        Self { name, rules }
    }

    pub fn rule(&self, cause: Cause) -> Option<&Rule> {
        self.rules.iter().find(|r| r.cause == cause)
    }

    /// By code or cause id, in any case.
    pub fn find(&self, name: &str) -> Option<&Rule> {
        self.rule(Cause::parse(&name.to_ascii_lowercase())?)
    }

    /// The rules that are asked: neither deprecated nor `undecided`.
    pub fn asked(&self) -> impl Iterator<Item = &Rule> {
        self.rules
            .iter()
            .filter(|r| r.status != Status::Deprecated && r.cause != Cause::Undecided)
    }
}

fn taken(rule: &Rule, other: &Rule) -> RuleError {
    RuleError {
        code: "R012",
        path: rule.path.clone(),
        line: 1,
        column: 1,
        message: format!("the code {} is taken by {}", rule.code(), other.path),
        help: Some(
            "write `replaces = true` where it should stand in for the built-in rule".to_owned(),
        ),
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
