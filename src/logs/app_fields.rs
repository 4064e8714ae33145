//! Keys and values of an application's record -> what they mean, by content, whatever the logger.

use super::access::normal;
use super::app_event::{Level, Said};
use super::app_roles::{is_code, is_time};
use super::field_map::{FieldMap, Meaning};
use super::json::{self, Kind, Leaf};
use super::{stamp, text};
use crate::model::{LocalZone, Stamp, Zone, ZoneBasis};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

type Text<'a> = Cow<'a, [u8]>;

/// Everything of one record that is used.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) time: Option<(Stamp, Zone)>,
    /// How deep the time stood: the record's own lies nearer the top than those it tells of.
    time_depth: u8,
    pub(super) level: Level,
    pub(super) event: Text<'a>,
    pub(super) message: Text<'a>,
    pub(super) error: Text<'a>,
    pub(super) errno: Option<Text<'a>>,
    pub(super) reason: Text<'a>,
    pub(super) close_code: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) client: Vec<IpAddr>,
    pub(super) client_port: Option<u16>,
    pub(super) port: Option<u16>,
    pub(super) connection_id: Option<String>,
    /// `id`: a connection's if nothing better says so.
    pub(super) id: Option<String>,
    pub(super) session: Option<String>,
    pub(super) pid: Option<u32>,
    pub(super) hostname: Option<String>,
    pub(super) uri: Option<String>,
    pub(super) ws_key: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) has_stack: bool,
}

/// Identifiers are no longer than this.
const MAX_ID: usize = 256;

fn id(value: &[u8]) -> Option<String> {
    // How languages print that there is none: JavaScript, Python, Go, Ruby.
    let nobody = |v: &[u8]| {
        let words: [&[u8]; 8] = [
            b"null",
            b"undefined",
            b"none",
            b"nil",
            b"<nil>",
            b"<null>",
            b"nan",
            b"anonymous",
        ];
        words.iter().any(|w| v.eq_ignore_ascii_case(w))
    };
    text::present(value)
        .filter(|v| v.len() <= MAX_ID && !nobody(v))
        .map(text::string)
}

fn small(value: &[u8]) -> Option<u16> {
    text::unsigned(value).and_then(|v| u16::try_from(v).ok())
}

/// Python's `CloseCode`, as its `repr` and `str` print it: `<CloseCode.ABNORMAL_CLOSURE: 1006>` (websockets, frames.py).
fn named_code(value: &[u8]) -> Option<u16> {
    const NAMES: &[(&[u8], u16)] = &[
        (b"NORMAL_CLOSURE", 1000),
        (b"GOING_AWAY", 1001),
        (b"PROTOCOL_ERROR", 1002),
        (b"UNSUPPORTED_DATA", 1003),
        (b"NO_STATUS_RCVD", 1005),
        (b"ABNORMAL_CLOSURE", 1006),
        (b"INVALID_DATA", 1007),
        (b"POLICY_VIOLATION", 1008),
        (b"MESSAGE_TOO_BIG", 1009),
        (b"MANDATORY_EXTENSION", 1010),
        (b"INTERNAL_ERROR", 1011),
        (b"SERVICE_RESTART", 1012),
        (b"TRY_AGAIN_LATER", 1013),
        (b"BAD_GATEWAY", 1014),
    ];
    let name = value.strip_prefix(b"<").unwrap_or(value);
    let name = name.strip_prefix(b"CloseCode.")?;
    let name = name.split(|c| *c == b':').next()?;
    NAMES
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, code)| *code)
}

