//! The uploader's process, from its start to its exit.

use super::delivery::Transport;
use super::launch::UploadMode;
use crate::consent::destination::Destination;
use crate::env::Environment;
use crate::model::chosen_by::ChosenBy;
use crate::model::settings::Settings;
use crate::platform;
use crate::spool::directory::SpoolDirectory;

/// An uploader's exit code when runs are still pending.
pub(crate) const STILL_PENDING: i32 = 3;

/// Opens the author's own exporter, if there is one.
pub(crate) type OpenExporter<'a> = Option<&'a (dyn Fn() -> Box<dyn Transport> + Sync)>;

/// This process is an uploader: works, and exits.
pub(crate) fn run(settings: &Settings, open_exporter: OpenExporter<'_>, mode: UploadMode) -> ! {
    let environment = Environment::process();
    platform::ignore_terminal_signals();
    // Nobody waits for the others for long.
    if mode == UploadMode::Detached && environment.raw(crate::env::UPLOADER_COPIED).is_none() {
        platform::re_exec_from_memory(crate::env::UPLOADER_COPIED);
    }
    platform::name_process(settings.name);
    // On a thread of its own, so that nothing that this process waits for can make it immortal.
    let life = settings.uploader_life;
    let is_awaited = environment.raw(crate::env::UPLOADER_TELLS).is_some();
    std::thread::spawn(move || {
        std::thread::sleep(life);
        if is_awaited {
            platform::report_exit(STILL_PENDING);
        }
        platform::exit_immediately(STILL_PENDING);
    });
    // Already done by the start where the platform can: keep no folder busy.
    let _ = std::env::set_current_dir("/");
    // On a thread of its own, whatever the tool's `main` has set up on this one: in an asynchronous runtime, as below
    // `#[tokio::main]`, no other may be started.
    let code = std::thread::scope(|scope| {
        let work = || upload(settings, open_exporter, Environment::process(), mode);
        match std::thread::Builder::new().spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or(STILL_PENDING),
            // No more threads for this user.
            Err(_) => upload(settings, open_exporter, Environment::process(), mode),
        }
    });
    if is_awaited {
        platform::report_exit(code);
    }
    // The runtime's threads are alive, and what the program has registered for its exit may rely on a `main` that ran.
    platform::exit_immediately(code)
}

/// Has a panic of this thread noted before the process ends, in a build that aborts at panics too. An author's own
/// exporter has a thread of its own, whose panic is an answer.
fn note_panics(spool: &SpoolDirectory) {
    use std::sync::atomic::{AtomicBool, Ordering};

    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
    let (spool, uploader) = (spool.clone(), std::thread::current().id());
    std::panic::set_hook(Box::new(move |_| {
        if std::thread::current().id() == uploader {
            if !HAS_PANICKED.swap(true, Ordering::Relaxed) {
                crate::upload::uploader::note_panic(&spool);
            }
            if std::env::var_os(crate::env::UPLOADER_TELLS).is_some() {
                platform::report_exit(STILL_PENDING);
            }
            platform::exit_immediately(STILL_PENDING);
        }
    }));
}

