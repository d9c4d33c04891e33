//! An attack on counts: who holds all spans of many installations looks for a run and a count, or for two counts, of the same
//! installation. The attacker has neither connections, requests, nor the order of arrival.
//!
//! For each count, a method sorts everything that could belong to it by its content. Its figure is how often what truly
//! belongs to the count stands before what does not: 50 % is guessing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tool_telemetry_receiver::{Receiver, Span};

use crate::Report;
use crate::counting_user::{CountingUser, DAY, HOUR, MONDAY, WEEK};

/// Installations in the gate. `COUNTED_INSTALLATIONS` sets another number.
const INSTALLATIONS: u64 = 60;
/// Installations that live at the same time.
const AT_ONCE: usize = 4;
/// A method that is off by more than this many standard errors finds something.
const MAX_ERRORS: f64 = 4.5;

/// A root span that the receiver got, with what only the test knows.
struct Received {
    installation: u64,
    span: Span,
    /// The cells of a run by the tables of `tests/tool/counts.toml`, or the cell of a count.
    cells: Vec<String>,
    /// Spans of the run.
    spans: usize,
}

impl Received {
    fn trace(&self) -> u128 {
        u128::from_str_radix(self.span.trace_id(), 16).expect("hexadecimal")
    }

    fn id(&self) -> u64 {
        u64::from_str_radix(self.span.span_id(), 16).expect("hexadecimal")
    }
}

type Method = (&'static str, fn(&Received, &Received) -> f64);

/// Distances between a count and a candidate.
const METHODS: [Method; 9] = [
    ("trace ids, exclusive or", |one, other| (one.trace() ^ other.trace()) as f64),
    ("trace ids, difference", |one, other| one.trace().abs_diff(other.trace()) as f64),
    ("trace ids, different bits", |one, other| f64::from((one.trace() ^ other.trace()).count_ones())),
    ("span ids, difference", |one, other| one.id().abs_diff(other.id()) as f64),
    ("span ids, different bits", |one, other| f64::from((one.id() ^ other.id()).count_ones())),
    ("trace id and span id", |one, other| ((one.trace() as u64) ^ other.id()) as f64),
    ("the shortest first", |_, other| other.span.duration().as_secs_f64()),
    ("the earliest first", |_, other| other.span.start_unix_nano() as f64),
    ("the fewest spans first", |_, other| other.spans as f64),
];

/// Splitmix64, seeded with the installation's number.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Lives for three weeks: the state is created, runs are counted, and the counts leave.
fn live(receiver: &Receiver, number: u64) {
    let mut random = Random(number);
    let user = CountingUser::new(&receiver.http_endpoint());
    let (favourite, version) = (random.below(4), ["1.0.0", "1.0.0", "0.9.0"][random.below(3) as usize]);
    let fails = 1 + random.below(9);
    let run = |time: u64, random: &mut Random| {
        let command =
            ["build", "test", "run", "clean"][(favourite + random.below(5).saturating_sub(2)) as usize % 4];
        let code = if random.below(10) < fails { ["0", "3", "7"][random.below(3) as usize] } else { "0" };
        let spans = (1 + random.below(6)).to_string();
        user.set_clock(time);
        user.back_off(time);
        let mut frob =
            user.user.frob_command([command, "--spans", &spans, "--end", &format!("return={code}")]);
        frob.env("FROB_VERSION", version);
        if random.below(3) == 0 {
            frob.env("FROB_CACHED", "1");
        }
        frob.output().expect("it runs");
        user.uploader_command().output().expect("it runs");
    };
    run(MONDAY, &mut random);
    for day in 0..=random.below(4) {
        run(MONDAY + WEEK + day * DAY + random.below(20) * HOUR, &mut random);
    }
    run(MONDAY + 2 * WEEK + 3 * DAY, &mut random);
}

/// What the receivers got of the second week.
fn receive(installations: u64) -> Result<Vec<Received>, String> {
    let (next, all) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), String> {
        let receiver = Receiver::start().map_err(|error| error.to_string())?;
        receiver.set_date(None);
        let mut known = 0;
        loop {
            let installation = next.fetch_add(1, Ordering::Relaxed);
            if installation >= installations {
                return Ok(());
            }
            live(&receiver, installation);
            let spans = receiver.spans();
            all.lock().expect("no panic").extend(of_week(installation, &spans[known..]));
            known = spans.len();
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no panic"))
    })?;
    let mut all = all.into_inner().expect("no panic");
    // The order of arrival is gone, as in the store of `collect`.
    all.sort_by_key(Received::trace);
    Ok(all)
}

fn of_week(installation: u64, spans: &[Span]) -> Vec<Received> {
    let is_of_week = |span: &&Span| {
        let start = span.start_unix_nano() / 1_000_000_000;
        span.parent_span_id().is_none() && (MONDAY + WEEK..MONDAY + 2 * WEEK).contains(&start)
    };
    let received = |span: &Span| {
        let of_trace: Vec<&Span> = spans.iter().filter(|other| other.trace_id() == span.trace_id()).collect();
        let cells = if span.is_count() { vec![cell_of(span)] } else { cells_of(span, &of_trace) };
        Received { installation, span: span.clone(), cells, spans: of_trace.len() }
    };
    spans.iter().filter(is_of_week).map(received).collect()
}

fn cell_of(count: &Span) -> String {
    let mut values: Vec<String> =
        count.attributes().iter().map(|(key, value)| format!("{key}={value}")).collect();
    values.sort();
    values.join(" ")
}

