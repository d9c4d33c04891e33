//! From a command to a receiver: every protocol, no receiver at first, and only the run's own destination.

use std::time::{Duration, Instant};

use tool_telemetry_receiver::{Encoding, Receiver, Transport};

use crate::person::{NOBODY, PATIENCE, Person, eventually, example, only_tree};

const TREE: &str = "frob process.executable.name=frob process.exit.code=0 frob.command=build\n  \
                    step frob.number=0 frob.color=auto\n    inner frob.number=0\n";

#[test]
fn a_run_arrives_by_itself_in_every_protocol() {
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
            let person = Person::sending_to(&endpoint)
                .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .with("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
            assert!(person.frob(["build", "--spans", "1"]).status.success());
            assert_eq!(only_tree(&receiver), TREE, "{protocol} {compression}");
            let requests = receiver.requests();
            assert_eq!((requests[0].transport(), requests[0].encoding()), (transport, Some(encoding)));
            assert_eq!(requests[0].is_gzip(), compression == "gzip", "{protocol}");
            assert_eq!(receiver.outside_contract(), [""; 0], "{protocol}");
            assert_eq!(receiver.violations(), [""; 0], "{protocol}");
        }
    }
}

#[test]
fn the_resource_says_the_tool_and_nothing_of_the_environment() {
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint())
        .with("OTEL_SERVICE_NAME", "annas-service")
        .with("OTEL_RESOURCE_ATTRIBUTES", "host.name=annas-laptop,service.version=9");
    person.frob(["build"]);
    let traces = receiver.wait_for(1, PATIENCE).expect("a trace");
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
        ]
    );
}

#[test]
fn what_waits_for_a_dead_endpoint_arrives_when_it_comes_up() {
    let person = Person::sending_to("http://127.91.7.3:4318");
    for _ in 0..20 {
        assert!(person.frob(["build"]).status.success());
    }
    assert!(!person.flush());
    assert_eq!(person.count("pending"), 20);
    assert!(person.status().contains("last failure: connection"), "{}", person.status());
    // The same address, now served: one of loopback's that no other test has.
    let address = "127.91.7.3:4318".parse().expect("an address");
    let receiver = Receiver::builder().http_address(address).start().expect("the address is free");
    assert!(person.flush());
    assert_eq!(receiver.wait_for(20, PATIENCE).expect("all of them").len(), 20);
    assert_eq!((person.count("pending"), person.count("delivered")), (0, 20));
    assert_eq!(receiver.requests().len(), 1, "many runs go in one request");
}

#[test]
fn without_any_endpoint_nothing_is_recorded() {
    let person = Person::new();
    person.frob(["telemetry", "on"]);
    assert!(person.frob(["build"]).status.success());
    assert!(person.waiting().is_empty());
    assert!(person.status().contains("there is nowhere to send to"), "{}", person.status());
}

#[test]
fn a_run_goes_only_where_it_was_to_go() {
    let first = Receiver::start().expect("a receiver");
    let person = Person::sending_to(NOBODY);
    person.frob(["build"]);
    let elsewhere =
        person.with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/v1/traces", first.http_endpoint()));
    elsewhere.frob(["telemetry", "on"]);
    elsewhere.frob(["test"]);
    let traces = first.wait_for(1, PATIENCE).expect("a trace");
    assert!(elsewhere.flush());
    assert_eq!(traces.len(), 1);
    assert_eq!(first.tree().matches("frob.command=test").count(), 1);
    assert_eq!(first.traces().len(), 1, "the run for the other endpoint stays");
    assert_eq!(elsewhere.count("pending"), 1);
}

