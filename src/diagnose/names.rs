//! A connection's path, its configuration and its headers -> what a verdict calls its hops, places and time-outs.

use super::compose::Names;
use super::extract::{Subject, timers};
use crate::model::TimeoutKind;
use std::borrow::Cow;

/// What a verdict calls the hops and places of this connection.
pub(super) fn names(s: &Subject<'_>) -> Names {
    let proxy = s.c.hops.iter().find(|h| h.kind.is_proxy());
    let hop =
        s.c.closer
            .hop
            .clone()
            .or_else(|| proxy.map(|h| h.name.clone()))
            .map(Cow::into_owned);
    let uri = s.c.request.uri.as_deref().unwrap_or("");
    let mut best: Option<(i64, String)> = None;
    let mut location: Option<(bool, String)> = None;
    for settings in &s.context.settings {
        let Some(route) = settings.route(uri) else {
            continue;
        };
        let path = s.context.paths.get(settings.source.0 as usize);
        if let (Some(line), Some(path)) = (route.line, path) {
            // The place to change is that of the hop that ended it, where its settings are known.
            let own = hop
                .as_deref()
                .is_some_and(|h| h.contains(settings.hop.name()));
            if location.as_ref().is_none_or(|(known, _)| own && !known) {
                location = Some((own, format!("{} ({path}:{line})", route.name)));
            }
        }
        for t in route
            .timeouts
            .iter()
            .filter(|t| t.kind == TimeoutKind::Idle)
        {
            if best.as_ref().is_none_or(|(ns, _)| t.value_ns < *ns) {
                best = Some((t.value_ns, timers::name(t, path, settings.hop)));
            }
        }
    }
    let (timeout_ns, timeout_name) = best.unzip();
    Names {
        hop,
        server: s
            .c
            .hops
            .last()
            .and_then(|h| h.address)
            .map(|a| format!("the server {a}")),
        client: s.c.client.ip.map(|ip| format!("the client {ip}")),
        location: location.map(|(_, place)| place),
        timeout_ns,
        timeout_name,
        stack: stack(s),
    }
}

/// The library or server of the application: by its own header, else by a path that only it uses.
pub(super) fn stack(s: &Subject<'_>) -> Option<&'static str> {
    /// A part of the `Server` header, in lower case.
    const HEADERS: &[(&str, &str)] = &[
        ("uvicorn", "uvicorn"),
        ("daphne", "daphne"),
        ("tornadoserver", "tornado"),
        (" websockets/", "python-websockets"),
        ("cowboy", "phoenix"),
    ];
    const PATHS: &[(&str, &str)] = &[("/socket.io/", "socket.io"), ("/signalr", "signalr")];
    let uri = s.c.request.uri.as_deref().unwrap_or("");
    let by_path = PATHS.iter().find(|(part, _)| uri.contains(part));
    let headers = s
        .observations()
        .filter_map(|(_, o)| o.response.as_ref()?.server.as_deref());
    by_path
        .or_else(|| {
            headers
                .map(str::to_ascii_lowercase)
                .find_map(|h| HEADERS.iter().find(|(part, _)| h.contains(part)))
        })
        .map(|(_, stack)| *stack)
}
