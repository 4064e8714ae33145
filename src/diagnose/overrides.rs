//! `overrides.toml` and a case -> the case as its owner knows it: time-outs that no file here shows, meanings of close codes, rules that do not apply.

use super::fact::Row;
use super::outcome;
use crate::model::{
    Adaptation, Adapted, Analysis, BESIDE, CaseContext, Cause, Connection, Filter, Hop, HopKind,
    HopSettings, Role, Route, Severity, SourceId, Timeout, TimeoutKind, say_duration,
};
use std::net::IpAddr;

/// Where an override stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    pub path: String,
    /// From 1.
    pub line: usize,
    pub why: String,
}

/// A rule that is not asked, or that matters more or less here.
#[derive(Debug, Clone)]
pub struct RuleOverride {
    pub code: &'static str,
    pub disable: bool,
    pub severity: Option<Severity>,
    pub ground: Ground,
}

/// A time-out of a hop whose configuration is not among the evidence.
#[derive(Debug, Clone)]
pub struct TimeoutOverride {
    /// As verdicts call it.
    pub hop: String,
    /// The address that its neighbours see.
    pub address: Option<IpAddr>,
    /// The URI prefix that it holds for; empty = everything.
    pub prefix: String,
    pub kind: TimeoutKind,
    pub value_ns: i64,
    pub ground: Ground,
}

impl TimeoutOverride {
    fn hop_kind(&self) -> HopKind {
        let name = self.hop.to_ascii_lowercase();
        [
            HopKind::Nginx,
            HopKind::Haproxy,
            HopKind::Alb,
            HopKind::Envoy,
            HopKind::Apache,
            HopKind::Traefik,
            HopKind::Caddy,
            HopKind::CloudFront,
            HopKind::Cloudflare,
            HopKind::Heroku,
            HopKind::Nlb,
            HopKind::Elb,
            HopKind::Gcp,
            HopKind::AppGateway,
            HopKind::FrontDoor,
            HopKind::Iis,
        ]
        .into_iter()
        .find(|k| k.name() == name)
        .unwrap_or(HopKind::Proxy)
    }
}

/// What one of the application's own close codes means.
#[derive(Debug, Clone)]
pub struct CodeOverride {
    pub code: u16,
    pub means: String,
    /// What to do about it, instead of the rule's advice.
    pub fix: Option<String>,
    /// It ends a connection as its users want: no drop.
    pub wanted: bool,
    pub ground: Ground,
}

/// Drops of a rule that are left out where a filter matches.
#[derive(Debug, Clone)]
pub struct Exclusion {
    /// Any rule where none is named.
    pub code: Option<&'static str>,
    pub filter: Filter,
    pub ground: Ground,
}

/// All overrides in force.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub rules: Vec<RuleOverride>,
    pub timeouts: Vec<TimeoutOverride>,
    pub codes: Vec<CodeOverride>,
    pub excluded: Vec<Exclusion>,
}

impl Overrides {
    pub fn is_empty(&self) -> bool {
        let Self {
            rules,
            timeouts,
            codes,
            excluded,
        } = self;
        rules.is_empty() && timeouts.is_empty() && codes.is_empty() && excluded.is_empty()
    }

    pub fn extend(&mut self, other: Self) {
        let Self {
            rules,
            timeouts,
            codes,
            excluded,
        } = other;
        self.rules.extend(rules);
        self.timeouts.extend(timeouts);
        self.codes.extend(codes);
        self.excluded.extend(excluded);
    }

    pub fn disabled(&self, code: &str) -> bool {
        self.rules.iter().any(|r| r.disable && r.code == code)
    }

    /// What the close code of a connection means, as its facts tell it.
    pub(super) fn code(&self, row: &Row) -> Option<&CodeOverride> {
        let of = |fact: &str| outcome::count(row, fact);
        let code = of("close.code").or_else(|| of("close.reported_server"))?;
        self.codes.iter().find(|c| i64::from(c.code) == code)
    }

    /// The same for whoever looks at the case after it was judged.
    pub fn taught(&self, context: CaseContext) -> CaseContext {
        if self.timeouts.is_empty() {
            context
        } else {
            self.teach(&context)
        }
    }

