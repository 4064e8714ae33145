//! Screens of the program on a pseudo-terminal -> the tour in the book: what a reader sees there is what the program shows.

use crate::samples::wsdrop;
use crate::terminal::{Session, text};
use std::fs;
use std::path::Path;

const SIZE: (u16, u16) = (30, 100);

/// A stop of the tour: what is said, the keys that lead there, a word that the screen then has.
const STOPS: &[(&str, &str, &str, &str)] = &[
    (
        "What dropped, and why",
        "",
        "Silent before the close",
        "`wsdrop demo` opens the incident that comes with the program; `wsdrop ./incident` opens yours. The causes stand in order of \
         their drops, and the answer for the one that is selected on the right: what happened, on which records that rests, what fixes it. \
         Below are the drops over time and the silence before each of them: a bar that stands alone is a time-out.",
    ),
    (
        "One drop, packet by packet",
        "\r",
        "to close",
        "`Enter` shows the evidence on a ladder over the hops: what each capture and each log saw, as finely as it knew the time, and the \
         silence drawn as silence.",
    ),
    (
        "The record itself",
        "\r",
        "0000  ",
        "`Enter` again opens the record: the packet by layer and byte, or the log line among its neighbours.",
    ),
    (
        "Why this, and not something else",
        "\x1bw",
        "and what was ruled out",
        "`w` shows what the rule wanted and what was seen, which other causes came close, and what would have been needed to test the rest.",
    ),
    (
        "All connections in time",
        "\x1b\x1b2",
        "Timeline ─ ",
        "`2` draws every connection as a bar, with the reloads, crashes and restarts that the logs tell of.",
    ),
    (
        "What was read",
        "3",
        "Sources ─ ",
        "`3` lists every file: what it was read as, what it covers, in which zone, how far its clock was off, and what was not understood.",
    ),
];

/// The screen as a reader sees it, without what is only blank.
fn screen(session: &Session) -> String {
    let shown = session.look(text);
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// Waits until the screen has stood still, so that no half-drawn one gets into the book.
fn settled(session: &Session) -> String {
    let mut before = screen(session);
    let mut same = 0;
    for _ in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = screen(session);
        same = if now == before { same + 1 } else { 0 };
        if same == 6 {
            return now;
        }
        before = now;
    }
    panic!("the screen never stands still:\n{before}");
}

fn tour() -> String {
    let cwd = tempfile::tempdir().expect("a folder");
    let home = cwd.path().join("home");
    let home = home.to_str().expect("a path");
    let env = [("XDG_STATE_HOME", home), ("XDG_CONFIG_HOME", home)];
    let mut session = Session::demo(&env, SIZE, cwd.path());
    let mut page = String::from(
        "# A tour\n\nReal screens of `wsdrop demo`, in a terminal of 100 by 30. A test keeps them current; \
         `INSTA_UPDATE=always cargo test tour` renews them.\n",
    );
    for (title, keys, wanted, said) in STOPS {
        for key in keys.chars() {
            // one after the other: an Esc and a letter at once are Alt and that letter
            session.press(&key.to_string());
            settled(&session);
        }
        session.until_text(wanted);
        let shown = settled(&session);
        page.push_str(&format!(
            "\n## {title}\n\n{said}\n\n```text\n{shown}\n```\n"
        ));
    }
    session.press("Q");
    session.ends();
    page.push_str(
        "\n## And for the others\n\n`e h` writes the report that colleagues open in a browser, `y m` copies the drop as Markdown for the \
         incident channel. The same without a terminal:\n\n",
    );
    let output = wsdrop(&["demo", "--format", "text"], cwd.path());
    let report = String::from_utf8(output.stdout).expect("UTF-8");
    page.push_str(&format!(
        "```text\n$ wsdrop demo --format text\n{}\n```\n",
        report.trim_end()
    ));
    page
}

#[test]
fn the_tour_shows_what_there_is_to_see() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("book/src/tour.md");
    let tour = tour();
    if std::env::var("INSTA_UPDATE").is_ok_and(|v| v == "always") {
        fs::write(&path, &tour).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    readme();
    assert!(
        written == tour,
        "book/src/tour.md is not what the screens show now; renew it with\n    INSTA_UPDATE=always cargo test tour\n{tour}"
    );
}

/// The README shows the first screen of the text report, renewed in the same way.
fn readme() {
    const BEGIN: &str = "<!-- screen -->\n\n```text\n$ wsdrop demo --format text\n";
    const END: &str = "\n```\n\n<!-- /screen -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let page = fs::read_to_string(&path).expect("the README");
    let (before, rest) = page.split_once(BEGIN).expect("the screen begins");
    let (shown, after) = rest.split_once(END).expect("the screen ends");
    let folder = tempfile::tempdir().expect("a folder");
    let output = wsdrop(&["demo", "--format", "text"], folder.path());
    let report = String::from_utf8(output.stdout).expect("UTF-8");
    let report = report.trim_end();
    if std::env::var("INSTA_UPDATE").is_ok_and(|v| v == "always") {
        fs::write(&path, format!("{before}{BEGIN}{report}{END}{after}")).expect("written");
        return;
    }
    assert!(
        shown == report,
        "the screen in README.md is not what is printed now; renew it with\n    INSTA_UPDATE=always cargo test tour"
    );
}
