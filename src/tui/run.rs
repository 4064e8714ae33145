//! Terminal events -> actions, state -> screen; and the terminal given back as it was, however this ends.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
    Event, KeyEventKind, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::layout::Rect;

use crate::model::{Analysis, RecordRef};

use super::feed::{Fed, Outside, Shown};
use super::keys::Key;
use super::state::{State, TuiOptions};
use super::update::{Action, Effect};
use super::view;

/// How often signals are looked at while no key comes.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same while files are read: how often the screen tells how far that is.
const GLANCE: Duration = Duration::from_millis(80);
/// Two clicks within this are one double click.
const DOUBLE: Duration = Duration::from_millis(400);
/// Holds a whole frame of a large terminal: written at once, not by the kilobyte of standard output's own buffer.
const FRAME: usize = 256 << 10;
/// What a terminal takes over OSC 52 at most, in bytes before base64; xterm's limit is the lowest in use.
const CLIPBOARD: usize = 74_000;

/// What is left on the screen when the UI is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// `20 drops, 5 causes. Same view: wsdrop report ./incident`.
    pub line: String,
    /// The signal that ended it: exit with 128 + this.
    pub signal: Option<i32>,
}

/// Whether this terminal can show the UI at all: both ends are terminals, and not a dumb one.
pub fn usable() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb" || t.is_empty());
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// Runs until the reader leaves, over `analysis` and what `outside` brings after it. Errors are those of the terminal; it is
/// restored before they are returned.
pub fn run(
    analysis: Arc<Analysis>,
    outside: &mut dyn Outside,
    options: &TuiOptions,
) -> io::Result<Farewell> {
    let signals = Signals::watch()?;
    // Without this, crossterm under NO_COLOR resets reverse video with every colour it leaves out.
    force_color_output(true);
    let hook = Hook::install();
    let screen = Screen::enter(options.mouse)?;
    let output = BufWriter::with_capacity(FRAME, io::stdout());
    let mut terminal = Terminal::new(CrosstermBackend::new(output))?;
    wipe(&mut terminal)?;
    let size = terminal.size()?;
    let state = State::new(&analysis, options.clone(), (size.width, size.height));
    let mut session = Session {
        terminal,
        state,
        analysis,
        outside,
        clicks: Clicks::default(),
    };
    let ended = session.drive(&signals);
    drop(screen);
    drop(hook);
    let signal = ended?;
    Ok(Farewell {
        line: farewell(&session.state, &session.analysis),
        signal,
    })
}

type Screened = Terminal<CrosstermBackend<BufWriter<io::Stdout>>>;

/// Empties the screen, so that all of the next frame is written. `Terminal::clear` would ask the terminal where its cursor is,
/// and fail on one that does not answer.
fn wipe(terminal: &mut Screened) -> io::Result<()> {
    let size = terminal.size()?;
    terminal.resize(Rect::new(0, 0, size.width, size.height))
}

struct Session<'a> {
    terminal: Screened,
    state: State,
    analysis: Arc<Analysis>,
    outside: &'a mut dyn Outside,
    clicks: Clicks,
}

/// Why the waiting for keys is over.
enum Woken {
    Key,
    News,
    Signal(i32),
}

