//! The wire contract: the generated code matches `proto/`, and fields outside of it are counted.

use std::path::Path;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, EntityRef, KeyValueList, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, Status};
use prost::Message as _;
use serde_json::json;
use tool_telemetry_receiver::{Answer, Receiver};

use crate::otlp::*;

/// The definitions, by their paths below `proto/`.
const PROTO_FILES: [&str; 1] = ["opentelemetry/proto/collector/trace/v1/trace_service.proto"];

/// `TOOL_TELEMETRY_REGENERATE=1 cargo test --test it generated_code` writes the committed code again after a
/// change of `proto/`.
const REGENERATE: &str = "TOOL_TELEMETRY_REGENERATE";

#[test]
fn generated_code_matches_the_proto_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("crates/receiver/src/generated");
    let made = tempfile::tempdir().unwrap();
    let definitions = protox::compile(PROTO_FILES, [root.join("proto")]).unwrap();
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .out_dir(made.path())
        .compile_fds(definitions)
        .unwrap();

    let mut names = Vec::new();
    for entry in std::fs::read_dir(made.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let code = std::fs::read_to_string(made.path().join(&name)).unwrap();
        if std::env::var_os(REGENERATE).is_some() {
            std::fs::write(committed.join(&name), &code).unwrap();
        }
        // A checkout may change line ends.
        let old = std::fs::read_to_string(committed.join(&name)).unwrap_or_default().replace("\r\n", "\n");
        assert!(
            old == code,
            "crates/receiver/src/generated/{name} does not match proto/; run the test with {REGENERATE}=1 and commit"
        );
        names.push(name);
    }
    names.sort();
    let mut files: Vec<_> = std::fs::read_dir(&committed)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "mod.rs")
        .collect();
    files.sort();
    assert_eq!(files, names, "crates/receiver/src/generated holds files without a definition");
}

/// The fields of a protobuf request that are outside of the contract. The request is accepted anyway.
fn outside(body: &[u8]) -> Vec<String> {
    let receiver = Receiver::start().unwrap();
    assert_eq!(send(&receiver, body).partial_success(), None);
    receiver.outside_contract()
}

fn outside_json(body: serde_json::Value) -> Vec<String> {
    let receiver = Receiver::start().unwrap();
    assert_eq!(send_json(&receiver, &body.to_string()).text(), "{}");
    receiver.outside_contract()
}

fn none() -> Vec<String> {
    Vec::new()
}

