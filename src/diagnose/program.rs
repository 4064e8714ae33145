//! The rules of a pack -> their distinct conditions, each asked once of a row, and what each rule makes of the answers.

use super::eval::{self, POSSIBLE_BITS, Score, Standing};
use super::fact::{FACTS, FactType, Row, Value, Witnesses};
use super::rule::{Condition, Phase, Rule, Want};
use crate::model::{Cause, Strength, Tier, Truth};

/// 64 conditions each; the built-in pack fills half of them. A power of two, so that an index needs no check.
const WORDS: usize = 8;
const BITS: usize = 64;

/// The place of one condition among the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    word: u16,
    bit: u64,
}

/// What one value of a fact says to all conditions about it.
#[derive(Debug, Clone, Copy, Default)]
struct Answer {
    word: u16,
    shown: u64,
    refuted: u64,
}

/// What a row says to every condition: neither bit is set where nothing shows it.
struct Answers {
    shown: [u64; WORDS],
    refuted: [u64; WORDS],
}

impl Answers {
    const fn shown(&self, at: Place) -> bool {
        self.shown[at.word as usize % WORDS] & at.bit != 0
    }
    const fn refuted(&self, at: Place) -> bool {
        self.refuted[at.word as usize % WORDS] & at.bit != 0
    }
    const fn answered(&self, at: Place) -> bool {
        let word = at.word as usize % WORDS;
        (self.shown[word] | self.refuted[word]) & at.bit != 0
    }
    fn add(&mut self, answer: Answer) {
        self.shown[usize::from(answer.word) % WORDS] |= answer.shown;
        self.refuted[usize::from(answer.word) % WORDS] |= answer.refuted;
    }
}

/// A line of evidence.
#[derive(Debug, Clone, Copy)]
struct Member {
    at: Place,
    /// Its index in the rule's `evidence`.
    line: u16,
    if_true: Option<Strength>,
    if_false: Option<Strength>,
}

/// Lines that stand for one thing.
#[derive(Debug, Clone)]
struct Group {
    members: Box<[Member]>,
    /// All its members, a mask for each word: most groups of most rows have no answer at all. `None`: they lie in too many words.
    reach: Option<[Place; 2]>,
    first: usize,
    required: bool,
}

#[derive(Debug, Clone)]
struct Compiled {
    /// Its index among the rules of the pack.
    rule: usize,
    cause: Cause,
    phase: Phase,
    /// Answers that take it out wherever they are refuted: its scope, and lines that no other one of their group can save.
    fatal: Box<[Place]>,
    groups: Box<[Group]>,
}

