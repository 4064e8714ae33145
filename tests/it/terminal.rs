//! The built program on a pseudo-terminal -> what stands on its screen, and whether the terminal comes back as it was.

use crate::samples::samples;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Nothing here takes this long on a machine that does anything at all.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    // held open, so that the terminal outlives the program and its settings can be read
    _slave: Box<dyn SlavePty + Send>,
    keyboard: Box<dyn Write + Send>,
    seen: Arc<Mutex<Seen>>,
    /// The settings before the program began.
    before: String,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    /// How many of them are on the screen: a frame is shown when it is whole, as on a terminal that knows mode 2026.
    shown: usize,
}

impl Seen {
    fn take(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
        let waiting = &self.bytes[self.shown..];
        let (begin, end) = (b"\x1b[?2026h", b"\x1b[?2026l");
        let last = |of: &[u8]| waiting.windows(of.len()).rposition(|w| w == of);
        let whole = match (last(begin), last(end)) {
            (Some(begun), ended) if ended.is_none_or(|e| e < begun) => begun,
            // perhaps half of a beginning
            _ => (1..begin.len())
                .rev()
                .find(|n| waiting.ends_with(&begin[..*n]))
                .map_or(waiting.len(), |n| waiting.len() - n),
        };
        self.parser.process(&waiting[..whole]);
        self.shown += whole;
    }
}

impl Session {
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)], size: (u16, u16), cwd: &Path) -> Self {
        Self::of(
            Path::new(env!("CARGO_BIN_EXE_wsdrop")),
            args,
            env,
            size,
            cwd,
        )
    }

    /// Another program on a terminal of its own.
    pub(crate) fn of(
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        (rows, cols): (u16, u16),
        cwd: &Path,
    ) -> Self {
        let size = PtySize {
            rows,
            cols,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        command.cwd(cwd);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        // No state of the one who runs the tests.
        command.env("XDG_STATE_HOME", cwd.join("state"));
        for (name, value) in env {
            command.env(name, value);
        }
        let before = settings(&*pair.master);
        let mut output = pair.master.try_clone_reader().expect("its output");
        let keyboard = pair.master.take_writer().expect("its input");
        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(rows, cols, 0),
            bytes: Vec::new(),
            shown: 0,
        }));
        let into = Arc::clone(&seen);
        // ends with the terminal
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let mut seen = into.lock().unwrap_or_else(PoisonError::into_inner);
                seen.take(&buffer[..n]);
            }
        });
        let child = pair.slave.spawn_command(command).expect("the program");
        Self {
            child,
            master: pair.master,
            _slave: pair.slave,
            keyboard,
            seen,
            before,
        }
    }

    pub(crate) fn demo(env: &[(&str, &str)], size: (u16, u16), cwd: &Path) -> Self {
        let session = Self::start(&["demo"], env, size, cwd);
        session.settled();
        session
    }

    /// All files are read, and the list stands.
    #[track_caller]
    pub(crate) fn settled(&self) {
        self.until("the list", |s| {
            let text = text(s);
            let head = text.lines().next().unwrap_or_default();
            let reading = ["reading ", "judging ", "so far"];
            s.alternate_screen()
                && head.contains("dropped")
                && text.contains("q quit")
                && !reading.iter().any(|word| head.contains(word))
        });
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a key");
        self.keyboard.flush().expect("a key");
    }

    pub(crate) fn look<T>(&self, at: impl FnOnce(&vt100::Screen) -> T) -> T {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        at(seen.parser.screen())
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&vt100::Screen) -> bool) {
        let end = Instant::now() + LIMIT;
        while !self.look(&holds) {
            assert!(
                Instant::now() < end,
                "no sign of {what}; the screen:\n{}",
                self.look(text)
            );
            std::thread::sleep(PAUSE);
        }
    }

    #[track_caller]
    pub(crate) fn until_text(&self, wanted: &str) {
        self.until(wanted, |s| text(s).contains(wanted));
    }

    pub(crate) fn resize(&self, (rows, cols): (u16, u16)) {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.parser.screen_mut().set_size(rows, cols);
        }
        self.master
            .resize(PtySize {
                rows,
                cols,
                pixel_width: 0,
                pixel_height: 0,
            })
            .expect("another size");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.process_id().expect("a process").to_string();
        let done = std::process::Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .expect("kill");
        assert!(done.success());
    }

    /// Waits for the end: the exit code.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> u32 {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status.exit_code();
            }
            assert!(
                Instant::now() < end,
                "it does not end; the screen:\n{}",
                self.look(text)
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// The program is gone, and the terminal is as it was, with the last line on its own screen.
    #[track_caller]
    fn is_as_before(&self) {
        self.is_back_with("Same view: wsdrop demo");
    }

    #[track_caller]
    pub(crate) fn is_back_with(&self, line: &str) {
        self.until("the line that is left", |s| {
            !s.alternate_screen() && text(s).contains(line)
        });
        assert_eq!(settings(&*self.master), self.before);
        self.look(|s| {
            assert!(!s.hide_cursor(), "the cursor stays hidden");
            assert!(!s.bracketed_paste(), "pastes stay bracketed");
            assert_eq!(s.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        });
    }
}

impl Session {
    /// All that the terminal was sent so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.bytes.clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // a test that failed must not leave it behind
        let _ = self.child.kill();
    }
}

