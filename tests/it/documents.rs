//! The documents say what is there, and each row of their tables is performed by tests that this program has.

use std::path::Path;
use std::process::Command;

use tool_telemetry_receiver::Receiver;

use crate::choices::on_machine;
use crate::person::{NOBODY, PATIENCE, Person, eventually, example, is_root};

/// A row that is known: its first two cells, word for word, and the tests that perform it. "soak …" is a part of
/// `tests/soak`, "cli …" a test of the program `tool-telemetry`, "library …" a unit test; the gate runs all of them.
type Row = (&'static str, &'static str, &'static [&'static str]);

/// The tables of a document that have the same first line: the document, that line, and the rows of all of them. A
/// third column names the same tests, or their modules.
const TABLES: [(&str, &str, &[Row]); 2] = [
    ("docs/users.md", "| to decide | how |", &DECISIONS),
    ("docs/failures.md", "| … | then | shown by |", &FAILURES),
];

#[rustfmt::skip]
const DECISIONS: [Row; 6] = [
    ("off, for one tool", "`<tool> telemetry off`, or its variable; `tool-telemetry off <tool>` for any tool",
        &["documents::off_for_one_tool_is_off_for_that_one",
          "cli person::off_stops_it_and_deletes_what_waits"]),
    ("off, for all tools", "`DO_NOT_TRACK=1`",
        &["documents::off_for_all_tools_is_off_for_each"]),
    ("off, for a whole machine", "`telemetry = \"off\"` in `/etc/tool-telemetry/policy.toml` ([all its keys](policy.md))",
        &["documents::off_for_a_whole_machine_is_off_for_each_tool"]),
    ("off, in every tool of a distribution", "`TOOL_TELEMETRY_BUILD=off` while building",
        &["opt_out::a_packagers_build_is_off_for_good"]),
    ("to my own collector, not to the tool's author", "`OTEL_EXPORTER_OTLP_ENDPOINT`; if the author set an endpoint, also `<TOOL>_TELEMETRY=otlp`",
        &["documents::to_my_own_collector_and_not_to_the_maker"]),
    ("see one run as a trace", "`<TOOL>_TELEMETRY=trace`",
        &["off::log_and_trace_work_opted_out_and_leave_no_file",
          "off::trace_names_the_trace_where_the_run_goes_to_an_operator_and_was_kept"]),
];

