//! `publish`: closes the periods that are due, and writes the ledger and the site.

use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::civil::Date;

use super::day::today;
use super::source::SourceArguments;
use super::versions::Versions;
use crate::calendar::Interval;
use crate::failure::Failure;
use crate::ledger::{Ledger, published, releases};
use crate::licence;
use crate::output;
use crate::plan::Plan;
use crate::privacy::randomness::Randomness;
use crate::publication::Publication;

/// The exit code if a period is due and cannot be published yet.
const WAITING: u8 = 1;
/// Installations a week below which a period of four weeks shows more.
const FEW: u64 = 2_000;

/// Publish the counts of installations: close the periods that are due, and write the ledger and the site
///
/// A period closes once, 28 days after its end. Its noise is drawn then, and the ledger keeps what was published. Where
/// nothing is due, or what is due cannot be published yet, the site of what is published is written again. Keep the ledger
/// as carefully as the store: without it, nothing is published.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 published, or nothing was due; 1 it refuses, or a period that is due cannot be published \
                  yet; 2 the command line is wrong, or a file cannot be used."
)]
pub struct PublishArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// The directory of the ledger
    #[arg(long, value_name = "DIRECTORY")]
    ledger: PathBuf,
    /// The directory of the site; made if it is not there
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// Begin the ledger, with the period of this Monday; only if the tool was never published before
    #[arg(long, value_name = "MONDAY")]
    first: Option<Date>,
    /// Release the period of this Monday once more, with fresh noise that adds to its ε; at most once
    #[arg(long, value_name = "MONDAY", requires = "reason", conflicts_with_all = ["first", "withdraw"])]
    correct: Option<Date>,
    /// Withdraw what was released of the period of this Monday
    #[arg(long, value_name = "MONDAY", requires = "reason", conflicts_with = "first")]
    withdraw: Option<Date>,
    /// Why it is corrected or withdrawn; published
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Where the site is published: an https address, or a directory. Nothing is drawn if the ledger there is ahead of
    /// this one, or if there is none although this one has begun [default: `published_at` of telemetry.toml]
    #[arg(long, value_name = "SITE")]
    published_at: Option<String>,
    /// The licence of telemetry.toml, said a second time because it is not open
    #[arg(long, value_name = "SPDX")]
    licence: Option<String>,
    /// Act as on an earlier day
    #[arg(long, value_name = "DAY", hide = true)]
    today: Option<Date>,
    /// Draw noise that anyone can compute again, for tests; the release says so
    #[arg(long, value_name = "SEED", hide = true)]
    noise_is_known: Option<String>,
}

pub(super) fn run(arguments: &PublishArguments) -> Result<ExitCode, Failure> {
    let today = today(arguments.today)?;
    let (mut source, versions) = arguments.source.open()?;
    check_licence(&versions, arguments.licence.as_deref())?;
    let plan = Plan::new(&versions.all)?;
    let first = first(arguments.first, &plan, today)?;
    let mut ledger = Ledger::open(&arguments.ledger, first.is_some())?;
    check_ledger(&ledger, &versions, arguments)?;
    let mut randomness = match &arguments.noise_is_known {
        Some(seed) => Randomness::known(seed),
        None => Randomness::system(),
    };
    let mut publication = Publication {
        tool: &versions.tool,
        today,
        plan: &plan,
        ledger: &mut ledger,
        source: source.as_mut(),
        randomness: &mut randomness,
    };
    let outcome = act(&mut publication, arguments, first)?;
    if !ledger.files().is_empty() {
        output::write(&ledger, &versions.tool, versions.newest(), &plan, &arguments.out)?;
    }
    let mut out = stdout().lock();
    let said = outcome.said.iter().chain(&outcome.waiting);
    let written = said.chain(hint(&ledger, &plan).iter()).try_for_each(|line| writeln!(out, "{line}"));
    written.map_err(|error| Failure::usage(format!("the output cannot be written: {error}")))?;
    Ok(if outcome.waiting.is_some() { ExitCode::from(WAITING) } else { ExitCode::SUCCESS })
}

/// What a command did, in words for a person.
struct Outcome {
    said: Vec<String>,
    /// The period that is due and not published, and why.
    waiting: Option<String>,
}

impl Outcome {
    fn of(line: String) -> Self {
        Self { said: vec![line], waiting: None }
    }
}

