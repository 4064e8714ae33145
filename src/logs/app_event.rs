//! What an application's line says in its own words -> the event it means, whatever library wrote it.

use super::app_sentence::{self, Told};
use super::app_words::{Class, hits, words};
use super::text;
use crate::model::AppEvent;

/// A line's words and numbers, taken apart.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) event: &'a [u8],
    pub(super) message: &'a [u8],
    /// Text of an error beside the message.
    pub(super) error: &'a [u8],
    /// `ECONNRESET`, `WS_ERR_...`.
    pub(super) errno: Option<&'a [u8]>,
    pub(super) reason: &'a [u8],
    pub(super) level: Level,
    pub(super) close_code: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) port: Option<u16>,
    /// It names a client, a connection or a session.
    pub(super) has_peer: bool,
    /// It has an `id`, of whatever.
    pub(super) has_id: bool,
    pub(super) has_stack: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Level {
    #[default]
    Unknown,
    Low,
    Warning,
    Error,
    Fatal,
}

impl Level {
    /// A word, or pino's and bunyan's numbers (10 to 60).
    pub(super) fn of(value: &[u8]) -> Self {
        let mut buffer = [0; 32];
        match super::access::normal(value, &mut buffer) {
            b"trace" | b"debug" | b"info" | b"notice" | b"information" | b"verbose" | b"inf"
            | b"dbg" | b"10" | b"20" | b"30" => Self::Low,
            b"warn" | b"warning" | b"wrn" | b"40" => Self::Warning,
            b"error" | b"err" | b"severe" | b"50" | b"eror" => Self::Error,
            b"fatal" | b"critical" | b"panic" | b"crit" | b"emerg" | b"alert" | b"60" | b"ftl" => {
                Self::Fatal
            }
            _ => Self::Unknown,
        }
    }
}

