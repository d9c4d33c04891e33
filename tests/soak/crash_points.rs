//! The tool and the uploader are killed at each system call, and each call that may fail is made to fail. Then the
//! next process runs, and nothing may be missing.
//!
//! A tracer is the witness: a run counts as recorded when the write of its first line succeeded, whatever our
//! own files say.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::Report;
use crate::ledger::Ledger;
use crate::system_calls::{Action, Call, Errno, TracedProgram, Tracer};
use crate::test_user::{DEAD_ENDPOINT, TestUser, example};

/// Points that are tried at the same time. They mostly wait for processes.
const AT_ONCE: usize = 6;
/// Errors that the disk and the kernel may return.
const ERRORS: [Errno; 5] = [Errno::ENOSPC, Errno::EIO, Errno::EACCES, Errno::EMFILE, Errno::EDQUOT];
/// Longer than a process may take.
const HANGS: Duration = Duration::from_secs(30);

/// A call, and what happens to it.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// From the trace of an undisturbed process.
    call: Call,
    action: Action,
}

impl Point {
    pub(crate) fn is_kill(&self) -> bool {
        self.action == Action::Kill
    }

    fn is_at(&self, call: &Call) -> bool {
        (call.thread, call.name, call.number) == (self.call.thread, self.call.name, self.call.number)
    }
}

/// One random run in 64 also enforces the spool's limits, so its calls differ. The uploader's scene covers that
/// code.
fn enforced_the_limits(traced: &TracedProgram) -> bool {
    traced.calls.iter().any(|call| call.name == "getdents64")
}

/// Whether the whole first line of a run was written.
fn recorded_a_run(traced: &TracedProgram) -> bool {
    let is_first_line = |call: &Call| {
        call.name == "write"
            && call.result > Some(500)
            && call.paths.iter().any(|path| path.ends_with(".open"))
    };
    traced.calls.iter().any(is_first_line)
}

/// The process is killed at every call. Calls about our files and about starting a process also fail with each
/// error; calls of the program's start and about memory do not.
pub(crate) fn points(calls: &[Call], home: &Path) -> Vec<Point> {
    let home = home.to_str().expect("text");
    let names = |call: &Call, text: &str| call.paths.iter().any(|path| path.contains(text));
    let first = calls.iter().position(|call| names(call, "/etc/tool-telemetry")).unwrap_or(0);
    let killed = calls.iter().map(|call| Point { call: call.clone(), action: Action::Kill });
    let may_fail = calls.iter().enumerate().filter(|(position, call)| {
        let is_ours = names(call, "tool-telemetry") || names(call, home);
        let starts = ["clone3", "vfork", "socket", "connect"].contains(&call.name);
        *position >= first && (is_ours || starts) && call.name != "execve"
    });
    let refused = may_fail.flat_map(|(_, call)| {
        ERRORS.into_iter().map(|error| Point { call: call.clone(), action: Action::Fail(error) })
    });
    killed.chain(refused).collect()
}

