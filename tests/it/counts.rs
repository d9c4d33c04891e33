//! Counts of installations: what is counted, when, and how a count travels.

use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::{Answer, Receiver, Span, Value};

use crate::counting_user::{CountingUser, DAY, HOUR, MONDAY, WEEK, cells, counts};
use crate::test_user::TestUser;

/// A receiver that tells no time, because the clock of these tests is not its own.
fn receiver() -> (Receiver, String) {
    let receiver = Receiver::start().expect("a receiver");
    receiver.set_date(None);
    let endpoint = receiver.http_endpoint();
    (receiver, endpoint)
}

/// The cells of one table in a week.
fn of_table(receiver: &Receiver, week: u64, table: &[&str]) -> Vec<String> {
    let has_keys = |cell: &str| {
        let keys: Vec<&str> = cell.split(' ').filter_map(|part| part.split('=').next()).collect();
        keys == table
    };
    cells(receiver)
        .into_keys()
        .filter(|(of, cell)| *of == week && has_keys(cell))
        .map(|(_, cell)| cell)
        .collect()
}

#[test]
fn a_new_installation_counts_each_cell_once_a_week_from_the_next_week_on() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint);
    // The state is created.
    user.run_at(MONDAY + 2 * DAY, &["build"]);
    user.run_at(MONDAY + 6 * DAY, &["build"]);
    assert_eq!(cells(&receiver), [].into());
    for day in 0..6 {
        user.run_at(MONDAY + WEEK + day * DAY, &["build"]);
        user.run_at(MONDAY + WEEK + day * DAY + HOUR, &["build", "--end", "return=3"]);
    }
    let expected = [
        "error.type=_OTHER frob.command=build",
        "frob.command=build",
        "process.exit.code=\"0\"",
        "process.exit.code=\"3\"",
        "service.version=1.0.0",
    ];
    let expected = expected.map(|cell| ((1, cell.to_owned()), 1)).into();
    assert_eq!(cells(&receiver), expected);
    user.run_at(MONDAY + 2 * WEEK, &["build"]);
    user.run_at(MONDAY + 2 * WEEK + 3 * DAY, &["build"]);
    assert_eq!(of_table(&receiver, 2, &["frob.command"]), ["frob.command=build"]);
}

#[test]
fn a_count_has_only_its_cell_and_a_request_and_a_connection_of_its_own() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint);
    user.run_at(MONDAY, &["build"]);
    user.run_at(MONDAY + WEEK, &["build"]);
    assert!(counts(&receiver).is_empty(), "none leaves in the pass of its run");
    user.run_at(MONDAY + WEEK + 4 * DAY, &["build"]);
    let counts = counts(&receiver);
    assert_eq!(counts.len(), 3);
    for count in &counts {
        let monday = (MONDAY + WEEK) * 1_000_000_000;
        assert_eq!((count.start_unix_nano(), count.end_unix_nano()), (monday, monday));
        assert_eq!((count.parent_span_id(), count.flags()), (None, 0x101));
        let resource: Vec<_> = count.resource_attributes().iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(sorted(resource), ["service.name", "tool_telemetry.data_points"]);
        assert_eq!(count.resource_attribute("service.name"), Some(&Value::from("frob")));
        assert_eq!((count.scope_name(), count.scope_version()), ("tool-telemetry", ""));
    }
    let spans = receiver.spans();
    let has_trace = |id: &str| spans.iter().filter(|span| span.trace_id() == id).count();
    assert!(counts.iter().all(|count| has_trace(count.trace_id()) == 1));
    for request in receiver.requests() {
        let of_counts = request.spans().iter().filter(|span| span.is_count()).count();
        assert!(of_counts == 0 || request.spans().len() == 1, "{:?}", request.spans());
    }
    // Three passes with runs, and three counts.
    assert_eq!(receiver.connections(), 6);
    assert_eq!((receiver.violations(), receiver.outside_contract()), (vec![], vec![]));
}

fn sorted(mut texts: Vec<&str>) -> Vec<&str> {
    texts.sort_unstable();
    texts
}

