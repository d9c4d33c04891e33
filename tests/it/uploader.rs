//! The uploader always ends, is alone, is small, and one run that is refused for ever holds up no other.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Answer, Receiver, Request, Value};

use crate::person::{PATIENCE, Person, eventually, example, is_root};

/// Whether a request carries a run with a step of this number.
fn has_step(request: &Request, number: i64) -> bool {
    let wanted = Value::Int(number);
    request.spans().iter().any(|span| span.attribute("frob.number") == Some(&wanted))
}

/// A person with so many waiting runs, of which those at `poisoned` have a second step.
fn waiting(receiver: &Receiver, runs: usize, poisoned: &[usize]) -> Person {
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    for run in 0..runs {
        let spans = if poisoned.contains(&run) { "2" } else { "1" };
        assert!(person.frob(["build", "--spans", spans]).status.success());
    }
    assert_eq!(person.waiting().len(), runs);
    person
}

#[test]
fn a_poisoned_run_is_found_by_halving_and_the_others_are_delivered_by_the_same_uploader() {
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
        let person = waiting(&receiver, runs, poisoned);
        assert!(person.flush(), "{poisoned:?} of {runs}");
        let requests = receiver.requests().len();
        assert!(requests <= most_requests, "{poisoned:?} of {runs}: {requests} requests");
        assert_eq!(receiver.traces().len(), runs - poisoned.len());
        assert_eq!(receiver.doubles(), 0);
        assert_eq!(person.count("delivered") as usize, runs - poisoned.len());
        assert_eq!(person.dropped("refused") as usize, poisoned.len());
        assert_eq!(person.count("pending"), 0);
    }
}

#[test]
fn a_server_that_refuses_everything_gets_few_requests_and_all_is_counted() {
    let receiver = Receiver::builder().always(Answer::status(400)).start().expect("a receiver");
    let person = waiting(&receiver, 64, &[]);
    assert!(person.flush(), "nothing deliverable is left");
    assert_eq!((person.dropped("refused"), person.count("pending")), (64, 0));
    // One for each, and few more to find out that it is none of them.
    assert!(receiver.requests().len() <= 64 + 8, "{}", receiver.requests().len());
}

#[test]
fn an_uploader_that_is_refused_again_and_again_stops_and_loses_nothing_untried() {
    let receiver = Receiver::builder().always(Answer::status(400)).start().expect("a receiver");
    let person = waiting(&receiver, 120, &[]);
    assert!(!person.flush());
    let requests = receiver.requests().len();
    let alone = receiver.requests().iter().filter(|request| request.spans().len() == 3).count();
    assert!(requests <= 100, "{requests}");
    assert_eq!(person.dropped("refused") as usize, alone);
    assert_eq!(person.count("pending") as usize, 120 - alone);
    assert!(person.flush());
    assert_eq!((person.dropped("refused"), person.count("pending")), (120, 0));
}

#[test]
fn a_request_that_is_too_large_for_the_server_is_halved_until_it_fits() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 20 { Answer::status(413) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let person = waiting(&receiver, 40, &[]);
    assert!(person.flush());
    assert_eq!((person.count("delivered"), person.dropped("refused")), (40, 0));
}

/// Flushes until all is delivered, at most so often.
fn flush_often(person: &Person, most: usize) -> usize {
    (1..=most).find(|_| person.flush()).unwrap_or_else(|| panic!("still pending\n{}", person.status()))
}

#[test]
fn a_limit_of_size_that_is_told_as_a_400_drops_nothing() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 6 { Answer::status(400) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let person = waiting(&receiver, 50, &[]);
    assert!(person.flush());
    assert_eq!((person.count("delivered"), person.dropped("refused")), (50, 0));
    assert!(receiver.requests().len() <= 50, "{}", receiver.requests().len());
}

