//! Malformed rules -> the mistake that each must be refused with: code, place, advice.

use super::{CODES, RuleError, did_you_mean, edit_distance};
use crate::diagnose::lint;

/// A rule with nothing wrong, to be spoilt one place at a time.
const GOOD: &str = r#"code = "W101"
cause = "idle-timeout"
title = "T"
meaning = "M"
status = "stable"
since = "0.1.0"
phase = "established"
runbook = ["Q1", "C1"]
confused_with = ["missed-heartbeat"]
beats = ["lifetime-cap"]
blind_spots = ["B"]
sentence = ["{hop} after {timeout}", "{hop} closed it"]

[scope]
"close.frame" = false

[[evidence]]
fact = "idle.gap_before_close"
near_any = "timeouts.known"
tolerance = { ratio = 0.02, at_least = "500ms" }
required = true
if_true = "decisive"
group = "silence"
say = "silence of {value} equals {nearest}"

[[evidence]]
fact = "close.side"
is = ["proxy", "server"]
if_false = "strong"
say = "ended by the {value}"

[[evidence]]
fact = "heartbeat.unanswered"
at_least = 1
say = "{value} pings"

[[evidence]]
fact = "heartbeat.period"
between = ["1s", "5m"]
say = "every {value}"

[[contributing]]
tag = "no-heartbeat"
when = { "heartbeat.seen" = false }

[[fix]]
runbook = ["X1"]
when_hop = "nginx"
say = "do it"

[[drill]]
runbook = ["D1"]
needs = "a capture of {hop}"

[[check]]
runbook = ["F1"]
say = "look"

[[sample]]
expect = "fires"
facts = { "idle.gap_before_close" = "60s", "timeouts.known" = ["60s"] }

[[sample]]
expect = "near-miss"
facts = { "close.code" = 1000, "close.side" = "client" }

[[sample]]
expect = "ruled-out"
like = "missed-heartbeat"
facts = { "heartbeat.unanswered" = 2 }
"#;

fn errors(text: &str) -> Vec<RuleError> {
    lint::read("r.toml", text).err().unwrap_or_default()
}

/// Spoils `from` into `to` and wants `code` at the line where the change begins, with `help` in its advice. What is said of it: the whole
/// of it is a snapshot.
fn check(from: &str, to: &str, code: &str, help: &str) -> String {
    assert!(GOOD.contains(from), "the good rule has no {from:?}");
    let text = GOOD.replacen(from, to, 1);
    let found = errors(&text);
    let said: String = found.iter().map(|e| format!("{e}\n")).collect();
    let Some(error) = found.iter().find(|e| e.code == code) else {
        panic!("{from:?} -> {to:?} should be {code}, and was:\n{said}");
    };
    assert!(
        error.help.clone().unwrap_or_default().contains(help),
        "{from:?} -> {to:?}: no {help:?} in\n{said}"
    );
    for error in &found {
        let line = text.lines().nth(error.line - 1).unwrap_or_default();
        assert!(
            (1..=line.chars().count() + 1).contains(&error.column),
            "no such place:\n{said}"
        );
        assert!(
            error.help.as_ref().is_some_and(|h| !h.is_empty()),
            "no advice:\n{said}"
        );
    }
    let flat = |s: &str| s.replace('\n', "; ");
    format!("{} => {}\n{said}\n", flat(from), flat(to))
}

#[test]
fn the_good_rule_is_read() {
    assert_eq!(errors(GOOD), []);
}

#[test]
fn a_rule_of_ones_own_has_a_code_of_its_own() {
    let rule = lint::read("r.toml", &GOOD.replace("\"W101\"", "\"U7\"")).unwrap();
    assert_eq!((rule.name(), rule.code()), ("U7", "W101"));
}