#[test]
fn a_table_counts_at_most_what_it_says_and_an_update_does_not_begin_again() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint);
    user.run_at(MONDAY, &["build"]);
    let tuesday = MONDAY + WEEK + DAY;
    for command in ["build", "test", "run", "clean"] {
        user.run_at(tuesday, &[command]);
    }
    // The next release counts one command more, and three cells less together than were counted already.
    let user = user.with_tool_setting("FROB_COUNTS", "2");
    for command in ["build", "test", "run", "clean"] {
        user.run_at(tuesday + DAY, &[command]);
    }
    user.run_at(tuesday + 4 * DAY, &["build"]);
    assert_eq!(of_table(&receiver, 1, &["frob.command"]), ["frob.command=build", "frob.command=test"]);
    assert_eq!(of_table(&receiver, 1, &["frob.color"]), [""; 0]);
    let next = MONDAY + 2 * WEEK;
    for command in ["build", "test", "run", "clean"] {
        user.run_at(next, &[command]);
    }
    user.run_at(next + 4 * DAY, &["build"]);
    assert_eq!(of_table(&receiver, 2, &["frob.command"]).len(), 3);
    assert_eq!(of_table(&receiver, 2, &["frob.color"]), ["frob.color=auto"]);
}

#[test]
fn a_crossing_has_the_runs_attributes_and_those_of_one_span() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint);
    user.run_at(MONDAY, &["build"]);
    user.set_clock(MONDAY + WEEK);
    let run = user.user.frob_command(["build"]).env("FROB_CACHED", "1").status();
    assert!(run.expect("it runs").success() && user.user.flush());
    user.run_at(MONDAY + WEEK + 3 * DAY, &["test"]);
    let crossed = of_table(&receiver, 1, &["frob.cached", "frob.command"]);
    assert_eq!(crossed, ["frob.cached=true frob.command=build"]);
}

#[test]
fn nothing_is_counted_in_ci_in_a_container_for_an_operator_or_without_a_table() {
    let (receiver, endpoint) = receiver();
    let weeks = |user: &CountingUser| {
        for week in 0..3 {
            user.run_at(MONDAY + week * WEEK, &["build"]);
        }
        assert!(!user.state().exists());
    };
    weeks(&CountingUser::new(&endpoint).with("CI", "1").with_tool_setting("FROB_CI_INCLUDES_MAKER", "1"));
    weeks(&CountingUser::new(&endpoint).with("KUBERNETES_SERVICE_HOST", "10.0.0.1"));
    let container = CountingUser::new(&endpoint);
    std::fs::write(container.user.home().join(".container"), "").expect("a file");
    weeks(&container);
    weeks(&CountingUser::of_tool(&endpoint, "FROB_OTHER", "1"));
    assert_eq!(receiver.traces().len(), 12, "the runs arrive");
    assert!(counts(&receiver).is_empty());
    let operator = TestUser::sending_to(&endpoint).with_tool_setting("FROB_COUNTS", "1");
    assert!(operator.run_frob(["build"]).status.success() && operator.flush());
    assert!(!operator.files().iter().any(|path| path.ends_with("counts.jsonl")));
}

/// Runs a command at this time that leaves its run pending.
fn leave_run(user: &CountingUser, time: u64, variables: &[(&str, &str)]) {
    user.set_clock(time);
    user.back_off(time);
    let mut command = user.user.frob_command(["test"]);
    command.envs(variables.iter().copied());
    assert!(command.output().expect("it runs").status.success());
    assert_eq!(user.user.pending_runs().len(), 1);
}