/// A pack made ready for weighing many rows.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// By fact: what `false` and what `true` say.
    bools: Vec<[Answer; 2]>,
    /// By fact: what each of its words says.
    words: Vec<Box<[(&'static str, Answer)]>>,
    /// By fact: conditions that compare.
    others: Vec<Box<[(Place, Condition)]>>,
    /// Facts that any condition asks, by how they are looked up: one bit each.
    of_bools: u128,
    of_words: u128,
    of_others: u128,
    rules: Vec<Compiled>,
    /// By cause: those it beats, one bit each.
    beats: Vec<u64>,
}

// A bit for each cause.
const _: () = assert!(Cause::ALL.len() <= 64);

impl Program {
    /// `None` where there are more conditions than fit.
    pub(super) fn new(rules: &[Rule], asked: impl Fn(&Rule) -> bool) -> Option<Self> {
        let in_force = || rules.iter().enumerate().filter(|(_, r)| asked(r));
        // By fact: each condition once.
        let mut places: Vec<Vec<(&Condition, Place)>> = vec![Vec::new(); FACTS.len()];
        for (_, rule) in in_force() {
            let lines = rule.evidence.iter().map(|l| &l.condition);
            for condition in rule.scope.iter().chain(lines) {
                let of_fact = places.get_mut(condition.fact)?;
                if !of_fact.iter().any(|(known, _)| *known == condition) {
                    of_fact.push((condition, Place { word: 0, bit: 0 }));
                }
            }
        }
        let mut next = 0;
        for of_fact in &mut places {
            // The conditions of one fact lie in one word.
            if next % BITS + of_fact.len() > BITS {
                next = next.next_multiple_of(BITS);
            }
            if of_fact.len() > BITS || next + of_fact.len() > WORDS * BITS {
                return None;
            }
            for (_, place) in of_fact {
                place.word = u16::try_from(next / BITS).ok()?;
                place.bit = 1 << (next % BITS);
                next += 1;
            }
        }
        let mut program = Self {
            bools: vec![[Answer::default(); 2]; FACTS.len()],
            words: vec![Box::default(); FACTS.len()],
            others: vec![Box::default(); FACTS.len()],
            of_bools: 0,
            of_words: 0,
            of_others: 0,
            rules: Vec::new(),
            beats: vec![0; Cause::ALL.len()],
        };
        for of_fact in places.iter().filter(|all| !all.is_empty()) {
            program.fact(of_fact)?;
        }
        let place = |condition: &Condition| {
            let mut all = places.get(condition.fact)?.iter();
            all.find(|(c, _)| *c == condition).map(|(_, place)| *place)
        };
        for (rule, r) in in_force() {
            program.rules.push(compile(rule, r, place)?);
        }
        for rule in rules {
            if let Some(beats) = program.beats.get_mut(rule.cause as usize) {
                *beats = rule
                    .beats
                    .iter()
                    .fold(0, |bits, c| bits | (1 << (*c as u32)));
            }
        }
        Some(program)
    }

    fn fact(&mut self, conditions: &[(&Condition, Place)]) -> Option<()> {
        let fact = conditions.first()?.0.fact;
        let answer = |holds: &dyn Fn(&Want) -> bool| {
            let mut answer = Answer::default();
            for (condition, place) in conditions {
                answer.word = place.word;
                if holds(&condition.want) {
                    answer.shown |= place.bit;
                } else {
                    answer.refuted |= place.bit;
                }
            }
            answer
        };
        match FACTS.get(fact)?.kind {
            FactType::Bool => {
                let of = |value: bool| answer(&|want| *want == Want::Bool(value));
                *self.bools.get_mut(fact)? = [of(false), of(true)];
                self.of_bools |= 1 << fact;
            }
            FactType::Word(words) => {
                let of = |word: &'static str| {
                    let holds =
                        |want: &Want| matches!(want, Want::Words(all) if all.contains(&word));
                    (word, answer(&holds))
                };
                *self.words.get_mut(fact)? = words.iter().map(|w| of(w)).collect();
                self.of_words |= 1 << fact;
            }
            FactType::Duration | FactType::Count | FactType::Durations => {
                let all = conditions
                    .iter()
                    .map(|(condition, place)| (*place, (*condition).clone()));
                *self.others.get_mut(fact)? = all.collect();
                self.of_others |= 1 << fact;
            }
        }
        Some(())
    }

    fn ask(&self, row: &Row) -> Answers {
        let mut answers = Answers {
            shown: [0; WORDS],
            refuted: [0; WORDS],
        };
        let observed = row.observed();
        // Kind after kind: what branches then goes the same way.
        for fact in Ones(observed & self.of_bools) {
            if let (Some(Value::Bool(is)), Some(said)) =
                (eval::value(row, fact), self.bools.get(fact))
            {
                answers.add(said[usize::from(*is)]);
            }
        }
        for fact in Ones(observed & self.of_words) {
            if let (Some(Value::Word(is)), Some(words)) =
                (eval::value(row, fact), self.words.get(fact))
                && let Some((_, said)) = words.iter().find(|(word, _)| word == is)
            {
                answers.add(*said);
            }
        }
        for fact in Ones(observed & self.of_others) {
            for (place, condition) in self.others.get(fact).map_or(&[][..], |all| all) {
                let word = usize::from(place.word) % WORDS;
                match eval::truth(condition, row) {
                    Truth::Shown => answers.shown[word] |= place.bit,
                    Truth::Refuted => answers.refuted[word] |= place.bit,
                    Truth::Unobserved => {}
                }
            }
        }
        answers
    }

    /// Every rule that is asked about such a connection: those in the running first, each part in the order of the rules; and how many of
    /// them are in the running.
    pub(super) fn scores(
        &self,
        rules: &[Rule],
        row: &Row,
        handshake_failed: bool,
    ) -> (Vec<Score>, usize) {
        let answers = self.ask(row);
        let mut scores = Vec::with_capacity(self.rules.len());
        let mut running = 0;
        for compiled in self.rules.iter().filter(|c| c.phase.asks(handshake_failed)) {
            let score = compiled.score(&answers, rules, row);
            if score.standing == Standing::Running {
                scores.insert(running, score);
                running += 1;
            } else {
                scores.push(score);
            }
        }
        (scores, running)
    }

    pub(super) fn beats(&self, cause: Cause, other: Cause) -> bool {
        let beaten = self.beats.get(cause as usize).copied().unwrap_or(0);
        (beaten >> (other as u32)) & 1 == 1
    }
}

