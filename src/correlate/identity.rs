//! Request URIs, cookies and application fields -> the identity of a client that outlives one connection.

use crate::model::{AppLine, LegObservation, TunnelLine};

/// Query parameters that carry an identity, most telling first. What is not listed is still taken where it is the only parameter.
const NAMES: &[&str] = &[
    "session",
    "session_id",
    "sessionid",
    "sessid",
    "sess",
    "token",
    "access_token",
    "auth",
    "jwt",
    "ticket",
    "client",
    "client_id",
    "clientid",
    "user",
    "user_id",
    "userid",
    "uid",
    "device",
    "device_id",
    "deviceid",
    "id",
    "key",
    "connectiontoken",
    "vsn_token",
];

/// Parameters that say how to talk, never who talks (Engine.IO, SignalR, Phoenix, caches).
const NEVER: &[&str] = &[
    "eio",
    "transport",
    "t",
    "v",
    "vsn",
    "version",
    "b64",
    "encoding",
    "compress",
    "lang",
    "room",
    "channel",
];

/// What programs print where there is no value: many clients have these in common.
const NOBODY: &[&str] = &["null", "undefined", "none", "nil", "nan", "anonymous"];

/// The identity in a request's URI: `/ws?session=u1-7f` -> `u1-7f`.
pub(super) fn token(uri: &str) -> Option<String> {
    let query = uri.split_once('?')?.1;
    let query = query.split('#').next().unwrap_or(query);
    let pairs: Vec<(String, &str)> = query
        .split('&')
        .filter_map(|p| p.split_once('='))
        .filter(|(_, v)| v.len() >= 2 && !NOBODY.contains(&v.to_ascii_lowercase().as_str()))
        .map(|(k, v)| (k.to_ascii_lowercase().replace('-', "_"), v))
        .collect();
    for name in NAMES {
        if let Some((_, v)) = pairs.iter().find(|(k, _)| k == name) {
            return Some((*v).to_owned());
        }
    }
    match pairs.as_slice() {
        [(k, v)] if v.len() >= 6 && !NEVER.contains(&k.as_str()) => Some((*v).to_owned()),
        _ => None,
    }
}

/// Whether a request's URI names `who` under any parameter that carries an identity: beside a session token often stands the user.
pub(super) fn names(uri: &str, who: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or(query);
    let named = |k: &str| {
        let k = k.to_ascii_lowercase().replace('-', "_");
        NAMES.contains(&k.as_str())
    };
    query
        .split('&')
        .filter_map(|p| p.split_once('='))
        .any(|(k, v)| v == who && named(k))
}

pub(super) use crate::model::attempt::path;

pub(super) fn of_leg(leg: &LegObservation) -> Option<String> {
    let request = leg.request.as_ref()?;
    token(&request.uri).or_else(|| cookie(request.cookie.as_deref()?))
}

pub(super) fn of_tunnel(line: &TunnelLine) -> Option<String> {
    token(line.uri.as_deref()?)
}

pub(super) fn of_app(line: &AppLine) -> Option<String> {
    line.session.clone().or_else(|| token(line.uri.as_deref()?))
}

/// A session cookie: `sid=…`, `connect.sid=…`, `JSESSIONID=…`.
fn cookie(header: &str) -> Option<String> {
    header
        .split(';')
        .filter_map(|c| c.trim().split_once('='))
        .find_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            (value.len() >= 6
                && (name.contains("sess") || name.ends_with("sid") || name == "token"))
                .then(|| value.to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        for (uri, want) in [
            ("/ws?session=user1-7f", Some("user1-7f")),
            ("/ws?EIO=4&transport=websocket&sid=abcdef12", None),
            ("/ws?room=blue1234", None),
            ("/ws?x=8a6fdd00", Some("8a6fdd00")),
            ("/ws?x=1", None),
            ("/ws?token=undefined", None),
            ("/ws?token=undefined&user=u7", Some("u7")),
            ("/ws", None),
            ("/ws?lang=de&token=t0k3n#x", Some("t0k3n")),
        ] {
            assert_eq!(token(uri).as_deref(), want, "{uri}");
        }
        assert_eq!(
            cookie("a=b; connect.sid=s%3Aabc"),
            Some("s%3Aabc".to_owned())
        );
    }
}
