//! The status as text.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::{CountStatus, DestinationStatus, Status};
use crate::consent::Reason;
use crate::env;
use crate::model::chooser::Chooser;
use crate::model::clock::unix_seconds;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_decision(f)?;
        self.write_destination(f)?;
        if let Some(url) = &self.published_at {
            writeln!(f, "what is published: {url}")?;
        }
        let now = unix_seconds(SystemTime::now());
        for destination in &self.destinations {
            writeln!(f, "{}:", destination.name)?;
            destination.write_counts(f)?;
            self.write_delivery(f, destination, now)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

impl Status {
    /// Whether telemetry is on, why, and the file that decided.
    fn write_decision(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.decision.is_on { "on" } else { "off" };
        let reason = &self.decision.reason;
        let file = match (reason, &self.choice_file) {
            (Reason::Policy | Reason::PolicyUnreadable, _) => Some(&self.policy_file),
            (Reason::UserChoice | Reason::ChoiceUnreadable, choice_file) => choice_file.as_ref(),
            _ => None,
        };
        write!(f, "telemetry of {} is {state}: {reason}", self.tool)?;
        match file {
            Some(file) => writeln!(f, " ({})", file.display()),
            None => writeln!(f),
        }
    }

    /// Where runs go.
    fn write_destination(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let go = if self.decision.is_on { "go" } else { "would go" };
        match &self.destination {
            Some((origin, Chooser::Maker)) => writeln!(f, "runs {go} to {origin} (the tool's author)"),
            Some((origin, Chooser::Operator)) => writeln!(f, "runs {go} to {origin} (set on this machine)"),
            None if self.is_companion => writeln!(
                f,
                "only the tool itself knows where runs go; a receiver that no notice has named gets nothing"
            ),
            None if self.decision.reason == Reason::NoDestination => writeln!(
                f,
                "runs go nowhere; to send them to a receiver of your own, set {}ENDPOINT to its address",
                env::OTEL_EXPORTER_OTLP
            ),
            None => writeln!(f, "runs go nowhere"),
        }
    }

    /// The last delivery, the last failure, and the next try.
    fn write_delivery(
        &self,
        f: &mut fmt::Formatter<'_>,
        destination: &DestinationStatus,
        now: u64,
    ) -> fmt::Result {
        if let Some(at) = destination.last_delivery {
            writeln!(f, "  last delivery: {}", ago(now, at))?;
        }
        if let Some(failure) = &destination.last_failure {
            writeln!(f, "  last failure: {}, {}", failure.kind, ago(now, failure.at))?;
            // It may also be a warning, because the settings have not changed.
            if !failure.text.is_empty() && !self.warnings.contains(&failure.text) {
                writeln!(f, "    {}", failure.text)?;
            }
        }
        if let Some(trouble) = &destination.start_trouble {
            writeln!(f, "  {trouble}")?;
        }
        match destination.next_try_in.filter(|_| self.decision.is_on) {
            Some(0) => writeln!(f, "  next try in less than a second"),
            Some(seconds) => writeln!(f, "  next try in {seconds} s"),
            None => Ok(()),
        }
    }
}

impl DestinationStatus {
    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.being_written {
            0 => writeln!(f, "  pending    {}", self.pending)?,
            open => writeln!(f, "  pending    {} ({open} being written)", self.pending)?,
        }
        writeln!(f, "  delivered  {}", self.delivered)?;
        for (outcome, runs) in &self.dropped {
            writeln!(f, "  dropped    {runs} ({})", outcome.name())?;
        }
        if let Some(CountStatus { counted, waiting, next_period, .. }) = self.counts {
            let next = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(next_period));
            writeln!(f, "  counts     {counted} in this period, {waiting} waiting; the next begins {next}")?;
        }
        for (count, what) in [
            (self.counts.map_or(0, |counts| counts.lost), "counts lost: refused, or too old"),
            (self.rejected_spans, "spans rejected by the receiver"),
            (self.dropped_spans, "spans dropped: too many, too large, or incomplete"),
            (self.left_out, "lines and values not sent: damaged, or not approved"),
            (self.newer_runs, "runs of a newer version, left alone"),
        ] {
            if count > 0 {
                writeln!(f, "  {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// How long ago a time was, in a readable unit.
fn ago(now: u64, at: u64) -> String {
    match now.saturating_sub(at) {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_backoff_in_its_last_second_does_not_end_in_0_seconds() {
        let mut status = fixture::status();
        let lines = |status: &Status| status.to_string().lines().last().map(str::to_owned).unwrap();
        assert_eq!(lines(&status), "  next try in 7 s");
        status.destinations[0].next_try_in = Some(0);
        assert_eq!(lines(&status), "  next try in less than a second");
    }

    #[test]
    fn what_is_published_is_linked_if_there_is_a_site() {
        let mut status = fixture::status();
        assert!(!status.to_string().contains("published"), "{status}");
        status.published_at = Some("https://example.com/usage".to_owned());
        assert!(status.to_string().contains("\nwhat is published: https://example.com/usage\n"), "{status}");
    }

    #[test]
    fn a_missing_destination_has_a_remedy() {
        let mut status = fixture::status();
        assert!(status.to_string().contains("runs go nowhere\n"), "{status}");
        status.decision.reason = Reason::NoDestination;
        assert!(status.to_string().contains("set OTEL_EXPORTER_OTLP_ENDPOINT"), "{status}");
    }
}
