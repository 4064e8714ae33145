//! Letters of a command's name -> the command, over the one key table.

use crate::model::Analysis;

use super::edit;
use super::keys::{self, Binding, Key};
use super::state::State;
use super::update::Effect;

/// The command line after `:` while it is typed.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    pub text: Vec<char>,
    pub cursor: usize,
    /// Which of the rows found is chosen.
    pub pick: usize,
}

impl Palette {
    pub fn typed(&self) -> String {
        self.text.iter().collect()
    }
}

impl State {
    /// The rows that what was typed may mean, best first.
    pub fn commands(&self) -> Vec<&'static Binding> {
        let typed = self
            .palette
            .as_ref()
            .map_or_else(String::new, Palette::typed);
        let mut found = keys::fuzzy(self.screen.place(), &typed);
        found.retain(|b| self.offers(b));
        found
    }

    /// Whether a row of the table can do anything here: formats that nobody writes are left out.
    pub fn offers(&self, binding: &Binding) -> bool {
        binding
            .command
            .format()
            .is_none_or(|f| self.options.formats.contains(&f))
    }

    pub(super) fn type_command(&mut self, key: Key, analysis: &Analysis) -> Effect {
        let found = self.commands();
        let Some(palette) = &mut self.palette else {
            return Effect::None;
        };
        match key {
            Key::Esc => self.palette = None,
            Key::Backspace if palette.text.is_empty() => self.palette = None,
            Key::Down | Key::Tab => {
                palette.pick = (palette.pick + 1).min(found.len().saturating_sub(1));
            }
            Key::Up | Key::BackTab => palette.pick = palette.pick.saturating_sub(1),
            Key::Enter => {
                let chosen = found.get(palette.pick).map(|b| b.command);
                self.palette = None;
                match chosen {
                    Some(command) => return self.run(command, analysis),
                    None => self.message = Some("no command of that name here".to_owned()),
                }
            }
            key => {
                if edit::press(&mut palette.text, &mut palette.cursor, key) {
                    palette.pick = 0;
                }
            }
        }
        Effect::None
    }
}
