//! When an uploader is started, and what it does when it runs.

use std::time::{Duration, SystemTime};

use super::Builder;
use crate::destination::Destination;
use crate::env::Environment;
use crate::platform::{self, ChildEnd};
use crate::run::Sealed;
use crate::spool::backoff::Backoff;
use crate::spool::counters::Counters;
use crate::spool::dir::SpoolDir;
use crate::spool::limits;
use crate::spool::lock::{Probe, Uploader, UploaderLock};
use crate::spool::starts::{Line, TOO_MANY};
use crate::upload::detach::{self, Purpose};

/// An uploader's whole life.
pub(crate) const LIFE: Duration = Duration::from_secs(60);
/// A run of more bytes than this is checked against the limits at once, also while nothing can be sent.
const LARGE_RUN: u64 = 64 << 10;
/// An uploader's exit code when something still waits.
pub(crate) const STILL_PENDING: i32 = 3;

/// An uploader that was started takes its lock within this time, and looks for runs after that.
const STARTING: Duration = Duration::from_millis(100);

/// Looks, in the order of cost, whether an uploader is to be started: may we send now, and is none at work?
///
/// With `wait` the command waits that long for the delivery.
pub(super) fn after_seal(
    builder: &Builder,
    spool: &SpoolDir,
    destination: &Destination,
    sealed: Sealed,
    wait: Option<Duration>,
) {
    let environment = Environment::process();
    let backs_off =
        Backoff::read(&spool.backoff()).is_some_and(|backoff| backoff.remaining(SystemTime::now()).is_some());
    if backs_off || environment.without_network().is_some() {
        if sealed.is_one_in_64 || sealed.bytes > LARGE_RUN {
            enforce_limits(builder, spool);
        }
        return;
    }
    if !can_deliver(builder, destination) {
        return;
    }
    let start = Start { spool, destination, environment };
    if let Some(wait) = wait {
        start.and_wait(wait);
        return;
    }
    // Commands of one process may follow each other faster than an uploader takes its lock.
    if platform::reap(STARTING) {
        return;
    }
    let Ok(probe) = Probe::open(&spool.lock()) else { return };
    if probe.uploader == Uploader::AtWork {
        // It enforces the limits, unless it is frozen.
        if sealed.is_one_in_64 || sealed.bytes > LARGE_RUN {
            enforce_limits(builder, spool);
        }
        return;
    }
    // What is detached may be ended with whoever started this command. A container alone is no reason to wait: only
    // uploaders that never reported are, or that nobody can know yet.
    let starts = probe.starts();
    if starts.is_on_its_way {
        return;
    }
    let never_report = starts.unreported >= TOO_MANY;
    if never_report || (sealed.is_first && platform::may_end_with_others()) {
        // Where it found nothing to take the lock for, those before it are no riddle any more either.
        if start.and_wait(builder.wait_in_ci) {
            probe.clear();
        }
    } else {
        start.and_leave(&probe);
    }
}

/// The start of an uploader for one destination.
struct Start<'a> {
    spool: &'a SpoolDir,
    destination: &'a Destination,
    environment: Environment<'a>,
}

impl Start<'_> {
    fn and_leave(&self, probe: &Probe) {
        match detach::start(self.environment, self.destination, Purpose::Detached) {
            Ok(uploader) => probe.note(Line::Started(uploader.process())),
            Err(error) => self.failed(Line::of_error(&error)),
        }
    }

    /// Says whether the uploader reported its end in time.
    fn and_wait(&self, wait: Duration) -> bool {
        let mut uploader = match detach::start(self.environment, self.destination, Purpose::Awaited) {
            Ok(uploader) => uploader,
            Err(error) => {
                self.failed(Line::of_error(&error));
                return false;
            }
        };
        match uploader.wait(wait) {
            Ok(None) => {}
            Ok(Some(ChildEnd::Code(_))) => return true,
            Ok(Some(ChildEnd::Untold)) => {
                self.failed(Line::Started(uploader.process()));
                return false;
            }
            Err(_) => return false,
        }
        // A wait of zero cannot be in vain.
        if wait.is_zero() {
            return false;
        }
        let backoff = self.spool.backoff();
        let before = Backoff::read(&backoff);
        let after = Backoff::after_no_answer(before, SystemTime::now(), crate::ids::random_number());
        let _ = after.write(&backoff);
        // It may have cleared the file a moment before it was written.
        let has_delivered = matches!(uploader.wait(Duration::ZERO), Ok(Some(ChildEnd::Code(0))));
        if has_delivered {
            Backoff::clear(&backoff);
        }
        has_delivered
    }

    /// There is no uploader, and the next command would find none either.
    fn failed(&self, line: Line) {
        if let Ok(probe) = Probe::open(&self.spool.lock()) {
            probe.note(line);
        }
        let backoff = self.spool.backoff();
        let before = Backoff::read(&backoff);
        let after = Backoff::after_failure(before, None, SystemTime::now(), crate::ids::random_number());
        let _ = after.write(&backoff);
    }
}

