//! The bytes of a TLS leg -> what is inside them where the case holds its keys, and what its records tell where it does not.

mod hello;
pub(super) mod keylog;
#[cfg(feature = "tls")]
mod open;
#[cfg(not(feature = "tls"))]
#[path = "shut.rs"]
mod open;
mod records;
mod suite;
#[cfg(all(test, feature = "tls"))]
mod tests;

use super::app::{App, Bytes, Kind, Said};
use super::events::Side;
use crate::model::{Mark, TlsKeys};
use hello::{Message, Messages, ServerHello, TLS12, TLS13};
use keylog::{KeyLog, Label, Secrets};
use open::Opener;
use records::Records;
pub(super) use records::{Beat, CloseShape, Ends};
use std::sync::Arc;
use suite::{plain_len, suite};

/// Records that may fail before the keys count as those of another session; a TLS 1.3 handshake without its own secrets
/// has up to a dozen.
const WRONG_AFTER: u64 = 24;
/// A buffer larger than this is not kept for the next record.
const KEPT_BUFFER: usize = 64 * 1024;

/// Whether bytes begin a TLS record (RFC 8446 5.1): type, version 3.x, a length that is allowed.
pub(super) fn begins_record(bytes: &[u8]) -> bool {
    match bytes {
        [20..=24, 3, 0..=4, high, low, ..] => {
            let len = u16::from_be_bytes([*high, *low]);
            len > 0 && len <= 16_384 + 2048
        }
        _ => false,
    }
}

/// An alert as it stood in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alert {
    /// 1 warning, 2 fatal (RFC 8446 6); 0 where it is encrypted.
    pub(super) level: u8,
    pub(super) description: u8,
}

/// What all TLS legs of a vantage point share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Of the case's key logs.
    pub(super) keys: Arc<KeyLog>,
    /// Of the capture's own decryption secrets blocks.
    pub(super) own: Vec<Arc<KeyLog>>,
    plain: Vec<u8>,
}

impl Shared {
    fn empty(&self) -> bool {
        self.keys.is_empty() && self.own.is_empty()
    }

    fn secrets(&self, random: &[u8; 32]) -> Option<&Secrets> {
        let own = self.own.iter().rev().find_map(|log| log.get(random));
        own.or_else(|| self.keys.get(random))
    }
}

/// Walks the records of one flow.
#[derive(Debug, Default)]
struct Walk {
    /// Where the next record begins is not known; so many bytes went by since.
    lost: Option<u64>,
    head: [u8; 5],
    head_len: usize,
    left: usize,
    /// The body so far, where it is wanted and lies in several segments.
    body: Vec<u8>,
    wanted: bool,
    /// No byte of the record is missing.
    whole: bool,
    /// ChangeCipherSpec went by (TLS 1.2).
    changed: bool,
    messages: Messages,
}

/// Both flows of a TLS leg.
#[derive(Debug, Default)]
pub(super) struct TlsLeg {
    walks: [Walk; 2],
    client: Option<Side>,
    /// Which side the client seems to be, where no handshake shows it.
    guess: Side,
    client_random: Option<[u8; 32]>,
    server: Option<Box<ServerHello>>,
    offered: Option<String>,
    chosen: Option<String>,
    keys: TlsKeys,
    openers: [Option<Box<Opener>>; 2],
    /// Come into use with the ChangeCipherSpec of their side.
    ready: [Option<Box<Opener>>; 2],
    inner: Option<Box<App>>,
    records: Records,
    /// The client's Finished went by (TLS 1.3).
    finished: bool,
    /// Encrypted handshake records of the client.
    flight: u8,
    /// An alert that ends a handshake went by.
    refused: bool,
    /// Records of read flows that could not be opened, per side.
    holes: [u32; 2],
}

/// What a TLS leg says of itself.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) version: Option<u16>,
    pub(super) cipher: Option<u16>,
    pub(super) alpn: Option<String>,
    pub(super) keys: TlsKeys,
    pub(super) overhead: Option<u64>,
    pub(super) established: bool,
    pub(super) failed: bool,
    pub(super) websocket: Option<bool>,
}

impl TlsLeg {
    pub(super) fn new(client: Option<Side>) -> Self {
        Self {
            client,
            ..Self::default()
        }
    }

    /// Which side is the client, for want of better knowledge.
    pub(super) const fn guess(&mut self, client: Side) {
        self.guess = client;
    }

    fn client(&self) -> Side {
        self.client.unwrap_or(self.guess)
    }

