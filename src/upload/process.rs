//! The uploader's process, from its start to its exit code.

use super::delivery::Transport;
use super::launch::UploadMode;
use crate::consent::destination::Destination;
use crate::env::Environment;
use crate::model::chooser::Chooser;
use crate::model::settings::Settings;
use crate::platform;
use crate::spool::directory::SpoolDirectory;

/// An uploader's exit code when runs are still pending.
pub(crate) const STILL_PENDING: i32 = 3;

/// Opens the author's own exporter, if there is one.
pub(crate) type ExporterOpener<'a> = Option<&'a (dyn Fn() -> Box<dyn Transport> + Sync)>;

/// Runs this process as an uploader, and exits.
pub(crate) fn run(settings: &Settings, open_exporter: ExporterOpener<'_>, mode: UploadMode) -> ! {
    let environment = Environment::process();
    platform::ignore_terminal_signals();
    // Other modes end soon.
    if mode == UploadMode::Detached && environment.raw(crate::env::UPLOADER_COPIED).is_none() {
        platform::re_exec_from_memory(crate::env::UPLOADER_COPIED);
    }
    platform::name_process(settings.name);
    // On its own thread, so that no blocking call can keep the process alive past its limit.
    let life = settings.uploader_life;
    let is_awaited = environment.raw(crate::env::UPLOADER_AWAITED).is_some();
    std::thread::spawn(move || {
        std::thread::sleep(life);
        if is_awaited {
            platform::report_exit(STILL_PENDING);
        }
        platform::exit_immediately(STILL_PENDING);
    });
    // Keeps no directory busy. On most platforms the start has done this already.
    let _ = std::env::set_current_dir("/");
    // On its own thread, because the tool's `main` may run inside an asynchronous runtime (`#[tokio::main]`), in which
    // no other runtime can be started.
    let code = std::thread::scope(|scope| {
        let work = || upload(settings, open_exporter, Environment::process(), mode);
        match std::thread::Builder::new().spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or(STILL_PENDING),
            // The user's limit of threads is reached.
            Err(_) => upload(settings, open_exporter, Environment::process(), mode),
        }
    });
    if is_awaited {
        platform::report_exit(code);
    }
    // Skips the program's exit handlers, which may rely on a `main` that has run.
    platform::exit_immediately(code)
}

/// Records a panic of this thread before the process ends, also in a build that aborts on panics. An author's exporter
/// runs on its own thread, and its panic is a failed delivery.
fn note_panics(spool: &SpoolDirectory) {
    use std::sync::atomic::{AtomicBool, Ordering};

    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
    let (spool, uploader) = (spool.clone(), std::thread::current().id());
    std::panic::set_hook(Box::new(move |_| {
        if std::thread::current().id() == uploader {
            if !HAS_PANICKED.swap(true, Ordering::Relaxed) {
                crate::upload::uploader::note_panic(&spool);
            }
            if std::env::var_os(crate::env::UPLOADER_AWAITED).is_some() {
                platform::report_exit(STILL_PENDING);
            }
            platform::exit_immediately(STILL_PENDING);
        }
    }));
}

fn upload(
    settings: &Settings,
    open_exporter: ExporterOpener<'_>,
    environment: Environment<'_>,
    mode: UploadMode,
) -> i32 {
    use crate::consent::preflight::Preflight;
    use std::time::SystemTime;

    use crate::model::allowlist::Allowlist;
    use crate::upload::counts::InstallationCounter;
    use crate::upload::uploader::{CountingRole, Uploader, UploaderExit};

    let preflight = Preflight::run(settings, environment);
    let (Some(destination), Some(paths), Some(data_points)) =
        (preflight.destination(), &preflight.paths, settings.data_points)
    else {
        return STILL_PENDING;
    };
    // The destination has changed since the start. A run may go only to the destination it was recorded for.
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
    // If the policy changes while this uploader works, it stops, and the next one applies the new policy.
    let may_send = || {
        let now = Preflight::run(settings, Environment::process());
        now.decision.is_on
            && now.destination == preflight.destination
            && now.policy.narrowed_to() == preflight.policy.narrowed_to()
    };
    let counting = InstallationCounter::new(&spool, data_points, SystemTime::now)
        .filter(|_| destination.chosen_by == Chooser::Maker);
    let is_in_container =
        || platform::is_container(&platform::ContainerSigns::read(environment.is_in_container()));
    let counting = match counting {
        None => CountingRole::None,
        Some(_) if is_in_container() => CountingRole::Withdraw,
        Some(_) if environment.raw(crate::env::UPLOADER_UNCOUNTED).is_some() => CountingRole::None,
        Some(counting) => CountingRole::Count(counting),
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
        counting,
        may_send: &may_send,
    };
    // The transport is opened with the first batch, when the lock is held. The user's files may be slow to read, and without
    // the lock each command would start another uploader in the meantime.
    let mut transport =
        LazyTransport { open: || open_transport(open_exporter, destination), transport: None };
    match uploader.work(&mut transport, settings.uploader_life) {
        UploaderExit::NothingLeft => 0,
        UploaderExit::StillPending => STILL_PENDING,
    }
}

/// A transport that is opened with the first batch.
struct LazyTransport<F> {
    open: F,
    transport: Option<Box<dyn Transport>>,
}

impl<F: Fn() -> Option<Box<dyn Transport>>> super::delivery::Transport for LazyTransport<F> {
    fn deliver(&mut self, batch: &super::delivery::Batch<'_>) -> super::delivery::DeliveryOutcome {
        use crate::upload::failure::{FailureKind, Setting, SettingError};

        if self.transport.is_none() {
            self.transport = (self.open)();
        }
        match &mut self.transport {
            Some(transport) => transport.deliver(batch),
            None => {
                let kind = FailureKind::Settings(Setting::Protocol, SettingError::NotBuilt);
                super::delivery::DeliveryOutcome::retry(kind)
            }
        }
    }

    fn disconnect(&mut self) {
        self.transport = None;
    }

    fn receiver_time(&self) -> Option<std::time::SystemTime> {
        self.transport.as_ref()?.receiver_time()
    }
}

/// Opens the transport to the destination. The author's exporter serves only the author's own endpoint.
fn open_transport(
    open_exporter: ExporterOpener<'_>,
    destination: &Destination,
) -> Option<Box<dyn Transport>> {
    if let (Chooser::Maker, Some(open_exporter)) = (destination.chosen_by, open_exporter) {
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

    /// Runs in another process, because the panic hook is global.
    #[test]
    fn a_panic_of_the_uploader_is_recorded_with_a_backoff() {
        const DIRECTORY: &str = "TOOL_TELEMETRY_TEST_DIRECTORY";
        let spool = |home: &Path| SpoolDirectory::new(home, "weave", "maker");
        if let Some(home) = std::env::var_os(DIRECTORY) {
            note_panics(&spool(Path::new(&home)));
            panic!("an error of ours");
        }
        let home = tempfile::tempdir().expect("a directory");
        let spool = spool(home.path());
        spool.create().expect("directories");
        let name = "upload::process::tests::a_panic_of_the_uploader_is_recorded_with_a_backoff";
        let this = std::env::current_exe().expect("this test's program");
        let child =
            std::process::Command::new(this).args(["--exact", name]).env(DIRECTORY, home.path()).output();
        assert_eq!(child.expect("another process").status.code(), Some(STILL_PENDING));
        assert!(Backoff::read(&spool.backoff()).is_some_and(|it| it.remaining(SystemTime::now()).is_some()));
        let (counters, _) = Counters::read(&spool).expect("counters");
        assert_eq!(counters.last_failure.expect("a failure").0, "panic");
    }
}