/// The events a line means, the most telling first; a line that gives a peer up and closes means both.
pub(super) fn classify(said: &Said<'_>) -> Vec<AppEvent> {
    let mut words_all = Vec::with_capacity(256);
    words(said.event, &mut words_all);
    words(said.message, &mut words_all);
    let own = hits(&words_all);
    let words_own = words_all.clone();
    // What the event itself is called speaks before what it tells of.
    words(said.error, &mut words_all);
    words(said.errno.unwrap_or(b""), &mut words_all);
    // A closing whose reason speaks of an error is a closing.
    let told = hits(&words_all);
    words(said.reason, &mut words_all);
    let all = hits(&words_all);
    if own.has(Class::Statistics) {
        return vec![AppEvent::Other];
    }

    let close_code = said
        .close_code
        .or_else(|| code_in(&words_all, own.has(Class::Closed) || own.has(Class::Close)))
        .or_else(|| bare_code(said));
    let aged = own.has(Class::Aged);
    let weak = said
        .has_peer
        .then(|| app_sentence::told(&words_own))
        .flatten();
    let ended = own.has(Class::Closed) || weak == Some(Told::Ended);
    // A code under a key, beside the name of a connection, is a close whatever its words are.
    let coded = said.has_peer && said.close_code.is_some_and(is_code);
    let closing = ended || own.has(Class::Close) || aged || coded && !own.has(Class::Error);
    let reason = || {
        let own_words: &[u8] = if aged { said.message } else { b"" };
        let reason = [said.reason, said.error, own_words]
            .into_iter()
            .find(|r| !r.is_empty())
            .unwrap_or(b"");
        text::string(reason)
    };
    let close = || AppEvent::Close {
        code: close_code,
        reason: reason(),
    };
    let message = || {
        let best = [said.error, said.message, said.event]
            .into_iter()
            .find(|m| !m.is_empty())
            .unwrap_or(b"");
        text::string(&best[..best.len().min(512)])
    };

    if all.has(Class::Crash) && !all.has(Class::Recovered) && !(closing && close_code.is_some()) {
        return vec![AppEvent::Crashed { message: message() }];
    }
    if said.level == Level::Fatal && !said.has_peer {
        return vec![AppEvent::Crashed { message: message() }];
    }
    if all.has(Class::Exhausted) {
        return vec![AppEvent::Exhausted { message: message() }];
    }
    // A peer that closes with words about its own timer gave *us* up: only what a library makes up (1006)
    // or sends for its own timer (1011, Python) is about a peer that did not answer.
    let theirs = match close_code {
        None | Some(1006) => false,
        Some(1011) => text::contains(&words_all, b" received 1011 "),
        // Tomcat and Jetty send it for their own timer, and say so.
        Some(1001) => !text::contains(&words_all, b" idle timeout "),
        Some(_) => !own.has(Class::Heartbeat),
    };
    let lacks = said.has_peer
        && (weak == Some(Told::Dead)
            || app_sentence::heartbeat_lacks(&words_all) && (said.level != Level::Low || closing));
    let lacks = lacks && !(closing && close_code.is_some_and(|c| c != 1006));
    if (all.has(Class::Heartbeat) || lacks)
        && !theirs
        && !(said.level == Level::Low && own.has(Class::Listening))
    {
        let mut both = vec![AppEvent::HeartbeatMissed];
        if closing && (close_code.is_some() || own.has(Class::Closed) || !own.has(Class::Heartbeat))
        {
            both.push(close());
        }
        return both;
    }
    // Writes run out of time in the same words: the peer took nothing until the buffers were full. So do connects, to whatever they are.
    let io = |what: &[u8]| text::contains(&words_all, what);
    let ran_out = all.has(Class::ReadTimedOut);
    if ran_out && io(b" write tcp ") && said.has_peer {
        return vec![AppEvent::Backpressure];
    }
    let read = !io(b" write tcp ") && !io(b" dial tcp ");
    if ran_out && read && close_code.is_none_or(|c| c == 1006) {
        let mut both = vec![AppEvent::ReadTimedOut];
        if closing && (close_code.is_some() || own.has(Class::Closed)) {
            both.push(close());
        }
        return both;
    }
    let slow = said.has_peer
        && close_code.is_none()
        && (weak == Some(Told::Slow) || app_sentence::buffer_full(&words_own));
    if all.has(Class::Backpressure) || slow {
        let mut both = vec![AppEvent::Backpressure];
        if closing && close_code.is_some() {
            both.push(close());
        }
        return both;
    }
    if closing && close_code.is_some() {
        return vec![close()];
    }
    if said.has_peer && app_sentence::idle(&words_own) {
        return vec![AppEvent::Idle];
    }
    let refusal = said.status.filter(|s| (400..600).contains(s));
    if own.has(Class::Rejected)
        || refusal.is_some() && (own.has(Class::OpenWeak) || own.has(Class::Open))
    {
        let status = refusal.or_else(|| status_in(&words_all));
        return vec![AppEvent::Rejected { status }];
    }
    if own.has(Class::Stopping) && !(said.has_peer && closing) {
        return vec![AppEvent::Stopping];
    }
    // `up`, `serving`, `gateway online` beside a port of its own.
    let came_up = said.port.is_some() && !said.has_peer && app_sentence::came_up(&words_own);
    if (own.has(Class::Listening) || came_up) && said.level < Level::Error {
        return vec![AppEvent::Listening { port: said.port }];
    }
    if all.has(Class::Elsewhere) && !said.has_peer && (closing || own.has(Class::Open)) {
        return vec![AppEvent::Other];
    }
    let wrong = said.level >= Level::Error || told.has(Class::Error) || said.errno.is_some();
    if told.has(Class::TooLate) {
        return vec![AppEvent::Error {
            code: said.errno.map(text::string),
            message: message(),
        }];
    }
    if ended || closing && !wrong {
        // `closing` and `terminate` alone tell of something under way, not of this connection's end.
        if ended || said.has_peer || plain_close(said) {
            return vec![close()];
        }
    }
    // Go hands the close over as an error: `read failed`, `websocket: close 1006 (abnormal closure)`.
    if said.close_code.is_none()
        && let Some(code) = code_in(&words_all, all.has(Class::Closed) || all.has(Class::Close))
    {
        return vec![AppEvent::Close {
            code: Some(code),
            reason: reason(),
        }];
    }
    if all.has(Class::Exception) || said.has_stack {
        return vec![AppEvent::Exception { message: message() }];
    }
    if wrong {
        // A low level and a peer: some line that only mentions an error.
        let code = said
            .errno
            .map(text::string)
            .or_else(|| errno_in(&words_all));
        if said.level == Level::Low && code.is_none() && !own.has(Class::Error) {
            return vec![AppEvent::Other];
        }
        return vec![AppEvent::Error {
            code,
            message: message(),
        }];
    }
    if own.has(Class::Open)
        || own.has(Class::OpenWeak)
            && (said.has_peer || one_word(said) || of_an_id(said, &words_own))
        || weak == Some(Told::Began)
    {
        return vec![AppEvent::Open];
    }
    vec![AppEvent::Other]
}

