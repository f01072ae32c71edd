//! The program, started on free ports with a folder of manifests.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, get};
use crate::double::ApiServer;
use crate::{binary, manifests};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Debug, Default)]
pub struct Start {
    files: Vec<(String, String)>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A running program.
#[derive(Debug)]
pub struct Instance {
    child: Child,
    folder: TempDir,
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where it answers HTTPS.
    pub https: SocketAddr,
    /// Its admin address.
    pub admin: SocketAddr,
    output: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; none for a signal.
    pub code: Option<i32>,
    /// All of stdout.
    pub output: String,
    /// All of stderr.
    pub log: String,
}

/// Runs a command of the program to its end.
pub fn run(arguments: &[&str]) -> Ended {
    let Output { status, stdout, stderr } = command().args(arguments).output().expect("the program can be started");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: status.code(), output: text(stdout), log: text(stderr) }
}

/// Waits until something holds, and returns how long it took.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}: still not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    begin.elapsed()
}

fn command() -> Command {
    let mut command = Command::new(binary());
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

impl Start {
    /// A folder with an IngressClass and nothing else.
    pub fn new() -> Self {
        Self::default().file("class.yaml", manifests::CLASS)
    }

    /// Adds a manifest.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Adds a flag.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the program and waits until it says where it listens.
    pub fn serve(self) -> Instance {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("manifests")).expect("a folder for manifests");
        for (name, text) in &self.files {
            let path = folder.path().join("manifests").join(name);
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            fs::write(path, text).expect("a manifest can be written");
        }
        let mut command = command();
        command.arg("serve").arg(folder.path().join("manifests"));
        Starting::spawn(command.arg("--admin-address=127.0.0.1:0").args(&self.flags), folder, None).ready()
    }

    /// Starts the program beside an API server. Files are passed over.
    pub fn run(self, server: &ApiServer) -> Starting {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let admin = free_address();
        let mut command = command();
        command.args(["run", "--bind-address=127.0.0.1", "--healthz-port=0", "--shutdown-grace-period=0"]);
        command.arg(format!("--apiserver-host={}", server.url())).arg(format!("--admin-address={admin}"));
        command.envs(self.environment);
        Starting::spawn(command.args(&self.flags), folder, Some(admin))
    }
}

/// An address that nobody listens on at the moment.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A program that may not serve yet.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    folder: TempDir,
    admin: Option<SocketAddr>,
    output: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
}

impl Starting {
    fn spawn(command: &mut Command, folder: TempDir, admin: Option<SocketAddr>) -> Self {
        let mut child = command
            .args(["--http-port=0", "--https-port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let log = collect(child.stderr.take().expect("stderr is a pipe"));
        let output = collect(child.stdout.take().expect("stdout is a pipe"));
        Self { child, folder, admin, output, log }
    }

    /// Asks its admin address, as soon as there is one.
    pub fn ask(&self, path: &str) -> Answer {
        let admin = self.admin.expect("an address that was chosen before");
        let mut answer = None;
        wait_until("the admin address", || {
            answer = get(admin, &admin.to_string(), path).ok();
            answer.is_some()
        });
        answer.expect("an answer")
    }

    /// Waits until it says where it listens.
    pub fn ready(mut self) -> Instance {
        let line = listening(&mut self.child, &self.output, &self.log);
        let address = |name: &str| line[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        self.instance(address("http"), address("https"), address("admin"))
    }

    /// As a program that never got so far.
    pub fn unready(self) -> Instance {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = self.admin.unwrap_or(nowhere);
        self.instance(nowhere, nowhere, admin)
    }

    fn instance(self, http: SocketAddr, https: SocketAddr, admin: SocketAddr) -> Instance {
        let Self { child, folder, output, log, .. } = self;
        Instance { child, folder, http, https, admin, output, log }
    }
}

/// The first line of stdout.
fn listening(child: &mut Child, output: &Mutex<String>, log: &Mutex<String>) -> Value {
    wait_until("the listening line", || {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            panic!("ended with {status}: {}", log.lock().expect("a log"));
        }
        output.lock().expect("an output").contains('\n')
    });
    let output = output.lock().expect("an output");
    let line: Value = serde_json::from_str(output.lines().next().unwrap_or_default()).expect("a line of JSON");
    assert_eq!(line["event"], "listening");
    line
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = text.clone();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            into.lock().expect("a text").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

impl Instance {
    /// The folder that is served.
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// A folder beside it.
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces a manifest by rename.
    pub fn put(&self, name: &str, text: &str) {
        let staged = self.folder.path().join("staged");
        fs::write(&staged, text).expect("a manifest can be written");
        fs::rename(staged, self.manifests().join(name)).expect("a manifest can be put in place");
    }

    /// Asks for a path of a host over HTTP.
    pub fn get(&self, host: &str, path: &str) -> Answer {
        get(self.http, host, path).expect("an answer")
    }

    /// Asks the admin address.
    pub fn ask(&self, path: &str) -> Answer {
        get(self.admin, &self.admin.to_string(), path).expect("an answer of the admin address")
    }

    /// `/debug/generation`.
    pub fn generation(&self) -> u64 {
        self.ask("/debug/generation").body.trim().parse().expect("a number")
    }

    /// What it has written to stdout so far.
    pub fn output(&self) -> String {
        self.output.lock().expect("an output").clone()
    }

    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("a log").clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill can be started").success());
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        let mut code = None;
        wait_until("the end of the program", || {
            code = self.child.try_wait().expect("a child can be asked");
            code.is_some()
        });
        // The last lines are still being read.
        std::thread::sleep(Duration::from_millis(50));
        Ended { code: code.and_then(|status| status.code()), output: self.output(), log: self.log() }
    }

    /// Checks that nothing panicked, ends the program by SIGTERM, and checks that it ends well.
    pub fn end(self) -> Ended {
        let metrics = self.ask("/metrics").body;
        let panics = metrics.lines().find_map(|line| line.strip_prefix("portcullis_panics_total "));
        assert_eq!(panics.and_then(|number| number.parse().ok()), Some(0.0), "{}", self.log());
        self.signal("TERM");
        let ended = self.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        ended
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
