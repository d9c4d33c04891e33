//! Nothing unapproved, and nothing of the sender, reaches the store, the log, the metrics, or an answer; and what arrived
//! together is not kept together.

use std::collections::HashMap;
use std::path::Path;

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use prost::Message as _;
use tool_telemetry_collect::row::trace_ids;
use tool_telemetry_collect::store::{GroupState, SqliteStore, Store as _};
use tool_telemetry_collect::time::Hour;
use tool_telemetry_collect::trace::TraceId;

use crate::fixture;
use crate::program::*;

/// In each planted text.
const CANARY: &str = "canary";

/// All bytes of a store's files.
fn bytes_of(store: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(store).unwrap().map(|file| file.unwrap().path());
    files.flat_map(|file| std::fs::read(file).unwrap()).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(unix)]
#[test]
fn canaries_reach_neither_the_store_nor_the_log_nor_the_metrics_nor_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut span = run_span(1);
    // A start that is found again in any encoding.
    span.start_time_unix_nano = span.start_time_unix_nano / 1_000_000_000 * 1_000_000_000 + 123_456_789;
    span.end_time_unix_nano = span.start_time_unix_nano + 5;
    let start = span.start_time_unix_nano;
    span.trace_state = "canary=state".to_owned();
    span.status = Some(Status { code: 2, message: "canary status".to_owned() });
    span.events.push(Event {
        name: "canary event".to_owned(),
        attributes: vec![string("canary", "canary")],
        ..Event::default()
    });
    span.links.push(Link {
        trace_id: b"canary-link-1234".to_vec(),
        span_id: b"canary-8".to_vec(),
        ..Link::default()
    });
    span.attributes.extend([
        string("canary.key", "x"),
        string("user.name", "canary"),
        string("error.type", "canary error"),
        attribute("canary.bytes", any_value::Value::BytesValue(b"canary bytes".to_vec())),
    ]);
    span.attributes[0] = string("process.executable.name", "/home/canary/dotnet");
    span.attributes[2] = string("dotnet.command", "canary command");
    let mut stranger = run_span(2);
    stranger.name = "canary span".to_owned();
    let mut broken = run_span(3);
    broken.attributes = vec![string("canary", "1"), string("canary", "2")];
    let mut request = request_of(vec![span, stranger, broken]);
    let resource_spans = &mut request.resource_spans[0];
    resource_spans.schema_url = "https://canary.example".to_owned();
    let resource = &mut resource_spans.resource.as_mut().unwrap().attributes;
    resource[1] = string("service.version", "1.0.0-canary");
    resource[2] = string("telemetry.sdk.language", "canary");
    resource.extend([string("host.name", "canary-host"), string("service.instance.id", "canary")]);
    let scope = resource_spans.scope_spans[0].scope.as_mut().unwrap();
    (scope.name, scope.version) = ("canary scope".to_owned(), "canary".to_owned());
    let mut unknown = request.clone();
    unknown.resource_spans[0].resource.as_mut().unwrap().attributes[0] =
        string("service.name", "canary-tool");
    let mut hash = request.clone();
    let of_hash = &mut hash.resource_spans[0].resource.as_mut().unwrap().attributes;
    of_hash.push(string("tool_telemetry.data_points", "canary hash"));

    let headers = [
        ("content-type", PROTOBUF),
        ("user-agent", "canary/1.0"),
        ("x-forwarded-for", "canary.example"),
        ("cookie", "canary=1"),
        ("authorization", "Bearer canary"),
    ];
    let mut told = String::new();
    for request in [&request, &unknown, &hash] {
        let answer = post(server.http, &headers, &request.encode_to_vec()).unwrap();
        told.push_str(&answer.head);
        told.push_str(&answer.text());
    }
    let bad_json = br#"{"resourceSpans":[{"canary":1,"scopeSpans":"canary"}]}"#;
    told.push_str(&server.post(JSON, bad_json).unwrap().text());
    told.push_str(&get(server.http, "/canary?canary").unwrap().text());
    told.push_str(&server.metrics());
    let (code, log) = server.end();
    assert_eq!(code, Some(0));
    told.push_str(&log);

    let store = directory.path().to_str().unwrap();
    let export = text(&run(&["export", "--store", store]).stdout);
    let status = text(&run(&["status", "--json", "--store", store]).stdout);
    assert_eq!(export.lines().count(), 1, "the run is there: {export}");
    assert!(export.contains(r#""stringValue":"1.0.0""#) && status.contains("attributes.unapproved_key"));
    let all = [told.as_bytes(), export.as_bytes(), status.as_bytes(), &bytes_of(directory.path())].concat();
    assert!(!holds(&all.to_ascii_lowercase(), CANARY.as_bytes()), "{told}{export}{status}");
    // Not the time either, nor the address that it came from.
    for time in [&start.to_le_bytes()[..], &start.to_be_bytes(), start.to_string().as_bytes(), b"123456789"] {
        assert!(!holds(&all, time));
    }
    let addresses = [log.replace(&format!("{:?}", "127.0.0.1:0"), ""), export, status].concat();
    let listening = addresses.matches("127.0.0.1").count();
    assert!(listening <= 3, "the log names the server's own addresses only: {addresses}");
}

/// The traces of 1,000 senders, two each, as the store holds them: in groups, rows, and rows' order.
fn order_in(store: &SqliteStore) -> Vec<TraceId> {
    let mut order = Vec::new();
    let mut groups = store.groups().unwrap();
    groups.retain(|group| group.state == GroupState::Live);
    groups.sort_unstable_by_key(|group| group.id);
    for group in groups {
        for row in store.rows(group.id).unwrap() {
            order.extend_from_slice(trace_ids(&row.packed.ids).unwrap());
        }
    }
    order
}

/// How many neighbours come from one sender.
fn pairs(order: &[TraceId], sender: &HashMap<TraceId, u32>) -> usize {
    order.windows(2).filter(|pair| sender[&pair[0]] == sender[&pair[1]]).count()
}

#[test]
fn once_a_day_is_merged_nothing_tells_which_runs_came_from_one_sender() {
    const SENDERS: u32 = 1_000;
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = fixture::open(directory.path(), fixture::NOW);
    let mut sender = HashMap::new();
    for number in 0..SENDERS {
        let runs = vec![fixture::run(2 * number), fixture::run(2 * number + 1)];
        sender.extend(runs.iter().map(|run| (run.id, number)));
        keeper.commit(vec![runs], fixture::NOW).unwrap();
    }
    // Before, rows of small commits tell it: the attack finds what there is to find.
    let before = pairs(&order_in(keeper.store()), &sender);
    let yesterday: Vec<Vec<u8>> = keeper
        .store()
        .groups()
        .unwrap()
        .iter()
        .flat_map(|group| keeper.store().rows(group.id).unwrap())
        .map(|row| row.packed.data)
        .collect();
    let tomorrow = Hour(fixture::NOW.0 + 24);
    fixture::finish_work(&mut keeper, tomorrow);
    let order = order_in(keeper.store());
    assert_eq!(order.len(), 2 * SENDERS as usize);
    let after = pairs(&order, &sender);
    assert!(before > 400, "{before}");
    // Guessing finds one of 1,999: about 1 in expectation, 8 in less than one test of a million.
    assert!(after < 8, "{after}");
    // The old rows are not in the freed pages either.
    let bytes = bytes_of(directory.path());
    let found = yesterday.iter().filter(|row| holds(&bytes, &row[..row.len().min(64)])).count();
    assert_eq!(found, 0, "rows of before the merge are still in the file");
}
