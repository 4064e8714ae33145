//! The terminal UI over a case that is read as slowly, or fails as badly, as the test wants -> whether keys work and the terminal comes back.
//!
//! The test starts its own binary again on a pseudo-terminal, with [`a_session_of_its_own`] as the only test.

use crate::samples::{samples, wsdrop};
use crate::terminal::{Session, folder, text};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use wsdrop::analysis::{self, CaseRaw, Options, Silent};
use wsdrop::case::{Case, OpenOptions};
use wsdrop::diagnose::Pack;
use wsdrop::model::{
    Analysis, FileProgress, FileState, Filter, Loading, Notes, Raw, RawReader, RecordRef,
};
use wsdrop::tui::{self, Exporter, Fed, Feed, Keeper, Shown, State, TuiOptions};

const ACT: &str = "WSDROP_TEST_ACT";

fn case() -> Case {
    let path = samples().join("mixed-incident");
    let exclude = vec!["README.md".to_owned(), "expected.json".to_owned()];
    let options = OpenOptions {
        exclude,
        ..OpenOptions::default()
    };
    Case::open(&[path], &options).expect("the sample")
}

fn whole(case: &Case) -> Analysis {
    let pack = Pack::builtin();
    analysis::run(case, &Options::default(), &pack, &Silent)
}

/// A reading that has come to 61 % of two files and stays there until it is stopped.
struct Slow {
    act: String,
    whole: Arc<Analysis>,
    raw: CaseRaw,
    told: usize,
    stopped: bool,
}

impl Feed for Slow {
    fn next(&mut self) -> Fed {
        self.told += 1;
        match (self.act.as_str(), self.told, self.stopped) {
            ("worker-panic", 20, _) => {
                let worker = std::thread::Builder::new().name("reading".to_owned());
                let worker = worker.spawn(|| panic!("the worker broke"));
                let _ = worker.expect("a thread").join();
                Fed::End
            }
            ("loading", 3, _) => {
                let mut some = Analysis::clone(&self.whole);
                some.connections.truncate(20);
                Fed::Newer(Arc::new(some))
            }
            ("loading", 4.., true) => {
                self.act = "over".to_owned();
                Fed::Newer(Arc::clone(&self.whole))
            }
            _ => Fed::Nothing,
        }
    }

