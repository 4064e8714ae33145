//! Keys of an application's JSON records -> what each decides about a record that told nothing.

use super::access::normal;
use super::app_fields::time;
use super::json::{Kind, Leaf};
use super::shape::Role;
use crate::model::LocalZone;

/// What each leaf of a record decides that told nothing: the other side of `Fields::put`.
pub(super) struct Roles<'l, 'a> {
    leaves: &'l [Leaf<'a>],
    time: Option<usize>,
}

/// Keys under which `Fields::put` looks for the record's time.
pub(super) fn is_time(key: &[u8]) -> bool {
    matches!(
        key,
        b"time"
            | b"timestamp"
            | b"ts"
            | b"t"
            | b"asctime"
            | b"datetime"
            | b"date"
            | b"eventtime"
            | b"timemillis"
            | b"realtimetimestamp"
            | b"logtime"
            | b"timems"
    )
}

/// Keys under which `Fields::put` looks for the code of a close, a status or an error.
pub(super) fn is_code(key: &[u8]) -> bool {
    matches!(
        key,
        b"code"
            | b"closecode"
            | b"wscode"
            | b"statuscode"
            | b"status"
            | b"closestatus"
            | b"httpstatus"
            | b"responsecode"
            | b"errorcode"
            | b"disconnectcode"
            | b"rc"
    )
}

/// Keys of what makes a record tell something: its words, level, codes, and the name of a connection.
fn decides(key: &[u8]) -> bool {
    is_code(key)
        || matches!(
            key,
            b"level"
                | b"severity"
                | b"levelname"
                | b"lvl"
                | b"l"
                | b"loglevel"
                | b"msg"
                | b"message"
                | b"m"
                | b"mt"
                | b"textpayload"
                | b"text"
                | b"log"
                | b"event"
                | b"eventname"
                | b"evt"
                | b"eventtype"
                | b"action"
                | b"error"
                | b"err"
                | b"exception"
                | b"errormessage"
                | b"excinfo"
                | b"x"
                | b"exc"
                | b"errmsg"
                | b"errno"
                | b"stack"
                | b"stacktrace"
                | b"reason"
                | b"closereason"
                | b"closemessage"
                | b"description"
                | b"why"
                | b"connid"
                | b"connectionid"
                | b"socketid"
                | b"sid"
                | b"wsid"
                | b"conn"
                | b"connection"
                | b"cid"
                | b"socket"
                | b"connuuid"
                | b"channelid"
                | b"peerid"
                | b"streamid"
        )
}

impl<'l, 'a> Roles<'l, 'a> {
    pub(super) fn new(leaves: &'l [Leaf<'a>], assumed: LocalZone) -> Self {
        let first = leaves.iter().position(|leaf| {
            let mut buffer = [0; 32];
            leaf.kind != Kind::Tree && is_time(normal(leaf.key, &mut buffer))
        });
        // Nothing stands above it, so that no later one goes before it.
        let own = |i: &usize| {
            leaves
                .get(*i)
                .is_some_and(|l| l.depth == 1 && time(l.value, assumed).is_some())
        };
        Self {
            leaves,
            time: first.filter(own),
        }
    }

    pub(super) fn of(&self, index: usize) -> Role {
        let Some(leaf) = self.leaves.get(index) else {
            return Role::Never;
        };
        if self.time == Some(index) {
            return Role::Time;
        }
        let mut buffers = ([0; 32], [0; 32]);
        let key = normal(leaf.key, &mut buffers.0);
        let parent = self.leaves.get(leaf.parent).map_or(&b""[..], |p| p.key);
        let parent = normal(parent, &mut buffers.1);
        if matches!(parent, b"err" | b"error" | b"exception" | b"cause" | b"exc") {
            return Role::Same;
        }
        match key {
            b"msg" | b"message" | b"event" if leaf.kind == Kind::Text && leaf.depth == 1 => {
                Role::Said
            }
            key if is_code(key) && leaf.value.iter().all(u8::is_ascii_digit) => Role::Digits,
            key if decides(key) => Role::Same,
            _ => Role::Free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::app_event::Level;
    use super::super::app_fields::Fields;
    use super::*;
    use std::borrow::Cow;

    /// Every key that `put` knows is either one that decides, or changes nothing that makes a record tell something.
    #[test]
    fn keys_that_are_passed_over_decide_nothing() {
        let source = include_str!("app_fields.rs");
        let (_, rest) = source.split_once("pub(super) fn put(").expect("put");
        let (put, _) = rest
            .split_once("/// An address, or a list")
            .expect("its end");
        let keys: Vec<&str> = put
            .split("b\"")
            .skip(1)
            .filter_map(|t| t.split('"').next())
            .collect();
        assert!(keys.len() > 80, "{}", keys.len());
        for key in keys {
            for value in [
                "x",
                "1006",
                "500",
                "ECONNRESET",
                "10.0.0.1:80",
                "error",
                "/ws",
                "60",
            ] {
                for depth in [1, 2] {
                    let mut fields = Fields::default();
                    let value = Cow::Borrowed(value.as_bytes());
                    fields.put(key.as_bytes(), b"", value, depth, LocalZone::default());
                    let told = fields.words().iter().any(|w| !w.is_empty())
                        || fields.level != Level::Unknown
                        || fields.close_code.is_some()
                        || fields.status.is_some()
                        || fields.connection_id.is_some()
                        || fields.has_stack;
                    assert!(!told || decides(key.as_bytes()), "{key}");
                }
            }
        }
    }
}
