//! `describe-load-balancer-attributes` of an AWS load balancer -> its idle time-out.

use super::ConfigSummary;
use crate::model::{HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind};
use serde_json::Value;

const IDLE: &str = "idle_timeout.timeout_seconds";

pub(super) fn sniff(text: &str) -> bool {
    if !text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    serde_json::from_str::<Value>(text).is_ok_and(|v| attributes(&v).is_some() || balancers(&v))
}

/// The attributes, where the document is a list of them: `{"Attributes": [{"Key", "Value"}]}`, or the bare list that `--query Attributes` prints.
fn attributes(document: &Value) -> Option<&Vec<Value>> {
    let list = document
        .get("Attributes")
        .unwrap_or(document)
        .as_array()
        .filter(|l| !l.is_empty())?;
    list.iter()
        .all(|a| a.get("Key").is_some_and(Value::is_string) && a.get("Value").is_some())
        .then_some(list)
}

/// `describe-load-balancers`: known, but it names no time-out.
fn balancers(document: &Value) -> bool {
    document
        .get("LoadBalancers")
        .and_then(Value::as_array)
        .is_some_and(|l| l.iter().any(|b| b.get("LoadBalancerArn").is_some()))
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        summary.note(
            "bad-json",
            0,
            "this is not one JSON document; nothing was read",
        );
        return;
    };
    let Some(list) = attributes(&document) else {
        if balancers(&document) {
            summary.note(
                "no-timeouts",
                0,
                "describe-load-balancers names no time-outs; ask for describe-load-balancer-attributes",
            );
        }
        return;
    };
    let Some(value) = list
        .iter()
        .find(|a| a.get("Key").and_then(Value::as_str) == Some(IDLE))
        .and_then(|a| a.get("Value"))
    else {
        return;
    };
    let quoted = format!("\"{IDLE}\"");
    let line = text
        .lines()
        .position(|l| l.contains(&quoted))
        .map_or(1, |n| n as u64 + 1);
    let seconds = match value {
        Value::String(s) => s.trim().parse::<i64>().ok(),
        other => other.as_i64(),
    };
    let Some(value_ns) = seconds
        .filter(|s| *s > 0)
        .and_then(|s| s.checked_mul(SECOND_NS))
    else {
        summary.bad_value(line);
        return;
    };
    summary.settings.push(HopSettings {
        source,
        hop: HopKind::Alb,
        listen: Vec::new(),
        routes: vec![Route {
            prefix: String::new(),
            exact: false,
            name: "load balancer".to_owned(),
            line: Some(line),
            timeouts: vec![Timeout {
                kind: TimeoutKind::Idle,
                directive: IDLE.to_owned(),
                value_ns,
                line: Some(line),
            }],
            upstreams: Vec::new(),
            upgrade: None,
        }],
    });
}
