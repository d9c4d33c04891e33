//! `telemetry status`: on or off and why, where to, and what became of the runs.

use std::fmt;
use std::time::SystemTime;

use crate::consent::Decision;
use crate::destination::{ChosenBy, Found};
use crate::env::Environment;
use crate::spool::backoff::{Backoff, seconds};
use crate::spool::census::Census;
use crate::spool::counters::Outcome;
use crate::spool::dir::SpoolDir;
use crate::survey::Survey;
use crate::telemetry::Telemetry;

/// What `telemetry status` tells.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The tool's name.
    pub tool: String,
    /// On or off, and what decided it.
    pub decision: Decision,
    /// Where runs of this process would go, and who chose it.
    pub destination: Option<(String, ChosenBy)>,
    /// Settings that were ignored, and other things to know.
    pub warnings: Vec<String>,
    /// What lies and what became of it, for each destination that there ever was.
    pub destinations: Vec<DestinationStatus>,
}

/// The spool of one destination. `recorded = delivered + pending + dropped`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DestinationStatus {
    /// `maker`, or scheme, host and port.
    pub folder: String,
    /// Runs that wait, those that are being written included.
    pub pending: u64,
    /// Runs that the receiver accepted.
    pub delivered: u64,
    /// Runs that were dropped, by reason.
    pub dropped: Vec<(Outcome, u64)>,
    /// Spans that a receiver rejected while it accepted the rest.
    pub rejected_spans: u64,
    /// Spans that were too many or too large to be recorded.
    pub dropped_spans: u64,
    /// Runs of a newer format, left for a newer version of the tool.
    pub newer: u64,
    /// Seconds since the Unix epoch.
    pub last_delivery: Option<u64>,
    /// The kind of the last failure, and when: seconds since the Unix epoch.
    pub last_failure: Option<(String, u64)>,
    /// Seconds to wait before the next try.
    pub waits: Option<u64>,
    /// The counters' file was damaged, and counting began again: seconds since the Unix epoch. What it held lies
    /// beside it, in `counters.damaged`.
    pub restarted: Option<u64>,
}

impl Telemetry {
    /// `telemetry status`. Reads only; records nothing about itself.
    pub fn status(&self) -> Status {
        self.abandon();
        let builder = self.settings();
        let survey = Survey::take(builder, Environment::process());
        let mut decision = survey.decision.clone();
        if decision.on && survey.choice().notice.is_none() {
            decision = self.decision().clone();
        }
        let (destination, mut warnings) = match &survey.found {
            Found::Destination(found) => (Some((found.origin(), found.chosen_by)), found.warnings.clone()),
            Found::None => (None, Vec::new()),
            Found::Unusable(why) => (None, vec![why.clone()]),
        };
        let mut destinations = Vec::new();
        if let Some(places) = &survey.places {
            for folder in SpoolDir::destinations(&places.state_home, builder.name) {
                let spool = SpoolDir::new(&places.state_home, builder.name, &folder);
                match DestinationStatus::of(&spool, folder) {
                    Ok(status) => {
                        if status.restarted.is_some() {
                            warnings.push(format!(
                                "{} was damaged: counting began again, and what it held lies in {}",
                                spool.counters().display(),
                                spool.damaged_counters().display()
                            ));
                        }
                        destinations.push(status);
                    }
                    Err(error) => warnings.push(format!("{}: {error}", spool.root().display())),
                }
            }
            let spool = SpoolDir::new(&places.state_home, builder.name, "maker");
            if let Err(error) = spool.check()
                && error.kind() != std::io::ErrorKind::NotFound
            {
                warnings.push(format!("{}: {error}; nothing is recorded", spool.root().display()));
            }
        }
        Status { tool: builder.name.to_owned(), decision, destination, warnings, destinations }
    }
}

impl DestinationStatus {
    pub(super) fn of(spool: &SpoolDir, folder: String) -> std::io::Result<Self> {
        let Census { pending, newer, counters, is_damaged } = Census::take(spool)?;
        let now = SystemTime::now();
        Ok(Self {
            folder,
            pending,
            delivered: counters.of(Outcome::Delivered),
            dropped: Outcome::ALL
                .into_iter()
                .filter(|outcome| *outcome != Outcome::Delivered)
                .map(|outcome| (outcome, counters.of(outcome)))
                .filter(|(_, runs)| *runs > 0)
                .collect(),
            rejected_spans: counters.rejected_spans,
            dropped_spans: counters.dropped_spans,
            newer,
            last_delivery: counters.last_delivery,
            last_failure: counters.last_failure,
            waits: Backoff::read(&spool.backoff())
                .and_then(|backoff| backoff.remaining(now))
                .map(|wait| wait.as_secs()),
            restarted: counters.restarted.or(is_damaged.then(|| seconds(now))),
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.decision.on { "on" } else { "off" };
        writeln!(f, "telemetry of {} is {state}: {}", self.tool, self.decision.reason)?;
        match &self.destination {
            Some((origin, ChosenBy::Maker)) => writeln!(f, "runs go to {origin}, the maker's")?,
            Some((origin, ChosenBy::Operator)) => writeln!(f, "runs go to {origin}, set on this machine")?,
            None => writeln!(f, "runs go nowhere")?,
        }
        for destination in &self.destinations {
            writeln!(f, "{}:", destination.folder)?;
            writeln!(f, "  pending    {}", destination.pending)?;
            writeln!(f, "  delivered  {}", destination.delivered)?;
            for (outcome, runs) in &destination.dropped {
                writeln!(f, "  dropped    {runs} ({})", outcome.name())?;
            }
            for (spans, what) in [
                (destination.rejected_spans, "spans rejected by the receiver"),
                (destination.dropped_spans, "spans dropped, too many or too large"),
                (destination.newer, "runs of a newer version, left alone"),
            ] {
                if spans > 0 {
                    writeln!(f, "  {spans} {what}")?;
                }
            }
            if let Some((kind, _)) = &destination.last_failure {
                writeln!(f, "  last failure: {kind}")?;
            }
            if let Some(seconds) = destination.waits {
                writeln!(f, "  next try in {seconds} s")?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
