//! The text of an `overrides.toml` -> overrides, or every mistake in it with its code, place and a way out.

use super::words::place;
use super::{Node, Reader, RuleError, did_you_mean};
use crate::diagnose::overrides::{
    CodeOverride, Exclusion, Ground, Overrides, RuleOverride, TimeoutOverride,
};
use crate::model::{BESIDE, Cause, Filter, Severity, TimeoutKind};
use std::ops::Range;
use toml::de::DeTable;

/// The name that tells a file of overrides from a rule.
pub const FILE: &str = "overrides.toml";

/// Reads one. `path` is only named in messages and reports.
pub fn read_overrides(path: &str, text: &str) -> Result<Overrides, Vec<RuleError>> {
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
    let root = table.get_ref();
    reader.keys(root, &["rule", "timeout", "close_code", "exclude"], FILE);
    let mut out = Overrides::default();
    for (table, span) in reader.tables(root, "rule") {
        out.rules.extend(reader.rule_override(table, &span));
    }
    for (table, span) in reader.tables(root, "timeout") {
        out.timeouts.extend(reader.timeout_override(table, &span));
    }
    for (table, span) in reader.tables(root, "close_code") {
        if let Some(code) = reader.code_override(table, &span) {
            if out.codes.iter().any(|c| c.code == code.code) {
                let message = format!("the close code {} is told twice", code.code);
                reader.error("R028", span, message, None);
            } else {
                out.codes.push(code);
            }
        }
    }
    for (table, span) in reader.tables(root, "exclude") {
        out.excluded.extend(reader.exclusion(table, &span));
    }
    if out.is_empty() && reader.errors.is_empty() {
        reader.error(
            "R030",
            0..0,
            "there is no override in it",
            Some("write a [[rule]], [[timeout]], [[close_code]] or [[exclude]]".to_owned()),
        );
    }
    reader.errors.sort_by_key(|e| (e.line, e.column, e.code));
    if reader.errors.is_empty() {
        Ok(out)
    } else {
        Err(reader.errors)
    }
}

