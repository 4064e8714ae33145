//! nginx and HAProxy, started here in front of a small WebSocket server -> the right verdicts from what they wrote themselves.
//!
//! Where a program is missing its test says so and passes. Everything stays on loopback, on ports that were free, and ends with the test.

use crate::samples::wsdrop;
use serde_json::Value;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The proxies' idle time-out.
const IDLE: Duration = Duration::from_secs(2);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(15);

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|p| p.is_file())
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|l| l.local_addr())
        .expect("a port of loopback")
        .port()
}

/// The head of an HTTP message, up to its empty line.
fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") && bytes.len() < 16_384 {
        match stream.read(&mut one) {
            Ok(1) => bytes.push(one[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A WebSocket server that accepts what asks for an upgrade, refuses what does not, and never says anything.
struct Server {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("an address");
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        std::thread::spawn(move || serve(stream));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self {
            address,
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let request = head(&mut stream).to_ascii_lowercase();
    if !request.contains("upgrade: websocket") {
        let refusal =
            "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(refusal.as_bytes());
        return;
    }
    // The answer to the key of RFC 6455 1.3, which the client below sends.
    let _ = stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    let mut buffer = [0; 256];
    while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
}

/// Asks for a WebSocket and waits until it is over: the status line, and how long it stood.
fn client(port: u16, path: &str) -> (String, Duration) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the proxy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .expect("sent");
    let from = Instant::now();
    let answer = head(&mut stream);
    let status = answer.lines().next().unwrap_or_default().to_owned();
    if !status.contains(" 101 ") {
        return (status, from.elapsed());
    }
    let mut rest = [0; 256];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("{path}: still open after {PATIENCE:?}")
            }
            Err(_) => break,
        }
    }
    (status, from.elapsed())
}

/// A program that is killed when the test leaves.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program and waits until it listens; `None`, with a message, where it does not.
fn start(command: &mut Command, port: u16, what: &str) -> Option<Program> {
    let child = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program that is there starts");
    let mut program = Program(child);
    let from = Instant::now();
    while from.elapsed() < PATIENCE {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Some(program);
        }
        if let Ok(Some(status)) = program.0.try_wait() {
            eprintln!("skipped: {what} did not start here ({status})");
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("skipped: {what} did not listen within {PATIENCE:?}");
    None
}

/// What three silent WebSockets and two requests whose upgrade gets lost show at the client.
fn drive(port: u16) {
    let paths = [
        "/ws?session=idle-0a1b",
        "/ws?session=idle-1c2d",
        "/ws?session=idle-2e3f",
        "/lost/ws?session=lost-4a5b",
        "/lost/ws?session=lost-6c7d",
    ];
    std::thread::scope(|scope| {
        for path in paths {
            scope.spawn(move || {
                let (status, life) = client(port, path);
                if path.starts_with("/lost") {
                    assert!(status.contains(" 426 "), "{path}: {status}");
                } else {
                    assert!(status.contains(" 101 "), "{path}: {status}");
                    assert!(
                        life + Duration::from_millis(500) >= IDLE,
                        "{path}: {life:?}"
                    );
                }
            });
        }
    });
}

fn check(folder: &Path, hop: &str) {
    let args = ["report", "--format", "json", "--redact", "none", "incident"];
    let output = wsdrop(&args, folder);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = report["connections"].as_array().expect("connections");
    let of = |cause: &str| -> Vec<&Value> { all.iter().filter(|c| c["cause"] == cause).collect() };
    let (idle, lost) = (of("idle-timeout"), of("missing-upgrade"));
    assert_eq!((all.len(), idle.len(), lost.len()), (5, 3, 2), "{report:#}");
    for c in idle {
        assert_eq!(c["closer"]["hop"], hop, "{c:#}");
        assert_eq!(c["timeout_ms"], 2000, "{c:#}");
        assert!(
            matches!(c["tier"].as_str(), Some("likely" | "certain")),
            "{c:#}"
        );
    }
    for c in lost {
        assert_eq!(c["outcome"], "failed-handshake", "{c:#}");
        assert_eq!(c["request"]["status"], 426, "{c:#}");
    }
    for source in report["sources"].as_array().expect("sources") {
        assert_eq!(source["odd"], 0, "{source:#}");
    }
}

#[test]
fn nginx_tells_of_an_idle_time_out_and_a_lost_upgrade() {
    let Some(nginx) = find("nginx") else {
        eprintln!("skipped: no nginx here");
        return;
    };
    let server = Server::start();
    let port = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    let incident = folder.path().join("incident");
    fs::create_dir(&incident).expect("made");
    let work = folder.path().display();
    let upstream = server.address;
    let conf = format!(
        r#"daemon off;
master_process off;
pid {work}/nginx.pid;
error_log {work}/incident/error.log info;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    log_format own '[$time_local] $msec $remote_addr:$remote_port $connection "$request" $status '
                   '$request_time $body_bytes_sent "$http_upgrade" "$sent_http_upgrade" $upstream_addr';
    access_log {work}/incident/access.log own;
    server {{
        listen 127.0.0.1:{port};
        location /ws {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 2s;
        }}
        location /lost {{
            proxy_pass http://{upstream};
        }}
    }}
}}
"#
    );
    fs::write(incident.join("nginx.conf"), conf).expect("written");
    let mut command = Command::new(nginx);
    command
        .arg("-e")
        .arg(incident.join("error.log"))
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(incident.join("nginx.conf"))
        .stdout(Stdio::null());
    let Some(program) = start(&mut command, port, "nginx") else {
        return;
    };
    drive(port);
    // A line is written once the tunnel is over on both sides.
    let from = Instant::now();
    while fs::read_to_string(incident.join("access.log")).map_or(0, |t| t.lines().count()) < 5
        && from.elapsed() < PATIENCE
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(program);
    check(folder.path(), "nginx");
}

#[test]
fn haproxy_tells_of_an_idle_time_out_and_a_lost_upgrade() {
    let Some(haproxy) = find("haproxy") else {
        eprintln!("skipped: no haproxy here");
        return;
    };
    let server = Server::start();
    let port = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    let incident = folder.path().join("incident");
    fs::create_dir(&incident).expect("made");
    let upstream = server.address;
    let conf = format!(
        "global\n    log stdout format raw local0\n    maxconn 64\ndefaults\n    mode http\n    log global\n    option httplog\n    \
         timeout connect 2s\n    timeout client 10s\n    timeout server 10s\n    timeout tunnel 2s\nfrontend edge\n    \
         bind 127.0.0.1:{port}\n    http-request del-header Upgrade if {{ path_beg /lost }}\n    default_backend app\nbackend app\n    \
         server app1 {upstream}\n"
    );
    fs::write(incident.join("haproxy.cfg"), conf).expect("written");
    let log = fs::File::create(incident.join("haproxy.log")).expect("made");
    let mut command = Command::new(haproxy);
    command
        .arg("-db")
        .arg("-f")
        .arg(incident.join("haproxy.cfg"))
        .stdout(Stdio::from(log));
    let Some(program) = start(&mut command, port, "HAProxy") else {
        return;
    };
    drive(port);
    let from = Instant::now();
    let lines = |text: String| text.lines().filter(|l| l.contains("session=")).count();
    while fs::read_to_string(incident.join("haproxy.log")).map_or(0, lines) < 5
        && from.elapsed() < PATIENCE
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(program);
    check(folder.path(), "haproxy");
}