impl<'a> Fields<'a> {
    /// Takes the leaves of a JSON record; `assumed` for dates without a zone.
    pub(super) fn json(leaves: &[Leaf<'a>], assumed: LocalZone, map: &FieldMap) -> Self {
        let mut fields = Self::default();
        let mut told = Vec::new();
        for (i, leaf) in leaves.iter().enumerate() {
            if leaf.kind == Kind::Tree {
                continue;
            }
            if let Some(meaning) = map.meaning(leaf.key, || json::path(leaves, i)) {
                told.push((meaning, leaf.text()));
                continue;
            }
            let mut buffer = [0; 32];
            let parent = leaves.get(leaf.parent).map_or(&b""[..], |p| p.key);
            let parent = normal(parent, &mut buffer);
            fields.put(leaf.key, parent, leaf.text(), leaf.depth, assumed);
        }
        for (meaning, value) in told {
            fields.told(meaning, value, assumed);
        }
        fields
    }

    /// A value whose meaning was told: it goes before what the content shows.
    pub(super) fn told(&mut self, meaning: Meaning, value: Text<'a>, assumed: LocalZone) {
        if value.is_empty() {
            return;
        }
        match meaning {
            Meaning::Time => self.time = time(&value, assumed).or(self.time),
            Meaning::Level => self.level = Level::of(&value),
            Meaning::Event => self.event = value,
            Meaning::Message => self.message = value,
            Meaning::Error => self.error = value,
            Meaning::Reason => self.reason = value,
            Meaning::Code => {
                self.close_code = small(&value)
                    .or_else(|| named_code(&value))
                    .filter(|c| (1000..=4999).contains(c))
                    .or(self.close_code);
            }
            Meaning::Status => {
                self.status = small(&value)
                    .filter(|c| (100..=599).contains(c))
                    .or(self.status);
            }
            Meaning::Client => {
                self.client.clear();
                // What is no address may still be whom it names.
                if !self.peer(&value) {
                    self.session = id(&value).or_else(|| self.session.take());
                }
            }
            Meaning::Port => self.client_port = small(&value).or(self.client_port),
            Meaning::Connection => self.connection_id = id(&value),
            Meaning::Session => self.session = id(&value),
            Meaning::Pid => {
                self.pid = text::unsigned(&value)
                    .and_then(|p| u32::try_from(p).ok())
                    .or(self.pid);
            }
            Meaning::Host => self.hostname = id(&value),
            Meaning::Uri => {
                let (path, _) = text::relative(&value);
                if path.first() == Some(&b'/') {
                    self.uri = Some(text::string(path));
                }
            }
            Meaning::Key => self.ws_key = id(&value),
            Meaning::Request => self.request_id = id(&value),
        }
    }

    /// The one thing that was found so far.
    fn meaning(&self) -> Option<Meaning> {
        let found = [
            (self.time.is_some(), Meaning::Time),
            (self.level != Level::Unknown, Meaning::Level),
            (!self.event.is_empty(), Meaning::Event),
            (!self.message.is_empty(), Meaning::Message),
            (
                !self.error.is_empty() || self.errno.is_some(),
                Meaning::Error,
            ),
            (!self.reason.is_empty(), Meaning::Reason),
            (self.close_code.is_some(), Meaning::Code),
            (self.status.is_some(), Meaning::Status),
            (!self.client.is_empty(), Meaning::Client),
            (self.client_port.is_some(), Meaning::Port),
            (
                self.connection_id.is_some() || self.id.is_some(),
                Meaning::Connection,
            ),
            (self.session.is_some(), Meaning::Session),
            (self.pid.is_some(), Meaning::Pid),
            (self.hostname.is_some(), Meaning::Host),
            (self.uri.is_some(), Meaning::Uri),
            (self.ws_key.is_some(), Meaning::Key),
            (self.request_id.is_some(), Meaning::Request),
        ];
        found.into_iter().find(|(is, _)| *is).map(|(_, m)| m)
    }

    /// One key and value; `parent` is the normalised key of the object it stands in.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        parent: &[u8],
        value: Text<'a>,
        depth: u8,
        assumed: LocalZone,
    ) {
        if value.is_empty() {
            return;
        }
        let mut buffer = [0; 32];
        let key = normal(key, &mut buffer);
        if matches!(parent, b"err" | b"error" | b"exception" | b"cause" | b"exc") {
            match key {
                b"message" | b"msg" => set(&mut self.error, value),
                b"type" | b"name" | b"class" if self.error.is_empty() => {}
                b"stack" | b"stacktrace" => self.has_stack = true,
                b"code" | b"errno" if !value.iter().all(|c| c.is_ascii_digit() || *c == b'-') => {
                    self.errno = Some(value);
                }
                _ => {}
            }
            return;
        }
        match key {
            key if is_time(key) => {
                if (self.time.is_none() || depth < self.time_depth)
                    && let Some(found) = time(&value, assumed)
                {
                    (self.time, self.time_depth) = (Some(found), depth);
                }
            }
            b"level" | b"severity" | b"levelname" | b"lvl" | b"l" | b"loglevel"
                if self.level == Level::Unknown =>
            {
                self.level = Level::of(&value);
            }
            b"msg" | b"message" | b"m" | b"mt" | b"textpayload" | b"text" => {
                set(&mut self.message, value)
            }
            b"event" | b"eventname" | b"evt" | b"eventtype" | b"action" => {
                set(&mut self.event, value)
            }
            b"log" if depth == 1 => set(&mut self.message, value),
            b"error" | b"err" | b"exception" | b"errormessage" | b"excinfo" | b"x" | b"exc"
            | b"errmsg" => {
                if matches!(value.as_ref(), b"null" | b"false") {
                    return;
                }
                if text::contains(&value, b"\n    at ") || text::contains(&value, b"Traceback") {
                    self.has_stack = true;
                }
                set(&mut self.error, value);
            }
            b"stack" | b"stacktrace" => self.has_stack = true,
            b"reason" | b"closereason" | b"closemessage" | b"description" | b"why"
                if !matches!(
                    value.as_ref(),
                    b"null" | b"undefined" | b"None" | b"null]" | b"null)"
                ) =>
            {
                set(&mut self.reason, value);
            }
            key if is_code(key) => match small(&value).or_else(|| named_code(&value)) {
                Some(c @ 1000..=4999) => self.close_code = Some(c),
                Some(c @ 100..=599) => self.status = Some(c),
                _ if key.ends_with(b"code")
                    && value.len() >= 4
                    && value.len() <= 48
                    && value
                        .iter()
                        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == b'_')
                    && value[0].is_ascii_uppercase() =>
                {
                    self.errno = Some(value);
                }
                _ => {}
            },
            b"errno" if value[0].is_ascii_uppercase() => self.errno = Some(value),
            b"ip" | b"clientip" | b"remoteaddress" | b"remoteaddr" | b"remoteip" | b"peer"
            | b"client" | b"clientaddr" | b"clientaddress" | b"address" | b"addr" | b"remote"
            | b"peername" | b"peeraddr" | b"peerip" | b"sourceip" | b"srcip" | b"userip"
            | b"host"
                if !self.peer(&value) && key == b"client" =>
            {
                self.session = self.session.take().or_else(|| id(&value));
            }
            b"xforwardedfor" | b"xff" | b"forwardedfor" | b"xrealip" | b"realip" => {
                let list = text::addresses(&value);
                // The header reaches further than the peer's address.
                if !list.is_empty() && list.len() >= self.client.len() {
                    self.client = list;
                }
            }
            b"clientid" | b"clientkey" if !self.peer(&value) => {
                self.session = self.session.take().or_else(|| id(&value));
            }
            b"clientport" | b"remoteport" | b"peerport" | b"srcport" | b"sourceport" => {
                self.client_port = small(&value)
            }
            b"port" | b"listenport" => self.port = small(&value),
            b"connid" | b"connectionid" | b"socketid" | b"sid" | b"wsid" | b"conn"
            | b"connection" | b"cid" | b"socket" | b"connuuid" | b"channelid" | b"peerid"
            | b"streamid"
                if self.connection_id.is_none()
                    && !matches!(
                        value.as_ref(),
                        b"Upgrade" | b"upgrade" | b"close" | b"keep-alive"
                    ) =>
            {
                self.connection_id = id(&value);
            }
            b"id" if depth <= 2 => self.id = id(&value),
            b"sessionid" | b"session" | b"sess" | b"userid" | b"user" | b"uid" | b"username"
            | b"playerid" | b"token" | b"deviceid" | b"accountid"
                if (self.session.is_none() || key.starts_with(b"session")) =>
            {
                self.session = id(&value);
            }
            b"pid" | b"processid" | b"process" => {
                self.pid = text::unsigned(&value)
                    .and_then(|p| u32::try_from(p).ok())
                    .or(self.pid);
            }
            b"hostname" | b"machine" | b"node" | b"pod" => self.hostname = id(&value),
            b"url" | b"uri" | b"path" | b"requesturl" | b"requesturi" | b"requrl"
            | b"requestpath" => {
                let (path, _) = text::relative(&value);
                if path.first() == Some(&b'/') {
                    self.uri = Some(text::string(path));
                }
            }
            // Who logs the query alone logs whose connection it is.
            b"query" | b"querystring" if self.uri.is_none() && value.contains(&b'=') => {
                self.uri = Some(format!("?{}", text::string(&value)));
            }
            b"secwebsocketkey" | b"wskey" | b"swk" | b"websocketkey" | b"httpsecwebsocketkey" => {
                self.ws_key = id(&value)
            }
            b"requestid" | b"reqid" | b"xrequestid" | b"traceid" | b"correlationid"
            | b"amzntraceid" => {
                self.request_id = self.request_id.take().or_else(|| id(&value));
            }
            _ => {}
        }
    }

    /// An address, or a list of them from the outermost client on.
    fn peer(&mut self, value: &[u8]) -> bool {
        let list = text::addresses(value);
        if list.is_empty() {
            return false;
        }
        if list.len() == 1
            && let Some((_, Some(port))) = text::address(value)
        {
            self.client_port = Some(port);
        }
        if self.client.len() < list.len() {
            self.client = list;
        }
        true
    }

    /// The words for the classifier.
    pub(super) fn said(&self) -> Said<'_> {
        Said {
            event: &self.event,
            message: &self.message,
            error: &self.error,
            errno: self.errno.as_deref(),
            reason: &self.reason,
            level: self.level,
            close_code: self.close_code,
            status: self.status,
            port: self.port,
            has_peer: !self.client.is_empty()
                || self.connection_id.is_some()
                || self.session.is_some(),
            has_id: self.id.is_some(),
            has_stack: self.has_stack,
        }
    }

    /// All that the classifier looks for phrases in.
    pub(super) fn words(&self) -> [&[u8]; 5] {
        let errno = self.errno.as_deref().unwrap_or(b"");
        [&self.event, &self.message, &self.error, errno, &self.reason]
    }

    pub(super) fn is_record(&self) -> bool {
        !self.event.is_empty()
            || !self.message.is_empty()
            || self.time.is_some() && self.level != Level::Unknown
    }
}

