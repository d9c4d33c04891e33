//! The uploader that counts installations is killed at each system call, and each call that may fail is made to fail. No cell
//! is counted twice, and a kill loses none.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use tool_telemetry_receiver::Receiver;

use crate::Report;
use crate::counting_user::{CountingUser, DAY, MONDAY, WEEK, cells};
use crate::crash_points::{Point, Tally, copy, make_private, points, run};

/// When the uploader runs: the counts of the first run are due, and the second run waits.
const NOW: u64 = MONDAY + WEEK + 4 * DAY;

/// The cells of both runs, each once, and those that are new in the second.
const CELLS: u64 = 6;
const NEW_CELLS: u64 = 3;

/// The uploader, when it delivers a run, counts it, and sends the counts of an earlier one.
pub(crate) fn of_the_uploader() -> Report {
    let template = scene()?;
    let (receiver, user) = copy_of(&template)?;
    let (traced, _) = run(user.uploader_command(), None)?;
    if !traced.output.status.success() || cells(&receiver).len() as u64 != CELLS - NEW_CELLS {
        return Err(format!("the undisturbed uploader failed: {:?} {:?}", traced.output, cells(&receiver)));
    }
    let points = points(&traced.calls, user.user.home());
    let tally = Tally::new();
    tally.try_all(&points, |point| disturb(point, &template, &tally));
    tally.report("counts", traced.calls.len(), &points)
}

/// A user whose first run was counted, and whose second is pending.
fn scene() -> Result<CountingUser, String> {
    let receiver = Receiver::start().map_err(|error| error.to_string())?;
    receiver.set_date(None);
    let user = CountingUser::new(&receiver.http_endpoint());
    user.run_at(MONDAY, &["build"]);
    user.run_at(MONDAY + WEEK, &["build"]);
    user.set_clock(NOW);
    user.back_off(NOW);
    user.user.run_frob(["test", "--end", "return=3"]);
    if user.user.pending_runs().len() != 1 {
        return Err("the second run is not pending".to_owned());
    }
    Ok(user)
}

/// Copies the scene for a receiver of its own.
fn copy_of(template: &CountingUser) -> Result<(Receiver, CountingUser), String> {
    let receiver = Receiver::start().map_err(|error| error.to_string())?;
    receiver.set_date(None);
    let user = CountingUser::new(&receiver.http_endpoint());
    copy(&template.spool(), &user.spool())?;
    make_private(&user.user)?;
    user.set_clock(NOW);
    Ok((receiver, user))
}

/// Runs the uploader with this point, and then others undisturbed, until all counts must have left.
fn disturb(point: &Point, template: &CountingUser, tally: &Tally) -> Result<(), String> {
    let (receiver, user) = copy_of(template)?;
    let (_, is_reached) = run(user.uploader_command(), Some(point))?;
    tally.not_reached.fetch_add(u64::from(!is_reached), Ordering::Relaxed);
    // A request may fail on a busy machine, and delays the counts.
    for later in [0, 4, 5, 6, 7] {
        user.set_clock(NOW + later * DAY);
        let ended = user.uploader_command().output().map_err(|error| error.to_string())?;
        if later > 0 && !ended.status.success() {
            return Err(format!("the next uploader failed: {ended:?}\n{}", user.user.status()));
        }
        if later > 0 && cells(&receiver).len() as u64 == CELLS {
            break;
        }
    }
    let arrived: BTreeMap<(u64, String), u64> = cells(&receiver);
    let (sum, different) = (arrived.values().sum::<u64>(), arrived.len() as u64);
    if sum != different || different > CELLS {
        return Err(format!("more counts than cells: {arrived:?}"));
    }
    // While a call fails, no count can be made, and a choice that cannot be read deletes the state.
    let may_lose = if point.is_kill() { 0 } else { CELLS };
    if CELLS - different > may_lose {
        return Err(format!("{} counts are lost: {arrived:?}\n{}", CELLS - different, user.user.status()));
    }
    tally.recorded.fetch_add(CELLS, Ordering::Relaxed);
    tally.delivered.fetch_add(different, Ordering::Relaxed);
    tally.dropped.fetch_add(CELLS - different, Ordering::Relaxed);
    tally.doubles.fetch_add(receiver.doubles(), Ordering::Relaxed);
    Ok(())
}
