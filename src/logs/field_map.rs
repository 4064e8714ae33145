//! `--map 'clientId=client,ts=time'` -> which keys of an application's records mean what, before anything is found by content.

use std::sync::Arc;

/// What a key may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    Time,
    Level,
    Event,
    Message,
    Error,
    Reason,
    /// A close code (RFC 6455 7.4).
    Code,
    /// An HTTP status.
    Status,
    /// The client's address, with or without a port, or a list as in X-Forwarded-For.
    Client,
    /// The client's port.
    Port,
    /// An id of one connection.
    Connection,
    /// An id that stays the same over reconnects.
    Session,
    Pid,
    Host,
    Uri,
    /// `Sec-WebSocket-Key`.
    Key,
    /// A request or trace id.
    Request,
}

/// Every meaning by its name; the first of a meaning is the one that is shown.
const NAMES: &[(&str, Meaning)] = &[
    ("time", Meaning::Time),
    ("level", Meaning::Level),
    ("event", Meaning::Event),
    ("message", Meaning::Message),
    ("error", Meaning::Error),
    ("reason", Meaning::Reason),
    ("code", Meaning::Code),
    ("status", Meaning::Status),
    ("client", Meaning::Client),
    ("port", Meaning::Port),
    ("connection", Meaning::Connection),
    ("session", Meaning::Session),
    ("user", Meaning::Session),
    ("pid", Meaning::Pid),
    ("host", Meaning::Host),
    ("uri", Meaning::Uri),
    ("key", Meaning::Key),
    ("request", Meaning::Request),
];

impl Meaning {
    pub const fn name(self) -> &'static str {
        let mut at = 0;
        while at < NAMES.len() {
            if NAMES[at].1 as u8 == self as u8 {
                return NAMES[at].0;
            }
            at += 1;
        }
        ""
    }

    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, m)| *m)
    }

    /// All names, for a message about one that is none.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(n, _)| *n)
    }
}

/// Keys as the records spell them, or dotted paths to them (`ctx.clientId`), with what they mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldMap(Arc<Vec<(String, Meaning)>>);

impl FieldMap {
    /// `KEY=MEANING,...`; what is wrong with it, otherwise.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for pair in list.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some((key, meaning)) = pair.rsplit_once('=') else {
                return Err(format!("{pair} is not KEY=MEANING"));
            };
            pairs.push((key.trim(), meaning.trim()));
        }
        if pairs.is_empty() {
            return Err("there is no KEY=MEANING in it".to_owned());
        }
        Self::of_pairs(pairs)
    }

    /// Keys and names of meanings, as a configuration file has them.
    pub fn of_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut all = Vec::new();
        for (key, meaning) in pairs {
            let Some(known) = Meaning::named(meaning) else {
                return Err(format!("{meaning} is no meaning that a key can have"));
            };
            if key.is_empty() {
                return Err(format!("a key is missing before ={meaning}"));
            }
            all.push((key.to_owned(), known));
        }
        Ok(Self(Arc::new(all)))
    }

    /// These, and behind them those of `other`: the earlier one of a key counts.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(Arc::new(
            self.0.iter().chain(other.0.iter()).cloned().collect(),
        ))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a key means; `path` is asked only where the map has dotted paths.
    pub(super) fn meaning(&self, key: &[u8], path: impl Fn() -> String) -> Option<Meaning> {
        self.0
            .iter()
            .find(|(known, _)| known.as_bytes() == key || known.contains('.') && *known == path())
            .map(|(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_keys() {
        for (list, want) in [
            ("clientId=client,ts=time", Ok(2)),
            (" a.b = user , ", Ok(1)),
            ("x=y=time", Ok(1)),
            ("", Err("there is no KEY=MEANING in it")),
            ("ts", Err("ts is not KEY=MEANING")),
            ("ts=when", Err("when is no meaning that a key can have")),
            ("=time", Err("a key is missing before =time")),
        ] {
            let got = FieldMap::parse(list).map(|m| m.0.len());
            assert_eq!(got, want.map_err(str::to_owned), "{list}");
        }
        let map = FieldMap::parse("ctx.id=session,ts=time").expect("a map");
        let path = || "ctx.id".to_owned();
        assert_eq!(map.meaning(b"id", path), Some(Meaning::Session));
        assert_eq!(map.meaning(b"ts", String::new), Some(Meaning::Time));
        assert_eq!(map.meaning(b"id", || "id".to_owned()), None);
        for name in Meaning::names() {
            let meaning = Meaning::named(name).expect("itself");
            assert_eq!(Meaning::named(meaning.name()), Some(meaning));
        }
    }
}