    pub(super) fn inner(&self) -> Option<&App> {
        self.inner.as_deref()
    }

    pub(super) fn inner_mut(&mut self) -> Option<&mut App> {
        self.inner.as_deref_mut()
    }

    pub(super) fn holes(&self, side: Side) -> u32 {
        self.holes.get(side).copied().unwrap_or(0)
    }

    /// Takes the next bytes of a flow.
    pub(super) fn feed(&mut self, input: Bytes<'_>, shared: &mut Shared, said: &mut Vec<Said>) {
        let Bytes {
            side, cut, mark, ..
        } = input;
        let side = side.min(1);
        let mut bytes = input.bytes;
        if let Some(missed) = self.walks[side].lost {
            if !begins_record(bytes) {
                let more = bytes.len() as u64 + u64::from(cut);
                self.walks[side].lost = Some(missed.saturating_add(more));
                return;
            }
            self.resume(side, missed);
        }
        while !bytes.is_empty() {
            if self.walks[side].head_len < 5 && !self.begin(side, &mut bytes) {
                if self.walks[side].lost.is_some() {
                    let rest = bytes.len() as u64 + u64::from(cut);
                    self.derail(side, rest, mark, said);
                    return;
                }
                break;
            }
            let walk = &mut self.walks[side];
            let (here, rest) = bytes.split_at(walk.left.min(bytes.len()));
            bytes = rest;
            walk.left -= here.len();
            if walk.left > 0 {
                if walk.wanted {
                    walk.body.extend_from_slice(here);
                }
                break;
            }
            walk.head_len = 0;
            let head = walk.head;
            let readable = walk.wanted && walk.whole;
            if walk.body.is_empty() {
                self.record(side, head, readable.then_some(here), mark, shared, said);
            } else {
                walk.body.extend_from_slice(here);
                let body = std::mem::take(&mut walk.body);
                let whole = readable.then_some(body.as_slice());
                self.record(side, head, whole, mark, shared, said);
            }
        }
        if cut > 0 {
            self.gap(side, cut, mark, said);
        }
    }

    /// Collects a record's header; false where it is not all there, or none.
    fn begin(&mut self, side: Side, bytes: &mut &[u8]) -> bool {
        let wanted = |head: [u8; 5], walk: &Walk, this: &Self| {
            if this.protects(head, walk.changed) {
                this.openers[side].is_some()
            } else {
                matches!(head[0], 21 | 22)
            }
        };
        let walk = &mut self.walks[side];
        let take = (5 - walk.head_len).min(bytes.len());
        let (now, rest) = bytes.split_at(take);
        if let Some(to) = walk.head.get_mut(walk.head_len..walk.head_len + take) {
            to.copy_from_slice(now);
        }
        walk.head_len += take;
        *bytes = rest;
        if walk.head_len < 5 {
            return false;
        }
        if !begins_record(&walk.head) {
            walk.lost = Some(5);
            return false;
        }
        walk.left = usize::from(u16::from_be_bytes([walk.head[3], walk.head[4]]));
        walk.body.clear();
        walk.whole = true;
        let keep = wanted(self.walks[side].head, &self.walks[side], self);
        self.walks[side].wanted = keep;
        true
    }

    fn modern(&self) -> Option<bool> {
        self.server.as_ref().map(|s| s.version >= TLS13)
    }

    /// Whether a record of this type is encrypted.
    fn protects(&self, head: [u8; 5], changed: bool) -> bool {
        let [kind, .., high, low] = head;
        match self.modern() {
            Some(true) => kind == 23,
            // An alert in clear has two bytes, whether or not its ChangeCipherSpec was seen.
            _ => kind == 23 || changed || kind == 21 && [high, low] != [0, 2],
        }
    }

    /// The place in the flow is known again.
    fn resume(&mut self, side: Side, missed: u64) {
        let walk = &mut self.walks[side];
        walk.lost = None;
        walk.changed = true;
        walk.head_len = 0;
        walk.messages.lose();
        if let Some(ready) = self.ready[side].take() {
            self.openers[side] = Some(ready);
        }
        if let Some(opener) = &mut self.openers[side] {
            opener.lose(missed);
        }
    }

    fn derail(&mut self, side: Side, bytes: u64, mark: Mark, said: &mut Vec<Said>) {
        let walk = &mut self.walks[side];
        walk.lost = Some(walk.lost.unwrap_or(0).saturating_add(bytes));
        walk.head_len = 0;
        walk.body = Vec::new();
        self.hole(side, u32::MAX, mark, said);
    }

