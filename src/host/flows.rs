//! What a firewall, NAT or connection table says of one TCP flow, whatever its format -> a line that finds its connection by addresses and ports.

use super::Found;
use crate::model::{HopEvent, HopKind, HopLine, Line, RecordRef, Stamp};
use std::net::{IpAddr, SocketAddr};

/// One direction of a flow as a middlebox names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

impl Tuple {
    pub(super) fn new(
        from: Option<IpAddr>,
        from_port: Option<u16>,
        to: Option<IpAddr>,
        to_port: Option<u16>,
    ) -> Option<Self> {
        let end = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
        Some(Self {
            from: end(from?, from_port?),
            to: end(to?, to_port?),
        })
    }

    pub(super) const fn turned(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }
}

/// TCP flags as far as a middlebox's verdict depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    pub(super) syn: bool,
    /// FIN or RST: late ones of a flow that was over are refused everywhere, and mean nothing.
    pub(super) over: bool,
}

impl Flags {
    /// A refused packet that belonged to the middle of a flow.
    pub(super) const fn in_the_middle(self) -> bool {
        !self.syn && !self.over
    }
}

pub(super) fn emit(
    found: &mut Found<'_>,
    record: RecordRef,
    at: Stamp,
    what: HopEvent,
    tuple: Tuple,
) {
    (found.emit)(Line::Hop(HopLine {
        record,
        hop: HopKind::Firewall,
        at,
        level: None,
        pid: None,
        what,
        serial: None,
        client: Some(tuple.from.ip()),
        client_port: Some(tuple.from.port()),
        uri: None,
        upstream: Some(tuple.to),
        host: None,
    }));
}

/// Field and value of a flow, for the Raw view.
pub(super) fn fields(what: Option<HopEvent>, tuple: Tuple) -> Vec<(String, String)> {
    let mut all = vec![
        ("from".to_owned(), tuple.from.to_string()),
        ("to".to_owned(), tuple.to.to_string()),
    ];
    all.extend(what.map(|w| ("event".to_owned(), format!("{w:?}"))));
    all
}
