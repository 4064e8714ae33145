//! A case in which everything that a stranger can write is an attack -> whether each output shows it and none obeys it.

use crate::outputs::{csv, sample};
use crate::samples::wsdrop;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// What a terminal, a browser, a spreadsheet, a Markdown renderer or a CI system would obey.
const MARKS: &[&str] = &[
    "<script>window.owned=1</script>",
    "\x1b[2J\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07",
    "\u{9b}31m\u{90}owned\u{9c}",
    "\u{202e}gpj.exe\u{2066}",
    "=cmd|' /C calc'!A0",
    "\"><img src=x onerror=window.owned=1>",
    "<a href=//evil.example onclick=window.owned=1>x</a>",
    "[x](javascript:window.owned=1)",
    "![i](//evil.example/i.png)",
    "@everyone <!channel>",
    "`</code>`",
    "::error::owned",
    "##[error]owned",
    "%0A::error::owned",
    "]]>",
    "&lt;b&gt;",
    "</details></table></main><h1>owned",
];

/// An incident whose URIs, agents, messages and file names are such marks, with lines of a megabyte between its own.
pub(crate) fn case() -> TempDir {
    let dir = sample("server-crash");
    let all = MARKS.join(" ");
    let huge = "A".repeat(1 << 20);
    for entry in fs::read_dir(dir.path()).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(".pcap") {
            // the requests are then those of the logs
            fs::remove_file(entry.path()).expect("removed");
        }
        if !name.ends_with(".log") {
            continue;
        }
        let log = fs::read_to_string(entry.path()).expect("read");
        let mut spoilt = String::new();
        for line in log.lines() {
            // what a client may write into a log: its URI and its agent
            let uri = all
                .replace('"', "%22")
                .replace(' ', "+")
                .replace('\\', "%5C");
            let uri = if line.starts_with('{') {
                // as JSON has it
                let text = serde_json::to_string(&uri).expect("JSON");
                text.trim_matches('"').to_owned()
            } else {
                uri
            };
            spoilt.push_str(&line.replacen("/ws", &format!("/ws/{uri}"), 1));
            spoilt.push('\n');
        }
        spoilt.push_str(&format!("{all}\n{huge}\n{all}{huge}\n"));
        fs::write(entry.path(), spoilt).expect("written");
    }
    for name in [
        "=1+1 <b>\u{202e}.log",
        #[cfg(unix)]
        "a\nb\x1b]0;owned\x07.log",
        "-rf --where.log",
        "::error file=x::owned.log",
        "<script>window.owned=1<script>.conf",
    ] {
        fs::write(dir.path().join(name), format!("{all}\n{huge}\n")).expect("written");
    }
    dir
}