/// Whether this program knows a way to the destination.
fn can_deliver(builder: &Builder, destination: &Destination) -> bool {
    #[cfg(feature = "sdk")]
    if destination.chosen_by == crate::destination::ChosenBy::Maker && builder.exporter.is_some() {
        return true;
    }
    let _ = (builder, destination);
    crate::upload::CAN_DELIVER
}

/// While nothing can be sent nobody holds the lock for long, and the limits must hold all the same.
pub(super) fn enforce_limits(builder: &Builder, spool: &SpoolDir) {
    match UploaderLock::try_take(&spool.lock()) {
        Ok(Some(_lock)) => {
            limits::enforce_in_passing(spool, &builder.limits, SystemTime::now());
            let _ = Counters::fold(spool, |_| {});
        }
        // Stopped, or in a container that is paused.
        Ok(None) if UploaderLock::is_older(&spool.lock(), 2 * builder.uploader_life) => {
            limits::enforce_against_frozen(spool, &builder.limits, SystemTime::now());
        }
        Ok(None) | Err(_) => {}
    }
}

/// This process is an uploader: works, and exits.
pub(super) fn run(builder: &Builder, purpose: Purpose) -> ! {
    let environment = Environment::process();
    platform::ignore_terminal();
    // Nobody waits for the others for long.
    if purpose == Purpose::Detached && environment.raw(crate::env::UPLOADER_COPIED).is_none() {
        platform::go_on_from_memory(crate::env::UPLOADER_COPIED);
    }
    platform::name_process(builder.name);
    // On a thread of its own, so that nothing that this process waits for can make it immortal.
    let life = builder.uploader_life;
    let is_awaited = environment.raw(crate::env::UPLOADER_TELLS).is_some();
    std::thread::spawn(move || {
        std::thread::sleep(life);
        if is_awaited {
            platform::tell_end(STILL_PENDING);
        }
        platform::exit_now(STILL_PENDING);
    });
    // Already done by the start where the platform can: keep no folder busy.
    let _ = std::env::set_current_dir("/");
    // On a thread of its own, whatever the tool's `main` has set up on this one: in an asynchronous runtime, as below
    // `#[tokio::main]`, no other may be started.
    let code = std::thread::scope(|scope| {
        let work = || upload(builder, Environment::process(), purpose);
        match std::thread::Builder::new().spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or(STILL_PENDING),
            // No more threads for this user.
            Err(_) => upload(builder, Environment::process(), purpose),
        }
    });
    if is_awaited {
        platform::tell_end(code);
    }
    // The runtime's threads are alive, and what the program has registered for its exit may rely on a `main` that ran.
    platform::exit_now(code)
}

/// Has a panic of this thread noted before the process ends, in a build that aborts at panics too. An author's own
/// exporter has a thread of its own, whose panic is an answer.
#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
fn note_panics(spool: &SpoolDir) {
    use std::sync::atomic::{AtomicBool, Ordering};

    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
    let (spool, uploader) = (spool.clone(), std::thread::current().id());
    std::panic::set_hook(Box::new(move |_| {
        if std::thread::current().id() == uploader {
            if !HAS_PANICKED.swap(true, Ordering::Relaxed) {
                crate::upload::drain::note_panic(&spool);
            }
            if std::env::var_os(crate::env::UPLOADER_TELLS).is_some() {
                platform::tell_end(STILL_PENDING);
            }
            platform::exit_now(STILL_PENDING);
        }
    }));
}

