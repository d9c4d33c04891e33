//! Times as files store them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole seconds since the Unix epoch; 0 before it.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}

/// How far apart two times are. A time in the future counts like one as far in the past, because the clock must have
/// been set.
pub(crate) fn age(time: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(time).unwrap_or_else(|future| future.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_time_is_as_old_as_a_past_one() {
        let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
        assert_eq!((age(now - minute, now), age(now + minute, now)), (minute, minute));
    }
}
