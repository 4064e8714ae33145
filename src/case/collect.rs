//! Paths, globs and stdin -> the sorted list of the case's files, everything accounted for.

use super::reader::{Compression, read_problem};
use super::{Case, CaseFile, Location, Problem};
use crate::model::SourceId;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Folders deeper than this below a given path are not entered.
const MAX_DEPTH: usize = 64;
/// Stdin up to this size stays in memory; more goes to a temporary file.
const SPOOL_BYTES: usize = 64 << 20;

#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Globs of what to leave out, matched against the shown path and the file name.
    pub exclude: Vec<String>,
    /// Files that this run will write: they are no part of the case, even if they are there from the last time.
    pub outputs: Vec<PathBuf>,
    /// Files that belong to the case wherever they lie: key logs.
    pub beside: Vec<PathBuf>,
}

/// Why there is no case at all.
#[derive(Debug)]
pub enum CaseError {
    /// None of the paths given exists.
    NotFound {
        path: String,
    },
    BadGlob {
        pattern: String,
        why: String,
    },
    /// A folder without a single file in it that is not hidden.
    EmptyFolder {
        path: String,
        hidden: u64,
    },
    Stdin {
        why: String,
    },
}

impl std::fmt::Display for CaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound { path } => write!(f, "no such file or folder: {path}"),
            Self::BadGlob { pattern, why } => write!(f, "{pattern} is no glob: {why}"),
            Self::EmptyFolder { path, .. } => write!(f, "no files in {path}"),
            Self::Stdin { why } => write!(f, "reading standard input failed: {why}"),
        }
    }
}

impl std::error::Error for CaseError {}

