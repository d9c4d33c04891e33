//! Fixture: a user with a home directory, who runs the tests' tool (`tests/tool`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use tool_telemetry_receiver::Receiver;

/// How long a test waits before it fails. Long enough for a loaded machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// An endpoint that refuses connections: the discard port, which no test machine serves. The kernel could give
/// a free port to another test.
pub(crate) const DEAD_ENDPOINT: &str = "http://127.0.0.1:9";

/// An example program of this package, built by `cargo test` before the tests run.
pub(crate) fn example(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().expect("the test's own path");
    directory.pop();
    if directory.ends_with("deps") || directory.ends_with("examples") {
        directory.pop();
    }
    let program = directory.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.is_file(), "{} is missing: run `cargo build --examples`", program.display());
    program
}

/// Copies a program, in a process of its own. A child of another test could inherit a descriptor that is open
/// for writing here, and the copy could not be executed (ETXTBSY).
pub(crate) fn copy_program(from: &Path, to: &Path) {
    if cfg!(windows) {
        std::fs::copy(from, to).expect("a copy");
        return;
    }
    assert!(Command::new("cp").arg(from).arg(to).status().is_ok_and(|copied| copied.success()));
}

/// Compiles a file of this directory to a library for `LD_PRELOAD`.
#[cfg(target_os = "linux")]
pub(crate) fn compile_shim(user: &TestUser, source: &str) -> PathBuf {
    let library = user.home().join(source).with_extension("so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.is_ok_and(|compiled| compiled.success()));
    library
}

/// A user with a home directory of their own and no environment variables.
pub(crate) struct TestUser {
    home: TempDir,
    variables: Vec<(String, String)>,
    /// The user id, if it differs from that of the tests.
    #[cfg(unix)]
    uid: Option<u32>,
}

/// Another user's id: `nobody` on most machines.
#[cfg(unix)]
pub(crate) const OTHER_UID: u32 = 65_534;

/// Whether the tests run as root, and with Linux's programs for it. A test that needs root prints what it skips.
#[expect(clippy::print_stdout, reason = "a skipped test is printed")]
pub(crate) fn is_root(needed_for: &str) -> bool {
    #[cfg(unix)]
    let is_root = {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
    };
    #[cfg(not(unix))]
    let is_root = false;
    if !is_root {
        println!("skipped, because it needs root: {needed_for}");
    }
    is_root
}

impl TestUser {
    /// A user who has not seen the notice.
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a directory"),
            variables: Vec::new(),
            #[cfg(unix)]
            uid: None,
        }
    }

    /// A new user with a home directory that has this in its name.
    #[cfg(windows)]
    pub(crate) fn named(name: &str) -> Self {
        let home = tempfile::Builder::new().prefix(name).tempdir().expect("a directory");
        Self { home, variables: Vec::new() }
    }

    /// Becomes a user without root's rights, if the tests run as root.
    #[cfg(unix)]
    pub(crate) fn unprivileged(mut self) -> Self {
        if is_root("a user without root's rights") {
            self.chown_home(OTHER_UID);
            self.uid = Some(OTHER_UID);
        }
        self
    }

    /// Gives the home directory, with its content, to a user. Needs root.
    #[cfg(unix)]
    pub(crate) fn chown_home(&self, uid: u32) {
        for path in self.files().into_iter().chain([self.home().to_owned()]) {
            std::os::unix::fs::lchown(path, Some(uid), Some(uid)).expect("we are root");
        }
    }

    /// The tool, at a path that this user can reach.
    #[cfg(not(unix))]
    fn frob_program(&self) -> PathBuf {
        example("frob")
    }

    /// The tool, at a path that this user can reach.
    #[cfg(unix)]
    fn frob_program(&self) -> PathBuf {
        let program = example("frob");
        let Some(uid) = self.uid else { return program };
        let copy = self.home().join("frob");
        if !copy.exists() && std::fs::hard_link(&program, &copy).is_err() {
            copy_program(&program, &copy);
            std::os::unix::fs::chown(&copy, Some(uid), Some(uid)).expect("we are root");
        }
        copy
    }

    /// A user who turned telemetry on, with this endpoint.
    pub(crate) fn sending_to(endpoint: &str) -> Self {
        let user = Self::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        user.run_frob(["telemetry", "on"]);
        user
    }

    /// Sets an environment variable for each program that the user runs.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Changes what the author of the tool has set (`tests/tool`). The uploader reads it from the same file.
    pub(crate) fn with_tool_setting(self, name: &str, value: &str) -> Self {
        use std::io::Write as _;

        let path = self.home().join(".frob-settings");
        let mut file = std::fs::File::options().append(true).create(true).open(path).expect("a file");
        writeln!(file, "{name}={value}").expect("a line");
        self
    }

    /// A program in this user's environment, without the environment of the tests.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        #[cfg(windows)]
        self.add_windows_variables(&mut command);
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).current_dir(self.home());
        #[cfg(unix)]
        if let Some(uid) = self.uid {
            use std::os::unix::process::CommandExt as _;
            command.uid(uid).gid(uid);
        }
        command
    }

    /// The user's directories lie where they do on Unix, so that one test serves both. The module `windows` tests the
    /// usual ones. No network library loads without `SYSTEMROOT`.
    #[cfg(windows)]
    fn add_windows_variables(&self, command: &mut Command) {
        command
            .env("USERPROFILE", self.home())
            .env("XDG_STATE_HOME", self.home().join(".local").join("state"))
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .env("SYSTEMROOT", std::env::var_os("SYSTEMROOT").unwrap_or_default());
    }

    /// A command that runs the tool.
    pub(crate) fn frob_command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = self.command(self.frob_program());
        command.args(arguments);
        command
    }

    /// Runs the tool.
    pub(crate) fn run_frob<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Output {
        self.frob_command(arguments).output().expect("the tool starts")
    }

    /// All paths below the home directory, sorted.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.home().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(entry.path());
                }
                files.push(entry.path());
            }
        }
        files.sort();
        files
    }

    /// The files of pending runs, sealed or not.
    pub(crate) fn pending_runs(&self) -> Vec<PathBuf> {
        self.files()
            .into_iter()
            .filter(|path| {
                path.parent().is_some_and(|directory| directory.ends_with("runs")) && path.is_file()
            })
            .collect()
    }

    /// `telemetry status`, as text.
    pub(crate) fn status(&self) -> String {
        String::from_utf8(self.run_frob(["telemetry", "status"]).stdout).expect("text")
    }

    /// The number after a word in `telemetry status`, summed over all destinations; 0 if the word is absent.
    pub(crate) fn count(&self, word: &str) -> u64 {
        let status = self.status();
        status
            .lines()
            .map(str::trim)
            .filter_map(|line| {
                let rest = line.strip_prefix(word)?.trim();
                rest.split(' ').next()?.parse::<u64>().ok()
            })
            .sum()
    }

    /// How many runs were dropped for a reason.
    pub(crate) fn dropped(&self, reason: &str) -> u64 {
        let marker = format!("({reason})");
        self.status()
            .lines()
            .filter(|line| line.trim().starts_with("dropped") && line.ends_with(&marker))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum()
    }

    /// The spool of a destination.
    pub(crate) fn spool(&self, receiver_endpoint: &str) -> PathBuf {
        let origin = receiver_endpoint.replace("://", "-").replace(':', "-");
        let directory = format!("operator+the-tests+{origin}");
        self.home().join(".local/state/frob/telemetry").join(directory)
    }

    /// Writes a backoff after a failure: runs start no uploader for an hour, and `flush` ignores it.
    pub(crate) fn backing_off(self, receiver_endpoint: &str) -> Self {
        self.write_backoff(receiver_endpoint, 3_000, "failures=1 asked=no");
        self
    }

    /// Writes a backoff that ends this many seconds from now.
    pub(crate) fn write_backoff(&self, receiver_endpoint: &str, seconds: i64, rest: &str) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let directory = self.spool(receiver_endpoint);
        if !directory.exists() {
            std::fs::create_dir_all(&directory).expect("a directory");
            #[cfg(unix)]
            let telemetry = directory.parent().expect("a parent directory");
            #[cfg(unix)]
            std::fs::set_permissions(telemetry, std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .expect("it is ours");
        }
        let until = now.saturating_add_signed(seconds);
        std::fs::write(directory.join("backoff"), format!("until={until} {rest}\n")).expect("a file");
    }

    /// An uploader for a destination, as a command would start it. `purpose` is `detached`, `awaited`, or
    /// `flush`.
    pub(crate) fn uploader_command(
        &self,
        program: impl AsRef<OsStr>,
        endpoint: &str,
        purpose: &str,
    ) -> Command {
        let spool = self.spool(endpoint);
        let mut command = self.command(program);
        command
            .env("TOOL_TELEMETRY_UPLOADER", spool.file_name().expect("a name"))
            .env("TOOL_TELEMETRY_UPLOADER_PURPOSE", purpose)
            .env("TOOL_TELEMETRY_OTLP_ENDPOINT", format!("{endpoint}/v1/traces"));
        command
    }

    /// The process ids of this user's running uploaders.
    #[cfg(target_os = "linux")]
    pub(crate) fn uploaders(&self) -> Vec<u32> {
        let mine = [b"HOME=", self.home().as_os_str().as_encoded_bytes()].concat();
        std::fs::read_dir("/proc")
            .expect("Linux")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|process| {
                let part = |name: &str| std::fs::read(format!("/proc/{process}/{name}")).unwrap_or_default();
                let has =
                    |text: &[u8], wanted: &[u8]| text.split(|byte| *byte == 0).any(|word| word == wanted);
                has(&part("cmdline"), b"__upload-telemetry") && has(&part("environ"), &mine)
            })
            .collect()
    }

    /// The process ids of this user's running uploaders, from `ps`, which prints arguments and variables.
    #[cfg(all(unix, not(target_os = "linux")))]
    pub(crate) fn uploaders(&self) -> Vec<u32> {
        let with_variables = if cfg!(target_os = "macos") { "-E" } else { "-e" };
        let list = Command::new("ps").args(["-axww", with_variables, "-o", "pid=,command="]).output();
        let list = String::from_utf8_lossy(&list.expect("ps").stdout).into_owned();
        let mine = format!("HOME={}", self.home().display());
        let is_mine = |words: &str| {
            let has = |wanted: &str| words.split(' ').any(|word| word == wanted);
            has("__upload-telemetry") && has(&mine)
        };
        let lines = list.lines().filter_map(|line| line.trim_start().split_once(' '));
        lines.filter(|(_, words)| is_mine(words)).filter_map(|(process, _)| process.parse().ok()).collect()
    }

    /// The process ids of this user's running uploaders.
    #[cfg(windows)]
    pub(crate) fn uploaders(&self) -> Vec<u32> {
        let mine = format!("HOME={}", self.home().display());
        let processes = crate::process_list::processes().into_iter();
        let uploaders = processes.filter(|process| {
            process.command_line.ends_with(" __upload-telemetry") && process.environment.contains(&mine)
        });
        uploaders.map(|process| process.id).collect()
    }

    /// Sends the pending runs. Returns whether none is left.
    pub(crate) fn flush(&self) -> bool {
        self.run_frob(["telemetry", "flush"]).status.success()
    }
}

/// The only trace that a receiver got, as a tree.
pub(crate) fn only_tree(receiver: &Receiver) -> String {
    let traces = receiver.wait_for(1, TIMEOUT).expect("a trace arrives");
    assert_eq!(traces.len(), 1, "{}", receiver.tree());
    traces[0].tree()
}

/// Polls until a condition holds, for conditions that no event announces.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < TIMEOUT, "timed out after {TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
