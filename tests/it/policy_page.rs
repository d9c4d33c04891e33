//! The examples of `docs/policy.md`, each on a machine of its own.

use serde_json::Value;
use tool_telemetry::command::check_policy;
use tool_telemetry_receiver::{Receiver, Request};

use crate::precedence::on_machine;
use crate::test_user::{TestUser, is_root};

const PAGE: &str = include_str!("../../docs/policy.md");
const COLLECTOR: &str = "https://collector.example.com:4318";

/// The headings and their examples.
fn examples() -> Vec<(&'static str, &'static str)> {
    let examples: Vec<_> = PAGE
        .split("\n### ")
        .skip(1)
        .map(|section| {
            let heading = section.lines().next().expect("a heading");
            let example = section.split("```toml\n").nth(1).and_then(|example| example.split("```").next());
            (heading, example.unwrap_or_else(|| panic!("{heading} has no example")))
        })
        .collect();
    assert_eq!(examples.len(), PAGE.matches("```toml").count(), "each heading has one example");
    examples
}

/// The requests that a receiver got under an example's policy, and the output of `status`.
struct PolicyEffect {
    is_off: bool,
    origin: String,
    warnings: Value,
    requests: Vec<Request>,
}

fn run(example: &str) -> PolicyEffect {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    // The machine's own `/etc` has no root certificates.
    let roots = user.home().join("certificate");
    let user = user.with("SSL_CERT_FILE", roots.to_str().expect("text"));
    user.run_frob(["telemetry", "on"]);
    // A certificate needs an address with TLS.
    let is_tls = example.contains("certificate");
    let policy =
        if is_tls { example.to_owned() } else { example.replace(COLLECTOR, &receiver.http_endpoint()) };
    std::fs::write(user.home().join("policy"), policy).expect("a file");
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(user.home().join("certificate"), own.cert.pem()).expect("a file");
    std::fs::write(user.home().join("key"), own.signing_key.serialize_pem()).expect("a file");
    let prepare = format!(
        "cp {0}/policy policy.toml && echo 'x-team=the%20build' > headers && cp {0}/certificate client.pem &&
        cp {0}/key client.key && mkdir /etc/ssl && cp {0}/certificate /etc/ssl/collector-ca.pem",
        user.home().display()
    );
    // `flush` fails if the policy turns telemetry off.
    let flush = if is_tls { ":" } else { "frob telemetry flush >/dev/null 2>&1" };
    let commands = format!("frob build >/dev/null && {{ {flush} || :; }} && frob telemetry status --json");
    let status: Value = serde_json::from_str(&on_machine(&prepare, &user, &commands)).expect("JSON");
    PolicyEffect {
        is_off: status["telemetry"] == "off",
        origin: status["destination"]["origin"].as_str().unwrap_or_default().to_owned(),
        warnings: status["warnings"].clone(),
        requests: receiver.requests(),
    }
}

#[test]
fn every_example_does_what_the_page_says() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    for (heading, example) in examples() {
        let seen = run(example);
        assert_eq!(seen.warnings, Value::Array(Vec::new()), "{heading}");
        assert_eq!(seen.is_off, heading == "`telemetry`", "{heading}");
        let header = |name| seen.requests.first().and_then(|request| request.header(name));
        match heading {
            "`telemetry`" => assert!(seen.requests.is_empty()),
            "`endpoint`" => assert_eq!(header("content-type"), Some("application/x-protobuf")),
            "`protocol`" => assert_eq!(header("content-type"), Some("application/json")),
            "`compression`" => assert_eq!(header("content-encoding"), Some("gzip")),
            "`headers_file`" | "`[tool.NAME]`" => assert_eq!(header("x-team"), Some("the build")),
            "`certificate`" | "`client_certificate` and `client_key`" => assert_eq!(seen.origin, COLLECTOR),
            // Without an endpoint the policy narrows the runs of the user's own destination.
            "`data_points`" => assert_eq!(seen.origin, "http://127.0.0.1:9"),
            other => panic!("add the expected effect of {other} here"),
        }
    }
}

#[test]
fn every_key_has_a_valid_example() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("policy.toml");
    // The keys, from the program's own list.
    std::fs::write(&file, "nosuch = ''\n").expect("a file");
    let message = check_policy(&file).errors[0].message().to_owned();
    let (_, keys) = message.split_once("the keys are ").expect("the keys");
    for key in keys.split([',', ' ']).filter(|key| !["", "and"].contains(key)) {
        assert!(
            examples().iter().any(|(heading, example)| {
                heading.contains(&format!("`{key}`")) && example.contains(&format!("{key} = "))
            }),
            "{key}"
        );
    }
    for (heading, example) in examples() {
        std::fs::write(&file, example).expect("a file");
        assert_eq!(check_policy(&file).errors, [], "{heading}");
    }
}
