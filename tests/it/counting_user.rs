//! Fixture: a user of a tool that counts installations, on a machine whose clock the test sets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use tool_telemetry_receiver::{Receiver, Span};

use crate::test_user::{TestUser, compile_shim};

/// Monday, 7 December 2026, 00:00 UTC, in seconds since the Unix epoch: week 0 of the tests.
pub(crate) const MONDAY: u64 = 1_796_601_600;
pub(crate) const HOUR: u64 = 60 * 60;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const WEEK: u64 = 7 * DAY;

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
        let shim = compile_shim(&user, "machine.c");
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
        std::fs::write(self.user.home().join(".clock"), offset.to_string()).expect("a file");
    }

    /// Runs a command and sends what is pending, at this time.
    pub(crate) fn run_at(&self, time: u64, arguments: &[&str]) {
        self.set_clock(time);
        self.user.run_frob(arguments);
        assert!(self.user.flush(), "{}", self.user.status());
    }

    /// The state of the counts, which may not exist.
    pub(crate) fn state(&self) -> PathBuf {
        let origin = self.endpoint.replace("://", "-").replace(':', "-");
        let spool = format!("maker+the-tests+{origin}");
        self.user.home().join(".local/state/frob/telemetry").join(spool).join("counts.jsonl")
    }
}

/// The counts among what a receiver got.
pub(crate) fn counts(receiver: &Receiver) -> Vec<Span> {
    receiver.spans().into_iter().filter(|span| span.name() == "count").collect()
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