    /// The context with the time-outs of the overrides, which stand for those of the same hop that files give.
    pub(super) fn teach(&self, context: &CaseContext) -> CaseContext {
        let mut out = context.clone();
        for t in &self.timeouts {
            let hop = t.hop_kind();
            let known = out
                .settings
                .iter_mut()
                .filter(|s| s.hop == hop && hop != HopKind::Proxy);
            for route in known.flat_map(|s| &mut s.routes) {
                if route.prefix.starts_with(&t.prefix) {
                    route.timeouts.retain(|old| old.kind != t.kind);
                }
            }
            let source = SourceId(u32::try_from(out.paths.len()).unwrap_or(u32::MAX));
            out.paths.push(t.ground.path.clone());
            let line = u64::try_from(t.ground.line).ok();
            let what = match t.kind {
                TimeoutKind::Lifetime => "greatest age",
                _ => "idle time-out",
            };
            out.settings.push(HopSettings {
                source,
                hop,
                listen: t.address.map(|a| a.to_string()).into_iter().collect(),
                routes: vec![Route {
                    prefix: t.prefix.clone(),
                    exact: false,
                    name: t.hop.clone(),
                    line,
                    timeouts: vec![Timeout {
                        kind: t.kind,
                        directive: format!("{} of {}", what, t.hop),
                        value_ns: t.value_ns,
                        line,
                    }],
                    upstreams: Vec::new(),
                    upgrade: None,
                }],
            });
        }
        out
    }

    /// Gives the hops of the overrides their names; what looked like a client by its address is one of them.
    pub(super) fn name_hops(&self, connection: &mut Connection) {
        for t in &self.timeouts {
            let Some(address) = t.address else {
                continue;
            };
            let Some(at) = connection
                .hops
                .iter()
                .position(|h| h.address == Some(address) && h.kind != HopKind::Server)
            else {
                continue;
            };
            if at == 0 {
                behind(connection);
            }
            let at = at.max(1);
            if let Some(hop) = connection.hops.get_mut(at) {
                hop.kind = t.hop_kind();
                hop.name = t.hop.clone().into();
            }
            let closer = &mut connection.closer;
            if closer.address == Some(address) && matches!(closer.role, Role::Client | Role::Proxy)
            {
                closer.role = Role::Proxy;
                closer.hop = Some(t.hop.clone().into());
            }
        }
    }

    /// Leaves out what is excluded or disabled, and names all that is in force.
    pub fn apply(&self, analysis: &mut Analysis) {
        let mut adapted = Adapted::default();
        analysis.findings.retain(|f| !self.disabled(&f.code));
        analysis.incidents.retain(|i| !self.disabled(&i.code));
        for r in &self.rules {
            let name = name_of(r.code);
            let mut what = Vec::new();
            if r.disable {
                what.push(format!("{} {name} is not asked", r.code));
            }
            if let Some(severity) = r.severity {
                what.push(format!("{} {name} is {}", r.code, severity.name()));
                adapted.severities.insert(r.code.to_owned(), severity);
            }
            adapted.overrides.push(r.ground.note(what.join(", "), None));
        }
        for t in &self.timeouts {
            let what = match t.kind {
                TimeoutKind::Lifetime => "cuts connections at the age of",
                _ => "closes what is silent for",
            };
            let on = analysis
                .connections
                .iter()
                .filter(|j| {
                    t.address.is_some() && j.connection.hops.iter().any(|h| h.name == t.hop)
                })
                .count();
            let what = format!("{} {what} {}", t.hop, say_duration(t.value_ns));
            adapted
                .overrides
                .push(t.ground.note(what, t.address.map(|_| on)));
        }
        for c in &self.codes {
            let wanted = if c.wanted { ", as wanted" } else { "" };
            let what = format!("close code {} means: {}{wanted}", c.code, c.means);
            adapted.overrides.push(c.ground.note(what, None));
        }
        for e in &self.excluded {
            let before = analysis.connections.len();
            analysis.retain(|judged, analysis| {
                let Some(cause) = judged.verdict.cause else {
                    return true;
                };
                let named = e.code.is_none_or(|code| code == cause.code());
                !(named && e.filter.matches(judged, analysis))
            });
            let left_out = before - analysis.connections.len();
            let rule = e.code.unwrap_or("every drop");
            let what = format!("{rule} is left out where {}", e.filter.text());
            adapted.overrides.push(e.ground.note(what, Some(left_out)));
        }
        adapted
            .overrides
            .sort_by(|a, b| place(&a.place).cmp(&place(&b.place)));
        analysis.adapted = adapted;
    }
}

/// File and line, lines by number.
fn place(text: &str) -> (&str, usize) {
    text.rsplit_once(':')
        .map_or((text, 0), |(path, line)| (path, line.parse().unwrap_or(0)))
}

impl Ground {
    fn note(&self, what: String, connections: Option<usize>) -> Adaptation {
        Adaptation {
            place: format!("{}:{}", self.path, self.line),
            what,
            why: self.why.clone(),
            connections,
        }
    }
}

