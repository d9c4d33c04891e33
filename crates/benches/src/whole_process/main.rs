//! What telemetry costs a whole process. The same trivial tool runs without telemetry, with this crate, and with other
//! libraries, against receivers that behave well and badly.
//!
//! ```text
//! cargo run --release -p tool-telemetry-benches --bin whole_process [-- OPTIONS]
//!
//!   --quick           this crate only, 10 rounds, less than a minute after the build; fails if a span is lost
//!   --runs N          number of rounds (default 40)
//!   --only TEXT       the tools whose names contain TEXT, and `bare`
//!   --clean-builds    build each tool in an empty directory, and report the build time
//! ```
//!
//! A round runs each case once, in random order. The tables show the median of the differences between a case and
//! `bare` in the same round. After each run, the program waits until the uploader has ended, and counts the spans that
//! arrived and the spans that are still pending on disk, so a library that does nothing does not look fast. A case that
//! takes more than a second has only 10 rounds, and one that takes more than 10 seconds has two; the variation is small
//! in comparison.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints tables")]

mod behaviour;
mod case;
mod event_server;
mod receivers;
mod report;
mod tls_proxy;

use std::error::Error;
use std::path::PathBuf;

use behaviour::Behaviour;
use case::Case;
use receivers::Receivers;
use tool_telemetry_benches::tools::{BuiltTool, TOOLS};
use tool_telemetry_benches::{figures, program, tools};

struct Options {
    quick: bool,
    runs: usize,
    only: Option<String>,
    clean_builds: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options { quick: false, runs: 40, only: None, clean_builds: false };
    let mut runs = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            program::LAUNCH => program::launch(&arguments.next().ok_or("which program?")?),
            "--quick" => options.quick = true,
            "--clean-builds" => options.clean_builds = true,
            "--runs" => runs = Some(arguments.next().ok_or("how many?")?.parse()?),
            "--only" => options.only = Some(arguments.next().ok_or("which?")?),
            // Added by `cargo bench`.
            "--bench" => {}
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    options.runs = runs.unwrap_or(if options.quick { 10 } else { options.runs });
    let root = scratch()?;
    let result = measure(&options, &root);
    let _ = std::fs::remove_dir_all(&root);
    result
}

/// A new directory for home directories. Below the target directory, which is on a disk; `/tmp` often is not.
fn scratch() -> Result<PathBuf, Box<dyn Error>> {
    let root = tools::target().join(format!("homes-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    Ok(root)
}

fn measure(options: &Options, root: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let mut built: Vec<BuiltTool> = Vec::new();
    for tool in &TOOLS {
        let is_wanted = match (&options.only, options.quick) {
            (Some(text), _) => tool.name.contains(text.as_str()),
            (None, quick) => !quick || tool.is_ours,
        };
        if is_wanted || tool.name == "bare" {
            eprintln!("building {}", tool.name);
            match tool.build(options.clean_builds, &[]) {
                Ok(tool) => built.push(tool),
                // The other libraries are measured anyway.
                Err(error) => println!("`{}` does not build: {error}\n", tool.name),
            }
        }
    }
    program::adopt_orphans()?;
    let behaviours: &[Behaviour] =
        if options.quick { &[Behaviour::Immediate, Behaviour::Refused] } else { &Behaviour::ALL };
    let receivers = Receivers::start(behaviours, root)?;
    let mut cases: Vec<Case<'_>> =
        built.iter().flat_map(|tool| case::all_of(tool, &receivers, options.quick, root)).collect();
    for case in &mut cases {
        case.prepare(options.runs)?;
    }
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut random = figures::Random::new();
    for round in 0..options.runs {
        eprint!("\rround {} of {}, {} cases ", round + 1, options.runs, order.len());
        random.shuffle(&mut order);
        for &position in &order {
            cases[position].run(round)?;
        }
        order.retain(|&position| cases[position].has_round_after(round));
    }
    eprintln!();
    report::print(&built, &cases, options.runs);
    if options.quick { report::check(&cases) } else { Ok(()) }
}
