//! The grammar of rule files -> its JSON Schema, for editors that complete and check TOML while a rule is written.

use super::fact::{FACTS, FactType};
use super::rule::{Expect, HOPS, Phase, STACKS, Status, runbook_rows};
use crate::model::{Cause, Strength};
use serde_json::{Map, Value, json};

/// Draft 2020-12. What it lets pass, `wsdrop rules lint` may still refuse: that knows types of facts and slots of sentences.
pub fn rules() -> Value {
    let text = || json!({"type": "string", "minLength": 1});
    let texts = || json!({"anyOf": [text(), {"type": "array", "items": text(), "minItems": 1}]});
    let rows = json!({"type": "array", "items": {"enum": runbook_rows().collect::<Vec<_>>()}});
    let causes: Vec<&str> = Cause::ALL.iter().map(|c| c.id()).collect();
    let facts: Vec<&str> = FACTS.iter().map(|f| f.name).collect();
    let strengths = [
        Strength::Weak,
        Strength::Moderate,
        Strength::Strong,
        Strength::Decisive,
    ]
    .map(Strength::name);
    let conditions: Map<String, Value> = FACTS
        .iter()
        .map(|f| (f.name.to_owned(), asked(f.kind)))
        .collect();
    let told: Map<String, Value> = FACTS
        .iter()
        .map(|f| (f.name.to_owned(), told(f.kind)))
        .collect();
    let when = json!({"type": "object", "properties": conditions, "additionalProperties": false});
    let mut line = operators();
    for (key, value) in [
        ("fact", json!({"enum": facts})),
        ("required", json!({"type": "boolean"})),
        ("if_true", json!({"enum": strengths})),
        ("if_false", json!({"enum": strengths})),
        ("group", json!({"$ref": "#/$defs/tag"})),
        ("say", text()),
        ("say_if_false", text()),
    ] {
        line.insert(key.to_owned(), value);
    }
    let table = |properties: Value, required: &[&str]| {
        json!({"type": "array", "items": {
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }})
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "wsdrop.rule/1",
        "title": "wsdrop rule",
        "description": "One rule file (TOML) for --rules. Durations carry their unit: 60s, 250ms, 2h.",
        "type": "object",
        "required": ["code", "cause", "title", "meaning", "since", "status", "phase", "sentence"],
        "additionalProperties": false,
        "properties": {
            "code": {"type": "string", "pattern": "^(W[0-9]{3}|U[0-9]{1,4})$"},
            "cause": {"enum": causes},
            "title": text(),
            "meaning": text(),
            "status": {"enum": Status::ALL.iter().map(|s| s.0).collect::<Vec<_>>()},
            "since": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$"},
            "phase": {"enum": Phase::ALL.iter().map(|p| p.0).collect::<Vec<_>>()},
            "replaces": {"type": "boolean"},
            "runbook": rows,
            "confused_with": {"type": "array", "items": {"enum": causes}},
            "beats": {"type": "array", "items": {"enum": causes}},
            "blind_spots": {"type": "array", "items": text()},
            "sentence": texts(),
            "scope": when,
            "evidence": table(Value::Object(line), &["fact", "say"]),
            "contributing": table(json!({"tag": {"$ref": "#/$defs/tag"}, "when": when, "say": text()}), &["tag", "when"]),
            "fix": table(json!({
                "runbook": rows, "when_hop": {"enum": HOPS}, "when_stack": {"enum": STACKS}, "otherwise": {"type": "boolean"},
                "when": when, "say": texts(),
            }), &["say"]),
            "drill": table(json!({"runbook": rows, "needs": texts()}), &["needs"]),
            "check": table(json!({"runbook": rows, "say": text()}), &["say"]),
            "sample": table(json!({
                "expect": {"enum": Expect::ALL.iter().map(|e| e.0).collect::<Vec<_>>()},
                "like": {"enum": causes},
                "facts": {"type": "object", "properties": told, "additionalProperties": false},
            }), &["expect", "facts"]),
        },
        "$defs": {
            "tag": {"type": "string", "pattern": "^[a-z0-9-]+$"},
            "duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h|d)$"},
        },
    })
}

/// What a condition may compare with; which of it fits a fact, its type tells.
fn operators() -> Map<String, Value> {
    let bound = json!({"anyOf": [{"$ref": "#/$defs/duration"}, {"type": "integer"}]});
    let ratio = json!({"type": "number", "exclusiveMinimum": 0});
    let list: Vec<&str> = FACTS
        .iter()
        .filter(|f| matches!(f.kind, FactType::Durations))
        .map(|f| f.name)
        .collect();
    let durations: Vec<&str> = FACTS
        .iter()
        .filter(|f| matches!(f.kind, FactType::Duration))
        .map(|f| f.name)
        .collect();
    let plain = json!({"type": ["boolean", "string", "integer"]});
    let all = [
        (
            "is",
            json!({"anyOf": [plain, {"type": "array", "items": plain, "minItems": 1}]}),
        ),
        ("at_least", bound.clone()),
        ("at_most", bound.clone()),
        (
            "between",
            json!({"type": "array", "items": bound, "minItems": 2, "maxItems": 2}),
        ),
        ("near_any", json!({"enum": list})),
        ("reaches", json!({"enum": durations})),
        ("below", json!({"enum": durations})),
        (
            "tolerance",
            json!({
                "type": "object",
                "properties": {"ratio": ratio, "at_least": {"$ref": "#/$defs/duration"}},
                "additionalProperties": false,
            }),
        ),
        ("ratio", ratio),
    ];
    all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// A condition of `scope` and `when`: the value itself, several of them, or an operator.
fn asked(kind: FactType) -> Value {
    let operators =
        json!({"type": "object", "properties": operators(), "additionalProperties": false});
    let one = value(kind);
    json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}, operators]})
}

/// What a sample says of a fact.
fn told(kind: FactType) -> Value {
    match kind {
        FactType::Durations => json!({"type": "array"}),
        kind => value(kind),
    }
}

fn value(kind: FactType) -> Value {
    match kind {
        FactType::Bool => json!({"type": "boolean"}),
        FactType::Duration => json!({"$ref": "#/$defs/duration"}),
        FactType::Count => json!({"type": "integer"}),
        FactType::Word(words) => json!({"enum": words}),
        FactType::Durations => json!({"type": "array", "items": {"$ref": "#/$defs/duration"}}),
    }
}
