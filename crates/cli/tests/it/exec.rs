//! `exec` and `span` with real programs, signals, and terminals.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::fixture::{GOOD, TestUser};

/// Nothing listens on this port.
const NO_RECEIVER: &str = "http://127.0.0.1:9";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user of `frob`, which `exec` runs.
struct FrobUser {
    user: TestUser,
    endpoint: String,
}

impl FrobUser {
    /// Has seen the notice.
    fn new() -> Self {
        Self::sending_to(NO_RECEIVER)
    }

    /// Has seen the notice.
    fn sending_to(endpoint: &str) -> Self {
        let frob = Self { endpoint: endpoint.to_owned(), ..Self::newcomer() };
        let notice = frob.see_notice();
        assert!(notice.contains("`tool-telemetry off frob`"), "{notice}");
        frob
    }

    fn newcomer() -> Self {
        stop_ignoring_signals();
        let user = TestUser::new();
        user.write("telemetry.toml", GOOD);
        Self { user, endpoint: NO_RECEIVER.to_owned() }
    }

    /// Runs the tool in a terminal for the first time, and returns its output.
    fn see_notice(&self) -> String {
        let mut script = self.like_companion("script");
        script.args(["--quiet", "--return", "--command", &Self::exec_line("true"), "/dev/null"]);
        stdout(&script.stdin(Stdio::null()).output().expect("script starts; it is in util-linux"))
    }

    /// Another program, with the environment and the directory of [`Self::companion`].
    fn like_companion(&self, program: &str) -> Command {
        let companion = self.companion();
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.user.home());
        command.envs(companion.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command
    }

    fn companion(&self) -> Command {
        let mut command = self.user.command();
        command
            .env("PATH", "/usr/bin:/bin")
            .env("TT", env!("CARGO_BIN_EXE_tool-telemetry"))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint);
        command
    }

    /// `exec` with these words of the program.
    fn exec(&self, program: &[&str]) -> Command {
        let mut command = self.companion();
        command
            .args(["exec", "--data-points", "telemetry.toml", "--tool", "frob", "--tool-version", "1.4.0"])
            .arg("--")
            .args(program);
        command
    }

    /// The same, as a shell would read it.
    fn exec_line(program: &str) -> String {
        format!("\"$TT\" exec --data-points telemetry.toml --tool frob --tool-version 1.4.0 -- {program}")
    }

    fn run(&self, program: &[&str]) -> Output {
        self.exec(program).output().expect("the program starts")
    }

    fn telemetry(&self) -> PathBuf {
        self.user.home().join(".local/state/frob/telemetry")
    }

    /// The pending and sent runs as text, oldest first: each a line with its name and values, and its spans below.
    fn runs(&self) -> String {
        let mut show = self.companion();
        show.args(["show", "frob", "--data-points", "telemetry.toml"]);
        let output = show.output().expect("the program starts");
        let text = String::from_utf8(output.stdout).expect("text");
        let is_content = |line: &&str| !line.is_empty() && !line.contains("frob 1.4.0");
        text.lines().filter(is_content).map(without_duration).collect()
    }

    /// Starts a program and waits until it has printed a first line.
    fn start(&self, program: &[&str]) -> (Child, String) {
        let mut child = self.exec(program).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.as_mut().expect("a pipe"));
        stdout.read_line(&mut line).expect("a line");
        (child, line.trim().to_owned())
    }
}

/// `frob build  12.3 ms  key = value` without its duration.
fn without_duration(line: &str) -> String {
    let mut parts = line.split("  ").filter(|part| !part.ends_with(" ms") && !part.ends_with(" µs"));
    let indentation = if line.starts_with("  ") { "  " } else { "" };
    let text: Vec<&str> = parts.by_ref().filter(|part| !part.is_empty()).collect();
    let text: Vec<&str> = text.into_iter().filter(|part| !part.starts_with("process.executable")).collect();
    format!("{indentation}{}\n", text.join("  ").trim())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn kill(signal: &str, process: u32) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn a_run_has_the_command_the_exit_code_and_nothing_else_of_the_arguments() {
    let frob = FrobUser::new();
    let output =
        frob.run(&["sh", "-c", "echo working; exit 3", "frob", "--token=hunter2", "build", "~/secret"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), "working\n"));
    assert_eq!(output.stderr, b"");
    assert_eq!(frob.runs(), "frob build  process.exit.code = 3  error.type = _OTHER  frob.command = build\n");
    for entry in walk(&frob.telemetry()) {
        let text = fs::read_to_string(&entry).expect("text");
        assert!(!text.contains("hunter2") && !text.contains("secret"), "{}: {text}", entry.display());
    }
}

