//! The tables.

use std::error::Error;
use std::fmt::Write as _;

use crate::behaviour::Behaviour;
use crate::case::{Case, Sample, State};
use tool_telemetry_benches::figures::Spread;
use tool_telemetry_benches::tools::BuiltTool;

/// The limit of `--quick` in milliseconds. Noise stays below it.
const MAX_OVER_BARE: f64 = 5.0;

fn milliseconds(sample: &Sample) -> f64 {
    sample.tool.wall.as_secs_f64() * 1e3
}

/// The differences to `bare` in the same round, in milliseconds.
fn over_bare(case: &Case<'_>, bare: &Case<'_>) -> Option<Spread> {
    Spread::of(case.samples.iter().filter_map(|sample| {
        let same = bare.samples.iter().find(|bare| bare.round == sample.round)?;
        Some(milliseconds(sample) - milliseconds(same))
    }))
}

fn bare<'a, 'b>(cases: &'b [Case<'a>]) -> Option<&'b Case<'a>> {
    cases.iter().find(|case| case.built.tool.name == "bare")
}

/// Prints all tables.
pub(crate) fn print(built: &[BuiltTool], cases: &[Case<'_>], rounds: usize) {
    let Some(bare) = bare(cases) else { return };
    println!("{}", programs(cases, bare, rounds));
    if cases.iter().any(|case| case.behaviour.is_some()) {
        println!("{}", receivers(built, cases, bare));
        println!("{}", kept(built, cases));
    }
    println!("{}", builds(built));
}

fn programs(cases: &[Case<'_>], bare: &Case<'_>, rounds: usize) -> String {
    let mut table = format!(
        "Whole process, {rounds} rounds, with a loopback receiver that answers at once. Quartiles are in brackets.\n\n\
         | program | wall ms | over bare ms | CPU ms | peak MiB | start µs | uploader CPU ms | uploader peak MiB |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for case in
        cases.iter().filter(|case| case.behaviour.is_none_or(|behaviour| behaviour == Behaviour::Immediate))
    {
        let all = |of: &dyn Fn(&Sample) -> Option<f64>, digits: usize| {
            Spread::of(case.samples.iter().filter_map(of))
                .map_or_else(String::new, |spread| format!("{:.digits$}", spread.median))
        };
        let over = match over_bare(case, bare) {
            Some(over) if !std::ptr::eq(case, bare) => {
                format!("{:+.2} ({:+.2} to {:+.2})", over.median, over.low, over.high)
            }
            _ => String::new(),
        };
        let uploader = |of: &dyn Fn(tool_telemetry_benches::program::Cost) -> f64, digits| {
            all(&|sample| sample.uploader.map(of), digits)
        };
        let _ = writeln!(
            table,
            "| {} | {} | {over} | {} | {} | {} | {} | {} |",
            case.title(),
            all(&|sample| Some(milliseconds(sample)), 2),
            all(&|sample| Some(sample.tool.cpu.as_secs_f64() * 1e3), 2),
            case.peak.map_or_else(String::new, |peak| format!("{:.1}", peak as f64 / 1024.0)),
            case.start.map_or_else(String::new, |start| format!("{:.0}", start / 1e3)),
            uploader(&|cost| cost.cpu.as_secs_f64() * 1e3, 1),
            uploader(&|cost| cost.peak as f64 / 1024.0, 1),
        );
    }
    table
}

/// One row per program and state; its cases differ by receiver.
fn rows<'a, 'b>(built: &'b [BuiltTool], cases: &'b [Case<'a>]) -> Vec<Vec<&'b Case<'a>>> {
    let mut rows: Vec<Vec<&Case<'_>>> = Vec::new();
    for tool in built {
        let mut of_tool: Vec<&Case<'_>> = cases
            .iter()
            .filter(|case| case.built.tool.name == tool.tool.name && case.behaviour.is_some())
            .collect();
        // A stable sort, which keeps the order of the receivers.
        of_tool.sort_by_key(|case| case.title());
        rows.extend(of_tool.chunk_by(|one, other| one.title() == other.title()).map(<[_]>::to_vec));
    }
    rows
}

fn by_receiver(built: &[BuiltTool], cases: &[Case<'_>], cell: impl Fn(&Case<'_>) -> String) -> String {
    let mut table = String::from("| program |");
    let rows = rows(built, cases);
    let behaviours: Vec<Behaviour> =
        rows.first().map(|row| row.iter().filter_map(|case| case.behaviour).collect()).unwrap_or_default();
    for behaviour in &behaviours {
        let _ = write!(table, " {} |", behaviour.title());
    }
    table.push_str("\n| --- |");
    table.push_str(&" --- |".repeat(behaviours.len()));
    for row in rows {
        let _ = write!(table, "\n| {} |", row.first().map(|case| case.title()).unwrap_or_default());
        for case in row {
            let _ = write!(table, " {} |", cell(case));
        }
    }
    table.push('\n');
    table
}

fn receivers(built: &[BuiltTool], cases: &[Case<'_>], bare: &Case<'_>) -> String {
    let cell = |case: &Case<'_>| {
        over_bare(case, bare).map_or_else(String::new, |over| {
            let digits = if over.median < 10.0 { 2 } else { 0 };
            format!("{:+.digits$} (n = {})", over.median, case.samples.len())
        })
    };
    format!("Milliseconds over bare, by the receiver's behaviour.\n\n{}", by_receiver(built, cases, cell))
}

fn kept(built: &[BuiltTool], cases: &[Case<'_>]) -> String {
    let cell = |case: &Case<'_>| {
        let average = |of: &dyn Fn(&Sample) -> u64| {
            case.samples.iter().map(of).sum::<u64>() as f64 / case.samples.len().max(1) as f64
        };
        let parts = [
            (average(&|sample| sample.arrived), "arrived"),
            (average(&|sample| case.pending(sample)), "pending"),
            (case.lost(), "lost"),
        ];
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|(number, _)| *number > 0.0)
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        parts.join(", ")
    };
    format!("What happens to the 5 spans of a run, on average.\n\n{}", by_receiver(built, cases, cell))
}

fn builds(built: &[BuiltTool]) -> String {
    let mut table = String::from(
        "Builds: release, thin LTO, one codegen unit, stripped.\n\n\
         | program | bytes | over bare MB | crates | clean build s |\n| --- | --- | --- | --- | --- |\n",
    );
    let bare = built.iter().find(|built| built.tool.name == "bare").map_or(0, |bare| bare.size);
    for built in built {
        let _ = writeln!(
            table,
            "| {} | {} | {:+.2} | {} | {} |",
            built.tool.title,
            built.size,
            (built.size as f64 - bare as f64) / 1e6,
            built.crates,
            built.clean_build.map_or_else(String::new, |time| format!("{:.1}", time.as_secs_f64())),
        );
    }
    table
}

/// Finds regressions that are visible even on a busy machine.
pub(crate) fn check(cases: &[Case<'_>]) -> Result<(), Box<dyn Error>> {
    let bare = bare(cases).ok_or("no measurements of `bare`")?;
    for case in cases.iter().filter(|case| case.built.tool.is_ours) {
        if case.lost() > 0.0 {
            return Err(format!("{}: spans are lost", case.title()).into());
        }
        let recorded = case.samples.iter().any(|sample| sample.arrived + sample.pending > 0);
        if case.state == State::OptedOut && recorded {
            return Err(format!("{}: spans were recorded", case.title()).into());
        }
        let over = over_bare(case, bare).map_or(0.0, |over| over.median);
        if over > MAX_OVER_BARE {
            return Err(format!("{}: {over:.1} ms over bare", case.title()).into());
        }
    }
    Ok(())
}
