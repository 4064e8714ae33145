//! `show`, `sources` and `frames`: a closer look at one drop, at the files, at the frames.

use crate::analysis::{self, CaseRaw};
use crate::case::Case;
use crate::cli::args::{Format, Frames, Show, Sources};
use crate::cli::failure::{Exit, Failure, Stop};
use crate::cli::meaning::{self, Screen};
use crate::cli::progress::Told;
use crate::cli::selection::Chosen;
use crate::model::{Adapted, Analysis, Judged, MICRO_NS, Source, SourceId, SourceKind};
use crate::report::{
    Redact, Redactor, json, ndjson, ranked, show as show_report, sources as sources_report,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub(in crate::cli) fn show(args: &Show, screen: &Screen) -> Result<Exit, Stop> {
    let zone = meaning::zone("--tz", &args.time.tz)?;
    let options = meaning::options(&args.input, Some(&args.time))?;
    let redact = meaning::redact(&args.privacy, screen.stdout_tty)?;
    let json = match args.format {
        None => args.json,
        Some(Format::Text) => false,
        Some(Format::Json | Format::JsonV1) => true,
        Some(_) => {
            return Err(Failure::usage("wsdrop show prints text or json")
                .help("wsdrop report -w id:ID -f csv    has the other formats")
                .into());
        }
    };
    if args.input.paths.is_empty()
        && Path::new(&args.id).exists()
        && args.id.parse::<usize>().is_err()
    {
        return Err(Failure::usage(format!(
            "wsdrop show needs the id or the rank of a connection before {}",
            args.id
        ))
        .help(format!("wsdrop show 1 {}    the first drop", args.id))
        .into());
    }
    let pack = meaning::pack(&args.rules)?;
    let chosen = Chosen::new(&args.selection, &pack)?;
    if let Some(path) = &args.pcap {
        writable(path)?;
        if args.privacy.redact.as_deref().is_some_and(|r| r != "none") {
            return Err(Failure::usage(
                "packets are written as they are: --pcap and --redact do not go together",
            )
            .into());
        }
    }
    let (case, paths) = meaning::open(&args.input, args.pcap.as_slice())?;
    let mut analysis = analysis::run(&case, &options, &pack, &Told::new(screen.progress));
    if let Some(failure) = meaning::nothing_used(&analysis, &paths) {
        return Err(failure.into());
    }
    chosen.apply(&mut analysis);
    let judged = pick(&analysis, &args.id, &paths)?;
    if let Some(path) = &args.pcap {
        write_packets(path, &case, &analysis, judged, screen)?;
    }
    if args.pcap.as_ref().is_some_and(|p| p.as_os_str() == "-") {
        return Ok(meaning::completeness(&analysis, args.input.strict, screen));
    }
    let redactor = Redactor::new(redact, &analysis);
    let mut out = Vec::new();
    let written = if json {
        json::write_connection(judged, &redactor, args.why, &mut out)
    } else {
        let options_of_show = show_report::Options {
            look: screen.look,
            zone,
            verbose: screen.verbose,
            raw: args.raw,
            why: args.why,
            paths: &paths,
        };
        let mut raw = CaseRaw::new(case, &analysis.sources, &options);
        show_report::write(
            &analysis,
            judged,
            &mut raw,
            &redactor,
            &options_of_show,
            &mut out,
        )
    };
    deliver(written, out, json, screen)?;
    Ok(meaning::completeness(&analysis, args.input.strict, screen))
}

/// What stands there already is replaced only where this program wrote it: recordings can't be made again.
fn writable(path: &Path) -> Result<(), Failure> {
    let name = path.display();
    if path.is_dir() {
        return Err(Failure::usage(format!(
            "can't write {name}: it is a folder"
        )));
    }
    let mut head = Vec::new();
    if let Ok(file) = File::open(path)
        && path.is_file()
        && std::io::Read::read_to_end(&mut std::io::Read::take(file, 65_536), &mut head).is_ok()
        && !head.is_empty()
        && !analysis::is_cut(&head)
    {
        return Err(Failure::usage(format!(
            "{name} is there, and wsdrop show --pcap did not write it"
        ))
        .help("give a new name, or remove the file"));
    }
    Ok(())
}

fn write_packets(
    path: &Path,
    case: &Case,
    analysis: &Analysis,
    judged: &Judged,
    screen: &Screen,
) -> Result<(), Stop> {
    if judged.connection.legs.is_empty() {
        return Err(Failure::usage(format!(
            "{} is in no capture: there are no packets to write",
            judged.connection.id
        ))
        .into());
    }
    if path.as_os_str() == "-" {
        let out = BufWriter::new(std::io::stdout().lock());
        return match analysis::cut(case, analysis, judged, out) {
            Ok(_) => Ok(()),
            Err(e) => match Stop::writing("standard output", &e) {
                Stop::ClosedPipe => Ok(()),
                failed @ Stop::Failed(_) => Err(failed),
            },
        };
    }
    let name = path.display().to_string();
    let failed = |e: &std::io::Error| Failure::usage(format!("can't write {name}: {e}"));
    let file = File::create(path).map_err(|e| failed(&e))?;
    let cut =
        analysis::cut(case, analysis, judged, BufWriter::new(file)).map_err(|e| failed(&e))?;
    if screen.quiet == 0 {
        let s = |n: u64| if n == 1 { "" } else { "s" };
        eprintln!(
            "wrote {}: {} packet{} of {} capture{}, {} with a comment (pkt_comment)",
            crate::model::inert(&name),
            cut.packets,
            s(cut.packets),
            cut.files,
            s(cut.files as u64),
            cut.commented
        );
    }
    Ok(())
}

/// By id, by the beginning of one, or by rank.
fn pick<'a>(analysis: &'a Analysis, id: &str, paths: &str) -> Result<&'a Judged, Failure> {
    let ranked = ranked(analysis);
    let listing = format!("wsdrop report -v {paths}    lists them");
    if let Ok(rank) = id.parse::<usize>()
        && rank < 10_000_000
        && analysis.find(id).is_none()
    {
        return rank
            .checked_sub(1)
            .and_then(|at| ranked.get(at).copied())
            .ok_or_else(|| {
                let have = match ranked.len() {
                    0 => "nothing dropped here".to_owned(),
                    1 => "there is 1 drop".to_owned(),
                    n => format!("there are {n} drops"),
                };
                Failure::usage(format!("no drop number {id}: {have}")).help(listing.clone())
            });
    }
    if let Some(judged) = analysis.find(id) {
        return Ok(judged);
    }
    let beginning = if id.starts_with("c-") {
        id.to_owned()
    } else {
        format!("c-{id}")
    };
    let found: Vec<&Judged> = analysis
        .connections
        .iter()
        .filter(|j| j.connection.id.starts_with(&beginning))
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::usage(format!("no connection {id} in {paths}")).help(listing)),
        several => {
            let ids: Vec<&str> = several
                .iter()
                .take(8)
                .map(|j| j.connection.id.as_str())
                .collect();
            Err(
                Failure::usage(format!("{id} could be {} connections", several.len()))
                    .because(ids.join(" "))
                    .help(listing),
            )
        }
    }
}

