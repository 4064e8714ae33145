//! What captures show of a connection's WebSocket -> rows of its head: what it speaks, how it is compressed, its heartbeats, what it breaks.

use crate::model::{
    BeatKind, Connection, Direction, Heartbeat, LegObservation, MILLI_NS, heartbeats, say_duration,
};

/// A name longer than this is a token that somebody put where a subprotocol belongs.
const MAX_NAME: usize = 40;
/// Rows for heartbeats; a connection has one or two.
const MAX_BEATS: usize = 3;

/// Names and texts, in the order they are shown.
pub(super) fn rows(c: &Connection) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    rows.extend(speaks(c).map(|say| ("speaks", say)));
    rows.extend(compression(c).map(|say| ("compression", say)));
    rows.extend(beats(c).into_iter().map(|say| ("heartbeat", say)));
    rows.extend(violations(c).map(|say| ("violations", say)));
    rows
}

fn observations(c: &Connection) -> impl Iterator<Item = &LegObservation> {
    c.legs.iter().flat_map(|l| &l.observations)
}

/// The subprotocol (RFC 6455 1.9) that was agreed on, or what shows it where the handshake names none.
fn speaks(c: &Connection) -> Option<String> {
    let agreed = observations(c)
        .filter_map(|o| o.response.as_ref())
        .filter(|r| r.upgraded())
        .find_map(|r| r.protocol.as_deref());
    if let Some(name) = agreed {
        let name = plain(name.trim());
        return Some(match meaning(&name) {
            Some(what) => format!("{name} ({what})"),
            None => name,
        });
    }
    let offered = observations(c)
        .filter(|o| o.response.as_ref().is_some_and(|r| r.upgraded()))
        .filter_map(|o| o.request.as_ref())
        .find_map(|r| r.protocol.as_deref());
    if let Some(list) = offered {
        let names: Vec<String> = list.split(',').map(|n| plain(n.trim())).collect();
        return Some(format!(
            "no subprotocol: the server took none of {}",
            names.join(", ")
        ));
    }
    let query = c.request.uri.as_deref().and_then(|u| u.split_once('?'));
    let version = query.and_then(|(_, q)| q.split('&').find_map(|p| p.strip_prefix("EIO=")));
    if let Some(version) = version.filter(|v| v.len() == 1) {
        return Some(format!("Engine.IO {} (by its query)", plain(version)));
    }
    let kinds = observations(c).flat_map(|o| &o.pings).map(|p| p.kind);
    kinds
        .filter_map(family)
        .min()
        .map(|f| format!("{f} (by its heartbeats)"))
}

const fn family(kind: BeatKind) -> Option<&'static str> {
    Some(match kind {
        BeatKind::EngineIo => "Engine.IO",
        BeatKind::Mqtt => "MQTT",
        BeatKind::Ocpp => "OCPP",
        BeatKind::Phoenix => "Phoenix channels",
        BeatKind::SignalR => "SignalR",
        BeatKind::Stomp => "STOMP",
        BeatKind::SockJs => "SockJS",
        BeatKind::GraphqlKeepAlive => "GraphQL",
        BeatKind::Frame | BeatKind::Word | BeatKind::Json => return None,
    })
}

/// Names of IANA's registry (websocket.xhtml) and others in wide use.
fn meaning(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    Some(match lower.as_str() {
        "mqtt" | "mqttv3.1" => "MQTT",
        "graphql-transport-ws" => "GraphQL over WebSocket",
        "graphql-ws" => "GraphQL, the older protocol of subscriptions-transport-ws",
        "wamp" | "wamp.2.json" | "wamp.2.msgpack" | "wamp.2.cbor" => "WAMP",
        "actioncable-v1-json" => "Rails Action Cable",
        "sip" => "SIP",
        "xmpp" => "XMPP",
        "vite-hmr" => "Vite's development server",
        name if name.starts_with("v10.stomp")
            || name.starts_with("v11.stomp")
            || name.starts_with("v12.stomp") =>
        {
            "STOMP"
        }
        name if name.starts_with("ocpp") => "OCPP, charge points",
        name if name.ends_with("channel.k8s.io") => "Kubernetes exec, attach or port-forward",
        _ => return None,
    })
}

/// A name as it is, and nothing else that stands in its place.
fn plain(name: &str) -> String {
    let fine = |ch: char| ch.is_ascii_alphanumeric() || "!#$&'*+-.^_|~/:".contains(ch);
    if name.len() <= MAX_NAME && !name.is_empty() && name.chars().all(fine) {
        name.to_owned()
    } else {
        format!("({} characters)", name.chars().count())
    }
}

/// What permessage-deflate was agreed on, and what of it stayed unread; of the leg that tells most.
fn compression(c: &Connection) -> Option<String> {
    let found = observations(c)
        .filter_map(|o| o.compression)
        .max_by_key(|c| (c.agreed, c.to_server.messages + c.to_client.messages))?;
    let (up, down) = (found.to_server, found.to_client);
    let agreed = match (found.agreed, up.say(), down.say()) {
        (false, ..) => "in use, its handshake is not in a capture".to_owned(),
        (true, up, down) if up == down => format!("permessage-deflate ({up})"),
        (true, up, down) => format!("permessage-deflate (client: {up}; server: {down})"),
    };
    let messages = up.messages + down.messages;
    let unread = match up.unread + down.unread {
        0 => String::new(),
        n => format!(", {n} of them short texts that could not be read"),
    };
    let plural = if messages == 1 { "" } else { "s" };
    Some(format!("{agreed}, {messages} message{plural}{unread}"))
}