#[test]
fn a_run_of_a_ci_job_or_a_container_is_not_counted_by_a_later_uploader_elsewhere() {
    let no_variables: &[(&str, &str)] = &[];
    for (variables, has_marker, is_counted) in [
        (no_variables, false, true),
        (&[("CI", "true")], false, false),
        (&[("GITHUB_ACTIONS", "true")], false, false),
        (&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")], false, false),
        (&[("container", "podman")], false, false),
        (no_variables, true, false),
    ] {
        let (receiver, endpoint) = receiver();
        let user = CountingUser::new(&endpoint).with_tool_setting("FROB_CI_INCLUDES_MAKER", "1");
        user.run_at(MONDAY, &["build"]);
        let marker = user.user.home().join(".container");
        if has_marker {
            std::fs::write(&marker, "").expect("a file");
        }
        leave_run(&user, MONDAY + WEEK, variables);
        if has_marker {
            // An uploader in the container finds the run, but the receiver is busy.
            receiver.answer_next([Answer::status(503)]);
            user.uploader_command().output().expect("it runs");
            assert_eq!(user.user.pending_runs().len(), 1);
            std::fs::remove_file(marker).expect("it is there");
        }
        user.run_at(MONDAY + WEEK + DAY, &["build"]);
        user.run_at(MONDAY + WEEK + 5 * DAY, &["build"]);
        let counted = of_table(&receiver, 1, &["frob.command"]);
        let expected: &[&str] =
            if is_counted { &["frob.command=build", "frob.command=test"] } else { &["frob.command=build"] };
        assert_eq!(counted, expected, "{variables:?} {has_marker}");
        assert_eq!(receiver.traces().iter().filter(|trace| trace.tree().contains("frob test")).count(), 1);
        let sent = receiver.requests();
        let text = format!("{sent:?}");
        assert!(!text.contains("-c.jsonl") && !text.contains("podman"), "nothing of it is sent");
    }
}

fn time(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[test]
fn a_week_that_has_not_begun_by_the_receivers_clock_is_not_counted() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint);
    let run_at = |local: u64, true_time: u64, command: &str| {
        receiver.set_date(time(true_time));
        user.run_at(local, &[command]);
    };
    run_at(MONDAY, MONDAY, "build");
    run_at(MONDAY + WEEK, MONDAY + WEEK, "build");
    // The clock runs nine weeks ahead.
    run_at(MONDAY + 10 * WEEK, MONDAY + WEEK + DAY, "build");
    run_at(MONDAY + 10 * WEEK + 6 * DAY, MONDAY + 2 * WEEK, "build");
    assert_eq!(of_table(&receiver, 10, &["frob.command"]), [""; 0]);
    // Everything is deleted, and the clock is set.
    std::fs::remove_dir_all(user.spool()).expect("it is there");
    for week in 3..12 {
        run_at(MONDAY + week * WEEK, MONDAY + week * WEEK, "build");
    }
    let counted: Vec<u64> = cells(&receiver)
        .into_iter()
        .filter(|((_, cell), _)| cell == "frob.command=build")
        .map(|((week, _), counts)| {
            assert_eq!(counts, 1);
            week
        })
        .collect();
    assert_eq!(counted, [4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_state_that_is_lost_after_the_clock_ran_ahead_counts_no_week_twice() {
    type Loss = fn(&CountingUser);
    let delete: Loss = |user| std::fs::remove_file(user.state()).expect("it is there");
    let damage: Loss = |user| std::fs::write(user.state(), "{}\n").expect("it is there");
    let off: Loss = |user| {
        user.user.run_frob(["telemetry", "off"]);
        user.user.run_frob(["telemetry", "on"]);
    };
    let purge: Loss = |user| drop(user.user.run_frob(["telemetry", "purge"]));
    for (number, lose) in [delete, damage, off, purge].into_iter().enumerate() {
        let (receiver, endpoint) = receiver();
        let user = CountingUser::new(&endpoint);
        for time in [0, WEEK, 10 * WEEK, 10 * WEEK + 4 * DAY] {
            user.run_at(MONDAY + time, &["build"]);
        }
        assert_eq!(cells(&receiver).get(&(10, "frob.command=build".to_owned())), Some(&1), "{number}");
        // The clock is set, and a run is delivered before the state is lost.
        user.run_at(MONDAY + 2 * WEEK, &["build"]);
        lose(&user);
        for week in 3..14 {
            user.run_at(MONDAY + week * WEEK, &["build"]);
        }
        assert!(cells(&receiver).values().all(|counts| *counts == 1), "{number}: {:?}", cells(&receiver));
        assert_eq!(of_table(&receiver, 11, &["frob.command"]), ["frob.command=build"], "{number}");
    }
}

#[test]
fn off_and_purge_delete_the_state_and_what_waits() {
    for word in ["off", "purge"] {
        let (receiver, endpoint) = receiver();
        let user = CountingUser::new(&endpoint);
        user.run_at(MONDAY, &["build"]);
        user.run_at(MONDAY + WEEK, &["build"]);
        assert!(std::fs::read_to_string(user.state()).expect("a file").contains("\"trace\""));
        user.user.run_frob(["telemetry", word]);
        assert!(!user.state().exists(), "{word}");
        user.user.run_frob(["telemetry", "on"]);
        // It begins again, with the next week.
        user.run_at(MONDAY + WEEK + 3 * DAY, &["test"]);
        user.run_at(MONDAY + WEEK + 6 * DAY, &["test"]);
        assert!(counts(&receiver).is_empty(), "{word}");
        user.run_at(MONDAY + 2 * WEEK, &["test"]);
        user.run_at(MONDAY + 2 * WEEK + 3 * DAY, &["test"]);
        assert_eq!(of_table(&receiver, 2, &["frob.command"]), ["frob.command=test"], "{word}");
    }
}

#[test]
fn waiting_counts_are_shown_as_they_are_sent() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint);
    let telemetry = |arguments: &[&str]| {
        let output = user.user.run_frob(["telemetry"].iter().chain(arguments));
        String::from_utf8(output.stdout).expect("text")
    };
    user.run_at(MONDAY, &["build"]);
    let status = telemetry(&["status"]);
    let line = "  counts     0 in this period, 0 waiting; the next begins Mon, 14 Dec 2026 00:00:00 GMT\n";
    assert!(status.contains(line), "{status}");
    user.run_at(MONDAY + WEEK, &["build"]);
    let status = telemetry(&["status"]);
    let line = "  counts     3 in this period, 3 waiting; the next begins Mon, 21 Dec 2026 00:00:00 GMT\n";
    assert!(status.contains(line), "{status}");
    let json: serde_json::Value = serde_json::from_str(&telemetry(&["status", "--json"])).expect("JSON");
    let counts = &json["destinations"][0]["counts"];
    let next_week = MONDAY + 2 * WEEK;
    assert_eq!(
        *counts,
        serde_json::json!({ "counted": 3, "waiting": 3, "lost": 0, "next_period": next_week })
    );
    let shown = telemetry(&["show"]);
    assert!(shown.contains("count  frob.command = build\n"), "{shown}");
    let lines = telemetry(&["show", "--json"]);
    user.run_at(MONDAY + WEEK + 4 * DAY, &["build"]);
    let sent = counts_of(&receiver);
    assert_eq!(sent.len(), 3);
    for (trace, span) in sent {
        assert!(lines.contains(&format!("\"traceId\":\"{trace}\",\"spanId\":\"{span}\"")), "{lines}");
    }
    assert!(!telemetry(&["show"]).contains("count of this installation"));
}

fn counts_of(receiver: &Receiver) -> Vec<(String, String)> {
    counts(receiver).iter().map(|count| (count.trace_id().to_owned(), count.span_id().to_owned())).collect()
}

#[test]
fn log_prints_which_counts_a_run_would_cause() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint).with_tool_setting("FROB_CI_INCLUDES_MAKER", "1");
    let before = user.user.files();
    let log = |variables: &[(&str, &str)]| {
        let mut command = user.user.frob_command(["build", "--end", "return=3"]);
        command.env("FROB_TELEMETRY", "log").envs(variables.iter().copied());
        String::from_utf8(command.output().expect("it runs").stderr).expect("text")
    };
    let printed = log(&[]);
    let sentence = "frob telemetry: each of these is also counted, at most once per period (week), in a span of its own:";
    let counts: Vec<&str> = printed.lines().skip_while(|line| *line != sentence).skip(1).collect();
    let expected = [
        "count  frob.command = build",
        "count  error.type = _OTHER  frob.command = build",
        "count  service.version = 1.0.0",
        "count  process.exit.code = 3",
    ];
    assert_eq!(counts, expected, "{printed}");
    for variable in ["CI", "KUBERNETES_SERVICE_HOST", "container"] {
        let printed = log(&[(variable, "1")]);
        assert!(printed.contains("this would be sent") && !printed.contains("count"), "{printed}");
    }
    assert_eq!((user.user.files(), receiver.connections()), (before, 0));
}