/// The sums over all points of a program.
pub(crate) struct Tally {
    tried: AtomicU64,
    pub(crate) not_reached: AtomicU64,
    started: AtomicU64,
    pub(crate) recorded: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) doubles: AtomicU64,
    violated: Mutex<Option<String>>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            tried: zero(),
            not_reached: zero(),
            started: zero(),
            recorded: zero(),
            delivered: zero(),
            dropped: zero(),
            doubles: zero(),
            violated: Mutex::new(None),
        }
    }

    /// Tries all points, several at once, until one violates a rule.
    pub(crate) fn try_all(&self, points: &[Point], attempt: impl Fn(&Point) -> Result<(), String> + Sync) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.violated.lock().expect("whole").is_some() {
                            return;
                        }
                        self.tried.fetch_add(1, Ordering::Relaxed);
                        if let Err(what) = attempt(point) {
                            let what = format!(
                                "{:?} at {}, number {}\n{what}",
                                point.action, point.call, point.call.number
                            );
                            self.violated.lock().expect("whole").get_or_insert(what);
                        }
                    }
                });
            }
        });
    }

    pub(crate) fn report(self, what: &str, calls: usize, points: &[Point]) -> Report {
        if let Some(violated) = self.violated.into_inner().expect("whole") {
            return Err(violated);
        }
        let killed = points.iter().filter(|point| point.is_kill()).count();
        if killed != calls {
            return Err(format!("{killed} kill points for {calls} calls"));
        }
        let [tried, not_reached, started, recorded, delivered, dropped, doubles] = [
            self.tried,
            self.not_reached,
            self.started,
            self.recorded,
            self.delivered,
            self.dropped,
            self.doubles,
        ]
        .map(AtomicU64::into_inner);
        if tried as usize != points.len() {
            return Err(format!("{tried} of {} points tried", points.len()));
        }
        // Traces differ a little, for example in the reads of `/proc/self/maps`. If they differ more, the
        // points are wrong.
        if not_reached * 100 > tried {
            return Err(format!("{not_reached} of {tried} points were not reached"));
        }
        Ok(format!(
            "{calls} calls in the undisturbed trace; {tried} points tried ({killed} of death, {} of errors), {not_reached} \
             not reached in their run; {started} runs started, {recorded} {what} recorded, {delivered} delivered, {dropped} \
             dropped, {doubles} spans sent twice",
            tried as usize - killed
        ))
    }
}

/// Runs a program to its end. Returns whether it reached the point. A program that hangs violates a rule.
pub(crate) fn run(command: Command, point: Option<&Point>) -> Result<(TracedProgram, bool), String> {
    let started = Instant::now();
    let mut is_reached = false;
    let traced = Tracer::of(command)
        .intercept(|call| match point {
            Some(point) if point.is_at(call) => {
                is_reached = true;
                point.action
            }
            _ => Action::Continue,
        })
        .run();
    match started.elapsed() {
        took if took > HANGS => Err(format!("a process took {took:?}")),
        _ => Ok((traced, is_reached)),
    }
}

/// The tool, from its start to its end, when it starts a detached uploader.
pub(crate) fn of_the_tool() -> Report {
    let (calls, points) = tool_points()?;
    let tally = Tally::new();
    tally.try_all(&points, |point| disturb_tool(point, &tally));
    tally.report("runs", calls, &points)
}

fn new_user() -> Result<(Receiver, TestUser), String> {
    let receiver = Receiver::start().map_err(|error| error.to_string())?;
    let user = TestUser::sending_to(&receiver.http_endpoint());
    Ok((receiver, user))
}

fn run_tool(user: &TestUser, point: Option<&Point>) -> Result<(TracedProgram, bool), String> {
    run(user.frob_command(["build", "--spans", "1"]), point)
}

/// The number of calls of an undisturbed tool, and its points.
fn tool_points() -> Result<(usize, Vec<Point>), String> {
    let (receiver, user) = new_user()?;
    let (mut traced, _) = run_tool(&user, None)?;
    while enforced_the_limits(&traced) {
        (traced, _) = run_tool(&user, None)?;
    }
    drop(receiver);
    if !traced.output.status.success() || !recorded_a_run(&traced) {
        return Err(format!("the undisturbed run failed: {:?}", traced.output));
    }
    let calls = traced.calls;
    let is_seal = |call: &Call| call.name == "rename" && call.paths.iter().any(|it| it.ends_with(".jsonl"));
    if !calls.iter().any(is_seal) {
        return Err("a run that ends in order is not sealed by a rename".to_owned());
    }
    let points = points(&calls, user.home());
    Ok((calls.len(), points))
}