#[test]
fn nothing_of_somebody_elses_service_goes_to_the_maker() {
    let maker = Receiver::start().expect("a receiver");
    let service = Receiver::start().expect("a receiver");
    let person = Person::new()
        .whose_tool_has("FROB_MAKER", &format!("{}/v1/traces", maker.http_endpoint()))
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &service.http_endpoint())
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer annas-token")
        .with("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=anna")
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .with("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .with("TRACESTATE", "vendor=anna");
    person.frob(["telemetry", "on"]);
    person.frob(["build", "--spans", "1"]);
    // Only what is meant for the maker: `inner` is for operators.
    let tree = only_tree(&maker);
    assert!(tree.contains("step") && !tree.contains("inner"), "{tree}");
    let request = &maker.requests()[0];
    assert_eq!(request.encoding(), Some(Encoding::Protobuf));
    assert_eq!((request.header("authorization"), request.header("x-tenant")), (None, None));
    assert_ne!(maker.traces()[0].trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(service.requests().is_empty());
}

#[test]
fn a_makers_trace_id_reaches_that_maker_only_and_only_direct_children() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let maker = Receiver::start().expect("a receiver");
    let endpoint = maker.http_endpoint();
    let person = Person::new().whose_tool_has("FROB_MAKER", &format!("{endpoint}/v1/traces"));
    person.frob(["telemetry", "on"]);
    let receiver = format!("maker+the-tests+{}", endpoint.replace("://", "-").replace(':', "-"));
    let run = |mut command: std::process::Command, receiver: &str| {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01;{};{receiver}", std::process::id());
        let before = maker.traces().len();
        command.env("TOOL_TELEMETRY_PARENT", parent).output().expect("it starts");
        let traces = maker.wait_for(before + 1, PATIENCE).expect("the run arrives");
        traces.iter().filter(|trace| trace.trace_id() == TRACE).count()
    };
    assert_eq!(run(person.frob_command(["build"]), &receiver), 1);
    let others = ["maker+the-tests+https-another.example-443", &receiver.replace("maker", "operator"), ""];
    for another in others {
        assert_eq!(run(person.frob_command(["build"]), another), 1, "{another}");
    }
    let mut shell = person.command("sh");
    shell.args(["-c", &format!("{} build; true", example("frob").display())]);
    assert_eq!(run(shell, &receiver), 1, "the shell's child is not ours");
}

#[test]
fn an_operator_gets_headers_and_the_trace_that_the_command_belongs_to() {
    let operator = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&operator.http_endpoint())
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token,x-tenant=a")
        .with("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .with("TRACESTATE", "vendor=anna");
    person.frob(["build"]);
    let traces = operator.wait_for(1, PATIENCE).expect("a trace");
    assert_eq!(traces[0].trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(traces[0].root().parent_span_id(), Some("00f067aa0ba902b7"));
    let request = &operator.requests()[0];
    assert_eq!(
        (request.header("authorization"), request.header("x-tenant")),
        (Some("Bearer token"), Some("a"))
    );
    for path in person.files().iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(path).expect("a file");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("token") && !text.contains("vendor"), "{}", path.display());
    }
}

#[test]
fn an_uploader_that_only_lingers_makes_room_for_a_flush() {
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint());
    let fastest = (1..=5)
        .map(|run| {
            person.frob(["build"]);
            receiver.wait_for(run, PATIENCE).expect("its run");
            let asked = Instant::now();
            assert!(person.flush());
            asked.elapsed()
        })
        .min()
        .expect("five times");
    // It would linger for 500 ms.
    assert!(fastest < Duration::from_millis(300), "{fastest:?}");
    assert!(!person.spool(&receiver.http_endpoint()).join("waiter").exists());
}

#[test]
fn a_script_of_many_commands_starts_one_uploader() {
    let receiver = Receiver::start().expect("a receiver");
    let person = Person::sending_to(&receiver.http_endpoint());
    for _ in 0..30 {
        person.frob(["build"]);
    }
    receiver.wait_for(30, PATIENCE).expect("all of them");
    eventually("the counters are written", || person.count("delivered") == 30);
    assert_eq!(receiver.doubles(), 0);
    assert!(receiver.connections() <= 3, "{} uploaders for 30 commands", receiver.connections());
}
