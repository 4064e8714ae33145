//! A key -> a change of one line of text that is being typed.

use super::keys::Key;

/// Changes `text` or moves `cursor`; false for keys that do neither.
pub(super) fn press(text: &mut Vec<char>, cursor: &mut usize, key: Key) -> bool {
    let at = (*cursor).min(text.len());
    match key {
        Key::Left => *cursor = at.saturating_sub(1),
        Key::Right => *cursor = (at + 1).min(text.len()),
        Key::Home | Key::Ctrl('a') => *cursor = 0,
        Key::End | Key::Ctrl('e') => *cursor = text.len(),
        Key::Backspace if at > 0 => {
            text.remove(at - 1);
            *cursor = at - 1;
        }
        Key::Delete if at < text.len() => {
            text.remove(at);
        }
        Key::Ctrl('u') => {
            text.drain(..at);
            *cursor = 0;
        }
        Key::Ctrl('w') => {
            let head = text.get(..at).unwrap_or_default();
            let kept = head.iter().rposition(|c| *c != ' ').unwrap_or(0);
            let start = head
                .get(..kept)
                .and_then(|h| h.iter().rposition(|c| *c == ' '))
                .map_or(0, |i| i + 1);
            text.drain(start..at);
            *cursor = start;
        }
        Key::Char(c) => {
            text.insert(at, c);
            *cursor = at + 1;
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_edited_as_in_a_shell() {
        let check = |start: &str, keys: &[Key], expected: &str, cursor: usize| {
            let mut text: Vec<char> = start.chars().collect();
            let mut at = text.len();
            for key in keys {
                press(&mut text, &mut at, *key);
            }
            assert_eq!(
                (text.into_iter().collect::<String>().as_str(), at),
                (expected, cursor),
                "{start} {keys:?}"
            );
        };
        check("ab", &[Key::Char('c')], "abc", 3);
        check("ab", &[Key::Left, Key::Char('c')], "acb", 2);
        check(
            "ab",
            &[Key::Backspace, Key::Backspace, Key::Backspace],
            "",
            0,
        );
        check("ab", &[Key::Home, Key::Delete], "b", 0);
        check("one two", &[Key::Ctrl('w')], "one ", 4);
        check(
            "one two",
            &[Key::Ctrl('a'), Key::Right, Key::Ctrl('u')],
            "ne two",
            0,
        );
        check("one", &[Key::Right, Key::Delete, Key::Tab], "one", 3);
    }
}