/// `Session opened: id=4`: what opened is a connection, and the id is its name.
fn of_an_id(said: &Said<'_>, words: &[u8]) -> bool {
    let opened: [&[u8]; 4] = [
        b" session opened ",
        b" socket opened ",
        b" session open ",
        b" connection opened ",
    ];
    said.has_id && opened.iter().any(|o| text::contains(words, o))
}

/// RFC 6455 7.4: those of the protocol, of libraries and of applications.
const fn is_code(code: u16) -> bool {
    matches!(code, 1000..=1015 | 3000..=4999)
}

/// A code that a sentence about a named peer gives without the word for it: `Connection closed for u7: 1006`, `User u7 removed (4001)`.
fn bare_code(said: &Said<'_>) -> Option<u16> {
    if !said.has_peer {
        return None;
    }
    let mut mark = false;
    for word in said.message.split(|c| matches!(c, b' ' | b'\t')) {
        let opens = word.strip_prefix(b"(");
        let bare = opens.unwrap_or(word);
        let end = bare
            .iter()
            .position(|c| !c.is_ascii_digit())
            .unwrap_or(bare.len());
        let (digits, after) = bare.split_at(end);
        let closes = matches!(after, b"" | b")" | b"," | b"):" | b".");
        if digits.len() == 4 && closes && (mark || opens.is_some()) {
            let code = text::unsigned(digits).and_then(|v| u16::try_from(v).ok());
            if let Some(code) = code.filter(|c| is_code(*c)) {
                return Some(code);
            }
        }
        mark = word.ends_with(b":") || opens.is_some_and(|o| o == b"code");
    }
    None
}

/// The event is named `close` or `ws_close` and nothing more.
fn plain_close(said: &Said<'_>) -> bool {
    let mut name = Vec::new();
    words(
        if said.event.is_empty() {
            said.message
        } else {
            said.event
        },
        &mut name,
    );
    matches!(
        name.as_slice(),
        b" close "
            | b" ws close "
            | b" disconnect "
            | b" socket close "
            | b" on close "
            | b" connection close "
    )
}

fn one_word(said: &Said<'_>) -> bool {
    let mut name = Vec::new();
    words(
        if said.event.is_empty() {
            said.message
        } else {
            said.event
        },
        &mut name,
    );
    matches!(
        name.as_slice(),
        b" connect " | b" open " | b" connection " | b" ws connect "
    )
}

/// A number in `range` that stands as a word of its own.
fn number_in(words: &[u8], digits: usize, range: std::ops::Range<u16>) -> Option<u16> {
    words
        .split(|c| *c == b' ')
        .filter(|w| w.len() == digits)
        .filter_map(|w| text::unsigned(w).and_then(|v| u16::try_from(v).ok()))
        .find(|v| range.contains(v))
}

fn status_in(words: &[u8]) -> Option<u16> {
    number_in(words, 3, 400..600)
}