fn upload(
    settings: &Settings,
    open_exporter: OpenExporter<'_>,
    environment: Environment<'_>,
    mode: UploadMode,
) -> i32 {
    use crate::consent::preflight::Preflight;
    use crate::model::allowlist::Allowlist;
    use crate::upload::uploader::{Uploader, UploaderExit};

    let preflight = Preflight::run(settings, environment);
    let (Some(destination), Some(paths), Some(data_points)) =
        (preflight.destination(), &preflight.paths, settings.data_points)
    else {
        return STILL_PENDING;
    };
    // Started for a destination that is another one by now: a run goes only where it was to go.
    if environment.text(crate::env::UPLOADER).as_deref() != Some(&destination.directory_name()) {
        return STILL_PENDING;
    }
    let spool = SpoolDirectory::new(&paths.state_home, settings.name, &destination.directory_name());
    match spool.check() {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return 0,
        Err(_) => return STILL_PENDING,
    }
    note_panics(&spool);
    // A policy that changed meanwhile is the next uploader's to apply.
    let may_send = || {
        let now = Preflight::run(settings, Environment::process());
        now.decision.is_on
            && now.destination == preflight.destination
            && now.policy.narrowed_to() == preflight.policy.narrowed_to()
    };
    let uploader = Uploader {
        spool: &spool,
        allowlist: Allowlist::for_sending(data_points, destination.chosen_by, preflight.policy.narrowed_to()),
        tool: settings.name,
        version: settings.version,
        limits: settings.limits,
        mode,
        awaited_for: settings.ci_wait,
        starter: environment.text(crate::env::UPLOADER_STARTER).and_then(|process| process.parse().ok()),
        may_send: &may_send,
    };
    // The way is opened with the first batch: what people named may be slow to read, and then the lock says that one is
    // at work, or each command would start one more.
    let mut way = LazyTransport { open: || open_transport(open_exporter, destination), way: None };
    match uploader.work(&mut way, settings.uploader_life) {
        UploaderExit::NothingLeft => 0,
        UploaderExit::StillPending => STILL_PENDING,
    }
}

/// A way that is opened when something is to be sent.
struct LazyTransport<F> {
    open: F,
    way: Option<Box<dyn Transport>>,
}

impl<F: Fn() -> Option<Box<dyn Transport>>> super::delivery::Transport for LazyTransport<F> {
    fn deliver(&mut self, batch: &super::delivery::Batch<'_>) -> super::delivery::DeliveryOutcome {
        use crate::upload::failure::{FailureKind, Setting, SettingFault};

        if self.way.is_none() {
            self.way = (self.open)();
        }
        match &mut self.way {
            Some(way) => way.deliver(batch),
            None => {
                let kind = FailureKind::Settings(Setting::Protocol, SettingFault::NotBuilt);
                super::delivery::DeliveryOutcome::retry(kind)
            }
        }
    }
}

/// Opens the transport to the destination. The author's own exporter serves only the author's own endpoint.
fn open_transport(open_exporter: OpenExporter<'_>, destination: &Destination) -> Option<Box<dyn Transport>> {
    if let (ChosenBy::Maker, Some(open_exporter)) = (destination.chosen_by, open_exporter) {
        return Some(open_exporter());
    }
    #[cfg(any(feature = "http", feature = "grpc"))]
    return Some(Box::new(super::transport::OtlpTransport::to(destination)));
    #[cfg(not(any(feature = "http", feature = "grpc")))]
    None
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use std::path::Path;

    use std::time::SystemTime;

    use super::*;
    use crate::spool::backoff::Backoff;
    use crate::spool::counters::Counters;

    /// The hook is the process's, so this is another one.
    #[test]
    fn a_panic_of_the_uploader_is_a_failure_that_waits_and_is_shown() {
        const FOLDER: &str = "TOOL_TELEMETRY_TEST_FOLDER";
        let spool = |home: &Path| SpoolDirectory::new(home, "weave", "maker");
        if let Some(home) = std::env::var_os(FOLDER) {
            note_panics(&spool(Path::new(&home)));
            panic!("a fault of ours");
        }
        let home = tempfile::tempdir().expect("a folder");
        let spool = spool(home.path());
        spool.create().expect("folders");
        let name = "upload::process::tests::a_panic_of_the_uploader_is_a_failure_that_waits_and_is_shown";
        let this = std::env::current_exe().expect("this test's program");
        let child =
            std::process::Command::new(this).args(["--exact", name]).env(FOLDER, home.path()).output();
        assert_eq!(child.expect("another process").status.code(), Some(STILL_PENDING));
        assert!(Backoff::read(&spool.backoff()).is_some_and(|it| it.remaining(SystemTime::now()).is_some()));
        let (counters, _) = Counters::read(&spool).expect("counters");
        assert_eq!(counters.last_failure.expect("a failure").0, "panic");
    }
}