#[rustfmt::skip]
const FAILURES: [Row; 48] = [
    ("The endpoint is down, refuses connections, or never answers", "The command costs the same. The run stays pending and arrives later.",
        &["delivery::what_waits_for_a_dead_endpoint_arrives_when_it_comes_up"]),
    ("No endpoint is set", "Nothing is recorded. `localhost:4318` is never assumed.",
        &["delivery::without_any_endpoint_nothing_is_recorded"]),
    ("The user has not seen the notice yet", "Nothing is recorded. In a pipe the notice is printed once a day and does not count as seen.",
        &["notice::the_first_run_is_told_of_it_and_the_second_is_recorded",
          "notice::into_a_pipe_it_is_printed_once_a_day_and_does_not_count"]),
    ("`telemetry off` runs while other commands write runs and an uploader is in a request", "That request is the last thing that arrives.",
        &["off::off_while_runs_are_written_and_an_uploader_sends_lets_nothing_more_through"]),
    ("The choice file or the policy file cannot be read or is not understood", "Telemetry is off, and `status` names the file, the line, and the reason.",
        &["notice::a_choice_that_cannot_be_read_is_left_as_it_is_and_means_off",
          "choices::a_policy_redirects_and_narrows_and_says_where_it_is_wrong",
          "choices::a_policy_file_in_any_other_state_than_readable_and_understood_means_off",
          "policy_page::each_example_does_what_the_page_says"]),
    ("The value of `<TOOL>_TELEMETRY` is misspelt", "Telemetry is off, and `status` lists the valid values.",
        &["opt_out::status_names_a_variable_that_is_not_understood_and_the_values_that_it_has"]),
    ("A CI job runs, and the endpoint never answers", "One command of the job waits, for 300 ms. The runs stay on disk, and `telemetry flush` can be a step of the pipeline.",
        &["ci::a_command_waits_for_300_ms_at_most_and_the_next_ones_not_at_all",
          "ci::flush_is_a_step_of_a_pipeline"]),
    ("The tool panics, is killed, aborts, or calls `exit`", "The run is reported with every span that was closed, and with its exit code where the platform reports one, else with `error.type = cut_off`.",
        &["sudden_ends::every_end_is_reported_with_every_span_that_was_closed",
          "soak panic-abort"]),
    ("The command line is wrong, so no command runs", "The run is reported with exit code 2.",
        &["sudden_ends::a_usage_error_before_any_command_is_reported_with_its_code"]),
    ("The `OTEL_*` variables belong to another service", "The tool's author gets nothing of them, and no header.",
        &["delivery::nothing_of_somebody_elses_service_goes_to_the_maker"]),
    ("Another layer filters globally", "The filter hides its spans from telemetry too. The run is still reported.",
        &["layers::the_run_is_always_reported_and_its_spans_unless_a_global_filter_hides_them"]),
    ("A hundred commands run one after another", "One uploader starts.",
        &["delivery::a_script_of_many_commands_starts_one_uploader"]),
    ("The process dies at any system call", "The next uploader recovers the run at once, with every line that was written.",
        &["soak crash-points-of-the-tool"]),
    ("The disk is full, or a system call fails (ENOSPC, EIO, EACCES, EMFILE, EDQUOT)", "The tool ends as it would without telemetry. A run that had begun is counted as dropped, with the reason `disk`.",
        &["soak crash-points-of-the-tool",
          "hostile_ground::a_full_disk_is_not_noticed_and_what_it_cost_is_counted"]),
    ("Files must not grow to 1 MiB (`ulimit -f`)", "Nothing is recorded, because a write beyond the limit would kill the tool.",
        &["bad_disk::a_limit_on_file_sizes_does_not_end_the_tool"]),
    ("The uploader dies at any system call", "Nothing is lost, at most one request is sent twice, and the next uploader works at once.",
        &["soak crash-points-of-the-uploader",
          "killed_uploader::killed_while_the_server_thinks_nothing_is_lost_and_the_next_works_at_once"]),
    ("An outcome or the backoff cannot be written", "The uploader stops instead of sending the same runs again and again.",
        &["bad_disk::without_a_place_for_outcomes_nothing_is_sent_in_circles",
          "bad_disk::without_a_place_for_the_backoff_few_uploaders_are_started"]),
    ("The spool is deleted while it is in use", "The tool does not notice. The uploader stops before its next request.",
        &["bad_disk::a_spool_that_is_deleted_while_a_tool_runs_does_no_harm",
          "bad_disk::an_uploader_whose_lock_was_deleted_leaves_the_new_spool_alone"]),
    ("The counters file is damaged", "The file is set aside, counting starts again, and `status` warns.",
        &["accounting::damaged_counters_are_told_and_never_taken_for_zeros"]),
    ("Nothing can be sent for a long time", "When a limit on size, number, or age is reached, the oldest runs are dropped first, and each drop is counted.",
        &["soak limits",
          "limits::the_limits_are_those_that_the_author_set"]),
    ("100 processes run at the same time, 10 uploaders race, and the server fails at random", "Each run arrives once, and one uploader works at a time.",
        &["soak concurrency",
          "soak concurrency-with-faults"]),
    ("The server answers 429 or 503, with or without `Retry-After`", "All processes wait as long as the server requests.",
        &["answers::http_statuses_are_retried_dropped_or_obeyed_as_otlp_says",
          "answers::an_uploader_writes_the_time_and_ends_instead_of_sleeping_through_a_wait"]),
    ("The server always refuses one particular run", "The uploader finds it by halving the batch and sets it aside. The others arrive.",
        &["uploader::a_poisoned_run_is_found_by_halving_and_the_others_are_delivered_by_the_same_uploader"]),
    ("The server accepts less at once than is pending, whichever error it reports", "Requests shrink until they fit, also for the next uploader, and grow again.",
        &["uploader::batches_shrink_until_they_fit_into_the_servers_rate_and_the_next_uploader_knows",
          "uploader::a_request_that_is_too_large_for_the_server_is_halved_until_it_fits",
          "uploader::a_limit_of_size_that_is_told_as_a_400_drops_nothing",
          "uploader::a_grpc_server_that_is_exhausted_by_the_rate_drops_nothing"]),
    ("The uploader panics", "All runs stay pending, and `status` shows `panic`.",
        &["library process::a_panic_of_the_uploader_is_a_failure_that_waits_and_is_shown"]),
    ("`main` is asynchronous (`#[tokio::main]`)", "The uploader delivers as usual, on a thread of its own.",
        &["uploader::a_tool_whose_main_is_asynchronous_delivers"]),
    ("The server answers in every way that OTLP and HTTP allow, and fails in every way", "Each run is delivered, or counted as refused.",
        &["soak answers",
          "answers::a_partial_success_claims_no_more_than_was_sent"]),
    ("A captive portal answers 200", "Nothing counts as delivered.",
        &["answers::what_is_no_otlp_answer_is_no_success_and_no_refusal"]),
    ("The server never answers or sends one byte a second, or name resolution hangs", "The uploader ends within its lifetime of 60 s.",
        &["uploader::an_uploader_ends_within_its_life_whatever_it_waits_for",
          "uploader::an_uploader_ends_within_its_life_while_the_name_service_hangs",
          "answers::a_connection_that_breaks_hangs_or_drips_loses_nothing_and_ends_in_time"]),
    ("The clock jumps, even while spans are open", "No duration changes. A time too far in the future is treated like one too far in the past.",
        &["side_by_side::a_clock_that_is_set_back_while_spans_are_open_changes_no_duration",
          "side_by_side::a_run_from_the_far_future_is_as_old_as_one_from_the_far_past",
          "answers::a_wait_that_a_jump_of_the_clock_made_absurd_is_over"]),
    ("The machine's policy is narrowed while runs are pending", "They are sent without the data points that it forbids now.",
        &["choices::what_the_policy_forbids_meanwhile_does_not_leave_the_machine"]),
    ("There is no home directory, it is not writable, or it belongs to another user", "Nothing is recorded, and nothing is written elsewhere.",
        &["hostile_ground::without_a_home_nothing_is_written_anywhere",
          "hostile_ground::in_a_home_that_cannot_be_written_nothing_happens",
          "hostile_ground::nothing_of_somebody_else_is_used_and_nothing_is_left_in_their_home"]),
    ("Links, FIFOs, devices, or huge files are planted in the spool", "They are ignored.",
        &["hostile_ground::what_was_planted_among_the_runs_is_neither_followed_read_waited_for_nor_sent",
          "hostile_ground::a_link_a_fifo_or_a_folder_in_the_place_of_our_own_files_is_harmless"]),
    ("The tool runs in `x=$(tool)` or `( flock 9; tool ) 9>lock`, the user presses Ctrl-C, or the terminal closes", "Nothing waits for the uploader, and no signal reaches it.",
        &["handles::pipes_substitutions_and_locks_end_with_the_tool_and_not_with_the_uploader",
          "handles::twenty_of_twenty_uploaders_survive_ctrl_c_at_any_moment_after_their_start",
          "handles::twenty_of_twenty_uploaders_survive_a_closed_terminal"]),
    ("No command begins and the process succeeds: `--version`, `--help`, or shell completion (`COMPLETE=bash`)", "This is not a run, and no file is written.",
        &["runs::what_ends_well_before_any_command_is_no_run_and_leaves_no_file"]),
    ("One process runs several commands, one after another or at the same time", "Each is a run of its own, and its delivery starts when it ends.",
        &["runs::a_shell_reports_each_command_when_it_ends",
          "runs::of_commands_that_overlap_each_has_its_own_spans"]),
    ("A process runs for weeks", "If the user turns telemetry off, it is off from the next command on. 10,000 commands take no more memory, files, or processes than ten.",
        &["runs::a_shell_reports_each_command_when_it_ends",
          "runs::many_commands_of_one_process_take_bounded_memory_files_and_uploaders"]),
    ("The tool replaces itself with another program (`exec`)", "With `telemetry.exec(…)` the run is sealed first, and continues if `exec` fails. Otherwise the run is reported as cut off.",
        &["runs::a_tool_that_cannot_become_another_program_goes_on_and_so_does_its_run",
          "runs::a_tool_that_becomes_another_program_reports_its_run_and_the_child_belongs_to_it"]),
    ("A run exceeds 1 MiB, which is about 2,300 spans", "The first spans are sent, and `status` counts the rest.",
        &["limits::a_run_file_stops_at_a_mebibyte_and_the_rest_is_counted"]),
    ("The choice file cannot be read when the run ends, because no descriptor is free or the process changed its user or root directory", "The run stays pending, and nothing is sent until the choice file can be read.",
        &["runs::a_choice_that_cannot_be_read_when_the_run_ends_is_no_off_and_the_run_waits",
          "runs::what_waits_is_not_sent_while_the_choice_cannot_be_read"]),
    ("The user runs the tool with `torsocks`, `proxychains`, or a library path", "The uploader loads the same libraries, so its connections take the same way.",
        &["starts::the_uploader_goes_the_way_of_the_tools_proxifier"]),
    ("The tool is started through a loader (`ld.so ./tool`, a bundle, valgrind)", "The uploader is started through it too.",
        &["starts::a_tool_that_somebody_elses_loader_loaded_is_found"]),
    ("No process can be started, or there is no `/proc`", "The run stays pending, and `status` says what to do.",
        &["starts::where_no_process_is_left_the_run_waits_and_status_says_so",
          "starts::without_proc_a_tool_starts_by_its_whole_path_or_says_why_not"]),
    ("Every process is killed when the command ends, as in containers, sandboxes, and services", "The first run in a fresh home, and a run after two uploaders that never reported, waits up to 300 ms for its delivery.",
        &["starts::where_everything_ends_with_the_first_process_the_runs_arrive_all_the_same",
          "starts::uploaders_that_never_report_are_seen"]),
    ("A sandbox declares that it has no network (`CODEX_SANDBOX_NETWORK_DISABLED`)", "No uploader starts, and the runs stay pending.",
        &["starts::in_a_sandbox_without_network_no_uploader_starts_and_the_runs_wait"]),
    ("The tool's file is replaced, or its file system is unmounted, while the uploader works", "Neither is in use: the uploader runs from a copy in memory.",
        &["starts::the_tools_file_and_file_system_are_free_while_its_uploader_works"]),
    ("Fewer than eight descriptors are free", "No run is recorded, which leaves the descriptors to the tool.",
        &["handles::a_tool_that_has_few_descriptors_has_them_for_itself"]),
    ("The tool forks, or closes every descriptor", "Nothing of ours lands in its files.",
        &["handles::a_forked_child_neither_writes_nor_ends_the_run_of_its_parent",
          "handles::a_tool_that_closes_or_replaces_all_descriptors_finds_nothing_of_ours_in_its_files"]),
];

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a document")
}