fn cells_of(run: &Span, spans: &[&Span]) -> Vec<String> {
    let text = |key: &str| run.attribute(key).map(ToString::to_string);
    let command = text("frob.command").unwrap_or_default();
    let mut cells = vec![format!("frob.command={command}")];
    cells.extend(text("error.type").map(|error| format!("error.type={error} frob.command={command}")));
    let version = run.resource_attribute("service.version").map(ToString::to_string).unwrap_or_default();
    cells.push(format!("service.version={}", if version == "1.0.0" { &version } else { "other" }));
    let code = text("process.exit.code").unwrap_or_default();
    cells.push(match &*code {
        "0" | "3" => format!("process.exit.code=\"{code}\""),
        _ => "process.exit.code=other".to_owned(),
    });
    if spans.iter().any(|span| span.attribute("frob.cached").is_some()) {
        cells.push(format!("frob.cached=true frob.command={command}"));
    }
    cells
}

/// How often the true candidates of a count stand before the others, over all counts that have both, and the number of
/// these counts.
fn order<'a>(
    counts: &[&'a Received],
    candidates: impl Fn(&Received) -> Vec<&'a Received>,
    method: fn(&Received, &Received) -> f64,
) -> (f64, usize) {
    let (mut sum, mut number) = (0.0, 0);
    for count in counts {
        let distances = candidates(count).into_iter().map(|other| (method(count, other), other.installation));
        let (own, others): (Vec<_>, Vec<_>) = distances.partition(|(_, of)| *of == count.installation);
        if own.is_empty() || others.is_empty() {
            continue;
        }
        let before = |own: f64| {
            let halves = others.iter().map(|(other, _)| match own.total_cmp(other) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 0.0,
            });
            halves.sum::<f64>() / others.len() as f64
        };
        sum += own.iter().map(|(own, _)| before(*own)).sum::<f64>() / own.len() as f64;
        number += 1;
    }
    (sum / number.max(1) as f64, number)
}

/// Tries all methods on one kind of pair. Returns a text with the best one.
fn attack<'a>(
    what: &str,
    counts: &[&'a Received],
    candidates: impl Fn(&Received) -> Vec<&'a Received>,
    methods: &[Method],
) -> Report {
    let mut best = (0.0, "", 0);
    for (name, method) in methods {
        let (share, number) = order(counts, &candidates, *method);
        let off = (share - 0.5).abs();
        // The share of one count is spread evenly between 0 and 1 if the method finds nothing.
        let error = (1.0 / 12.0 / number.max(1) as f64).sqrt();
        if number == 0 || off > MAX_ERRORS * error {
            return Err(format!("{what}: {name} finds pairs: {share:.4} ± {error:.4} of {number} counts"));
        }
        if off >= best.0 {
            best = (off, name, number);
        }
    }
    let (off, name, number) = best;
    Ok(format!(
        "{what}: best of {} methods: {name}, {:.1} % instead of 50 % ({number} counts)",
        methods.len(),
        50.0 + 100.0 * off
    ))
}

/// How often a guess among what fits by content is right: the mean over counts of own candidates by all candidates.
fn guess<'a>(counts: &[&'a Received], candidates: impl Fn(&Received) -> Vec<&'a Received>) -> f64 {
    let share = |count: &&Received| {
        let all = candidates(count);
        let own = all.iter().filter(|other| other.installation == count.installation).count();
        own as f64 / all.len().max(1) as f64
    };
    counts.iter().map(share).sum::<f64>() / counts.len().max(1) as f64
}

/// Looks for pairs among the spans of many installations.
pub(crate) fn between_counts_and_runs() -> Report {
    let installations = std::env::var("COUNTED_INSTALLATIONS").map_or(Ok(INSTALLATIONS), |number| {
        number.parse().map_err(|_| "COUNTED_INSTALLATIONS is no number".to_owned())
    })?;
    let received = receive(installations)?;
    let (counts, runs): (Vec<_>, Vec<_>) = received.iter().partition(|received| received.span.is_count());
    // A run in which the cell of the count occurred.
    let runs_of = |count: &Received| -> Vec<&Received> {
        runs.iter().filter(|run| run.cells.contains(&count.cells[0])).copied().collect()
    };
    // The count of another table that occurs most often in the same runs.
    let partners = partners(&runs);
    let counts_of = |count: &Received| -> Vec<&Received> {
        let partner = partners.get(&count.cells[0]);
        counts.iter().filter(|other| Some(&other.cells[0]) == partner).copied().collect()
    };
    let with_runs = attack("run and count", &counts, runs_of, &METHODS)?;
    let with_counts = attack("two counts", &counts, counts_of, &METHODS[..6])?;
    let alone = counts.iter().filter(|count| {
        let same = counts.iter().filter(|other| other.cells == count.cells);
        same.count() == 1
    });
    Ok(format!(
        "{installations} installations, {} runs, {} counts; {with_runs}; {with_counts}; a guess by content finds the run in \
         {:.2} %, and the other count in {:.2} %; {} counts of a cell that occurs once",
        runs.len(),
        counts.len(),
        100.0 * guess(&counts, runs_of),
        100.0 * guess(&counts, counts_of),
        alone.count(),
    ))
}

/// For each cell the cell of another table that occurs most often in the same runs.
fn partners(runs: &[&Received]) -> BTreeMap<String, String> {
    let table = |cell: &str| -> Vec<String> {
        cell.split(' ').filter_map(|part| part.split('=').next()).map(str::to_owned).collect()
    };
    let mut together: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for run in runs {
        for cell in &run.cells {
            for other in run.cells.iter().filter(|other| table(other) != table(cell)) {
                *together.entry(cell).or_default().entry(other).or_default() += 1;
            }
        }
    }
    let most = |(cell, others): (&str, BTreeMap<&str, u64>)| {
        let (other, _) = others.into_iter().max_by_key(|(_, number)| *number)?;
        Some((cell.to_owned(), other.to_owned()))
    };
    together.into_iter().filter_map(most).collect()
}
