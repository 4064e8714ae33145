//! The text of a rule file -> a rule, or every mistake in it with its code, place and a way out.

mod condition;
mod overrides;
#[cfg(test)]
mod table;
mod words;

pub use overrides::{FILE as OVERRIDES, read_overrides};
pub use words::{did_you_mean, edit_distance};

use super::fact::FACTS;
use super::rule::{
    Check, Condition, Contributing, Drill, Expect, Fix, HOPS, Line, Phase, Rule, STACKS, Sample,
    Status, group,
};
use crate::model::Cause;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a rule file. Codes are stable; [`CODES`] lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    pub code: &'static str,
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            path,
            line,
            column,
            message,
            help,
        } = self;
        write!(f, "{path}:{line}:{column}: error[{code}]: {message}")?;
        if let Some(help) = help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleError {}

/// Every code and what it means.
pub const CODES: &[(&str, &str)] = &[
    ("R001", "the file is not TOML"),
    ("R002", "an unknown key"),
    ("R003", "a key is missing"),
    ("R004", "a value of the wrong type"),
    ("R005", "an unknown fact"),
    ("R006", "a word that the fact never takes"),
    ("R007", "an operator that does not fit the fact's type"),
    ("R008", "a duration without a unit, or with an unknown one"),
    ("R009", "an unknown strength"),
    ("R010", "an unknown cause"),
    ("R011", "code and cause do not belong together"),
    ("R012", "a code that another rule has"),
    ("R013", "an unknown row of the runbook"),
    ("R014", "no row of the runbook is cited"),
    (
        "R015",
        "a rule named as its own look-alike, or as one it beats",
    ),
    ("R016", "not exactly one operator"),
    ("R017", "bounds that nothing can meet"),
    ("R018", "not a list of durations"),
    ("R019", "a tolerance that is none"),
    ("R020", "an unknown word for a key"),
    ("R021", "no sample in which the rule fires"),
    ("R022", "no near-miss sample"),
    ("R023", "a look-alike without a sample"),
    ("R024", "an unknown slot in a text"),
    ("R025", "the last wording needs what may be unobserved"),
    ("R026", "not a tag"),
    ("R027", "a group whose lines are not alike"),
    ("R028", "the same line twice"),
    ("R029", "no required evidence"),
    ("R030", "an empty text or list"),
    ("R031", "not a version"),
    ("R032", "rules that beat each other in a circle"),
    ("R033", "a sample that does not come out as expected"),
    ("R034", "a rule that cannot win"),
    ("R035", "an override without a reason"),
    ("R036", "an override that changes nothing"),
    ("R037", "not an address, or not a filter"),
    ("R038", "not a code of a rule of one's own"),
    ("R039", "a line that never changes a verdict"),
    ("R040", "a rule that another one always speaks before"),
    (
        "R041",
        "two rules that hold for one sample, without an order",
    ),
];

const RULE_KEYS: &[&str] = &[
    "code",
    "cause",
    "title",
    "meaning",
    "status",
    "since",
    "phase",
    "replaces",
    "runbook",
    "confused_with",
    "beats",
    "blind_spots",
    "sentence",
    "scope",
    "evidence",
    "contributing",
    "fix",
    "drill",
    "check",
    "sample",
];
const LINE_KEYS: &[&str] = &[
    "fact",
    "is",
    "at_least",
    "at_most",
    "between",
    "near_any",
    "reaches",
    "below",
    "tolerance",
    "ratio",
    "required",
    "if_true",
    "if_false",
    "group",
    "say",
    "say_if_false",
];

/// Reads one rule. `path` is only named in messages.
pub fn read(path: &str, text: &str) -> Result<Rule, Vec<RuleError>> {
    let mut reader = Reader {
        path,
        text,
        errors: Vec::new(),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            let message = format!("this is not TOML: {}", e.message());
            reader.error("R001", e.span().unwrap_or(0..0), message, None);
            return Err(reader.errors);
        }
    };
    let span = 0..0;
    let rule = reader.rule(table.get_ref(), &span);
    reader.errors.sort_by_key(|e| (e.line, e.column, e.code));
    match rule {
        Some(rule) if reader.errors.is_empty() => Ok(rule),
        _ => Err(reader.errors),
    }
}

