//! What the AWS CLI tells of load balancers, listeners and target groups (`describe-*-attributes`) -> their time-outs.

use super::ConfigSummary;
use super::yaml::{Node, Value, parse};
use crate::model::{HopKind, HopSettings, Route, SECOND_NS, SourceId, Timeout, TimeoutKind};

/// Attributes that end connections: key, whose, what they limit, the name of the place (elbv2 API reference).
const ATTRIBUTES: &[(&str, HopKind, TimeoutKind, &str)] = &[
    (
        "idle_timeout.timeout_seconds",
        HopKind::Alb,
        TimeoutKind::Idle,
        "load balancer",
    ),
    (
        "tcp.idle_timeout.seconds",
        HopKind::Nlb,
        TimeoutKind::Idle,
        "listener",
    ),
    (
        "deregistration_delay.timeout_seconds",
        HopKind::Alb,
        TimeoutKind::Drain,
        "target group",
    ),
];

/// Lists of `describe-*` that name no time-out, each with a key that its members have.
const WITHOUT: &[(&str, &str)] = &[
    ("LoadBalancers", "LoadBalancerArn"),
    ("LoadBalancerDescriptions", "LoadBalancerName"),
    ("Listeners", "ListenerArn"),
    ("TargetGroups", "TargetGroupArn"),
];

pub(super) fn sniff(text: &str) -> bool {
    if !text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    let named = ["\"Key\"", "\"LoadBalancerAttributes\""]
        .into_iter()
        .chain(WITHOUT.iter().map(|(list, _)| *list))
        .any(|word| text.contains(word));
    named
        && serde_json::from_str::<serde_json::Value>(text).is_ok()
        && parse(text)
            .is_some_and(|d| attributes(&d).is_some() || classic(&d).is_some() || without(&d))
}

/// `{"Attributes": [{"Key", "Value"}]}`, or the bare list that `--query Attributes` prints.
fn attributes(document: &Node) -> Option<&[Node]> {
    let list = document.get("Attributes").unwrap_or(document).list();
    let all = !list.is_empty()
        && list
            .iter()
            .all(|a| a.get("Key").and_then(Node::text).is_some() && a.get("Value").is_some());
    all.then_some(list)
}

/// `aws elb describe-load-balancer-attributes`: the attributes of a Classic Load Balancer.
fn classic(document: &Node) -> Option<&Node> {
    document
        .get("LoadBalancerAttributes")
        .filter(|a| matches!(a.value, Value::Map(_)))
}

fn without(document: &Node) -> bool {
    WITHOUT.iter().any(|(list, key)| {
        document
            .get(list)
            .is_some_and(|l| l.list().iter().any(|b| b.get(key).is_some()))
    })
}

pub(super) fn read(source: SourceId, text: &str, summary: &mut ConfigSummary) {
    let Some(document) = parse(text) else {
        return;
    };
    let mut found: Vec<(HopKind, Route)> = Vec::new();
    if let Some(list) = attributes(&document) {
        for a in list {
            let key = a.get("Key").and_then(Node::text).unwrap_or_default();
            let known = ATTRIBUTES.iter().find(|(name, ..)| *name == key);
            if let (Some((directive, hop, kind, place)), Some(value)) = (known, a.get("Value")) {
                let line = a.get("Key").map_or(value.line, |k| k.line);
                found.extend(
                    route(*kind, directive, place, value, line, summary).map(|r| (*hop, r)),
                );
            }
        }
    } else if let Some(all) = classic(&document) {
        let directive = "ConnectionSettings.IdleTimeout";
        if let Some(value) = all.at(&["ConnectionSettings", "IdleTimeout"]) {
            let r = route(
                TimeoutKind::Idle,
                directive,
                "load balancer",
                value,
                value.line,
                summary,
            );
            found.extend(r.map(|r| (HopKind::Elb, r)));
        }
    } else if without(&document) {
        summary.note(
            "no-timeouts",
            0,
            "this description names no time-outs; ask for describe-load-balancer-attributes, describe-listener-attributes \
             and describe-target-group-attributes",
        );
    }
    for (hop, route) in found {
        summary.settings.push(HopSettings {
            source,
            hop,
            listen: Vec::new(),
            routes: vec![route],
        });
    }
}

fn route(
    kind: TimeoutKind,
    directive: &str,
    place: &str,
    value: &Node,
    line: u64,
    summary: &mut ConfigSummary,
) -> Option<Route> {
    let seconds = value.text().and_then(|t| t.trim().parse::<i64>().ok());
    // Zero is no delay at all, which ends nothing that was not already over.
    if seconds == Some(0) && kind == TimeoutKind::Drain {
        return None;
    }
    let Some(value_ns) = seconds
        .filter(|s| *s > 0)
        .and_then(|s| s.checked_mul(SECOND_NS))
    else {
        summary.bad_value(line);
        return None;
    };
    Some(Route {
        prefix: String::new(),
        exact: false,
        name: place.to_owned(),
        line: Some(line),
        timeouts: vec![Timeout {
            kind,
            directive: directive.to_owned(),
            value_ns,
            line: Some(line),
        }],
        upstreams: Vec::new(),
        upgrade: None,
    })
}

/// `idle_timeout.timeout_seconds=600,routing.http2.enabled=true`: the list that an Ingress of AWS's controller carries.
pub(super) fn listed(node: &Node, summary: &mut ConfigSummary) -> Vec<(HopKind, Timeout)> {
    let Some(text) = node.text() else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (key, value) in text.split(',').filter_map(|a| a.trim().split_once('=')) {
        let Some((directive, hop, kind, place)) =
            ATTRIBUTES.iter().find(|(name, ..)| *name == key.trim())
        else {
            continue;
        };
        let value = Node {
            line: node.line,
            value: Value::Text(value.trim().to_owned()),
        };
        let route = route(*kind, directive, place, &value, node.line, summary);
        out.extend(
            route
                .into_iter()
                .flat_map(|r| r.timeouts)
                .map(|t| (*hop, t)),
        );
    }
    out
}