#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
fn upload(builder: &Builder, environment: Environment<'_>, purpose: Purpose) -> i32 {
    use crate::allowlist::Allowlist;
    use crate::destination::Found;
    use crate::survey::Survey;
    use crate::upload::drain::{End, Uploader};

    let survey = Survey::take(builder, environment);
    let (Found::Destination(destination), Some(places), Some(data_points)) =
        (&survey.found, &survey.places, builder.data_points)
    else {
        return STILL_PENDING;
    };
    // Started for a destination that is another one by now: a run goes only where it was to go.
    if environment.text(crate::env::UPLOADER).as_deref() != Some(&destination.folder()) {
        return STILL_PENDING;
    }
    let spool = SpoolDir::new(&places.state_home, builder.name, &destination.folder());
    match spool.check() {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return 0,
        Err(_) => return STILL_PENDING,
    }
    note_panics(&spool);
    // A policy that changed meanwhile is the next uploader's to apply.
    let may_send = || {
        let now = Survey::take(builder, Environment::process());
        now.decision.on
            && now.found == survey.found
            && now.policy.narrowed_to() == survey.policy.narrowed_to()
    };
    let uploader = Uploader {
        spool: &spool,
        allowlist: Allowlist::for_sending(data_points, destination.chosen_by, survey.policy.narrowed_to()),
        tool: builder.name,
        version: builder.version,
        limits: builder.limits,
        purpose,
        awaited_for: builder.wait_in_ci,
        starter: environment.text(crate::env::UPLOADER_STARTER).and_then(|process| process.parse().ok()),
        may_send: &may_send,
    };
    // The way is opened with the first batch: what people named may be slow to read, and then the lock says that one is
    // at work, or each command would start one more.
    let mut way = Unopened { open: || way_to(builder, destination), way: None };
    match uploader.work(&mut way, builder.uploader_life) {
        End::NothingLeft => 0,
        End::StillPending => STILL_PENDING,
    }
}

/// A way that is opened when something is to be sent.
#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
struct Unopened<F> {
    open: F,
    way: Option<Box<dyn crate::upload::answer::Deliver>>,
}

#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
impl<F: Fn() -> Option<Box<dyn crate::upload::answer::Deliver>>> crate::upload::answer::Deliver
    for Unopened<F>
{
    fn deliver(&mut self, batch: &crate::upload::answer::Batch<'_>) -> crate::upload::answer::Answer {
        use crate::upload::failure::{FailureKind, Setting, SettingFault};

        if self.way.is_none() {
            self.way = (self.open)();
        }
        match &mut self.way {
            Some(way) => way.deliver(batch),
            None => {
                let kind = FailureKind::Settings(Setting::Protocol, SettingFault::NotBuilt);
                crate::upload::answer::retry(kind)
            }
        }
    }
}

/// What reaches the destination: the author's own exporter only for the author's own endpoint.
#[cfg(any(feature = "http", feature = "grpc", feature = "sdk"))]
fn way_to(builder: &Builder, destination: &Destination) -> Option<Box<dyn crate::upload::answer::Deliver>> {
    #[cfg(feature = "sdk")]
    if destination.chosen_by == crate::destination::ChosenBy::Maker
        && let Some(factory) = &builder.exporter
    {
        return Some(Box::new(crate::sdk::ToExporter::open(factory)));
    }
    #[cfg(any(feature = "http", feature = "grpc"))]
    {
        let _ = builder;
        Some(Box::new(crate::upload::transport::Transport::to(destination)))
    }
    #[cfg(not(any(feature = "http", feature = "grpc")))]
    None
}

#[cfg(not(any(feature = "http", feature = "grpc", feature = "sdk")))]
fn upload(_builder: &Builder, _environment: Environment<'_>, _purpose: Purpose) -> i32 {
    STILL_PENDING
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use std::path::Path;

    use super::*;

    /// The hook is the process's, so this is another one.
    #[test]
    fn a_panic_of_the_uploader_is_a_failure_that_waits_and_is_shown() {
        const FOLDER: &str = "TOOL_TELEMETRY_TEST_FOLDER";
        let spool = |home: &Path| SpoolDir::new(home, "weave", "maker");
        if let Some(home) = std::env::var_os(FOLDER) {
            note_panics(&spool(Path::new(&home)));
            panic!("a fault of ours");
        }
        let home = tempfile::tempdir().expect("a folder");
        let spool = spool(home.path());
        spool.create().expect("folders");
        let name =
            "telemetry::uploading::tests::a_panic_of_the_uploader_is_a_failure_that_waits_and_is_shown";
        let this = std::env::current_exe().expect("this test's program");
        let child =
            std::process::Command::new(this).args(["--exact", name]).env(FOLDER, home.path()).output();
        assert_eq!(child.expect("another process").status.code(), Some(STILL_PENDING));
        assert!(Backoff::read(&spool.backoff()).is_some_and(|it| it.remaining(SystemTime::now()).is_some()));
        let (counters, _) = Counters::look(&spool).expect("counters");
        assert_eq!(counters.last_failure.expect("a failure").0, "panic");
    }
}