/// A close code among the words of a closing: after `code`, `close`, `closed`, `with`, `status`, `sent`, `received`.
fn code_in(words: &[u8], closing: bool) -> Option<u16> {
    if !closing {
        return None;
    }
    let mut before: &[u8] = b"";
    for word in words.split(|c| *c == b' ').filter(|w| !w.is_empty()) {
        if word.len() == 4
            && matches!(
                before,
                b"code"
                    | b"close"
                    | b"closed"
                    | b"with"
                    | b"status"
                    | b"sent"
                    | b"received"
                    | b"disconnect"
                    | b"disconnected"
                    | b"closing"
            )
            && let Some(code) = text::unsigned(word).and_then(|v| u16::try_from(v).ok())
            && (1000..5000).contains(&code)
        {
            return Some(code);
        }
        before = word;
    }
    // Python's `websockets` writes what its 1006 means.
    if text::contains(words, b" no close frame received or sent ") {
        return Some(1006);
    }
    by_name(words)
}

/// Go's coder/websocket names the code of a Close frame it got: `status = StatusGoingAway`.
fn by_name(words: &[u8]) -> Option<u16> {
    const NAMES: &[(&[u8], u16)] = &[
        (b"normal closure", 1000),
        (b"going away", 1001),
        (b"protocol error", 1002),
        (b"unsupported data", 1003),
        (b"no status rcvd", 1005),
        (b"abnormal closure", 1006),
        (b"invalid frame payload data", 1007),
        (b"policy violation", 1008),
        (b"message too big", 1009),
        (b"mandatory extension", 1010),
        (b"internal error", 1011),
        (b"service restart", 1012),
        (b"try again later", 1013),
        (b"bad gateway", 1014),
    ];
    let at = memchr::memmem::find(words, b" received close frame status status ")?;
    let rest = &words[at + 36..];
    NAMES
        .iter()
        .find(|(name, _)| rest.starts_with(name))
        .map(|(_, code)| *code)
}

