//! A record of a file -> the editor at its line, or Wireshark at its packet.

use crate::case::Case;
use crate::model::{RecordRef, SourceKind, inert};
use crate::tui::Shown;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Editors that take `FILE:LINE`, and with which option; all others take `+LINE FILE`.
const PLACES: &[(&str, &[&str])] = &[
    ("code", &["--goto"]),
    ("codium", &["--goto"]),
    ("subl", &[]),
    ("zed", &[]),
    ("hx", &[]),
];

/// The file as a program opens it, or why none can.
fn file(case: &Case, record: RecordRef) -> Result<PathBuf, String> {
    let known = case.file(record.source);
    let name = known.map_or_else(String::new, |f| inert(&f.path));
    let path = case
        .on_disk(record.source)
        .ok_or_else(|| format!("{name} is no file on this disk"))?;
    // A name that begins with a dash is no option.
    Ok(if path.is_absolute() {
        path.to_owned()
    } else {
        Path::new(".").join(path)
    })
}

/// Starts Wireshark where the record is a packet; says that the terminal is needed where it is a line.
pub(super) fn show(case: &Case, kind: SourceKind, record: RecordRef) -> Result<Shown, String> {
    let path = file(case, record)?;
    if !kind.is_capture() {
        let packed = case.file(record.source).and_then(|f| f.compression);
        return match packed {
            Some(packed) => Err(format!(
                "an editor can't show a line of a file packed by {}: Enter shows it here",
                packed.name()
            )),
            None => Ok(Shown::NeedsTerminal(record)),
        };
    }
    let display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let elsewhere = format!("y f copies the filter for packet {}", record.ordinal);
    if cfg!(all(unix, not(target_os = "macos"))) && !display {
        return Err(format!(
            "there is no display for Wireshark here; {elsewhere}"
        ));
    }
    let started = Command::new("wireshark")
        .arg("-r")
        .arg(&path)
        .arg("-g")
        .arg(record.ordinal.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(mut child) => {
            // Whoever ends is waited for, or stays in the table of processes.
            std::thread::spawn(move || child.wait());
            Ok(Shown::Beside(format!(
                "Wireshark opens packet {}",
                record.ordinal
            )))
        }
        Err(e) => Err(format!("can't start wireshark: {e}; {elsewhere}")),
    }
}

/// Runs the user's editor on this terminal, and waits for its end.
pub(super) fn edit(case: &Case, record: RecordRef) -> Result<(), String> {
    let path = file(case, record)?;
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()))
        .ok_or_else(|| "neither VISUAL nor EDITOR names an editor".to_owned())?;
    let words = words(&editor, &path, record.ordinal);
    let Some((program, args)) = words.split_first() else {
        return Err("EDITOR is empty".to_owned());
    };
    let name = inert(&program.to_string_lossy());
    match Command::new(program).args(args).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(e) => Err(format!("can't start {name}: {e}")),
    }
}

/// The editor's words, the first its program, with the place as it wants it.
fn words(editor: &str, path: &Path, line: u64) -> Vec<OsString> {
    let mut words: Vec<OsString> = editor.split_whitespace().map(OsString::from).collect();
    let program = words.first().map(Path::new).and_then(Path::file_stem);
    let program = program.and_then(OsStr::to_str).unwrap_or_default();
    if let Some((_, option)) = PLACES.iter().find(|p| p.0 == program) {
        words.extend(option.iter().map(OsString::from));
        let mut place = path.as_os_str().to_owned();
        place.push(format!(":{line}"));
        words.push(place);
    } else {
        words.push(format!("+{line}").into());
        words.push(path.into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_editor_is_told_the_place_in_its_way() {
        let check = |editor: &str, expected: &[&str]| {
            let words = words(editor, Path::new("./a b.log"), 7);
            assert_eq!(
                words,
                expected.iter().map(OsString::from).collect::<Vec<_>>()
            );
        };
        check("vi", &["vi", "+7", "./a b.log"]);
        check("emacs -nw", &["emacs", "-nw", "+7", "./a b.log"]);
        check(
            "/usr/bin/code --wait",
            &["/usr/bin/code", "--wait", "--goto", "./a b.log:7"],
        );
        check("hx", &["hx", "./a b.log:7"]);
    }
}
