//! What the terminal UI hands to others -> the same as Wireshark's own programs find in the files; and the mouse, the themes, what is hidden.
//!
//! Needs `tshark` and `capinfos` where they are named; without them a test says what it skipped and passes. `.ci/run` installs both.

use crate::samples::samples;
use crate::terminal::{Session, folder, text};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a program of Wireshark's says; `None`, and a line that says so, where it is not there.
fn said(program: &str, args: &[&str], file: &Path) -> Option<String> {
    let mut command = Command::new(program);
    if program == "tshark" {
        command.arg("-r");
    }
    let output = command.arg(file).args(args).output();
    let Ok(output) = output else {
        eprintln!("skipped: {program} is not installed");
        return None;
    };
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {err}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn on_mixed_incident(more: &[&str], cwd: &Path) -> Session {
    let case = samples().join("mixed-incident");
    let case = case.to_str().expect("a path");
    let session = Session::start(&[more, &[case]].concat(), &[], (60, 160), cwd);
    session.settled();
    session
}

/// The lines of hex on the screen, `0000  08 00 …`, without what stands beside them.
fn hex_lines(shown: &str) -> Vec<String> {
    let line = regex::Regex::new(r"([0-9a-f]{4})  ((?:[0-9a-f]{2} ){1,16})").expect("a pattern");
    line.captures_iter(shown)
        .map(|c| format!("{}  {}", &c[1], c[2].trim_end()))
        .collect()
}

/// The base64 of the last copy, decoded.
fn copied(session: &Session) -> String {
    let bytes = session.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let (_, last) = text.rsplit_once("\x1b]52;c;").expect("a copy");
    let encoded = last.split('\x07').next().expect("its end");
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut out) = (0, 0, Vec::new());
    for c in encoded.chars().filter(|c| *c != '=') {
        let digit = digits.find(c).expect("a digit");
        (bits, held) = (bits << 6 | digit, held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    String::from_utf8(out).expect("text")
}

/// Two keys from a drop to its packet, byte for byte as tshark prints it; the cut opens elsewhere and holds what the copied filter finds.
#[test]
fn wireshark_sees_the_same_packets() {
    let cwd = folder();
    let file = samples().join("mixed-incident").join("nginx-any.pcap");
    let mut session = on_mixed_incident(&[], cwd.path());
    session.press("\r");
    session.until_text("to close");
    session.press("\r");
    session.until("the packet's bytes", |s| {
        text(s).contains("0000  ") && !text(s).contains("to close")
    });
    let shown = session.look(text);
    let (_, number) = shown.split_once("nginx-any.pcap#").expect("its place");
    let number: String = number.chars().take_while(char::is_ascii_digit).collect();
    let filter = format!("frame.number == {number}");
    if let Some(theirs) = said("tshark", &["-Y", &filter, "-x"], &file) {
        let (ours, theirs) = (hex_lines(&shown), hex_lines(&theirs));
        assert!(ours.len() > 3, "{shown}");
        assert_eq!(ours, theirs, "packet {number}");
    }
    session.press("yf");
    session.until_text("copied frame.number");
    assert_eq!(copied(&session), filter);
    session.press("\x1b");
    session.until_text("to close");
    session.press("yf");
    session.until_text("copied (");
    let whole = copied(&session);
    session.press("ep");
    session.until_text("write pcapng to: c-");
    session.press("\r");
    session.until_text("as they were recorded");
    let cut = fs::read_dir(cwd.path())
        .expect("the folder")
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| p.extension().is_some_and(|e| e == "pcapng"))
        .expect("the cut");
    if let Some(about) = said("capinfos", &["-c", "-M"], &cut)
        && let Some(found) = said(
            "tshark",
            &["-Y", &whole, "-T", "fields", "-e", "frame.time_epoch"],
            &file,
        )
        && let Some(held) = said("tshark", &["-T", "fields", "-e", "frame.time_epoch"], &cut)
    {
        assert!(found.lines().count() > 10, "{whole}: {found}");
        assert_eq!(found, held, "{whole}");
        let count = format!("{}", found.lines().count());
        let told = about.lines().find(|l| l.starts_with("Number of packets"));
        assert!(told.is_some_and(|l| l.ends_with(&count)), "{about}");
    }
    session.press("Q");
    assert_eq!(session.ends(), 0);
}

#[test]
fn what_is_to_be_hidden_is_gone_from_every_screen() {
    let cwd = folder();
    let mut session = on_mixed_incident(&[], cwd.path());
    session.press("\r");
    session.until_text("?session=");
    session.press("R");
    session.until_text("?session=token-");
    let secret = regex::Regex::new(r"session=s[0-9a-f]{6}").expect("a pattern");
    let hidden = |s: &vt100::Screen| {
        let text = text(s);
        assert!(!secret.is_match(&text), "{text}");
    };
    session.look(hidden);
    // The record of the handshake: its headers stay, what it carried is gone.
    session.press("gjj\r");
    session.until_text("bytes of payload, hidden");
    session.look(hidden);
    session.press("\x1b");
    session.until_text("to close");
    session.press("R");
    session.until("all of it again", |s| secret.is_match(&text(s)));
    session.press("Q");
    assert_eq!(session.ends(), 0);
}

#[test]
fn odd_lines_are_listed_and_lead_to_their_place() {
    let cwd = folder();
    let from = samples().join("mixed-incident");
    let case = cwd.path().join("case");
    fs::create_dir(&case).expect("a folder");
    for name in ["app.log", "nginx.conf", "nginx-any.pcap"] {
        fs::copy(from.join(name), case.join(name)).expect("copied");
    }
    let log = fs::read_to_string(from.join("access.log")).expect("a log");
    let mut lines: Vec<&str> = log.lines().collect();
    lines.insert(20, "this line is of no log at all");
    lines.insert(31, "nor is this one");
    fs::write(case.join("access.log"), lines.join("\n") + "\n").expect("written");
    let mut session = Session::start(&["case"], &[], (40, 120), cwd.path());
    session.settled();
    session.press("3\r");
    session.until("both lines with their numbers", |s| {
        let text = text(s);
        let row = |number: &str, line: &str| {
            let mut rows = text.lines();
            rows.any(|l| l.contains(number) && l.contains("unknown-line") && l.contains(line))
        };
        text.contains("odd records: 2")
            && row(" 21 ", "this line is of no log at all")
            && row(" 32 ", "nor is this one")
    });
    session.press("j\r");
    session.until("its surroundings", |s| {
        text(s).contains("access.log:32") && text(s).contains("32 ▶ nor is this one")
    });
    session.press("\x1b");
    session.until_text("odd records: 2");
    session.press("\x1b");
    session.until_text("Sources ─ ");
    session.press("Q");
    assert_eq!(session.ends(), 0);
}

#[test]
fn the_mouse_selects_and_opens_where_it_was_asked_for() {
    let cwd = folder();
    let reversed = |s: &vt100::Screen| {
        let rows = 0..s.size().0;
        rows.filter(|y| s.cell(*y, 4).is_some_and(vt100::Cell::inverse))
            .collect::<Vec<_>>()
    };
    let mut session = on_mixed_incident(&["--mouse"], cwd.path());
    session.look(|s| assert_ne!(s.mouse_protocol_mode(), vt100::MouseProtocolMode::None));
    let row = session.look(|s| {
        let text = text(s);
        let found = text.lines().position(|l| l.contains("W501 server-crash"));
        u16::try_from(found.expect("its row")).expect("a row")
    });
    // SGR: button, column and row from 1; down and up.
    let click = |row: u16, column: u16| {
        let at = format!("{};{}", column + 1, row + 1);
        format!("\x1b[<0;{at}M\x1b[<0;{at}m")
    };
    session.press(&click(row, 10));
    session.until("the row that was clicked", |s| reversed(s) == [row]);
    session.press(&click(row, 40));
    session.press(&click(row, 40));
    session.until_text("› W501 server-crash ›");
    session.press("\x1b");
    session.until_text("cause / connection");
    session.press(&click(1, 11));
    session.until_text("Timeline ─ ");
    session.press("q");
    session.until_text("cause / connection");
    session.press("q");
    assert_eq!(session.ends(), 0);
    session.is_back_with("Same view: wsdrop report --mouse");

    let plain = on_mixed_incident(&[], cwd.path());
    plain.look(|s| assert_eq!(s.mouse_protocol_mode(), vt100::MouseProtocolMode::None));
}

#[test]
fn a_theme_is_taken_from_the_flag_and_from_the_environment() {
    let cwd = folder();
    let colours = |args: &[&str], env: &[(&str, &str)]| {
        let case = samples().join("mixed-incident");
        let case = case.to_str().expect("a path");
        let mut session = Session::start(&[args, &[case]].concat(), env, (24, 80), cwd.path());
        session.settled();
        let mut seen = session.look(|s| {
            let cells = (0..24).flat_map(|y| (0..80).filter_map(move |x| s.cell(y, x)));
            cells
                .map(|c| format!("{:?}", c.fgcolor()))
                .collect::<Vec<_>>()
        });
        seen.sort();
        seen.dedup();
        session.press("q");
        assert_eq!(session.ends(), 0);
        seen
    };
    let own = colours(&[], &[]);
    let dark = colours(&["--theme", "dark"], &[]);
    assert_ne!(own, dark);
    assert_eq!(colours(&[], &[("WSDROP_THEME", "dark")]), dark);
    let light = colours(&["--theme", "light"], &[("WSDROP_THEME", "dark")]);
    assert!(light != dark && light != own, "the flag is stronger");
    assert_eq!(colours(&["--theme", "mono"], &[]), ["Default"]);
}
