//! The uploader always ends, works alone, stays small, and isolates a run that is always refused.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver, Request, Value};

use crate::test_user::{TIMEOUT, TestUser, eventually};
#[cfg(target_os = "linux")]
use crate::test_user::{example, is_root};

/// Whether a request holds a step with this number.
fn has_step(request: &Request, number: i64) -> bool {
    let wanted = Value::Int(number);
    request.spans().iter().any(|span| span.attribute("frob.number") == Some(&wanted))
}

/// A user with this many pending runs. Those at the positions `poisoned` have a second step.
fn user_with_pending_runs(receiver: &Receiver, runs: usize, poisoned: &[usize]) -> TestUser {
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    for run in 0..runs {
        let spans = if poisoned.contains(&run) { "2" } else { "1" };
        assert!(user.run_frob(["build", "--spans", spans]).status.success());
    }
    assert_eq!(user.pending_runs().len(), runs);
    user
}

#[test]
fn a_poisoned_run_is_isolated_by_halving() {
    for (runs, poisoned, most_requests) in [
        // 1 + 2 log2(n)
        (128, &[77_usize][..], 15),
        (128, &[0][..], 15),
        (128, &[127][..], 15),
        (64, &[3, 30, 31][..], 31),
        (1, &[0][..], 1),
    ] {
        let receiver = Receiver::builder()
            .answer_with(|request| if has_step(request, 1) { Answer::status(400) } else { Answer::Ok })
            .start()
            .expect("a receiver");
        let user = user_with_pending_runs(&receiver, runs, poisoned);
        assert!(user.flush(), "{poisoned:?} of {runs}");
        let requests = receiver.requests().len();
        assert!(requests <= most_requests, "{poisoned:?} of {runs}: {requests} requests");
        assert_eq!(receiver.traces().len(), runs - poisoned.len());
        assert_eq!(receiver.doubles(), 0);
        assert_eq!(user.count("delivered") as usize, runs - poisoned.len());
        assert_eq!(user.dropped("refused") as usize, poisoned.len());
        assert_eq!(user.count("pending"), 0);
    }
}

#[test]
fn a_server_that_refuses_everything_gets_few_requests() {
    let receiver = Receiver::builder().always(Answer::status(400)).start().expect("a receiver");
    let user = user_with_pending_runs(&receiver, 64, &[]);
    assert!(user.flush(), "nothing deliverable is left");
    assert_eq!((user.dropped("refused"), user.count("pending")), (64, 0));
    // One for each run, and a few to find out that no single run is the cause.
    assert!(receiver.requests().len() <= 64 + 8, "{}", receiver.requests().len());
}

#[test]
fn repeated_refusals_stop_the_uploader_and_keep_untried_runs() {
    let receiver = Receiver::builder().always(Answer::status(400)).start().expect("a receiver");
    let user = user_with_pending_runs(&receiver, 120, &[]);
    assert!(!user.flush());
    let requests = receiver.requests().len();
    let alone = receiver.requests().iter().filter(|request| request.spans().len() == 3).count();
    assert!(requests <= 100, "{requests}");
    assert_eq!(user.dropped("refused") as usize, alone);
    assert_eq!(user.count("pending") as usize, 120 - alone);
    assert!(user.flush());
    assert_eq!((user.dropped("refused"), user.count("pending")), (120, 0));
}

#[test]
fn oversized_requests_are_halved_until_they_fit() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 20 { Answer::status(413) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let user = user_with_pending_runs(&receiver, 40, &[]);
    assert!(user.flush());
    assert_eq!((user.count("delivered"), user.dropped("refused")), (40, 0));
}

/// Flushes until all runs are delivered. Returns the number of flushes.
fn flush_often(user: &TestUser, most: usize) -> usize {
    (1..=most).find(|_| user.flush()).unwrap_or_else(|| panic!("still pending\n{}", user.status()))
}

#[test]
fn a_size_limit_reported_as_400_drops_nothing() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 6 { Answer::status(400) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let user = user_with_pending_runs(&receiver, 50, &[]);
    assert!(user.flush());
    assert_eq!((user.count("delivered"), user.dropped("refused")), (50, 0));
    assert!(receiver.requests().len() <= 50, "{}", receiver.requests().len());
}