/// The cells of each row of the tables that have this first line.
fn rows(document: &str, first_line: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let tables: Vec<&str> = text.split(&format!("\n{first_line}\n")).skip(1).collect();
    assert!(!tables.is_empty(), "no {first_line} in {document}");
    let rows = tables.iter().flat_map(|table| table.lines().skip(1).take_while(|line| line.starts_with('|')));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The tests of this program and the parts of the soak, as they name themselves.
fn names_of_tests() -> Vec<String> {
    let list = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().expect("it starts");
        String::from_utf8(output.stdout).expect("text")
    };
    let own = std::env::current_exe().expect("the test's own path");
    let all = list(&own, &["--list"]);
    let ignored = list(&own, &["--list", "--ignored"]);
    let tests = all.lines().filter(|line| !ignored.contains(*line));
    let mut names: Vec<String> =
        tests.filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
    names.extend(list(&example("soak"), &["--list"]).lines().map(|part| format!("soak {part}")));
    names.extend(tests_in("crates/cli/tests/it").iter().map(|test| format!("cli {test}")));
    names.extend(tests_in("src").iter().map(|test| format!("library {test}")));
    names
}

/// The tests in the files of a folder, as `file::test`: those of other programs than this one are read in their source.
fn tests_in(folder: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            let file = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let tests =
                text.split("#[test]").skip(1).filter_map(|test| test.trim_start().strip_prefix("fn "));
            names.extend(tests.filter_map(|test| Some(format!("{file}::{}", test.split_once('(')?.0))));
        }
    }
    names
}

