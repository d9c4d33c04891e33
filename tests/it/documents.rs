//! The tables of the documents name existing tests, and the documents describe the code as it is.

use std::path::Path;
use std::process::Command;

use tool_telemetry_receiver::Receiver;

use crate::precedence::on_machine;
use crate::test_user::{DEAD_ENDPOINT, TIMEOUT, TestUser, eventually, example, is_root};

/// A known row: its first two cells, word for word, and the tests behind it. "soak …" is a part of `tests/soak`, "cli …" a
/// test of the program `tool-telemetry`, and "library …" a unit test. The gate runs all of them.
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
        &["documents::off_for_one_tool_leaves_others_on",
          "cli tool_commands::off_stops_recording_and_deletes_pending_runs"]),
    ("off, for all tools", "`DO_NOT_TRACK=1`",
        &["documents::do_not_track_turns_off_every_tool"]),
    ("off, for a whole machine", "`telemetry = \"off\"` in `/etc/tool-telemetry/policy.toml` ([all its keys](policy.md))",
        &["documents::the_machine_policy_turns_off_every_tool"]),
    ("off, in every tool of a distribution", "`TOOL_TELEMETRY_BUILD=off` while building",
        &["opt_out::a_build_with_telemetry_off_stays_off"]),
    ("to my own collector, not to the tool's author", "`OTEL_EXPORTER_OTLP_ENDPOINT`; if the author set an endpoint, also `<TOOL>_TELEMETRY=otlp`",
        &["documents::runs_go_to_the_users_collector_and_not_to_the_author"]),
    ("see one run as a trace", "`<TOOL>_TELEMETRY=trace`",
        &["preview::log_and_trace_work_when_opted_out_and_leave_no_file",
          "preview::trace_prints_the_trace_id_only_if_an_operator_gets_the_run"]),
];

