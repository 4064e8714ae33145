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
            "2026-11-20T21:43:56.005Z  INFO 1234 --- [main] c.e.App : Started App in 2.1 seconds",
        ]
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader::new(Own::Text, options.assumed_offset_s))
    }
    fn fields(&self, options: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        app_reader::fields(line, options.assumed_offset_s)
    }
}