/// The names in a third column: of a test, of a module of tests, or of the parts of the soak that begin so.
fn shown_by(cell: &str) -> Vec<String> {
    cell.split(", ").map(|name| name.replace('`', "")).collect()
}

#[test]
fn each_row_of_the_tables_is_performed_by_tests_that_exist() {
    let tests = names_of_tests();
    assert!(tests.len() > 100, "{tests:?}");
    for (document, first_line, known) in TABLES {
        let rows = rows(document, first_line);
        for row in &rows {
            let is_known = known.iter().any(|(what, then, _)| row[..2] == [*what, *then]);
            assert!(
                is_known,
                "{document}: nothing performs this row; add it to tests/it/documents.rs: {row:?}"
            );
        }
        for (what, then, performed_by) in known {
            let row = rows.iter().find(|row| row[..2] == [*what, *then]);
            let row = row.unwrap_or_else(|| panic!("{document} has no such row any more: {what} | {then}"));
            for test in *performed_by {
                assert!(tests.iter().any(|name| name == test), "{test} is no test: {row:?}");
            }
            let Some(cell) = row.get(2) else { continue };
            let names = shown_by(cell);
            let belongs = |test: &str, name: &str| test == name || is_part_of(test, name);
            for test in *performed_by {
                assert!(names.iter().any(|name| belongs(test, name)), "not named: {test}: {row:?}");
            }
            for name in &names {
                assert!(performed_by.iter().any(|test| belongs(test, name)), "no test: {name}: {row:?}");
            }
        }
    }
}

