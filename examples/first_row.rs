//! The program on a pseudo-terminal -> how long until its first frame, its first row, and until it answers a key while it reads.
//!
//! `cargo run --release --example first_row -- target/release/wsdrop CASE [KEYS]`

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(program), Some(case)) = (args.first(), args.get(1)) else {
        eprintln!("usage: first_row PROGRAM CASE [KEYS]");
        return std::process::ExitCode::FAILURE;
    };
    let keys = args.get(2).and_then(|n| n.parse().ok()).unwrap_or(40);
    match measure::run(program, case, keys) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("there is no pseudo-terminal to measure on");
}

#[cfg(unix)]
mod measure {
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::io::{Read, Write};
    use std::sync::{Arc, Condvar, Mutex, PoisonError};
    use std::time::{Duration, Instant};

    const ROWS: u16 = 40;
    const COLUMNS: u16 = 120;
    /// Nothing that is measured here takes so long.
    const LIMIT: Duration = Duration::from_secs(30);
    /// Between two keys.
    const PAUSE: Duration = Duration::from_millis(120);

    struct Seen {
        parser: vt100::Parser,
        /// Grows with every piece of output.
        pieces: u64,
    }

    type Shared = Arc<(Mutex<Seen>, Condvar)>;

    /// Waits until the screen is as wanted: the time since `start`.
    fn until(
        shared: &Shared,
        start: Instant,
        what: &str,
        holds: impl Fn(&vt100::Screen) -> bool,
    ) -> Result<Duration, String> {
        let (seen, bell) = &**shared;
        let mut held = seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if holds(held.parser.screen()) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > LIMIT {
                return Err(format!("no {what}:\n{}", held.parser.screen().contents()));
            }
            let waited = bell.wait_timeout(held, Duration::from_millis(100));
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn run(program: &str, case: &str, keys: usize) -> Result<(), String> {
        let size = PtySize {
            rows: ROWS,
            cols: COLUMNS,
            pixel_width: 0,
            pixel_height: 0,
        };
        let say = |e: &dyn std::fmt::Display| e.to_string();
        let pair = native_pty_system().openpty(size).map_err(|e| say(&e))?;
        let mut output = pair.master.try_clone_reader().map_err(|e| say(&e))?;
        let mut keyboard = pair.master.take_writer().map_err(|e| say(&e))?;
        let shared: Shared = Arc::new((
            Mutex::new(Seen {
                parser: vt100::Parser::new(ROWS, COLUMNS, 0),
                pieces: 0,
            }),
            Condvar::new(),
        ));
        let into = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = [0; 16_384];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let mut seen = into.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.parser.process(&buffer[..n]);
                seen.pieces += 1;
                drop(seen);
                into.1.notify_all();
            }
        });
        let mut command = CommandBuilder::new(program);
        command.arg(case);
        command.cwd(std::env::current_dir().map_err(|e| say(&e))?);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let start = Instant::now();
        let mut child = pair.slave.spawn_command(command).map_err(|e| say(&e))?;
        let frame = until(&shared, start, "first frame", |s| {
            s.alternate_screen() && s.contents().contains("1 Drops")
        })?;
        println!("first frame {:>6.0} ms", frame.as_secs_f64() * 1e3);
        let row = until(&shared, start, "first row", |s| {
            s.contents().lines().any(|l| {
                let l =
                    l.trim_start_matches(['│', ' ', '▸', '▾', '~', '●', '◐', '○', '✓', '…', '?']);
                l.starts_with('W') && l.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
                    || l.starts_with("c-")
                    || l.starts_with("clean ")
                    || l.starts_with("still open")
            })
        })?;
        println!("first row   {:>6.0} ms", row.as_secs_f64() * 1e3);
        let mut waits: Vec<Duration> = Vec::new();
        let (mut reading, mut help) = (0, false);
        for _ in 0..keys {
            std::thread::sleep(PAUSE);
            let busy = {
                let seen = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                seen.parser.screen().contents().contains("reading ")
            };
            reading += usize::from(busy);
            help = !help;
            let pressed = Instant::now();
            let key: &[u8] = if help { b"?" } else { b"\x1b" };
            keyboard.write_all(key).map_err(|e| say(&e))?;
            keyboard.flush().map_err(|e| say(&e))?;
            waits.push(until(&shared, pressed, "answer", |s| {
                s.contents().contains("type to search") == help
            })?);
        }
        waits.sort_unstable();
        if let (Some(last), Some(middle)) = (waits.last(), waits.get(waits.len() / 2)) {
            println!(
                "keys        {:>6.1} ms at the median, {:.1} ms at most; {reading} of {} while files were read",
                middle.as_secs_f64() * 1e3,
                last.as_secs_f64() * 1e3,
                waits.len()
            );
        }
        let left = Instant::now();
        keyboard.write_all(b"\x03").map_err(|e| say(&e))?;
        while child.try_wait().map_err(|e| say(&e))?.is_none() {
            if left.elapsed() > LIMIT {
                let _ = child.kill();
                return Err("it does not end".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("left after  {:>6.0} ms", left.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }
}