impl Reader<'_> {
    /// Every override says why.
    fn ground(&mut self, table: &DeTable<'_>, of: &str, span: &Range<usize>) -> Option<Ground> {
        let Some(node) = table.get("why") else {
            self.error(
                "R035",
                span.clone(),
                format!("{of} gives no reason"),
                Some("add `why = \"...\"`: whoever reads the report wants to know".to_owned()),
            );
            return None;
        };
        Some(Ground {
            path: self.path.to_owned(),
            line: place(self.text, span.start).0,
            why: self.text(node, "why")?.to_owned(),
        })
    }

    /// A rule, a finding or an incident, by code or name.
    fn any_rule(&mut self, node: &Node<'_>) -> Option<&'static str> {
        let text = self.text(node, "rule")?;
        let names = || {
            let causes = Cause::ALL.iter().flat_map(|c| [c.code(), c.id()]);
            causes.chain(BESIDE.iter().flat_map(|(code, id, ..)| [*code, *id]))
        };
        if let Some(cause) = Cause::parse(text) {
            return Some(cause.code());
        }
        let beside = BESIDE
            .iter()
            .find(|(code, id, ..)| code.eq_ignore_ascii_case(text) || *id == text);
        if let Some((code, ..)) = beside {
            return Some(*code);
        }
        let help = did_you_mean(text, names()).map_or_else(
            || "`wsdrop explain` lists them".to_owned(),
            |k| format!("did you mean `{k}`?"),
        );
        self.error(
            "R010",
            node.span(),
            format!("no rule is called `{text}`"),
            Some(help),
        );
        None
    }

    fn need<'n, 'i>(
        &mut self,
        table: &'n DeTable<'i>,
        key: &str,
        of: &str,
        span: &Range<usize>,
    ) -> Option<&'n Node<'i>> {
        let node = table.get(key);
        if node.is_none() {
            self.missing(span, key, of);
        }
        node
    }

    fn rule_override(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<RuleOverride> {
        const OF: &str = "[[rule]]";
        self.keys(table, &["rule", "severity", "disable", "why"], OF);
        let severities: Vec<(&'static str, Severity)> =
            Severity::ALL.iter().map(|s| (s.name(), *s)).collect();
        let severity = table
            .get("severity")
            .and_then(|node| self.word(node, "severity", &severities));
        let disable = self.flag(table, "disable");
        if !disable && !table.contains_key("severity") && !table.contains_key("disable") {
            self.error(
                "R036",
                span.clone(),
                "this override changes nothing",
                Some("add `severity = \"low\"` or `disable = true`".to_owned()),
            );
        }
        let ground = self.ground(table, OF, span);
        let node = self.need(table, "rule", OF, span)?;
        Some(RuleOverride {
            code: self.any_rule(node)?,
            disable,
            severity,
            ground: ground?,
        })
    }

    fn timeout_override(
        &mut self,
        table: &DeTable<'_>,
        span: &Range<usize>,
    ) -> Option<TimeoutOverride> {
        const OF: &str = "[[timeout]]";
        self.keys(
            table,
            &["hop", "address", "path", "idle", "lifetime", "why"],
            OF,
        );
        let ground = self.ground(table, OF, span);
        let hop = self.need(table, "hop", OF, span)?;
        let hop = self.text(hop, "hop").map(str::to_owned);
        let mut address = None;
        if let Some(node) = table.get("address") {
            let text = self.text(node, "address")?;
            match text.parse() {
                Ok(ip) => address = Some(ip),
                Err(_) => self.error(
                    "R037",
                    node.span(),
                    format!("`{text}` is no address"),
                    Some("write an IP address without a port: \"10.20.0.5\"".to_owned()),
                ),
            }
        }
        let prefix = table
            .get("path")
            .and_then(|node| self.text(node, "path"))
            .unwrap_or_default()
            .to_owned();
        let (kind, node) = match (table.get("idle"), table.get("lifetime")) {
            (Some(node), None) => (TimeoutKind::Idle, node),
            (None, Some(node)) => (TimeoutKind::Lifetime, node),
            (found, _) => {
                let message = match found {
                    Some(_) => "`idle` and `lifetime` are two time-outs",
                    None => "[[timeout]] tells no time",
                };
                self.error(
                    "R016",
                    span.clone(),
                    message,
                    Some("write one of `idle = \"90s\"` and `lifetime = \"2h\"`".to_owned()),
                );
                return None;
            }
        };
        let key = if kind == TimeoutKind::Idle {
            "idle"
        } else {
            "lifetime"
        };
        let value_ns = self.duration(node, key)?;
        if value_ns == 0 {
            self.error(
                "R017",
                node.span(),
                "a time-out of nothing",
                Some("leave it out where the hop has none".to_owned()),
            );
            return None;
        }
        Some(TimeoutOverride {
            hop: hop?,
            address,
            prefix,
            kind,
            value_ns,
            ground: ground?,
        })
    }

    fn code_override(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<CodeOverride> {
        const OF: &str = "[[close_code]]";
        self.keys(table, &["code", "means", "fix", "wanted", "why"], OF);
        let ground = self.ground(table, OF, span);
        let means = self.need_text(table, "means", OF, span).map(str::to_owned);
        let fix = table
            .get("fix")
            .and_then(|node| self.text(node, "fix"))
            .map(str::to_owned);
        let wanted = self.flag(table, "wanted");
        let node = self.need(table, "code", OF, span)?;
        let number = self.count(node, "code")?;
        // RFC 6455 7.4.2: libraries have 3000-3999, applications 4000-4999.
        let Some(code) = u16::try_from(number)
            .ok()
            .filter(|c| (3000..5000).contains(c))
        else {
            self.error(
                "R017",
                node.span(),
                format!("{number} is no code of an application"),
                Some("own codes are 3000 to 4999; the others mean what RFC 6455 says".to_owned()),
            );
            return None;
        };
        Some(CodeOverride {
            code,
            means: means?,
            fix,
            wanted,
            ground: ground?,
        })
    }

    fn exclusion(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Exclusion> {
        const OF: &str = "[[exclude]]";
        self.keys(table, &["rule", "where", "why"], OF);
        let ground = self.ground(table, OF, span);
        let code = match table.get("rule") {
            Some(node) => Some(self.any_rule(node)?),
            None => None,
        };
        let node = self.need(table, "where", OF, span)?;
        let text = self.text(node, "where")?;
        match Filter::parse(text) {
            Ok(filter) => Some(Exclusion {
                code,
                filter,
                ground: ground?,
            }),
            Err(e) => {
                let help = if e.help.is_empty() {
                    "`wsdrop help filters` lists the keys".to_owned()
                } else {
                    e.help.clone()
                };
                self.error("R037", node.span(), e.to_string(), Some(help));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"[[rule]]
rule = "W404"
severity = "info"
why = "our app kills its sockets"

[[timeout]]
hop = "lb"
address = "10.20.0.5"
idle = "90s"
why = "its configuration is not ours"

[[close_code]]
code = 4410
means = "token expired"
why = "our own table"

[[exclude]]
rule = "client-abort"
where = "client:10.0.0.0/8"
why = "probes"
"#;

    #[test]
    fn good_overrides_are_read() {
        let found = read_overrides("o.toml", GOOD).unwrap();
        assert_eq!(found.rules[0].code, "W404");
        assert_eq!(found.rules[0].severity, Some(Severity::Info));
        assert_eq!(found.timeouts[0].value_ns, 90_000_000_000);
        assert_eq!(found.timeouts[0].ground.line, 6);
        assert_eq!(found.codes[0].code, 4410);
        assert_eq!(found.excluded[0].code, Some("W404"));
    }

    #[test]
    fn malformed_overrides_are_refused_with_place_and_advice() {
        let table: &[(&str, &str, &str, &str)] = &[
            ("[[rule]]", "[[rule]", "R001", ""),
            ("[[rule]]", "[rule]", "R004", "[[rule]]"),
            (
                "[[timeout]]",
                "[[time-out]]",
                "R002",
                "did you mean `timeout`",
            ),
            ("severity", "severty", "R002", "did you mean `severity`"),
            ("why = \"probes\"", "", "R035", "why"),
            ("why = \"probes\"", "why = \" \"", "R030", ""),
            ("why = \"probes\"", "why = 7", "R004", ""),
            ("rule = \"W404\"", "", "R003", "rule"),
            (
                "rule = \"W404\"",
                "rule = \"W40\"",
                "R010",
                "did you mean `W40",
            ),
            (
                "\"client-abort\"",
                "\"client-abrot\"",
                "R010",
                "did you mean `client-abort`",
            ),
            ("\"info\"", "\"none\"", "R020", "info"),
            ("severity = \"info\"\n", "", "R036", "disable = true"),
            ("severity = \"info\"", "disable = \"yes\"", "R004", ""),
            ("hop = \"lb\"\n", "", "R003", "hop"),
            (
                "\"10.20.0.5\"",
                "\"10.20.0.5:80\"",
                "R037",
                "without a port",
            ),
            ("\"90s\"", "90", "R008", "\"90s\""),
            ("\"90s\"", "\"ninety\"", "R008", "units"),
            ("\"90s\"", "\"0s\"", "R017", ""),
            ("idle = \"90s\"\n", "", "R016", "lifetime"),
            (
                "idle = \"90s\"",
                "idle = \"90s\"\nlifetime = \"2h\"",
                "R016",
                "one of",
            ),
            ("code = 4410\n", "", "R003", "code"),
            ("code = 4410", "code = \"4410\"", "R004", ""),
            ("code = 4410", "code = 1011", "R017", "3000 to 4999"),
            ("code = 4410", "code = 70000", "R017", "3000 to 4999"),
            ("means = \"token expired\"\n", "", "R003", "means"),
            ("where = \"client:10.0.0.0/8\"\n", "", "R003", "where"),
            ("client:10.0.0.0/8", "clint:10.0.0.0/8", "R037", "client"),
            ("client:10.0.0.0/8", "silent>soon", "R037", ""),
        ];
        for (from, to, code, help) in table {
            assert!(GOOD.contains(from), "{from}");
            let text = GOOD.replacen(from, to, 1);
            let found = read_overrides("o.toml", &text).err().unwrap_or_default();
            let said: String = found.iter().map(|e| format!("{e}\n")).collect();
            let error = found
                .iter()
                .find(|e| e.code == *code)
                .unwrap_or_else(|| panic!("{from:?} -> {to:?} should be {code}, and was\n{said}"));
            let advice = error.help.as_deref().unwrap_or_default();
            assert!(
                !advice.is_empty() && advice.contains(help),
                "{from:?}: {said}"
            );
            assert!(error.line >= 1 && error.column >= 1, "{said}");
        }
        for empty in ["", "# nothing\n"] {
            assert_eq!(read_overrides("o.toml", empty).unwrap_err()[0].code, "R030");
        }
    }
}
