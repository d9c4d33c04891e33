//! Clocks that jump change no duration, and runs with implausible times expire.

use std::fs;
use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::Receiver;

use crate::test_user::TestUser;
#[cfg(target_os = "linux")]
use crate::test_user::compile_shim;

#[test]
fn runs_too_far_in_the_past_or_future_expire() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    let times = [now - 29 * day, now + 29 * day, now - 27 * day, now + 27 * day, now];
    for time in times {
        let before = user.pending_runs();
        assert!(user.run_frob(["build"]).status.success());
        let new = user.pending_runs().into_iter().find(|path| !before.contains(path)).expect("a run");
        fs::File::options().write(true).open(new).and_then(|file| file.set_modified(time)).expect("its time");
    }
    assert!(user.flush());
    assert_eq!((user.count("delivered"), user.dropped("limit_age"), user.count("pending")), (3, 2, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_clock_set_back_changes_no_duration() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let shim = compile_shim(&user, "clock_goes_back.c");
    let began = SystemTime::now();
    let output = user.frob_command(["build", "--spans", "20"]).env("LD_PRELOAD", &shim).output();
    assert!(output.expect("it runs").status.success());
    user.flush();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 41);
    let nanoseconds =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let (earliest, latest) = (nanoseconds(began), nanoseconds(SystemTime::now()));
    for span in &spans {
        let (start, end) = (span.start_unix_nano(), span.end_unix_nano());
        assert!(earliest <= start && start <= end && end <= latest, "{start} to {end}");
    }
}
