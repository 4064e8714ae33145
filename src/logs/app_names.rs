//! A sentence of an application's log -> the client, user or connection it speaks of, where no key names one.

use super::app_console::trim;
use super::app_fields::Fields;
use super::text;

/// Who a sentence speaks of: `Client 7f3a disconnected`, `user alice joined`, `socket closed: 12`.
pub(super) fn named(message: &[u8], fields: &mut Fields<'_>) {
    let words: Vec<&[u8]> = message
        .split(|c| matches!(c, b' ' | b'\t'))
        .filter(|w| !w.is_empty())
        .take(16)
        .collect();
    for three in words.windows(3) {
        let [noun, second, third] = three else { return };
        let mut noun = trim(noun).to_ascii_lowercase();
        noun.retain(u8::is_ascii_alphanumeric);
        let whole = matches!(
            noun.as_slice(),
            b"connection" | b"conn" | b"socket" | b"websocket" | b"ws" | b"peer"
        );
        let person = matches!(
            noun.as_slice(),
            b"client" | b"user" | b"session" | b"player" | b"device" | b"subscriber" | b"member"
        );
        if !whole && !person {
            continue;
        }
        let name = if happens(trim(third)) && !happens(trim(second)) {
            trim(second)
        } else if happens(trim(second))
            && second.ends_with(b":")
            && third.iter().any(u8::is_ascii_digit)
        {
            trim(third)
        } else {
            continue;
        };
        let name = name.strip_prefix(b"#").unwrap_or(name);
        let name = name.strip_prefix(b"[").unwrap_or(name);
        let name = name.strip_suffix(b"]").unwrap_or(name);
        if !is_name(name) {
            continue;
        }
        let counted = name.iter().all(u8::is_ascii_digit);
        // What is named like a session is one, whatever noun stands before it.
        let session = is_token(name) && !is_uuid(name);
        if (whole || counted || is_uuid(name)) && !session {
            fields.connection_id = Some(text::string(name));
        } else {
            fields.session = Some(text::string(name));
        }
        return;
    }
}

/// The first word that can only be a name, where a sentence has no noun for it: `Closing u-3418: inactive`, `[u-3418] accepted`.
pub(super) fn token(message: &[u8], fields: &mut Fields<'_>) {
    let words = message
        .split(|c| matches!(c, b' ' | b'\t'))
        .filter(|w| !w.is_empty())
        .take(16);
    for word in words {
        let word = trim(word);
        let word = word.strip_prefix(b"[").unwrap_or(word);
        let word = word.strip_suffix(b"]").unwrap_or(word);
        if !is_token(word) {
            continue;
        }
        if is_uuid(word) {
            fields.connection_id = Some(text::string(word));
        } else {
            fields.session = Some(text::string(word));
        }
        return;
    }
}

fn is_uuid(word: &[u8]) -> bool {
    word.len() == 36 && memchr::memchr_iter(b'-', word).count() == 4
}

/// Letters and three digits or more, and nothing that names a thread, a duration or an address in memory.
fn is_token(word: &[u8]) -> bool {
    const THREADS: &[&[u8]] = &[
        b"exec", b"thread", b"worker", b"pool", b"nio", b"main", b"node", b"proc", b"http", b"utf",
        b"sha", b"port",
    ];
    let plain = word
        .iter()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'));
    let digits = word.iter().filter(|c| c.is_ascii_digit()).count();
    let letters = word.iter().filter(|c| c.is_ascii_alphabetic()).count();
    let counted = word.first().is_some_and(u8::is_ascii_digit)
        && word
            .iter()
            .skip_while(|c| c.is_ascii_digit())
            .all(u8::is_ascii_alphabetic);
    let lower = word.to_ascii_lowercase();
    let errno = word
        .iter()
        .all(|c| c.is_ascii_uppercase() || *c == b'_' || c.is_ascii_digit());
    (5..=64).contains(&word.len())
        && plain
        && digits >= 3
        && letters >= 1
        && !(counted && word.len() < 12)
        && !errno
        && !word.starts_with(b"0x")
        && !THREADS.iter().any(|t| text::contains(&lower, t))
}

/// What a client or a connection does in the log of a server.
fn happens(word: &[u8]) -> bool {
    matches!(
        word.to_ascii_lowercase().as_slice(),
        b"connected"
            | b"disconnected"
            | b"reconnected"
            | b"joined"
            | b"left"
            | b"opened"
            | b"closed"
            | b"terminated"
            | b"dropped"
            | b"timed"
            | b"lost"
            | b"did"
            | b"didn't"
            | b"is"
            | b"was"
            | b"has"
            | b"missed"
            | b"failed"
            | b"rejected"
            | b"accepted"
            | b"established"
            | b"registered"
            | b"unresponsive"
    )
}

/// A name has a digit in it, or is no word that stands between a client and what it does.
fn is_name(word: &[u8]) -> bool {
    let plain = word
        .iter()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':' | b'@' | b'|'));
    let address = text::address(word).is_some();
    let filler = matches!(
        word.to_ascii_lowercase().as_slice(),
        b"connection"
            | b"socket"
            | b"session"
            | b"has"
            | b"that"
            | b"which"
            | b"and"
            | b"not"
            | b"just"
            | b"got"
            | b"with"
            | b"from"
            | b"code"
            | b"handshake"
            | b"upgrade"
            | b"heartbeat"
            | b"error"
            | b"message"
            | b"server"
            | b"count"
            | b"limit"
            | b"pool"
            | b"id"
            | b"to"
            | b"for"
            | b"by"
            | b"being"
            | b"been"
            | b"it"
            | b"he"
            | b"already"
            | b"state"
    ) || word.ends_with(b"ly");
    let digit = word.iter().any(u8::is_ascii_digit);
    (2..=128).contains(&word.len()) && plain && !address && (digit || !filler)
        || word.len() == 1 && digit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_a_sentence_speaks_of() {
        for (message, session, connection) in [
            (
                "INFO  Client tok-9f connected from 10.0.0.1",
                Some("tok-9f"),
                None,
            ),
            (
                "Client tok-9f disconnected (code 1006)",
                Some("tok-9f"),
                None,
            ),
            ("user alice joined", Some("alice"), None),
            ("User 'alice' left", Some("alice"), None),
            ("Client disconnected: u77", Some("u77"), None),
            ("Client 12 disconnected", None, Some("12")),
            ("socket #7 closed", None, Some("7")),
            (
                "Client 3f2a6c1e-8a51-4b7e-9c55-0123456789ab connected",
                None,
                Some("3f2a6c1e-8a51-4b7e-9c55-0123456789ab"),
            ),
            ("client connected", None, None),
            ("client has disconnected", None, None),
            ("Client connected from 10.0.0.1", None, None),
            ("Client unexpectedly disconnected", None, None),
            ("Client 10.0.0.1:5000 connected", None, None),
            ("WebSocket connection closed", None, None),
            ("client socket closed: timeout was 12", None, None),
            ("connection opened", None, None),
        ] {
            let mut fields = Fields::default();
            named(message.as_bytes(), &mut fields);
            assert_eq!(fields.session.as_deref(), session, "{message}");
            assert_eq!(fields.connection_id.as_deref(), connection, "{message}");
        }
    }
}
