//! The tool and the uploader, stopped at every system call in turn, and refused every one that may fail; then the
//! next process runs, and nothing may be missing.
//!
//! The kernel is the witness, through a tracer: a run counts as recorded when the write of its first line was
//! answered, whatever our own files say.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::Report;
use crate::ledger::Ledger;
use crate::system_calls::{Call, Errno, Traced, Tracer, Verdict};
use crate::test_user::{DEAD_ENDPOINT, TestUser, example};

/// Points tried at the same time; most of their time they wait for processes.
const AT_ONCE: usize = 6;
/// What the disk and the kernel may answer.
const ERRORS: [Errno; 5] = [Errno::ENOSPC, Errno::EIO, Errno::EACCES, Errno::EMFILE, Errno::EDQUOT];
/// Longer than any process here may take.
const HANGS: Duration = Duration::from_secs(30);

/// Stopped before the call, or refused it.
#[derive(Debug, Clone)]
struct Point {
    /// As in the untouched trace.
    call: Call,
    verdict: Verdict,
}

impl Point {
    fn is_death(&self) -> bool {
        self.verdict == Verdict::Kill
    }

    fn is_at(&self, call: &Call) -> bool {
        (call.thread, call.name, call.number) == (self.call.thread, self.call.name, self.call.number)
    }
}

/// One run in 64, chosen by chance, looks at the limits of the spool besides. Its calls are others than those of the
/// untouched trace; what it does there is what the uploader does in its own scene.
fn looked_at_the_limits(traced: &Traced) -> bool {
    traced.calls.iter().any(|call| call.name == "getdents64")
}

/// Whether the whole first line of a run was written.
fn tells_of_a_run(traced: &Traced) -> bool {
    let is_first_line = |call: &Call| {
        call.name == "write"
            && call.result > Some(500)
            && call.paths.iter().any(|path| path.ends_with(".open"))
    };
    traced.calls.iter().any(is_first_line)
}

/// Every call is a point of death. Those that may fail are refused with each error: all that have to do with our
/// files or with starting a process, and none that belongs to the program's start or to memory.
fn points(calls: &[Call], home: &Path) -> Vec<Point> {
    let home = home.to_str().expect("text");
    let names = |call: &Call, text: &str| call.paths.iter().any(|path| path.contains(text));
    let first = calls.iter().position(|call| names(call, "/etc/tool-telemetry")).unwrap_or(0);
    let killed = calls.iter().map(|call| Point { call: call.clone(), verdict: Verdict::Kill });
    let may_fail = calls.iter().enumerate().filter(|(position, call)| {
        let is_ours = names(call, "tool-telemetry") || names(call, home);
        let starts = ["clone3", "vfork", "socket", "connect"].contains(&call.name);
        *position >= first && (is_ours || starts) && call.name != "execve"
    });
    let refused = may_fail.flat_map(|(_, call)| {
        ERRORS.into_iter().map(|error| Point { call: call.clone(), verdict: Verdict::Refuse(error) })
    });
    killed.chain(refused).collect()
}

/// What all points of one program have in common.
struct Tally {
    tried: AtomicU64,
    not_reached: AtomicU64,
    started: AtomicU64,
    recorded: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    doubles: AtomicU64,
    violated: Mutex<Option<String>>,
}

impl Tally {
    fn new() -> Self {
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

    /// Tries all points, some at once, until one violates a rule.
    fn try_all(&self, points: &[Point], attempt: impl Fn(&Point) -> Result<(), String> + Sync) {
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
                                point.verdict, point.call, point.call.number
                            );
                            self.violated.lock().expect("whole").get_or_insert(what);
                        }
                    }
                });
            }
        });
    }

    fn report(self, calls: usize, points: &[Point]) -> Report {
        if let Some(violated) = self.violated.into_inner().expect("whole") {
            return Err(violated);
        }
        let killed = points.iter().filter(|point| point.is_death()).count();
        if killed != calls {
            return Err(format!("{killed} points of death for {calls} calls"));
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
        // Traces differ a little: how often `/proc/self/maps` is read, say. If they differ more, the points are not
        // those of the program.
        if not_reached * 100 > tried {
            return Err(format!("{not_reached} of {tried} points were not reached"));
        }
        Ok(format!(
            "{calls} calls in the untouched trace; {tried} points tried ({killed} of death, {} of errors), {not_reached} \
             not reached in their run; {started} runs started, {recorded} recorded, {delivered} delivered, {dropped} \
             dropped and counted, {doubles} spans sent twice",
            tried as usize - killed
        ))
    }
}

