//! Application logs of JSON lines (pino, winston, bunyan, structlog, zap, slog, logstash, CLEF, tracing ...) as a format.

use super::app_reader::{self, Own, Reader};
use super::{LineReader, LogFormat, LogOptions};

#[derive(Debug)]
pub(super) struct AppJson;

impl LogFormat for AppJson {
    fn name(&self) -> &'static str {
        "app-json"
    }
    fn title(&self) -> &'static str {
        "application log, JSON lines"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"{"event":"connect","clientId":"203.0.113.9","time":1795208316579}"#,
            r#"{"event":"close","clientId":"203.0.113.9","code":1006,"reason":"","time":1795208376580}"#,
            r#"{"event":"error","clientId":"203.0.113.9","message":"read ECONNRESET","time":1795208376580}"#,
            r#"{"event":"terminate_dead","time":1795208376580}"#,
            r#"{"event":"socket_error","message":"...","code":"ECONNRESET","time":1795208376580}"#,
            r#"{"level":30,"time":1795209513790,"pid":27065,"hostname":"vm","code":1006,"reason":"","clientIp":"203.0.113.7","msg":"ws close"}"#,
            r#"{"name":"wsapp","hostname":"vm","pid":27065,"level":30,"event":"ws_close","code":1006,"msg":"ws close","time":"2026-11-20T21:18:33.960Z","v":0}"#,
            r#"{"clientIp":"203.0.113.7","code":1006,"event":"ws_close","level":"info","message":"ws close","timestamp":"2026-11-20T21:18:33.908Z"}"#,
            r#"{"code": 1006, "client": "203.0.113.7", "event": "ws_close", "level": "info", "timestamp": "2026-11-20T21:18:34.219824Z"}"#,
            r#"{"asctime": "2026-11-20 21:18:34,230", "levelname": "INFO", "name": "wsapp", "message": "ws close", "code": 1006}"#,
            r#"{"time":"2026-11-20T21:22:05.438529688Z","level":"INFO","msg":"ws close","code":1006,"dur":1000000000}"#,
            r#"{"level":"info","ts":1795209513.790,"caller":"ws/conn.go:42","msg":"ws close","code":1006}"#,
            r#"{"level":"info","code":1006,"time":"2026-11-20T21:18:33Z","message":"ws close"}"#,
            r#"{"@timestamp":"2026-11-20T21:18:33.908Z","@version":"1","message":"ws close","logger_name":"x","level":"INFO","level_value":20000,"code":1006}"#,
            r#"{"@t":"2026-11-20T21:18:33.9080000Z","@mt":"Closed {Code}","@l":"Warning","Code":1006}"#,
            r#"{"timestamp":"2026-11-20T21:20:31.371325Z","level":"INFO","fields":{"message":"ws close","code":1006,"client_ip":"203.0.113.7"},"target":"rs"}"#,
        ]
    }
    /// Two whole records: no trace and no object over several lines is open between them.
    fn parts_between(&self, before: &[u8], after: &[u8]) -> bool {
        let whole = |line: &[u8]| {
            let line = line.trim_ascii_end();
            line.starts_with(b"{\"") && line.ends_with(b"}")
        };
        whole(before) && whole(after)
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader::new(Own::Json, options))
    }
    fn fields(&self, options: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        app_reader::fields(line, options)
    }
}
