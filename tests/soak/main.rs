//! Tests that take long: a build with `panic = "abort"`, every crash point, ten thousand runs at once, and limits under load.
//!
//! `cargo build --examples && cargo run --example soak [panic-abort|crash-points|limits|answers|concurrency]...` runs some
//! parts, or without an argument all but those on counts of installations, which take longer; `--list` names all. Each prints
//! its figures. The first violated rule ends the program with exit code 1 and prints the command that repeats it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints to its user")]

mod answers; // every response that OTLP allows, and every failure
mod concurrency; // a hundred processes, ten racing uploaders, and a server that fails at random
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod count_crash_points; // the same for the uploader that counts installations
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod count_links; // looks for spans of the same installation
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../it/counting_user.rs"]
#[allow(dead_code, reason = "a fixture of the tests, which this uses in part")]
mod counting_user; // fixture: a tool that counts installations, and a clock
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod crash_points; // killed or failed at each system call
mod ledger; // recorded = delivered + pending + dropped
mod limits; // five thousand runs while nothing can be sent
mod panic_abort; // the tool and its uploader, built with `panic = "abort"`
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../it/system_calls.rs"]
#[allow(dead_code, reason = "a fixture of the tests, which this uses in part")]
mod system_calls; // fixture: traces a program's system calls, and refuses some
#[path = "../it/test_user.rs"]
#[allow(dead_code, reason = "a fixture of the tests, which this uses in part")]
mod test_user; // fixture: a user with a home directory, who runs the tests' tool

use std::process::ExitCode;
use std::time::Instant;

/// The figures, or the violated rule.
type Report = Result<String, String>;

type Part = fn() -> Report;

/// Parts that run only if they are named.
const ONLY_IF_NAMED: [&str; 2] = ["crash-points-of-the-counting-uploader", "links-between-counts-and-runs"];

fn main() -> ExitCode {
    let parts: &[(&str, Part)] = &[
        ("panic-abort", panic_abort::of_the_tool),
        ("panic-abort-of-the-uploader", panic_abort::of_the_uploader),
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        ("crash-points-of-the-tool", crash_points::of_the_tool),
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        ("crash-points-of-the-uploader", crash_points::of_the_uploader),
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        ("crash-points-of-the-counting-uploader", count_crash_points::of_the_uploader),
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        ("links-between-counts-and-runs", count_links::between_counts_and_runs),
        ("limits", limits::while_backing_off),
        ("answers", answers::in_every_way),
        ("concurrency", concurrency::with_a_server_that_is_well),
        ("concurrency-with-faults", concurrency::with_a_server_that_fails_at_random),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted == ["--list"] {
        parts.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let is_part = |wanted: &&String| parts.iter().any(|(name, _)| name.starts_with(wanted.as_str()));
    if let Some(unknown) = wanted.iter().find(|wanted| !is_part(wanted)) {
        eprintln!("{unknown} is not a part of the soak; `--list` names them");
        return ExitCode::from(2);
    }
    let is_named = |name: &str| wanted.iter().any(|wanted| name.starts_with(wanted.as_str()));
    let is_wanted = |name: &str| match wanted.is_empty() {
        true => !ONLY_IF_NAMED.contains(&name),
        false => is_named(name),
    };
    for (name, part) in parts.iter().filter(|(name, _)| is_wanted(name)) {
        let started = Instant::now();
        match part() {
            Ok(figures) => println!("{name}: {figures} ({:.0} s)", started.elapsed().as_secs_f64()),
            Err(violated) => {
                eprintln!("{name}: VIOLATED: {violated}\nagain: cargo run --example soak {name}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
