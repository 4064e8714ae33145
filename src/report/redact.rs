//! Text with addresses, tokens, cookies and payload in it -> the same text with stable stand-ins, so that rows still correlate.

use crate::model::{Analysis, AppEvent, Connection, LegEventKind, Recent};
use aho_corasick::AhoCorasick;
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::{LazyLock, Mutex};

/// What is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redact {
    pub ips: bool,
    pub tokens: bool,
    pub payload: bool,
    pub cookies: bool,
}

impl Redact {
    pub const NONE: Self = Self {
        ips: false,
        tokens: false,
        payload: false,
        cookies: false,
    };
    /// What files and pipes get: addresses stay, secrets do not.
    pub const SHARED: Self = Self {
        ips: false,
        tokens: true,
        payload: true,
        cookies: true,
    };

    /// `ips,tokens,payload,cookies`, `all`, or `none`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut redact = Self::NONE;
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            match word {
                "none" => redact = Self::NONE,
                "all" => {
                    redact = Self {
                        ips: true,
                        tokens: true,
                        payload: true,
                        cookies: true,
                    }
                }
                "ips" => redact.ips = true,
                "tokens" => redact.tokens = true,
                "payload" => redact.payload = true,
                "cookies" => redact.cookies = true,
                other => {
                    return Err(format!(
                        "{other} can't be redacted: ips, tokens, payload, cookies, all or none"
                    ));
                }
            }
        }
        Ok(redact)
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// Stand-ins already given: the same value gets the same one for a whole run.
#[derive(Debug, Default)]
struct Given {
    ips: BTreeMap<IpAddr, usize>,
    tokens: BTreeMap<String, usize>,
    cookies: BTreeMap<String, usize>,
}

/// Bytes of the longest text that is remembered.
const LONGEST: usize = 1024;

/// Takes secrets out of every text that leaves the program.
#[derive(Debug)]
pub struct Redactor {
    what: Redact,
    given: Mutex<Given>,
    /// Tokens met in URIs and identities: they are replaced wherever they stand.
    known_tokens: Words,
    /// Close reasons met on the wire.
    reasons: Words,
    /// What became of texts: advice, reasons and paths are the same for thousands of connections.
    again: Mutex<Recent<String>>,
}

/// What is looked for in every text; made ready when the first text comes that may have it.
struct Pattern {
    regex: LazyLock<Option<Regex>>,
    /// False only where nothing of it stands.
    may_be_in: fn(&str) -> bool,
}

impl Pattern {
    const fn new(regex: fn() -> Option<Regex>, may_be_in: fn(&str) -> bool) -> Self {
        Self {
            regex: LazyLock::new(regex),
            may_be_in,
        }
    }
}

