//! Times as the tool's author receives them. Exact times would link the runs of one user: a build after a restore, or two
//! tools of one script.

const HOUR: u64 = 60 * 60 * 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// A time of a run, in nanoseconds since the Unix epoch, as the author receives it: the run starts on the hour, in UTC, and
/// the time keeps its distance from that start, to the millisecond.
///
/// Rounding keeps the order of times, so a span stays within its parent.
pub(crate) fn coarse(time: u64, run_start: u64) -> u64 {
    // 0 means "not set" in OTLP.
    let hour = (run_start - run_start % HOUR).max(1);
    let offset = time.abs_diff(run_start).saturating_add(MILLISECOND / 2) / MILLISECOND * MILLISECOND;
    if time < run_start { hour.saturating_sub(offset).max(1) } else { hour.saturating_add(offset) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 24 November 2026, 16:00 UTC: `date -u -d "2026-11-24 16:00" +%s`.
    const FOUR_O_CLOCK: u64 = 1_795_536_000_000_000_000;

    #[test]
    fn a_run_starts_on_the_hour_and_keeps_its_milliseconds() {
        let start = FOUR_O_CLOCK + 309_123_456_789;
        for (after, kept) in [
            (0, 0),
            (499_999, 0),
            (500_000, 1_000_000),
            (12_345_678, 12_000_000),
            // It may end in a later hour.
            (2 * HOUR + 1, 2 * HOUR),
        ] {
            assert_eq!(coarse(start + after, start), FOUR_O_CLOCK + kept, "{after}");
        }
        assert_eq!(coarse(start - 2_400_000, start), FOUR_O_CLOCK - 2_000_000);
        assert_eq!(coarse(FOUR_O_CLOCK - 1, FOUR_O_CLOCK - 1), FOUR_O_CLOCK - HOUR);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn order_and_durations_are_kept(start in 1..=u64::MAX, one in 1..=u64::MAX, other in 1..=u64::MAX) {
            let (one, other) = (one.min(other), one.max(other));
            let [coarse_one, coarse_other] = [one, other].map(|time| coarse(time, start));
            prop_assert!(coarse_one <= coarse_other && coarse_one > 0);
            let is_clipped = coarse_one == 1 || coarse_other == u64::MAX;
            let change = (coarse_other - coarse_one).abs_diff(other - one);
            prop_assert!(is_clipped || change <= MILLISECOND, "{change}");
        }

        #[test]
        fn coarse_times_do_not_change_again(start in 1..=u64::MAX / 2, time in 1..=u64::MAX / 2) {
            let run_start = coarse(start, start);
            let once = coarse(time, start);
            prop_assert!(once == 1 || coarse(once, run_start) == once);
        }
    }
}
