use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::program::{GOOD, Person};

/// A value as OTLP/JSON has it.
enum Value<'a> {
    Text(&'a str),
    Integer(i64),
}

/// A line of a run file.
fn line(ids: (u64, Option<u64>), name: &str, times: (u64, u64), values: &[(&str, Value<'_>)]) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let attributes: Vec<String> = values
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Text(value) => format!("\"stringValue\":{}", text(value)),
                Value::Integer(value) => format!("\"intValue\":\"{value}\""),
            };
            format!("{{\"key\":{},\"value\":{{{value}}}}}", text(key))
        })
        .collect();
    let parent = ids.1.map_or_else(String::new, |id| format!("\"parentSpanId\":\"{id:016x}\","));
    format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\
         \"frob\"}}}},{{\"key\":\"service.version\",\"value\":{{\"stringValue\":\"1.2.3\"}}}}]}},\"scopeSpans\":[{{\
         \"spans\":[{{\"traceId\":\"{:032x}\",\"spanId\":\"{:016x}\",{parent}\"flags\":257,\"name\":{},\"kind\":1,\
         \"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\",\"attributes\":[{}],\"status\":{{}}}}]}}]}}]}}\n",
        0xabc,
        ids.0,
        text(name),
        times.0,
        times.1,
        attributes.join(",")
    )
}

/// 24 November 2026, 16:05:09 UTC.
const START: u64 = 1_795_536_309_000_000_000;

/// A run with one span.
fn a_run(command: &str, code: i64) -> String {
    line(
        (1, None),
        "frob",
        (START, START + 1_234_000_000),
        &[
            ("process.executable.name", Value::Text("frob")),
            ("process.exit.code", Value::Integer(code)),
            ("frob.command", Value::Text(command)),
        ],
    ) + &line(
        (2, Some(1)),
        "build step",
        (START + 1_000_000, START + 13_000_000),
        &[("frob.color", Value::Text("never")), ("frob.planted", Value::Text("anna"))],
    )
}

/// Puts a run file where the library has it.
fn put(person: &Person, place: &str, number: u128, ending: &str, content: &str) {
    let telemetry = person.home().join(".local/state/frob/telemetry");
    person.file(&format!(".local/state/frob/telemetry/{place}/run1-{number:032x}.{ending}"), content);
    fs::set_permissions(&telemetry, fs::Permissions::from_mode(0o700)).expect("a private folder");
}

fn view(person: &Person, arguments: &[&str]) -> String {
    let said = person.says(["view", "frob", "--output", "-"].iter().chain(arguments));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out
}

