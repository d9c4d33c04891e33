//! The tool and the uploader, stopped at every system call in turn, and refused every one that may fail; then the
//! next process runs, and nothing may be missing.
//!
//! The kernel's log of calls (strace) is the witness: a run counts as recorded when the write of its first line is
//! in it, whatever our own files say.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tool_telemetry::receiver::Receiver;

use crate::Report;
use crate::ledger::Ledger;
use crate::person::{NOBODY, Person, example};

/// Points tried at the same time; most of their time they wait for processes.
const AT_ONCE: usize = 6;
/// What the disk and the kernel may answer.
const ERRORS: [&str; 5] = ["ENOSPC", "EIO", "EACCES", "EMFILE", "EDQUOT"];
/// Longer than any process here may take.
const HANGS: Duration = Duration::from_secs(30);

/// One call of an untouched trace.
#[derive(Debug, Clone)]
struct Call {
    name: String,
    /// The how-manieth of its name.
    number: usize,
    line: String,
}

/// Stopped before the call, or refused it.
#[derive(Debug, Clone)]
struct Point {
    call: Call,
    /// Nothing for SIGKILL.
    error: Option<&'static str>,
}

impl Point {
    fn injection(&self) -> String {
        let Call { name, number, .. } = &self.call;
        match self.error {
            None => format!("inject={name}:signal=SIGKILL:when={number}"),
            Some(error) => format!("inject={name}:error={error}:when={number}"),
        }
    }
}

/// The calls in a log of strace without `-f`.
fn calls(log: &Path) -> Vec<Call> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let text = String::from_utf8_lossy(&std::fs::read(log).expect("strace wrote its log")).into_owned();
    text.lines()
        .filter_map(|line| {
            let name = line.split_once('(')?.0;
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return None;
            }
            let number = counts.entry(name.to_owned()).or_default();
            *number += 1;
            Some(Call { name: name.to_owned(), number: *number, line: line.to_owned() })
        })
        .collect()
}

/// One run in 64, chosen by chance, looks at the limits of the spool besides. Its calls are others than those of the
/// untouched trace; what it does there is what the uploader does in its own scene.
fn looked_at_the_limits(log: &Path) -> bool {
    calls(log).iter().any(|call| call.name == "getdents64")
}

/// Whether the log holds the whole write of a run's first line.
fn tells_of_a_run(log: &Path) -> bool {
    calls(log).iter().any(|call| {
        let result = call.line.rsplit_once(" = ").and_then(|(_, result)| result.parse::<u64>().ok());
        call.name == "write" && call.line.contains(".open>,") && result.is_some_and(|bytes| bytes > 500)
    })
}

