//! No command, several commands, commands that use telemetry's own functions, and `exec`.

#[cfg(unix)]
use std::process::Command;
use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;

use tool_telemetry::Telemetry;

/// Runs the sequence with this name; `None` if there is none.
pub(crate) fn run(telemetry: &Telemetry, word: &str, rest: &[String]) -> Option<ExitCode> {
    Some(match word {
        "no-command" => no_command(rest),
        "around" => around(telemetry),
        "asks" => call_in_command(telemetry, rest),
        "discards-first" => discard_first(telemetry),
        "off-then-commands" => off_then_commands(telemetry),
        "shell" => shell(telemetry),
        "many" => many_commands(telemetry, rest),
        "nested" => nested(telemetry),
        "overlapping" => overlapping(telemetry),
        "discards-one" => discard_one(telemetry),
        "crowd" => crowd(telemetry, rest),
        "late" => late_span(telemetry),
        "left" => left_open(telemetry),
        #[cfg(unix)]
        "exec" => exec(telemetry, rest),
        _ => return None,
    })
}

/// A tool with spans and without commands.
fn no_command(rest: &[String]) -> ExitCode {
    crate::work(1);
    let code: u8 = rest[0].parse().expect("a code");
    ExitCode::from(code)
}

/// Spans and a value before the command, between two commands, and after the last.
fn around(telemetry: &Telemetry) -> ExitCode {
    telemetry.record("frob.color", "always");
    crate::work(1);
    let _ = telemetry.command("build", || ());
    crate::work(1);
    telemetry.record("frob.color", "never");
    let code = telemetry.command("test", || ());
    crate::work(1);
    code
}

/// A telemetry function in the middle of a command.
fn call_in_command(telemetry: &Telemetry, rest: &[String]) -> ExitCode {
    telemetry.command("build", || {
        crate::work(1);
        match &*rest[0] {
            "status" => drop(telemetry.status()),
            "show" => assert_eq!(telemetry.runs().len(), 1),
            "flush" => drop(telemetry.flush()),
            "purge" => assert_eq!(telemetry.purge().expect("a home").pending, 1),
            "off" => assert_eq!(telemetry.disable().expect("a home").pending, 1),
            "login" => telemetry.discard(),
            word => panic!("no such word: {word}"),
        }
        crate::work(1);
    })
}

/// A usage error that must not be reported.
fn discard_first(telemetry: &Telemetry) -> ExitCode {
    telemetry.discard();
    ExitCode::from(2)
}

/// Telemetry is turned off before the commands.
fn off_then_commands(telemetry: &Telemetry) -> ExitCode {
    telemetry.disable().expect("a home");
    let _ = telemetry.command("build", || crate::work(1));
    telemetry.command("test", || crate::work(1))
}

/// One command for each line of the input: its name and its exit code.
fn shell(telemetry: &Telemetry) -> ExitCode {
    println!("ready");
    let mut code = ExitCode::SUCCESS;
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (command, ended) = line.split_once(' ').expect("a command and a code");
        let ended: u8 = ended.parse().expect("a code");
        code = telemetry.command(command, || {
            crate::work(1);
            ended
        });
        println!("{command}");
    }
    code
}

/// Many commands, one after another. Prints what the process holds afterwards.
fn many_commands(telemetry: &Telemetry, rest: &[String]) -> ExitCode {
    let files = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let before = files();
    for _ in 0..rest[0].parse::<u32>().expect("a number") {
        let _ = telemetry.command("build", || crate::work(1));
    }
    print!("{}", std::fs::read_to_string("/proc/self/status").expect("Linux"));
    println!("more files: {}", files() - before);
    println!("children: {}", children());
    ExitCode::SUCCESS
}

/// A command inside another.
fn nested(telemetry: &Telemetry) -> ExitCode {
    let step = |number: u32| tracing::info_span!(target: "frob", "step", frob.number = number);
    telemetry.command("build", || {
        let outer = step(1).entered();
        let _ = telemetry.command("test", || {
            drop(step(2));
            // Another thread follows the span that it gets as a parent.
            thread::scope(|scope| {
                scope.spawn(|| drop(tracing::info_span!(target: "frob", parent: &outer, "inner")));
            });
        });
        drop(step(3));
    })
}

/// Two commands at the same time, each in its own thread.
fn overlapping(telemetry: &Telemetry) -> ExitCode {
    let both = Barrier::new(2);
    thread::scope(|scope| {
        for command in ["build", "test"] {
            let both = &both;
            scope.spawn(move || {
                let open = telemetry.begin(command);
                both.wait();
                let all =
                    tracing::info_span!(target: "frob", parent: None, "step", frob.number = command.len());
                let below = all.clone();
                thread::scope(|scope| {
                    scope.spawn(move || drop(tracing::info_span!(target: "frob", parent: &below, "inner")));
                });
                drop(all);
                both.wait();
                let _ = open.end(());
            });
        }
    });
    ExitCode::SUCCESS
}

/// Discards one of two open commands: that of the entered span.
fn discard_one(telemetry: &Telemetry) -> ExitCode {
    let login = telemetry.begin("run");
    let all = tracing::info_span!(target: "frob", parent: None, "step", frob.number = 1);
    let build = telemetry.begin("build");
    thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = all.enter();
            telemetry.record("frob.color", "never");
            telemetry.discard();
        });
    });
    drop(all);
    let _ = login.end(());
    build.end(())
}

/// More open commands than are recorded, and then one more.
fn crowd(telemetry: &Telemetry, rest: &[String]) -> ExitCode {
    let number: u32 = rest[0].parse().expect("a number");
    let all: Vec<_> = (0..number).map(|_| telemetry.begin("build")).collect();
    all.into_iter().for_each(|command| {
        let _ = command.end(());
    });
    telemetry.command("test", || ())
}

/// A span that closes after its command, with a child in the next command.
fn late_span(telemetry: &Telemetry) -> ExitCode {
    let first = telemetry.begin("build");
    let late = tracing::info_span!(target: "frob", "step", frob.number = 1);
    let _ = first.end(());
    telemetry.command("test", || {
        late.in_scope(|| drop(tracing::info_span!(target: "frob", "step", frob.number = 2)));
        drop(late);
    })
}

/// A command that panics and one that is dropped. Another command follows.
fn left_open(telemetry: &Telemetry) -> ExitCode {
    let panicked =
        std::panic::catch_unwind(|| telemetry.command("build", || -> u8 { panic!("anna's panic") }));
    assert!(panicked.is_err());
    drop(telemetry.begin("test"));
    telemetry.command("run", || ())
}

/// Replaces the process by another program, or reports why that failed.
#[cfg(unix)]
fn exec(telemetry: &Telemetry, rest: &[String]) -> ExitCode {
    telemetry.command("run", || {
        crate::work(1);
        let (program, arguments) = rest.split_first().expect("a program");
        let error = telemetry.exec(Command::new(program).args(arguments));
        // An open run: a sealed one could be sent before its end.
        let states: Vec<_> = telemetry.runs().iter().map(|run| run.state).collect();
        println!("{:?} {states:?}", error.kind());
        crate::work(1);
        127_u8
    })
}

/// Children of this process, zombies included.
fn children() -> usize {
    let own = std::process::id().to_string();
    let is_own = |status: String| {
        let after_name = status.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        after_name.split(' ').nth(1) == Some(own.as_str())
    };
    std::fs::read_dir("/proc")
        .expect("Linux")
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|status| is_own(status.clone()))
        .count()
}