#[test]
fn batches_shrink_until_they_fit_into_the_servers_rate_and_the_next_uploader_knows() {
    for busy in [Answer::status(429), Answer::Hang] {
        let answer = busy.clone();
        let receiver = Receiver::builder()
            .answer_with(move |request| if request.spans().len() > 20 { answer.clone() } else { Answer::Ok })
            .start()
            .expect("a receiver");
        let person = waiting(&receiver, 40, &[]).with("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
        let flushes = flush_often(&person, 20);
        assert_eq!((person.count("delivered"), person.count("dropped")), (40, 0), "{busy:?}");
        let requests = receiver.requests().len();
        assert!(requests <= 24, "{busy:?}: {requests} requests in {flushes} flushes");
    }
}

#[test]
fn a_time_that_the_server_asks_for_and_the_size_are_kept_together() {
    let receiver = Receiver::builder().answers([Answer::status(429).with_retry_after("120")]).start();
    let receiver = receiver.expect("a receiver");
    let person = waiting(&receiver, 40, &[]);
    assert!(!person.flush() && !person.flush());
    assert_eq!(receiver.requests().len(), 1, "the second one waits");
    let backoff = person.spool(&receiver.http_endpoint()).join("backoff");
    let text = std::fs::read_to_string(&backoff).expect("a file");
    assert!(text.ends_with(" asked=yes most=60\n"), "{text}");
    // Once the time is over the size grows again with each success.
    std::fs::write(&backoff, "until=1 failures=1 asked=yes most=60\n").expect("a file");
    assert!(person.flush());
    assert_eq!(std::fs::read_to_string(&backoff).expect("a file"), "until=0 failures=0 asked=no most=240\n");
    assert!(person.frob(["build"]).status.success());
    eventually("it is no backoff", || person.count("delivered") == 41);
}

#[test]
fn a_run_that_is_too_large_by_itself_holds_up_no_other() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 20 { Answer::status(429) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    for spans in ["30", "1", "1", "1"] {
        assert!(person.frob(["build", "--spans", spans]).status.success());
    }
    for _ in 0..8 {
        person.flush();
    }
    assert_eq!((person.count("delivered"), person.count("pending")), (3, 1), "{}", person.status());
}

#[test]
fn requests_shrink_for_a_server_that_says_out_of_range_of_what_is_too_large() {
    let receiver = Receiver::builder()
        .answer_with(|request| if request.spans().len() > 20 { Answer::grpc(11) } else { Answer::Ok })
        .start()
        .expect("a receiver");
    let endpoint = receiver.grpc_endpoint();
    let person =
        Person::sending_to(&endpoint).with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").backing_off(&endpoint);
    for _ in 0..10 {
        assert!(person.frob(["build", "--spans", "1"]).status.success());
    }
    flush_often(&person, 20);
    assert_eq!((person.count("delivered"), person.count("dropped")), (10, 0));
}

#[test]
fn a_grpc_server_that_is_exhausted_by_the_rate_drops_nothing() {
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
    let person =
        Person::sending_to(&endpoint).with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").backing_off(&endpoint);
    for _ in 0..40 {
        assert!(person.frob(["build", "--spans", "1"]).status.success());
    }
    assert!(!person.flush());
    let delivered = person.count("delivered");
    assert!(delivered > 0 && person.count("pending") == 40 - delivered, "{}", person.status());
}

#[test]
fn a_tool_whose_main_is_asynchronous_delivers() {
    for protocol in ["http/protobuf", "grpc"] {
        let receiver = Receiver::start().expect("a receiver");
        let endpoint = if protocol == "grpc" { receiver.grpc_endpoint() } else { receiver.http_endpoint() };
        let person = Person::sending_to(&endpoint)
            .whose_tool_has("FROB_ASYNC", "1")
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        assert!(person.frob(["build"]).status.success());
        receiver.wait_for(1, PATIENCE).expect("a trace arrives");
        eventually("it has ended", || person.uploaders().is_empty());
        assert_eq!((person.count("delivered"), person.count("pending")), (1, 0), "{}", person.status());
    }
}

#[test]
fn an_uploader_ends_within_its_life_whatever_it_waits_for() {
    for answer in [Answer::Hang, Answer::Drip] {
        for protocol in ["http/protobuf", "grpc"] {
            let receiver = Receiver::builder().answers([answer.clone()]).start().expect("a receiver");
            let endpoint =
                if protocol == "grpc" { receiver.grpc_endpoint() } else { receiver.http_endpoint() };
            let person = Person::sending_to(&endpoint)
                .whose_tool_has("FROB_UPLOADER_LIFE_MS", "600")
                .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .with("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000");
            assert!(person.frob(["build"]).status.success());
            receiver.wait_until(|receiver| receiver.requests().len() == 1, PATIENCE).expect("a request");
            let asked = Instant::now();
            eventually("it has ended", || person.uploaders().is_empty());
            assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
            // Nothing was lost, and the next one works at once.
            assert!(person.flush(), "{answer:?} {protocol}");
            assert_eq!((person.count("delivered"), person.count("pending")), (1, 0));
        }
    }
}

#[test]
fn an_uploader_ends_within_its_life_while_the_name_service_hangs() {
    if !is_root("a name service that never answers, in a mount namespace") {
        return;
    }
    // Asked, and silent.
    let name_service = UdpSocket::bind("127.91.7.53:53").expect("an address of this test's");
    name_service.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let person =
        Person::sending_to("http://telemetry.example:4318").whose_tool_has("FROB_UPLOADER_LIFE_MS", "600");
    // The uploader keeps the namespace for as long as it lives.
    let script = format!(
        "mount -t tmpfs none /etc && echo 'hosts: files dns' > /etc/nsswitch.conf &&
        printf 'nameserver 127.91.7.53\\noptions timeout:30 attempts:5\\n' > /etc/resolv.conf && exec {} build",
        example("frob").display()
    );
    let asked = Instant::now();
    let output = person.command("unshare").args(["-m", "sh", "-c", &script]).output().expect("unshare");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let mut question = [0; 512];
    let length = name_service.recv(&mut question).expect("the uploader asks");
    assert!(question[..length].windows(9).any(|label| label == b"telemetry"));
    eventually("it has ended", || person.uploaders().is_empty());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(person.count("pending"), 1);
}

#[test]
#[expect(clippy::print_stdout, reason = "a figure for whoever asks with --nocapture")]
fn a_thousand_runs_against_a_server_that_never_answers_start_one_uploader_after_the_other_and_few() {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint()).with("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
    let starts = person.home().join(".frob-uploaders");
    std::fs::write(&starts, "").expect("a file");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    assert!(person.frob(["build", "--spans", "0"]).status.success());
                }
            });
        }
    });
    eventually("no process is left", || person.uploaders().is_empty());
    let starts = std::fs::read_to_string(starts).expect("a file").lines().count();
    println!("1,000 runs started {starts} uploaders, of which {} sent", receiver.connections());
    // 4 to 6 here. Between a start and the lock a loaded machine may start some more, which end when they find it held.
    assert!(starts <= 20, "{starts} were started");
    assert!(receiver.connections() <= 8, "{} uploaders sent", receiver.connections());
    assert_eq!(receiver.peak_requests(), 1, "one at a time");
    let counted = person.count("pending") + person.dropped("limit_runs");
    assert_eq!(counted, 1_000, "{}", person.status());
}

/// The most memory that a process had so far, in KiB.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[test]
fn an_uploader_stays_small_with_a_hundred_thousand_spans_pending() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person =
        Person::sending_to(&endpoint).whose_tool_has("FROB_LIMIT_BYTES", "1000000000").backing_off(&endpoint);
    let mut spans = 0;
    while spans < 100_000 {
        // A step and its part; 1 MiB is a run file's end.
        assert!(person.frob(["build", "--spans", "500"]).status.success());
        spans += 1_000;
    }
    let mut flush = person.frob_command(["telemetry", "flush"]).spawn().expect("it starts");
    let mut peak = 0;
    while flush.try_wait().expect("a child").is_none() {
        peak = person.uploaders().into_iter().filter_map(peak_memory).fold(peak, u64::max);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        receiver.spans().len() as u64,
        spans + person.count("delivered"),
        "each run has a span of its own"
    );
    assert!(peak > 0 && peak < 32 << 10, "{peak} KiB for {spans} spans");
}
