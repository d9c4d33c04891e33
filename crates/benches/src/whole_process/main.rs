//! What telemetry costs a whole process: the same trivial tool with nothing, with this crate, and with what people use
//! today, against receivers that behave well and badly.
//!
//! ```text
//! cargo run --release -p tool-telemetry-benches --bin whole_process [-- OPTIONS]
//!
//!   --quick           this crate only, 10 rounds, under a minute once it is built; fails when something is lost
//!   --runs N          rounds (default 40)
//!   --only TEXT       the tools whose names contain the text, and `bare`
//!   --clean-builds    build each tool in an empty folder, to tell how long that takes
//! ```
//!
//! A round runs each case once, in an order made anew by chance; what is told is the median of a case's difference to
//! `bare` in the same round. After each run the program waits until the uploader that was started has ended, and
//! counts what arrived and what waits on disk: who does nothing cannot win. A case that takes more than a second is
//! repeated 10 times only, and twice if it takes more than 10: what varies there is nothing beside what is measured.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints tables")]

mod case;
mod events_server;
mod receivers;
mod report;
mod tls_front;

use std::error::Error;
use std::path::PathBuf;

use case::Case;
use receivers::{Behaviour, Receivers};
use tool_telemetry_benches::tools::{Built, TOOLS};
use tool_telemetry_benches::{figures, program, tools};

/// What the command line asks for.
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
            // Given by `cargo bench`.
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

/// A new folder for homes. Under the home folder or the target folder, which lie on a disk; `/tmp` often does not.
fn scratch() -> Result<PathBuf, Box<dyn Error>> {
    let root = tools::target().join(format!("homes-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    Ok(root)
}

fn measure(options: &Options, root: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let mut built: Vec<Built> = Vec::new();
    for tool in &TOOLS {
        let is_wanted = match (&options.only, options.quick) {
            (Some(text), _) => tool.name.contains(text.as_str()),
            (None, quick) => !quick || tool.is_ours,
        };
        if is_wanted || tool.name == "bare" {
            eprintln!("building {}", tool.name);
            match tool.build(options.clean_builds, &[]) {
                Ok(tool) => built.push(tool),
                // A library that no longer builds is told of, and the others are measured all the same.
                Err(fault) => println!("`{}` does not build: {fault}\n", tool.name),
            }
        }
    }
    program::adopt_orphans()?;
    let behaviours: &[Behaviour] =
        if options.quick { &[Behaviour::AtOnce, Behaviour::Refused] } else { &Behaviour::ALL };
    let receivers = Receivers::start(behaviours, root)?;
    let mut cases: Vec<Case<'_>> =
        built.iter().flat_map(|tool| case::all_of(tool, &receivers, options.quick, root)).collect();
    for case in &mut cases {
        case.prepare(options.runs)?;
    }
    let mut order: Vec<usize> = (0..cases.len()).collect();
    let mut chance = figures::Chance::new();
    for round in 0..options.runs {
        eprint!("\rround {} of {}, {} cases ", round + 1, options.runs, order.len());
        chance.shuffle(&mut order);
        for &position in &order {
            cases[position].run(round)?;
        }
        order.retain(|&position| cases[position].goes_on(round));
    }
    eprintln!();
    report::print(&built, &cases, options.runs);
    if options.quick { report::check(&cases) } else { Ok(()) }
}