#[test]
fn a_tool_that_is_called_count_has_runs_and_counts() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::new(&endpoint).with_tool_setting("FROB_NAME", "count");
    assert!(user.user.run_frob(["telemetry", "on"]).status.success());
    user.run_at(MONDAY, &["build"]);
    user.run_at(MONDAY + WEEK, &["usage-error"]);
    user.run_at(MONDAY + WEEK, &["build"]);
    user.run_at(MONDAY + WEEK + 3 * DAY, &["build"]);
    let spans = receiver.spans();
    let named_count = spans.iter().filter(|span| span.name() == "count");
    let (counts, runs): (Vec<_>, Vec<_>) = named_count.partition(|span| span.is_count());
    // The usage error has no command.
    assert_eq!((runs.len(), runs[0].attribute("process.exit.code")), (1, Some(&Value::from(2_i64))));
    assert_eq!(counts.len(), 4, "{counts:?}");
    assert_eq!(of_table(&receiver, 1, &["frob.command"]), ["frob.command=build"]);
    assert_eq!(
        of_table(&receiver, 1, &["process.exit.code"]),
        ["process.exit.code=\"0\"", "process.exit.code=other"]
    );
    assert_eq!((receiver.violations(), receiver.outside_contract()), (vec![], vec![]));
}

#[test]
fn two_users_of_one_machine_count_apart() {
    let (receiver, endpoint) = receiver();
    let users = [CountingUser::new(&endpoint), CountingUser::new(&endpoint)];
    for time in [0, WEEK, WEEK + 3 * DAY] {
        for user in &users {
            user.run_at(MONDAY + time, &["build"]);
        }
    }
    assert!(cells(&receiver).values().all(|counts| *counts == 2), "{:?}", cells(&receiver));
    assert_eq!(cells(&receiver).len(), 3);
}

