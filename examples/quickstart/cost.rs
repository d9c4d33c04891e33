//! What telemetry costs a command: the duration of the whole process with telemetry, and opted out.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tool_telemetry_receiver::Receiver;

use crate::test_user::TestUser;
use crate::{Failure, PATIENCE, STEPS, planted};

/// Enough for a rough figure. Takes a second.
const PAIRS: usize = 31;

pub(crate) struct Costs(Vec<Cost>);

struct Cost {
    shown: &'static str,
    with: Duration,
    opted_out: Duration,
}

/// Uses a receiver of its own, so that the measured runs are not among the shown ones.
pub(crate) fn measure(dotnet: &Path) -> Result<Costs, Failure> {
    let receiver = Receiver::start().map_err(|error| format!("the receiver does not start: {error}"))?;
    let user = TestUser::new(dotnet.to_owned(), &receiver.http_endpoint())?;
    let opted_out = user.opted_out();
    planted::write(user.home())?;
    user.expect(&["telemetry", "on"], 0)?;

    let mut costs = Vec::new();
    for step in &STEPS {
        let mut times = [Vec::new(), Vec::new()];
        for pair in 0..PAIRS {
            // The order alternates, so that neither side always benefits from warm caches.
            for turn in [pair % 2, (pair + 1) % 2] {
                times[turn].push(time([&user, &opted_out][turn], &step.arguments)?);
            }
        }
        let [with, opted_out] = times.map(median);
        costs.push(Cost { shown: step.shown, with, opted_out });
    }

    user.expect(&["telemetry", "flush"], 0)?;
    let arrived = receiver.wait_for(STEPS.len() * PAIRS, PATIENCE).map_err(|error| error.to_string())?;
    match arrived.len() == STEPS.len() * PAIRS {
        true => Ok(Costs(costs)),
        false => Err("a run of a command that was opted out arrived during the measurement".to_owned()),
    }
}

fn time(user: &TestUser, arguments: &[&str]) -> Result<Duration, Failure> {
    let mut command = user.command(arguments);
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
        println!("\nTelemetry costs this much time per command (median of {PAIRS} runs):\n");
        println!("  {:<35} {:>9} {:>11} {:>12}", "", "with", "opted out", "difference");
        for cost in &self.0 {
            let [with, opted_out] = [cost.with, cost.opted_out].map(|time| time.as_secs_f64() * 1e3);
            let difference = with - opted_out;
            println!("  {:<35} {with:>6.2} ms {opted_out:>8.2} ms {difference:>+9.2} ms", cost.shown);
        }
        if cfg!(debug_assertions) {
            println!(
                "\n  (This build is not optimised. `cargo run --release --example quickstart` measures the real cost.)"
            );
        }
    }
}
