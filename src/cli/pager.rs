//! Text that is longer than the terminal -> a pager that shows it.

use std::io::Write;
use std::process::{Command, Stdio};

/// The pager in force: told by flag, variable or configuration, else `$PAGER`, else `less`. An empty one, and `cat`, is none.
pub(super) fn command(told: Option<&str>) -> Option<String> {
    let command = match told {
        Some(told) => told.to_owned(),
        None => std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned()),
    };
    let command = command.trim();
    (!command.is_empty() && command != "cat" && command != "none").then(|| command.to_owned())
}

/// The terminal can't show all of it at once.
pub(super) fn is_long(text: &[u8]) -> bool {
    let Some((width, height)) = terminal_size::terminal_size() else {
        return false;
    };
    let width = usize::from(width.0).max(1);
    let rows = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let columns = crate::report::width_of(&bare(&line));
        columns.div_ceil(width).max(1)
    };
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    let all: usize = lines.split(|b| *b == b'\n').map(rows).sum();
    // the prompt that comes after it has a row as well
    all + 1 > usize::from(height.0)
}

/// A line without the sequences that colour it: they take no room.
fn bare(line: &str) -> String {
    let mut out = String::new();
    let mut parts = line.split("\x1b[");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        out.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    out
}

/// `false`: the pager can't be started, and nothing has been shown.
pub(super) fn show(command: &str, text: &[u8]) -> bool {
    let mut pager = if cfg!(windows) {
        Command::new(command)
    } else {
        let mut shell = Command::new("sh");
        // exec: the shell tells by 127 where there is no such program, before anything is read
        shell.args(["-c", &format!("exec {command}")]);
        shell
    };
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            pager.env(name, value);
        }
    }
    let Ok(mut child) = pager.stdin(Stdio::piped()).stderr(Stdio::inherit()).spawn() else {
        return false;
    };
    leave_interrupts_to_it();
    if let Some(mut pipe) = child.stdin.take() {
        // whoever leaves a pager early has seen enough
        let _ = pipe.write_all(text);
    }
    match child.wait() {
        Ok(status) => status.code() != Some(127) && status.code() != Some(126),
        Err(_) => false,
    }
}

/// Ctrl-C belongs to the pager while it runs; if this program went first, two would read the terminal.
fn leave_interrupts_to_it() {
    #[cfg(all(unix, feature = "tui"))]
    {
        let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pager_is_none() {
        for (told, expected) in [
            ("less -R", Some("less -R")),
            (" more ", Some("more")),
            ("", None),
            ("cat", None),
            ("none", None),
        ] {
            assert_eq!(command(Some(told)).as_deref(), expected, "{told}");
        }
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(
            bare("\x1b[1mbold\x1b[0m and \x1b[31;1mred\x1b[0m"),
            "bold and red"
        );
        assert_eq!(bare("plain"), "plain");
    }
}
