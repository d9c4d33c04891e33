//! A simulated year of installations, with real processes: their uploaders are killed and race, their states are lost, their
//! clocks jump, and the tool is updated in mid-week. Whatever happens, no installation counts too much, and what is lost has a
//! reason.
//!
//! `COUNTED_INSTALLATIONS=200 cargo test --test it year_of_counts -- --nocapture` simulates more of them, and prints the sums.
//! `103..104` simulates the one with the number 103.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tool_telemetry_receiver::{Answer, Receiver};

use crate::counting_user::{CountingUser, DAY, MONDAY, WEEK, cells};
use crate::system_calls::{Action, Tracer};

/// How many installations are simulated in the gate.
const INSTALLATIONS: u64 = 3;
/// Installations that are simulated at the same time. They mostly wait for processes.
const AT_ONCE: usize = 4;
/// The weeks of the year. Week 0 creates the state, and the runs of two more weeks send the last counts.
const WEEKS: u64 = 52;
/// A count of so many weeks before may still wait, if the uploader was killed or the receiver was busy in the meantime.
const BEFORE: u64 = 4;
/// A count leaves at most so many seconds after the pass that delivered its run.
const LONGEST_WAIT: u64 = 49 * 3_600;
/// The sum of `at_most` in `tests/tool/counts.toml`.
const AT_MOST_TOGETHER: u64 = 11;

/// Why a count of a week may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// The state was deleted or damaged, or telemetry was turned off and on.
    LostState,
    /// The receiver refused something.
    Refused,
    /// The clock was wrong.
    Clock,
    /// The tool was updated, so other tables count.
    Update,
    /// Every pass failed until the week was closed, four weeks after its end.
    Unsent,
}

/// What happens before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Nothing,
    StateDeleted,
    StateDamaged,
    SpoolDeleted,
    OffAndOn,
    Purge,
    Update,
    ClockAhead,
    ClockBehind,
    ClockUnset,
    UploaderKilled,
    UploadersRace,
    ReceiverBusy,
    ReceiverGone,
    Refusal,
}

/// Splitmix64. The seed is the installation's number, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn event(&mut self) -> Event {
        match self.below(200) {
            0..=2 => Event::StateDeleted,
            3..=4 => Event::StateDamaged,
            5 => Event::SpoolDeleted,
            6..=7 => Event::OffAndOn,
            8..=9 => Event::Purge,
            10..=11 => Event::Update,
            12..=14 => Event::ClockAhead,
            15..=17 => Event::ClockBehind,
            18..=19 => Event::ClockUnset,
            20..=43 => Event::UploaderKilled,
            44..=53 => Event::UploadersRace,
            54..=61 => Event::ReceiverBusy,
            62..=65 => Event::ReceiverGone,
            66..=67 => Event::Refusal,
            _ => Event::Nothing,
        }
    }
}

/// One installation, and what a perfect observer knows of it.
struct Installation {
    user: CountingUser,
    receiver: Receiver,
    random: Random,
    /// Whether the receiver's answers tell the true time.
    tells_time: bool,
    /// Whether the later release of the tool is installed.
    is_updated: bool,
    /// The number of system calls of an undisturbed uploader.
    calls: u64,
    /// The cells that occurred, by the week that the clock showed.
    occurred: BTreeMap<u64, BTreeSet<String>>,
    /// The same by the tables of both releases, because a pending run may be counted by the next release.
    possible: BTreeMap<u64, BTreeSet<String>>,
    disturbed: BTreeMap<u64, BTreeSet<Reason>>,
    /// The latest week that the clock showed.
    latest_week: u64,
    /// When the last run of each week was recorded.
    last_runs: BTreeMap<u64, u64>,
    /// When an uploader worked undisturbed.
    passes: Vec<u64>,
    events: Vec<(u64, Event)>,
}

/// The sums over installations.
#[derive(Debug, Default)]
struct Sums {
    occurred: u64,
    expected: u64,
    arrived: u64,
    lost: BTreeMap<Reason, u64>,
    clean_weeks: u64,
    disturbed_weeks: u64,
    doubles: u64,
    events: BTreeMap<String, u64>,
}

fn table_of(cell: &str) -> String {
    cell.split(' ').filter_map(|part| part.split('=').next()).collect::<Vec<_>>().join(" ")
}

/// The most counts of a table in a week. The later release counts three commands.
fn at_most(table: &str, is_updated: bool) -> u64 {
    match table {
        "frob.command" if is_updated => 3,
        "frob.color" => 1,
        "process.exit.code" => 3,
        _ => 2,
    }
}