/// The requests of a week, each with its resource, and each span with its start and without its ids. The duration of a run
/// is that of this machine, so it is left out.
fn requests_of_week(receiver: &Receiver, monday: u64) -> String {
    let is_of_week =
        |span: &Span| (monday..monday + WEEK).contains(&(span.start_unix_nano() / 1_000_000_000));
    let mut requests: Vec<(bool, String)> = Vec::new();
    for request in receiver.requests().iter().filter(|request| is_of_week(&request.spans()[0])) {
        let spans = request.spans();
        let resource = |key: &str| spans[0].resource_attribute(key).map(|value| format!(" {key}={value}"));
        let resource: String = ["service.name", "service.version"].into_iter().filter_map(resource).collect();
        let mut text = format!("request:{resource}\n");
        for span in spans {
            let start = SystemTime::UNIX_EPOCH + Duration::from_nanos(span.start_unix_nano());
            let start = httpdate::fmt_http_date(start);
            let attributes: String =
                span.attributes().iter().map(|(key, value)| format!(" {key}={value}")).collect();
            text.push_str(&format!("  {}  {}{attributes}\n", start.trim_end_matches(":00 GMT"), span.name()));
        }
        requests.push((spans[0].is_count(), text));
    }
    // Runs in their order. Counts leave in random order.
    let (mut counts, runs): (Vec<_>, Vec<_>) = requests.into_iter().partition(|(is_count, _)| *is_count);
    counts.sort();
    runs.into_iter().chain(counts).map(|(_, text)| text).collect()
}

#[test]
fn the_page_shows_one_week_as_the_receiver_gets_it() {
    let (receiver, endpoint) = receiver();
    let user = CountingUser::of_tool(&endpoint, "FROB_COUNTS", "dotnet")
        .with_tool_setting("FROB_NAME", "dotnet")
        .with_tool_setting("FROB_TELEMETRY_COMMAND", "dotnet telemetry")
        .with_tool_setting("FROB_VERSION", "1.1.0");
    user.user.run_frob(["telemetry", "on"]);
    user.run_at(MONDAY, &["build"]);
    let monday = MONDAY + WEEK;
    user.run_at(monday + 9 * HOUR + 1_000, &["build", "--spans", "0"]);
    user.run_at(monday + DAY + 10 * HOUR + 500, &["test", "--spans", "0", "--end", "return=1"]);
    user.run_at(monday + DAY + 10 * HOUR + 700, &["test", "--spans", "0"]);
    user.run_at(monday + 7 * DAY + 9 * HOUR, &["build", "--spans", "0"]);
    let received = requests_of_week(&receiver, monday);
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/counts.md")).expect("a page");
    let block = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    assert_eq!(received, block, "{received}");
}