    /// `count` bytes of the flow are in no packet.
    pub(super) fn gap(&mut self, side: Side, count: u32, mark: Mark, said: &mut Vec<Said>) {
        let side = side.min(1);
        let walk = &mut self.walks[side];
        if let Some(missed) = &mut walk.lost {
            *missed = missed.saturating_add(u64::from(count));
            return;
        }
        let missing = count as usize;
        if walk.head_len < 5 || missing > walk.left {
            walk.lost = Some(0);
            self.derail(side, u64::from(count), mark, said);
            return;
        }
        walk.left -= missing;
        walk.whole = false;
        walk.body = Vec::new();
        if walk.left == 0 {
            walk.head_len = 0;
            let head = walk.head;
            self.broken(side, head, mark, said);
        }
    }

    /// A record of which bytes are missing.
    fn broken(&mut self, side: Side, head: [u8; 5], mark: Mark, said: &mut Vec<Said>) {
        if !self.protects(head, self.walks[side].changed) {
            self.walks[side].messages.lose();
            return;
        }
        if let Some(opener) = &mut self.openers[side] {
            opener.lose(0);
            said.push(Said::Odd(
                "tls-record-incomplete",
                "encrypted records of which bytes are missing could not be read",
                mark,
            ));
        }
        self.stays_shut(side, head, mark, said);
    }

    fn record(
        &mut self,
        side: Side,
        head: [u8; 5],
        body: Option<&[u8]>,
        mark: Mark,
        shared: &mut Shared,
        said: &mut Vec<Said>,
    ) {
        let protected = self.protects(head, self.walks[side].changed);
        match (head[0], body) {
            (_, Some(body)) if protected => self.protected(side, head, body, mark, shared, said),
            (_, None) if protected => self.broken(side, head, mark, said),
            (20, _) => self.change(side),
            (21, Some(&[level, description])) => {
                self.alert(side, Alert { level, description }, mark, said)
            }
            (22, Some(body)) => self.handshake(side, body, mark, shared, said),
            (22, None) => self.walks[side].messages.lose(),
            _ => {}
        }
    }

    /// ChangeCipherSpec: what follows is under the new keys. TLS 1.3 sends one that means nothing.
    fn change(&mut self, side: Side) {
        if self.modern() == Some(true) {
            return;
        }
        self.walks[side].changed = true;
        if let Some(ready) = self.ready[side].take() {
            self.openers[side] = Some(ready);
        }
    }

    fn alert(&mut self, side: Side, alert: Alert, mark: Mark, said: &mut Vec<Said>) {
        if alert.description == 0 {
            self.records.notified(side, mark);
        } else {
            self.refused |= alert.level == 2;
        }
        said.push(Said::Alert(side, alert, mark));
    }

    fn handshake(
        &mut self,
        side: Side,
        bytes: &[u8],
        mark: Mark,
        shared: &Shared,
        said: &mut Vec<Said>,
    ) {
        let mut messages = Vec::new();
        self.walks[side].messages.feed(bytes, &mut messages);
        for Message { kind, body } in messages {
            match kind {
                hello::CLIENT_HELLO => {
                    if let Some(hello) = hello::client_hello(&body) {
                        self.client = Some(side);
                        self.client_random = Some(hello.random);
                        self.offered = hello.alpn;
                        said.extend(hello.server_name.map(Said::ServerName));
                    }
                }
                hello::SERVER_HELLO => {
                    if let Some(hello) = hello::server_hello(&body).filter(|h| !h.retry) {
                        self.chosen.clone_from(&hello.alpn);
                        self.server = Some(Box::new(hello));
                        self.client.get_or_insert(1 - side);
                        self.derive(mark, shared, said);
                    }
                }
                hello::ENCRYPTED_EXTENSIONS => self.chosen = hello::chosen_protocol(&body),
                hello::FINISHED if self.modern() == Some(true) => {
                    if let Some(opener) = &mut self.openers[side] {
                        opener.handshake_done();
                    }
                }
                hello::KEY_UPDATE => {
                    if let Some(opener) = &mut self.openers[side] {
                        opener.update();
                    }
                }
                _ => {}
            }
        }
    }

