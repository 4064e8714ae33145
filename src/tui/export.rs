//! A format and a path that was typed -> what a writer outside has to write; the path is always seen before it is written.

use std::path::Path;

use crate::model::Analysis;

use super::edit;
use super::keys::Key;
use super::state::State;
use super::update::Effect;

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

/// The path line while it is typed.
#[derive(Debug, Clone)]
pub struct Prompt {
    pub format: &'static str,
    pub text: Vec<char>,
    pub cursor: usize,
}

impl State {
    pub(super) fn ask_path(&mut self, format: &'static str) {
        if !self.options.formats.contains(&format) {
            self.message = Some(format!("this build writes no {format}"));
            return;
        }
        let text: Vec<char> = format!("wsdrop-report.{format}").chars().collect();
        self.prompt = Some(Prompt {
            format,
            cursor: text.len(),
            text,
        });
    }

    pub(super) fn type_path(&mut self, key: Key) -> Effect {
        let Some(prompt) = &mut self.prompt else {
            return Effect::None;
        };
        match key {
            Key::Esc => {
                self.prompt = None;
                self.message = Some("nothing was written".to_owned());
            }
            Key::Enter if prompt.text.iter().all(|c| c.is_whitespace()) => {}
            Key::Enter => {
                let (format, path) = (prompt.format, prompt.text.iter().collect());
                self.prompt = None;
                return Effect::Export { format, path };
            }
            key => {
                edit::press(&mut prompt.text, &mut prompt.cursor, key);
            }
        }
        Effect::None
    }

    /// The analysis as the filter leaves it: what an export writes.
    pub fn filtered(&self, analysis: &Analysis) -> Analysis {
        let mut shown = analysis.clone();
        if !self.filter.is_empty() {
            shown.retain(|judged, all| self.filter.matches(judged, all));
        }
        shown
    }
}