/// Runs the tool with this point, and then the next process undisturbed.
fn disturb_tool(point: &Point, tally: &Tally) -> Result<(), String> {
    let (receiver, user, traced, is_reached) = loop {
        let (receiver, user) = new_user()?;
        let (traced, is_reached) = run_tool(&user, Some(point))?;
        if !enforced_the_limits(&traced) {
            break (receiver, user, traced, is_reached);
        }
    };
    tally.started.fetch_add(1, Ordering::Relaxed);
    tally.not_reached.fetch_add(u64::from(!is_reached), Ordering::Relaxed);
    check_tool(point, &user, &traced)?;
    let is_recorded = recorded_a_run(&traced);
    let next = user.run_frob(["build", "--spans", "1"]);
    tally.started.fetch_add(1, Ordering::Relaxed);
    if !next.status.success() || next.stdout != b"working\n" {
        return Err(format!("the next process noticed: {next:?}"));
    }
    let recorded = u64::from(is_recorded) + 1;
    tally.recorded.fetch_add(recorded, Ordering::Relaxed);
    settle(&user, &receiver, tally, recorded, |ledger| {
        // A run whose first line failed may be counted although it is not recorded.
        let most_dropped = u64::from(!point.is_kill());
        let unseen = ledger.total() - recorded;
        if unseen > u64::from(!is_recorded) || ledger.dropped > most_dropped || ledger.dropped < unseen {
            return Err("more runs than were recorded".to_owned());
        }
        Ok(())
    })
}

/// A call that fails changes nothing for the user, and the run is sealed unless the seal or the check before it failed.
/// The next process recovers the run of a killed one.
fn check_tool(point: &Point, user: &TestUser, traced: &TracedProgram) -> Result<(), String> {
    if point.is_kill() {
        return Ok(());
    }
    let Output { status, stdout, stderr } = &traced.output;
    if status.code() != Some(0) || stdout != b"working\n" || !stderr.is_empty() {
        return Err(format!("the tool noticed: {:?}", traced.output));
    }
    let may_stay_open = ["rename", "statx", "fstat", "newfstatat"].contains(&point.call.name);
    let is_open = user.pending_runs().iter().any(|path| path.extension().is_some_and(|it| it == "open"));
    if is_open && !may_stay_open {
        return Err("a run that ended in order is not sealed".to_owned());
    }
    Ok(())
}

/// Sends the pending runs and compares the counts with those of the test and of the receiver.
fn settle(
    user: &TestUser,
    receiver: &Receiver,
    tally: &Tally,
    recorded: u64,
    check: impl Fn(&Ledger) -> Result<(), String>,
) -> Result<(), String> {
    let started = Instant::now();
    let flushed = user.run_frob(["telemetry", "flush"]);
    let ledger = Ledger::of(user);
    let tell = |what: &str| {
        Err(format!(
            "{what}\nflush: {flushed:?}\nrecorded {recorded}\n{}{:#?}\nreceived {} traces, {} doubles",
            ledger.status,
            user.pending_runs(),
            receiver.traces().len(),
            receiver.doubles()
        ))
    };
    if started.elapsed() > Duration::from_secs(10) {
        return tell("the next uploader was slow");
    }
    if !flushed.status.success() || ledger.pending > 0 {
        return tell("a run is still pending");
    }
    if ledger.total() < recorded {
        return tell("a run is lost");
    }
    if let Err(what) = check(&ledger) {
        return tell(&what);
    }
    if receiver.traces().len() as u64 != ledger.delivered {
        return tell("the receiver's traces differ");
    }
    tally.delivered.fetch_add(ledger.delivered, Ordering::Relaxed);
    tally.dropped.fetch_add(ledger.dropped, Ordering::Relaxed);
    tally.doubles.fetch_add(receiver.doubles(), Ordering::Relaxed);
    Ok(())
}

/// Pending runs in the uploader's scene: two of one version, one of another, and one that was killed while it
/// wrote a span.
const WAITING: u64 = 4;

/// The uploader, when it recovers a torn run, sends two requests, stores the outcomes, and counts them.
pub(crate) fn of_the_uploader() -> Report {
    let template = scene()?;
    let (calls, points) = uploader_points(&template)?;
    let tally = Tally::new();
    tally.try_all(&points, |point| disturb_uploader(point, &template, &tally));
    tally.report("runs", calls, &points)
}

/// Copies the scene for a receiver of its own.
fn copy_of(template: &TestUser) -> Result<(Receiver, TestUser), String> {
    let receiver = Receiver::start().map_err(|error| error.to_string())?;
    let endpoint = receiver.http_endpoint();
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    copy(&template.home().join(".config"), &user.home().join(".config"))?;
    copy(&template.spool(DEAD_ENDPOINT), &user.spool(&endpoint))?;
    make_private(&user)?;
    Ok((receiver, user))
}