    /// Both hellos are there: the session's keys, where the case holds its secrets.
    fn derive(&mut self, mark: Mark, shared: &Shared, said: &mut Vec<Said>) {
        let (Some(server), Some(client)) = (&self.server, self.client) else {
            return;
        };
        let secrets = self.client_random.as_ref().and_then(|r| shared.secrets(r));
        let Some(secrets) = secrets else {
            self.keys = TlsKeys::Missing;
            if !shared.empty() {
                said.push(Said::Odd(
                    "tls-no-keys",
                    "TLS connections whose secrets are in no key log of the case: told by their records alone",
                    mark,
                ));
            }
            return;
        };
        let readable = suite(server.cipher).filter(|_| matches!(server.version, TLS12 | TLS13));
        let Some(suite) = readable else {
            self.keys = TlsKeys::Unread;
            said.push(Said::Odd(
                "tls-suite-not-read",
                "TLS connections of a version or cipher suite that is not decrypted: told by their records alone",
                mark,
            ));
            return;
        };
        let mut pair = if server.version == TLS13 {
            let of = |labels| Opener::tls13(suite, secrets, labels);
            [
                of([Label::ClientHandshake, Label::ClientTraffic]),
                of([Label::ServerHandshake, Label::ServerTraffic]),
            ]
        } else {
            let random = self.client_random.unwrap_or_default();
            let etm = server.encrypt_then_mac;
            match Opener::tls12(suite, etm, secrets, &random, &server.random) {
                Some([a, b]) => [Some(a), Some(b)],
                None => [None, None],
            }
        };
        if pair.iter().all(Option::is_none) {
            self.keys = TlsKeys::Missing;
            let (kind, note) = if cfg!(feature = "tls") {
                (
                    "tls-no-keys",
                    "TLS connections whose secrets are in no key log of the case: told by their records alone",
                )
            } else {
                (
                    "tls-not-built-in",
                    "this wsdrop was built without decryption: TLS connections are told by their records alone",
                )
            };
            said.push(Said::Odd(kind, note, mark));
            return;
        }
        if client == 1 {
            pair.swap(0, 1);
        }
        let pair = pair.map(|o| o.map(Box::new));
        if server.version == TLS13 {
            self.openers = pair;
        } else {
            self.ready = pair;
        }
    }

    fn protected(
        &mut self,
        side: Side,
        head: [u8; 5],
        body: &[u8],
        mark: Mark,
        shared: &mut Shared,
        said: &mut Vec<Said>,
    ) {
        let Some(opener) = &mut self.openers[side] else {
            self.stays_shut(side, head, mark, said);
            return;
        };
        let mut plain = std::mem::take(&mut shared.plain);
        let kind = opener.open(head, body, &mut plain);
        match kind {
            Some(kind) => {
                self.keys = TlsKeys::Read;
                self.inside(side, kind, &plain, mark, shared, said);
            }
            None => {
                let wrong = opener.opened == 0 && opener.failed >= WRONG_AFTER;
                if opener.opened > 0 {
                    said.push(Said::Odd(
                        "tls-record-not-opened",
                        "encrypted records that their session's keys do not open were left out",
                        mark,
                    ));
                } else if wrong && self.keys != TlsKeys::Read {
                    self.openers = [None, None];
                    self.keys = TlsKeys::Wrong;
                    said.push(Said::Odd(
                        "tls-wrong-keys",
                        "TLS connections that their secrets in the key log do not open: told by their records alone",
                        mark,
                    ));
                }
                self.stays_shut(side, head, mark, said);
            }
        }
        plain.clear();
        if plain.capacity() <= KEPT_BUFFER {
            shared.plain = plain;
        }
    }

    fn inside(
        &mut self,
        side: Side,
        kind: u8,
        plain: &[u8],
        mark: Mark,
        shared: &Shared,
        said: &mut Vec<Said>,
    ) {
        match (kind, plain) {
            (20, _) => self.change(side),
            (21, &[level, description]) => {
                self.alert(side, Alert { level, description }, mark, said);
            }
            (22, _) => self.handshake(side, plain, mark, shared, said),
            (23, [_, ..]) => {
                self.records.read(side, mark);
                let client = self.client;
                let inner = self.inner.get_or_insert_with(|| {
                    let mut app = App::default();
                    if let Some(client) = client {
                        app.opened_by(client);
                    }
                    Box::new(app)
                });
                let bytes = Bytes {
                    side,
                    bytes: plain,
                    cut: 0,
                    mark,
                };
                // TLS inside TLS stays what it is.
                let _ = inner.feed(bytes, said);
            }
            _ => {}
        }
    }

