//! A line about a request that failed -> whether it was one for a WebSocket, as far as the line and the configuration tell.

use super::line::{HopKind, TunnelLine};
use super::settings::HopSettings;
use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// Whether a line is about a WebSocket, or a request for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    Yes,
    No,
    /// If anything else shows that its path speaks WebSocket.
    OfPath,
}

impl TunnelLine {
    /// It says of itself that a WebSocket was asked for: what its path is for is known by it.
    pub fn says_websocket(&self) -> bool {
        // 426 asks for the upgrade that did not arrive (RFC 9110 15.5.22).
        matches!(self.status, Some(101 | 426))
            || self.upgrade_asked == Some(true)
            || self.ws_key.is_some()
    }

    pub fn attempt(&self, settings: &[HopSettings]) -> Attempt {
        let Some(uri) = self.uri.as_deref() else {
            return Attempt::Yes;
        };
        if self.says_websocket() || self.refused_by_envoy() {
            Attempt::Yes
        } else if self.upgrade_asked.is_some() {
            Attempt::No
        } else if is_meant_for_websocket(uri, settings) {
            Attempt::Yes
        } else {
            Attempt::OfPath
        }
    }

    /// Envoy's own answer to an upgrade that a route does not allow: 403 without an upstream, details `upgrade_failed` where logged.
    fn refused_by_envoy(&self) -> bool {
        let details = self.termination.as_deref().unwrap_or("");
        let other_reason =
            details.contains("rbac") || details.contains("ext_authz") || details.contains("UAEX");
        self.hop == HopKind::Envoy
            && self.status == Some(403)
            && self.upstream.is_none()
            && !other_reason
    }
}

/// The path of a URI without its query, scheme and host: logs write it as `$scheme://$host$request_uri` as well.
pub fn path(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let Some((_, rest)) = path.split_once("://") else {
        return path;
    };
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// A URI's path as a number: the same in every run.
pub fn path_number(uri: &[u8]) -> u64 {
    let end = memchr::memchr2(b'?', b'#', uri).unwrap_or(uri.len());
    let mut path = &uri[..end];
    if path.first() != Some(&b'/')
        && let Some(at) = memchr::memmem::find(path, b"://")
    {
        let rest = &path[at + 3..];
        path = memchr::memchr(b'/', rest).map_or(b"/", |at| &rest[at..]);
    }
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(path);
    hasher.finish()
}

/// Its name says so, or the location's configuration cares for the upgrade, rightly or not.
pub fn is_meant_for_websocket(uri: &str, settings: &[HopSettings]) -> bool {
    path(uri)
        .rsplit('/')
        .next()
        .is_some_and(looks_like_websocket)
        || settings.iter().any(|hop| {
            hop.route(uri)
                .and_then(|r| r.upgrade.as_ref())
                .is_some_and(|u| u.upgrade_header || u.connection_header)
        })
}

fn looks_like_websocket(segment: &str) -> bool {
    let s = segment.to_ascii_lowercase();
    s == "ws" || s == "wss" || s.contains("websocket") || s.contains("socket.io") || s == "cable"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_websocket() {
        for (uri, expected) in [
            ("/ws?v=2", true),
            ("/a/WSS", true),
            ("/socket.io/?EIO=4", false),
            ("/x/socket.io?EIO=4", true),
            ("/my-websocket-api", true),
            ("/cable", true),
            ("/news", false),
            ("/ws/rooms", false),
        ] {
            assert_eq!(is_meant_for_websocket(uri, &[]), expected, "{uri}");
        }
        assert_eq!(path_number(b"/a?x=1"), path_number(b"/a#y"));
        assert_ne!(path_number(b"/a"), path_number(b"/b"));
    }

    #[test]
    fn a_uri_with_scheme_and_host_is_on_the_same_path() {
        for uri in [
            "/ws?a=1",
            "http://ws.example/ws?a=1",
            "wss://ws.example/ws#x",
        ] {
            assert_eq!(path(uri), "/ws", "{uri}");
            assert_eq!(path_number(uri.as_bytes()), path_number(b"/ws"), "{uri}");
        }
        assert_eq!(path("http://ws.example"), "/");
        assert_eq!(path("/to?u=http://x/y"), "/to");
    }
}