/// An embedded message: the field's number and the content.
fn nested(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

/// A request with one valid span, followed by more bytes in that span.
fn with_span_bytes(more: &[u8]) -> Vec<u8> {
    let mut span = span(1, "dotnet", 1).encode_to_vec();
    span.extend(more);
    nested(1, &nested(2, &nested(2, &span)))
}

#[test]
fn everything_a_run_may_use_is_in_the_contract() {
    let mut whole = child(7, 1, "dotnet", 1);
    whole.flags = 0x301;
    whole.status = Some(Status { code: 2, ..Status::default() });
    whole.attributes = vec![
        text("text", ""),
        attribute("flag", any_value::Value::BoolValue(false)),
        attribute("number", any_value::Value::IntValue(-1)),
    ];
    assert_eq!(outside(&bytes(vec![whole])), none());
}

#[test]
fn fields_outside_the_contract_are_named() {
    let spans = "resource_spans.scope_spans.spans";
    type Change<'a> = &'a dyn Fn(&mut ExportTraceServiceRequest);
    let cases: [(&str, Change<'_>); 17] = [
        ("resource_spans.schema_url (3)", &|r| r.resource_spans[0].schema_url = "x".into()),
        ("resource_spans.scope_spans.schema_url (3)", &|r| scope(r).schema_url = "x".into()),
        ("resource_spans.resource.dropped_attributes_count (2)", &|r| {
            r.resource_spans[0].resource.as_mut().unwrap().dropped_attributes_count = 1;
        }),
        ("resource_spans.resource.entity_refs (3)", &|r| {
            let entities = &mut r.resource_spans[0].resource.as_mut().unwrap().entity_refs;
            entities.push(EntityRef::default());
        }),
        ("resource_spans.scope_spans.scope.attributes (3)", &|r| {
            scope(r).scope.as_mut().unwrap().attributes.push(text("a", "b"));
        }),
        ("resource_spans.scope_spans.scope.dropped_attributes_count (4)", &|r| {
            scope(r).scope.as_mut().unwrap().dropped_attributes_count = 1;
        }),
        ("trace_state (3)", &|r| first(r).trace_state = "a=b".into()),
        ("dropped_attributes_count (10)", &|r| first(r).dropped_attributes_count = 1),
        // An event without a name or time is still an event.
        ("events (11)", &|r| first(r).events.push(Event::default())),
        ("dropped_events_count (12)", &|r| first(r).dropped_events_count = 1),
        ("links (13)", &|r| first(r).links.push(Link::default())),
        ("dropped_links_count (14)", &|r| first(r).dropped_links_count = 1),
        ("status.message (2)", &|r| {
            first(r).status = Some(Status { code: 2, message: "no such file".into() });
        }),
        ("attributes.value.double_value (4)", &|r| value(r, any_value::Value::DoubleValue(0.0))),
        ("attributes.value.array_value (5)", &|r| {
            value(r, any_value::Value::ArrayValue(ArrayValue::default()));
        }),
        ("attributes.value.kvlist_value (6)", &|r| {
            value(r, any_value::Value::KvlistValue(KeyValueList::default()));
        }),
        ("attributes.value.bytes_value (7)", &|r| value(r, any_value::Value::BytesValue(Vec::new()))),
    ];
    for (path, change) in cases {
        let mut request = request(vec![span(1, "dotnet", 1)]);
        change(&mut request);
        let path =
            if path.starts_with("resource_spans") { path.to_owned() } else { format!("{spans}.{path}") };
        let mut expected = vec![path.clone()];
        if path.contains("value") {
            expected.insert(0, format!("{spans}.attributes.value (2, without a value of the contract)"));
        }
        assert_eq!(outside(&request.encode_to_vec()), expected);
    }
}

fn scope(request: &mut ExportTraceServiceRequest) -> &mut ScopeSpans {
    &mut request.resource_spans[0].scope_spans[0]
}

fn first(request: &mut ExportTraceServiceRequest) -> &mut Span {
    &mut scope(request).spans[0]
}

fn value(request: &mut ExportTraceServiceRequest, value: any_value::Value) {
    first(request).attributes.push(attribute("key", value));
}

#[test]
fn fields_outside_the_contract_are_counted_and_never_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("received.jsonl");
    let receiver = Receiver::builder().keep_in(&path).answers([Answer::status(503)]).start().unwrap();
    let mut leaking = span(1, "dotnet", 1);
    leaking.trace_state = "leak=1".to_owned();
    leaking.status = Some(Status { code: 2, message: "leak".to_owned() });
    leaking.attributes = vec![
        attribute("leak", any_value::Value::BytesValue(b"leak".to_vec())),
        text("dotnet.command", "build"),
    ];
    let event = Event { name: "leak".to_owned(), ..Event::default() };
    leaking.events = vec![event.clone(), event];
    // Also if the answer requests a retry.
    send(&receiver, &bytes(vec![leaking.clone()]));
    send_grpc(&receiver, vec![leaking], None, TIMEOUT).unwrap();
    assert_eq!(receiver.tree(), "dotnet [error] dotnet.command=build\n");
    assert_eq!(receiver.outside_contract().len(), 5);
    assert_eq!(receiver.outside_contract_count(), 12);
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.contains("dotnet.command") && !kept.contains("leak"), "{kept}");
}

#[test]
fn default_values_are_inside_the_contract() {
    let defaults = [
        0x1a, 0, // trace_state
        0x50, 0, 0x60, 0, 0x70, 0, // dropped counts
        0x22, 0, // parent_span_id
        0x85, 0x01, 0, 0, 0, 0, // flags
        0x7a, 4, 0x12, 0, 0x18, 0, // status with an empty message and an unset code
    ];
    assert_eq!(outside(&with_span_bytes(&defaults)), none());
}

#[test]
fn an_unknown_field_after_an_overlong_varint_is_found() {
    // The kind in a varint of five bytes instead of one hides a field of four bytes from a comparison of
    // lengths.
    let mut span = Span { kind: 0, ..span(1, "dotnet", 1) }.encode_to_vec();
    span.extend([0x30, 0x81, 0x80, 0x80, 0x80, 0x00]);
    let request = |span: &[u8]| nested(1, &nested(2, &nested(2, span)));
    assert_eq!(outside(&request(&span)), none());
    span.extend([0x98, 0x06, 0xff, 0x7f]);
    assert_eq!(outside(&request(&span)), ["resource_spans.scope_spans.spans.unknown (99)"]);
}