    /// A record that is not read: its size and time are all there is.
    fn stays_shut(&mut self, side: Side, head: [u8; 5], mark: Mark, said: &mut Vec<Said>) {
        let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
        // Without the handshake it passes for TLS 1.3.
        let plain = match &self.server {
            Some(s) => plain_len(s.version, s.cipher, len),
            None => plain_len(TLS13, 0, len),
        };
        if self.inner.is_some() {
            let bytes = plain.and_then(|p| u32::try_from(p).ok());
            self.hole(side, bytes.unwrap_or(u32::MAX), mark, said);
        }
        match head[0] {
            21 => {
                self.records.alert(side, mark);
                said.push(Said::Alert(
                    side,
                    Alert {
                        level: 0,
                        description: 0,
                    },
                    mark,
                ));
            }
            23 if !self.of_handshake(side, len) => {
                let client = self.client();
                // Of block ciphers: explicit IV, the shortest MAC, and one byte of padding.
                let most = plain.unwrap_or_else(|| len.saturating_sub(16 + 20 + 1));
                self.records.shut((side, client), mark, plain, most);
                said.push(Said::Record(side, len as u64, mark));
            }
            _ => {}
        }
    }

    /// The encrypted part of a TLS 1.3 handshake: all of the server before the client's Finished, and that.
    fn of_handshake(&mut self, side: Side, len: usize) -> bool {
        if self.modern() != Some(true) || self.client.is_none() || self.finished {
            return false;
        }
        if self.client == Some(side) {
            // Tag, inner type, header, and the hash of the suite (RFC 8446 4.4.4).
            self.flight = self.flight.saturating_add(1);
            // A client certificate comes before it, at most two records of it.
            self.finished = matches!(len, 53 | 69) || self.flight > 3;
            self.refused |= len == 19;
        }
        true
    }

    fn hole(&mut self, side: Side, bytes: u32, mark: Mark, said: &mut Vec<Said>) {
        if let Some(inner) = &mut self.inner {
            if let Some(n) = self.holes.get_mut(side) {
                *n = n.saturating_add(1);
            }
            inner.gap(side, bytes, mark, said);
        }
    }

    /// What is inside, or `Tls`.
    pub(super) fn kind(&self) -> Kind {
        match self.inner.as_ref().map(|i| i.kind()) {
            None | Some(Kind::Silent | Kind::Tls) => Kind::Tls,
            Some(kind) => kind,
        }
    }

    pub(super) fn look(&self) -> Look {
        let h2 = |names: &Option<String>| {
            names
                .as_deref()
                .is_some_and(|n| n.split(", ").any(|p| p == "h2"))
        };
        let modern = self.modern() == Some(true);
        let alpn = self.chosen.clone();
        let websocket = if h2(&alpn) {
            Some(false)
        } else if alpn.is_none() && modern && h2(&self.offered) {
            // It may be HTTP/2, whose frames are as short.
            None
        } else {
            self.records.websocket()
        };
        let talked = self.records.count(self.client()) > 0 || self.inner.is_some();
        Look {
            version: self.server.as_ref().map(|s| s.version),
            cipher: self.server.as_ref().map(|s| s.cipher),
            alpn,
            keys: self.keys,
            overhead: self.server.as_ref().and_then(|s| {
                let probe = 1024;
                Some((probe - plain_len(s.version, s.cipher, probe)?) as u64)
            }),
            established: talked,
            failed: self.refused && !talked,
            websocket,
        }
    }

    pub(super) fn close_notify(&self, side: Side, client: Side, ends: &[Ends; 2]) -> Option<Mark> {
        self.records.close_notify(side, client, ends)
    }

    pub(super) fn last_payload(&self, side: Side, notify: Option<Mark>) -> Option<Mark> {
        self.records.last_payload(side, notify)
    }

    /// The leg is over: what can't be a WebSocket keeps little. True where it did so.
    pub(super) fn settle(&mut self) -> bool {
        let rest = self.inner.is_none() && self.look().websocket != Some(true);
        if rest {
            self.records.settle();
        }
        rest
    }

    /// By sizes alone: it ended, and no Close was sent.
    pub(super) fn no_close(&self, client: Side, ends: &[Ends; 2]) -> bool {
        self.inner.is_none()
            && self.shapes(client, ends).1.is_none()
            && self.records.no_close(client, ends)
    }

    /// Heartbeats and a Close handshake, by sizes alone; nothing where the records were read.
    pub(super) fn shapes(&self, client: Side, ends: &[Ends; 2]) -> (Vec<Beat>, Option<CloseShape>) {
        if self.inner.is_some() || self.look().websocket != Some(true) {
            return (Vec::new(), None);
        }
        let beats = self.records.beats(client, ends);
        let close = self.records.close_shape(client, ends, &beats);
        (beats, close)
    }
}
