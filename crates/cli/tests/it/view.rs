use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::fixture::TestUser;
use crate::run_files::{START, Value, line, put, run, user_with_runs};

fn view(user: &TestUser, arguments: &[&str]) -> String {
    let output = user.run(["view", "frob", "--output", "-"].iter().chain(arguments));
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    output.stdout
}

#[test]
fn the_page_lists_each_run() {
    let page = view(&user_with_runs(), &[]);
    for words in [
        "24 November 2026",
        "16:05:09",
        "<span class=\"command\">build</span><span class=\"chip bad\">exit 1</span>",
        "<span class=\"took\">1.23 s</span>",
        "Waiting to be sent to Example Tools, the tool&#39;s publisher, at https://telemetry.example.com:443.",
        "Sent to https://collector.example:4318. Delivery was confirmed on",
        "<span class=\"name\">build step</span>",
        "<b>frob.color</b> never",
        "Version 1.2.3.",
        "Trace ID <code>00000000000000000000000000000abc</code>",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

#[test]
fn the_page_counts_delivered_and_dropped_runs() {
    let page = view(&user_with_runs(), &[]);
    for words in [
        "1,200",
        "3 pending for too long",
        "http 503, 24 November 2026, 16:05:00",
        "24 November 2026, 16:04:00; the earlier counts were damaged",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn the_page_explains_each_data_point() {
    let page = view(&user_with_runs(), &[]);
    for words in [
        "The command being used",
        "To know which commands matter.",
        "only destinations that you or your administrator chose",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn with_data_points_only_approved_values_are_shown() {
    let page = view(&user_with_runs(), &[]);
    assert!(!page.contains("planted") && !page.contains("anna"));
    assert!(page.contains("1 line or value of the file is not shown and not sent"), "{page}");
}

#[test]
fn without_data_points_all_values_are_shown_with_a_warning() {
    let user = user_with_runs();
    fs::remove_file(user.home().join("telemetry.toml")).expect("the file was there");
    let page = view(&user, &[]);
    assert!(page.contains("<b>frob.planted</b> anna"));
    assert!(page.contains("class=\"warning\""));
    assert!(view(&user_with_runs(), &[]).matches("class=\"warning\"").count() == 0);
}

#[test]
fn markup_on_disk_is_escaped() {
    let hostile = "\"'></code><script>alert(1)</script><img src=x onerror=alert(1)>";
    let user = TestUser::new();
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
    put(&user, "operator+https-<script>x<-1/runs", 1, "jsonl", &run);
    let page = view(&user, &[]);
    assert!(page.contains("&#60;script&#62;alert(1)"));
    assert!(!page.contains("<script") && !page.contains("<img"));
}

#[test]
fn a_usage_error_is_no_command() {
    let user = user_with_runs();
    let attributes =
        [("process.executable.name", Value::Text("frob")), ("process.exit.code", Value::Integer(2))];
    let usage_error = line((1, None), "frob", (START, START + 1_000_000), &attributes);
    put(&user, "maker+the-tests+https-telemetry.example.com-443/runs", 3, "jsonl", &usage_error);
    let page = view(&user, &["--data-points", "telemetry.toml"]);
    assert!(page.contains("<span class=\"command\">(no command)</span>"), "{page}");
    assert!(!page.contains("<span class=\"command\">frob</span>"), "{page}");
}

#[test]
fn a_damaged_file_hides_no_other_run() {
    let user = user_with_runs();
    for (number, content) in ["", "{", "[]\n", "{\"resourceSpans\":[]}\n", "\u{0}\n"].iter().enumerate() {
        put(
            &user,
            "maker+the-tests+https-telemetry.example.com-443/runs",
            100 + number as u128,
            "jsonl",
            content,
        );
    }
    // Two spans that are each other's parents.
    let circle = run("build", 0)
        + &line((5, Some(6)), "phase", (START, START), &[])
        + &line((6, Some(5)), "phase", (START, START), &[]);
    put(&user, "maker+the-tests+https-telemetry.example.com-443/runs", 200, "jsonl", &circle);
    assert_eq!(view(&user, &[]).matches("<details class=\"run ").count(), 3);
}

#[test]
fn the_first_section_explains_whether_telemetry_is_on() {
    let user = user_with_runs();
    let before_notice = view(&user, &[]);
    for words in ["Telemetry is off", "has not shown you its telemetry notice yet", "To keep it off:"] {
        assert!(before_notice.contains(words), "{words}\n{before_notice}");
    }
    user.write(".config/frob/telemetry.toml", "[notice]\n\"maker+http-127.0.0.1-9\" = \"1.0.0\"\n");
    let on = view(&user, &["--opt-out-var", "FROB_OPTOUT"]);
    for words in [
        "Telemetry is on",
        "the tool&#39;s default applies",
        "<code>tool-telemetry off frob</code>",
        "<code>FROB_OPTOUT=1</code>",
        "<code>FROB_TELEMETRY=off</code>",
        "was that of version 1.0.0",
    ] {
        assert!(on.contains(words), "{words}\n{on}");
    }
    user.write(".config/frob/telemetry.toml", "telemetry = \"off\"\n");
    let off = view(&user, &[]);
    for words in [
        "Telemetry is off",
        "You turned it off",
        ".config/frob/telemetry.toml",
        "<code>tool-telemetry on frob</code> turns it on",
    ] {
        assert!(off.contains(words), "{words}");
    }
    user.write(".config/frob/telemetry.toml", "telemetry = maybe\n");
    assert!(view(&user, &[]).contains("The file with your choice cannot be read"));
    let mut program = user.command();
    let output = program
        .args(["view", "frob", "--output", "-", "--opt-out-var", "FROB_OPTOUT"])
        .env("FROB_OPTOUT", "yes");
    let page = String::from_utf8(output.output().expect("the program starts").stdout).expect("UTF-8");
    assert!(page.contains("The environment variable FROB_OPTOUT is set in this terminal."));
}

#[test]
fn the_page_has_no_scripts_and_loads_nothing() {
    let page = view(&user_with_runs(), &[]);
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
    assert_eq!(links, page.matches("href=\"#").count(), "each link leads to the page itself");
}

#[test]
fn the_page_is_a_private_file_that_replaces_the_previous_one() {
    let user = user_with_runs();
    for _ in 0..2 {
        let output = user.run(["view", "frob", "--no-open"]);
        let path = user.home().join(".local/state/tool-telemetry/view/frob.html");
        assert_eq!((output.code, output.stdout), (0, format!("{}\n", path.display())));
        let mode =
            |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().expect("a directory")), 0o700);
        assert_eq!(fs::read_dir(path.parent().expect("a directory")).expect("a directory").count(), 1);
    }
}

#[test]
fn a_readable_file_is_replaced_by_a_private_one() {
    let user = user_with_runs();
    let path = user.write("page.html", "old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("rights");
    assert_eq!(user.run(["view", "frob", "--no-open", "--output", "page.html"]).code, 0);
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn view_changes_no_file() {
    let user = user_with_runs();
    let list = |user: &TestUser| {
        let mut found = Vec::new();
        let mut directories = vec![user.home().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory").flatten() {
                let metadata = entry.metadata().expect("metadata");
                if metadata.is_dir() {
                    directories.push(entry.path());
                }
                found.push((entry.path(), metadata.len(), metadata.modified().expect("a time")));
            }
        }
        found.sort();
        found
    };
    let before = list(&user);
    view(&user, &[]);
    assert_eq!(list(&user), before);
}

#[test]
fn a_tool_without_runs_has_a_page() {
    let user = TestUser::new();
    user.write(".config/frob/telemetry.toml", "telemetry = \"off\"\n");
    let page = view(&user, &[]);
    assert!(page.contains("Nothing was ever recorded on this machine."));
    assert!(page.contains("There are no pending runs"));
}

#[test]
fn each_error_names_a_remedy() {
    let user = TestUser::new();
    let output = user.run(["view", "../frob"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("Write it as you type it"), "{}", output.stderr);
    user.write(".config/frob/telemetry.toml", "telemetry = \"off\"\n");
    let output = user.run(["view", "frob", "--no-open", "--output", "no/such/directory.html"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("with --output FILE"), "{}", output.stderr);
    let output = user.run(["view", "frob", "--data-points", "missing.toml"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("Name the telemetry.toml"), "{}", output.stderr);
    let output =
        user.command().env_remove("HOME").args(["view", "frob"]).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Set HOME to your home directory"));
}