/// Runs a program to its end, and tells whether it came to the point; one that does not end is a violation of its own.
fn run(command: Command, point: Option<&Point>) -> Result<(Traced, bool), String> {
    let started = Instant::now();
    let mut is_reached = false;
    let traced = Tracer::of(command)
        .judged(|call| match point {
            Some(point) if point.is_at(call) => {
                is_reached = true;
                point.verdict
            }
            _ => Verdict::Make,
        })
        .run();
    match started.elapsed() {
        took if took > HANGS => Err(format!("a process took {took:?}")),
        _ => Ok((traced, is_reached)),
    }
}

/// The tool: from its start to its end, with a detached uploader started at the end.
pub(crate) fn of_the_tool() -> Report {
    let trace =
        |user: &TestUser, point: Option<&Point>| run(user.frob_command(["build", "--spans", "1"]), point);
    let prepare = || -> Result<(Receiver, TestUser), String> {
        let receiver = Receiver::start().map_err(|error| error.to_string())?;
        let user = TestUser::sending_to(&receiver.http_endpoint());
        Ok((receiver, user))
    };
    let (calls, points) = {
        let (receiver, user) = prepare()?;
        let (mut traced, _) = trace(&user, None)?;
        while looked_at_the_limits(&traced) {
            (traced, _) = trace(&user, None)?;
        }
        drop(receiver);
        if !traced.output.status.success() || !tells_of_a_run(&traced) {
            return Err(format!("the untouched run failed: {:?}", traced.output));
        }
        let calls = traced.calls;
        let is_seal =
            |call: &Call| call.name == "rename" && call.paths.iter().any(|it| it.ends_with(".jsonl"));
        if !calls.iter().any(is_seal) {
            return Err("a run that ends in order is not sealed by a rename".to_owned());
        }
        let points = points(&calls, user.home());
        (calls.len(), points)
    };
    let tally = Tally::new();
    tally.try_all(&points, |point| {
        let (receiver, user, traced, is_reached) = loop {
            let (receiver, user) = prepare()?;
            let (traced, is_reached) = trace(&user, Some(point))?;
            if !looked_at_the_limits(&traced) {
                break (receiver, user, traced, is_reached);
            }
        };
        tally.started.fetch_add(1, Ordering::Relaxed);
        tally.not_reached.fetch_add(u64::from(!is_reached), Ordering::Relaxed);
        let Output { status, stdout, stderr } = &traced.output;
        if !point.is_death() && (status.code() != Some(0) || stdout != b"working\n" || !stderr.is_empty()) {
            return Err(format!("the tool noticed: {:?}", traced.output));
        }
        let is_recorded = tells_of_a_run(&traced);
        // Where our last step was not the one that failed, nor the look whose file it is, a run that ended in order is
        // sealed when its process is gone; one that was stopped is found by the next process.
        let excuses = ["rename", "statx", "fstat", "newfstatat"].contains(&point.call.name);
        let left_open =
            user.pending_runs().iter().any(|path| path.extension().is_some_and(|it| it == "open"));
        if !point.is_death() && left_open && !excuses {
            return Err("a run that ended in order is not sealed".to_owned());
        }
        // The next process, untouched.
        let next = user.run_frob(["build", "--spans", "1"]);
        tally.started.fetch_add(1, Ordering::Relaxed);
        if !next.status.success() || next.stdout != b"working\n" {
            return Err(format!("the next process noticed: {next:?}"));
        }
        let recorded = u64::from(is_recorded) + 1;
        tally.recorded.fetch_add(recorded, Ordering::Relaxed);
        settle(&user, &receiver, &tally, recorded, |ledger| {
            // A run whose first line was refused by the disk may be counted although it is not recorded.
            let most_dropped = u64::from(!point.is_death());
            let unseen = ledger.told() - recorded;
            if unseen > u64::from(!is_recorded) || ledger.dropped > most_dropped || ledger.dropped < unseen {
                return Err("more than was recorded".to_owned());
            }
            Ok(())
        })
    });
    tally.report(calls, &points)
}