fn errno_in(words: &[u8]) -> Option<String> {
    const KNOWN: &[&[u8]] = &[
        b"econnreset",
        b"epipe",
        b"etimedout",
        b"econnaborted",
        b"econnrefused",
        b"ehostunreach",
        b"enotconn",
        b"enetdown",
        b"enetunreach",
    ];
    // What C libraries, Go, Java and Rust say instead of the name.
    const SAID: &[(&[u8], &str)] = &[
        (b" connection reset by peer ", "ECONNRESET"),
        (b" broken pipe ", "EPIPE"),
        (b" connection timed out ", "ETIMEDOUT"),
        (b" no route to host ", "EHOSTUNREACH"),
    ];
    words
        .split(|c| *c == b' ')
        .find(|w| KNOWN.contains(w))
        .map(|w| text::string(&w.to_ascii_uppercase()))
        .or_else(|| {
            let (_, name) = SAID.iter().find(|(said, _)| text::contains(words, said))?;
            Some((*name).to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, has_peer: bool, want: &[AppEvent]) {
        let said = Said {
            message: message.as_bytes(),
            has_peer,
            ..Said::default()
        };
        assert_eq!(classify(&said), want, "{message}");
    }

    #[test]
    fn a_timer_of_the_peer_is_a_close() {
        let said = |close_code, reason: &'static str| Said {
            message: b"ws close",
            reason: reason.as_bytes(),
            close_code,
            has_peer: true,
            ..Said::default()
        };
        assert_eq!(
            classify(&said(Some(4000), "heartbeat timeout")),
            [close(Some(4000), "heartbeat timeout")]
        );
        assert_eq!(
            classify(&said(None, "ping timeout")),
            [AppEvent::HeartbeatMissed, close(None, "ping timeout")]
        );
        assert_eq!(
            classify(&said(Some(1006), "WebSocket timed out from inactivity")),
            [
                AppEvent::HeartbeatMissed,
                close(Some(1006), "WebSocket timed out from inactivity")
            ]
        );
        check(
            "ConnectionClosedError: received 1011 (internal error) keepalive ping timeout; then sent 1011",
            false,
            &[close(Some(1011), "")],
        );
    }

    fn close(code: Option<u16>, reason: &str) -> AppEvent {
        AppEvent::Close {
            code,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn what_ran_out_of_time_says_what_it_waited_for() {
        check(
            "read failed: read tcp 192.0.2.2:9000->192.0.2.9:35888: i/o timeout",
            true,
            &[AppEvent::ReadTimedOut],
        );
        check(
            "write message: write tcp 192.0.2.2:9000->192.0.2.9:35888: i/o timeout",
            true,
            &[AppEvent::Backpressure],
        );
    }

    #[test]
    fn messages_of_many_libraries() {
        let close = |code: Option<u16>| AppEvent::Close {
            code,
            reason: String::new(),
        };
        let error = |code: Option<&str>, m: &str| AppEvent::Error {
            code: code.map(str::to_owned),
            message: m.to_owned(),
        };
        check("ws open", true, &[AppEvent::Open]);
        check("connection open", false, &[AppEvent::Open]);
        check("client connected", true, &[AppEvent::Open]);
        check("connected to redis", false, &[AppEvent::Other]);
        check("ws close", true, &[close(None)]);
        check("connection closed", false, &[close(None)]);
        check(
            "websocket: close 1001 (going away)",
            true,
            &[close(Some(1001))],
        );
        check("wsClose code=1006", true, &[close(Some(1006))]);
        check(
            "ws heartbeat missed, terminating",
            true,
            &[AppEvent::HeartbeatMissed],
        );
        check("terminate_dead", false, &[AppEvent::HeartbeatMissed]);
        check(
            "WebSocket timed out from inactivity",
            true,
            &[AppEvent::HeartbeatMissed],
        );
        check(
            "read tcp 10.0.0.1:80->10.0.0.2:5000: i/o timeout",
            false,
            &[AppEvent::ReadTimedOut],
        );
        check(
            "ConnectionClosedError: sent 1011 (internal error) keepalive ping timeout; no close frame received",
            false,
            &[AppEvent::HeartbeatMissed, close(Some(1011))],
        );
        check(
            "connection lost error=no close frame received or sent",
            true,
            &[close(Some(1006))],
        );
        check(
            "Client is not responding to pings, dropping",
            true,
            &[AppEvent::HeartbeatMissed],
        );
        check(
            "ws upgrade rejected",
            true,
            &[AppEvent::Rejected { status: None }],
        );
        check(
            "connection rejected (505 HTTP Version Not Supported)",
            false,
            &[AppEvent::Rejected { status: Some(505) }],
        );
        check(
            "slow consumer: bufferedAmount 131747 over limit 131072",
            true,
            &[AppEvent::Backpressure],
        );
        check(
            "server listening",
            false,
            &[AppEvent::Listening { port: None }],
        );
        check("SIGTERM received, draining", false, &[AppEvent::Stopping]);
        check(
            "Uncaught Exception: boom",
            false,
            &[AppEvent::Crashed {
                message: "Uncaught Exception: boom".to_owned(),
            }],
        );
        check(
            "accept EMFILE",
            false,
            &[AppEvent::Exhausted {
                message: "accept EMFILE".to_owned(),
            }],
        );
        check(
            "read ECONNRESET",
            true,
            &[error(Some("ECONNRESET"), "read ECONNRESET")],
        );
        check(
            "Max payload size exceeded",
            true,
            &[error(None, "Max payload size exceeded")],
        );
        check(
            "error in handler",
            true,
            &[AppEvent::Exception {
                message: "error in handler".to_owned(),
            }],
        );
        check(
            "opening handshake failed",
            false,
            &[error(None, "opening handshake failed")],
        );
        check("cache warmed", false, &[AppEvent::Other]);
        check(
            "too many open files",
            false,
            &[AppEvent::Exhausted {
                message: "too many open files".to_owned(),
            }],
        );
    }
}