/// The copy of stdin on disk, removed when nobody needs it any more.
#[derive(Debug)]
pub(super) struct Spool(PathBuf);

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(super) fn open(paths: &[PathBuf], options: &OpenOptions) -> Result<Case, CaseError> {
    let outputs = options
        .outputs
        .iter()
        .filter_map(|p| fs::canonicalize(p).ok())
        .collect();
    let mut walk = Walk {
        exclude: glob_set(&options.exclude)?,
        outputs,
        ..Walk::default()
    };
    let mut missing = 0;
    let several = paths.len() > 1;
    for path in paths {
        if path.as_os_str() == "-" {
            walk.stdin()?;
            continue;
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => walk.folder(path, &shown_prefix(path, several), 0, true),
            Ok(_) => walk.file(path, shown(path), true),
            Err(e) if e.kind() == io::ErrorKind::NotFound && is_glob(path) => {
                if !walk.glob(path)? {
                    missing += 1;
                    walk.nowhere(
                        shown(path),
                        true,
                        Problem::new("no-match", "no file matches this pattern"),
                    );
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                missing += 1;
                walk.nowhere(
                    shown(path),
                    true,
                    Problem::new("not-found", "no such file or folder"),
                );
            }
            Err(e) => walk.nowhere(shown(path), true, read_problem(&e, None)),
        }
    }
    for path in &options.beside {
        match fs::metadata(path) {
            Ok(meta) if !meta.is_dir() => walk.file(path, shown(path), true),
            Ok(_) => walk.nowhere(
                shown(path),
                true,
                Problem::new("not-a-file", "a folder, where a file was expected"),
            ),
            Err(e) => walk.nowhere(shown(path), true, read_problem(&e, None)),
        }
    }
    if missing == paths.len() {
        let path = paths
            .first()
            .map(|p| p.display().to_string())
            .unwrap_or_default();
        return Err(CaseError::NotFound { path });
    }
    if walk.files.is_empty() {
        let path = paths
            .iter()
            .map(|p| p.display().to_string())
            .collect::<Vec<_>>()
            .join(" ");
        return Err(CaseError::EmptyFolder {
            path,
            hidden: walk.hidden,
        });
    }
    let root = paths
        .iter()
        .map(|p| p.display().to_string())
        .collect::<Vec<_>>()
        .join(" ");
    let files = walk
        .files
        .into_values()
        .zip(0..)
        .map(|(file, id)| CaseFile {
            id: SourceId(id),
            ..file
        })
        .collect();
    Ok(Case {
        root,
        files,
        hidden: walk.hidden,
        excluded: walk.excluded,
        _spool: walk.spool.map(Arc::new),
    })
}

#[derive(Default)]
struct Walk {
    /// By shown path, which makes them sorted and each of them one.
    files: BTreeMap<String, CaseFile>,
    /// Real path of everything listed -> the path it is shown as.
    seen: BTreeMap<PathBuf, String>,
    folders: BTreeSet<PathBuf>,
    exclude: GlobSet,
    outputs: BTreeSet<PathBuf>,
    hidden: u64,
    excluded: u64,
    spool: Option<Spool>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize, named: bool) {
        let shown_folder = if prefix.is_empty() {
            shown(folder)
        } else {
            prefix.trim_end_matches('/').to_owned()
        };
        // a real path met before is a symbolic link that leads back up, or a folder given twice
        if fs::canonicalize(folder).is_ok_and(|real| !self.folders.insert(real)) {
            return;
        }
        if depth > MAX_DEPTH {
            let say = format!("more than {MAX_DEPTH} folders deep: not entered");
            self.nowhere(shown_folder, named, Problem::new("too-deep", say));
            return;
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) => {
                self.nowhere(shown_folder, named, read_problem(&e, None));
                return;
            }
        };
        let mut names: Vec<_> = entries
            .filter_map(|e| e.ok().map(|e| e.file_name()))
            .collect();
        names.sort_unstable();
        for name in names {
            let text = name.to_string_lossy();
            if text.starts_with('.') {
                self.hidden += 1;
                continue;
            }
            let path = folder.join(&name);
            let shown = format!("{prefix}{text}");
            if self.is_excluded(&shown, &text) {
                self.excluded += 1;
                continue;
            }
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => {
                    self.folder(&path, &format!("{shown}/"), depth + 1, false)
                }
                Ok(_) => self.file(&path, shown, false),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.nowhere(
                        shown,
                        false,
                        Problem::new(
                            "dangling-link",
                            "a symbolic link to something that is not there",
                        ),
                    );
                }
                Err(e) => self.nowhere(shown, false, read_problem(&e, None)),
            }
        }
    }

    fn file(&mut self, path: &Path, shown: String, named: bool) {
        if named
            && self.is_excluded(
                &shown,
                &path.file_name().unwrap_or_default().to_string_lossy(),
            )
        {
            self.excluded += 1;
            return;
        }
        if let Ok(real) = fs::canonicalize(path) {
            if self.outputs.contains(&real) {
                self.excluded += 1;
                return;
            }
            if let Some(first) = self.seen.get(&real) {
                if *first != shown {
                    let say = format!("the same file as {first}: read once");
                    self.nowhere(shown, false, Problem::new("same-file", say));
                } else if let Some(file) = self.files.get_mut(first) {
                    file.named |= named;
                }
                return;
            }
            self.seen.insert(real, shown.clone());
        }
        let (bytes, regular) = fs::metadata(path).map_or((0, false), |m| (m.len(), m.is_file()));
        // a FIFO given by name (`<(zcat ...)`) can be read only once: it is taken in whole like stdin
        if !regular {
            if named {
                match File::open(path).and_then(|f| self.spool_in(f)) {
                    Ok((location, bytes, head)) => {
                        self.insert(shown, named, bytes, &head, location)
                    }
                    Err(e) => self.nowhere(shown, named, read_problem(&e, None)),
                }
            } else {
                self.nowhere(
                    shown,
                    named,
                    Problem::new("no-regular-file", "a socket, pipe or device, not a file"),
                );
            }
            return;
        }
        let mut head = Vec::new();
        match File::open(path).and_then(|f| f.take(16).read_to_end(&mut head)) {
            Ok(_) => self.insert(
                shown,
                named,
                bytes,
                &head,
                Location::Disk(path.to_path_buf()),
            ),
            Err(e) => {
                let problem = read_problem(&e, None);
                self.nowhere(shown.clone(), named, problem);
                if let Some(file) = self.files.get_mut(&shown) {
                    file.bytes = bytes;
                }
            }
        }
    }

    fn stdin(&mut self) -> Result<(), CaseError> {
        if self.files.contains_key("<stdin>") {
            return Ok(());
        }
        let (location, bytes, head) = self
            .spool_in(io::stdin().lock())
            .map_err(|e| CaseError::Stdin { why: e.to_string() })?;
        self.insert("<stdin>".to_owned(), true, bytes, &head, location);
        Ok(())
    }

    /// Takes a stream in, to memory or, where it is large, to a temporary file: location, bytes, first bytes.
    fn spool_in(&mut self, mut input: impl Read) -> io::Result<(Location, u64, Vec<u8>)> {
        let mut start = Vec::new();
        (&mut input)
            .take(SPOOL_BYTES as u64)
            .read_to_end(&mut start)?;
        let head = start.get(..16).unwrap_or(&start).to_vec();
        if start.len() < SPOOL_BYTES || self.spool.is_some() {
            input.read_to_end(&mut start)?;
            let bytes = start.len() as u64;
            return Ok((Location::Memory(Cow::Owned(start)), bytes, head));
        }
        let path = std::env::temp_dir().join(format!("wsdrop-{}-stdin", std::process::id()));
        let _ = fs::remove_file(&path);
        let mut file = private_file(&path)?;
        self.spool = Some(Spool(path.clone()));
        file.write_all(&start)?;
        let bytes = start.len() as u64 + io::copy(&mut input, &mut file)?;
        Ok((Location::Disk(path), bytes, head))
    }

    /// All files that match, hidden ones left out: true where there was at least one.
    fn glob(&mut self, pattern: &Path) -> Result<bool, CaseError> {
        let text = pattern.to_string_lossy().into_owned();
        let matcher = build_glob(&text)?.compile_matcher();
        // everything before the first component with a wildcard is the folder to start from
        let base: PathBuf = pattern
            .components()
            .take_while(|c| !is_glob(Path::new(c)))
            .collect();
        let base = if base.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            base
        };
        let mut found = Vec::new();
        let mut folders = BTreeSet::new();
        list_all(&base, 0, &mut folders, &mut found);
        found.sort_unstable();
        let mut any = false;
        for path in found {
            let plain = path.strip_prefix("./").unwrap_or(&path);
            let wanted = text.strip_prefix("./").is_some();
            if matcher.is_match(if wanted { &path } else { plain }) || matcher.is_match(plain) {
                any = true;
                self.file(&path, shown(&path), false);
            }
        }
        Ok(any)
    }

    fn insert(&mut self, shown: String, named: bool, bytes: u64, head: &[u8], location: Location) {
        let compression = Compression::sniff(head);
        let file = CaseFile {
            id: SourceId(0),
            path: shown.clone(),
            bytes,
            compression,
            named,
            problem: None,
            location,
        };
        self.files.insert(shown, file);
    }

    fn nowhere(&mut self, shown: String, named: bool, problem: Problem) {
        let file = CaseFile {
            id: SourceId(0),
            path: shown.clone(),
            bytes: 0,
            compression: None,
            named,
            problem: Some(problem),
            location: Location::Nowhere,
        };
        self.files.entry(shown).or_insert(file);
    }

    fn is_excluded(&self, shown: &str, name: &str) -> bool {
        self.exclude.is_match(shown) || self.exclude.is_match(name)
    }
}