fn walk(directory: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

#[test]
fn the_command_is_the_first_listed_argument_or_other() {
    for (arguments, command) in [
        (vec!["-v", "test", "build"], "frob test"),
        (vec!["deploy"], "frob other"),
        (vec!["--", "build"], "frob other"),
        (vec![], "frob"),
    ] {
        let frob = FrobUser::new();
        let program: Vec<&str> = ["true"].into_iter().chain(arguments).collect();
        assert!(frob.run(&program).status.success());
        let runs = frob.runs();
        assert!(runs.starts_with(&format!("{command}  ")), "{program:?}: {runs}");
    }
    let frob = FrobUser::new();
    let mut named = frob.companion();
    named.args(["exec", "--data-points", "telemetry.toml", "--tool", "frob", "--tool-version", "1.4.0"]);
    assert!(named.args(["--command", "test", "--", "true", "build"]).status().expect("a start").success());
    assert!(frob.runs().starts_with("frob test  "));
}

#[test]
fn opted_out_the_process_becomes_the_program_and_no_file_appears() {
    for (name, value) in [("FROB_TELEMETRY", "off"), ("DO_NOT_TRACK", "1"), ("FROB_QUIET", "1")] {
        let frob = FrobUser::newcomer();
        let mut command = frob.companion();
        command.args(["exec", "--data-points", "missing.toml", "--tool", "frob", "--tool-version", "1.4.0"]);
        command.args(["--opt-out-var", "FROB_QUIET", "--", "sh", "-c", "echo $$; env"]);
        command.env("TOOL_TELEMETRY_POINTS", "/outer").env(name, value).stdout(Stdio::piped());
        let child = command.spawn().expect("the program starts");
        let process = child.id();
        let output = child.wait_with_output().expect("an end");
        let text = stdout(&output);
        assert_eq!(text.lines().next(), Some(process.to_string().as_str()), "{name}");
        assert!(!text.contains("TOOL_TELEMETRY"), "{text}");
        let files: Vec<PathBuf> = walk(frob.user.home());
        assert_eq!(files, [frob.user.home().join("telemetry.toml")], "{name}");
    }
}

#[test]
fn opted_out_by_choice_the_process_becomes_the_program() {
    let frob = FrobUser::newcomer();
    assert!(frob.companion().args(["off", "frob"]).status().expect("a start").success());
    let child = frob.exec(&["sh", "-c", "echo $$"]).stdout(Stdio::piped()).spawn().expect("a start");
    let process = child.id();
    assert_eq!(stdout(&child.wait_with_output().expect("an end")), format!("{process}\n"));
    assert!(!frob.telemetry().exists());
}

#[test]
fn without_a_valid_definition_the_program_runs_and_a_preview_says_why() {
    let frob = FrobUser::new();
    for (text, reason) in [("format = 1\nnonsense = 2\n", "telemetry.toml:2:1: "), ("", "format")] {
        frob.user.write("telemetry.toml", text);
        let output = frob.run(&["sh", "-c", "exit 7"]);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(7), b"".as_slice()));
        let output = frob.exec(&["true"]).env("FROB_TELEMETRY", "trace").output().expect("a start");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success() && stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn a_program_that_cannot_be_run_has_the_exit_codes_of_a_shell() {
    let frob = FrobUser::new();
    frob.user.write("not-executable", "");
    for (program, code) in [("./missing", 127), ("./not-executable", 126), ("/", 126)] {
        let on = frob.run(&[program]);
        let off = frob.exec(&[program]).env("FROB_TELEMETRY", "off").output().expect("a start");
        assert_eq!((on.status.code(), off.status.code()), (Some(code), Some(code)), "{program}");
        assert_eq!(on.stderr, off.stderr, "the message does not depend on telemetry");
        assert!(String::from_utf8_lossy(&on.stderr).contains(program), "{on:?}");
    }
    let usage = frob.companion().args(["exec", "--tool", "Frob", "--", "true"]).output().expect("a start");
    assert_eq!(usage.status.code(), Some(125), "as `env` and `timeout`, if they fail themselves");
    assert!(frob.runs().contains("process.exit.code = 127"));
}

#[test]
fn a_signal_to_the_process_reaches_the_program_and_both_die_of_it() {
    for (signal, number) in [("-TERM", 15), ("-INT", 2), ("-USR1", 10), ("-HUP", 1), ("-ABRT", 6)] {
        let frob = FrobUser::new();
        let (mut child, line) = frob.start(&["sh", "-c", "echo ready; exec sleep 1000", "frob", "test"]);
        assert_eq!(line, "ready");
        kill(signal, child.id());
        let status = child.wait().expect("an end");
        assert_eq!(
            status.signal(),
            Some(number),
            "a shell goes on with its script unless it died of the signal"
        );
        let code = 128 + number;
        let expected =
            format!("frob test  process.exit.code = {code}  error.type = _OTHER  frob.command = test\n");
        assert_eq!(frob.runs(), expected);
    }
}

#[test]
fn a_program_that_handles_a_signal_gets_it_once() {
    let frob = FrobUser::new();
    // `kill 0` signals the whole group, which includes the process that waits.
    let mut group = frob.exec(&["sh", "-c", "n=0; trap 'n=$((n+1))' TERM; kill -TERM 0; sleep 0.2; exit $n"]);
    let group = std::os::unix::process::CommandExt::process_group(&mut group, 0).status().expect("a start");
    assert_eq!(group.code(), Some(1), "once by the group, and not once more");
}

#[test]
fn a_killed_process_takes_the_program_with_it_and_the_run_is_recovered() {
    let frob = FrobUser::new();
    let (mut child, program) = frob.start(&["sh", "-c", "echo $$; exec sleep 1000", "frob", "build"]);
    child.kill().expect("it runs");
    child.wait().expect("an end");
    let began = Instant::now();
    while PathBuf::from(format!("/proc/{program}")).exists()
        && !fs::read_to_string(format!("/proc/{program}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    {
        assert!(began.elapsed() < PATIENCE, "the program runs on");
        std::thread::yield_now();
    }
    frob.companion().args(["flush", "frob"]).output().expect("a start");
    assert_eq!(frob.runs(), "frob build  error.type = cut_off  frob.command = build\n");
}

#[test]
fn streams_masks_and_ignored_signals_are_those_of_the_bare_program() {
    // Descriptors, ignored and blocked signals, group, session, and limits, as the kernel reports them.
    let report = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -a; pwd; umask";
    let before = "trap '' PIPE USR2; exec 7</dev/null 0<&-; umask 027;";
    for before in [before, "", "trap '' CHLD;"] {
        let frob = FrobUser::new();
        let program = format!("sh -c \"{report}\"");
        let output = |line: &str| {
            let mut bash = frob.like_companion("bash");
            bash.args(["-c", line]).output().expect("bash starts")
        };
        let bare = output(&format!("{before} exec {program}"));
        let wrapped = output(&format!("{before} exec {}", FrobUser::exec_line(&program)));
        assert!(bare.status.success() && !bare.stdout.is_empty(), "{bare:?}");
        assert_eq!(stdout(&wrapped), stdout(&bare), "{before}");
        assert_eq!(wrapped.stderr, bare.stderr);
        assert!(frob.runs().starts_with("frob other"), "{before} {}", frob.runs());
    }
}

#[test]
fn a_program_adds_data_points_and_only_approved_ones_are_kept() {
    let frob = FrobUser::new();
    let script = "p=$TOOL_TELEMETRY_POINTS; ls -l $p | cut -c1-10; echo frob.color=never >>$p; \
        echo frob.token=hunter2 >>$p; echo nonsense >>$p; printf frob.color=always >>$p";
    let output = frob.run(&["sh", "-c", script, "frob", "build"]);
    assert_eq!((stdout(&output).as_str(), output.stderr.as_slice()), ("-rw-------\n", b"".as_slice()));
    let runs = "frob build  process.exit.code = 0  frob.command = build  frob.color = always\n";
    assert_eq!(frob.runs(), runs);
    assert_eq!(
        walk(&frob.telemetry()).iter().filter(|path| path.display().to_string().contains("points")).count(),
        0
    );
    let preview = frob.exec(&["sh", "-c", script]).env("FROB_TELEMETRY", "log").output().expect("a start");
    let stderr = String::from_utf8(preview.stderr).expect("text");
    for dropped in ["\"frob.token\" is not a data point of the run", "line 3 of TOOL_TELEMETRY_POINTS is not"]
    {
        assert!(stderr.contains(dropped), "{stderr}");
    }
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn the_data_points_of_a_killed_program_are_kept() {
    let frob = FrobUser::new();
    let script = "echo frob.color=never >>$TOOL_TELEMETRY_POINTS; printf frob.color=alw >>$TOOL_TELEMETRY_POINTS; \
        kill -KILL $$";
    assert_eq!(frob.run(&["sh", "-c", script, "frob", "build"]).status.signal(), Some(9));
    let runs = "frob build  process.exit.code = 137  error.type = _OTHER  frob.command = build  frob.color = never\n";
    assert_eq!(frob.runs(), runs);
}

#[test]
fn spans_nest_below_the_run_and_pass_exit_codes_through() {
    let frob = FrobUser::new();
    let script = "\"$TT\" span 'build step' --point frob.cached=true --point frob.token=hunter2 -- \
        sh -c '\"$TT\" span phase -- sh -c \"exit 4\"'; echo $?; \"$TT\" span private -- true";
    let output = frob.run(&["sh", "-c", script, "frob", "build"]);
    assert_eq!(stdout(&output), "4\n");
    assert_eq!(
        frob.runs(),
        "frob build  process.exit.code = 0  frob.command = build\n  build step  frob.cached = true\n  phase\n"
    );
}

#[test]
fn outside_of_a_run_a_span_is_the_bare_program() {
    let frob = FrobUser::new();
    let mut span = frob.companion();
    span.args(["span", "build step", "--", "sh", "-c", "echo $$; exit 4"]).stdout(Stdio::piped());
    let child = span.env("TOOL_TELEMETRY_POINTS", "/dev/null").spawn().expect("a start");
    let process = child.id();
    let output = child.wait_with_output().expect("an end");
    assert_eq!((output.status.code(), stdout(&output)), (Some(4), format!("{process}\n")));
}

#[test]
fn the_run_of_a_tool_inside_hangs_below() {
    let receiver = Receiver::start().expect("a receiver");
    let frob = FrobUser::sending_to(&receiver.http_endpoint());
    let inner = FrobUser::exec_line("true test");
    let program = format!("\"$TT\" span 'build step' -- {inner}; exit 0");
    assert!(frob.run(&["sh", "-c", &program, "frob", "build"]).status.success());
    frob.companion().args(["flush", "frob"]).output().expect("a start");
    receiver.wait_for(1, PATIENCE).expect("one trace");
    let spans = receiver.spans();
    let find = |name: &str| {
        spans.iter().find(|span| span.name() == name).unwrap_or_else(|| panic!("{name}: {spans:?}"))
    };
    let (outer, step, inner) = (find("frob build"), find("build step"), find("frob test"));
    assert_eq!(step.parent_span_id(), Some(outer.span_id()));
    assert_eq!(inner.parent_span_id(), Some(step.span_id()));
    assert_eq!(inner.trace_id(), outer.trace_id());
}

#[test]
fn flush_needs_neither_the_program_nor_its_definition() {
    let receiver = Receiver::start().expect("a receiver");
    let frob = FrobUser::sending_to(&receiver.http_endpoint());
    // A program of the tool's name, which must not be started for its telemetry.
    frob.user.write("frob", "#!/bin/sh\ntouch started\n");
    let mut exec = frob.exec(&["true", "build"]);
    assert!(exec.env("CODEX_SANDBOX_NETWORK_DISABLED", "1").status().expect("a start").success());
    fs::remove_file(frob.user.home().join("telemetry.toml")).expect("it was there");
    Command::new("chmod").arg("+x").arg(frob.user.home().join("frob")).status().expect("chmod runs");
    let mut flush = frob.companion();
    let path = format!("{}:/usr/bin:/bin", frob.user.home().display());
    let output = flush.args(["flush", "frob"]).env("PATH", path).output().expect("a start");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(receiver.wait_for(1, PATIENCE).expect("a trace").len(), 1);
    assert!(!frob.user.home().join("started").exists());
}

#[test]
fn runs_arrive_without_a_flush_and_purge_deletes_the_settings() {
    let receiver = Receiver::start().expect("a receiver");
    let frob = FrobUser::sending_to(&receiver.http_endpoint());
    assert!(frob.run(&["true", "build"]).status.success());
    receiver.wait_for(1, PATIENCE).expect("a trace");
    let settings =
        || walk(&frob.telemetry()).into_iter().filter(|path| path.ends_with("program.json")).count();
    assert_eq!(settings(), 1);
    assert!(frob.companion().args(["purge", "frob"]).status().expect("a start").success());
    assert_eq!(settings(), 0);
    assert!(frob.run(&["true", "build"]).status.success());
    receiver.wait_for(2, PATIENCE).expect("another trace");
}

#[test]
fn list_and_off_all_concern_every_tool_that_left_files() {
    let frob = FrobUser::new();
    assert!(frob.run(&["true", "build"]).status.success());
    frob.user.write(".config/weave/telemetry.toml", "telemetry = \"on\"\n");
    frob.user.write(".config/other/settings.toml", "");
    frob.user.write(".local/state/other/history", "");
    let run = |arguments: &[&str]| frob.companion().args(arguments).output().expect("a start");
    let listed = stdout(&run(&["list"]));
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(lines[0].starts_with("frob: telemetry is on: "), "{listed}");
    assert!(lines[2].starts_with("weave: telemetry is "), "{listed}");
    assert_eq!(lines[1], "  operator+example-tools+http-127.0.0.1-9: 1 pending, 0 delivered");
    assert_eq!(run(&["off", "--all"]).status.code(), Some(0));
    let listed = stdout(&run(&["list"]));
    assert_eq!(listed.matches("telemetry is off").count(), 2, "{listed}");
    assert!(listed.contains(" 0 pending"), "{listed}");
    assert!(!frob.user.home().join(".config/other/telemetry.toml").exists());
    assert_eq!(run(&["off"]).status.code(), Some(2));
}

/// The examples of docs/any-language.md.
#[test]
fn the_examples_run_with_telemetry_without_it_and_without_the_program() {
    let examples = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/any_language"));
    let companion = PathBuf::from(env!("CARGO_BIN_EXE_tool-telemetry"));
    let directory = companion.parent().expect("a directory").display().to_string();
    for (language, interpreter, program, text) in [
        ("shell", "sh", "greet.sh", "Hello from the shell\n"),
        ("python", "python3", "greet.py", "Hello from Python\n"),
        ("node", "node", "greet.js", "Hello from Node\n"),
    ] {
        let is_installed = |directory: &&str| PathBuf::from(directory).join(interpreter).exists();
        assert!(
            ["/usr/bin", "/bin"].iter().any(is_installed),
            "{interpreter} is not in /usr/bin; install it"
        );
        let receiver = Receiver::start().expect("a receiver");
        let frob = FrobUser { endpoint: receiver.http_endpoint(), ..FrobUser::newcomer() };
        let launcher = examples.join("greet");
        let in_path = |mut command: Command, path: &str| {
            command.env("PATH", path).env("GREET_PROGRAM", examples.join(program));
            command
        };
        let greet = |path: &str| {
            let mut command = in_path(frob.like_companion("sh"), path);
            command.arg(&launcher).arg("hello");
            command
        };
        let path = format!("{directory}:/usr/bin:/bin");
        let run = |mut command: Command| {
            let output = command.output().expect("sh starts");
            assert_eq!((output.status.code(), stdout(&output)), (Some(0), text.to_owned()), "{output:?}");
        };
        run(greet("/usr/bin:/bin"));
        let mut off = greet(&path);
        off.env("GREET_NO_TELEMETRY", "1");
        run(off);
        assert_eq!(walk(frob.user.home()).len(), 1, "only the test's own telemetry.toml");
        let mut script = in_path(frob.like_companion("script"), &path);
        let line = format!("sh {} hello", launcher.display());
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        assert!(script.stdin(Stdio::null()).output().expect("script starts").status.success());
        run(greet(&path));
        receiver.wait_for(1, PATIENCE).expect("a trace");
        let tree = receiver.tree();
        assert!(
            tree.contains("greet hello") && tree.contains(&format!("greet.language={language}")),
            "{tree}"
        );
        assert_eq!(receiver.spans().len(), if language == "shell" { 2 } else { 1 }, "{tree}");
    }
}

/// A shell starts what it runs in the background with these signals ignored, and programs inherit that. A test that sends one
/// would wait for ever.
#[expect(unsafe_code, reason = "std cannot set what a signal does")]
fn stop_ignoring_signals() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        // SAFETY: the default action needs no handler, and no other code of the tests handles signals.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

#[test]
fn a_terminals_ctrl_c_ctrl_z_and_fg_work_as_for_the_bare_program() {
    for variable in ["FROB_TELEMETRY=on", "FROB_TELEMETRY=off"] {
        let frob = FrobUser::new();
        let mut terminal = Terminal::start(&frob);
        terminal.type_line(&format!("export {variable}"));
        terminal.type_line(&FrobUser::exec_line(
            "sh -c 'echo r''eady; cat; echo n''ext; exec sleep 1000' frob build",
        ));
        terminal.wait_for("ready");
        // A shell that is stopped between `fork` and `exec` of `cat` would not stop itself.
        terminal.type_line("first");
        terminal.wait_for("first\r\nfirst\r\n");
        terminal.type_text("\u{1a}");
        terminal.wait_for("Stopped");
        terminal.type_line("echo i''n the shell");
        terminal.wait_for("in the shell");
        terminal.type_line("fg");
        // bash repeats the command when it has given the terminal back.
        terminal.wait_for("sleep 1000");
        terminal.type_line("again");
        terminal.wait_for("again\r\nagain\r\n");
        terminal.type_text("\u{4}");
        terminal.wait_for("next");
        terminal.type_text("\u{3}");
        terminal.type_line("echo c''ode $?");
        terminal.wait_for("code 130");
        // An interrupted script stops, because the process died of the signal.
        let inner = FrobUser::exec_line("sh -c 'echo b''egun; exec sleep 1000'");
        terminal.type_line(&format!("bash -c '{}; echo w\"\"ent on'", inner.replace('\'', "'\\''")));
        terminal.wait_for("begun");
        terminal.type_text("\u{3}");
        terminal.type_line("echo s''cript $?");
        let shown = terminal.wait_for("script 130");
        assert!(!shown.contains("went on"), "{shown}");
    }
}

/// An interactive bash on a terminal, which `script` of util-linux provides. It ends after a minute.
struct Terminal {
    script: Child,
    /// What the terminal showed since the last wait.
    text: String,
}

impl Terminal {
    fn start(frob: &FrobUser) -> Self {
        let mut script = frob.like_companion("timeout");
        script
            .args(["--foreground", "60", "script", "--quiet", "--flush", "--command"])
            .args(["bash --norc --noprofile -i", "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let script = script.spawn().expect("script starts; it is in util-linux");
        Self { script, text: String::new() }
    }

    fn type_text(&mut self, text: &str) {
        self.script.stdin.as_mut().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    }

    fn type_line(&mut self, line: &str) {
        self.type_text(&format!("{line}\n"));
    }

    /// Reads until the terminal shows the text, and returns what it showed since the last wait.
    fn wait_for(&mut self, expected: &str) -> String {
        let stdout = self.script.stdout.as_mut().expect("a pipe");
        let mut byte = [0];
        while !self.text.ends_with(expected) {
            assert_eq!(stdout.read(&mut byte).expect("it runs"), 1, "no {expected:?} in {:?}", self.text);
            self.text.push(char::from(byte[0]));
        }
        std::mem::take(&mut self.text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
