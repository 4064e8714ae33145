//! What went wrong -> what, where, why, and the next command, on standard error; and the exit code.

use crate::model::inert;
use std::io::Write;
use std::process::ExitCode;

/// How the program ends. Interrupted (130) and terminated (143) are the shell's words for a process that a signal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Done,
    /// `check` only: findings at or above the limit.
    Findings,
    /// Wrong usage, a bad rule, an output that can't be written: no trustworthy result.
    Usage,
    /// No input was recognised.
    NothingRecognised,
    /// Results are there, but not of everything that was named.
    Partial,
    /// A bug.
    Bug,
    /// Ended by this signal, after the terminal was given back.
    Signal(u8),
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::NothingRecognised => 3,
            Self::Partial => 4,
            Self::Bug => 101,
            Self::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error as the user reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// What, and where: one line without a full stop.
    pub what: String,
    /// Why: further lines.
    pub why: Vec<String>,
    /// The next command, the best one last.
    pub help: Vec<String>,
}

impl Failure {
    pub fn usage(what: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            what: what.into(),
            why: Vec::new(),
            help: Vec::new(),
        }
    }

    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why.push(why.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The whole text, `error:` or `warning:` first.
    pub fn render(&self, level: &str, color: bool) -> String {
        use anstyle::{AnsiColor, Style};
        let (level_style, help_style) = match (color, level) {
            (false, _) => (Style::new(), Style::new()),
            (true, "error") => (
                AnsiColor::Red.on_default().bold(),
                AnsiColor::Cyan.on_default(),
            ),
            (true, _) => (
                AnsiColor::Yellow.on_default().bold(),
                AnsiColor::Cyan.on_default(),
            ),
        };
        let mut text = format!(
            "{level_style}{level}{level_style:#}: {}\n",
            inert(&self.what)
        );
        for why in &self.why {
            text.push_str(&format!("   |  {}\n", inert(why)));
        }
        for help in &self.help {
            text.push_str(&format!(
                "   {help_style}={help_style:#} help: {}\n",
                inert(help)
            ));
        }
        text
    }

    pub(super) fn print(&self, level: &str, color: bool) {
        let _ = std::io::stderr()
            .lock()
            .write_all(self.render(level, color).as_bytes());
    }
}

/// What a command needs to tell beside its result.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Failure),
    /// Nobody reads any more: quiet, as if all had been written.
    ClosedPipe,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Stop {
    /// An error of writing to `target`.
    pub(super) fn writing(target: &str, e: &std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Failed(Failure::usage(format!("can't write {target}: {e}")))
    }
}