#[test]
fn every_malformed_rule_is_refused_with_its_code() {
    let table: &[(&str, &str, &str, &str)] = &[
        // syntax and keys
        ("code = \"W101\"", "code = \"W101", "R001", ""),
        ("title = \"T\"", "title = \"T\"\ntitle = \"U\"", "R001", ""),
        (
            "title = \"T\"",
            "titel = \"T\"",
            "R002",
            "did you mean `title`",
        ),
        ("title = \"T\"", "titel = \"T\"", "R003", ""),
        (
            "required = true",
            "requird = true",
            "R002",
            "did you mean `required`",
        ),
        ("when_hop", "when_hops", "R002", "did you mean `when_hop`"),
        (
            "expect = \"fires\"",
            "expects = \"fires\"",
            "R002",
            "did you mean `expect`",
        ),
        (
            "ratio = 0.02",
            "ration = 0.02",
            "R002",
            "did you mean `ratio`",
        ),
        ("needs = \"a capture of {hop}\"", "", "R003", ""),
        ("tag = \"no-heartbeat\"\n", "", "R003", ""),
        ("cause = \"idle-timeout\"\n", "", "R003", ""),
        (
            "[[fix]]\nrunbook = [\"X1\"]\nwhen_hop = \"nginx\"\nsay = \"do it\"\n",
            "",
            "R003",
            "",
        ),
        // types
        ("title = \"T\"", "title = 5", "R004", ""),
        ("required = true", "required = \"yes\"", "R004", ""),
        (
            "\"close.frame\" = false",
            "\"close.frame\" = \"no\"",
            "R004",
            "",
        ),
        ("at_least = 1", "at_least = \"one\"", "R004", ""),
        ("at_least = 1", "at_least = 1.5", "R004", ""),
        ("[[check]]", "[check]", "R004", "[[check]]"),
        ("runbook = [\"Q1\", \"C1\"]", "runbook = 7", "R004", ""),
        (
            "\"close.code\" = 1000",
            "\"close.code\" = \"1000\"",
            "R004",
            "",
        ),
        (
            "\"timeouts.known\" = [\"60s\"]",
            "\"timeouts.known\" = \"60s\"",
            "R004",
            "",
        ),
        (
            "between = [\"1s\", \"5m\"]",
            "between = [\"1s\"]",
            "R004",
            "",
        ),
        // facts, words, operators
        (
            "fact = \"idle.gap_before_close\"",
            "fact = \"idle.gapp_before_close\"",
            "R005",
            "did you mean `idle.gap_before_close`",
        ),
        (
            "\"close.frame\" = false",
            "\"close.frames\" = false",
            "R005",
            "did you mean `close.frame`",
        ),
        (
            "\"heartbeat.seen\" = false",
            "\"heartbeats.seen\" = false",
            "R005",
            "did you mean `heartbeat.seen`",
        ),
        (
            "\"heartbeat.unanswered\" = 2",
            "\"heartbeat.unansweredd\" = 2",
            "R005",
            "did you mean `heartbeat.unanswered`",
        ),
        (
            "is = [\"proxy\", \"server\"]",
            "is = [\"prox\", \"server\"]",
            "R006",
            "did you mean `proxy`",
        ),
        (
            "\"close.side\" = \"client\"",
            "\"close.side\" = \"clinet\"",
            "R006",
            "did you mean `client`",
        ),
        ("is = [\"proxy\", \"server\"]", "at_least = 3", "R007", "is"),
        (
            "at_least = 1",
            "near_any = \"timeouts.known\"",
            "R007",
            "at_least",
        ),
        (
            "between = [\"1s\", \"5m\"]",
            "is = true",
            "R007",
            "at_least",
        ),
        (
            "between = [\"1s\", \"5m\"]",
            "reaches = \"close.code\"",
            "R007",
            "",
        ),
        (
            "between = [\"1s\", \"5m\"]",
            "reaches = \"life.totall\"",
            "R005",
            "did you mean `life.total`",
        ),
        ("at_least = 1", "", "R016", "write one of"),
        (
            "at_least = 1",
            "at_least = 1\nat_most = 3",
            "R016",
            "write one of",
        ),
        (
            "near_any = \"timeouts.known\"",
            "near_any = \"life.total\"",
            "R018",
            "timeouts",
        ),
        (
            "near_any = \"timeouts.known\"",
            "near_any = \"timeouts.knwon\"",
            "R005",
            "did you mean `timeouts.known`",
        ),
        // units and bounds
        (
            "at_least = \"500ms\"",
            "at_least = 500",
            "R008",
            "\"500ms\"",
        ),
        ("at_least = \"500ms\"", "at_least = \"500\"", "R008", "60s"),
        (
            "at_least = \"500ms\"",
            "at_least = \"500 parsecs\"",
            "R008",
            "units",
        ),
        (
            "\"idle.gap_before_close\" = \"60s\"",
            "\"idle.gap_before_close\" = 60",
            "R008",
            "\"60s\"",
        ),
        (
            "\"idle.gap_before_close\" = \"60s\"",
            "\"idle.gap_before_close\" = 60.5",
            "R008",
            "\"60.5s\"",
        ),
        ("[\"1s\", \"5m\"]", "[1, 5]", "R008", ""),
        ("[\"1s\", \"5m\"]", "[\"5m\", \"1s\"]", "R017", "swap"),
        (
            "tolerance = { ratio = 0.02, at_least = \"500ms\" }\n",
            "",
            "R019",
            "tolerance",
        ),
        ("ratio = 0.02", "ratio = 2", "R019", ""),
        ("ratio = 0.02", "ratio = -0.02", "R019", ""),
        ("ratio = 0.02, ", "", "R019", ""),
        ("at_least = 1", "at_least = 1\nratio = 0.5", "R019", ""),
        // words of keys
        (
            "if_true = \"decisive\"",
            "if_true = \"decisiv\"",
            "R009",
            "did you mean `decisive`",
        ),
        ("if_false = \"strong\"", "if_false = 4", "R004", ""),
        (
            "status = \"stable\"",
            "status = \"stabel\"",
            "R020",
            "did you mean `stable`",
        ),
        (
            "phase = \"established\"",
            "phase = \"open\"",
            "R020",
            "known words",
        ),
        (
            "expect = \"near-miss\"",
            "expect = \"near miss\"",
            "R020",
            "did you mean `near-miss`",
        ),
        (
            "when_hop = \"nginx\"",
            "when_hop = \"ngnix\"",
            "R020",
            "did you mean `nginx`",
        ),
        ("since = \"0.1.0\"", "since = \"soon\"", "R031", "0.1.0"),
        // causes and codes
        (
            "cause = \"idle-timeout\"",
            "cause = \"idle-time-out\"",
            "R010",
            "did you mean `idle-timeout`",
        ),
        ("code = \"W101\"", "code = \"W102\"", "R011", "W101"),
        ("code = \"W101\"", "code = \"U12345\"", "R038", "digits"),
        ("code = \"W101\"", "code = \"Uncle\"", "R038", "digits"),
        (
            "confused_with = [\"missed-heartbeat\"]",
            "confused_with = [\"missed-heartbeats\"]",
            "R010",
            "did you mean `missed-heartbeat`",
        ),
        (
            "confused_with = [\"missed-heartbeat\"]",
            "confused_with = [\"idle-timeout\"]",
            "R015",
            "",
        ),
        (
            "beats = [\"lifetime-cap\"]",
            "beats = [\"idle-timeout\"]",
            "R015",
            "",
        ),
        (
            "beats = [\"lifetime-cap\"]",
            "beats = [\"W102\"]",
            "R010",
            "",
        ),
        (
            "like = \"missed-heartbeat\"",
            "like = \"missed\"",
            "R010",
            "",
        ),
        // the runbook
        ("runbook = [\"Q1\", \"C1\"]\n", "", "R014", "runbook"),
        (
            "runbook = [\"Q1\", \"C1\"]",
            "runbook = [\"Q77\"]",
            "R013",
            "",
        ),
        ("runbook = [\"X1\"]\n", "", "R014", ""),
        (
            "runbook = [\"F1\"]",
            "runbook = [\"f1\"]",
            "R013",
            "did you mean `F1`",
        ),
        ("runbook = [\"Q1\", \"C1\"]", "runbook = []", "R030", ""),
        // texts
        ("say = \"look\"", "say = \"\"", "R030", ""),
        (
            "ended by the {value}",
            "ended by the {valeu}",
            "R024",
            "did you mean `{value}`",
        ),
        (
            "a capture of {hop}",
            "a capture of {hopp}",
            "R024",
            "did you mean `{hop}`",
        ),
        (
            "say = \"do it\"",
            "say = \"do it in {value}\"",
            "R024",
            "{timeout}",
        ),
        ("every {value}", "every {value", "R024", ""),
        (
            "\"{hop} closed it\"]",
            "\"{hop} closed it after {timeout}\"]",
            "R025",
            "wording",
        ),
        (
            "say = \"do it\"",
            "say = \"ping every {timeout/2}\"",
            "R025",
            "wording",
        ),
        (
            "tag = \"no-heartbeat\"",
            "tag = \"No heartbeat\"",
            "R026",
            "lower-case",
        ),
        // the whole
        (
            "say = \"ended by the {value}\"",
            "group = \"silence\"\nsay = \"x\"",
            "R027",
            "all, or none",
        ),
        (
            "[[contributing]]",
            "[[evidence]]\nfact = \"heartbeat.unanswered\"\nat_least = 1\nsay = \"again\"\n\n[[contributing]]",
            "R028",
            "",
        ),
        ("required = true\n", "", "R029", "required"),
        ("if_true = \"decisive\"\n", "", "R034", "if_true"),
        (
            "expect = \"fires\"",
            "expect = \"undecided\"",
            "R021",
            "fires",
        ),
        (
            "expect = \"near-miss\"",
            "expect = \"ruled-out\"",
            "R022",
            "near-miss",
        ),
        (
            "like = \"missed-heartbeat\"\n",
            "",
            "R023",
            "like = \"missed-heartbeat\"",
        ),
    ];
    assert!(table.len() >= 60);
    let said: String = table
        .iter()
        .map(|(from, to, code, help)| check(from, to, code, help))
        .collect();
    insta::assert_snapshot!("malformed-rules", said);
    // R012, R032, R033 and R039 to R041 need a pack, R035 to R037 are those of overrides: they have their tests there.
    for (code, _) in CODES {
        let elsewhere = [
            "R012", "R032", "R033", "R035", "R036", "R037", "R039", "R040", "R041",
        ]
        .contains(code);
        assert!(
            elsewhere || table.iter().any(|row| row.2 == *code),
            "{code} has no malformed rule"
        );
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text = GOOD
        .replace("status = \"stable\"", "status = \"x\"")
        .replace("at_least = 1\n", "  at_least = \"1\"\n");
    let found: Vec<String> = errors(&text)
        .iter()
        .map(|e| e.to_string().lines().next().unwrap_or("").to_owned())
        .collect();
    assert_eq!(
        found,
        [
            "r.toml:5:10: error[R020]: `status` is never `x`",
            "r.toml:34:14: error[R004]: `at_least` is a whole number, not string",
        ]
    );
}

#[test]
fn columns_count_characters() {
    let text = GOOD.replace("title = \"T\"", "title = \"T\" # ä\n\"ö\" = 1");
    let found = errors(&text);
    assert_eq!(
        found
            .iter()
            .map(|e| (e.code, e.line, e.column))
            .collect::<Vec<_>>(),
        [("R002", 4, 1)]
    );
}

#[test]
fn hostile_texts_end_in_errors() {
    for text in [
        "",
        "\u{0}",
        "[[evidence]]\n",
        "evidence = 5",
        "sample = [1, 2]",
        "scope = []",
        "a.b.c = {",
        "code = [[]]",
        "\u{feff}code = 1",
    ] {
        assert!(!errors(text).is_empty(), "{text:?}");
    }
}

#[test]
fn distances_between_words() {
    for (a, b, expected) in [
        ("", "", 0),
        ("a", "", 1),
        ("abc", "abc", 0),
        ("abc", "acb", 1),
        ("kitten", "sitting", 3),
        ("ä", "a", 1),
    ] {
        assert_eq!(edit_distance(a, b), expected, "{a} {b}");
        assert_eq!(edit_distance(b, a), expected, "{b} {a}");
    }
    assert_eq!(did_you_mean("zzzzzz", ["abc", "def"]), None);
    assert_eq!(
        did_you_mean("clse.side", ["close.side", "close.code"]),
        Some("close.side")
    );
}