/// FNV-1a, with which the library's counters end.
fn checksum(text: &str) -> String {
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// A person with a failed run that waits and a good one that was sent, and the data points at hand.
fn person() -> Person {
    let person = Person::new();
    person.file("telemetry.toml", GOOD);
    put(&person, "maker+the-tests+https-telemetry.example.com-443/runs", 1, "jsonl", &a_run("build", 1));
    put(&person, "operator+the-tests+https-collector.example-4318/sent", 2, "jsonl", &a_run("test", 0));
    let counters = "delivered 1200\nlimit_age 3\nlast_failure http 503 1795536300\nrestarted 1795536240\n";
    let checked = format!("{counters}check {}\n", checksum(counters));
    person.file(
        ".local/state/frob/telemetry/maker+the-tests+https-telemetry.example.com-443/counters",
        &checked,
    );
    person
}

#[test]
fn the_page_tells_each_run_with_its_spans_values_state_and_place() {
    let page = view(&person(), &[]);
    for words in [
        "24 November 2026",
        "16:05:09",
        "<span class=\"command\">build</span><span class=\"chip bad\">exit 1</span>",
        "<span class=\"took\">1.23 s</span>",
        "Waits to be sent to Example Tools, the maker, at https://telemetry.example.com:443.",
        "Sent to https://collector.example:4318. It had arrived by",
        "<span class=\"name\">build step</span>",
        "<b>frob.color</b> never",
        "Version 1.2.3.",
        "Trace id <code>00000000000000000000000000000abc</code>",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

#[test]
fn the_page_tells_what_became_of_the_runs_that_are_gone() {
    let page = view(&person(), &[]);
    for words in [
        "1,200",
        "3 waited too long",
        "http 503, 24 November 2026, 16:05:00",
        "since 24 November 2026, 16:04:00",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn the_page_says_of_each_data_point_what_why_and_for_whom() {
    let page = view(&person(), &[]);
    for words in [
        "The command being used",
        "To know which commands matter.",
        "only a place that you or your administrator chose",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn with_data_points_only_what_they_approve_is_shown_and_the_rest_counted() {
    let page = view(&person(), &[]);
    assert!(!page.contains("planted") && !page.contains("anna"));
    assert!(page.contains("1 line or value of the file is not shown and not sent"), "{page}");
}

#[test]
fn without_data_points_all_that_lies_on_disk_is_shown_with_a_warning() {
    let person = person();
    fs::remove_file(person.home().join("telemetry.toml")).expect("the file was there");
    let page = view(&person, &[]);
    assert!(page.contains("<b>frob.planted</b> anna"));
    assert!(page.contains("class=\"warning\""));
    assert!(view(&self::person(), &[]).matches("class=\"warning\"").count() == 0);
}

#[test]
fn no_text_on_disk_becomes_an_element() {
    let hostile = "\"'></code><script>alert(1)</script><img src=x onerror=alert(1)>";
    let person = Person::new();
    let run = line(
        (1, None),
        hostile,
        (START, START + 1),
        &[
            ("process.executable.name", Value::Text(hostile)),
            (hostile, Value::Text(hostile)),
            ("process.exit.code", Value::Text(hostile)),
        ],
    );
    put(&person, "operator+https-<script>x<-1/runs", 1, "jsonl", &run);
    let page = view(&person, &[]);
    assert!(page.contains("&#60;script&#62;alert(1)"), "the text is shown");
    assert!(!page.contains("<script") && !page.contains("<img"));
}

#[test]
fn a_damaged_file_costs_itself_and_no_other() {
    let person = person();
    for (number, content) in ["", "{", "[]\n", "{\"resourceSpans\":[]}\n", "\u{0}\n"].iter().enumerate() {
        put(
            &person,
            "maker+the-tests+https-telemetry.example.com-443/runs",
            100 + number as u128,
            "jsonl",
            content,
        );
    }
    // Spans that are each other's parents.
    let circle = a_run("build", 0)
        + &line((5, Some(6)), "phase", (START, START), &[])
        + &line((6, Some(5)), "phase", (START, START), &[]);
    put(&person, "maker+the-tests+https-telemetry.example.com-443/runs", 200, "jsonl", &circle);
    assert_eq!(view(&person, &[]).matches("<details class=\"run ").count(), 3);
}

#[test]
fn the_top_says_whether_it_is_on_what_decided_it_and_how_to_turn_it_off() {
    let person = person();
    let untold = view(&person, &[]);
    for words in ["Telemetry is off", "has not been shown to you yet", "So that it stays off:"] {
        assert!(untold.contains(words), "{words}\n{untold}");
    }
    person.file(".config/frob/telemetry.toml", "[notice]\n\"maker+http-127.0.0.1-9\" = \"1.0.0\"\n");
    let on = view(&person, &["--opt-out-var", "FROB_OPTOUT"]);
    for words in [
        "Telemetry is on",
        "the tool&#39;s own default holds",
        "<code>tool-telemetry off frob</code>",
        "<code>FROB_OPTOUT=1</code>",
        "<code>FROB_TELEMETRY=off</code>",
        "up to that of version 1.0.0",
    ] {
        assert!(on.contains(words), "{words}\n{on}");
    }
    person.file(".config/frob/telemetry.toml", "telemetry = \"off\"\n");
    let off = view(&person, &[]);
    for words in [
        "Telemetry is off",
        "You turned it off",
        ".config/frob/telemetry.toml",
        "<code>tool-telemetry on frob</code> turns it on",
    ] {
        assert!(off.contains(words), "{words}");
    }
    person.file(".config/frob/telemetry.toml", "telemetry = maybe\n");
    assert!(view(&person, &[]).contains("The file with your choice cannot be read"));
    let mut program = person.program();
    let output = program
        .args(["view", "frob", "--output", "-", "--opt-out-var", "FROB_OPTOUT"])
        .env("FROB_OPTOUT", "yes");
    let page = String::from_utf8(output.output().expect("the program starts").stdout).expect("UTF-8");
    assert!(page.contains("The environment variable FROB_OPTOUT is set in this terminal."));
}

#[test]
fn the_page_has_no_script_and_loads_nothing() {
    let page = view(&person(), &[]);
    assert!(page.contains("content=\"default-src 'none'; style-src 'sha256-"));
    for word in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        "<object",
        " style=",
        " src=",
        "url(",
        "@import",
        "javascript:",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    let links = page.matches("href=\"").count();
    assert_eq!(links, page.matches("href=\"#").count(), "every link stays on the page");
}

#[test]
fn the_page_is_a_private_file_and_replaces_the_last_one() {
    let person = person();
    for _ in 0..2 {
        let said = person.says(["view", "frob", "--no-open"]);
        let path = person.home().join(".local/state/tool-telemetry/view/frob.html");
        assert_eq!((said.code, said.out), (0, format!("{}\n", path.display())));
        let mode =
            |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().expect("a folder")), 0o700);
        assert_eq!(fs::read_dir(path.parent().expect("a folder")).expect("a folder").count(), 1);
    }
}

#[test]
fn a_file_that_everybody_can_read_is_replaced_by_a_private_one() {
    let person = person();
    let path = person.file("page.html", "old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("rights");
    assert_eq!(person.says(["view", "frob", "--no-open", "--output", "page.html"]).code, 0);
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn looking_changes_nothing() {
    let person = person();
    let list = |person: &Person| {
        let mut found = Vec::new();
        let mut folders = vec![person.home().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let metadata = entry.metadata().expect("metadata");
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
                found.push((entry.path(), metadata.len(), metadata.modified().expect("a time")));
            }
        }
        found.sort();
        found
    };
    let before = list(&person);
    view(&person, &[]);
    assert_eq!(list(&person), before);
}

#[test]
fn a_tool_that_never_recorded_has_a_page_that_says_so() {
    let person = Person::new();
    person.file(".config/frob/telemetry.toml", "telemetry = \"off\"\n");
    let page = view(&person, &[]);
    assert!(page.contains("Nothing was ever recorded on this machine."));
    assert!(page.contains("No run waits"));
}

#[test]
fn what_cannot_be_done_is_told_with_what_to_do() {
    let person = Person::new();
    let said = person.says(["view", "../frob"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("Write it as you type it"), "{}", said.err);
    person.file(".config/frob/telemetry.toml", "telemetry = \"off\"\n");
    let said = person.says(["view", "frob", "--no-open", "--output", "no/such/folder.html"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("with --output FILE"), "{}", said.err);
    let said = person.says(["view", "frob", "--data-points", "missing.toml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("Name the telemetry.toml"), "{}", said.err);
    let output =
        person.program().env_remove("HOME").args(["view", "frob"]).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Set HOME to yours"));
}