pub(crate) fn text(screen: &vt100::Screen) -> String {
    screen.contents()
}

/// The modes of the terminal's line discipline.
fn settings(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios())
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn two_keys_lead_from_a_drop_to_its_record() {
    let cwd = folder();
    let mut session = Session::demo(&[], (40, 120), cwd.path());
    assert_ne!(settings(&*session.master), session.before, "raw mode");
    session.look(|s| assert!(s.hide_cursor() && s.bracketed_paste()));
    session.press("\r");
    session.until_text("to close");
    session.press("\r");
    session.until("the packet's bytes", |s| {
        text(s).contains("0000  ") && !text(s).contains("to close")
    });
    session.press("\x1b");
    session.until_text("to close");
    session.press("w");
    session.until_text("and what was ruled out");
    session.press("?");
    session.until_text("type to search");
    session.press("\x1b");
    session.until_text("and what was ruled out");
    session.press("1");
    session.until_text("cause / connection");
    for (key, title) in [
        ("2", "Timeline ─ "),
        ("3", "Sources ─ "),
        ("4", "Rules ─ "),
        ("1", "cause / connection"),
    ] {
        session.press(key);
        session.until_text(title);
    }
    session.press("q");
    assert_eq!(session.ends(), 0);
    session.is_as_before();
}

#[test]
fn the_terminal_comes_back_however_it_ends() {
    let cwd = folder();
    let check = |end: &dyn Fn(&mut Session), code: u32| {
        let mut session = Session::demo(&[], (24, 80), cwd.path());
        end(&mut session);
        assert_eq!(session.ends(), code);
        session.is_as_before();
    };
    check(&|s| s.press("q"), 0);
    check(&|s| s.press("\x03"), 0);
    check(&|s| s.press("/code:1006\x03"), 0);
    check(&|s| s.signal("TERM"), 143);
    check(&|s| s.signal("HUP"), 129);
    check(
        &|s| {
            s.press("\r");
            s.until_text("Esc back");
            s.signal("INT");
        },
        130,
    );
}

#[test]
fn a_new_size_is_drawn_anew() {
    let cwd = folder();
    let mut session = Session::demo(&[], (40, 120), cwd.path());
    session.until_text("cause / connection");
    session.resize((10, 40));
    session.until("the small screen", |s| {
        let text = text(s);
        text.lines().count() <= 10
            && !text.contains("cause / connection")
            && text.contains("q quit")
    });
    session.resize((40, 120));
    session.until_text("cause / connection");
    session.until_text("Silent before the close");
    session.press("q");
    assert_eq!(session.ends(), 0);
    session.is_as_before();
}

#[test]
fn it_comes_back_from_the_background() {
    let cwd = folder();
    let mut session = Session::demo(&[], (24, 80), cwd.path());
    session.press("\x1a");
    session.until("the shell's screen", |s| !s.alternate_screen());
    session.signal("CONT");
    session.settled();
    session.press("q");
    assert_eq!(session.ends(), 0);
    session.is_as_before();
}

#[test]
fn no_color_means_none_and_the_selection_still_shows() {
    let cwd = folder();
    let colours = |env: &[(&str, &str)]| {
        let mut session = Session::demo(env, (24, 80), cwd.path());
        let count = session.look(|s| {
            let cells = (0..24).flat_map(|y| (0..80).filter_map(move |x| s.cell(y, x)));
            let (mut coloured, mut inverse) = (0, 0);
            for cell in cells {
                let plain = cell.fgcolor() == vt100::Color::Default
                    && cell.bgcolor() == vt100::Color::Default;
                coloured += usize::from(!plain);
                inverse += usize::from(cell.inverse());
            }
            assert!(inverse >= 40, "no row is selected");
            coloured
        });
        session.press("q");
        assert_eq!(session.ends(), 0);
        count
    };
    assert_eq!(colours(&[("NO_COLOR", "1")]), 0);
    assert!(colours(&[]) > 0);
}