fn is_part_of(test: &str, name: &str) -> bool {
    let rest = test.strip_prefix(name).unwrap_or_default();
    rest.starts_with("::") || (name.starts_with("soak ") && rest.starts_with('-'))
}

/// Somebody who turned on the tool of the tests and another one, `greet`.
fn user_of_two_tools() -> Person {
    let person = Person::sending_to(NOBODY);
    assert!(greet(&person, &["telemetry", "on"]));
    person
}

fn greet(person: &Person, arguments: &[&str]) -> bool {
    person.command(example("minimal")).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Runs both; how many runs of each are recorded.
fn recorded(person: &Person) -> (usize, usize) {
    let of = |tool: &str| {
        let folder = person.home().join(".local/state").join(tool);
        person.waiting().iter().filter(|path| path.starts_with(&folder)).count()
    };
    let before = (of("frob"), of("greet"));
    assert!(person.frob(["build"]).status.success() && greet(person, &["hello"]));
    (of("frob") - before.0, of("greet") - before.1)
}

#[test]
fn off_for_one_tool_is_off_for_that_one() {
    let person = user_of_two_tools();
    assert_eq!(recorded(&person), (1, 1));
    assert!(person.frob(["telemetry", "off"]).status.success());
    assert_eq!(recorded(&person), (0, 1));
    for (name, value) in [("FROB_TELEMETRY_OPTOUT", "1"), ("FROB_TELEMETRY", "off")] {
        assert_eq!(recorded(&user_of_two_tools().with(name, value)), (0, 1), "{name}");
    }
}

#[test]
fn off_for_all_tools_is_off_for_each() {
    assert_eq!(recorded(&user_of_two_tools().with("DO_NOT_TRACK", "1")), (0, 0));
}

/// The policy is the one that docs/users.md shows.
#[test]
fn off_for_a_whole_machine_is_off_for_each_tool() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let (_, policy, _) = DECISIONS.iter().find(|row| row.0 == "off, for a whole machine").expect("the row");
    let policy = policy.split('`').nth(1).expect("the line of the policy");
    let runs = |prepare: &str| {
        let person = user_of_two_tools();
        let commands = format!("frob build >/dev/null && {} hello >/dev/null", example("minimal").display());
        on_machine(prepare, &person, &commands);
        person.waiting().len()
    };
    assert_eq!(runs(":"), 2);
    assert_eq!(runs(&format!("echo '{policy}' > policy.toml && chmod 644 policy.toml")), 0);
}

