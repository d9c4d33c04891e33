//! Fixture: a user of a tool that counts installations, on a machine whose clock the test sets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use tool_telemetry_receiver::{Receiver, Span};

use crate::test_user::{TestUser, compile_shim};

/// Monday, 7 December 2026, 00:00 UTC, in seconds since the Unix epoch: week 0 of the tests.
pub(crate) const MONDAY: u64 = 1_796_601_600;
pub(crate) const HOUR: u64 = 60 * 60;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const WEEK: u64 = 7 * DAY;

/// The machine of all tests of this process.
static SHIM: OnceLock<PathBuf> = OnceLock::new();

/// Compiles the machine once, beside the test's own program. Another process may use the same file.
fn shared_shim(user: &TestUser) -> PathBuf {
    let compiled = compile_shim(user, "machine.c");
    let own = std::env::current_exe().expect("the test's own path");
    let part = own.with_file_name(format!("machine.{}.so", std::process::id()));
    let shared = own.with_file_name("machine.so");
    std::fs::copy(compiled, &part).and_then(|_| std::fs::rename(part, &shared)).expect("a library");
    shared
}

/// A user whose runs go to the tool's author.
pub(crate) struct CountingUser {
    pub(crate) user: TestUser,
    endpoint: String,
}

impl CountingUser {
    /// A user who turned telemetry on, on the Wednesday of week 0.
    pub(crate) fn new(endpoint: &str) -> Self {
        Self::of_tool(endpoint, "FROB_COUNTS", "1")
    }

    /// The same with a setting of the tool's author (`tests/tool`).
    pub(crate) fn of_tool(endpoint: &str, name: &str, value: &str) -> Self {
        let user = TestUser::new();
        let shim = SHIM.get_or_init(|| shared_shim(&user));
        let user = user
            .with("LD_PRELOAD", shim.to_str().expect("text"))
            .with_tool_setting("FROB_AUTHOR_ENDPOINT", &format!("{endpoint}/v1/traces"))
            // The kernel's clock is not the test's, so the files of runs look older or younger than they are.
            .with_tool_setting("FROB_LIMIT_AGE", "4000000000")
            .with_tool_setting(name, value);
        let user = Self { user, endpoint: endpoint.to_owned() };
        user.set_clock(MONDAY + 2 * DAY);
        user.user.run_frob(["telemetry", "on"]);
        user
    }

    /// Sets an environment variable for each program that the user runs.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        Self { user: self.user.with(name, value), ..self }
    }

    /// Changes what the author of the tool has set.
    pub(crate) fn with_tool_setting(self, name: &str, value: &str) -> Self {
        Self { user: self.user.with_tool_setting(name, value), ..self }
    }

    /// Sets the clock to these seconds since the Unix epoch.
    pub(crate) fn set_clock(&self, time: u64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let offset = time as i64 - now as i64;
        // By a rename, because an uploader that lingers may read it at any moment.
        let (part, clock) = (self.user.home().join(".clock.part"), self.user.home().join(".clock"));
        std::fs::write(&part, offset.to_string())
            .and_then(|()| std::fs::rename(part, clock))
            .expect("a file");
    }

    /// Changes what the author of the tool has set from now on.
    pub(crate) fn change_tool_setting(&self, name: &str, value: &str) {
        let path = self.user.home().join(".frob-settings");
        let mut settings = std::fs::read_to_string(&path).expect("settings");
        settings.push_str(&format!("{name}={value}\n"));
        std::fs::write(path, settings).expect("a file");
    }

    /// Writes a backoff that begins at this time: commands start no uploader, and a flush ignores it.
    pub(crate) fn back_off(&self, time: u64) {
        let spool = self.spool();
        // `off` and `purge` delete the spool.
        if spool.exists() {
            let backoff = format!("until={} failures=1 asked=no\n", time + HOUR);
            std::fs::write(spool.join("backoff"), backoff).expect("a file");
        }
    }

    /// An uploader, as `flush` starts it.
    pub(crate) fn uploader_command(&self) -> Command {
        let mut command = self.user.frob_command(["__upload-telemetry"]);
        command
            .env("TOOL_TELEMETRY_UPLOADER", self.spool().file_name().expect("a name"))
            .env("TOOL_TELEMETRY_UPLOADER_PURPOSE", "flush");
        command
    }

    /// Runs a command and sends what is pending, at this time.
    pub(crate) fn run_at(&self, time: u64, arguments: &[&str]) {
        self.set_clock(time);
        self.user.run_frob(arguments);
        assert!(self.user.flush(), "{}", self.user.status());
    }

    /// The spool of the author's destination, which may not exist.
    pub(crate) fn spool(&self) -> PathBuf {
        let origin = self.endpoint.replace("://", "-").replace(':', "-");
        let spool = format!("maker+the-tests+{origin}");
        self.user.home().join(".local/state/frob/telemetry").join(spool)
    }

    /// The state of the counts, which may not exist.
    pub(crate) fn state(&self) -> PathBuf {
        self.spool().join("counts.jsonl")
    }
}

/// The counts among what a receiver got.
pub(crate) fn counts(receiver: &Receiver) -> Vec<Span> {
    receiver.spans().into_iter().filter(Span::is_count).collect()
}

/// How many counts of each cell arrived, with the number of the week.
pub(crate) fn cells(receiver: &Receiver) -> BTreeMap<(u64, String), u64> {
    let mut cells = BTreeMap::new();
    for span in counts(receiver) {
        let week = (span.start_unix_nano() / 1_000_000_000 - MONDAY) / WEEK;
        let attributes = span.attributes().iter().map(|(key, value)| format!("{key}={value}"));
        *cells.entry((week, attributes.collect::<Vec<_>>().join(" "))).or_default() += 1;
    }
    cells
}