fn name_of(code: &str) -> &'static str {
    Cause::parse(code).map_or_else(
        || {
            BESIDE
                .iter()
                .find(|(known, ..)| *known == code)
                .map_or("", |(_, id, ..)| *id)
        },
        Cause::id,
    )
}

/// A client that nobody saw stands before the first hop.
fn behind(connection: &mut Connection) {
    connection.hops.insert(
        0,
        Hop {
            kind: HopKind::Client,
            name: "client".into(),
            address: None,
        },
    );
    for leg in &mut connection.legs {
        leg.from += 1;
    }
    for event in &mut connection.events {
        event.hop = event.hop.map(|h| h + 1);
    }
    connection.client.ip = None;
    connection.client.port = None;
}

/// Takes out records of files that are no source of the case: an override is named, not shown.
pub(super) fn strip(row: &mut Row, sources: usize) {
    row.change(|reading| {
        reading
            .records
            .retain(|(record, _)| (record.source.0 as usize) < sources);
    });
}

#[cfg(test)]
mod tests {
    use super::super::lint::read_overrides;
    use super::super::made_up::{came, nginx};
    use super::*;
    use crate::model::SECOND_NS;

    fn timeout(text: &str) -> Overrides {
        let text = format!("[[timeout]]\nwhy = \"w\"\n{text}");
        read_overrides("o.toml", &text).unwrap()
    }

    #[test]
    fn a_hop_gets_its_name_where_its_address_is() {
        let given = timeout("hop = \"lb\"\naddress = \"10.9.0.1\"\nidle = \"90s\"\n");
        let mut c = came(1, 0, Some(5), None).judged(1).connection;
        given.name_hops(&mut c);
        let names: Vec<&str> = c.hops.iter().map(|h| h.name.as_ref()).collect();
        assert_eq!(names, ["client", "lb", "server"]);

        // As seen from behind it: what looks like the client is the balancer, and the client is nobody that was seen.
        let address = c.hops[0].address.unwrap();
        let given = timeout(&format!(
            "hop = \"lb\"\naddress = \"{address}\"\nidle = \"90s\"\n"
        ));
        let mut c = came(1, 0, Some(5), None).judged(1).connection;
        c.closer.role = Role::Client;
        c.closer.address = Some(address);
        given.name_hops(&mut c);
        let names: Vec<&str> = c.hops.iter().map(|h| h.name.as_ref()).collect();
        assert_eq!(names, ["client", "lb", "nginx", "server"]);
        assert_eq!(c.hops[1].kind, HopKind::Proxy);
        assert_eq!(c.closer.role, Role::Proxy);
        assert_eq!(c.closer.hop.as_deref(), Some("lb"));
        assert_eq!(c.client.ip, None);

        let elsewhere = timeout("hop = \"lb\"\naddress = \"10.9.9.9\"\nidle = \"90s\"\n");
        let mut c = came(1, 0, Some(5), None).judged(1).connection;
        let before = c.clone();
        elsewhere.name_hops(&mut c);
        assert_eq!(c, before);
    }

    #[test]
    fn a_value_that_is_given_stands_for_the_configured_one() {
        let context = CaseContext {
            settings: vec![nginx(60_000, true)],
            paths: vec!["nginx.conf".to_owned()],
            ..CaseContext::default()
        };
        let idle = |text: &str| -> Vec<(HopKind, i64)> {
            let taught = timeout(text).teach(&context);
            let all = taught.settings.iter().flat_map(|s| {
                s.routes
                    .iter()
                    .flat_map(|r| &r.timeouts)
                    .filter(|t| t.kind == TimeoutKind::Idle)
                    .map(|t| (s.hop, t.value_ns / SECOND_NS))
            });
            all.collect()
        };
        assert_eq!(
            idle("hop = \"nginx\"\nidle = \"90s\"\n"),
            [(HopKind::Nginx, 90)]
        );
        assert_eq!(
            idle("hop = \"lb\"\nidle = \"90s\"\n"),
            [(HopKind::Nginx, 60), (HopKind::Proxy, 90)]
        );
        assert_eq!(
            idle("hop = \"alb\"\nlifetime = \"2h\"\n"),
            [(HopKind::Nginx, 60)]
        );
    }

    #[test]
    fn places_are_in_order_of_lines() {
        let mut all = ["b.toml:2", "a.toml:10", "a.toml:9"];
        all.sort_by(|a, b| place(a).cmp(&place(b)));
        assert_eq!(all, ["a.toml:9", "a.toml:10", "b.toml:2"]);
    }
}
