//! The status as text.

use std::fmt;
use std::time::SystemTime;

use super::Status;
use crate::consent::Reason;
use crate::model::chosen_by::ChosenBy;
use crate::model::clock::unix_seconds;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.decision.is_on { "on" } else { "off" };
        let reason = &self.decision.reason;
        let file = match (reason, &self.choice_file) {
            (Reason::Policy | Reason::PolicyUnreadable, _) => Some(&self.policy_file),
            (Reason::UserChoice | Reason::ChoiceUnreadable, choice_file) => choice_file.as_ref(),
            _ => None,
        };
        write!(f, "telemetry of {} is {state}: {reason}", self.tool)?;
        match file {
            Some(file) => writeln!(f, " ({})", file.display())?,
            None => writeln!(f)?,
        }
        let go = if self.decision.is_on { "go" } else { "would go" };
        match &self.destination {
            Some((origin, ChosenBy::Maker)) => writeln!(f, "runs {go} to {origin} (the tool's author)")?,
            Some((origin, ChosenBy::Operator)) => writeln!(f, "runs {go} to {origin} (set on this machine)")?,
            None if self.is_companion => writeln!(
                f,
                "only the tool itself knows where runs go; a receiver that no notice has named gets nothing"
            )?,
            None => writeln!(f, "runs go nowhere")?,
        }
        let now = unix_seconds(SystemTime::now());
        for destination in &self.destinations {
            writeln!(f, "{}:", destination.name)?;
            match destination.being_written {
                0 => writeln!(f, "  pending    {}", destination.pending)?,
                open => writeln!(f, "  pending    {} ({open} being written)", destination.pending)?,
            }
            writeln!(f, "  delivered  {}", destination.delivered)?;
            for (outcome, runs) in &destination.dropped {
                writeln!(f, "  dropped    {runs} ({})", outcome.name())?;
            }
            for (count, what) in [
                (destination.rejected_spans, "spans rejected by the receiver"),
                (destination.dropped_spans, "spans dropped: too many, too large, or incomplete"),
                (destination.left_out, "lines and values not sent: damaged, or not approved"),
                (destination.newer_runs, "runs of a newer version, left alone"),
            ] {
                if count > 0 {
                    writeln!(f, "  {count} {what}")?;
                }
            }
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
            if let Some(seconds) = destination.next_try_in.filter(|_| self.decision.is_on) {
                writeln!(f, "  next try in {seconds} s")?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
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
