//! Marks and notes -> a file in the state directory, and back; what other sessions wrote meanwhile stays.

use crate::model::Notes;
use std::path::{Path, PathBuf};

/// A file larger than this was not written here.
const MOST_BYTES: u64 = 16 << 20;
const NAME: &str = "notes.json";

/// `$XDG_STATE_HOME/wsdrop`, `~/.local/state/wsdrop`, or `%LOCALAPPDATA%\wsdrop`; `None` where there is no home.
pub(super) fn folder() -> Option<PathBuf> {
    let path = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        // The specification: a path that is not absolute is ignored.
        path.is_absolute().then_some(path)
    };
    let base = path("XDG_STATE_HOME")
        .or_else(|| path("HOME").map(|home| home.join(".local/state")))
        .or_else(|| path("LOCALAPPDATA"))?;
    Some(base.join("wsdrop"))
}

/// The notes kept; none where there is no file. An unreadable one is an error, so that it is not written over.
pub(super) fn load(folder: &Path) -> Result<Notes, String> {
    let path = folder.join(NAME);
    let wrong = |why: String| format!("{}: {why}", path.display());
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Notes::new()),
        Err(e) => return Err(wrong(e.to_string())),
        Ok(found) if found.len() > MOST_BYTES => return Err(wrong("too large".to_owned())),
        Ok(_) => {}
    }
    let text = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))
}

#[cfg(feature = "tui")]
/// Writes those of `notes` that `changed` names, beside what the file holds of others.
pub(super) fn store(
    folder: &Path,
    notes: &Notes,
    changed: &std::collections::BTreeSet<String>,
) -> Result<(), String> {
    let mut all = load(folder)?;
    for id in changed {
        match notes.get(id).filter(|n| !n.is_empty()) {
            Some(note) => all.insert(id.clone(), note.clone()),
            None => all.remove(id),
        };
    }
    write(folder, &all).map_err(|e| format!("{}: {e}", folder.join(NAME).display()))
}

#[cfg(feature = "tui")]
/// A reader sees the old file or the new one, never half of it.
fn write(folder: &Path, notes: &Notes) -> std::io::Result<()> {
    use std::io::Write;

    std::fs::create_dir_all(folder)?;
    let fresh = folder.join(format!("{NAME}.{}", std::process::id()));
    let written = std::fs::File::create(&fresh).and_then(|mut file| {
        serde_json::to_writer(&mut file, notes)?;
        file.write_all(b"\n")
    });
    let done = written.and_then(|()| std::fs::rename(&fresh, folder.join(NAME)));
    if done.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    done
}

#[cfg(all(test, feature = "tui"))]
mod tests {
    use super::*;
    use crate::model::Note;
    use std::collections::BTreeSet;

    #[test]
    fn what_others_wrote_stays_and_a_spoilt_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("state");
        let note = |marked, text: &str| Note {
            marked,
            text: text.to_owned(),
        };
        let changed = |ids: &[&str]| ids.iter().map(|i| (*i).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(load(&folder), Ok(Notes::new()));
        let mine = Notes::from([("c-1".to_owned(), note(true, ""))]);
        store(&folder, &mine, &changed(&["c-1"])).expect("written");
        let theirs = Notes::from([("c-2".to_owned(), note(false, "two\nlines \"x\""))]);
        store(&folder, &theirs, &changed(&["c-2"])).expect("written");
        let both = load(&folder).expect("read");
        assert_eq!(both.len(), 2);
        assert_eq!(both["c-2"].text, "two\nlines \"x\"");
        store(&folder, &Notes::new(), &changed(&["c-1"])).expect("written");
        assert_eq!(load(&folder).map(|n| n.len()), Ok(1));
        assert_eq!(
            std::fs::read_dir(&folder).map(Iterator::count).ok(),
            Some(1)
        );
        std::fs::write(folder.join(NAME), "not JSON").expect("spoilt");
        assert!(load(&folder).is_err());
        assert!(store(&folder, &mine, &changed(&["c-1"])).is_err());
        assert_eq!(
            std::fs::read_to_string(folder.join(NAME)).ok().as_deref(),
            Some("not JSON")
        );
    }
}