fn list_all(
    folder: &Path,
    depth: usize,
    folders: &mut BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) {
    if depth > MAX_DEPTH || fs::canonicalize(folder).is_ok_and(|real| !folders.insert(real)) {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => list_all(&path, depth + 1, folders, found),
            Ok(meta) if meta.is_file() => found.push(path),
            _ => {}
        }
    }
}

/// Readable by its owner alone: captures hold secrets.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

fn build_glob(pattern: &str) -> Result<Glob, CaseError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|e| CaseError::BadGlob {
            pattern: pattern.to_owned(),
            why: e.kind().to_string(),
        })
}

fn glob_set(patterns: &[String]) -> Result<GlobSet, CaseError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(build_glob(pattern)?);
    }
    set.build().map_err(|e| CaseError::BadGlob {
        pattern: patterns.join(" "),
        why: e.to_string(),
    })
}

fn is_glob(path: &Path) -> bool {
    path.as_os_str()
        .to_string_lossy()
        .contains(['*', '?', '[', '{'])
}

/// `./a/../b` as typed, without a leading `./`.
fn shown(path: &Path) -> String {
    let text = path
        .components()
        .filter(|c| *c != Component::CurDir)
        .collect::<PathBuf>();
    text.to_string_lossy().replace('\\', "/")
}

