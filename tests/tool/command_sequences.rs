//! No command, several of them, and commands that ask about telemetry or end as another program.

use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::thread;

use tool_telemetry::Telemetry;

/// Does what the word says; nothing if it is no word of ours.
pub(crate) fn run(telemetry: &Telemetry, word: &str, rest: &[String]) -> Option<ExitCode> {
    Some(match word {
        // As a tool that does its work in spans and has no commands.
        "no-command" => {
            crate::work(1);
            let code: u8 = rest[0].parse().expect("a code");
            ExitCode::from(code)
        }
        // Spans and a value before the command, between two commands, and after the last.
        "around" => {
            telemetry.record("frob.color", "always");
            crate::work(1);
            let _ = telemetry.command("build", || ());
            crate::work(1);
            telemetry.record("frob.color", "never");
            let code = telemetry.command("test", || ());
            crate::work(1);
            code
        }
        // What the user may ask, asked in the middle of a command.
        "asks" => telemetry.command("build", || {
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
        }),
        // A misspelt option of a command that nobody is to hear of.
        "discards-first" => {
            telemetry.discard();
            ExitCode::from(2)
        }
        "off-then-commands" => {
            telemetry.disable().expect("a home");
            let _ = telemetry.command("build", || crate::work(1));
            telemetry.command("test", || crate::work(1))
        }
        // One command for each line: its words are the command and its exit code.
        "shell" => {
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
        "many" => {
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
        "nested" => {
            let step = |number: u32| tracing::info_span!(target: "frob", "step", frob.number = number);
            telemetry.command("build", || {
                let outer = step(1).entered();
                let _ = telemetry.command("test", || {
                    drop(step(2));
                    // Somebody else's thread follows the span that it was given.
                    thread::scope(|scope| {
                        scope.spawn(|| drop(tracing::info_span!(target: "frob", parent: &outer, "inner")));
                    });
                });
                drop(step(3));
            })
        }
        "overlapping" => {
            let both = Barrier::new(2);
            thread::scope(|scope| {
                for command in ["build", "test"] {
                    let both = &both;
                    scope.spawn(move || {
                        let open = telemetry.begin(command);
                        both.wait();
                        let all = tracing::info_span!(target: "frob", parent: None, "step", frob.number = command.len());
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
        // Of two that are open, the one that another thread works for is nobody's business.
        "discards-one" => {
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
        // More at once than are recorded, and then one more.
        "crowd" => {
            let number: u32 = rest[0].parse().expect("a number");
            let all: Vec<_> = (0..number).map(|_| telemetry.begin("build")).collect();
            all.into_iter().for_each(|command| {
                let _ = command.end(());
            });
            telemetry.command("test", || ())
        }
        // A span that closes after its command, and what is opened below it in the next.
        "late" => {
            let first = telemetry.begin("build");
            let late = tracing::info_span!(target: "frob", "step", frob.number = 1);
            let _ = first.end(());
            telemetry.command("test", || {
                late.in_scope(|| drop(tracing::info_span!(target: "frob", "step", frob.number = 2)));
                drop(late);
            })
        }
        // One command panics, one is dropped; each time another follows.
        "left" => {
            let panicked =
                std::panic::catch_unwind(|| telemetry.command("build", || -> u8 { panic!("anna's panic") }));
            assert!(panicked.is_err());
            drop(telemetry.begin("test"));
            telemetry.command("run", || ())
        }
        "exec" => telemetry.command("run", || {
            crate::work(1);
            let (program, arguments) = rest.split_first().expect("a program");
            let error = telemetry.exec(Command::new(program).args(arguments));
            // Not sealed, or an uploader would send it before its end.
            let states: Vec<_> = telemetry.runs().iter().map(|run| run.state).collect();
            println!("{:?} {states:?}", error.kind());
            crate::work(1);
            127_u8
        }),
        _ => return None,
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
