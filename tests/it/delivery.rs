//! From a command to its own destination, over every protocol, with a receiver that may come up later.

use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Encoding, Receiver, Transport, Value};

use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually, example, only_tree};

const TREE: &str = "\"frob build\" process.executable.name=frob process.exit.code=0 frob.command=build\n  \
                    step frob.number=0 frob.color=auto\n    inner frob.number=0\n";

#[test]
fn runs_arrive_over_every_protocol() {
    for (protocol, transport, encoding) in [
        ("http/protobuf", Transport::Http, Encoding::Protobuf),
        ("http/json", Transport::Http, Encoding::Json),
        ("grpc", Transport::Grpc, Encoding::Protobuf),
    ] {
        for compression in ["none", "gzip"] {
            let receiver = Receiver::start().expect("a receiver");
            let endpoint = match transport {
                Transport::Grpc => receiver.grpc_endpoint(),
                _ => receiver.http_endpoint(),
            };
            let user = TestUser::sending_to(&endpoint)
                .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .with("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
            assert!(user.run_frob(["build", "--spans", "1"]).status.success());
            assert_eq!(only_tree(&receiver), TREE, "{protocol} {compression}");
            let requests = receiver.requests();
            assert_eq!((requests[0].transport(), requests[0].encoding()), (transport, Some(encoding)));
            assert_eq!(requests[0].is_gzip(), compression == "gzip", "{protocol}");
            assert_eq!(receiver.outside_contract(), [""; 0], "{protocol}");
            assert_eq!(receiver.violations(), [""; 0], "{protocol}");
        }
    }
}

/// `sha256sum tests/tool/telemetry.toml | head -c 32`.
const CONTENT_HASH: &str = "404a22b0bb3656354f0c860e1e444d05";

#[test]
fn the_resource_describes_only_the_tool() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint())
        .with("OTEL_SERVICE_NAME", "annas-service")
        .with("OTEL_RESOURCE_ATTRIBUTES", "host.name=annas-laptop,service.version=9");
    user.run_frob(["build"]);
    let traces = receiver.wait_for(1, TIMEOUT).expect("a trace");
    let keys: Vec<_> = traces[0]
        .root()
        .resource_attributes()
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .filter(|text| !text.contains("version="))
        .collect();
    let mut keys = keys;
    keys.sort();
    assert_eq!(
        keys,
        [
            "service.name=frob",
            "telemetry.distro.name=tool-telemetry",
            "telemetry.sdk.language=rust",
            "telemetry.sdk.name=opentelemetry",
            &format!("tool_telemetry.data_points={CONTENT_HASH}"),
        ]
    );
}

#[test]
fn a_run_is_named_after_its_command() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    for (arguments, name) in
        [(&["build"][..], "frob build"), (&["unusual-spans"], "frob other"), (&["usage-error"], "frob")]
    {
        let before = receiver.traces().len();
        user.run_frob(arguments);
        let traces = receiver.wait_for(before + 1, TIMEOUT).expect("a trace");
        let root = traces.last().expect("a trace").root();
        assert_eq!(root.name(), name);
        assert_eq!(root.attribute("process.executable.name"), Some(&Value::from("frob")));
    }
}

#[test]
fn pending_runs_arrive_when_the_endpoint_comes_up() {
    let user = TestUser::sending_to("http://127.91.7.3:4318");
    for _ in 0..20 {
        assert!(user.run_frob(["build"]).status.success());
    }
    assert!(!user.flush());
    assert_eq!(user.count("pending"), 20);
    assert!(user.status().contains("last failure: connection"), "{}", user.status());
    // Now a receiver listens at the same address, which no other test uses.
    let address = "127.91.7.3:4318".parse().expect("an address");
    let receiver = Receiver::builder().http_address(address).start().expect("the address is free");
    assert!(user.flush());
    assert_eq!(receiver.wait_for(20, TIMEOUT).expect("all of them").len(), 20);
    assert_eq!((user.count("pending"), user.count("delivered")), (0, 20));
    assert_eq!(receiver.requests().len(), 1, "many runs go in one request");
}

#[test]
fn nothing_is_recorded_without_an_endpoint() {
    let user = TestUser::new();
    user.run_frob(["telemetry", "on"]);
    assert!(user.run_frob(["build"]).status.success());
    assert!(user.pending_runs().is_empty());
    assert!(user.status().contains("no destination is set"), "{}", user.status());
}

#[test]
fn a_run_goes_only_to_its_own_destination() {
    let first = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    user.run_frob(["build"]);
    let user =
        user.with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/v1/traces", first.http_endpoint()));
    user.run_frob(["telemetry", "on"]);
    user.run_frob(["test"]);
    let traces = first.wait_for(1, TIMEOUT).expect("a trace");
    assert!(user.flush());
    assert_eq!(traces.len(), 1);
    assert_eq!(first.tree().matches("frob.command=test").count(), 1);
    assert_eq!(first.traces().len(), 1, "the run for the other endpoint stays");
    assert_eq!(user.count("pending"), 1);
}