/// What was found in a record, and under which of its keys.
pub(super) fn meanings(
    leaves: &[Leaf<'_>],
    assumed: LocalZone,
    map: &FieldMap,
    found: &mut BTreeSet<(&'static str, String)>,
) {
    /// More than these are no mapping any more.
    const MOST: usize = 64;
    for (i, leaf) in leaves.iter().enumerate() {
        if leaf.kind == Kind::Tree
            || leaf.key.is_empty()
            || leaf.key.len() > 64
            || found.len() >= MOST
        {
            continue;
        }
        let meaning = map.meaning(leaf.key, || json::path(leaves, i)).or_else(|| {
            let mut buffer = [0; 32];
            let parent = leaves.get(leaf.parent).map_or(&b""[..], |p| p.key);
            let parent = normal(parent, &mut buffer);
            let mut alone = Fields::default();
            alone.put(leaf.key, parent, leaf.text(), leaf.depth, assumed);
            alone.meaning()
        });
        if let Some(meaning) = meaning {
            found.insert((meaning.name(), json::path(leaves, i)));
        }
    }
}

fn set<'a>(place: &mut Text<'a>, value: Text<'a>) {
    if place.is_empty() {
        *place = value;
    }
}

/// A time in any spelling: number since the epoch, ISO 8601, asctime, CLF.
pub(super) fn time(value: &[u8], assumed: LocalZone) -> Option<(Stamp, Zone)> {
    if let Some(stamp) = stamp::epoch(value) {
        return Some((
            stamp,
            Zone {
                offset_s: 0,
                basis: ZoneBasis::Epoch,
            },
        ));
    }
    let date = stamp::iso(value)
        .or_else(|| stamp::clf(value))
        .or_else(|| stamp::asctime(value))?;
    Some(date.stamp(assumed))
}

/// Keys and values of what Node's `util.inspect` and Python's `repr` print: `{ sessionId: '7f3a', code: 1006 }`.
pub(super) fn inspected(object: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
    let mut rest = object;
    loop {
        rest = rest.trim_ascii_start();
        let Some(c) = rest.first() else { return };
        if matches!(c, b'{' | b'}' | b',' | b'[' | b']' | b'(' | b')') {
            rest = &rest[1..];
            continue;
        }
        let (key, after) = match c {
            b'\'' | b'"' => {
                let Some(n) = text::quoted(&rest[1..], *c) else {
                    return;
                };
                (&rest[1..=n], &rest[n + 2..])
            }
            _ => {
                let n = rest
                    .iter()
                    .position(|c| {
                        !(c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b'$'))
                    })
                    .unwrap_or(rest.len());
                if n == 0 {
                    rest = &rest[1..];
                    continue;
                }
                rest.split_at(n)
            }
        };
        let after = after.trim_ascii_start();
        let Some(value) = after.strip_prefix(b":") else {
            rest = after;
            continue;
        };
        let value = value.trim_ascii_start();
        match value.first() {
            Some(q @ (b'\'' | b'"' | b'`')) => {
                let n = text::quoted(&value[1..], *q).unwrap_or(value.len() - 1);
                each(key, &value[1..=n]);
                rest = value.get(n + 2..).unwrap_or(b"");
            }
            // An object or a list: its own keys follow.
            Some(b'{' | b'[') => rest = value,
            _ => {
                let n = value
                    .iter()
                    .position(|c| matches!(c, b',' | b'}' | b']' | b'\n'))
                    .unwrap_or(value.len());
                each(key, value[..n].trim_ascii());
                rest = &value[n..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_by_their_names() {
        for (value, want) in [
            ("<CloseCode.ABNORMAL_CLOSURE:", Some(1006)),
            ("<CloseCode.GOING_AWAY: 1001>", Some(1001)),
            ("CloseCode.INTERNAL_ERROR", Some(1011)),
            ("CloseCode.OTHER", None),
            ("INTERNAL_ERROR", None),
        ] {
            assert_eq!(named_code(value.as_bytes()), want, "{value}");
        }
    }

    #[test]
    fn inspected_objects() {
        let check = |text: &str, want: &[(&str, &str)]| {
            let mut got = Vec::new();
            inspected(text.as_bytes(), |k, v| {
                got.push((text::string(k), text::string(v)))
            });
            let got: Vec<_> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(got, want, "{text}");
        };
        check(
            "{ sessionId: '7f3a...', code: 1006 }",
            &[("sessionId", "7f3a..."), ("code", "1006")],
        );
        check(
            "{'code': 1006, 'peer': ('10.0.0.1', 5000)}",
            &[("code", "1006"), ("peer", "('10.0.0.1'")],
        );
        check("{ a: { b: \"x\" }, c: [ 1 ] }", &[("b", "x")]);
        check("{ a: 'never closed", &[("a", "never closed")]);
        check("{{{{:::", &[]);
    }
}
