//! A line that is asked for (a path, a note) -> what a writer outside has to write; a path is always seen before it is written.

use std::path::Path;

use crate::model::{Analysis, Judged};

use super::edit;
use super::keys::Key;
use super::state::{Screen, State};
use super::update::Effect;

/// The format whose exports are packets of one connection, as they were recorded.
pub const PACKETS: &str = "pcapng";

/// Writes reports, for the UI, which only knows their names.
pub trait Exporter {
    /// Writes `shown`, which is what `filter` leaves, as `format` into a new file, and says what was written; files that exist
    /// are left alone.
    fn export(
        &mut self,
        format: &str,
        path: &Path,
        shown: &Analysis,
        filter: &str,
    ) -> Result<String, String>;
}

/// Nobody writes anything: what tests and callers without reports pass.
#[derive(Debug)]
pub struct NoExport;

impl Exporter for NoExport {
    fn export(&mut self, format: &str, _: &Path, _: &Analysis, _: &str) -> Result<String, String> {
        Err(format!("nothing here writes {format}"))
    }
}

/// What the line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The path of an export in this format.
    Path(&'static str),
    /// A note on the connection of this id.
    Note(String),
}

/// The line while it is typed.
#[derive(Debug, Clone)]
pub struct Prompt {
    pub ask: Ask,
    pub text: Vec<char>,
    pub cursor: usize,
}

impl State {
    pub(super) fn ask_path(&mut self, format: &'static str) {
        if !self.options.formats.contains(&format) {
            self.message = Some(format!("this build writes no {format}"));
            return;
        }
        self.ask(Ask::Path(format), &format!("wsdrop-report.{format}"));
    }

    /// The packets of one connection.
    pub(super) fn ask_packets(&mut self, analysis: &Analysis) {
        if !self.options.formats.contains(&PACKETS) {
            self.message = Some("this build writes no packets".to_owned());
            return;
        }
        match self.one(analysis).map(|j| j.connection.id.clone()) {
            Some(id) => self.ask(Ask::Path(PACKETS), &format!("{id}.{PACKETS}")),
            None => self.message = Some("no connection stands here".to_owned()),
        }
    }

    pub(super) fn ask_note(&mut self, analysis: &Analysis) {
        match self.noted(analysis) {
            Some((id, text)) => self.ask(Ask::Note(id), &text),
            None => self.message = Some("a note is about one connection".to_owned()),
        }
    }

    fn ask(&mut self, ask: Ask, text: &str) {
        let text: Vec<char> = text.chars().collect();
        self.prompt = Some(Prompt {
            ask,
            cursor: text.len(),
            text,
        });
    }

    pub(super) fn type_line(&mut self, key: Key) -> Effect {
        let Some(prompt) = &mut self.prompt else {
            return Effect::None;
        };
        match key {
            Key::Esc => {
                self.prompt = None;
                self.message = Some("nothing was written".to_owned());
            }
            Key::Enter => {
                let text: String = prompt.text.iter().collect();
                match prompt.ask.clone() {
                    Ask::Path(_) if text.trim().is_empty() => {}
                    Ask::Path(format) => {
                        self.prompt = None;
                        return Effect::Export { format, path: text };
                    }
                    Ask::Note(id) => {
                        self.prompt = None;
                        self.write_note(&id, &text);
                    }
                }
            }
            key => {
                edit::press(&mut prompt.text, &mut prompt.cursor, key);
            }
        }
        Effect::None
    }

    /// What an export of this format writes: the analysis as the filter leaves it, or the one connection whose packets are wanted.
    pub fn to_export(&self, format: &str, analysis: &Analysis) -> Analysis {
        if format != PACKETS {
            return self.filtered(analysis);
        }
        let id = self.one(analysis).map(|j| j.connection.id.clone());
        let mut shown = analysis.clone();
        shown.retain(|judged, _| id.as_ref() == Some(&judged.connection.id));
        shown
    }

    /// The connection that this screen is about.
    fn one<'a>(&self, analysis: &'a Analysis) -> Option<&'a Judged> {
        match self.screen {
            Screen::Drops => self.example(analysis),
            Screen::Timeline => self.on_line(analysis),
            Screen::Sources
            | Screen::Rules
            | Screen::Story
            | Screen::Facets
            | Screen::Oddities
            | Screen::Help => None,
            _ => self.judged(analysis),
        }
    }

    /// The analysis as the filter leaves it.
    pub fn filtered(&self, analysis: &Analysis) -> Analysis {
        let mut shown = analysis.clone();
        if !self.filter.is_empty() {
            shown.retain(|judged, all| self.filter.matches(judged, all));
        }
        shown
    }
}