/// `U410`: a rule of the user's own, beside the built-in one of its cause.
pub fn is_own(code: &str) -> bool {
    code.strip_prefix('U')
        .is_some_and(|n| (1..=4).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
}

type Node<'i> = Spanned<DeValue<'i>>;

struct Reader<'t> {
    path: &'t str,
    text: &'t str,
    errors: Vec<RuleError>,
}

impl Reader<'_> {
    fn line(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Line> {
        self.keys(table, LINE_KEYS, "[[evidence]]");
        let required = self.flag(table, "required");
        let (if_true, if_false) = (
            self.strength(table, "if_true"),
            self.strength(table, "if_false"),
        );
        let group = table.get("group").and_then(|node| self.tag(node, "group"));
        let say = self
            .need_text(table, "say", "[[evidence]]", span)
            .map(str::to_owned);
        let say = say.and_then(|text| {
            self.template(
                &text,
                table.get("say").map_or_else(|| span.clone(), Spanned::span),
            )
        });
        let say_if_false = match table.get("say_if_false") {
            Some(node) => self
                .text(node, "say_if_false")
                .and_then(|t| self.template(t, node.span())),
            None => None,
        };
        let name = self.need_text(table, "fact", "[[evidence]]", span)?;
        let fact = self.fact(
            name,
            table
                .get("fact")
                .map_or_else(|| span.clone(), Spanned::span),
        )?;
        let want = self.want(fact, table, span)?;
        Some(Line {
            at: words::place(self.text, span.start).0,
            condition: Condition { fact, want },
            required,
            if_true,
            if_false,
            group,
            say: say?,
            say_if_false,
        })
    }

    fn tag(&mut self, node: &Node<'_>, key: &str) -> Option<String> {
        let text = self.text(node, key)?;
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            self.error(
                "R026",
                node.span(),
                format!("`{text}` is no tag"),
                Some("lower-case letters, digits and `-`".to_owned()),
            );
            return None;
        }
        Some(text.to_owned())
    }

    fn sample(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Sample> {
        self.keys(table, &["expect", "like", "facts"], "[[sample]]");
        let expect = match table.get("expect") {
            Some(node) => self.word(node, "expect", Expect::ALL),
            None => {
                self.missing(span, "expect", "[[sample]]");
                None
            }
        };
        let like = match table.get("like") {
            Some(node) => self
                .text(node, "like")
                .and_then(|t| self.cause(t, node.span())),
            None => None,
        };
        let Some(node) = table.get("facts") else {
            self.missing(span, "facts", "[[sample]]");
            return None;
        };
        let Some(inner) = node.get_ref().as_table() else {
            self.wrong_type(node, "facts", "a table of facts");
            return None;
        };
        let mut facts = Vec::new();
        for (name, value) in inner {
            let Some(fact) = self.fact(name.get_ref(), name.span()) else {
                continue;
            };
            facts.extend(self.value(fact, value).map(|v| (fact, v)));
        }
        facts.sort_by_key(|(fact, _)| *fact);
        Some(Sample {
            expect: expect?,
            like,
            facts,
            line: words::place(self.text, span.start).0,
        })
    }

    fn fix(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Fix {
        let keys = [
            "runbook",
            "when_hop",
            "when_stack",
            "otherwise",
            "when",
            "say",
        ];
        self.keys(table, &keys, "[[fix]]");
        let hops: Vec<(&'static str, &'static str)> = HOPS.iter().map(|h| (*h, *h)).collect();
        let when_hop = table
            .get("when_hop")
            .and_then(|node| self.word(node, "when_hop", &hops));
        let stacks: Vec<(&'static str, &'static str)> = STACKS.iter().map(|s| (*s, *s)).collect();
        let when_stack = table
            .get("when_stack")
            .and_then(|node| self.word(node, "when_stack", &stacks));
        Fix {
            runbook: self.runbook(table, "[[fix]]", span),
            when_hop,
            when_stack,
            otherwise: self.flag(table, "otherwise"),
            when: self.conditions(table, "when"),
            say: self.templates(table, "say", "[[fix]]", span, true),
        }
    }

    fn rule(&mut self, root: &DeTable<'_>, top: &Range<usize>) -> Option<Rule> {
        self.keys(root, RULE_KEYS, "a rule");
        let of = "a rule";
        let cause = match root.get("cause") {
            Some(node) => self
                .text(node, "cause")
                .and_then(|t| self.cause(t, node.span())),
            None => {
                self.missing(top, "cause", of);
                None
            }
        };
        let mut own = None;
        if let (Some(code), Some(cause)) = (self.need_text(root, "code", of, top), cause)
            && code != cause.code()
        {
            let span = root.get("code").map_or(0..0, Spanned::span);
            if is_own(code) && cause != Cause::Undecided {
                own = Some(code.to_owned());
            } else if code.starts_with('U') {
                self.error(
                    "R038",
                    span,
                    format!("`{code}` is no code for a rule of your own"),
                    Some(
                        "write U and one to four digits, and a cause other than `undecided`"
                            .to_owned(),
                    ),
                );
            } else {
                self.error(
                    "R011",
                    span,
                    format!("`{}` has the code {}, not {code}", cause.id(), cause.code()),
                    Some(format!(
                        "write `code = \"{}\"`, or U and digits for a rule of your own",
                        cause.code()
                    )),
                );
            }
        }
        let title = self.need_text(root, "title", of, top).map(str::to_owned);
        let meaning = self.need_text(root, "meaning", of, top).map(str::to_owned);
        let since = self.need_text(root, "since", of, top).map(str::to_owned);
        if let (Some(since), Some(node)) = (&since, root.get("since"))
            && !(since.split('.').count() == 3
                && since.split('.').all(|n| n.parse::<u32>().is_ok()))
        {
            self.error(
                "R031",
                node.span(),
                format!("`{since}` is no version"),
                Some("write \"0.1.0\"".to_owned()),
            );
        }
        let status = self.need_word(root, "status", Status::ALL, top);
        let phase = self.need_word(root, "phase", Phase::ALL, top);
        let runbook = self.runbook(root, of, top);
        let confused_with = self.causes(root, "confused_with", cause);
        let beats = self.causes(root, "beats", cause);
        let blind_spots = match root.get("blind_spots") {
            Some(node) => self
                .texts(node, "blind_spots")
                .into_iter()
                .map(|(t, _)| t.to_owned())
                .collect(),
            None => Vec::new(),
        };
        let sentence = self.templates(root, "sentence", of, top, true);
        let scope = self.conditions(root, "scope");
        let undecided = cause == Some(Cause::Undecided);
        let evidence = self.evidence(root, top, undecided);

        let mut contributing = Vec::new();
        for (table, span) in self.tables(root, "contributing") {
            self.keys(table, &["tag", "when", "say"], "[[contributing]]");
            let say = match table.get("say") {
                Some(node) => self
                    .text(node, "say")
                    .and_then(|t| self.template(t, node.span())),
                None => None,
            };
            if !table.contains_key("when") {
                self.missing(&span, "when", "[[contributing]]");
            }
            let when = self.conditions(table, "when");
            match table.get("tag") {
                Some(node) => contributing.extend(self.tag(node, "tag").map(|tag| Contributing {
                    tag,
                    when,
                    say,
                })),
                None => self.missing(&span, "tag", "[[contributing]]"),
            }
        }
        let mut fixes = Vec::new();
        for (table, span) in self.tables(root, "fix") {
            fixes.push(self.fix(table, &span));
        }
        if fixes.is_empty() && !undecided {
            self.missing(top, "[[fix]]", of);
        }
        let mut drills = Vec::new();
        for (table, span) in self.tables(root, "drill") {
            self.keys(table, &["runbook", "needs"], "[[drill]]");
            let runbook = self.runbook(table, "[[drill]]", &span);
            let needs = self.templates(table, "needs", "[[drill]]", &span, true);
            drills.extend(
                needs
                    .into_iter()
                    .next()
                    .map(|needs| Drill { runbook, needs }),
            );
        }
        let mut checks = Vec::new();
        for (table, span) in self.tables(root, "check") {
            self.keys(table, &["runbook", "say"], "[[check]]");
            let runbook = self.runbook(table, "[[check]]", &span);
            checks.extend(
                self.need_text(table, "say", "[[check]]", &span)
                    .map(|say| Check {
                        runbook,
                        say: say.to_owned(),
                    }),
            );
        }
        let mut samples = Vec::new();
        let tables = self.tables(root, "sample");
        let whole = tables.len();
        for (table, span) in tables {
            samples.extend(self.sample(table, &span));
        }
        if samples.len() == whole {
            self.sample_set(root, &samples, &confused_with, undecided, top);
        }
        let groups = group(&evidence);
        Some(Rule {
            path: self.path.to_owned(),
            own,
            cause: cause?,
            title: title?,
            meaning: meaning?,
            status: status?,
            since: since?,
            phase: phase?,
            replaces: self.flag(root, "replaces"),
            runbook,
            confused_with,
            beats,
            blind_spots,
            sentence,
            scope,
            groups,
            evidence,
            contributing,
            fixes,
            drills,
            checks,
            samples,
        })
    }

    fn need_word<T: Copy>(
        &mut self,
        root: &DeTable<'_>,
        key: &str,
        known: &[(&'static str, T)],
        top: &Range<usize>,
    ) -> Option<T> {
        let Some(node) = root.get(key) else {
            self.missing(top, key, "a rule");
            return None;
        };
        self.word(node, key, known)
    }

    fn evidence(&mut self, root: &DeTable<'_>, top: &Range<usize>, undecided: bool) -> Vec<Line> {
        let mut out: Vec<Line> = Vec::new();
        let tables = self.tables(root, "evidence");
        let whole = tables.len();
        for (table, span) in tables {
            let Some(line) = self.line(table, &span) else {
                continue;
            };
            if out
                .iter()
                .any(|l| l.condition == line.condition && l.group == line.group)
            {
                self.error(
                    "R028",
                    span.clone(),
                    format!(
                        "the same line about `{}` twice",
                        FACTS[line.condition.fact].name
                    ),
                    None,
                );
            }
            if let Some(other) = out
                .iter()
                .find(|l| l.group.is_some() && l.group == line.group)
                && other.required != line.required
            {
                let group = line.group.as_deref().unwrap_or_default();
                self.error(
                    "R027",
                    span,
                    format!("of group `{group}` one line is required and another is not"),
                    Some("lines of a group stand for each other: mark all, or none".to_owned()),
                );
            }
            out.push(line);
        }
        if undecided || out.len() < whole {
            return out;
        }
        if !out.iter().any(|l| l.required) {
            self.error(
                "R029",
                top.clone(),
                "no evidence line is required: the rule would hold for anything",
                Some("add `required = true`".to_owned()),
            );
        } else if !out.iter().any(|l| l.required && l.if_true.is_some()) {
            self.error(
                "R034",
                top.clone(),
                "no required line carries weight: the rule cannot win",
                Some("give a required line an `if_true`".to_owned()),
            );
        }
        out
    }

    fn sample_set(
        &mut self,
        root: &DeTable<'_>,
        samples: &[Sample],
        confused_with: &[Cause],
        undecided: bool,
        top: &Range<usize>,
    ) {
        if undecided {
            if !samples.iter().any(|s| s.expect == Expect::Undecided) {
                self.error(
                    "R021",
                    top.clone(),
                    "no sample in which nothing wins",
                    Some("add a [[sample]] with `expect = \"undecided\"`".to_owned()),
                );
            }
            return;
        }
        if !samples.iter().any(|s| s.expect == Expect::Fires) {
            self.error(
                "R021",
                top.clone(),
                "no sample in which the rule fires",
                Some("add a [[sample]] with `expect = \"fires\"`".to_owned()),
            );
        }
        if !samples.iter().any(|s| s.expect == Expect::NearMiss) {
            self.error(
                "R022",
                top.clone(),
                "no near-miss sample",
                Some("add a [[sample]] with `expect = \"near-miss\"`".to_owned()),
            );
        }
        for cause in confused_with {
            if !samples.iter().any(|s| s.like == Some(*cause)) {
                let span = root.get("confused_with").map_or(0..0, Spanned::span);
                let help = format!("add a [[sample]] with `like = \"{}\"`", cause.id());
                self.error(
                    "R023",
                    span,
                    format!("the look-alike `{}` has no sample", cause.id()),
                    Some(help),
                );
            }
        }
    }
}