// candidates only: each is parsed before it is replaced
static ADDRESS: Pattern = Pattern::new(
    || Regex::new(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+|\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b").ok(),
    |text| text.contains([':', '.']),
);
static QUERY: Pattern = Pattern::new(
    || Regex::new(r#"([?&][A-Za-z0-9_.\[\]%~-]*=)([^&#\s"'<>]+)"#).ok(),
    |text| text.contains('='),
);
// JSON web tokens, UUIDs, long runs of hex, and what services put in front of their keys
static SECRET: Pattern = Pattern::new(
    || {
        Regex::new(
            r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,2}|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b|\b[0-9a-fA-F]{32,}\b|\b(?:sk|pk|ghp|xox[abp])[_-][A-Za-z0-9_-]{10,}",
        )
        .ok()
    },
    |text| {
        let apart = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        // the shortest are `eyJ` and eight more
        text.split(apart).any(|word| word.len() >= 11)
    },
);
static BEARER: Pattern = Pattern::new(
    || Regex::new(r"(?i)\b((?:bearer|basic|digest)\s+)([A-Za-z0-9._~+/=-]{6,})").ok(),
    |text| text.contains(char::is_whitespace),
);
static COOKIE: Pattern = Pattern::new(
    || Regex::new(r#"(?i)\b((?:set-)?cookie["']?\s*[:=]\s*["']?)([^"'\r\n]+)"#).ok(),
    |text| text.contains([':', '=']),
);

impl Redactor {
    /// Changes nothing.
    pub const fn none() -> Self {
        Self {
            what: Redact::NONE,
            given: Mutex::new(Given {
                ips: BTreeMap::new(),
                tokens: BTreeMap::new(),
                cookies: BTreeMap::new(),
            }),
            known_tokens: Words { parts: Vec::new() },
            reasons: Words { parts: Vec::new() },
            again: Mutex::new(Recent::new()),
        }
    }

    /// Knows the tokens and addresses of this analysis; numbers them in the order of its connections.
    pub fn new(what: Redact, analysis: &Analysis) -> Self {
        Self::of(what, analysis.connections.iter().map(|j| &j.connection))
    }

    /// The same of connections, whatever becomes of them.
    pub fn of<'a>(what: Redact, connections: impl Iterator<Item = &'a Connection>) -> Self {
        let mut redactor = Self {
            what,
            ..Self::none()
        };
        if what.is_none() {
            return redactor;
        }
        let mut tokens = BTreeSet::new();
        let mut reasons = BTreeSet::new();
        for c in connections {
            if what.ips {
                let ends = c
                    .legs
                    .iter()
                    .flat_map(|leg| [leg.client.ip(), leg.server.ip()]);
                for ip in c
                    .client
                    .ip
                    .into_iter()
                    .chain(ends)
                    .chain(c.hops.iter().filter_map(|h| h.address))
                {
                    redactor.ip(ip);
                }
            }
            if what.tokens {
                let mut found: Vec<String> = c.client.identity.iter().cloned().collect();
                let lines = c.tunnels.iter().filter_map(|t| t.uri.as_deref());
                let app = c.app_lines.iter().filter_map(|l| l.uri.as_deref());
                for uri in c.request.uri.as_deref().into_iter().chain(lines).chain(app) {
                    found.extend(query_values(uri).map(ToOwned::to_owned));
                }
                found.extend(c.app_lines.iter().filter_map(|l| l.session.clone()));
                for token in found {
                    // shorter ones are words: they are replaced where they stand as a value, not all over the text
                    if token.len() >= 6 {
                        redactor.token(&token);
                        tokens.insert(token);
                    }
                }
            }
            if what.payload {
                for leg in c.legs.iter().flat_map(|l| &l.observations) {
                    reasons.extend(leg.events.iter().filter_map(|e| match &e.what {
                        LegEventKind::Close(close) => Some(close.reason.clone()),
                        _ => None,
                    }));
                    reasons.extend(
                        [&leg.to_server, &leg.to_client]
                            .iter()
                            .filter_map(|f| Some(f.close.as_ref()?.reason.clone())),
                    );
                }
                reasons.extend(c.app_lines.iter().filter_map(|l| match &l.what {
                    AppEvent::Close { reason, .. } => Some(reason.clone()),
                    _ => None,
                }));
            }
        }
        redactor.known_tokens = Words::new(&tokens);
        reasons.retain(|reason| reason.trim().len() >= 4);
        redactor.reasons = Words::new(&reasons);
        redactor
    }

    pub const fn what(&self) -> Redact {
        self.what
    }

    /// `192.0.2.14`, or `ip-3`.
    pub fn ip(&self, ip: IpAddr) -> String {
        if !self.what.ips {
            return ip.to_string();
        }
        let n = self.given.lock().map_or(0, |mut given| {
            let next = given.ips.len() + 1;
            *given.ips.entry(ip).or_insert(next)
        });
        format!("ip-{n}")
    }

    /// A value that is a token as a whole: an identity, a session id.
    pub fn token(&self, token: &str) -> String {
        if !self.what.tokens || is_stand_in(token) {
            return token.to_owned();
        }
        let n = self.given.lock().map_or(0, |mut given| {
            let next = given.tokens.len() + 1;
            *given.tokens.entry(token.to_owned()).or_insert(next)
        });
        format!("token-{n}")
    }

    fn cookie(&self, cookie: &str) -> String {
        let n = self.given.lock().map_or(0, |mut given| {
            let next = given.cookies.len() + 1;
            *given.cookies.entry(cookie.to_owned()).or_insert(next)
        });
        format!("cookie-{n}")
    }

    /// Payload as text: gone as a whole.
    pub fn payload(&self, text: &str) -> String {
        if self.what.payload && !text.is_empty() {
            "[payload]".to_owned()
        } else {
            self.text(text)
        }
    }

    /// Any text: a sentence, a log line, a URI.
    pub fn text(&self, text: &str) -> String {
        if self.what.is_none() {
            return text.to_owned();
        }
        // A longer text is that of one record.
        if text.len() > LONGEST {
            return self.redacted(text);
        }
        let known = self.again.lock().ok().and_then(|mut again| {
            let known = again.of(text, || self.redacted(text));
            known.cloned()
        });
        known.unwrap_or_else(|| self.redacted(text))
    }

    fn redacted(&self, text: &str) -> String {
        let group = |c: &Captures<'_>, n: usize| c.get(n).map_or("", |m| m.as_str()).to_owned();
        let mut out = Cow::Borrowed(text);
        if self.what.cookies {
            apply(&mut out, &COOKIE, |c| {
                format!("{}{}", group(c, 1), self.cookie(&group(c, 2)))
            });
        }
        if self.what.payload
            && let Some(changed) = self.reasons.replaced(&out, |_| "[payload]".to_owned())
        {
            out = Cow::Owned(changed);
        }
        if self.what.tokens {
            for pattern in [&BEARER, &QUERY] {
                apply(&mut out, pattern, |c| {
                    format!("{}{}", group(c, 1), self.token(&group(c, 2)))
                });
            }
            if let Some(changed) = self.known_tokens.replaced(&out, |token| self.token(token)) {
                out = Cow::Owned(changed);
            }
            apply(&mut out, &SECRET, |c| self.token(&group(c, 0)));
        }
        if self.what.ips {
            apply(&mut out, &ADDRESS, |c| self.address(&group(c, 0)));
        }
        out.into_owned()
    }

    /// What looked like an address: replaced if it is one, port and punctuation kept.
    fn address(&self, found: &str) -> String {
        if let Ok(ip) = found.parse::<Ipv4Addr>() {
            return self.ip(ip.into());
        }
        let body = found.trim_end_matches(['.', ':']);
        if body.bytes().filter(|&b| b == b':').count() >= 2
            && let Ok(ip) = body.parse::<Ipv6Addr>()
        {
            return format!(
                "{}{}",
                self.ip(ip.into()),
                found.get(body.len()..).unwrap_or_default()
            );
        }
        // `word:10.0.0.1`, where the first half only looked like hex
        if let Some((before, after)) = found.rsplit_once(':')
            && let Ok(ip) = after.trim_end_matches('.').parse::<Ipv4Addr>()
        {
            return format!("{before}:{}", self.ip(ip.into()));
        }
        // `10.0.0.1:80` begins with digits and a dot, so the part before the colon was matched by itself
        found.to_owned()
    }
}

fn apply(
    out: &mut Cow<'_, str>,
    pattern: &'static Pattern,
    replace: impl Fn(&Captures<'_>) -> String,
) {
    if (pattern.may_be_in)(out)
        && let Some(regex) = pattern.regex.as_ref()
        && let Cow::Owned(changed) = regex.replace_all(out, replace)
    {
        *out = Cow::Owned(changed);
    }
}

fn is_stand_in(text: &str) -> bool {
    ["token-", "cookie-", "ip-"].iter().any(|kind| {
        text.strip_prefix(kind)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn query_values(uri: &str) -> impl Iterator<Item = &str> {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value)
        .filter(|v| !v.is_empty())
}

/// Words that are found wherever they stand by themselves, in a time that does not grow with their number.
#[derive(Debug)]
struct Words {
    /// Several, so that however many there are, each can be built.
    parts: Vec<AhoCorasick>,
}

impl Words {
    /// Bytes of words for each part.
    const PART: usize = 64 << 20;

    fn new(words: &BTreeSet<String>) -> Self {
        let (mut parts, mut part, mut len) = (Vec::new(), Vec::new(), 0);
        for word in words.iter().filter(|w| !w.is_empty()) {
            part.push(word);
            len += word.len();
            if len >= Self::PART {
                parts.extend(AhoCorasick::new(part.drain(..)));
                len = 0;
            }
        }
        if !part.is_empty() {
            parts.extend(AhoCorasick::new(part));
        }
        Self { parts }
    }

    /// The longest at each place, from the left, none within another word: a letter, a digit or `_` goes on in front or behind.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let mut all: Vec<Range<usize>> = self
            .parts
            .iter()
            .flat_map(|part| part.find_overlapping_iter(text))
            .map(|m| m.range())
            .filter(|m| {
                let (word, before, after) = (
                    text.get(m.clone()).unwrap_or_default(),
                    text.get(..m.start).unwrap_or_default(),
                    text.get(m.end..).unwrap_or_default(),
                );
                let joined = |outer, own| inner(outer) && inner(own);
                !joined(before.chars().next_back(), word.chars().next())
                    && !joined(after.chars().next(), word.chars().next_back())
            })
            .collect();
        all.sort_unstable_by_key(|m| (m.start, std::cmp::Reverse(m.end)));
        let mut free = 0;
        all.retain(|m| {
            let take = m.start >= free;
            if take {
                free = m.end;
            }
            take
        });
        all
    }

    /// The text with each of them replaced; `None` where there is none.
    fn replaced(&self, text: &str, with: impl Fn(&str) -> String) -> Option<String> {
        let found = self.found(text);
        if found.is_empty() {
            return None;
        }
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for m in found {
            out.push_str(text.get(done..m.start).unwrap_or_default());
            out.push_str(&with(text.get(m.clone()).unwrap_or_default()));
            done = m.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::tests::fabricated;

    #[track_caller]
    fn check(what: &str, text: &str, expected: &str) {
        let redactor = Redactor::new(Redact::parse(what).expect("known words"), &fabricated());
        assert_eq!(redactor.text(text), expected);
        assert_eq!(redactor.text(text), expected, "the same again");
    }

    /// The same as a pattern of all words with word boundaries, the longest first, in text made of few letters.
    #[test]
    fn words_are_found_as_a_pattern_of_all_of_them_finds_them() {
        let words: BTreeSet<String> = ["abc", "abc-def", "c-d", "é", "é_", "-x-", "x", "bé", "a b"]
            .map(ToOwned::to_owned)
            .into();
        let mut longest: Vec<&String> = words.iter().collect();
        longest.sort_by_key(|w| (std::cmp::Reverse(w.chars().count()), *w));
        let edge = |c: Option<char>| match c {
            Some(c) if c.is_alphanumeric() => r"\b",
            Some('_') => r"\b",
            _ => "",
        };
        let pattern: Vec<String> = longest
            .iter()
            .map(|w| {
                let (first, last) = (w.chars().next(), w.chars().next_back());
                format!("{}{}{}", edge(first), regex::escape(w), edge(last))
            })
            .collect();
        let pattern = Regex::new(&pattern.join("|")).expect("a pattern");
        let found = Words::new(&words);
        let pieces = ["abc", "-def", "g", " ", "-", "x", "é", "_", "b", "c-d", "a"];
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let wanted: Vec<Range<usize>> = pattern.find_iter(&text).map(|m| m.range()).collect();
            assert_eq!(found.found(&text), wanted, "{text:?}");
        }
    }

    #[test]
    fn secrets_leave_the_text_and_the_rest_stays() {
        check(
            "none",
            "GET /ws?token=abc from 10.0.0.1",
            "GET /ws?token=abc from 10.0.0.1",
        );
        check(
            "tokens",
            "GET /ws?token=abc&v=2 HTTP/1.1",
            "GET /ws?token=token-2&v=token-3 HTTP/1.1",
        );
        check(
            "tokens",
            "session user-8812 again: user-8812",
            "session token-1 again: token-1",
        );
        check(
            "tokens",
            "Authorization: Bearer abc.def-123",
            "Authorization: Bearer token-2",
        );
        check(
            "tokens",
            "id 0b5a1f9e-7b1c-4d1e-9f5a-0123456789ab!",
            "id token-2!",
        );
        check(
            "tokens",
            "silence of 60.000 s at 09:27:05",
            "silence of 60.000 s at 09:27:05",
        );
        check("cookies", "Cookie: sid=1; theme=dark", "Cookie: cookie-1");
        check(
            "payload",
            "Close 1008 \"quota used up\"",
            "Close 1008 \"[payload]\"",
        );
        check(
            "ips",
            "203.0.113.7:40000 -> 10.0.0.2:80",
            "ip-1:40000 -> ip-2:80",
        );
        check(
            "ips",
            "from 2001:db8::7 at 21:41:49",
            "from ip-3 at 21:41:49",
        );
        check(
            "ips",
            "[2001:db8::7]:443 and 10.0.0.99.",
            "[ip-3]:443 and ip-5.",
        );
        check(
            "ips",
            "version 1.2.3 took 0.5 s",
            "version 1.2.3 took 0.5 s",
        );
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(Redact::parse("tokens,names").is_err());
        assert_eq!(Redact::parse("none"), Ok(Redact::NONE));
        assert_eq!(
            Redact::parse("tokens, cookies ,payload"),
            Ok(Redact::SHARED)
        );
    }
}
