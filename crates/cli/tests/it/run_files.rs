//! Run files and counters as the library writes them, for a tool named frob.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::fixture::{GOOD, TestUser};

/// The value of an attribute.
pub(crate) enum Value<'a> {
    Text(&'a str),
    Integer(i64),
}

/// 24 November 2026, 16:05:09 UTC.
pub(crate) const START: u64 = 1_795_536_309_000_000_000;

/// A line of a run file: one span.
pub(crate) fn line(
    (id, parent): (u64, Option<u64>),
    name: &str,
    (start, end): (u64, u64),
    attributes: &[(&str, Value<'_>)],
) -> String {
    let attribute = |(key, value): &(&str, Value<'_>)| match value {
        Value::Text(text) => json!({ "key": key, "value": { "stringValue": text } }),
        Value::Integer(number) => json!({ "key": key, "value": { "intValue": number.to_string() } }),
    };
    let mut span = json!({
        "traceId": format!("{:032x}", 0xabc),
        "spanId": format!("{id:016x}"),
        "flags": 257,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes.iter().map(attribute).collect::<Vec<_>>(),
        "status": {},
    });
    if let Some(parent) = parent {
        span["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    let resource = json!({
        "attributes": [
            { "key": "service.name", "value": { "stringValue": "frob" } },
            { "key": "service.version", "value": { "stringValue": "1.2.3" } },
        ],
    });
    let line = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [span] }] }] });
    format!("{line}\n")
}

/// A run with one child span, which has an approved value and one that is not.
pub(crate) fn run(command: &str, exit_code: i64) -> String {
    line(
        (1, None),
        "frob",
        (START, START + 1_234_000_000),
        &[
            ("process.executable.name", Value::Text("frob")),
            ("process.exit.code", Value::Integer(exit_code)),
            ("frob.command", Value::Text(command)),
        ],
    ) + &line(
        (2, Some(1)),
        "build step",
        (START + 1_000_000, START + 13_000_000),
        &[("frob.color", Value::Text("never")), ("frob.planted", Value::Text("anna"))],
    )
}

/// Writes a run file below frob's directory.
pub(crate) fn put(user: &TestUser, directory: &str, number: u128, extension: &str, content: &str) {
    let telemetry = user.home().join(".local/state/frob/telemetry");
    user.write(&format!(".local/state/frob/telemetry/{directory}/run1-{number:032x}.{extension}"), content);
    fs::set_permissions(&telemetry, fs::Permissions::from_mode(0o700)).expect("new permissions");
}

/// A user with frob's telemetry.toml, a pending run that failed, and a sent run that succeeded.
pub(crate) fn user_with_runs() -> TestUser {
    let user = TestUser::new();
    user.write("telemetry.toml", GOOD);
    put(&user, "maker+the-tests+https-telemetry.example.com-443/runs", 1, "jsonl", &run("build", 1));
    put(&user, "operator+the-tests+https-collector.example-4318/sent", 2, "jsonl", &run("test", 0));
    let counters = "delivered 1200\nlimit_age 3\nlast_failure http 503 1795536300\nrestarted 1795536240\n";
    user.write(
        ".local/state/frob/telemetry/maker+the-tests+https-telemetry.example.com-443/counters",
        &format!("{counters}check {}\n", fnv_1a(counters)),
    );
    user
}

/// The checksum at the end of a counters file.
fn fnv_1a(text: &str) -> String {
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}
