use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::fixture::GOOD;
use crate::run_files::user_with_runs;
use crate::tool_commands::JistUser;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn schema(name: &str) -> Validator {
    let path = repository().join("docs/schemas").join(name);
    let text = fs::read_to_string(&path).expect("the schema");
    let schema = serde_json::from_str(&text).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a valid schema");
    jsonschema::draft202012::new(&schema).expect("a usable schema")
}

#[track_caller]
fn assert_valid(schema: &Validator, value: &Value) {
    let errors: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}\n{value:#}", errors.join("\n"));
}

/// Sets the value at a JSON pointer, or adds it to the object there.
fn changed(value: &Value, pointer: &str, new: Value) -> Value {
    let mut changed = value.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = changed.pointer_mut(parent).expect("the parent");
    match parent {
        Value::Array(items) => items[key.parse::<usize>().expect("a position")] = new,
        parent => parent[key] = new,
    }
    changed
}

#[track_caller]
fn assert_each_invalid(schema: &Validator, value: &Value, changes: &[(&str, Value)]) {
    for (pointer, new) in changes {
        assert!(!schema.is_valid(&changed(value, pointer, new.clone())), "{pointer} = {new} is accepted");
    }
}

#[test]
fn status_json_matches_its_schema() {
    let schema = schema("status.schema.json");
    let user = user_with_runs();
    let status =
        |arguments: &[&str]| -> Value { serde_json::from_str(&user.run(arguments).stdout).expect("JSON") };
    let with_runs = status(&["status", "frob", "--json"]);
    assert_valid(&schema, &with_runs);
    assert_valid(&schema, &status(&["status", "nosuch", "--json"]));
    user.run(["off", "frob"]);
    assert_valid(&schema, &status(&["status", "frob", "--json"]));
    assert_each_invalid(
        &schema,
        &with_runs,
        &[
            ("/format", json!(2)),
            ("/standard", json!(["disk"])),
            ("/defaults", json!({ "kind": "bool" })),
            ("/telemetry", json!(true)),
            ("/reason", json!("mood")),
            ("/user", json!("anna")),
            ("/destinations/0/pending", json!(-1)),
            ("/destinations/0/last_failure", json!("http 503")),
            ("/destinations/0/dropped/mood", json!(1)),
        ],
    );
}

#[test]
fn run_files_and_show_json_match_the_schema_of_a_line() {
    let schema = schema("run-line.schema.json");
    let user = JistUser::with_a_run("http://127.0.0.1:9");
    let mut lines = user.run_files();
    lines.push_str(&user.run(&["show", "jist", "--json"]).stdout);
    user.write_definition();
    lines.push_str(&user.run(&["show", "jist", "--json"]).stdout);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() >= 3, "{lines:?}");
    for line in &lines {
        assert_valid(&schema, line);
    }
    let hash = "/resourceSpans/0/resource/attributes/7";
    let key = lines[0].pointer(&format!("{hash}/key")).and_then(Value::as_str);
    assert_eq!(key, Some("tool_telemetry.data_points"));
    for wrong in ["", "anna", &"A".repeat(32)] {
        let wrong = changed(&lines[0], &format!("{hash}/value/stringValue"), json!(wrong));
        assert!(!schema.is_valid(&wrong), "{wrong}");
    }
    let span = "/resourceSpans/0/scopeSpans/0/spans/0";
    for (key, value) in [
        ("events", json!([])),
        ("traceState", json!("a=b")),
        ("traceId", json!("ABC")),
        ("status", json!({ "message": "anna" })),
        ("kind", json!(2)),
        ("startTimeUnixNano", json!(1)),
        ("attributes", json!([{ "key": "jist.recipe", "value": { "doubleValue": 0.5 } }])),
    ] {
        let wrong = changed(&lines[0], &format!("{span}/{key}"), value);
        assert!(!schema.is_valid(&wrong), "{key} is accepted");
    }
}

#[test]
fn each_telemetry_toml_matches_its_schema() {
    let schema = schema("telemetry-toml.schema.json");
    let definition = |text: &str| -> Value { toml::from_str(text).expect("TOML") };
    for file in [
        "crates/cli/tests/tool/telemetry.toml",
        "crates/benches/tools/telemetry.toml",
        "crates/benches/exit_cost/telemetry.toml",
        "examples/telemetry.toml",
        "examples/dotnet/telemetry.toml",
        "examples/first/telemetry.toml",
        "tests/data/format.toml",
        "tests/data/standard.toml",
        "tests/data/telemetry.toml",
        "tests/tool/standard.toml",
        "tests/tool/telemetry.toml",
    ] {
        assert_valid(&schema, &definition(&fs::read_to_string(repository().join(file)).expect(file)));
    }
    let good = definition(GOOD);
    assert_valid(&schema, &good);
    assert_each_invalid(
        &schema,
        &good,
        &[
            ("/format", json!(2)),
            ("/standard", json!(["disk"])),
            ("/defaults", json!({ "kind": "bool" })),
            ("/colour", json!("red")),
            ("/publisher/retention_days", json!(0)),
            ("/publisher/privacy", json!("http://example.com")),
            ("/span/0/name", json!("run")),
            ("/span/0/target", json!("my-crate")),
            ("/data_point/0/kind", json!("text")),
            ("/data_point/0/values", json!(["a b"])),
            ("/data_point/0/audience", json!("everyone")),
            ("/data_point/0/since", json!("1.0.0.0")),
            ("/data_point/0/min", json!(1)),
            ("/data_point/0/sentence", json!("x".repeat(77))),
            ("/data_point/1/on", json!(["build step"])),
        ],
    );
}
