//! What a command pays for telemetry: the same command with it and opted out, as whole processes.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::person::Person;
use crate::{Fault, PATIENCE, STEPS, planted};

/// Enough for a figure that is about right; it takes a second.
const PAIRS: usize = 31;

pub(crate) struct Costs(Vec<Cost>);

struct Cost {
    shown: &'static str,
    with: Duration,
    opted_out: Duration,
}

/// Has a receiver of its own, so that what is measured does not mix with what is shown.
pub(crate) fn measure(dotnet: &Path) -> Result<Costs, Fault> {
    let receiver = Receiver::start().map_err(|error| format!("the receiver does not start: {error}"))?;
    let person = Person::new(dotnet.to_owned(), &receiver.http_endpoint())?;
    let opted_out = person.opted_out();
    planted::write(person.home())?;
    person.expect(&["telemetry", "on"], 0)?;

    let mut costs = Vec::new();
    for step in &STEPS {
        let mut times = [Vec::new(), Vec::new()];
        for pair in 0..PAIRS {
            // Who goes first takes turns: neither is always the one that finds the caches warm.
            for turn in [pair % 2, (pair + 1) % 2] {
                times[turn].push(time([&person, &opted_out][turn], &step.arguments)?);
            }
        }
        let [with, opted_out] = times.map(median);
        costs.push(Cost { shown: step.shown, with, opted_out });
    }

    person.expect(&["telemetry", "flush"], 0)?;
    let arrived = receiver.wait_for(STEPS.len() * PAIRS, PATIENCE).map_err(|error| error.to_string())?;
    match arrived.len() == STEPS.len() * PAIRS {
        true => Ok(Costs(costs)),
        false => Err("a command that was opted out arrived while the cost was measured".to_owned()),
    }
}

fn time(person: &Person, arguments: &[&str]) -> Result<Duration, Fault> {
    let mut command = person.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    command.status().map_err(|error| format!("`dotnet` does not start: {error}"))?;
    Ok(started.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

impl Costs {
    pub(crate) fn print(&self) {
        println!(
            "\nThis is what it cost, as the time from start to end of the command, median of {PAIRS}:\n"
        );
        println!("  {:<35} {:>9} {:>11} {:>12}", "", "with", "opted out", "difference");
        for cost in &self.0 {
            let [with, opted_out] = [cost.with, cost.opted_out].map(|time| time.as_secs_f64() * 1e3);
            let difference = with - opted_out;
            println!("  {:<35} {with:>6.2} ms {opted_out:>8.2} ms {difference:>+9.2} ms", cost.shown);
        }
        if cfg!(debug_assertions) {
            println!(
                "\n  (Without optimisation. `cargo run --release --example quickstart` tells what people pay.)"
            );
        }
    }
}