impl Session<'_> {
    fn drive(&mut self, signals: &Signals) -> io::Result<Option<i32>> {
        loop {
            if !self.listen() {
                return Ok(None);
            }
            self.state.settle(&self.analysis);
            self.draw()?;
            if !event::poll(Duration::ZERO)?
                && let Some(record) = self.state.wants(&self.analysis)
            {
                let read = self.outside.read(record);
                self.state
                    .update(Action::Loaded(record, read), &self.analysis);
                continue;
            }
            match self.wait(signals)? {
                Woken::News => continue,
                Woken::Signal(signal) => return Ok(Some(signal)),
                Woken::Key => {}
            }
            // All that is waiting is taken before the next frame: a held key or a paste never lags behind.
            loop {
                let effect = match self.clicks.action(event::read()?) {
                    Some(action) => self.state.update(action, &self.analysis),
                    None => Effect::None,
                };
                if !self.does(effect)? {
                    return Ok(None);
                }
                if !event::poll(Duration::ZERO)? {
                    break;
                }
            }
        }
    }

    /// One frame, which a terminal that knows mode 2026 shows whole or not at all: no torn rows over a slow line.
    fn draw(&mut self) -> io::Result<()> {
        let (analysis, state) = (&self.analysis, &self.state);
        // Flushed: a panic while drawing must leave nothing in the buffer to follow the restored screen.
        execute!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal
            .draw(|frame| view::draw(frame, analysis, state))?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Takes what has been read since; false where there is nothing to look at and nothing will come.
    fn listen(&mut self) -> bool {
        loop {
            match self.outside.next() {
                Fed::Nothing => break,
                Fed::End => return false,
                Fed::Newer(newer) => {
                    self.state.adopt(&self.analysis, &newer);
                    self.analysis = newer;
                }
            }
        }
        let loading = self.outside.loading();
        self.state.told(loading, &self.analysis);
        true
    }

    fn wait(&self, signals: &Signals) -> io::Result<Woken> {
        loop {
            if let Some(signal) = signals.came() {
                return Ok(Woken::Signal(signal));
            }
            let loading = self.state.loading.is_some();
            if event::poll(if loading { GLANCE } else { PATIENCE })? {
                return Ok(Woken::Key);
            }
            if loading {
                return Ok(Woken::News);
            }
        }
    }

    /// False = it is time to leave.
    fn does(&mut self, effect: Effect) -> io::Result<bool> {
        match effect {
            Effect::None => {}
            Effect::Leave => return Ok(false),
            Effect::Stop => self.outside.stop(),
            Effect::Redraw => wipe(&mut self.terminal)?,
            Effect::Copy(text) => copy(&text)?,
            Effect::Suspend => suspend(&mut self.terminal, &mut self.state, &self.analysis)?,
            Effect::Show(record) => self.show(record)?,
            Effect::Veil(on) => self.outside.veil(on),
            Effect::Reload => {
                if let Err(why) = self.outside.reload() {
                    self.state.message = Some(why);
                }
            }
            Effect::Export { format, path } => {
                let shown = self.state.to_export(format, &self.analysis);
                let filter = self.state.filter.text();
                let told = self
                    .outside
                    .export(format, Path::new(&path), &shown, filter);
                self.state.message = Some(told.unwrap_or_else(|why| why));
            }
        }
        if !self.state.changed.is_empty() {
            let changed = std::mem::take(&mut self.state.changed);
            if let Err(why) = self.outside.keep(&self.state.notes, &changed) {
                self.state.message = Some(format!("not kept beyond this session: {why}"));
            }
        }
        Ok(true)
    }

    /// Shows a record in another program; one that needs the terminal gets it as the shell left it.
    fn show(&mut self, record: RecordRef) -> io::Result<()> {
        let told = match self.outside.show(record) {
            Ok(Shown::Beside(told)) => Ok(told),
            Ok(Shown::NeedsTerminal(record)) => {
                restore();
                let done = self.outside.take_over(record);
                // The guard of `run` restores this second entry too.
                std::mem::forget(Screen::enter(self.state.options.mouse)?);
                let size = self.terminal.size()?;
                self.state
                    .update(Action::Resize(size.width, size.height), &self.analysis);
                wipe(&mut self.terminal)?;
                done.map(|()| String::new())
            }
            Err(why) => Err(why),
        };
        match told {
            Ok(told) if told.is_empty() => {}
            Ok(told) | Err(told) => self.state.message = Some(told),
        }
        Ok(())
    }
}

/// The last click, so that a second one in the same place is told from two.
#[derive(Debug, Default)]
struct Clicks {
    last: Option<((u16, u16), Instant)>,
}

impl Clicks {
    fn action(&mut self, event: Event) -> Option<Action> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Key::of(key).map(Action::Press),
            Event::Resize(columns, rows) => Some(Action::Resize(columns, rows)),
            Event::Paste(text) => Some(Action::Paste(text)),
            Event::Mouse(mouse) => self.mouse(mouse),
            _ => None,
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> Option<Action> {
        match mouse.kind {
            MouseEventKind::ScrollDown => Some(Action::Wheel(3)),
            MouseEventKind::ScrollUp => Some(Action::Wheel(-3)),
            MouseEventKind::Down(MouseButton::Left) => {
                let at = (mouse.column, mouse.row);
                let twice = self
                    .last
                    .is_some_and(|(where_, when)| where_ == at && when.elapsed() < DOUBLE);
                self.last = (!twice).then(|| (at, Instant::now()));
                Some(Action::Click(at, twice))
            }
            _ => None,
        }
    }
}

/// The terminal in raw mode on its other screen, until dropped.
struct Screen;

impl Screen {
    fn enter(mouse: bool) -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        // From here on an error must undo what was done: the guard exists before the next step is tried.
        let screen = Self;
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            EnableBracketedPaste,
            cursor::Hide
        )?;
        if mouse {
            execute!(io::stdout(), EnableMouseCapture)?;
        }
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// The terminal is ours. Restoring it twice would put the cursor back over what was printed in between.
static TAKEN: AtomicBool = AtomicBool::new(false);

fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Nothing can be done about a terminal that is gone.
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

type PanicHook = dyn Fn(&PanicHookInfo<'_>) + Send + Sync + 'static;

/// While the UI runs, a panic of its own thread restores the terminal before it is reported; one of another thread,
/// which may well be caught there, must not tear the screen down and is reported when the UI is gone.
struct Hook {
    before: Arc<PanicHook>,
    others: Arc<Mutex<Vec<String>>>,
}

impl Hook {
    fn install() -> Self {
        let before: Arc<PanicHook> = Arc::from(panic::take_hook());
        let others: Arc<Mutex<Vec<String>>> = Arc::default();
        let (own, report, kept) = (
            std::thread::current().id(),
            Arc::clone(&before),
            Arc::clone(&others),
        );
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == own {
                restore();
                report(info);
            } else if let Ok(mut kept) = kept.lock()
                && kept.len() < 100
            {
                kept.push(info.to_string());
            }
        }));
        Self { before, others }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let before = Arc::clone(&self.before);
        panic::set_hook(Box::new(move |info| before(info)));
        if let Ok(others) = self.others.lock() {
            for message in others.iter() {
                eprintln!("{}", crate::model::inert(message));
            }
        }
    }
}

