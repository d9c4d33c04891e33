//! `export`, `import`, `recount`, `forget`, `status`, and `demo`.

use std::fs;
use std::path::Path;

use tool_telemetry_collect::store::SqliteStore;

use crate::program::*;

/// A store with runs 1 to 20.
fn store(directory: &Path) -> String {
    let server = Server::start(directory);
    assert!(server.send(&(1..=20).collect::<Vec<_>>()));
    drop(server);
    directory.to_str().unwrap().to_owned()
}

#[test]
fn what_is_exported_can_be_imported_and_importing_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let old = store(&directory.path().join("old"));
    let new = directory.path().join("new");
    let file = directory.path().join("runs.jsonl");
    fs::write(&file, run(&["export", "--store", &old]).stdout).unwrap();
    let (new_text, file, definition) =
        (new.to_str().unwrap(), file.to_str().unwrap(), definition().to_str().unwrap().to_owned());
    for _ in 0..2 {
        let import = run(&["import", "--store", new_text, "--data-points", &definition, file]);
        assert_eq!(text(&import.stdout), "20 lines, 20 runs and counts, 0 spans rejected\n");
    }
    assert_eq!(exported(&new), ids(1..=20));
    // The store knows its telemetry.toml now.
    assert!(run(&["import", "--store", new_text, file]).status.success());
    let exports = [&old[..], new_text].map(|store| {
        let export = text(&run(&["export", "--store", store]).stdout);
        let mut lines: Vec<String> = export.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    });
    assert_eq!(exports[0], exports[1]);
    assert_eq!(text(&run(&["export", "--store", &old, "--tool", "other"]).stdout), "");
}

#[test]
fn the_parquet_file_holds_the_same_spans_as_the_lines() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory.path().join("store"));
    let file = directory.path().join("runs.parquet");
    let export = run(&["export", "--store", &store, "--format", "parquet"]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    fs::write(&file, export.stdout).unwrap();
    let reader = SerializedFileReader::try_from(file.as_path()).unwrap();
    let mut rows: Vec<String> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| {
            let row = row.unwrap();
            let entries = row.get_map(8).unwrap().entries();
            let attributes: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let (id, duration) = (row.get_string(0).unwrap(), row.get_long(5).unwrap());
            format!("{id} {} {duration} {}", row.get_timestamp_millis(4).unwrap(), attributes.join(" "))
        })
        .collect();
    let mut expected: Vec<String> = text(&run(&["export", "--store", &store]).stdout)
        .lines()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let span = &json["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
            let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
            let attribute = |there: &serde_json::Value| {
                let value = there["value"].as_object().unwrap().values().next().unwrap();
                format!("{}={}", there["key"], value)
            };
            let attributes: Vec<String> =
                span["attributes"].as_array().unwrap().iter().map(attribute).collect();
            let (start, end) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
            let id = span["traceId"].as_str().unwrap();
            format!("{id} {} {} {}", start / 1_000_000, end - start, attributes.join(" "))
        })
        .collect();
    rows.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rows, expected);
    assert_eq!(rows.len(), 20);
}

#[test]
fn lines_that_are_no_runs_are_counted_and_the_others_imported() {
    let directory = tempfile::tempdir().unwrap();
    let old = store(&directory.path().join("old"));
    let file = directory.path().join("runs.jsonl");
    let export = text(&run(&["export", "--store", &old]).stdout);
    fs::write(&file, format!("no JSON\n\n{export}{{\"resourceSpans\":7}}\n")).unwrap();
    let new = directory.path().join("new");
    let mut import = program(&["import", "--store"]);
    let output = import.arg(&new).arg("--data-points").arg(definition()).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("22 lines, 20 runs and counts, 2 spans rejected\n"));
    assert_eq!(exported(&new), ids(1..=20));
}

#[test]
fn a_recount_finds_a_wrong_cell_and_repairs_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let connection = rusqlite::Connection::open(directory.path().join("runs.sqlite")).unwrap();
    assert_eq!(connection.execute("UPDATE cell SET n = n + 5 WHERE name = 'runs'", []).unwrap(), 1);
    drop(connection);
    let recount = run(&["recount", "--store", &store]);
    assert_eq!(recount.status.code(), Some(1));
    assert!(
        text(&recount.stdout).contains(r#"runs ["1.0.0"]: 25, counted again 20"#),
        "{}",
        text(&recount.stdout)
    );
    assert!(run(&["recount", "--store", &store, "--write"]).status.success());
    assert_eq!(exported(directory.path()), ids(1..=20));
}

#[test]
fn a_run_that_is_forgotten_is_gone_from_the_rows_and_the_cells() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let id = &ids([7])[0];
    let reader = SqliteStore::open_to_read(Path::new(&store)).unwrap();
    let deleted = run(&["forget", "--store", &store, id]);
    assert!(
        text(&deleted.stdout).starts_with("the run is deleted, 1 spans\nanother process reads the store")
    );
    assert_eq!(deleted.status.code(), Some(1));
    drop(reader);
    assert_eq!(exported(directory.path()), ids((1..=20).filter(|number| *number != 7)));
    let again = run(&["forget", "--store", &store, id]);
    assert_eq!((again.status.code(), text(&again.stdout).as_str()), (Some(1), "no run has this trace id\n"));
    assert_eq!(run(&["forget", "--store", &store, "x"]).status.code(), Some(2));
    let bytes = fs::read(directory.path().join("runs.sqlite")).unwrap();
    let needle = trace_id(7);
    assert!(!bytes.windows(16).any(|window| window == needle), "the id is still in the file");
}

#[test]
fn the_status_shows_runs_and_what_was_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    assert!(server.send(&[1, 2, 3]));
    let mut strange = run_span(4);
    strange.attributes.push(string("user.name", "anna"));
    let body = prost::Message::encode_to_vec(&request_of(vec![strange]));
    assert_eq!(server.post(PROTOBUF, &body).unwrap().status, 200);
    let store = directory.path().to_str().unwrap();
    // While the server runs.
    let status = text(&run(&["status", "--store", store]).stdout);
    assert!(status.starts_with("4 runs and counts, 4 spans, "), "{status}");
    assert!(status.contains("dotnet ") && status.contains(": 4 runs, 0 counts\n"), "{status}");
    assert!(status.contains("  attributes.unapproved_key: 1\n"), "{status}");
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["status", "--json", "--store", store]).stdout).unwrap();
    assert_eq!(json["weeks"][0]["runs"], 4);
    let missing = run(&["status", "--store", "/nowhere"]);
    assert_eq!(missing.status.code(), Some(2));
    assert_eq!(text(&missing.stderr), "error: there is no store in /nowhere\n");
}

#[test]
fn the_demo_shows_that_nothing_is_lost_doubled_or_told() {
    let demo = run(&["demo"]);
    let said = text(&demo.stdout);
    assert!(demo.status.success(), "{said}{}", text(&demo.stderr));
    assert!(said.contains("1000 runs are in the store\nthe secret is in none of its files\n"), "{said}");
    assert_eq!(said.matches("killed after").count(), 2, "{said}");
    assert!(said.contains(r#"runs ["1.0.0"]: 1000"#), "{said}");
}
