//! How exact the times are that a destination receives.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tool_telemetry_receiver::{Receiver, Span};

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually};

const HOUR: u64 = 60 * 60 * 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_nanos() as u64
}

fn user_of_author(endpoint: &str) -> TestUser {
    let user = TestUser::new().with_tool_setting("FROB_AUTHOR_ENDPOINT", &format!("{endpoint}/v1/traces"));
    assert!(user.run_frob(["telemetry", "on"]).status.success());
    user
}

fn times(spans: &[Span]) -> Vec<u64> {
    spans.iter().flat_map(|span| [span.start_unix_nano(), span.end_unix_nano()]).collect()
}

#[test]
fn the_author_receives_the_hour_and_milliseconds() {
    let receiver = Receiver::start().expect("a receiver");
    let user = user_of_author(&receiver.http_endpoint());
    let held = user.home().join("held");
    fs::write(&held, "").expect("a file");
    let before = now();
    let mut running =
        user.frob_command(["build", "--hold", "held"]).stdout(Stdio::null()).spawn().expect("it starts");
    eventually("it writes", || !user.pending_runs().is_empty());
    // The run is at least this long.
    let started = Instant::now();
    eventually("some time passes", || started.elapsed() > Duration::from_millis(30));
    fs::remove_file(&held).expect("it is there");
    assert!(running.wait().expect("it ends").success());
    let after = now();

    let traces = receiver.wait_for(1, TIMEOUT).expect("a run");
    let root = traces[0].root();
    let start = root.start_unix_nano();
    assert_eq!(start % HOUR, 0);
    assert!((before - before % HOUR..=after).contains(&start), "{start}");
    assert!(root.duration() >= Duration::from_millis(29), "{:?}", root.duration());
    assert!(root.duration() <= Duration::from_nanos(after - before) + Duration::from_millis(1));
    for time in times(&receiver.spans()) {
        assert_eq!(time % MILLISECOND, 0);
        assert!((start..=root.end_unix_nano()).contains(&time), "within its run: {time}");
    }
}

#[test]
fn an_operator_and_an_author_who_asks_for_it_receive_nanoseconds() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let users = [
        TestUser::sending_to(&endpoint),
        user_of_author(&endpoint).with_tool_setting("FROB_EXACT_TIMES", "1"),
    ];
    for (number, user) in users.iter().enumerate() {
        let before = now();
        assert!(user.run_frob(["build", "--spans", "5"]).status.success());
        let after = now();
        let traces = receiver.wait_for(number + 1, TIMEOUT).expect("a run");
        let root = traces.last().expect("a run").root();
        assert!((before..=after).contains(&root.start_unix_nano()), "{number}");
        let spans: Vec<Span> = receiver.spans();
        let own = spans.iter().filter(|span| span.trace_id() == root.trace_id()).cloned().collect::<Vec<_>>();
        assert!(times(&own).iter().any(|time| time % MILLISECOND != 0), "{number}");
    }
}

/// The start of each span in a run file.
fn starts_on_disk(user: &TestUser) -> Vec<u64> {
    let text: String =
        user.pending_runs().iter().map(|run| fs::read_to_string(run).expect("a run")).collect();
    let after = text.split("\"startTimeUnixNano\":\"").skip(1);
    after.map(|rest| rest.split('"').next().expect("a time").parse().expect("a number")).collect()
}

#[test]
fn exact_times_for_the_author_never_reach_the_disk() {
    let user = user_of_author(DEAD_ENDPOINT);
    assert!(user.run_frob(["build"]).status.success());
    let starts = starts_on_disk(&user);
    assert!(starts.len() > 2 && starts[0].is_multiple_of(HOUR), "{starts:?}");
    assert!(starts.iter().all(|start| start % MILLISECOND == 0), "{starts:?}");
}

#[test]
fn a_run_recorded_with_exact_times_is_sent_and_shown_with_coarse_ones() {
    let receiver = Receiver::start().expect("a receiver");
    let user = user_of_author(&receiver.http_endpoint());
    let held = user.home().join("held");
    fs::write(&held, "").expect("a file");
    // The uploader does not see the variable, like that of a later version of the tool.
    let mut running = user
        .frob_command(["build", "--hold", "held"])
        .env("FROB_EXACT_TIMES", "1")
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    eventually("it writes", || starts_on_disk(&user).len() > 2);
    assert!(starts_on_disk(&user).iter().any(|start| start % MILLISECOND != 0));
    fs::remove_file(&held).expect("it is there");
    assert!(running.wait().expect("it ends").success());
    let traces = receiver.wait_for(1, TIMEOUT).expect("a run");
    let start = traces[0].root().start_unix_nano();
    assert_eq!(start % HOUR, 0);
    assert!(times(&receiver.spans()).iter().all(|time| time % MILLISECOND == 0));
    eventually("it is delivered", || user.pending_runs().is_empty());
    let shown = String::from_utf8(user.run_frob(["telemetry", "show", "--json"]).stdout).expect("text");
    assert!(shown.contains(&format!("\"startTimeUnixNano\":\"{start}\"")), "{shown}");
}