impl Installation {
    fn new(number: u64) -> Self {
        let receiver = Receiver::start().expect("a receiver");
        receiver.set_date(None);
        let user = CountingUser::new(&receiver.http_endpoint());
        Self {
            user,
            receiver,
            random: Random(number),
            tells_time: number.is_multiple_of(2),
            is_updated: false,
            calls: 0,
            occurred: BTreeMap::new(),
            possible: BTreeMap::new(),
            disturbed: BTreeMap::new(),
            latest_week: 0,
            last_runs: BTreeMap::new(),
            passes: Vec::new(),
            events: Vec::new(),
        }
    }

    fn disturb(&mut self, weeks: impl IntoIterator<Item = u64>, reason: Reason) {
        for week in weeks {
            self.disturbed.entry(week).or_default().insert(reason);
        }
    }

    /// Lives for a year.
    fn live(&mut self) {
        self.run(MONDAY, MONDAY, Event::Nothing);
        for week in 1..=WEEKS + 2 {
            let is_quiet = week > WEEKS;
            let runs = if is_quiet { 1 } else { 1 + self.random.below(3) };
            // The last run of a week is late enough for the counts of the week before.
            let mut times: Vec<u64> = (1..runs).map(|_| self.random.below(4 * DAY)).collect();
            times.push(4 * DAY + self.random.below(2 * DAY));
            times.sort_unstable();
            for time in times {
                let event = if is_quiet { Event::Nothing } else { self.random.event() };
                self.happen(MONDAY + week * WEEK + time, event);
            }
        }
        let unsent: Vec<u64> =
            self.last_runs.keys().copied().filter(|week| !self.could_send(*week)).collect();
        self.disturb(unsent, Reason::Unsent);
    }

    /// Whether the runs of a week and then their counts had a pass to leave in, before the week was closed.
    fn could_send(&self, week: u64) -> bool {
        let closed = MONDAY + (week + 1 + 4) * WEEK;
        let mut passes = self.passes.iter().skip_while(|pass| **pass < self.last_runs[&week]);
        let Some(delivered) = passes.next() else { return false };
        passes.any(|pass| *pass >= delivered + LONGEST_WAIT && *pass < closed)
    }

    /// An event, and a run at this true time.
    fn happen(&mut self, now: u64, event: Event) {
        let week = (now - MONDAY) / WEEK;
        // Only the receiver's time makes up for a clock that ran ahead, if the counters are lost too.
        let is_in_doubt = event == Event::SpoolDeleted && !self.tells_time && self.latest_week > week;
        let event = if is_in_doubt { Event::Nothing } else { event };
        self.events.push((week, event));
        let mut local = now;
        match event {
            Event::StateDeleted
            | Event::StateDamaged
            | Event::SpoolDeleted
            | Event::OffAndOn
            | Event::Purge => {
                self.lose_state(now, event);
                // If the receiver tells no time, nothing is counted before the latest week that the clock has shown.
                let last = if self.tells_time { week } else { self.latest_week.max(week) };
                self.disturb(week.saturating_sub(BEFORE)..=last + 1, Reason::LostState);
            }
            Event::Update => {
                self.is_updated = !self.is_updated;
                let release = if self.is_updated { "2" } else { "1" };
                self.user.change_tool_setting("FROB_COUNTS", release);
                self.disturb(week.saturating_sub(BEFORE)..=week, Reason::Update);
            }
            Event::ClockAhead => {
                local += (1 + self.random.below(40)) * WEEK;
                let shown = (local - MONDAY) / WEEK;
                if !self.tells_time {
                    // A week that an earlier jump had counted is closed, and no week before its end is counted again.
                    self.disturb(week..=self.latest_week, Reason::Clock);
                }
                self.latest_week = self.latest_week.max(shown);
                self.disturb((week.saturating_sub(BEFORE)..=week).chain([shown]), Reason::Clock);
            }
            Event::ClockBehind => {
                local = now.saturating_sub((1 + self.random.below(6)) * WEEK).max(MONDAY);
                // Pending runs of later weeks are from the future now.
                self.disturb(
                    (week.saturating_sub(BEFORE)..=week).chain([(local - MONDAY) / WEEK]),
                    Reason::Clock,
                );
            }
            Event::ClockUnset => {
                local = DAY;
                self.disturb(week.saturating_sub(BEFORE)..=week, Reason::Clock);
            }
            Event::ReceiverBusy => self.receiver.answer_next([Answer::status(503)]),
            Event::ReceiverGone => self.receiver.answer_next([Answer::Reset]),
            Event::Refusal => {
                self.receiver.answer_next([Answer::Ok, Answer::status(400)]);
                self.disturb(week.saturating_sub(BEFORE)..=week + 1, Reason::Refused);
            }
            Event::Nothing | Event::UploaderKilled | Event::UploadersRace => {}
        }
        self.run(local, now, event);
    }

