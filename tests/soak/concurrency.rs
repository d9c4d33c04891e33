//! A hundred processes at the same time with a hundred runs each, and ten racing uploaders.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver};

use crate::Report;
use crate::ledger::Ledger;
use crate::test_user::{TestUser, example};

const PROCESSES: u64 = 100;
const RUNS_OF_EACH: u64 = 100;
const RUNS: u64 = PROCESSES * RUNS_OF_EACH;
const UPLOADERS: usize = 10;
/// How long the runs may take to arrive. A server that fails at random makes uploaders back off repeatedly.
const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn with_a_server_that_is_well() -> Report {
    at_once(Receiver::start().map_err(|error| error.to_string())?)
}

pub(crate) fn with_a_server_that_fails_at_random() -> Report {
    // A generator with a fixed seed, so that a failure can be repeated.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let receiver = Receiver::builder().answer_with(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 8 {
            0 => Answer::status(503),
            1 => Answer::Reset,
            2 => Answer::Truncated,
            _ => Answer::Ok,
        }
    });
    at_once(receiver.start().map_err(|error| error.to_string())?)
}

fn at_once(receiver: Receiver) -> Report {
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint)
        .with_tool_setting("FROB_LIMIT_RUNS", "1000000")
        .with_tool_setting("FROB_LIMIT_BYTES", "10000000000");
    let crowd = Crowd::new(&user, &endpoint);
    let inexact_count = std::thread::scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| crowd.record_runs());
        }
        for _ in 0..UPLOADERS {
            scope.spawn(|| crowd.start_uploaders());
        }
        scope.spawn(|| crowd.watch_uploaders());
        crowd.find_inexact_count()
    });
    let flush_started = Instant::now();
    while !user.flush() && flush_started.elapsed() < TIMEOUT {
        std::thread::sleep(Duration::from_millis(200));
    }
    crowd.report(&receiver, inexact_count)
}

/// The processes at work, and what they have done so far.
struct Crowd<'a> {
    user: &'a TestUser,
    endpoint: &'a str,
    /// Threads that still record runs.
    recording: AtomicU64,
    started: AtomicU64,
    failed: AtomicU64,
    uploaders: AtomicU64,
    watch: Watch,
}

impl<'a> Crowd<'a> {
    fn new(user: &'a TestUser, endpoint: &'a str) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            user,
            endpoint,
            recording: AtomicU64::new(PROCESSES),
            started: zero(),
            failed: zero(),
            uploaders: zero(),
            watch: Watch::default(),
        }
    }

    fn is_recording(&self) -> bool {
        self.recording.load(Ordering::SeqCst) > 0
    }

    fn record_runs(&self) {
        for _ in 0..RUNS_OF_EACH {
            self.started.fetch_add(1, Ordering::SeqCst);
            let output = self.user.run_frob(["build", "--spans", "0"]);
            if !output.status.success() || output.stdout != b"working\n" || !output.stderr.is_empty() {
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.recording.fetch_sub(1, Ordering::SeqCst);
    }

    fn start_uploaders(&self) {
        while self.is_recording() {
            let mut uploader = self.user.uploader_command(example("frob"), self.endpoint, "detached");
            let _ = uploader.arg("__upload-telemetry").output();
            self.uploaders.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn watch_uploaders(&self) {
        while self.is_recording() {
            self.watch.read(self.user.home());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads the counts while runs are recorded. They are exact at each moment: they include all runs that ended before
    /// the reading, and none that started after it. Returns the last reading for which this does not hold.
    fn find_inexact_count(&self) -> Option<String> {
        let mut inexact = None;
        while self.is_recording() {
            let least = self.started.load(Ordering::SeqCst).saturating_sub(PROCESSES);
            let ledger = Ledger::of(self.user);
            let most = self.started.load(Ordering::SeqCst);
            if !(least..=most).contains(&ledger.total()) {
                inexact = Some(format!("{} is not in {least}..={most}\n{}", ledger.total(), ledger.status));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        inexact
    }

    fn report(self, receiver: &Receiver, inexact_count: Option<String>) -> Report {
        let (started, failed) = (self.started.into_inner(), self.failed.into_inner());
        let ledger = Ledger::of(self.user);
        let traces = receiver.traces().len() as u64;
        let peak = receiver.peak_connections();
        let most_seen = self.watch.most.into_inner();
        let figures = format!(
            "{started} runs started, {} delivered, {} pending, {} dropped; {traces} traces received, {} spans twice; {} \
             uploaders started by the harness, at most {peak} connections and {most_seen} working uploaders at once, {} \
             looks at /proc, {} requests",
            ledger.delivered,
            ledger.pending,
            ledger.dropped,
            receiver.doubles(),
            self.uploaders.into_inner(),
            self.watch.readings.into_inner(),
            receiver.requests().len(),
        );
        let violated = [
            (failed > 0, "a tool ended differently than without telemetry"),
            (started != RUNS || ledger.total() != RUNS, "a run is not accounted for"),
            (ledger.delivered != RUNS || traces != RUNS, "a run is missing, or was received twice"),
            (peak > 1, "two connections at once"),
            (most_seen > 1, "two uploaders worked at once"),
        ];
        if let Some(wrong) = inexact_count {
            return Err(format!("the counts were not exact: {wrong}\n{figures}"));
        }
        match violated.into_iter().find(|(is_violated, _)| *is_violated) {
            Some((_, what)) => Err(format!("{what}\n{figures}\n{}", ledger.status)),
            None => Ok(figures),
        }
    }
}

/// Counts the working uploaders of a home directory: those with a socket.
#[derive(Default)]
struct Watch {
    readings: AtomicU64,
    most: AtomicU64,
}

impl Watch {
    fn read(&self, home: &Path) {
        let working = || -> Vec<u32> {
            let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            processes
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .filter(|process| is_working(*process, home))
                .collect()
        };
        // One uploader may begin while another ends, so only those that also work in a second reading count.
        let first = working();
        let most = if first.len() > 1 {
            let second = working();
            first.iter().filter(|process| second.contains(process)).count()
        } else {
            first.len()
        };
        self.most.fetch_max(most as u64, Ordering::Relaxed);
        self.readings.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_working(process: u32, home: &Path) -> bool {
    let directory = Path::new("/proc").join(process.to_string());
    let environment = std::fs::read(directory.join("environ")).unwrap_or_default();
    let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|it| it.starts_with(wanted.as_bytes()));
    if !has("TOOL_TELEMETRY_UPLOADER=") || !has(&format!("HOME={}", home.display())) {
        return false;
    }
    let descriptors = std::fs::read_dir(directory.join("fd")).into_iter().flatten().flatten();
    descriptors.into_iter().any(|descriptor| {
        std::fs::read_link(descriptor.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    })
}