/// The heartbeats as seen nearest to the server, where what it got back is seen.
fn beats(c: &Connection) -> Vec<String> {
    let both = |o: &&LegObservation| o.to_server.packets > 0 && o.to_client.packets > 0;
    let with = || {
        c.legs
            .iter()
            .rev()
            .flat_map(|l| &l.observations)
            .filter(|o| !o.pings.is_empty())
    };
    let Some(o) = with().find(both).or_else(|| with().next()) else {
        return Vec::new();
    };
    let inferred = o.tls.as_ref().is_some_and(|t| t.inferred_pings);
    heartbeats(o)
        .iter()
        .take(MAX_BEATS)
        .map(|h| say(h, inferred))
        .collect()
}

fn say(h: &Heartbeat, inferred: bool) -> String {
    let by = match h.direction {
        Direction::ToClient => "server",
        Direction::ToServer => "client",
    };
    let mut parts = Vec::new();
    let period = h.period_ns.map_or_else(String::new, |p| {
        format!(" every {}", say_duration(round(p)))
    });
    parts.push(format!("{} seen", h.sent));
    // A kind that nobody answers has nothing to miss but itself.
    match h.unanswered {
        Some(0) if h.sent > 0 => parts.push("all answered".to_owned()),
        Some(n) => parts.push(format!("{n} unanswered")),
        None if h.kind.answers() => parts.push("answers not in the capture".to_owned()),
        None => parts.push("this kind has no answer".to_owned()),
    }
    if h.skipped > 0 {
        parts.push(format!("{} left out", h.skipped));
    }
    if let Some((middle, longest)) = h.round_trip_ns {
        parts.push(format!(
            "round trip {} (longest {})",
            say_duration(middle),
            say_duration(longest)
        ));
    }
    let period_ns = h.period_ns.unwrap_or(0);
    if h.spread_ns > period_ns / 10 && h.skipped == 0 {
        parts.push(format!("spread {}", say_duration(round(h.spread_ns))));
    }
    if h.drift_ns.abs() > (period_ns / 100).max(MILLI_NS) {
        let way = if h.drift_ns > 0 { "slower" } else { "faster" };
        parts.push(format!(
            "drifts {} {way}",
            say_duration(round(h.drift_ns.abs()))
        ));
    }
    let how = if inferred {
        ", inferred from sizes and times"
    } else {
        ""
    };
    format!(
        "{} by the {by}{period}: {}{how}",
        h.kind.name(),
        parts.join(", ")
    )
}

/// To the millisecond, from 100 ms on.
const fn round(ns: i64) -> i64 {
    if ns < 100 * MILLI_NS {
        return ns;
    }
    (ns + MILLI_NS / 2) / MILLI_NS * MILLI_NS
}

/// What broke RFC 6455, each named once.
fn violations(c: &Connection) -> Option<String> {
    let mut all: Vec<&str> = observations(c)
        .flat_map(|o| &o.violations)
        .map(String::as_str)
        .collect();
    all.sort_unstable();
    all.dedup();
    (!all.is_empty()).then(|| all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_in_words() {
        let beat = Heartbeat {
            kind: BeatKind::Frame,
            direction: Direction::ToClient,
            sent: 9,
            unanswered: Some(2),
            period_ns: Some(25_000_400_000),
            spread_ns: 3 * MILLI_NS,
            drift_ns: 0,
            skipped: 0,
            round_trip_ns: Some((400_000, 2 * MILLI_NS)),
        };
        let check = |beat: Heartbeat, expected: &str| assert_eq!(say(&beat, false), expected);
        check(
            beat,
            "WebSocket ping by the server every 25 s: 9 seen, 2 unanswered, round trip 400 us (longest 2 ms)",
        );
        check(
            Heartbeat {
                kind: BeatKind::Stomp,
                direction: Direction::ToServer,
                unanswered: None,
                round_trip_ns: None,
                skipped: 3,
                drift_ns: 400 * MILLI_NS,
                ..beat
            },
            "STOMP heart-beat by the client every 25 s: 9 seen, this kind has no answer, 3 left out, drifts 400 ms slower",
        );
        check(
            Heartbeat {
                sent: 1,
                unanswered: None,
                period_ns: None,
                spread_ns: 0,
                round_trip_ns: None,
                ..beat
            },
            "WebSocket ping by the server: 1 seen, answers not in the capture",
        );
    }

    #[test]
    fn a_token_is_no_subprotocol() {
        assert_eq!(plain("graphql-transport-ws"), "graphql-transport-ws");
        assert_eq!(plain(&"x".repeat(60)), "(60 characters)");
        assert_eq!(plain("a\u{1b}[2J"), "(5 characters)");
        assert_eq!(meaning("ocpp1.6"), Some("OCPP, charge points"));
    }
}