#[test]
fn unknown_fields_of_every_wire_type_and_depth_are_found() {
    let unknown: [&[u8]; 5] = [
        &[0x98, 0x06, 0x00],
        &[0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x9a, 0x06, 0x00],
        // A group, with a group inside.
        &[0x9b, 0x06, 0x0b, 0x0c, 0x9c, 0x06],
        &[0x9d, 0x06, 1, 2, 3, 4],
    ];
    for field in unknown {
        assert_eq!(outside(field), ["unknown (99)"], "{field:x?}");
        assert_eq!(outside(&nested(1, field)), ["resource_spans.unknown (99)"]);
        assert_eq!(outside(&nested(1, &nested(1, field))), ["resource_spans.resource.unknown (99)"]);
        let scope_spans = "resource_spans.scope_spans";
        assert_eq!(outside(&nested(1, &nested(2, field))), [format!("{scope_spans}.unknown (99)")]);
        assert_eq!(
            outside(&nested(1, &nested(2, &nested(1, field)))),
            [format!("{scope_spans}.scope.unknown (99)")]
        );
        assert_eq!(outside(&with_span_bytes(field)), [format!("{scope_spans}.spans.unknown (99)")]);
        assert_eq!(
            outside(&with_span_bytes(&nested(15, field))),
            [format!("{scope_spans}.spans.status.unknown (99)")]
        );
    }
}

#[test]
fn bits_dropped_by_decoding_are_found() {
    let spans = "resource_spans.scope_spans.spans";
    // A kind with 1 in its lower half and 7 in its upper half.
    let mut kind = vec![0x30];
    prost::encoding::encode_varint(7 << 32 | 1, &mut kind);
    assert_eq!(
        outside(&with_span_bytes(&kind)),
        [format!("{spans}.kind (6, again)"), format!("{spans}.kind (6, not a value of the enum)")]
    );
    // A bool with the value 77.
    let attribute = [nested(1, b"key"), nested(2, &[0x10, 77])].concat();
    assert_eq!(
        outside(&with_span_bytes(&nested(9, &attribute))),
        [format!("{spans}.attributes.value.bool_value (2, not 0 or 1)")]
    );
    // Two names, of which the last counts.
    assert_eq!(outside(&with_span_bytes(b"\x2a\x01x")), [format!("{spans}.name (5, again)")]);
    // Two members of a oneof. Only the last is decoded.
    let attribute = [nested(1, b"key"), nested(2, &[0x0a, 4, b'l', b'e', b'a', b'k', 0x10, 1])].concat();
    assert_eq!(
        outside(&with_span_bytes(&nested(9, &attribute))),
        [format!("{spans}.attributes.value.bool_value (2, besides another)")]
    );
}

#[test]
fn unknown_field_names_are_bounded() {
    let mut request = Vec::new();
    for number in 100_u32..5_000 {
        prost::encoding::encode_varint(u64::from(number << 3), &mut request);
        request.push(0);
    }
    let receiver = Receiver::start().unwrap();
    send(&receiver, &request);
    assert_eq!(receiver.outside_contract_count(), 4_900);
    assert_eq!(receiver.outside_contract().len(), 1_001);
}

/// The JSON of a request with one span, which also has `more`.
fn json_span(more: serde_json::Value) -> serde_json::Value {
    let mut span = json!({
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", "parentSpanId": "",
        "flags": 257, "name": "dotnet", "kind": 1,
        "startTimeUnixNano": "18446744073709551614", "endTimeUnixNano": "18446744073709551615",
        "attributes": [
            {"key": "text", "value": {"stringValue": "build"}},
            {"key": "flag", "value": {"boolValue": true}},
            {"key": "number", "value": {"intValue": "-9223372036854775808"}},
        ],
        "status": {"code": 2},
    });
    for (key, value) in more.as_object().unwrap() {
        span[key] = value.clone();
    }
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "dotnet"}}]},
        "scopeSpans": [{"scope": {"name": "a", "version": "1"}, "spans": [span]}],
    }]})
}

#[test]
fn json_values_are_read_exactly() {
    let receiver = Receiver::start().unwrap();
    assert_eq!(send_json(&receiver, &json_span(json!({})).to_string()).text(), "{}");
    assert_eq!(receiver.tree(), "dotnet [error] text=build flag=true number=-9223372036854775808\n");
    let span = &receiver.spans()[0];
    assert_eq!((span.trace_id(), span.parent_span_id()), ("5b8efff798038103d269b633813fc60c", None));
    assert_eq!((span.end_unix_nano(), span.flags()), (u64::MAX, 257));
    assert_eq!((span.scope_name(), span.scope_version()), ("a", "1"));
    assert_eq!(span.resource_attribute("service.name"), Some(&"dotnet".into()));
    assert_eq!(receiver.outside_contract(), none());
}

#[test]
fn json_defaults_and_nulls_are_inside_the_contract() {
    let defaults = json!({
        "traceState": "", "droppedAttributesCount": 0, "events": [], "droppedEventsCount": 0, "links": [],
        "droppedLinksCount": 0, "status": {"message": "", "code": 0}, "parentSpanId": null,
    });
    assert_eq!(outside_json(json_span(defaults)), none());
}