/// What files of this folder are shown behind: nothing where it is the only path.
fn shown_prefix(folder: &Path, several: bool) -> String {
    let shown = shown(folder);
    if !several || shown.is_empty() {
        String::new()
    } else if shown.ends_with('/') {
        shown
    } else {
        format!("{shown}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A folder with these files, and the shown path and problem of each file the case lists.
    fn listed(files: &[(&str, &[u8])], exclude: &[&str]) -> Vec<(String, Option<&'static str>)> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, bytes) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        let exclude = exclude.iter().map(ToString::to_string).collect();
        let options = OpenOptions {
            exclude,
            ..OpenOptions::default()
        };
        let case = Case::open(&[dir.path().to_path_buf()], &options).expect("opens");
        case.files()
            .iter()
            .map(|f| (f.path.clone(), f.problem.as_ref().map(|p| p.kind)))
            .collect()
    }

    #[test]
    fn every_file_of_a_folder_is_listed_in_order() {
        let files: &[(&str, &[u8])] = &[
            ("b.log", b"x"),
            ("a/z.pcap", b"x"),
            (".hidden", b"x"),
            ("empty", b""),
            ("x.xz", b"\xfd7zXZ\0rest"),
        ];
        let expected = [
            ("a/z.pcap", None),
            ("b.log", None),
            ("empty", None),
            ("x.xz", None),
        ];
        assert_eq!(listed(files, &[]), expected.map(|(p, k)| (p.to_owned(), k)));
        let left = listed(files, &["*.log", "a/*"]);
        assert_eq!(
            left,
            [("empty".to_owned(), None), ("x.xz".to_owned(), None)]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_that_loop_or_dangle_end() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a.log"), "x").expect("written");
        std::os::unix::fs::symlink(dir.path(), at("loop")).expect("linked");
        std::os::unix::fs::symlink(at("a.log"), at("same.log")).expect("linked");
        std::os::unix::fs::symlink(at("gone"), at("dangling")).expect("linked");
        let case = Case::open(&[dir.path().to_path_buf()], &OpenOptions::default()).expect("opens");
        let kinds: Vec<_> = case
            .files()
            .iter()
            .map(|f| (f.path.as_str(), f.problem.as_ref().map(|p| p.kind)))
            .collect();
        assert_eq!(
            kinds,
            [
                ("a.log", None),
                ("dangling", Some("dangling-link")),
                ("same.log", Some("same-file"))
            ]
        );
    }

    #[test]
    fn globs_files_and_missing_paths() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["one.log", "two.log", "three.pcap"] {
            fs::write(dir.path().join(name), "x").expect("written");
        }
        let open = |names: &[&str]| {
            let paths: Vec<_> = names.iter().map(|n| dir.path().join(n)).collect();
            Case::open(&paths, &OpenOptions::default()).map(|c| {
                c.files()
                    .iter()
                    .map(|f| (f.named, f.problem.is_some()))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            open(&["*.log"]).expect("opens"),
            [(false, false), (false, false)]
        );
        assert_eq!(
            open(&["one.log", "nowhere"]).expect("opens"),
            [(true, true), (true, false)]
        );
        assert!(matches!(
            open(&["nowhere"]),
            Err(CaseError::NotFound { .. })
        ));
        assert!(matches!(
            open(&["*.nothing"]),
            Err(CaseError::NotFound { .. })
        ));
        assert!(matches!(open(&["[z-a]*"]), Err(CaseError::BadGlob { .. })));
    }

    #[test]
    fn compressed_members_are_one_stream_and_damage_is_told() {
        let gz = |text: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).expect("packs");
            encoder.finish().expect("packs")
        };
        let dir = tempfile::tempdir().expect("a temporary folder");
        let whole = [gz(b"first line\n"), gz(b"second line\n")].concat();
        let zst = zstd::encode_all(&b"first line\nsecond line\n"[..], 1).expect("packs");
        let cut = gz(&(0..40_000u32)
            .flat_map(u32::to_le_bytes)
            .collect::<Vec<_>>());
        fs::write(dir.path().join("a"), &whole).expect("written");
        fs::write(dir.path().join("b"), zst).expect("written");
        fs::write(dir.path().join("c"), &cut[..cut.len() / 2]).expect("written");
        let case = Case::open(&[dir.path().to_path_buf()], &OpenOptions::default()).expect("opens");
        for id in [0, 1] {
            let mut text = String::new();
            case.reader(SourceId(id))
                .read_to_string(&mut text)
                .expect("reads");
            assert_eq!(text, "first line\nsecond line\n");
            assert_eq!(
                case.read_span(SourceId(id), 6, 9).expect("reads"),
                b"line\nseco"
            );
        }
        let mut reader = case.reader(SourceId(2));
        let read = io::copy(&mut reader, &mut io::sink()).expect("ends without an error");
        assert!(read > 0);
        assert_eq!(reader.problem().map(|p| p.kind), Some("broken-compression"));
    }
}