/// Adds to the ledger, and says what was added.
fn act(
    publication: &mut Publication<'_>,
    arguments: &PublishArguments,
    first: Option<Date>,
) -> Result<Outcome, Failure> {
    let reason = arguments.reason.as_deref().unwrap_or_default();
    let period = publication.plan.period;
    let interval = |start: Date| {
        Interval::new(start, period)
            .ok_or_else(|| Failure::usage(format!("no period of one {period} begins on {start}")))
    };
    if let Some(start) = arguments.correct {
        let privacy = publication.correct(interval(start)?, reason)?;
        let epsilon = privacy.epsilon;
        return Ok(Outcome::of(format!(
            "{start}: corrected; ε of this period is now {epsilon}, both releases together"
        )));
    }
    if let Some(start) = arguments.withdraw {
        let number = publication.withdraw(interval(start)?, reason)?;
        return Ok(Outcome::of(format!("{start}: {number} releases withdrawn")));
    }
    let closing = publication.close_due(first)?;
    for (interval, _) in closing.released.iter().filter(|(_, is_counted)| !is_counted) {
        let _ = writeln!(
            stderr(),
            "warning: the store has no count of {}; is it the store of this tool?",
            interval.start()
        );
    }
    let waiting =
        closing.waiting.map(|(interval, why)| format!("{}: due, but not released: {why}", interval.start()));
    let mut said: Vec<String> =
        closing.released.iter().map(|(interval, _)| format!("{}: released", interval.start())).collect();
    if said.is_empty() && waiting.is_none() {
        said.push("no period is due".to_owned());
    }
    Ok(Outcome { said, waiting })
}

fn first(first: Option<Date>, plan: &Plan, today: Date) -> Result<Option<Date>, Failure> {
    let Some(start) = first else { return Ok(None) };
    let interval = Interval::new(start, plan.period)
        .ok_or_else(|| Failure::usage(format!("no period of one {} begins on {start}", plan.period)))?;
    if interval.due() > today {
        return Err(Failure::usage(format!("the period of {start} closes on {}", interval.due())));
    }
    Ok(Some(start))
}

fn check_licence(versions: &Versions, said: Option<&str>) -> Result<(), Failure> {
    let Some(publisher) = versions.newest().publisher() else {
        return Err(Failure::usage(
            "the newest telemetry.toml has no [publisher], so nobody answers for what is published",
        ));
    };
    let licence = publisher.licence;
    match said {
        Some(said) if said != licence => {
            Err(Failure::usage(format!("telemetry.toml has the licence {licence}, not {said}")))
        }
        None if !licence::is_open(licence) => Err(Failure::failed(format!(
            "{licence} is not an open licence for data, such as CC-BY-4.0; to publish under it all the same, add \
             `--licence {licence}`"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a ledger that is not where the published one was.
fn check_ledger(ledger: &Ledger, versions: &Versions, arguments: &PublishArguments) -> Result<(), Failure> {
    let tool = versions.tool.as_str();
    let published_at = versions.newest().publisher().and_then(|publisher| publisher.published_at);
    if let Some(other) = ledger.files().iter().find_map(|file| Some(file.entry.as_ref()?.tool()))
        && other != tool
    {
        return Err(Failure::usage(format!("this is the ledger of {other}, not of {tool}")));
    }
    let out = arguments.out.display().to_string();
    if let Some(index) = published::fetch(&out)? {
        index.check(ledger.files(), &out)?;
    }
    let Some(place) = arguments.published_at.as_deref().or(published_at) else { return Ok(()) };
    match published::fetch(place)? {
        Some(index) => index.check(ledger.files(), place),
        None if ledger.files().is_empty() => Ok(()),
        // The address may be wrong, and then nothing would be compared for ever.
        None => Err(Failure::failed(format!(
            "nothing is published at {place}, although this ledger has begun. Nothing is drawn; put the site there, or name \
             the place where it is with --published-at"
        ))),
    }
}

/// What a period of four weeks would be better for, judged by published numbers only.
fn hint(ledger: &Ledger, plan: &Plan) -> Option<String> {
    let newest = releases(ledger.files()).last()?;
    let largest =
        newest.tables.iter().flat_map(|table| &table.cells).filter_map(|cell| cell.installations).max();
    let is_few = plan.period == tool_telemetry_definition::Period::Week && largest.unwrap_or_default() < FEW;
    is_few.then(|| {
        format!(
            "hint: no number reaches {FEW} installations; `period = \"four weeks\"` in telemetry.toml would show more of \
             them with the same ε"
        )
    })
}
