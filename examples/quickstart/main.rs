//! Telemetry from a command to a receiver, on this machine and in a few seconds: `cargo run --example quickstart`.
//!
//! It runs the example tool `dotnet` as a user would, shows what arrives, and fails if the crate breaks a promise.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its result")]

mod cost;
mod planted;
mod relay;
mod test_user;
mod tool;

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use tool_telemetry_receiver::{Receiver, Span, Status, Trace};

use relay::Relay;
use test_user::TestUser;

/// Delivery takes milliseconds; a busy machine may need longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broken promise, as a sentence.
type Failure = String;

fn main() -> ExitCode {
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("quickstart: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// A command to show, and what must arrive.
struct Step {
    shown: &'static str,
    arguments: [&'static str; 3],
    exit_code: i32,
    /// Some of the data points that must arrive with the run and its spans.
    must_have: &'static [&'static str],
}

const STEPS: [Step; 3] = [
    Step {
        shown: "dotnet build",
        arguments: ["build", "--project", planted::DIRECTORY],
        exit_code: 0,
        must_have: &[
            "dotnet.command = build",
            "process.exit.code = 0",
            "dotnet.target.framework = net451",
            "dotnet.target.framework = netcoreapp1.1",
            "dotnet.project.runtimes = true",
        ],
    },
    Step {
        shown: "dotnet build, of a broken project",
        arguments: ["build", "--project", planted::BROKEN],
        exit_code: 1,
        must_have: &["dotnet.command = build", "process.exit.code = 1", "error.type = _OTHER"],
    },
    Step {
        shown: "dotnet test",
        arguments: ["test", "--project", planted::DIRECTORY],
        exit_code: 0,
        must_have: &["dotnet.command = test", "process.exit.code = 0", "dotnet.project.test_runner = xunit"],
    },
];

fn show() -> Result<(), Failure> {
    let dotnet = tool::build()?;
    let kept = tool::file_to_keep()?;
    let receiver = Receiver::builder()
        .keep_in(kept)
        .start()
        .map_err(|error| format!("the receiver does not start: {error}"))?;
    let relay = Relay::start(&receiver.http_endpoint())?;
    let user = TestUser::new(dotnet.clone(), &relay.endpoint())?;
    planted::write(user.home())?;

    user.expect(&["telemetry", "on"], 0)?;
    let mut log = Vec::new();
    for step in &STEPS {
        log.extend(user.expect(&step.arguments, step.exit_code)?.stderr);
    }
    planted::expect_in_log(&log)?;
    user.expect(&["telemetry", "flush"], 0)?;
    let traces = receiver.wait_for(STEPS.len(), PATIENCE).map_err(|error| error.to_string())?;

    let before = user.state()?;
    user.opted_out().expect(&STEPS[0].arguments, STEPS[0].exit_code)?;
    if user.state()? != before {
        return Err("a command changed a file although telemetry was opted out".to_owned());
    }

    check_what_arrived(&receiver, &traces)?;
    let kept = receiver.file().ok_or("the receiver keeps no file")?;
    let kept_bytes = std::fs::read(kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    let searched_bytes = planted::search(
        [("the sent bytes", relay.bytes()), ("the receiver's file", kept_bytes)]
            .into_iter()
            .chain(before.into_values().map(|bytes| ("the tool's files", bytes))),
    )?;

    print_commands();
    print_arrived(&traces);
    print_left_out(searched_bytes);
    cost::measure(&dotnet)?.print();
    println!("\nThe receiver wrote each request to a line of this file:\n");
    println!("  {}", kept.display());
    println!("\nNext, read main.rs and telemetry.toml in examples/dotnet, and do the same in your own tool.");
    Ok(())
}

fn print_commands() {
    println!("These commands ran with telemetry turned on:\n");
    println!("  {:<35} exit code   arrived", "");
    for step in &STEPS {
        println!("  {:<35} {:>9}   one trace", step.shown, step.exit_code);
    }
    println!("  {:<35} {:>9}   nothing, and no file changed", "dotnet build, opted out", 0);
}

fn print_arrived(traces: &[Trace]) {
    println!("\nThis is everything that arrived over OTLP:\n");
    for trace in traces {
        print_tree(trace);
    }
    println!("  and with each run:");
    for attribute in resource(&traces[0]) {
        println!("    {attribute}");
    }
}

fn print_left_out(searched_bytes: usize) {
    println!(
        "\nThe project's name, its author, and its path were left out. The tool wrote them to its own log, but"
    );
    println!(
        "they are nowhere in the {searched_bytes} bytes that were sent, received, or written to disk. Neither are"
    );
    println!("arguments, nor anything else that examples/dotnet/telemetry.toml does not list.");
}

fn check_what_arrived(receiver: &Receiver, traces: &[Trace]) -> Result<(), Failure> {
    if traces.len() != STEPS.len() || receiver.doubles() > 0 {
        return Err(format!("each command should have arrived once, but this arrived:\n{}", receiver.tree()));
    }
    let outside = receiver.outside_contract();
    if !outside.is_empty() || receiver.rejected() > 0 {
        return Err(format!("something arrived that the contract does not allow: {outside:?}"));
    }
    for (step, trace) in STEPS.iter().zip(traces) {
        let arrived: Vec<String> = trace.spans().flat_map(data_points).collect();
        if let Some(missing) = step.must_have.iter().find(|wanted| !arrived.iter().any(|it| it == *wanted)) {
            return Err(format!("`{}` arrived without `{missing}`, as:\n{}", step.shown, trace.tree()));
        }
        if resource(trace) != resource(&traces[0]) {
            return Err(format!("`{}` arrived with a different resource than the first run", step.shown));
        }
    }
    Ok(())
}

/// The resource's attributes, sorted. Their order has no meaning.
fn resource(trace: &Trace) -> Vec<String> {
    let attributes = trace.root().resource_attributes().iter();
    let mut shown: Vec<String> = attributes.map(|(key, value)| format!("{key} = {value}")).collect();
    shown.sort();
    shown
}

fn data_points(span: &Span) -> impl Iterator<Item = String> {
    span.attributes().iter().map(|(key, value)| format!("{key} = {value}"))
}

fn print_tree(trace: &Trace) {
    let mut ancestors: Vec<&str> = Vec::new();
    for span in trace.spans() {
        // Spans come in the order of the tree, so a span that is not an ancestor of this one has no more children.
        while ancestors.last().is_some_and(|open| Some(*open) != span.parent_span_id()) {
            ancestors.pop();
        }
        let indent = 2 + 2 * ancestors.len();
        let took = span.duration().as_secs_f64() * 1e3;
        let began = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_nanos(span.start_unix_nano()));
        let ended = if span.status() == Status::Error { ", failed" } else { "" };
        match ancestors.is_empty() {
            true => println!("{:indent$}{}, began {began}, took {took:.2} ms{ended}", "", span.name()),
            false => println!("{:indent$}{}, took {took:.2} ms{ended}", "", span.name()),
        }
        for data_point in data_points(span) {
            println!("{:indent$}  {data_point}", "");
        }
        ancestors.push(span.span_id());
    }
    println!();
}