#[test]
fn an_uploader_whose_destination_has_changed_sends_nothing() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint).backing_off(&endpoint);
    user.run_frob(["build"]);
    let upload = |started_for: &str| {
        let mut uploader = user.uploader_command(example("frob"), &endpoint, "flush");
        let started_for = user.spool(started_for).file_name().expect("a name").to_owned();
        uploader.env("TOOL_TELEMETRY_UPLOADER", started_for).arg("__upload-telemetry");
        uploader.output().expect("it starts").status.code()
    };
    assert_eq!((upload(DEAD_ENDPOINT), receiver.requests().len()), (Some(3), 0));
    assert_eq!((upload(&endpoint), receiver.traces().len()), (Some(0), 1));
}

#[test]
fn the_author_receives_nothing_meant_for_another_service() {
    let author = Receiver::start().expect("a receiver");
    let service = Receiver::start().expect("a receiver");
    let user = TestUser::new()
        .with_tool_setting("FROB_AUTHOR_ENDPOINT", &format!("{}/v1/traces", author.http_endpoint()))
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &service.http_endpoint())
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer annas-token")
        .with("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=anna")
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .with("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .with("TRACESTATE", "vendor=anna");
    user.run_frob(["telemetry", "on"]);
    user.run_frob(["build", "--spans", "1"]);
    // Only data points for the author: `inner` is for operators.
    let tree = only_tree(&author);
    assert!(tree.contains("step") && !tree.contains("inner"), "{tree}");
    let request = &author.requests()[0];
    assert_eq!(request.encoding(), Some(Encoding::Protobuf));
    assert_eq!((request.header("authorization"), request.header("x-tenant")), (None, None));
    assert_ne!(author.traces()[0].trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(service.requests().is_empty());
}

#[test]
fn only_a_direct_child_at_the_same_destination_joins_its_parents_trace() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let author = Receiver::start().expect("a receiver");
    let endpoint = author.http_endpoint();
    let user = TestUser::new().with_tool_setting("FROB_AUTHOR_ENDPOINT", &format!("{endpoint}/v1/traces"));
    user.run_frob(["telemetry", "on"]);
    let receiver = format!("maker+the-tests+{}", endpoint.replace("://", "-").replace(':', "-"));
    let run = |mut command: std::process::Command, receiver: &str| {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01;{};{receiver}", std::process::id());
        let before = author.traces().len();
        command.env("TOOL_TELEMETRY_PARENT", parent).output().expect("it starts");
        let traces = author.wait_for(before + 1, TIMEOUT).expect("the run arrives");
        traces.iter().filter(|trace| trace.trace_id() == TRACE).count()
    };
    assert_eq!(run(user.frob_command(["build"]), &receiver), 1);
    let others = ["maker+the-tests+https-another.example-443", &receiver.replace("maker", "operator"), ""];
    for another in others {
        assert_eq!(run(user.frob_command(["build"]), another), 1, "{another}");
    }
    let mut shell = user.command("sh");
    shell.args(["-c", &format!("{} build; true", example("frob").display())]);
    assert_eq!(run(shell, &receiver), 1, "the shell's child is not ours");
}

#[test]
fn an_operator_receives_its_headers_and_the_callers_trace() {
    let operator = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&operator.http_endpoint())
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token,x-tenant=a")
        .with("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .with("TRACESTATE", "vendor=anna");
    user.run_frob(["build"]);
    let traces = operator.wait_for(1, TIMEOUT).expect("a trace");
    assert_eq!(traces[0].trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(traces[0].root().parent_span_id(), Some("00f067aa0ba902b7"));
    let request = &operator.requests()[0];
    assert_eq!(
        (request.header("authorization"), request.header("x-tenant")),
        (Some("Bearer token"), Some("a"))
    );
    for path in user.files().iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(path).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("token") && !text.contains("vendor"), "{}", path.display());
    }
}

#[test]
fn flush_takes_over_from_a_lingering_uploader() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    let fastest = (1..=5)
        .map(|run| {
            user.run_frob(["build"]);
            receiver.wait_for(run, TIMEOUT).expect("its run");
            let started = Instant::now();
            assert!(user.flush());
            started.elapsed()
        })
        .min()
        .expect("five times");
    // The uploader would linger for 500 ms.
    assert!(fastest < Duration::from_millis(300), "{fastest:?}");
    assert!(!user.spool(&receiver.http_endpoint()).join("waiter").exists());
}

#[test]
fn a_script_of_many_commands_starts_one_uploader() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    for _ in 0..30 {
        user.run_frob(["build"]);
    }
    receiver.wait_for(30, TIMEOUT).expect("all of them");
    eventually("the counters are written", || user.count("delivered") == 30);
    assert_eq!(receiver.doubles(), 0);
    assert!(receiver.connections() <= 3, "{} uploaders for 30 commands", receiver.connections());
}
