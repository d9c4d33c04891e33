//! A status for the unit tests.

use std::path::PathBuf;

use super::{DestinationStatus, Status};
use crate::consent::{Decision, Reason};

/// Telemetry is on, and one destination has a value in each field.
pub(super) fn status() -> Status {
    Status {
        tool: "frob".to_owned(),
        decision: Decision { is_on: true, reason: Reason::Default },
        destination: None,
        is_companion: false,
        published_at: None,
        warnings: Vec::new(),
        policy_file: PathBuf::new(),
        choice_file: None,
        destinations: vec![DestinationStatus {
            name: "maker".to_owned(),
            pending: 1,
            delivered: 2,
            dropped: Vec::new(),
            being_written: 0,
            left_out: 0,
            unreported_starts: 0,
            start_trouble: None,
            rejected_spans: 3,
            dropped_spans: 4,
            newer_runs: 5,
            last_delivery: Some(6),
            last_failure: None,
            next_try_in: Some(7),
            counting_since: Some(8),
            counts: None,
        }],
    }
}