/// Characters that move a cursor, reorder or hide text (Unicode Cc but the line feed, bidi controls, zero-width ones).
fn alive(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn stdout(dir: &TempDir, args: &[&str]) -> String {
    let output = wsdrop(args, dir.path());
    let code = output.status.code();
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(matches!(code, Some(0 | 1)), "{args:?}: {code:?}\n{err}");
    assert!(!err.contains(alive), "{args:?} passes on to stderr:\n{err}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_form_shows_it_and_obeys_none_of_it() {
    let dir = case();
    for args in [
        &["report", "."][..],
        &["report", ".", "-v"],
        &["report", ".", "--ascii"],
        &["report", ".", "-f", "md"],
        &["report", ".", "-f", "csv"],
        &["report", ".", "-f", "html"],
        &["report", ".", "-f", "json"],
        &["report", ".", "-f", "ndjson"],
        &["report", ".", "-w", "script"],
        &["check", "."],
        &["check", ".", "-f", "sarif"],
        &["check", ".", "-f", "junit"],
        &["check", ".", "-f", "github"],
        &["show", "1", "."],
        &["show", "1", ".", "--raw"],
        &["show", "1", ".", "--why"],
        &["show", "1", ".", "--json"],
        &["sources", "."],
        &["sources", ".", "--json"],
    ] {
        let out = stdout(&dir, &[args, &["--redact", "none"]].concat());
        assert!(!out.is_empty(), "{args:?}");
        if let Some(at) = out.find(alive) {
            let around: String = out[at..].chars().take(20).collect();
            panic!("{args:?} passes on {around:?}");
        }
        let format = match args {
            [.., "-f", format] => format,
            [.., "--json"] => "json",
            _ => "",
        };
        match format {
            "html" => {
                assert_eq!(out.matches("<script").count(), 1, "its own");
                for word in ["<img", "<b>", "<a href=//", "<h1>owned"] {
                    assert!(!out.contains(word), "{word}");
                }
                assert!(out.contains("/ws/&lt;script&gt;"), "it is there as text");
                assert!(out.len() < 5_000_000);
            }
            "md" => markdown(&out),
            "junit" => assert!(!out.contains("<script") && !out.contains("]]>")),
            "csv" => {
                for field in csv(&out).into_iter().skip(1).flatten() {
                    assert!(!field.starts_with(['=', '+', '@']), "{field}");
                }
            }
            "github" => {
                for line in out.lines() {
                    let own = [
                        "::error title=W",
                        "::error file=",
                        "::warning ",
                        "::notice ",
                    ];
                    let command = line.starts_with("::") || line.starts_with("##[");
                    assert!(
                        !command || own.iter().any(|o| line.starts_with(o)),
                        "{line}"
                    );
                    assert!(!line.contains("%0A::"), "{line}");
                }
            }
            "json" | "sarif" => {
                let _: Value = serde_json::from_str(&out).expect("JSON");
            }
            "ndjson" => {
                for line in out.lines() {
                    let _: Value = serde_json::from_str(line).expect("JSON");
                }
            }
            _ => {}
        }
    }
}

/// Outside code spans no markup is left that a renderer would take for a link, a picture, a mention or HTML.
fn markdown(page: &str) {
    for line in page.lines() {
        // the n-th piece between backticks; an escaped one opens nothing
        let plain: String = line
            .replace("\\`", "")
            .split('`')
            .step_by(2)
            .collect::<Vec<_>>()
            .join(" ");
        for word in ["<", "](/", "](j", "![", " @"] {
            let escaped = plain
                .replace("\\[", "")
                .replace("\\]", "")
                .replace("\\@", "");
            assert!(!escaped.contains(word), "{word} in {line}");
        }
    }
}

#[test]
fn every_file_is_listed_by_its_name() {
    let dir = case();
    let page = stdout(&dir, &["sources", ".", "--json"]);
    let document: Value = serde_json::from_str(&page).expect("JSON");
    let listed = document["sources"].as_array().expect("a list").len();
    let there = fs::read_dir(dir.path()).expect("a folder").count();
    // the home of the program stands in the folder it runs in
    let there = there - usize::from(dir.path().join("no-home").exists());
    assert_eq!(listed, there, "{page}");
}

#[cfg(all(unix, feature = "tui"))]
#[test]
fn the_screens_show_it_and_obey_none_of_it() {
    use crate::terminal::{Session, text};

    let dir = case();
    let mut session = Session::start(&["."], &[], (40, 140), dir.path());
    session.settled();
    let look = |session: &mut Session, keys: &str, wanted: &str| {
        session.press(keys);
        session.until_text(wanted);
    };
    look(&mut session, "jj", "dropped");
    look(&mut session, "\r", "to close");
    look(&mut session, "\r", "Esc");
    session.press("\x1b\x1b");
    look(&mut session, "3", "Sources ─ ");
    look(&mut session, "\r", "Sources");
    look(&mut session, "2", "Timeline ─ ");
    look(&mut session, "4", "Rules ─ ");
    look(&mut session, "1", "cause / connection");
    look(&mut session, "/script", "script");
    session.press("\r");
    session.look(|s| assert!(!text(s).contains('\u{202e}')));
    session.press("Q");
    session.ends();
    let bytes = session.bytes();
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    assert!(!holds(b"\x1b]0;"), "a title");
    assert!(!holds("\u{202e}".as_bytes()), "a change of direction");
    assert!(!holds("\u{9b}".as_bytes()), "a C1 control");
    assert!(!holds(b"b3duZWQ="), "the clipboard");
}