#[test]
fn to_my_own_collector_and_not_to_the_maker() {
    let [own, maker] = [(); 2].map(|()| Receiver::start().expect("a receiver"));
    // The author named no endpoint.
    let person = Person::sending_to(&own.http_endpoint());
    person.frob(["build"]);
    own.wait_for(1, PATIENCE).expect("it arrives");

    // The author named one: then the person says so.
    let person = Person::new()
        .whose_tool_has("FROB_MAKER", &format!("{}/v1/traces", maker.http_endpoint()))
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &own.http_endpoint());
    person.frob(["telemetry", "on"]);
    let person = person.with("FROB_TELEMETRY", "otlp");
    person.frob(["build"]);
    own.wait_for(2, PATIENCE).expect("it arrives");
    eventually("its uploader has ended", || person.uploaders().is_empty());
    assert_eq!(maker.connections(), 0);
}

/// The block of a Markdown document that begins with this line.
fn block(document: &str, first_line: &str) -> String {
    let text = read(document);
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| Some(block.split_once('\n')?.1));
    let mut found = blocks.filter_map(|block| block.strip_prefix(first_line)?.strip_prefix('\n'));
    found.next().unwrap_or_else(|| panic!("no block {first_line} in {document}")).to_owned()
}

/// `examples/first` is a package of this workspace, so its lines compile.
#[test]
fn the_lines_of_the_readme_are_those_of_a_tool_that_compiles() {
    assert_eq!(block("README.md", "// src/main.rs"), read("examples/first/src/main.rs"));
    assert_eq!(block("README.md", "# telemetry.toml"), read("examples/first/telemetry.toml"));
    let dependencies = block("README.md", "# Cargo.toml");
    let manifest = read("examples/first/Cargo.toml");
    for line in dependencies.lines().filter(|line| line.contains(" = ")) {
        let (name, version) = line.split_once(" = ").expect("a name and a version");
        assert!(manifest.contains(&format!("\n{name} = ")), "{name} is not in examples/first/Cargo.toml");
        if name == "tool-telemetry" {
            let own = env!("CARGO_PKG_VERSION");
            assert!(own.starts_with(version.trim_matches('"')), "{version} is not {own}");
        }
    }
}

#[test]
fn the_readme_has_at_most_120_lines() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 120, "{lines} lines");
}

/// As ARCHITECTURE.md and `src/platform/mod.rs` say.
#[test]
fn unsafe_code_is_in_platform_and_at_one_place_of_the_layer() {
    let mut elsewhere = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            if path.is_dir() {
                folders.push(path);
            } else if !path.parent().is_some_and(|folder| folder.ends_with("platform")) {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let blocks = text.matches("unsafe {").count();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                elsewhere.extend((blocks > 0).then_some((name, blocks)));
            }
        }
    }
    assert_eq!(elsewhere, [("layer.rs".to_owned(), 1)]);
}