fn run_uploader(
    user: &TestUser,
    receiver: &Receiver,
    point: Option<&Point>,
) -> Result<(TracedProgram, bool), String> {
    let mut command = user.uploader_command(example("frob"), &receiver.http_endpoint(), "awaited");
    command.arg("__upload-telemetry");
    run(command, point)
}

/// The number of calls of an undisturbed uploader, and its points.
fn uploader_points(template: &TestUser) -> Result<(usize, Vec<Point>), String> {
    let (receiver, user) = copy_of(template)?;
    let (TracedProgram { calls, output }, _) = run_uploader(&user, &receiver, None)?;
    let ledger = Ledger::of(&user);
    if !output.status.success() || ledger.delivered != WAITING || ledger.dropped_spans != 1 {
        return Err(format!("the undisturbed uploader failed: {output:?}\n{}", ledger.status));
    }
    let is_outcome =
        |call: &Call| call.name == "rename" && call.paths.iter().any(|it| it.ends_with(".delivered"));
    if !calls.iter().any(is_outcome) {
        return Err("the calls that were traced are not those of the uploader's work".to_owned());
    }
    Ok((calls.len(), points(&calls, user.home())))
}

/// Runs the uploader with this point, and then another one undisturbed.
fn disturb_uploader(point: &Point, template: &TestUser, tally: &Tally) -> Result<(), String> {
    let (receiver, user) = copy_of(template)?;
    let (_, is_reached) = run_uploader(&user, &receiver, Some(point))?;
    tally.not_reached.fetch_add(u64::from(!is_reached), Ordering::Relaxed);
    let before = Ledger::of(&user);
    if before.total() != WAITING {
        return Err(format!("the counts are not exact at once: {}", before.status));
    }
    let spans_of_a_request = 3 * 3;
    tally.recorded.fetch_add(WAITING, Ordering::Relaxed);
    tally.started.fetch_add(WAITING, Ordering::Relaxed);
    settle(&user, &receiver, tally, WAITING, |ledger| {
        if ledger.delivered != WAITING || ledger.dropped > 0 {
            return Err("a run was dropped that could have been delivered".to_owned());
        }
        if ledger.dropped_spans != 1 {
            return Err("the torn span is not counted once".to_owned());
        }
        if receiver.doubles() > spans_of_a_request {
            return Err("more than one request was sent twice".to_owned());
        }
        Ok(())
    })
}

/// Makes the tool's directories private, as the tool itself would.
pub(crate) fn make_private(user: &TestUser) -> Result<(), String> {
    for directory in [".local/state/frob", ".local/state/frob/telemetry"] {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(user.home().join(directory), private).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The home directory in which the uploader starts.
fn scene() -> Result<TestUser, String> {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    // The backoff keeps uploaders from starting.
    let spool = user.spool(DEAD_ENDPOINT);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    std::fs::create_dir_all(&spool).map_err(|error| error.to_string())?;
    make_private(&user)?;
    let backoff = format!("until={} failures=1 asked=no\n", now.as_secs() + 1_000);
    std::fs::write(spool.join("backoff"), backoff).map_err(|error| error.to_string())?;
    for version in ["1.0.0", "1.0.0", "2.0.0"] {
        user.frob_command(["build", "--spans", "1"]).env("FROB_VERSION", version).output().expect("it runs");
    }
    user.run_frob(["build", "--spans", "1", "--end", "signal=KILL"]);
    let torn = user.pending_runs().into_iter().find(|path| path.extension().is_some_and(|it| it == "open"));
    let torn = torn.ok_or("the killed run left no file")?;
    let whole = std::fs::read(&torn).map_err(|error| error.to_string())?;
    std::fs::write(&torn, [&whole[..], &whole[..100]].concat()).map_err(|error| error.to_string())?;
    std::fs::remove_file(spool.join("backoff")).map_err(|error| error.to_string())?;
    Ok(user)
}

pub(crate) fn copy(from: &Path, to: &PathBuf) -> Result<(), String> {
    let describe = |error: std::io::Error| format!("{}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(describe)?;
    for entry in std::fs::read_dir(from).map_err(describe)?.flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(describe)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).map_err(describe)?;
        }
    }
    Ok(())
}
