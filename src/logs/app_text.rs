//! Application logs of console text (dated lines, logfmt, `util.inspect`, crash output) as a format.

use super::app_reader::{self, Own, Reader};
use super::{LineReader, LogFormat, LogOptions};

#[derive(Debug)]
pub(super) struct AppText;

impl LogFormat for AppText {
    fn name(&self) -> &'static str {
        "app-text"
    }
    fn title(&self) -> &'static str {
        "application log, text"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "2026-11-20 21:43:56,005 INFO websockets.server connection closed",
            "2026-11-20T21:43:56.005Z socket closed { sessionId: '7f3a...', code: 1006 }",
            r#"time=2026-11-20T21:22:05.438Z level=INFO msg="ws close" code=1006"#,
            "2026/11/20 21:43:56 read tcp 10.0.0.1:80->10.0.0.2:5000: i/o timeout",
            "[2026-11-20T21:43:56.005Z] INFO: client connected from 203.0.113.7:51000",
            "INFO 2026-11-20 21:43:56,005 chat.consumers 1234 user left room code=1006 client=203.0.113.7:51000",
            "[I 261120 21:43:56 chat:12] WebSocket closed from 203.0.113.7 code=1001 reason=None",
            "2026-11-20T21:43:56.005Z  INFO 1234 --- [main] c.e.App : Started App in 2.1 seconds",
            "\x1b[2m2026-11-20 21:43:56.005\x1b[0m [\x1b[32m\x1b[1minfo     \x1b[0m] \x1b[1mclient left\x1b[0m \x1b[36mcode\x1b[0m=\x1b[35m1006\x1b[0m \x1b[36muser\x1b[0m=\x1b[35mu7\x1b[0m",
        ]
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader::new(Own::Text, options))
    }
    fn fields(&self, options: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        app_reader::fields(line, options)
    }
}

/// The line without the colours that a logger meant for a terminal (ECMA-48 SGR: `ESC [ ... m`).
pub(super) fn uncoloured(line: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = memchr::memmem::find(rest, b"\x1b[") {
        let (before, escape) = rest.split_at(at);
        plain.extend_from_slice(before);
        let parameters = escape
            .iter()
            .skip(2)
            .take_while(|c| c.is_ascii_digit() || **c == b';')
            .count();
        let colour = escape.get(2 + parameters) == Some(&b'm');
        let (sequence, after) = escape.split_at(if colour { parameters + 3 } else { 2 });
        if !colour {
            plain.extend_from_slice(sequence);
        }
        rest = after;
    }
    plain.extend_from_slice(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::uncoloured;

    #[test]
    fn colours_go_and_nothing_else() {
        for (line, plain) in [
            (
                "\x1b[2m12:00\x1b[0m [\x1b[32;1minfo\x1b[0m] left",
                "12:00 [info] left",
            ),
            ("no colour [1m", "no colour [1m"),
            ("\x1b[2Jgone", "\x1b[2Jgone"),
            ("cut \x1b[3", "cut \x1b[3"),
            ("\x1b", "\x1b"),
        ] {
            assert_eq!(uncoloured(line.as_bytes()), plain.as_bytes(), "{plain}");
        }
    }
}
