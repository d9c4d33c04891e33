//! Telemetry from a command to a receiver, on this machine and in a few seconds: `cargo run --example quickstart`.
//!
//! It runs the example tool `dotnet` as anybody would run it, shows what arrived, and fails if anything is not as
//! the crate promises.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to people")]

mod cost;
mod person;
mod planted;
mod relay;
mod tool;

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use tool_telemetry_receiver::{Receiver, Span, Status, Trace};

use person::Person;
use relay::Relay;

/// Delivery takes milliseconds; this is for a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is not as promised, as a sentence.
type Fault = String;

fn main() -> ExitCode {
    match show() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("quickstart: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// A command that is shown, and what must become of it.
struct Step {
    shown: &'static str,
    arguments: [&'static str; 3],
    exit_code: i32,
    /// Data points of the run and of its spans that must have arrived, among others.
    must_have: &'static [&'static str],
}

const STEPS: [Step; 3] = [
    Step {
        shown: "dotnet build",
        arguments: ["build", "--project", planted::FOLDER],
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
        arguments: ["test", "--project", planted::FOLDER],
        exit_code: 0,
        must_have: &["dotnet.command = test", "process.exit.code = 0", "dotnet.project.test_runner = xunit"],
    },
];

fn show() -> Result<(), Fault> {
    let dotnet = tool::build()?;
    let kept = tool::file_to_keep()?;
    let receiver = Receiver::builder()
        .keep_in(kept)
        .start()
        .map_err(|error| format!("the receiver does not start: {error}"))?;
    let relay = Relay::start(&receiver.http_endpoint())?;
    let person = Person::new(dotnet.clone(), &relay.endpoint())?;
    planted::write(person.home())?;

    person.expect(&["telemetry", "on"], 0)?;
    let mut log = Vec::new();
    for step in &STEPS {
        log.extend(person.expect(&step.arguments, step.exit_code)?.stderr);
    }
    planted::expect_in(&log)?;
    person.expect(&["telemetry", "flush"], 0)?;
    let traces = receiver.wait_for(STEPS.len(), PATIENCE).map_err(|error| error.to_string())?;

    let before = person.state()?;
    person.opted_out().expect(&STEPS[0].arguments, STEPS[0].exit_code)?;
    if person.state()? != before {
        return Err("a command that was opted out changed a file".to_owned());
    }

    check_what_arrived(&receiver, &traces)?;
    let kept = receiver.file().ok_or("the receiver keeps no file")?;
    let kept_bytes = std::fs::read(kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    let looked_through = planted::look_for(
        [("what was sent", relay.bytes()), ("what the receiver kept", kept_bytes)]
            .into_iter()
            .chain(before.into_values().map(|bytes| ("what the tool wrote to disk", bytes))),
    )?;

    println!("These commands ran, with telemetry turned on:\n");
    println!("  {:<35} exit code   arrived", "");
    for step in &STEPS {
        println!("  {:<35} {:>9}   one trace", step.shown, step.exit_code);
    }
    println!("  {:<35} {:>9}   nothing, and no file was touched", "dotnet build, opted out", 0);

    println!("\nThis is all that arrived, over OTLP:\n");
    for trace in &traces {
        print_tree(trace);
    }
    println!("  and with each of them:");
    for attribute in resource(&traces[0]) {
        println!("    {attribute}");
    }

    println!("\nThis was left out: the project's name, its author and its path. They were planted, the tool");
    println!("told them to its own log, and they are nowhere in the {looked_through} bytes that were sent,");
    println!("received or written to disk. Nor are arguments, or anything else that is not listed in");
    println!("examples/dotnet/telemetry.toml.");

    cost::measure(&dotnet)?.print();

    println!("\nThe receiver kept what arrived in this file, one request a line:\n");
    println!("  {}", kept.display());
    println!(
        "\nNext: read examples/dotnet/main.rs and telemetry.toml beside it, and do the same in a tool of yours."
    );
    Ok(())
}

fn check_what_arrived(receiver: &Receiver, traces: &[Trace]) -> Result<(), Fault> {
    if traces.len() != STEPS.len() || receiver.doubles() > 0 {
        return Err(format!("not each command arrived once, but this did:\n{}", receiver.tree()));
    }
    let outside = receiver.outside_contract();
    if !outside.is_empty() || receiver.rejected() > 0 {
        return Err(format!("something arrived that the contract has no room for: {outside:?}"));
    }
    for (step, trace) in STEPS.iter().zip(traces) {
        let arrived: Vec<String> = trace.spans().flat_map(data_points).collect();
        if let Some(missing) = step.must_have.iter().find(|wanted| !arrived.iter().any(|it| it == *wanted)) {
            return Err(format!("`{}` arrived without `{missing}`, as:\n{}", step.shown, trace.tree()));
        }
        if resource(trace) != resource(&traces[0]) {
            return Err(format!("`{}` arrived with another resource than the first run", step.shown));
        }
    }
    Ok(())
}

/// What each run says of the tool and of this crate. Its order means nothing.
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
        // Spans come in the order of the tree: whoever is not an ancestor of this one is done with.
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