    fn lose_state(&mut self, now: u64, event: Event) {
        self.user.set_clock(now);
        match event {
            Event::StateDamaged => {
                if let Ok(mut bytes) = std::fs::read(self.user.state()) {
                    let at = self.random.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << self.random.below(8);
                    std::fs::write(self.user.state(), bytes).expect("it is ours");
                }
            }
            Event::OffAndOn => {
                self.user.user.run_frob(["telemetry", "off"]);
                self.user.user.run_frob(["telemetry", "on"]);
            }
            Event::SpoolDeleted => drop(std::fs::remove_dir_all(self.user.spool())),
            Event::Purge => drop(self.user.user.run_frob(["telemetry", "purge"])),
            _ => drop(std::fs::remove_file(self.user.state())),
        }
    }

    /// Runs a command when the clock shows `local`, and sends what is pending.
    fn run(&mut self, local: u64, now: u64, event: Event) {
        let true_time = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
        self.receiver.set_date(self.tells_time.then_some(true_time));
        self.user.set_clock(local);
        let command = self.random.of(&["build", "build", "build", "test", "run", "clean"]);
        let code = self.random.of(&[0, 0, 0, 0, 3, 7]);
        let is_cached = self.random.below(3) == 0;
        let version = self.random.of(&["1.0.0", "1.0.0", "0.9.0"]);
        // A backoff keeps the command from starting an uploader, which the tracer would not see.
        let is_detached = event == Event::Nothing && self.random.below(8) == 0;
        if !is_detached {
            self.user.back_off(local);
        }
        let mut frob =
            self.user.user.frob_command([command, "--spans", "1", "--end", &format!("return={code}")]);
        frob.env("FROB_VERSION", version);
        if is_cached {
            frob.env("FROB_CACHED", "1");
        }
        assert_eq!(frob.output().expect("it runs").status.code(), Some(code));
        if local >= MONDAY {
            let week = (local - MONDAY) / WEEK;
            let cells = |is_updated: bool| cells_of(command, code, is_cached, version, is_updated);
            self.occurred.entry(week).or_default().extend(cells(self.is_updated));
            self.possible.entry(week).or_default().extend(cells(false).into_iter().chain(cells(true)));
        }
        self.last_runs.entry((now - MONDAY) / WEEK).and_modify(|last| *last = now.max(*last)).or_insert(now);
        self.upload(event, is_detached);
        if matches!(event, Event::Nothing | Event::UploadersRace) {
            self.passes.push(now);
        }
    }

    fn upload(&mut self, event: Event, is_detached: bool) {
        match event {
            Event::UploaderKilled => {
                let mut left = self.random.below(self.calls.max(1));
                let traced = Tracer::of(self.user.uploader_command())
                    .intercept(|_| {
                        left = left.wrapping_sub(1);
                        if left == u64::MAX { Action::Kill } else { Action::Continue }
                    })
                    .run();
                self.calls = self.calls.max(traced.calls.len() as u64 + 100);
            }
            Event::UploadersRace => {
                let uploaders = [(); 3].map(|()| self.user.uploader_command().spawn().expect("it starts"));
                for mut uploader in uploaders {
                    uploader.wait().expect("it ends");
                }
            }
            Event::Nothing if is_detached => assert!(self.user.user.flush(), "{}", self.user.user.status()),
            _ => drop(self.user.uploader_command().output().expect("it runs")),
        }
    }