#[test]
fn batches_shrink_to_the_servers_rate_across_uploaders() {
    for busy in [Answer::status(429), Answer::Hang] {
        let answer = busy.clone();
        let receiver = Receiver::builder()
            .answer_with(move |request| if request.spans().len() > 20 { answer.clone() } else { Answer::Ok })
            .start()
            .expect("a receiver");
        let user = user_with_pending_runs(&receiver, 40, &[]).with("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
        let flushes = flush_often(&user, 20);
        assert_eq!((user.count("delivered"), user.count("dropped")), (40, 0), "{busy:?}");
        let requests = receiver.requests().len();
        assert!(requests <= 24, "{busy:?}: {requests} requests in {flushes} flushes");
    }
}

#[test]
fn retry_after_and_the_batch_size_are_kept_together() {
    let receiver = Receiver::builder().answers([Answer::status(429).with_retry_after("120")]).start();
    let receiver = receiver.expect("a receiver");
    let user = user_with_pending_runs(&receiver, 40, &[]);
    assert!(!user.flush() && !user.flush());
    assert_eq!(receiver.requests().len(), 1, "the second one waits");
    let backoff = user.spool(&receiver.http_endpoint()).join("backoff");
    let text = std::fs::read_to_string(&backoff).expect("a file");
    assert!(text.ends_with(" asked=yes most=60\n"), "{text}");
    // After the wait the size grows with each success.
    std::fs::write(&backoff, "until=1 failures=1 asked=yes most=60\n").expect("a file");
    assert!(user.flush());
    assert_eq!(std::fs::read_to_string(&backoff).expect("a file"), "until=0 failures=0 asked=no most=240\n");
    assert!(user.run_frob(["build"]).status.success());
    eventually("it is no backoff", || user.count("delivered") == 41);
}

#[test]
fn an_oversized_run_does_not_block_the_others() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 20 { Answer::status(429) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    for spans in ["30", "1", "1", "1"] {
        assert!(user.run_frob(["build", "--spans", spans]).status.success());
    }
    for _ in 0..8 {
        user.flush();
    }
    assert_eq!((user.count("delivered"), user.count("pending")), (3, 1), "{}", user.status());
}

#[test]
fn requests_shrink_on_grpc_out_of_range() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 20 { Answer::grpc(11) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let endpoint = receiver.grpc_endpoint();
    let user =
        TestUser::sending_to(&endpoint).with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").backing_off(&endpoint);
    for _ in 0..10 {
        assert!(user.run_frob(["build", "--spans", "1"]).status.success());
    }
    flush_often(&user, 20);
    assert_eq!((user.count("delivered"), user.count("dropped")), (10, 0));
}

#[test]
fn grpc_resource_exhausted_drops_nothing() {
    let mut accepted = 0;
    let receiver = Receiver::builder()
        .answer_with(move |request| {
            let fits = request.spans().len() <= 20 && accepted < 2;
            accepted += usize::from(fits);
            if fits { Answer::Ok } else { Answer::grpc(8) }
        })
        .start()
        .expect("a receiver");
    let endpoint = receiver.grpc_endpoint();
    let user =
        TestUser::sending_to(&endpoint).with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").backing_off(&endpoint);
    for _ in 0..40 {
        assert!(user.run_frob(["build", "--spans", "1"]).status.success());
    }
    assert!(!user.flush());
    let delivered = user.count("delivered");
    assert!(delivered > 0 && user.count("pending") == 40 - delivered, "{}", user.status());
}

#[test]
fn a_tool_with_an_async_main_delivers() {
    for protocol in ["http/protobuf", "grpc"] {
        let receiver = Receiver::start().expect("a receiver");
        let endpoint = if protocol == "grpc" { receiver.grpc_endpoint() } else { receiver.http_endpoint() };
        let user = TestUser::sending_to(&endpoint)
            .with_tool_setting("FROB_ASYNC", "1")
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        assert!(user.run_frob(["build"]).status.success());
        receiver.wait_for(1, TIMEOUT).expect("a trace arrives");
        eventually("it has ended", || user.uploaders().is_empty());
        assert_eq!((user.count("delivered"), user.count("pending")), (1, 0), "{}", user.status());
    }
}

#[test]
fn the_uploader_ends_within_its_lifetime() {
    for answer in [Answer::Hang, Answer::Drip] {
        for protocol in ["http/protobuf", "grpc"] {
            let receiver = Receiver::builder().answers([answer.clone()]).start().expect("a receiver");
            let endpoint =
                if protocol == "grpc" { receiver.grpc_endpoint() } else { receiver.http_endpoint() };
            let user = TestUser::sending_to(&endpoint)
                .with_tool_setting("FROB_UPLOADER_LIFE_MS", "600")
                .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .with("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000");
            assert!(user.run_frob(["build"]).status.success());
            receiver.wait_until(|receiver| receiver.requests().len() == 1, TIMEOUT).expect("a request");
            let started = Instant::now();
            eventually("it has ended", || user.uploaders().is_empty());
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            // Nothing was lost, and the next uploader works at once.
            assert!(user.flush(), "{answer:?} {protocol}");
            assert_eq!((user.count("delivered"), user.count("pending")), (1, 0));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_uploader_ends_while_dns_hangs() {
    if !is_root("a name service that never answers, in a mount namespace") {
        return;
    }
    // A name server that never answers.
    let name_service = UdpSocket::bind("127.91.7.53:53").expect("an address of this test's");
    name_service.set_read_timeout(Some(TIMEOUT)).expect("a socket");
    let user = TestUser::sending_to("http://telemetry.example:4318")
        .with_tool_setting("FROB_UPLOADER_LIFE_MS", "600");
    // The uploader keeps the namespace alive.
    let script = format!(
        "mount -t tmpfs none /etc && echo 'hosts: files dns' > /etc/nsswitch.conf &&
        printf 'nameserver 127.91.7.53\\noptions timeout:30 attempts:5\\n' > /etc/resolv.conf && exec {} build",
        example("frob").display()
    );
    let started = Instant::now();
    let output = user.command("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let mut question = [0; 512];
    let length = name_service.recv(&mut question).expect("the uploader asks");
    assert!(question[..length].windows(9).any(|label| label == b"telemetry"));
    eventually("it has ended", || user.uploaders().is_empty());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(user.count("pending"), 1);
}

#[test]
#[expect(clippy::print_stdout, reason = "prints a figure with --nocapture")]
fn a_silent_server_gets_few_uploaders_for_a_thousand_runs() {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint()).with("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
    let starts = user.home().join(".frob-uploaders");
    std::fs::write(&starts, "").expect("a file");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    assert!(user.run_frob(["build", "--spans", "0"]).status.success());
                }
            });
        }
    });
    eventually("no process is left", || user.uploaders().is_empty());
    let starts = std::fs::read_to_string(starts).expect("a file").lines().count();
    println!("1,000 runs started {starts} uploaders, of which {} sent", receiver.connections());
    // Usually 4 to 6. A loaded machine may start more before one takes the lock; these end at once.
    assert!(starts <= 20, "{starts} were started");
    assert!(receiver.connections() <= 8, "{} uploaders sent", receiver.connections());
    assert_eq!(receiver.peak_requests(), 1, "one at a time");
    let counted = user.count("pending") + user.dropped("limit_runs");
    assert_eq!(counted, 1_000, "{}", user.status());
}

/// The peak memory of a process, in KiB.
#[cfg(target_os = "linux")]
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_bounded_with_100_000_pending_spans() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint)
        .with_tool_setting("FROB_LIMIT_BYTES", "1000000000")
        .backing_off(&endpoint);
    let mut spans = 0;
    while spans < 100_000 {
        // A step and its part. A run file holds at most 1 MiB.
        assert!(user.run_frob(["build", "--spans", "500"]).status.success());
        spans += 1_000;
    }
    let mut flush = user.frob_command(["telemetry", "flush"]).spawn().expect("it starts");
    let mut peak = 0;
    while flush.try_wait().expect("a child").is_none() {
        peak = user.uploaders().into_iter().filter_map(peak_memory).fold(peak, u64::max);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        receiver.spans().len() as u64,
        spans + user.count("delivered"),
        "each run has a span of its own"
    );
    assert!(peak > 0 && peak < 32 << 10, "{peak} KiB for {spans} spans");
}