/// How often, [`PATIENCE`] apart, a session may look away after a signal before it is ended from outside.
const GRACE: u32 = 5;

/// The signals that end a session; the first one is kept.
struct Signals {
    came: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    #[cfg(unix)]
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    #[cfg(unix)]
    fn watch() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let came = Arc::new(AtomicUsize::new(0));
        let mut ids = Vec::new();
        for signal in [SIGTERM, SIGHUP, SIGINT] {
            let number = usize::try_from(signal).unwrap_or_default();
            ids.push(signal_hook::flag::register_usize(
                signal,
                Arc::clone(&came),
                number,
            )?);
        }
        let over = Arc::new(AtomicBool::new(false));
        let (seen, left) = (Arc::clone(&came), Arc::clone(&over));
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || guard(&seen, &left))?;
        Ok(Self { came, over, ids })
    }

    #[cfg(not(unix))]
    fn watch() -> io::Result<Self> {
        Ok(Self {
            came: Arc::default(),
            over: Arc::default(),
        })
    }

    fn came(&self) -> Option<i32> {
        match self.came.load(Ordering::Relaxed) {
            0 => None,
            n => i32::try_from(n).ok(),
        }
    }
}

/// crossterm 0.29 reads a terminal that is gone for ever without returning (EOF and EIO are both tried again), so
/// that a hang-up can't be answered by the thread that waits for keys: after a while this one ends the process.
#[cfg(unix)]
fn guard(came: &AtomicUsize, over: &AtomicBool) {
    let mut looks = 0;
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(PATIENCE);
        let signal = came.load(Ordering::Relaxed);
        looks += u32::from(signal != 0);
        if looks > GRACE && !over.load(Ordering::Relaxed) {
            restore();
            let signal = i32::try_from(signal).unwrap_or(signal_hook::consts::SIGTERM);
            // It does not return; were it to, this way out is the same for whoever waits.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
            std::process::exit(128 + signal);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        #[cfg(unix)]
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

#[cfg(unix)]
fn suspend(terminal: &mut Screened, state: &mut State, analysis: &Analysis) -> io::Result<()> {
    restore();
    signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
    // Here again after `fg`. The guard of `run` restores this second entry too.
    std::mem::forget(Screen::enter(state.options.mouse)?);
    let size = terminal.size()?;
    state.update(Action::Resize(size.width, size.height), analysis);
    wipe(terminal)
}

#[cfg(not(unix))]
fn suspend(_: &mut Screened, state: &mut State, _: &Analysis) -> io::Result<()> {
    state.message = Some("this terminal cannot suspend".to_owned());
    Ok(())
}

/// OSC 52: the terminal, even at the far end of ssh, puts it on its clipboard.
fn copy(text: &str) -> io::Result<()> {
    let mut end = text.len().min(CLIPBOARD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = io::stdout();
    write!(
        out,
        "\x1b]52;c;{}\x07",
        base64(text.as_bytes().get(..end).unwrap_or_default())
    )?;
    out.flush()
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(DIGITS[(group >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

pub(super) fn farewell(state: &State, analysis: &Analysis) -> String {
    let s = &state.summary;
    let causes = s.by_cause.len();
    let plural =
        |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let (plain, filtered) = state.options.again.clone().unwrap_or_else(|| {
        let command = format!("wsdrop report {}", shell(&analysis.root));
        (command.clone(), command)
    });
    let command = if state.filter.is_empty() {
        plain
    } else {
        format!("{filtered} -w {}", shell(state.filter.text()))
    };
    let failed = match s.failed_handshakes {
        0 => String::new(),
        n => format!(", {}", plural(n, "failed handshake", "failed handshakes")),
    };
    format!(
        "{}{failed}, {}. Same view: {command}",
        plural(s.drops, "drop", "drops"),
        plural(causes, "cause", "causes")
    )
}

/// A word that a POSIX shell reads back as this text; control characters made visible, so it is safe to print.
fn shell(text: &str) -> String {
    let text = crate::model::inert(text);
    let plain = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c));
    if plain {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648 section 10.
        let check = |text: &str, expected: &str| assert_eq!(base64(text.as_bytes()), expected);
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foobar", "Zm9vYmFy");
    }

    #[test]
    fn the_shell_reads_words_back() {
        let check = |text: &str, expected: &str| assert_eq!(shell(text), expected);
        check("./incident-0314", "./incident-0314");
        check("a b", "'a b'");
        check("it's", "'it'\\''s'");
        check("", "''");
        check("x\x1b[2J", "'x␛[2J'");
    }
}