/// Every call is a point of death. Those that may fail are refused with each error: all that have to do with our
/// files or with starting a process, and none that belongs to the program's start or to memory.
fn points(calls: &[Call], home: &Path) -> Vec<Point> {
    let home = home.to_str().expect("text");
    let first = calls.iter().position(|call| call.line.contains("/etc/tool-telemetry")).unwrap_or(0);
    let killed = calls.iter().map(|call| Point { call: call.clone(), error: None });
    let may_fail = calls.iter().enumerate().filter(|(position, call)| {
        let is_ours = ["tool-telemetry", home].iter().any(|ours| call.line.contains(ours));
        let starts = ["clone3", "vfork", "socket", "connect"].contains(&call.name.as_str());
        *position >= first && (is_ours || starts) && call.name != "execve"
    });
    let refused = may_fail.flat_map(|(_, call)| {
        ERRORS.into_iter().map(|error| Point { call: call.clone(), error: Some(error) })
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
                            let what = format!("{}, at {}\n{what}", point.injection(), point.call.line);
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
        let killed = points.iter().filter(|point| point.error.is_none()).count();
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
        // One of them is always the program's own `execve`, which strace lets pass. Others that are not reached mean
        // that traces differ, and that the points are not those of the program.
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

fn strace(log: &Path, injected: Option<&Point>) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-qq", "-y", "-s", "8"].map(str::to_owned).to_vec();
    words.extend(["-o".to_owned(), log.to_str().expect("text").to_owned()]);
    if let Some(point) = injected {
        // Only what is needed is traced, which is faster: what the witness looks for, and the call itself.
        words.extend(["-e".to_owned(), format!("trace=write,getdents64,{}", point.call.name)]);
        words.extend(["-e".to_owned(), point.injection()]);
    }
    words
}

/// Runs a program to its end; one that does not end is a violation of its own.
fn run(command: &mut Command) -> Result<Output, String> {
    let started = Instant::now();
    let output = command.output().map_err(|error| error.to_string())?;
    match started.elapsed() {
        took if took > HANGS => Err(format!("a process took {took:?}")),
        _ => Ok(output),
    }
}

fn was_reached(log: &Path, point: &Point) -> bool {
    calls(log).iter().any(|call| {
        call.name == point.call.name
            && call.number == point.call.number
            && match point.error {
                Some(_) => call.line.contains("(INJECTED)"),
                None => call.line.ends_with("= ?") || call.line.contains("<unfinished ...>"),
            }
    })
}

/// The tool: from its start to its end, with a detached uploader started at the end.
pub(crate) fn of_the_tool() -> Report {
    let trace = |person: &Person, injected: Option<&Point>, log: &Path| {
        let words = strace(log, injected);
        let mut command = person.command(&words[0]);
        command.args(&words[1..]).arg(example("frob")).args(["build", "--spans", "1"]);
        run(&mut command)
    };
    let prepare = || -> Result<(Receiver, Person), String> {
        let receiver = Receiver::start().map_err(|error| error.to_string())?;
        let person = Person::sending_to(&receiver.http_endpoint());
        Ok((receiver, person))
    };
    let (calls, points) = {
        let (receiver, person) = prepare()?;
        let log = person.home().join("log");
        let mut output = trace(&person, None, &log)?;
        while looked_at_the_limits(&log) {
            output = trace(&person, None, &log)?;
        }
        drop(receiver);
        if !output.status.success() || !tells_of_a_run(&log) {
            return Err(format!("the untouched run failed: {output:?}"));
        }
        let calls = calls(&log);
        if !calls.iter().any(|call| call.name == "rename" && call.line.contains(".jsonl")) {
            return Err("a run that ends in order is not sealed by a rename".to_owned());
        }
        let points = points(&calls, person.home());
        (calls.len(), points)
    };
    let tally = Tally::new();
    tally.try_all(&points, |point| {
        let (receiver, person, log, output) = loop {
            let (receiver, person) = prepare()?;
            let log = person.home().join("log");
            let output = trace(&person, Some(point), &log)?;
            if !looked_at_the_limits(&log) {
                break (receiver, person, log, output);
            }
        };
        tally.started.fetch_add(1, Ordering::Relaxed);
        if !was_reached(&log, point) {
            tally.not_reached.fetch_add(1, Ordering::Relaxed);
        }
        if point.error.is_some()
            && (output.status.code() != Some(0) || output.stdout != b"working\n" || !output.stderr.is_empty())
        {
            return Err(format!("the tool noticed: {output:?}"));
        }
        let is_recorded = tells_of_a_run(&log);
        // Where our last step was not the one that failed, nor the look whose file it is, a run that ended in order is
        // sealed when its process is gone; one that was stopped is found by the next process.
        let excuses = ["rename", "statx", "fstat", "newfstatat"].contains(&point.call.name.as_str());
        let left_open = person.waiting().iter().any(|path| path.extension().is_some_and(|it| it == "open"));
        if point.error.is_some() && left_open && !excuses {
            return Err("a run that ended in order is not sealed".to_owned());
        }
        // The next process, untouched.
        let next = person.frob(["build", "--spans", "1"]);
        tally.started.fetch_add(1, Ordering::Relaxed);
        if !next.status.success() || next.stdout != b"working\n" {
            return Err(format!("the next process noticed: {next:?}"));
        }
        let recorded = u64::from(is_recorded) + 1;
        tally.recorded.fetch_add(recorded, Ordering::Relaxed);
        settle(&person, &receiver, &tally, recorded, |ledger| {
            // A run whose first line was refused by the disk may be counted although it is not recorded.
            let most_dropped = u64::from(point.error.is_some());
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
    person: &Person,
    receiver: &Receiver,
    tally: &Tally,
    recorded: u64,
    judge: impl Fn(&Ledger) -> Result<(), String>,
) -> Result<(), String> {
    let started = Instant::now();
    let flushed = person.frob(["telemetry", "flush"]);
    let ledger = Ledger::of(person);
    let tell = |what: &str| {
        Err(format!(
            "{what}\nflush: {flushed:?}\nrecorded {recorded}\n{}{:#?}\nreceived {} traces, {} doubles",
            ledger.status,
            person.waiting(),
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
    let trace = |person: &Person, endpoint: &str, injected: Option<&Point>, log: &Path| {
        let words = strace(log, injected);
        let mut command = crate::uploader(person, &words[0], endpoint, "awaited");
        command.args(&words[1..]).arg(example("frob")).arg("__upload-telemetry");
        run(&mut command)
    };
    let prepare = || -> Result<(Receiver, Person), String> {
        let receiver = Receiver::start().map_err(|error| error.to_string())?;
        let endpoint = receiver.http_endpoint();
        let person = Person::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
        copy(&template.home().join(".config"), &person.home().join(".config"))?;
        copy(&template.spool(NOBODY), &person.spool(&endpoint))?;
        for folder in [".local/state/frob", ".local/state/frob/telemetry"] {
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(person.home().join(folder), private).map_err(|it| it.to_string())?;
        }
        Ok((receiver, person))
    };
    let (calls, points) = {
        let (receiver, person) = prepare()?;
        let log = person.home().join("log");
        let output = trace(&person, &receiver.http_endpoint(), None, &log)?;
        let ledger = Ledger::of(&person);
        if !output.status.success() || ledger.delivered != WAITING || ledger.dropped_spans != 1 {
            return Err(format!("the untouched uploader failed: {output:?}\n{}", ledger.status));
        }
        let calls = calls(&log);
        (calls.len(), points(&calls, person.home()))
    };
    let tally = Tally::new();
    tally.try_all(&points, |point| {
        let (receiver, person) = prepare()?;
        let log = person.home().join("log");
        trace(&person, &receiver.http_endpoint(), Some(point), &log)?;
        if !was_reached(&log, point) {
            tally.not_reached.fetch_add(1, Ordering::Relaxed);
        }
        let before = Ledger::of(&person);
        if before.told() != WAITING {
            return Err(format!("the accounts are not exact at once: {}", before.status));
        }
        let spans_of_a_request = 3 * 3;
        tally.recorded.fetch_add(WAITING, Ordering::Relaxed);
        tally.started.fetch_add(WAITING, Ordering::Relaxed);
        settle(&person, &receiver, &tally, WAITING, |ledger| {
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
fn scene() -> Result<Person, String> {
    let person = Person::sending_to(NOBODY);
    // While a backoff is on the disk no uploader is started.
    let spool = person.spool(NOBODY);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    std::fs::create_dir_all(&spool).map_err(|error| error.to_string())?;
    for folder in [".local/state/frob", ".local/state/frob/telemetry"] {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(person.home().join(folder), private).map_err(|error| error.to_string())?;
    }
    let backoff = format!("until={} failures=1 asked=no\n", now.as_secs() + 1_000);
    std::fs::write(spool.join("backoff"), backoff).map_err(|error| error.to_string())?;
    for version in ["1.0.0", "1.0.0", "2.0.0"] {
        person
            .frob_command(["build", "--spans", "1"])
            .env("FROB_VERSION", version)
            .output()
            .expect("it runs");
    }
    person.frob(["build", "--spans", "1", "--end", "signal=KILL"]);
    let torn = person.waiting().into_iter().find(|path| path.extension().is_some_and(|it| it == "open"));
    let torn = torn.ok_or("the killed run left no file")?;
    let whole = std::fs::read(&torn).map_err(|error| error.to_string())?;
    std::fs::write(&torn, [&whole[..], &whole[..100]].concat()).map_err(|error| error.to_string())?;
    std::fs::remove_file(spool.join("backoff")).map_err(|error| error.to_string())?;
    Ok(person)
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