/// Sends what waits and holds the accounts against what the harness and the receiver know.
fn settle(
    user: &TestUser,
    receiver: &Receiver,
    tally: &Tally,
    recorded: u64,
    judge: impl Fn(&Ledger) -> Result<(), String>,
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
        return tell("the next uploader had to wait");
    }
    if !flushed.status.success() || ledger.pending > 0 {
        return tell("something waits still");
    }
    if ledger.told() < recorded {
        return tell("a run is lost");
    }
    if let Err(what) = judge(&ledger) {
        return tell(&what);
    }
    if receiver.traces().len() as u64 != ledger.delivered {
        return tell("the receiver holds something else");
    }
    tally.delivered.fetch_add(ledger.delivered, Ordering::Relaxed);
    tally.dropped.fetch_add(ledger.dropped, Ordering::Relaxed);
    tally.doubles.fetch_add(receiver.doubles(), Ordering::Relaxed);
    Ok(())
}

/// Runs that wait in the template of the uploader's scene: two of one version and one of another, and one that was
/// killed while it wrote a span.
const WAITING: u64 = 4;

/// The uploader: it recovers a torn run, sends two requests, tells the outcomes and counts them.
pub(crate) fn of_the_uploader() -> Report {
    let template = scene()?;
    let trace = |user: &TestUser, endpoint: &str, point: Option<&Point>| {
        let mut command = user.uploader_command(example("frob"), endpoint, "awaited");
        command.arg("__upload-telemetry");
        run(command, point)
    };
    let prepare = || -> Result<(Receiver, TestUser), String> {
        let receiver = Receiver::start().map_err(|error| error.to_string())?;
        let endpoint = receiver.http_endpoint();
        let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
        copy(&template.home().join(".config"), &user.home().join(".config"))?;
        copy(&template.spool(DEAD_ENDPOINT), &user.spool(&endpoint))?;
        for folder in [".local/state/frob", ".local/state/frob/telemetry"] {
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(user.home().join(folder), private).map_err(|it| it.to_string())?;
        }
        Ok((receiver, user))
    };
    let (calls, points) = {
        let (receiver, user) = prepare()?;
        let (Traced { calls, output }, _) = trace(&user, &receiver.http_endpoint(), None)?;
        let ledger = Ledger::of(&user);
        if !output.status.success() || ledger.delivered != WAITING || ledger.dropped_spans != 1 {
            return Err(format!("the untouched uploader failed: {output:?}\n{}", ledger.status));
        }
        let is_outcome =
            |call: &Call| call.name == "rename" && call.paths.iter().any(|it| it.ends_with(".delivered"));
        if !calls.iter().any(is_outcome) {
            return Err("the calls that were traced are not those of the uploader's work".to_owned());
        }
        (calls.len(), points(&calls, user.home()))
    };
    let tally = Tally::new();
    tally.try_all(&points, |point| {
        let (receiver, user) = prepare()?;
        let (_, is_reached) = trace(&user, &receiver.http_endpoint(), Some(point))?;
        tally.not_reached.fetch_add(u64::from(!is_reached), Ordering::Relaxed);
        let before = Ledger::of(&user);
        if before.told() != WAITING {
            return Err(format!("the accounts are not exact at once: {}", before.status));
        }
        let spans_of_a_request = 3 * 3;
        tally.recorded.fetch_add(WAITING, Ordering::Relaxed);
        tally.started.fetch_add(WAITING, Ordering::Relaxed);
        settle(&user, &receiver, &tally, WAITING, |ledger| {
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
    });
    tally.report(calls, &points)
}

/// What an uploader finds.
fn scene() -> Result<TestUser, String> {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    // While a backoff is on the disk no uploader is started.
    let spool = user.spool(DEAD_ENDPOINT);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    std::fs::create_dir_all(&spool).map_err(|error| error.to_string())?;
    for folder in [".local/state/frob", ".local/state/frob/telemetry"] {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(user.home().join(folder), private).map_err(|error| error.to_string())?;
    }
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

fn copy(from: &Path, to: &PathBuf) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(told)?;
    for entry in std::fs::read_dir(from).map_err(told)?.flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(told)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).map_err(told)?;
        }
    }
    Ok(())
}
