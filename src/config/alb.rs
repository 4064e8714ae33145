//! What `aws elbv2 describe-load-balancer-attributes` prints -> the idle time-out of a load balancer.

use super::ConfigSummary;
use crate::model::{HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind};

pub(super) fn fits(text: &str) -> bool {
    text.trim_start().starts_with('{')
        && text.contains("\"Attributes\"")
        && text.contains("\"Key\"")
        && text.contains("\"Value\"")
}

/// AWS, "Edit attributes for your Application Load Balancer": 60 unless set.
const DEFAULT_S: i64 = 60;

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let value: serde_json::Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(e) => {
            summary.odd(
                "odd-json",
                e.line() as u64,
                "no whole JSON: nothing was read from here on",
            );
            return;
        }
    };
    let Some(list) = value.get("Attributes").and_then(|a| a.as_array()) else {
        summary.odd("odd-json", 1, "no list named Attributes");
        return;
    };
    let seconds = |key: &str| {
        let entry = list
            .iter()
            .find(|a| a.get("Key").and_then(|k| k.as_str()) == Some(key))?;
        let value = entry.get("Value")?;
        let seconds = value
            .as_i64()
            .or_else(|| value.as_str()?.trim().parse().ok())?;
        Some((seconds.checked_mul(SECOND_NS)?, line_of(text, key)))
    };
    let has = |key: &str| {
        list.iter()
            .any(|a| a.get("Key").and_then(|k| k.as_str()) == Some(key))
    };
    let mut timeouts = Vec::new();
    let mut add = |kind, directive: &str, value: Option<(i64, u64)>| {
        if let Some((value_ns, line)) = value {
            timeouts.push(Timeout {
                kind,
                directive: directive.to_owned(),
                value_ns,
                line: (line > 0).then_some(line),
            });
        }
    };
    // Listeners of a network load balancer have their own key, target groups theirs.
    let (hop, idle) = if has("tcp.idle_timeout.seconds") {
        (HopKind::Proxy, "tcp.idle_timeout.seconds")
    } else {
        (HopKind::Alb, "idle_timeout.timeout_seconds")
    };
    let target_group = has("deregistration_delay.timeout_seconds") && !has(idle);
    let found = seconds(idle);
    if has(idle) && found.is_none() {
        summary.odd("odd-directive", line_of(text, idle), "a time that is none");
    }
    let found = found
        .or_else(|| (hop == HopKind::Alb && !target_group).then_some((DEFAULT_S * SECOND_NS, 0)));
    add(TimeoutKind::Idle, idle, found);
    if hop == HopKind::Alb {
        // "504: no answer within the idle time-out".
        add(TimeoutKind::Handshake, idle, found);
    }
    add(
        TimeoutKind::Drain,
        "deregistration_delay.timeout_seconds",
        seconds("deregistration_delay.timeout_seconds"),
    );
    let route = Route {
        prefix: String::new(),
        exact: false,
        name: if target_group {
            "target group"
        } else {
            "load balancer"
        }
        .to_owned(),
        line: found.map(|(_, line)| line).filter(|line| *line > 0),
        timeouts,
        upstreams: Vec::new(),
        upgrade: None,
    };
    summary.settings.push(HopSettings {
        source,
        hop,
        listen: Vec::new(),
        routes: vec![route],
    });
}

/// The line of a key's value: AWS prints `Key` and `Value` of an attribute in this order.
fn line_of(text: &str, key: &str) -> u64 {
    let Some(at) = text.find(&format!("\"{key}\"")) else {
        return 0;
    };
    let value = text[at..].find("\"Value\"").map_or(at, |n| at + n);
    text[..value].matches('\n').count() as u64 + 1
}
