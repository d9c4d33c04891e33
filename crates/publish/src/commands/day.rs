//! The day on which a command acts.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::failure::Failure;

/// The day in UTC. A later one would close periods that senders still report.
pub(super) fn today(wanted: Option<Date>) -> Result<Date, Failure> {
    let now = Timestamp::now().to_zoned(TimeZone::UTC).date();
    match wanted {
        Some(day) if day > now => Err(Failure::usage(format!("{day} is not yet"))),
        Some(day) => Ok(day),
        None => Ok(now),
    }
}