    fn loading(&mut self) -> Option<Loading> {
        let file = |state, read| FileProgress {
            state,
            bytes: 1000,
            read,
        };
        let loading = Loading {
            files: vec![
                file(FileState::Read, 1000),
                file(FileState::Reading, 220),
                file(FileState::Waiting, 0),
            ],
            total: 2000,
            read: 1220,
            rate: 212_000_000,
            stopped: self.stopped,
        };
        // Where nothing is being read the screen waits for keys and asks no more.
        matches!(self.act.as_str(), "loading" | "worker-panic").then_some(loading)
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn veil(&mut self, _: bool) {}

    fn reload(&mut self) -> Result<(), String> {
        Ok(())
    }
}

impl RawReader for Slow {
    fn read(&mut self, record: RecordRef) -> Raw {
        assert!(self.act != "panic", "the loop broke");
        self.raw.read(record)
    }
}

impl Exporter for Slow {
    fn export(&mut self, _: &str, _: &Path, _: &Analysis, _: &str) -> Result<String, String> {
        Err("nothing is written here".to_owned())
    }
}

impl Keeper for Slow {
    fn keep(&mut self, _: &Notes, _: &BTreeSet<String>) -> Result<(), String> {
        Ok(())
    }
    fn show(&mut self, _: RecordRef) -> Result<Shown, String> {
        Err("nothing is shown here".to_owned())
    }
    fn take_over(&mut self, _: RecordRef) -> Result<(), String> {
        Ok(())
    }
}

#[test]
#[ignore = "started by the tests below, each time on a terminal of its own"]
fn a_session_of_its_own() {
    let case = case();
    let whole = Arc::new(whole(&case));
    let mut slow = Slow {
        act: std::env::var(ACT).unwrap_or_default(),
        raw: CaseRaw::new(case.clone(), &whole.sources, &Options::default()),
        whole: Arc::clone(&whole),
        told: 0,
        stopped: false,
    };
    let first = match slow.act.as_str() {
        "loading" => Arc::new(analysis::listed(&case)),
        _ => whole,
    };
    let farewell = tui::run(first, &mut slow, &TuiOptions::default()).expect("a terminal");
    println!("{}", farewell.line);
    if let Some(signal) = farewell.signal {
        std::process::exit(128 + signal);
    }
}

fn session(act: &str, size: (u16, u16), cwd: &Path) -> Session {
    let own = std::env::current_exe().expect("this program");
    let args = [
        "--exact",
        "sessions::a_session_of_its_own",
        "--ignored",
        "--nocapture",
    ];
    Session::of(&own, &args, &[(ACT, act)], size, cwd)
}

#[test]
fn keys_work_while_files_are_read() {
    let cwd = folder();
    let mut session = session("loading", (40, 120), cwd.path());
    session.until_text("reading 1/3 files · 61 % · 212 MB/s · 1 s left");
    session.until_text("of 20 dropped so far");
    session.look(|s| {
        let text = text(s);
        assert!(
            text.contains("Esc stops") && text.contains("▸ ~ W"),
            "{text}"
        );
    });
    session.press("\r");
    session.until_text("to close");
    session.press("\x1b");
    session.until_text("provisional ~");
    session.resize((10, 40));
    // The line of keys is at its foot: what is left of the large screen has none.
    session.until("the small screen", |s| {
        let text = text(s);
        let fits = text.lines().count() <= 10 && text.contains("? keys");
        fits && text.contains("reading 1/3 files · 61 %")
    });
    session.resize((40, 120));
    let drops = |s: &vt100::Screen| text(s).contains("lived") && text(s).contains("provisional ~");
    session.until("the large screen", drops);
    session.press("3");
    session.until("the files", |s| {
        text(s).contains("61 %") && !text(s).contains("lived")
    });
    session.press("1");
    session.until("the drops again", drops);
    session.press("\x1b");
    session.until("the end of reading", |s| {
        text(s).contains("23 of 44 dropped") && !text(s).contains("reading 1/3")
    });
    session.until_text("reading was stopped");
    session.press("q");
    assert_eq!(session.ends(), 0);
    session.is_back_with("Same view: wsdrop report");
}

#[test]
fn the_terminal_comes_back_however_the_reading_ends() {
    let cwd = folder();
    let check = |act: &str, end: &dyn Fn(&mut Session), code: u32, line: &str| {
        let mut session = session(act, (24, 80), cwd.path());
        session.until("the list", |s| {
            s.alternate_screen() && text(s).contains("q quit")
        });
        end(&mut session);
        assert_eq!(session.ends(), code, "{act}");
        session.is_back_with(line);
    };
    let same = "Same view: wsdrop report";
    check("loading", &|s| s.press("q"), 0, same);
    check("loading", &|s| s.press("\x03"), 0, same);
    check("loading", &|s| s.signal("TERM"), 143, same);
    check("loading", &|s| s.signal("HUP"), 129, same);
    check(
        "loading",
        &|s| {
            s.press("\x1a");
            s.until("the shell's screen", |s| !s.alternate_screen());
            s.signal("CONT");
            s.until_text("reading 1/3 files");
            s.press("q");
        },
        0,
        same,
    );
    // The ladder reads the record it stands on.
    check("panic", &|s| s.press("\r"), 101, "the loop broke");
    check("worker-panic", &|_| {}, 0, "the worker broke");
}

/// Every view has a command that prints the same rows.
#[test]
fn the_screen_and_the_command_line_select_the_same() {
    let case = case();
    let whole = whole(&case);
    let path = samples().join("mixed-incident");
    let path = path.to_str().expect("a path");
    for filter in [
        "cause:idle-timeout",
        "rule:W5",
        "conf:certain",
        "conf>=likely",
        "client:10.77.1.0/28",
        "-client:10.77.1.0/28",
        "path:/feed",
        "by:nginx",
        "by:server OR by:client",
        "code:1006",
        "code:none",
        "code:1000..1005",
        "how:rst",
        "how:failed-handshake",
        "alive>10s",
        "silent=6s~0.2s",
        "size>1KB",
        "file:app.log",
        "time:21:39:20..21:39:30",
        "(cause:W101 OR cause:W501) -by:nginx",
        "mark:no",
        "server-crash",
    ] {
        let options = TuiOptions {
            filter: filter.to_owned(),
            ..TuiOptions::default()
        };
        let mut state = State::new(&whole, options, (120, 40));
        state.clean = true;
        state.rebuild(&whole);
        let groups = state.list.groups.iter().filter(|g| !g.is_finding());
        let mut shown: Vec<&str> = groups
            .flat_map(|g| &g.members)
            .map(|i| whole.connections[*i as usize].connection.id.as_str())
            .collect();
        shown.sort_unstable();
        let output = wsdrop(
            &["report", path, "-f", "ndjson", "-w", filter],
            folder().path(),
        );
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let mut printed: Vec<String> = text
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"))
            .filter(|v| v["type"] == "connection")
            .map(|v| v["id"].as_str().expect("an id").to_owned())
            .collect();
        printed.sort_unstable();
        assert_eq!(shown, printed, "{filter}");
        let parsed = Filter::parse(filter).expect("a filter");
        assert!(
            !shown.is_empty(),
            "{filter} ({}) selects nothing",
            parsed.text()
        );
    }
}