/// A page that stands in memory -> standard output, text through a pager where it is long.
fn deliver(
    written: std::io::Result<()>,
    page: Vec<u8>,
    json: bool,
    screen: &Screen,
) -> Result<(), Stop> {
    written.map_err(|e| Stop::writing("standard output", &e))?;
    let shown = if json {
        super::print(page)
    } else {
        super::page(page, screen)
    };
    match shown {
        Ok(_) | Err(Stop::ClosedPipe) => Ok(()),
        Err(failed) => Err(failed),
    }
}

/// A closed pipe is as good as an end; what the buffer still holds must not be written again.
fn finish<W: Write>(written: std::io::Result<()>, out: BufWriter<W>) -> Result<(), Stop> {
    match written {
        Ok(()) => Ok(()),
        Err(e) => {
            let _ = out.into_parts();
            match Stop::writing("standard output", &e) {
                Stop::ClosedPipe => Ok(()),
                failed @ Stop::Failed(_) => Err(failed),
            }
        }
    }
}

pub(in crate::cli) fn sources(args: &Sources, screen: &Screen) -> Result<Exit, Stop> {
    let zone = meaning::zone("--tz", &args.tz)?;
    let options = meaning::options(&args.input, None)?;
    let redact = meaning::redact(&args.privacy, screen.stdout_tty)?;
    let json = match args.format {
        None | Some(Format::Text) => args.json,
        Some(Format::Json | Format::JsonV1) => true,
        Some(_) => {
            return Err(Failure::usage("wsdrop sources prints text or json").into());
        }
    };
    let (case, paths) = meaning::open(&args.input, &[])?;
    let analysis = analysis::sources_only(&case, &options, &Told::new(screen.progress));
    let redactor = Redactor::new(redact, &analysis);
    let mut out = Vec::new();
    let written = if json {
        json::write_sources(&analysis, &redactor, &mut out)
    } else {
        sources_report::write(&analysis, &redactor, screen.look, zone, &mut out)
    };
    deliver(written, out, json, screen)?;
    if screen.verbose > 0 && (case.hidden() > 0 || case.excluded() > 0) {
        eprintln!(
            "{} hidden and {} excluded files are not listed",
            case.hidden(),
            case.excluded()
        );
    }
    if meaning::nothing_used(&analysis, &paths).is_some() {
        return Ok(Exit::NothingRecognised);
    }
    Ok(meaning::completeness(&analysis, args.input.strict, screen))
}

