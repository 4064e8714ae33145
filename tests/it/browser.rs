//! The HTML report in headless Chromium -> whether it runs without errors, is accessible, reads without scripts, and prints whole.
//!
//! Needs `chromium` (or `google-chrome`) and `chromedriver`; without them, and for axe-core without the file that
//! `WSDROP_AXE` names, a test says what it skipped and passes. `.ci/run` installs all three where it can.

use crate::samples::{samples, wsdrop};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn find(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file())
}

/// A browser of its own, driven by the WebDriver protocol (W3C) over plain HTTP.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: tempfile::TempDir,
}

impl Browser {
    /// `None`, and a line that says so, where the programs are not there.
    fn start(width: u32, dark: bool) -> Option<Self> {
        let (Some(chromium), Some(chromedriver)) = (
            find(&["chromium", "chromium-browser", "google-chrome"]),
            find(&["chromedriver"]),
        ) else {
            eprintln!("skipped: chromium and chromedriver are not installed");
            return None;
        };
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut said = BufReader::new(driver.stdout.take().expect("its output"));
        let port = loop {
            let mut line = String::new();
            assert!(
                said.read_line(&mut line).is_ok_and(|n| n > 0),
                "chromedriver names no port"
            );
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim().trim_end_matches('.').parse().expect("a port");
            }
        };
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            profile,
        };
        let scheme = if dark { "0" } else { "1" };
        let opened = browser.ask(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {
                    "binary": chromium,
                    "args": [
                        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                        "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
                        format!("--window-size={width},1200"),
                        format!("--user-data-dir={}", browser.profile.path().display()),
                        format!("--blink-settings=preferredColorScheme={scheme}"),
                    ],
                },
            }}}),
        );
        browser.session = opened["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    /// One request and the `value` of its answer.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver");
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .expect("a limit");
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).expect("an answer") > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).expect("the whole answer");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert!(
            answer["value"]["error"].is_null(),
            "{method} {path}: {}",
            answer["value"]
        );
        answer["value"].clone()
    }

    fn of_session(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn open(&self, page: &Path) {
        let url = format!("file://{}", page.display());
        self.of_session("/url", &json!({"url": url}));
    }

    /// The value of a function's body.
    fn run(&self, script: &str) -> Value {
        self.of_session("/execute/sync", &json!({"script": script, "args": []}))
    }

    fn devtools(&self, command: &str, params: &Value) -> Value {
        self.of_session(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": params}),
        )
    }

    /// What the console was told, warnings and errors alone.
    fn complaints(&self) -> Vec<String> {
        let log = self.of_session("/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().expect("a log").iter();
        entries
            .filter(|e| e["level"] != "INFO" && e["level"] != "DEBUG")
            .map(|e| e["message"].to_string())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // the profile goes with its folder
        let _ = self.profile.path();
    }
}

/// A report of each sample in a folder of its own.
fn report(dir: &Path, sample: &str, more: &[&str]) -> PathBuf {
    let page = dir.join(format!("{sample}.html"));
    let case = samples().join(sample);
    let (case, out) = (
        case.to_str().expect("a path"),
        page.to_str().expect("a path"),
    );
    let args = [&["report", case, "-q", "-o", out][..], more].concat();
    let output = wsdrop(&args, dir);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    page
}

/// What stands outside its place: the whole page wider than the window, or a text that its box cuts off.
const OVERFLOW: &str = "
    const wide = [];
    if (document.documentElement.scrollWidth > document.documentElement.clientWidth + 1)
      wide.push('the page: ' + document.documentElement.scrollWidth + ' in ' + document.documentElement.clientWidth);
    for (const e of document.querySelectorAll('h1,h2,h3,p,li,summary,dl,td,th,figure,svg,table')) {
      if (!e.checkVisibility() || e.closest('.wide') && arguments.length === 0 && !window.printed) continue;
      const box = e.getBoundingClientRect();
      if (box.right > document.documentElement.clientWidth + 1)
        wide.push(e.tagName + ' ' + e.textContent.slice(0, 40) + ' ends at ' + Math.round(box.right));
    }
    return wide;";

#[test]
fn the_page_runs_and_fits() {
    let dir = tempfile::tempdir().expect("a folder");
    let page = report(dir.path(), "mixed-incident", &[]);
    for (width, dark) in [(1280, false), (400, true)] {
        let Some(browser) = Browser::start(width, dark) else {
            return;
        };
        // a headless window may be wider than asked for; the view is not
        browser.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": false}),
        );
        browser.open(&page);
        assert_eq!(browser.complaints(), Vec::<String>::new());
        assert_eq!(browser.run(OVERFLOW), json!([]), "at {width}");
        let paper = browser.run("return getComputedStyle(document.body).backgroundColor");
        assert_eq!(paper == "rgb(255, 255, 255)", !dark, "{paper}");

        // sorted by a click, both ways
        let silences = "return [...document.querySelectorAll('#all tbody tr')].map(r => r.cells[9].textContent)\
             .filter(Boolean).map(parseFloat)";
        let sort =
            "[...document.querySelectorAll('#all thead button')].at(-1).click(); return null";
        browser.run(sort);
        let up: Vec<f64> = serde_json::from_value(browser.run(silences)).expect("numbers");
        assert!(up.len() > 20 && up.is_sorted(), "{up:?}");
        browser.run(sort);
        let down: Vec<f64> = serde_json::from_value(browser.run(silences)).expect("numbers");
        assert!(down.iter().rev().is_sorted(), "{down:?}");
        // only the rows that match
        let filtered = browser.run(
            "const input = document.querySelector('input'); input.value = 'idle-timeout';\
             input.dispatchEvent(new Event('input'));\
             const shown = [...document.querySelectorAll('#all tbody tr')].filter(r => !r.hidden);\
             return [shown.length, shown.every(r => r.textContent.includes('W101')), document.querySelector('[role=status]').textContent]",
        );
        assert_eq!(filtered, json!([8, true, "8 of 44"]));
        // a link to a drop opens it
        let opened = browser.run(
            "document.querySelector('.causes a[href^=\"#c-\"]').click();\
             return new Promise(done => setTimeout(() => done(document.querySelectorAll('#drops details[open]').length), 200))",
        );
        assert_eq!(opened, json!(1));
        browser.run("document.querySelector('#drops button').click(); return null");
        assert_eq!(
            browser.run("return document.querySelectorAll('#drops details:not([open])').length"),
            json!(0)
        );
        assert_eq!(browser.run(OVERFLOW), json!([]), "opened, at {width}");
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
}

#[test]
fn without_scripts_the_answer_reads() {
    let dir = tempfile::tempdir().expect("a folder");
    let page = report(dir.path(), "mixed-incident", &[]);
    let Some(browser) = Browser::start(1000, false) else {
        return;
    };
    browser.devtools(
        "Emulation.setScriptExecutionDisabled",
        &json!({"value": true}),
    );
    browser.open(&page);
    // what a reader has before a fold is opened, and after
    let tree = browser.devtools("Accessibility.getFullAXTree", &json!({}));
    let said: Vec<&str> = tree["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter(|n| n["role"]["value"] == "StaticText" && n["ignored"] != true)
        .filter_map(|n| n["name"]["value"].as_str())
        .collect();
    let said = said.join(" ");
    for wanted in [
        "23 of 44 WebSocket connections dropped, 1 failed in the handshake",
        "W101 idle-timeout",
        "certain",
        "nginx closed this connection after",
        "Fix:",
        "ping every 2 s: under half of 6 s",
        "nginx-any.pcap#813",
        "error.log:7",
        "What was read",
        "access.log",
    ] {
        assert!(said.contains(wanted), "no {wanted:?} in:\n{said}");
    }
    assert!(
        !said.contains("Show rows that contain"),
        "scripts were to be off"
    );
}

#[test]
fn on_paper_nothing_is_cut_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let page = report(dir.path(), "mixed-incident", &[]);
    let Some(browser) = Browser::start(1000, true) else {
        return;
    };
    // A4 without its margins, at 96 dots to the inch
    browser.devtools(
        "Emulation.setDeviceMetricsOverride",
        &json!({"width": 680, "height": 1000, "deviceScaleFactor": 1, "mobile": false}),
    );
    browser.open(&page);
    browser.devtools("Emulation.setEmulatedMedia", &json!({"media": "print"}));
    browser.run("window.printed = true; dispatchEvent(new Event('beforeprint')); return null");
    assert_eq!(browser.run(OVERFLOW), json!([]));
    assert_eq!(
        browser.run(
            "return [getComputedStyle(document.body).color, document.querySelectorAll('#drops details[open]').length]"
        ),
        json!(["rgb(0, 0, 0)", 5]),
        "black, and a drop of each cause open"
    );
    browser.run("document.querySelector('#drops button').click(); return null");
    assert_eq!(browser.run(OVERFLOW), json!([]), "with every fold open");
    let paper = browser.of_session("/print", &json!({"page": {"width": 21.0, "height": 29.7}}));
    let paper = paper.as_str().expect("base64");
    assert!(paper.starts_with("JVBERi0"), "a PDF");
    assert!(paper.len() > 50_000, "of {} characters", paper.len());
}

#[test]
fn axe_finds_nothing() {
    let Some(axe) = std::env::var_os("WSDROP_AXE").filter(|p| !p.is_empty()) else {
        eprintln!("skipped: WSDROP_AXE names no axe.min.js (npm pack axe-core)");
        return;
    };
    let axe = std::fs::read_to_string(&axe).expect("axe-core");
    let dir = tempfile::tempdir().expect("a folder");
    let pages = [
        report(dir.path(), "mixed-incident", &[]),
        report(dir.path(), "all-clean", &[]),
        report(dir.path(), "logs-only", &["-w", "cause:idle-timeout"]),
    ];
    for (width, dark) in [(1280, false), (400, true)] {
        let Some(browser) = Browser::start(width, dark) else {
            return;
        };
        for page in &pages {
            browser.open(page);
            browser.run(
                "document.querySelectorAll('details').forEach(d => { d.open = true }); return null",
            );
            browser.run(&axe);
            let found = browser.run(
                "return axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => \
                 v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' | ' + n.failureSummary).join(' || ')))",
            );
            assert_eq!(
                found,
                json!([]),
                "{} at {width}, dark: {dark}",
                page.display()
            );
        }
    }
}

#[test]
fn hostile_text_does_nothing() {
    let Some(browser) = Browser::start(1000, false) else {
        return;
    };
    let dir = crate::hostile::case();
    let page = dir.path().join("report.html");
    let output = wsdrop(
        &["report", ".", "-q", "--redact", "none", "-o", "report.html"],
        dir.path(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    browser.open(&page);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(
        browser.run(
            "return [document.scripts.length, document.images.length, document.links.length > 0 &&\
             [...document.links].every(l => l.getAttribute('href').startsWith('#')),\
             document.querySelectorAll('iframe,object,embed,form,base,link').length,\
             [...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => a.name.startsWith('on')).length,\
             window.owned === undefined, document.body.innerText.includes('<script>')]"
        ),
        json!([1, 0, true, 0, 0, true, true])
    );
    assert_eq!(browser.run(OVERFLOW), json!([]));
}