#[test]
fn a_dumb_terminal_gets_the_report() {
    let cwd = folder();
    let mut session = Session::start(&["demo"], &[("TERM", "dumb")], (24, 80), cwd.path());
    assert_eq!(session.ends(), 0);
    session.until_text("wsdrop demo --write DIR");
    let seen = session.seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(String::from_utf8_lossy(&seen.bytes).contains("connections dropped"));
    assert!(!seen.bytes.contains(&0x1b), "an escape sequence");
}

#[test]
fn what_is_shown_can_be_written_and_said_again() {
    let cwd = folder();
    let case = samples().join("mixed-incident");
    let case = case.to_str().expect("a path");
    let mut session = Session::start(&[case], &[], (40, 120), cwd.path());
    session.settled();
    session.press("/cause:idle-timeout\r");
    session.until_text("filter cause:idle-timeout");
    session.press("e");
    session.until_text("export as");
    session.press("j");
    session.until_text("write json to: wsdrop-report.json");
    session.press("\r");
    session.until_text("wrote wsdrop-report.json");
    session.press(":expjs\r");
    session.until_text("write json to:");
    session.press("\r");
    session.until_text("can't write wsdrop-report.json");
    for (key, name, start) in [
        ("c", "wsdrop-report.csv", "id,"),
        ("h", "wsdrop-report.html", "<!doctype html>"),
        ("m", "wsdrop-report.md", ""),
    ] {
        session.press("e");
        session.until_text("export as");
        session.press(key);
        session.until_text(name);
        session.press("\r");
        session.until_text(&format!("wrote {name}"));
        let written = std::fs::read_to_string(cwd.path().join(name)).expect("a file");
        let head: String = written.chars().take(40).collect();
        assert!(head.to_lowercase().starts_with(start), "{head}");
        assert!(written.contains("idle-timeout"));
    }
    session.press("q");
    assert_eq!(session.ends(), 0);
    session.until_text("-w cause:idle-timeout");
    let report = std::fs::read(cwd.path().join("wsdrop-report.json")).expect("the report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    let causes: Vec<&str> = report["connections"]
        .as_array()
        .expect("connections")
        .iter()
        .filter_map(|c| c["cause"].as_str())
        .collect();
    assert!(
        !causes.is_empty() && causes.iter().all(|c| *c == "idle-timeout"),
        "{causes:?}"
    );
}

#[test]
fn a_copy_goes_to_the_terminals_clipboard() {
    let cwd = folder();
    let mut session = Session::demo(&[], (24, 80), cwd.path());
    session.press("ym");
    session.until_text("copied **W");
    {
        let seen = session.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let head = b"\x1b]52;c;";
        assert!(seen.bytes.windows(head.len()).any(|w| w == head));
    }
    session.press("q");
    assert_eq!(session.ends(), 0);
    session.is_as_before();
}

#[test]
fn the_first_minute_of_a_newcomer() {
    let cwd = folder();
    let mut session = Session::demo(&[], (30, 100), cwd.path());
    session.press("\r");
    session.until_text("to close");
    session.press("w");
    session.until_text("and what was ruled out");
    session.press("eh");
    session.until_text("write html to: wsdrop-report.html");
    session.press("\r");
    session.until_text("wrote wsdrop-report.html");
    let page = std::fs::read_to_string(cwd.path().join("wsdrop-report.html")).expect("the page");
    assert!(page.contains("idle-timeout"));
    session.press("qqq");
    assert_eq!(session.ends(), 0);
    session.is_as_before();
}

#[test]
fn it_ends_with_the_shell_that_started_it() {
    let cwd = folder();
    let command = format!("{} demo; true", env!("CARGO_BIN_EXE_wsdrop"));
    let shell = Path::new("/bin/sh");
    let mut session = Session::of(shell, &["-c", &command], &[], (24, 80), cwd.path());
    session.settled();
    session.signal("KILL");
    session.ends();
    session.is_as_before();
}

#[test]
fn marks_and_notes_are_there_the_next_time_and_in_reports() {
    let cwd = folder();
    let case = samples().join("mixed-incident");
    let case = case.to_str().expect("a path");
    let start = || {
        let session = Session::start(&[case], &[], (40, 120), cwd.path());
        session.settled();
        session
    };
    let mut session = start();
    session.press("gllm");
    session.until_text("1 marked, 1 in all");
    session.press("A");
    session.until_text("note on c-");
    session.press("asked the carrier\r");
    session.until_text("noted");
    session.press("/note:carrier\r");
    session.until_text("filter note:carrier");
    session.press("Q");
    assert_eq!(session.ends(), 0);
    session.until_text("-w note:carrier");
    let mut session = start();
    session.until_text("1 marked");
    session.press("/mark:yes\r");
    session.until_text("filter mark:yes");
    session.press("j");
    session.until_text("note asked the carrier");
    session.press("Q");
    assert_eq!(session.ends(), 0);
    let report = std::process::Command::new(env!("CARGO_BIN_EXE_wsdrop"))
        .args([
            "report",
            case,
            "-f",
            "ndjson",
            "-w",
            "mark:yes note:carrier",
        ])
        .env("XDG_STATE_HOME", cwd.path().join("state"))
        .output()
        .expect("a report");
    let text = String::from_utf8_lossy(&report.stdout);
    let rows = text.lines().filter(|l| l.contains("\"cause\"")).count();
    assert_eq!((report.status.code(), rows), (Some(0), 1), "{text}");
}

#[test]
fn a_line_opens_in_the_editor_at_its_place() {
    let cwd = folder();
    let editor = cwd.path().join("editor");
    let script = "#!/bin/sh\necho \"edited $1 $2\" > edited\necho in the editor\nread answer\n";
    std::fs::write(&editor, script).expect("an editor");
    let chmod = std::process::Command::new("chmod")
        .arg("+x")
        .arg(&editor)
        .status();
    assert!(chmod.expect("chmod").success());
    let case = samples().join("mixed-incident");
    let case = case.to_str().expect("a path");
    let editor = editor.to_str().expect("a path");
    let mut session = Session::start(&[case], &[("EDITOR", editor)], (40, 120), cwd.path());
    session.settled();
    session.press("/cause:idle-timeout\r");
    session.press("\r");
    session.until_text("to close");
    session.press("G");
    session.press("o");
    session.until("the editor on the shell's screen", |s| {
        !s.alternate_screen() && text(s).contains("in the editor")
    });
    session.press("\n");
    session.until("the ladder again", |s| {
        s.alternate_screen() && text(s).contains("to close")
    });
    let edited = std::fs::read_to_string(cwd.path().join("edited")).expect("what was edited");
    let (line, path) = edited
        .trim()
        .strip_prefix("edited +")
        .and_then(|rest| rest.split_once(' '))
        .expect("+LINE FILE");
    let file = std::fs::read_to_string(path).expect("the log");
    let line: usize = line.parse().expect("a line");
    assert!(line >= 1 && line <= file.lines().count(), "{edited}");
    session.press("Q");
    assert_eq!(session.ends(), 0);
}

/// The bytes of packet `number` (from 1) of a little-endian pcap file, read here and by nothing of the program.
fn packet_of(file: &[u8], number: usize) -> &[u8] {
    let mut at = 24;
    for _ in 1..number {
        let length = u32::from_le_bytes(file[at + 8..at + 12].try_into().expect("four bytes"));
        at += 16 + length as usize;
    }
    let length = u32::from_le_bytes(file[at + 8..at + 12].try_into().expect("four bytes"));
    &file[at + 16..at + 16 + length as usize]
}

#[test]
fn the_record_on_the_screen_is_the_one_in_the_file() {
    let cwd = folder();
    let case = samples().join("mixed-incident");
    let file = std::fs::read(case.join("nginx-any.pcap")).expect("the capture");
    let case = case.to_str().expect("a path");
    let mut session = Session::start(&[case], &[], (40, 120), cwd.path());
    session.settled();
    session.press("\r");
    session.until_text("to close");
    session.press("\r");
    session.until("the packet's bytes", |s| {
        text(s).contains("0000  ") && !text(s).contains("to close")
    });
    let shown = session.look(text);
    let (_, number) = shown.split_once("nginx-any.pcap#").expect("its place");
    let digits = number.find(|c: char| !c.is_ascii_digit()).expect("an end");
    let bytes = packet_of(&file, number[..digits].parse().expect("a number"));
    for (n, row) in bytes.chunks(16).enumerate().take(5) {
        let hex: Vec<String> = row.iter().map(|b| format!("{b:02x}")).collect();
        let line = format!("{:04x}  {}", n * 16, hex.join(" "));
        assert!(shown.contains(&line), "{line} is not in\n{shown}");
    }
    session.press("ep");
    session.until_text("write pcapng to: c-");
    session.press("\r");
    session.until_text("as they were recorded");
    let written: Vec<_> = std::fs::read_dir(cwd.path())
        .expect("the folder")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "pcapng"))
        .collect();
    let [cut] = written.as_slice() else {
        panic!("{written:?}")
    };
    let cut = std::fs::read(cut).expect("the packets");
    assert!(cut.windows(bytes.len()).any(|w| w == bytes), "the packet");
    session.press("Q");
    assert_eq!(session.ends(), 0);
}