pub(in crate::cli) fn frames(args: &Frames, screen: &Screen) -> Result<Exit, Stop> {
    if !matches!(args.format, None | Some(Format::Ndjson)) {
        return Err(Failure::usage("wsdrop frames prints ndjson")
            .help("wsdrop frames PATH | jq .")
            .into());
    }
    let options = meaning::options(&args.input, None)?;
    let redact = meaning::redact(&args.privacy, screen.stdout_tty)?;
    let (case, paths) = meaning::open(&args.input, &[])?;
    let redactor = redactor_without_case(redact);
    let mut out = BufWriter::with_capacity(256 * 1024, std::io::stdout().lock());
    let mut written = Ok(());
    // how finely each capture tells time, by its head: stamps are printed as they were taken
    let ticks: BTreeMap<SourceId, i64> = case
        .files()
        .iter()
        .map(|f| (f.id, analysis::tick_of(&case, f.id)))
        .collect();
    // standard output is locked by this thread, so frames are written from here
    let sources = {
        let mut lines: Vec<u8> = Vec::new();
        let mut sink = |frame: crate::model::Frame| {
            let tick = ticks
                .get(&frame.mark.record.source)
                .copied()
                .unwrap_or(MICRO_NS);
            lines.clear();
            if written.is_ok() {
                written = ndjson::write_frame(&frame, tick, &redactor, &mut lines)
                    .and_then(|()| out.write_all(&lines));
            }
            written.is_ok()
        };
        analysis::frames(&case, &options, &Told::new(screen.progress), &mut sink)
    };
    finish(written.and_then(|()| out.flush()), out)?;
    let captures = sources.iter().filter(|s| s.kind.is_capture()).count();
    if captures == 0 {
        return Err(Failure {
            exit: Exit::NothingRecognised,
            ..Failure::usage(format!("no capture in {paths}"))
        }
        .help(format!("wsdrop sources {paths}    shows what each file is"))
        .into());
    }
    let mut exit = Exit::Done;
    let keys = |s: &Source| s.kind == SourceKind::KeyLog && s.used > 0;
    for source in sources
        .iter()
        .filter(|s| s.named && !s.kind.is_capture() && !keys(s))
    {
        let why = source.reason.as_deref().unwrap_or("no capture");
        meaning::warn(screen, &Failure::usage(format!("{}: {why}", source.path)));
        exit = Exit::Partial;
    }
    Ok(exit)
}

fn redactor_without_case(redact: Redact) -> Redactor {
    let nothing = Analysis {
        root: String::new(),
        rules: String::new(),
        window: None,
        sources: Vec::new(),
        connections: Vec::new(),
        findings: Vec::new(),
        incidents: Vec::new(),
        marks: Vec::new(),
        adapted: Adapted::default(),
    };
    Redactor::new(redact, &nothing)
}