#[rustfmt::skip]
const FAILURES: [Row; 49] = [
    ("The endpoint is down, refuses connections, or never answers", "The command costs the same. The run stays pending and arrives later.",
        &["delivery::pending_runs_arrive_when_the_endpoint_comes_up"]),
    ("No endpoint is set", "Nothing is recorded. `localhost:4318` is never assumed.",
        &["delivery::nothing_is_recorded_without_an_endpoint"]),
    ("The user has not seen the notice yet", "Nothing is recorded. In a pipe the notice is printed once a day and does not count as seen.",
        &["notice::the_first_run_shows_it_and_the_second_is_recorded",
          "notice::in_a_pipe_it_is_printed_daily_and_does_not_count"]),
    ("`telemetry off` runs while other commands write runs and an uploader is in a request", "That request is the last thing that arrives.",
        &["off::off_stops_all_writers_and_the_uploader"]),
    ("The choice file or the policy file cannot be read or is not understood", "Telemetry is off, and `status` names the file, the line, and the reason.",
        &["notice::an_unreadable_choice_is_kept_and_means_off",
          "precedence::a_policy_redirects_narrows_and_reports_its_errors",
          "precedence::an_unusable_policy_file_means_off",
          "policy_page::every_example_does_what_the_page_says"]),
    ("The value of `<TOOL>_TELEMETRY` is misspelt", "Telemetry is off, and `status` lists the valid values.",
        &["opt_out::status_lists_the_valid_values_of_a_misspelt_variable"]),
    ("A CI job runs, and the endpoint never answers", "One command of the job waits, for 300 ms. The runs stay on disk, and `telemetry flush` can be a step of the pipeline.",
        &["ci::one_command_waits_300_ms_and_later_ones_do_not",
          "ci::flush_works_as_a_pipeline_step"]),
    ("The tool panics, is killed, aborts, or calls `exit`", "The run is reported with every span that was closed, and with its exit code where the platform reports one, else with `error.type = cut_off`.",
        &["process_ends::every_exit_is_reported_with_its_closed_spans",
          "soak panic-abort"]),
    ("The command line is wrong, so no command runs", "The run is reported with exit code 2 if the platform has an exit hook, as glibc does. Elsewhere this is no run.",
        &["process_ends::usage_errors_are_reported_with_their_exit_code"]),
    ("The `OTEL_*` variables belong to another service", "The tool's author receives none of them, not even a header.",
        &["delivery::the_author_receives_nothing_meant_for_another_service"]),
    ("Another layer filters globally", "The filter hides its spans from telemetry too. The run is still reported.",
        &["other_layers::a_global_filter_hides_spans_but_not_the_run"]),
    ("A hundred commands run one after another", "One uploader starts.",
        &["delivery::a_script_of_many_commands_starts_one_uploader"]),
    ("The process dies at any system call", "The next uploader recovers the run at once, with every line that was written.",
        &["soak crash-points-of-the-tool"]),
    ("The disk is full, or a system call fails (ENOSPC, EIO, EACCES, EMFILE, EDQUOT)", "The tool ends as it would without telemetry. A run that had begun is counted as dropped, with the reason `disk`.",
        &["soak crash-points-of-the-tool",
          "bad_disk::a_full_disk_is_invisible_to_the_tool_and_losses_are_counted"]),
    ("Files must not grow to 1 MiB (`ulimit -f`)", "Nothing is recorded, because a write beyond the limit would kill the tool.",
        &["bad_disk::a_file_size_limit_does_not_kill_the_tool"]),
    ("The uploader dies at any system call", "Nothing is lost, at most one request is sent twice, and the next uploader works at once.",
        &["soak crash-points-of-the-uploader",
          "killed_uploader::a_killed_uploader_loses_nothing_and_the_next_works_at_once"]),
    ("An outcome or the backoff cannot be written", "The uploader stops instead of sending the same runs again and again.",
        &["bad_disk::unwritable_outcomes_are_not_resent_in_a_loop",
          "bad_disk::an_unwritable_backoff_starts_few_uploaders"]),
    ("The spool is deleted while it is in use", "The tool does not notice. The uploader stops before its next request.",
        &["bad_disk::deleting_the_spool_of_a_running_tool_is_harmless",
          "bad_disk::an_uploader_with_a_deleted_lock_leaves_the_new_spool_alone"]),
    ("The counters file is damaged", "The file is set aside, counting starts again, and `status` warns.",
        &["accounting::damaged_counters_are_reported_and_kept"]),
    ("The state of the counts of an installation is deleted or damaged, the clock jumps, the tool is updated, or the uploader is killed at any moment", "Nothing is counted twice, and no table counts more than `at_most`. After a loss counting begins again with the next period.",
        &["year_of_counts::a_year_of_installations_counts_never_too_much_and_loses_only_with_a_reason"]),
    ("Nothing can be sent for a long time", "When a limit on size, number, or age is reached, the oldest runs are dropped first, and each drop is counted.",
        &["soak limits",
          "limits::the_authors_limits_apply"]),
    ("100 processes run at the same time, 10 uploaders race, and the server fails at random", "Each run arrives once, and one uploader works at a time.",
        &["soak concurrency",
          "soak concurrency-with-faults"]),
    ("The server answers 429 or 503, with or without `Retry-After`", "All processes wait as long as the server requests.",
        &["responses::http_statuses_are_handled_as_otlp_requires",
          "responses::the_uploader_writes_the_backoff_and_exits"]),
    ("The server always refuses one particular run", "The uploader finds it by halving the batch and sets it aside. The others arrive.",
        &["uploader::a_poisoned_run_is_isolated_by_halving"]),
    ("The server accepts less at once than is pending, whichever error it reports", "Requests shrink until they fit, also for the next uploader, and grow again.",
        &["uploader::batches_shrink_to_the_servers_rate_across_uploaders",
          "uploader::oversized_requests_are_halved_until_they_fit",
          "uploader::a_size_limit_reported_as_400_drops_nothing",
          "uploader::grpc_resource_exhausted_drops_nothing"]),
    ("The uploader panics", "All runs stay pending, and `status` shows `panic`.",
        &["library process::a_panic_of_the_uploader_is_recorded_with_a_backoff"]),
    ("`main` is asynchronous (`#[tokio::main]`)", "The uploader delivers as usual, on a thread of its own.",
        &["uploader::a_tool_with_an_async_main_delivers"]),
    ("The server answers in every way that OTLP and HTTP allow, and fails in every way", "Each run is delivered, or counted as refused.",
        &["soak answers",
          "responses::rejected_spans_are_capped_at_the_spans_sent"]),
    ("A captive portal answers 200", "Nothing counts as delivered.",
        &["responses::non_otlp_responses_keep_the_run"]),
    ("The server never answers or sends one byte a second, or name resolution hangs", "The uploader ends within its lifetime of 60 s.",
        &["uploader::the_uploader_ends_within_its_lifetime",
          "uploader::the_uploader_ends_while_dns_hangs",
          "responses::broken_and_stalled_connections_keep_the_run"]),
    ("The clock jumps, even while spans are open", "No duration changes. A time too far in the future is treated like one too far in the past.",
        &["clock::a_clock_set_back_changes_no_duration",
          "clock::runs_too_far_in_the_past_or_future_expire",
          "responses::an_implausible_backoff_is_ignored"]),
    ("The machine's policy is narrowed while runs are pending", "They are sent without the data points that it forbids now.",
        &["precedence::a_narrowed_policy_applies_to_pending_runs"]),
    ("There is no home directory, it is not writable, or it belongs to another user", "Nothing is recorded, and nothing is written elsewhere.",
        &["unusable_home::nothing_is_written_without_a_home",
          "unusable_home::an_unwritable_home_is_left_alone",
          "unusable_home::another_users_files_are_neither_used_nor_written"]),
    ("Links, FIFOs, devices, or huge files are planted in the spool", "They are ignored.",
        &["planted_files::planted_files_are_ignored",
          "planted_files::replaced_state_files_are_harmless"]),
    ("The tool runs in `x=$(tool)` or `( flock 9; tool ) 9>lock`, the user presses Ctrl-C, or the terminal closes", "Nothing waits for the uploader, and no signal reaches it.",
        &["detachment::pipes_and_locks_are_released_when_the_tool_ends",
          "detachment::uploaders_survive_ctrl_c",
          "detachment::uploaders_survive_a_closed_terminal"]),
    ("No command begins and the process succeeds: `--version`, `--help`, or shell completion (`COMPLETE=bash`)", "This is not a run, and no file is written.",
        &["runs::success_before_any_command_is_no_run"]),
    ("One process runs several commands, one after another or at the same time", "Each is a run of its own, and its delivery starts when it ends.",
        &["runs::a_shell_reports_each_command_as_it_ends",
          "runs::overlapping_commands_keep_their_own_spans"]),
    ("A process runs for weeks", "If the user turns telemetry off, it is off from the next command on. 10,000 commands take no more memory, files, or processes than ten.",
        &["runs::a_shell_reports_each_command_as_it_ends",
          "runs::many_commands_use_bounded_memory_files_and_uploaders"]),
    ("The tool replaces itself with another program (`exec`)", "With `telemetry.exec(…)` the run is sealed first, and continues if `exec` fails. Otherwise the run is reported as cut off.",
        &["runs::a_failed_exec_continues_the_run",
          "runs::exec_reports_the_run_and_nests_the_new_programs_run_under_it"]),
    ("A run exceeds 1 MiB, which is about 2,300 spans", "The first spans are sent, and `status` counts the rest.",
        &["limits::a_run_file_stops_at_1_mib_and_the_rest_is_counted"]),
    ("The choice file cannot be read when the run ends, because no descriptor is free or the process changed its user or root directory", "The run stays pending, and nothing is sent until the choice file can be read.",
        &["runs::an_unreadable_choice_at_the_end_keeps_the_run",
          "off::an_unreadable_choice_stops_sending_and_deletes_nothing"]),
    ("The user runs the tool with `torsocks`, `proxychains`, or a library path", "The uploader loads the same libraries, so its connections take the same route.",
        &["uploader_start::the_uploader_uses_the_tools_proxifier"]),
    ("The tool is started through a loader (`ld.so ./tool`, a bundle, valgrind)", "The uploader is started through it too.",
        &["uploader_start::a_tool_started_through_a_loader_is_found"]),
    ("No process can be started, or there is no `/proc`", "The run stays pending, and `status` says what to do.",
        &["uploader_start::a_process_limit_keeps_the_run_and_is_reported",
          "uploader_start::without_proc_only_an_absolute_path_starts_an_uploader"]),
    ("Every process is killed when the command ends, as in containers, sandboxes, and services", "The first run in a fresh home, and a run after two uploaders that never reported, waits up to 300 ms for its delivery.",
        &["uploader_start::runs_arrive_from_short_lived_containers",
          "uploader_start::uploaders_that_never_report_are_noticed"]),
    ("A sandbox declares that it has no network (`CODEX_SANDBOX_NETWORK_DISABLED`)", "No uploader starts, and the runs stay pending.",
        &["uploader_start::a_sandbox_without_network_starts_no_uploader"]),
    ("The tool's file is replaced, or its file system is unmounted, while the uploader works", "Neither is in use: the uploader runs from a copy in memory.",
        &["uploader_start::the_tools_file_system_can_be_unmounted_while_the_uploader_works"]),
    ("Fewer than eight descriptors are free", "No run is recorded, which leaves the descriptors to the tool.",
        &["detachment::scarce_descriptors_are_left_to_the_tool"]),
    ("The tool forks, or closes every descriptor", "Nothing of ours lands in its files.",
        &["detachment::a_forked_child_leaves_its_parents_run_alone",
          "detachment::a_tool_that_replaces_its_descriptors_finds_its_files_unchanged"]),
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

/// All names of tests: this binary's, the soak's parts, and those of other test binaries.
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

/// The tests in the files of a directory, as `file::test`: the tests of other programs are found in their source.
fn tests_in(directory: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    while let Some(directory) = directories.pop() {
        for path in
            std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path())
        {
            if path.is_dir() {
                directories.push(path);
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

/// The names in a third column: a test, a module of tests, or the parts of the soak whose names begin with it.
fn shown_by(cell: &str) -> Vec<String> {
    cell.split(", ").map(|name| name.replace('`', "")).collect()
}

#[test]
fn every_table_row_is_backed_by_existing_tests() {
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

/// A user who turned on the tests' tool and `greet`.
fn user_of_two_tools() -> TestUser {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    assert!(greet(&user, &["telemetry", "on"]));
    user
}

fn greet(user: &TestUser, arguments: &[&str]) -> bool {
    user.command(example("minimal")).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Runs both tools. Returns how many runs of each were recorded.
fn recorded(user: &TestUser) -> (usize, usize) {
    let of = |tool: &str| {
        let directory = user.home().join(".local/state").join(tool);
        user.pending_runs().iter().filter(|path| path.starts_with(&directory)).count()
    };
    let before = (of("frob"), of("greet"));
    assert!(user.run_frob(["build"]).status.success() && greet(user, &["hello"]));
    (of("frob") - before.0, of("greet") - before.1)
}

#[test]
fn off_for_one_tool_leaves_others_on() {
    let user = user_of_two_tools();
    assert_eq!(recorded(&user), (1, 1));
    assert!(user.run_frob(["telemetry", "off"]).status.success());
    assert_eq!(recorded(&user), (0, 1));
    for (name, value) in [("FROB_TELEMETRY_OPTOUT", "1"), ("FROB_TELEMETRY", "off")] {
        assert_eq!(recorded(&user_of_two_tools().with(name, value)), (0, 1), "{name}");
    }
}

#[test]
fn do_not_track_turns_off_every_tool() {
    assert_eq!(recorded(&user_of_two_tools().with("DO_NOT_TRACK", "1")), (0, 0));
}

/// The policy is the one that docs/users.md shows.
#[test]
fn the_machine_policy_turns_off_every_tool() {
    if !is_root("a policy file in /etc, in a mount namespace of its own") {
        return;
    }
    let (_, policy, _) = DECISIONS.iter().find(|row| row.0 == "off, for a whole machine").expect("the row");
    let policy = policy.split('`').nth(1).expect("the line of the policy");
    let runs = |prepare: &str| {
        let user = user_of_two_tools();
        let commands = format!("frob build >/dev/null && {} hello >/dev/null", example("minimal").display());
        on_machine(prepare, &user, &commands);
        user.pending_runs().len()
    };
    assert_eq!(runs(":"), 2);
    assert_eq!(runs(&format!("echo '{policy}' > policy.toml && chmod 644 policy.toml")), 0);
}

#[test]
fn runs_go_to_the_users_collector_and_not_to_the_author() {
    let [own, author] = [(); 2].map(|()| Receiver::start().expect("a receiver"));
    // A tool without an endpoint of its author.
    let user = TestUser::sending_to(&own.http_endpoint());
    user.run_frob(["build"]);
    own.wait_for(1, TIMEOUT).expect("it arrives");

    // A tool with an endpoint of its author follows the variable only on request.
    let user = TestUser::new()
        .with_tool_setting("FROB_AUTHOR_ENDPOINT", &format!("{}/v1/traces", author.http_endpoint()))
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &own.http_endpoint());
    user.run_frob(["telemetry", "on"]);
    let user = user.with("FROB_TELEMETRY", "otlp");
    user.run_frob(["build"]);
    own.wait_for(2, TIMEOUT).expect("it arrives");
    eventually("its uploader has ended", || user.uploaders().is_empty());
    assert_eq!(author.connections(), 0);
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

/// `data_points!` compiles the file, and the page shows all of it.
#[test]
fn the_blocks_of_the_format_page_are_one_file_that_compiles() {
    static FORMAT: tool_telemetry::DataPoints = tool_telemetry::data_points!("tests/data/format.toml");

    let page = read("docs/telemetry-toml.md");
    let blocks = page.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    assert_eq!(blocks.collect::<Vec<_>>().join("\n"), read("tests/data/format.toml"));
    let written = FORMAT.keys().filter(|key| page.contains(&format!("\nkey = \"{key}\"\non = ")));
    assert_eq!(written.count(), page.matches("\nkind = ").count());
    for (name, key) in tool_telemetry_definition::standard::STANDARD {
        assert!(page.contains(&format!("\n| `{name}` | `{key}` |")), "{name} is not described");
    }
    for kind in ["bool", "integer", "exit_code", "command", "set", "version", "moniker"] {
        assert!(page.contains(&format!("\n### `{kind}`\n")), "{kind} is not described");
    }
}

/// The tests that a platform condition excludes from Windows, from their source.
fn tests_not_on_windows() -> Vec<String> {
    let excludes = |line: &str| line.starts_with("#[cfg(") && !line.contains("windows");
    let main = read("tests/it/main.rs");
    let mut names = Vec::new();
    let mut is_excluded = false;
    for line in main.lines() {
        if let Some(module) = line.strip_prefix("mod ").and_then(|rest| Some(rest.split_once(';')?.0)) {
            let text = read(&format!("tests/it/{module}.rs"));
            let (mut is_test, mut is_test_excluded) = (false, false);
            for line in text.lines() {
                match line.strip_prefix("fn ").and_then(|rest| Some(rest.split_once('(')?.0)) {
                    Some(name) if is_test && (is_excluded || is_test_excluded) => {
                        names.push(format!("{module}::{name}"));
                    }
                    _ => {}
                }
                let is_attribute = line.starts_with("#[");
                is_test = line == "#[test]" || is_attribute && is_test;
                is_test_excluded = excludes(line) || is_attribute && is_test_excluded;
            }
        }
        is_excluded = excludes(line);
    }
    names.sort();
    names
}

#[test]
fn the_tests_that_do_not_run_on_windows_are_listed_with_a_reason() {
    let rows = rows("docs/platforms.md", "| because | not on Windows |");
    assert!(rows.iter().all(|row| !row[0].is_empty()));
    let mut listed: Vec<String> = rows.iter().flat_map(|row| shown_by(&row[1])).collect();
    listed.sort();
    assert_eq!(listed, tests_not_on_windows());
}

/// A test is named by its function, perhaps after its modules; such a name has four words or more.
#[test]
fn the_tests_and_files_that_documents_name_exist() {
    let mut tests = names_of_tests();
    // Those of another platform are not in this binary.
    tests.extend(tests_in("tests/it"));
    let functions: Vec<&str> = tests.iter().filter_map(|name| name.rsplit("::").next()).collect();
    let documents = [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/failures.md",
        "docs/figures.md",
        "docs/otlp.md",
        "docs/platforms.md",
        "docs/policy.md",
        "docs/telemetry-toml.md",
    ];
    for document in documents {
        for code in read(document).split('`').skip(1).step_by(2) {
            let function = code.rsplit("::").next().unwrap_or_default();
            if code.contains("::") && function.matches('_').count() >= 3 && !function.contains('(') {
                assert!(functions.contains(&function), "{document}: {code} is no test");
            }
            let is_path = ["src/", "crates/", "tests/", "examples/", "proto/", ".ci/"].iter();
            if is_path.clone().any(|start| code.starts_with(start)) && !code.contains(' ') {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(code);
                assert!(path.exists(), "{document}: there is no {code}");
            }
        }
    }
}

/// Relative links start at the directory of their document. Documents that rustdoc also shows have none, because there
/// they would lead nowhere.
#[test]
fn the_links_of_the_documents_lead_to_files() {
    let directories =
        [".", "docs", "crates/cli", "crates/definition", "crates/macros", "crates/receiver", "fuzz"];
    for directory in directories {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        let documents =
            std::fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path());
        for document in documents.filter(|path| path.extension().is_some_and(|end| end == "md")) {
            let text = std::fs::read_to_string(&document).expect("a document");
            let links =
                text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
            for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
                let file = link.split('#').next().unwrap_or_default();
                assert!(path.join(file).exists(), "{}: {link} leads nowhere", document.display());
            }
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
fn unsafe_code_is_confined_to_platform_and_the_layer() {
    let mut elsewhere = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for path in
            std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path())
        {
            if path.is_dir() {
                directories.push(path);
            } else if path.iter().all(|part| part != "platform") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let blocks = text.matches("unsafe {").count();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                elsewhere.extend((blocks > 0).then_some((name, blocks)));
            }
        }
    }
    assert_eq!(elsewhere, [("layer.rs".to_owned(), 1)]);
}