#[test]
fn json_keys_outside_the_contract_are_ignored_and_named() {
    let spans = "resource_spans.scope_spans.spans";
    let value = |value: serde_json::Value| json!([{"key": "key", "value": value}]);
    let cases = [
        (json!({"traceState": "a=b"}), "trace_state (3)"),
        (json!({"events": [{}]}), "events (11)"),
        (json!({"links": [{"traceId": "x"}]}), "links (13)"),
        (json!({"droppedLinksCount": 1}), "dropped_links_count (14)"),
        (json!({"status": {"message": "no such file"}}), "status.message (2)"),
        (json!({"parent_span_id": "eee19b7ec3c1b175"}), "\"parent_span_id\""),
        (json!({"Name": "x"}), "\"Name\""),
        (json!({"x": null}), "\"x\""),
        (json!({"startTimeUnixNano": 5}), "start_time_unix_nano (7, a number instead of a string)"),
        (
            json!({"attributes": value(json!({"intValue": 5}))}),
            "attributes.value.int_value (3, a number instead of a string)",
        ),
    ];
    for (more, path) in cases {
        assert_eq!(outside_json(json_span(more)), [format!("{spans}.{path}")]);
    }
    for (more, path) in [
        (json!({"doubleValue": 0.0}), "double_value (4)"),
        (json!({"arrayValue": {}}), "array_value (5)"),
        (json!({"kvlistValue": {}}), "kvlist_value (6)"),
        (json!({"bytesValue": ""}), "bytes_value (7)"),
        (json!({"textValue": ""}), "\"textValue\""),
    ] {
        let expected = [
            format!("{spans}.attributes.value (2, without a value of the contract)"),
            format!("{spans}.attributes.value.{path}"),
        ];
        assert_eq!(outside_json(json_span(json!({"attributes": value(more)}))), expected);
    }
    assert_eq!(outside_json(json!({"resource_spans": []})), ["\"resource_spans\""]);
    assert_eq!(outside_json(json!({"x".repeat(1_000): 1})), [format!("{:?}", "x".repeat(64))]);
}

#[test]
fn json_of_the_wrong_type_is_refused_and_not_echoed() {
    let value = |value: serde_json::Value| json_span(json!({"attributes": [{"key": "key", "value": value}]}));
    let cases = [
        json!(null),
        json!("secret"),
        json!({"resourceSpans": {}}),
        json!({"resourceSpans": ["secret"]}),
        json_span(json!({"kind": "SPAN_KIND_INTERNAL"})),
        json_span(json!({"kind": 1.5})),
        json_span(json!({"status": {"code": "STATUS_CODE_OK"}})),
        json_span(json!({"status": []})),
        json_span(json!({"name": 7})),
        json_span(json!({"traceId": "secret"})),
        json_span(json!({"traceId": "5b8"})),
        json_span(json!({"flags": "257"})),
        json_span(json!({"flags": -1})),
        json_span(json!({"startTimeUnixNano": "+5"})),
        json_span(json!({"startTimeUnixNano": " 5"})),
        json_span(json!({"startTimeUnixNano": "18446744073709551616"})),
        json_span(json!({"startTimeUnixNano": -1})),
        json_span(json!({"attributes": [null]})),
        value(json!({"intValue": "secret"})),
        value(json!({"intValue": 0.5})),
        value(json!({"stringValue": 1})),
        value(json!({"boolValue": "true"})),
        value(json!({"boolValue": true, "stringValue": "x"})),
        value(json!("secret")),
    ];
    for case in cases {
        let receiver = Receiver::start().unwrap();
        let got = send_json(&receiver, &case.to_string());
        assert_eq!((got.status, got.header("content-type")), (400, JSON), "{case}");
        assert!(got.text().contains(r#""code":3"#) && !got.text().contains("secret"), "{}", got.text());
        assert_eq!(receiver.tree(), "");
    }
    // Endless nesting.
    let receiver = Receiver::start().unwrap();
    assert_eq!(send_json(&receiver, &r#"{"x":["#.repeat(1 << 20)).status, 400);
}

#[test]
fn truncated_or_corrupted_requests_do_not_break_the_receiver() {
    let receiver = Receiver::start().unwrap();
    let client = client(TIMEOUT);
    let mut span = child(7, 1, "dotnet", 1);
    span.attributes = vec![text("dotnet.command", "build")];
    let json = json_span(json!({})).to_string().into_bytes();
    for (content_type, good) in [(PROTOBUF, bytes(vec![span])), (JSON, json)] {
        let headers = [("content-type", content_type)];
        for place in 0..good.len() {
            let mut changed = good.clone();
            changed[place] ^= 0xff;
            for body in [&good[..place], &changed] {
                let got = post_with(&client, &receiver, "/v1/traces", &headers, body).unwrap();
                assert!([200, 400].contains(&got.status), "{place}: {got:?}");
            }
        }
    }
    assert_eq!(receiver.connections(), 1);
}
