//! Legs and lines -> the moments in them that another source may have stamped as well, by what both would call them.

use super::super::identity;
use crate::model::{AppEvent, HopEvent, LegObservation, Line, Mark, Response, SourceId, Stamp};
use std::net::IpAddr;

/// Something that another source may have stamped as well.
pub(super) struct Point {
    pub(super) source: SourceId,
    pub(super) key: Key,
    pub(super) opening: bool,
    pub(super) at: i64,
    pub(super) tick: i64,
}

#[derive(PartialEq, Eq, Hash)]
pub(super) enum Key {
    Endpoint(IpAddr, u16),
    Token(String),
    /// The same of an attempt that was refused: a client asks again and again, and an application tells of what it granted alone.
    Refused(String),
    Serial(u64, Option<IpAddr>),
    Packet(std::net::SocketAddr, std::net::SocketAddr),
    /// An address alone: many connections may share it.
    Address(IpAddr),
}

/// All points, or no more than those of the `first` observation that has any.
pub(super) fn points(legs: &[LegObservation], lines: &[Line], first: bool) -> Vec<Point> {
    let mut all = Vec::new();
    for leg in legs {
        leg_points(leg, &mut all);
        if first && !all.is_empty() {
            return all;
        }
    }
    for line in lines {
        line_points(line, &mut all);
        if first && !all.is_empty() {
            return all;
        }
    }
    all
}

fn leg_points(leg: &LegObservation, all: &mut Vec<Point>) {
    let mut add = |key: Key, opening: bool, mark: Mark| {
        all.push(Point {
            source: mark.record.source,
            key,
            opening,
            at: mark.at.0,
            tick: 1_000,
        });
    };
    let opened = leg
        .response
        .as_ref()
        .map(|r| r.mark)
        .or(leg.request.as_ref().map(|r| r.mark))
        .or(leg.syn);
    let granted = leg
        .response
        .as_ref()
        .map_or_else(|| leg.request.is_none(), Response::upgraded);
    let named: fn(String) -> Key = if granted { Key::Token } else { Key::Refused };
    let token = identity::of_leg(leg);
    let forwarded: Vec<IpAddr> = leg
        .request
        .as_ref()
        .and_then(|r| r.forwarded_for.as_deref())
        .map(addresses)
        .unwrap_or_default();
    if let Some(mark) = opened {
        add(Key::Packet(leg.client, leg.server), true, mark);
        add(
            Key::Endpoint(leg.client.ip(), leg.client.port()),
            true,
            mark,
        );
        if let Some(token) = &token {
            add(named(token.clone()), true, mark);
        }
        for ip in forwarded.iter().chain([&leg.client.ip()]) {
            add(Key::Address(*ip), true, mark);
        }
    }
    if let Some(mark) = first_teardown(leg) {
        add(Key::Packet(leg.client, leg.server), false, mark);
        add(
            Key::Endpoint(leg.client.ip(), leg.client.port()),
            false,
            mark,
        );
        if let Some(token) = token {
            add(named(token), false, mark);
        }
        for ip in forwarded.iter().chain([&leg.client.ip()]) {
            add(Key::Address(*ip), false, mark);
        }
    }
}

/// The earliest Close, FIN or RST of a leg.
pub(in crate::correlate) fn first_teardown(leg: &LegObservation) -> Option<Mark> {
    let shape = leg.tls.as_ref().and_then(|t| t.close_shape);
    [&leg.to_server, &leg.to_client]
        .into_iter()
        .flat_map(|f| {
            [
                f.close.as_ref().map(|c| c.mark),
                f.ended(),
                f.rst.map(|r| r.mark),
            ]
        })
        .chain([shape.map(|s| s.sent)])
        .flatten()
        .min_by_key(|m| (m.at, m.record.ordinal))
}

fn line_points(line: &Line, all: &mut Vec<Point>) {
    let source = line.record().source;
    let mut add = |key: Key, opening: bool, stamp: Stamp| {
        all.push(Point {
            source,
            key,
            opening,
            at: stamp.middle().0,
            tick: stamp.tick_ns,
        });
    };
    match line {
        Line::Tunnel(t) => {
            let token = identity::of_tunnel(t);
            let granted = t.status.is_none_or(|s| s == 101);
            let named: fn(String) -> Key = if granted { Key::Token } else { Key::Refused };
            // The request comes before the answer by the handshake's own time, which is short against any clock error worth correcting.
            for (opening, stamp) in [(true, t.start), (false, t.end)] {
                let Some(stamp) = stamp else { continue };
                if let (Some(ip), Some(port)) = (t.client, t.client_port) {
                    add(Key::Endpoint(ip, port), opening, stamp);
                }
                // The same as the client that the upstream's log or capture names.
                if let Some(own) = t.upstream_local.as_deref() {
                    let ip = own.ip().to_canonical();
                    add(Key::Endpoint(ip, own.port()), opening, stamp);
                }
                if let Some(token) = &token {
                    add(named(token.clone()), opening, stamp);
                }
                if let Some(serial) = t.serial.filter(|_| !opening) {
                    add(Key::Serial(serial, t.client), opening, stamp);
                }
                if t.status == Some(101) {
                    for ip in t.forwarded_for.iter().chain(&t.client) {
                        add(Key::Address(*ip), opening, stamp);
                    }
                }
            }
        }
        Line::Hop(h) => {
            // Only lines that stand at the end of their connection or attempt.
            let ending = matches!(
                h.what,
                HopEvent::IdleTimeout
                    | HopEvent::UpstreamRefused
                    | HopEvent::HandshakeTimeout
                    | HopEvent::UpstreamClosedEarly
                    | HopEvent::TcpTimeout
                    | HopEvent::ResetWhileUpgraded
            );
            if !ending {
                return;
            }
            if let Some(serial) = h.serial {
                add(Key::Serial(serial, h.client), false, h.at);
            }
            if let (Some(ip), Some(port)) = (h.client, h.client_port) {
                add(Key::Endpoint(ip, port), false, h.at);
            }
            if let Some(token) = h.uri.as_deref().and_then(identity::token) {
                let stood = matches!(
                    h.what,
                    HopEvent::IdleTimeout | HopEvent::TcpTimeout | HopEvent::ResetWhileUpgraded
                );
                let named: fn(String) -> Key = if stood { Key::Token } else { Key::Refused };
                add(named(token), false, h.at);
            }
        }
        Line::App(a) => {
            let opening = match a.what {
                AppEvent::Open => true,
                AppEvent::Close { .. } => false,
                _ => return,
            };
            if let (Some(&ip), Some(port)) = (a.client.first(), a.client_port) {
                add(Key::Endpoint(ip, port), opening, a.at);
            }
            if let Some(token) = identity::of_app(a) {
                add(Key::Token(token), opening, a.at);
            }
            for ip in &a.client {
                add(Key::Address(*ip), opening, a.at);
            }
        }
    }
}

/// The addresses of an X-Forwarded-For value, in order; what is no address is left out.
pub(in crate::correlate) fn addresses(list: &str) -> Vec<IpAddr> {
    list.split(',').filter_map(|a| address(a.trim())).collect()
}

/// An address with or without a port or brackets, IPv4-mapped ones as IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let ip = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<std::net::SocketAddr>().map(|a| a.ip()))
        .or_else(|_| text.trim_matches(['[', ']']).parse())
        .ok()?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_lists() {
        assert_eq!(
            addresses("203.0.113.9, ::ffff:10.0.0.1, unknown, [2001:db8::1]:443"),
            ["203.0.113.9", "10.0.0.1", "2001:db8::1"].map(|a| a.parse::<IpAddr>().unwrap())
        );
    }
}