fn compile(rule: usize, r: &Rule, place: impl Fn(&Condition) -> Option<Place>) -> Option<Compiled> {
    let mut groups = Vec::with_capacity(r.groups.len());
    let mut fatal: Vec<Place> = r.scope.iter().map(&place).collect::<Option<_>>()?;
    for members in &r.groups {
        let first = *members.first()?;
        let required = r.evidence.get(first)?.required;
        let member = |&at: &usize| {
            let line = r.evidence.get(at)?;
            Some(Member {
                at: place(&line.condition)?,
                line: u16::try_from(at).ok()?,
                if_true: line.if_true,
                if_false: line.if_false,
            })
        };
        let members: Box<[Member]> = members.iter().map(member).collect::<Option<_>>()?;
        if let [only] = &*members
            && (required || only.if_false == Some(Strength::Decisive))
        {
            fatal.push(only.at);
        }
        let nowhere = Place { word: 0, bit: 0 };
        let reach = match *merged(members.iter().map(|m| m.at).collect()) {
            [one] => Some([one, nowhere]),
            [one, other] => Some([one, other]),
            _ => None,
        };
        groups.push(Group {
            members,
            reach,
            first,
            required,
        });
    }
    Some(Compiled {
        rule,
        cause: r.cause,
        phase: r.phase,
        fatal: merged(fatal),
        groups: groups.into(),
    })
}

/// One mask for each word.
fn merged(mut places: Vec<Place>) -> Box<[Place]> {
    places.sort_unstable_by_key(|p| p.word);
    places
        .chunk_by(|a, b| a.word == b.word)
        .filter_map(|same| {
            let word = same.first()?.word;
            let bit = same.iter().fold(0, |bits, p| bits | p.bit);
            Some(Place { word, bit })
        })
        .collect()
}

impl Compiled {
    /// The same as [`eval::score`] makes of the rule's own lines.
    fn score(&self, answers: &Answers, rules: &[Rule], row: &Row) -> Score {
        let scored = |standing, tier, bits| Score {
            cause: self.cause,
            standing,
            tier,
            bits,
        };
        let out = scored(Standing::Out, Tier::Undecided, 0);
        if self.fatal.iter().any(|m| answers.refuted(*m)) {
            return out;
        }
        let (mut bits, mut missing, mut seen, mut doubt) = (0, None, false, false);
        for group in &self.groups {
            if let Some([one, other]) = group.reach
                && !answers.answered(one)
                && !answers.answered(other)
            {
                if group.required {
                    missing = missing.or(Some(group.first));
                }
                continue;
            }
            let (mut strongest, mut against) = (None, None);
            let (mut shown, mut refuted) = (false, 0);
            let mut decisive = false;
            for m in &group.members {
                if answers.shown(m.at) {
                    shown = true;
                    strongest = strongest.max(m.if_true);
                } else if answers.refuted(m.at) {
                    refuted += 1;
                    against = against.max(m.if_false);
                    decisive |= m.if_false == Some(Strength::Decisive);
                }
            }
            if decisive && strongest < Some(Strength::Strong) {
                return out;
            }
            if shown {
                seen = true;
                bits += eval::strength_bits(strongest);
                continue;
            }
            if group.required {
                if refuted == group.members.len() {
                    return out;
                }
                missing = missing.or(Some(group.first));
            }
            bits -= eval::strength_bits(against);
            doubt |= against >= Some(Strength::Strong);
        }
        let tier = match missing {
            None if bits >= Strength::Moderate.bits() => {
                if !doubt && self.agreed(answers, rules, row) {
                    Tier::Certain
                } else {
                    Tier::Likely
                }
            }
            _ if seen && bits >= POSSIBLE_BITS => Tier::Possible,
            _ => return scored(Standing::Untestable(missing), Tier::Undecided, bits),
        };
        scored(Standing::Running, tier, bits)
    }

    /// Independent sources stand behind what is shown, or a capture behind what decides it.
    fn agreed(&self, answers: &Answers, rules: &[Rule], row: &Row) -> bool {
        let Some(rule) = rules.get(self.rule) else {
            return false;
        };
        let mut ground = Witnesses::default();
        for m in self.groups.iter().flat_map(|g| &g.members) {
            // Lines without weight are told, and carry nothing.
            if m.if_true.is_some()
                && answers.shown(m.at)
                && let Some(line) = rule.evidence.get(usize::from(m.line))
            {
                let witness = eval::witnesses(&line.condition, row);
                ground = ground.and(witness);
                if ground.count() >= 2 || m.if_true == Some(Strength::Decisive) && witness.capture {
                    return true;
                }
            }
        }
        false
    }
}

/// The places of the ones, from the lowest.
struct Ones(u128);

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let at = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(at as usize)
    }
}