    /// Compares what arrived with what occurred.
    fn check(&self, sums: &mut Sums) -> Result<(), String> {
        let arrived = cells(&self.receiver);
        let mut by_week: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for ((week, cell), times) in arrived {
            if times > 1 {
                return Err(format!("{cell} was counted {times} times in week {week}"));
            }
            by_week.entry(week).or_default().insert(cell);
        }
        let none = BTreeSet::new();
        for week in by_week.keys().chain(self.occurred.keys()).copied().collect::<BTreeSet<u64>>() {
            let (counted, occurred) =
                (by_week.get(&week).unwrap_or(&none), self.occurred.get(&week).unwrap_or(&none));
            let is_updated =
                self.disturbed.get(&week).is_some_and(|reasons| reasons.contains(&Reason::Update));
            let possible = if is_updated { self.possible.get(&week).unwrap_or(&none) } else { occurred };
            if let Some(cell) = counted.difference(possible).next() {
                return Err(format!("{cell} was counted in week {week}, but did not occur"));
            }
            if counted.len() as u64 > AT_MOST_TOGETHER {
                return Err(format!("{} counts in week {week}", counted.len()));
            }
            let reasons = self.disturbed.get(&week);
            let is_clean = reasons.is_none() && (1..=WEEKS).contains(&week);
            if is_clean {
                sums.clean_weeks += 1
            } else {
                sums.disturbed_weeks += 1
            }
            for table in counted.iter().chain(occurred).map(|cell| table_of(cell)).collect::<BTreeSet<_>>() {
                let of_table = |cells: &BTreeSet<String>| {
                    cells.iter().filter(|cell| table_of(cell) == table).count() as u64
                };
                let most = at_most(&table, true);
                let (counted, occurred) = (of_table(counted), of_table(occurred));
                if counted > most {
                    return Err(format!("{counted} counts of {table} in week {week}"));
                }
                // In the first week after an update the tables of both releases may have counted.
                let expected =
                    occurred.min(if reasons.is_none() { self.most_in(week, &table) } else { most });
                sums.occurred += occurred;
                sums.expected += expected;
                sums.arrived += counted;
                let lost = expected.saturating_sub(counted);
                match reasons.and_then(|reasons| reasons.first()) {
                    Some(reason) => *sums.lost.entry(*reason).or_default() += lost,
                    None if is_clean && lost > 0 => {
                        return Err(format!("{lost} counts of {table} are missing in week {week}"));
                    }
                    None => {}
                }
            }
        }
        sums.doubles += self.receiver.doubles();
        for (_, event) in &self.events {
            *sums.events.entry(format!("{event:?}")).or_default() += 1;
        }
        Ok(())
    }

    /// The most counts of a table in a week without an update: the colour is in no table of the first release.
    fn most_in(&self, week: u64, table: &str) -> u64 {
        let is_updated = self.occurred.get(&week).is_some_and(|cells| cells.contains("frob.color=auto"));
        at_most(table, is_updated)
    }
}

/// The cells of a run by the tables of its release, computed without the library.
fn cells_of(command: &str, code: i32, is_cached: bool, version: &str, is_updated: bool) -> Vec<String> {
    let command = if command == "clean" { "other" } else { command };
    let mut cells = vec![format!("frob.command={command}")];
    if is_updated {
        cells.push("frob.color=auto".to_owned());
        return cells;
    }
    if code != 0 {
        cells.push(format!("error.type=_OTHER frob.command={command}"));
    }
    cells.push(format!("service.version={}", if version == "1.0.0" { version } else { "other" }));
    cells.push(if code == 7 {
        "process.exit.code=other".to_owned()
    } else {
        format!("process.exit.code=\"{code}\"")
    });
    if is_cached {
        cells.push(format!("frob.cached=true frob.command={command}"));
    }
    cells
}

#[test]
#[expect(clippy::print_stdout, reason = "the sums are a figure of the documents")]
fn a_year_of_installations_counts_never_too_much_and_loses_only_with_a_reason() {
    let wanted = std::env::var("COUNTED_INSTALLATIONS").unwrap_or(INSTALLATIONS.to_string());
    let (first, end) = wanted.split_once("..").unwrap_or(("0", &wanted));
    let [first, end]: [u64; 2] = [first, end].map(|number| number.parse().expect("a number"));
    let installations = end - first;
    let (next, sums) = (AtomicU64::new(first), Mutex::new(Sums::default()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    let mut installation = Installation::new(number);
                    installation.live();
                    let checked = installation.check(&mut sums.lock().expect("no panic"));
                    if let Err(what) = checked {
                        panic!("installation {number}: {what}\n{}", installation.history());
                    }
                }
            });
        }
    });
    let sums = sums.into_inner().expect("no panic");
    println!("{installations} installations: {sums:?}");
    assert!(sums.clean_weeks > sums.disturbed_weeks / 4 && sums.arrived > installations * 50, "{sums:?}");
}

impl Installation {
    /// The weeks, for a message.
    fn history(&self) -> String {
        let (mut text, arrived) = (String::new(), cells(&self.receiver));
        for (week, occurred) in &self.occurred {
            let counted: Vec<_> = arrived.keys().filter(|(of, _)| of == week).map(|(_, cell)| cell).collect();
            let events: Vec<_> =
                self.events.iter().filter(|(of, _)| of == week).map(|(_, event)| event).collect();
            let disturbed = self.disturbed.get(week);
            let _ = writeln!(text, "{week}: {occurred:?} counted {counted:?} {disturbed:?} {events:?}");
        }
        text
    }
}
