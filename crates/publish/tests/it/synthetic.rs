//! Synthetic releases: numbers that look like those of a tool, from a fixed sequence and from no installation.

use std::f64::consts::PI;

use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::Value;
use tool_telemetry_definition::{Count, DataPoints, ERROR_TYPE, ERROR_TYPES, Kind, Period, SERVICE_VERSION};
use tool_telemetry_publish::privacy::budget::{DELTA, Promise, Variance, rho};
use tool_telemetry_publish::release::{Cell, Privacy, Release, Table, Withdrawal};
use tool_telemetry_publish::site::Site;

/// ε of a period, and the most counts of one installation.
const EPSILON: f64 = 2.0;
const COUNTS: u32 = 25;
/// The newest week.
const LAST: Date = Date::constant(2026, 10, 19);

/// Weeks of the site in `examples/dotnet/published`.
pub(crate) const WEEKS: usize = 64;
/// What the example tool's site says above everything else.
pub(crate) const WARNING: &str =
    "These numbers are synthetic. They show what such a page looks like, and come from no installation.";
/// What a site is made of.
pub(crate) struct Ledger {
    pub(crate) releases: Vec<Release>,
    pub(crate) withdrawals: Vec<Withdrawal>,
}

impl Ledger {
    /// As many weeks as asked for, the last one that of 19 October 2026. Of many weeks, one is corrected and one withdrawn.
    pub(crate) fn new(definition: &DataPoints, weeks: usize) -> Self {
        let mut releases: Vec<Release> = (0..weeks).rev().map(|ago| release(definition, ago)).collect();
        let mut withdrawals = Vec::new();
        if weeks > 40 {
            let corrected = &mut releases[weeks - 15];
            corrected.number = 2;
            corrected.correction =
                Some("A load test on the publisher's own machines was counted.".to_owned());
            let gone = releases.remove(weeks - 34);
            withdrawals.push(Withdrawal {
                format: 1,
                tool: gone.tool,
                start: gone.start,
                days: gone.days,
                number: gone.number,
                reason: "The version of that week counted each command twice.".to_owned(),
                withdrawn: "2026-05-11".to_owned(),
                previous: None,
                rho: gone.privacy.rho,
                file: String::new(),
                sha256: String::new(),
            });
        }
        Self { releases, withdrawals }
    }

    /// Calls `write` with the site of these numbers.
    pub(crate) fn site<T>(&self, definition: &DataPoints, write: impl FnOnce(&Site<'_>) -> T) -> T {
        let releases: Vec<&Release> = self.releases.iter().collect();
        let withdrawals: Vec<&Withdrawal> = self.withdrawals.iter().collect();
        let promise = Promise {
            epsilon: EPSILON,
            rho: variance().rho(COUNTS),
            period: Period::Week,
            retention_days: definition.publisher.map(|publisher| publisher.retention_days),
        };
        let promise = promise.to_string();
        write(&Site {
            tool: definition.tool.unwrap_or("frob"),
            definition,
            opt_out_vars: &[],
            releases: &releases,
            withdrawals: &withdrawals,
            promise: &promise,
            warning: Some(WARNING),
            ledger: &[],
        })
    }
}

fn variance() -> Variance {
    Variance::at_rho(COUNTS, rho(EPSILON))
}

fn release(definition: &DataPoints, weeks_ago: usize) -> Release {
    let start = LAST.saturating_sub((weeks_ago as i64).weeks());
    let variance = variance();
    let tables =
        definition.counts.iter().map(|count| table(definition, count, weeks_ago as f64 / 52.0, start));
    Release {
        format: 1,
        tool: definition.tool.unwrap_or("frob").to_owned(),
        start: start.to_string(),
        days: 7,
        number: 1,
        correction: None,
        released: start.saturating_add(35.days()).to_string(),
        previous: None,
        data_points: vec![definition.content_hash.to_owned()],
        privacy: Privacy {
            epsilon: EPSILON,
            delta: DELTA,
            rho: variance.rho(COUNTS),
            counts_per_installation: COUNTS,
            sigma: variance.sigma(),
            variance: variance.number(),
        },
        rejected: [100, 10, 0, 1][weeks_ago % 4],
        noise_is_known: true,
        tables: tables.collect(),
    }
}

fn table(definition: &DataPoints, count: &Count, years: f64, start: Date) -> Table {
    let lists: Vec<Vec<Value>> = count.of.iter().map(|key| values(definition, count, key)).collect();
    let mut cells: Vec<Vec<Value>> = vec![Vec::new()];
    for list in &lists {
        cells = cells
            .iter()
            .flat_map(|cell| list.iter().map(move |value| cell.iter().chain([value]).cloned().collect()))
            .collect();
    }
    let is_open = !count.releases.is_empty() || !count.values.is_empty();
    let threshold = variance().threshold(is_open);
    let cell = |values: Vec<Value>| {
        let number = installations(definition, count, &values, years, start);
        let noise = normal(&format!("{start}{:?}{values:?}", count.of)) * variance().sigma();
        let number = (number + noise).max(0.0) as u64;
        Cell { values, installations: (number >= threshold).then_some((number + 2) / 5 * 5) }
    };
    Table {
        of: count.of.iter().map(|key| (*key).to_owned()).collect(),
        at_most: count.at_most.into(),
        threshold,
        cells: cells.into_iter().map(cell).collect(),
    }
}

fn values(definition: &DataPoints, count: &Count, key: &str) -> Vec<Value> {
    let texts = |list: &[&str], with_other| {
        let other = if with_other { Some(&"other") } else { None };
        list.iter().chain(other).map(|value| Value::from(*value)).collect()
    };
    match definition.keyed(key).map(|data_point| data_point.kind) {
        _ if key == ERROR_TYPE => texts(&ERROR_TYPES, false),
        _ if key == SERVICE_VERSION => texts(count.releases, true),
        Some(Kind::Bool) => vec![false.into(), true.into()],
        Some(Kind::Integer { min, max }) => (min..=max).map(Value::from).collect(),
        Some(Kind::Command(values) | Kind::Set(values)) => texts(values, true),
        _ => texts(count.values, true),
    }
}

/// How many installations a cell has before noise: growth over the years, holidays, and something of the cell's own.
fn installations(definition: &DataPoints, count: &Count, values: &[Value], years: f64, start: Date) -> f64 {
    let growth = 14_000.0 * 0.72_f64.powf(years);
    let holidays = match (start.month(), start.day()) {
        (12, 20..) => 0.62,
        (12, 13..) | (1, 1..=4) => 0.86,
        (7, 5..) | (8, 1..=20) => 0.9,
        (6, 20..) | (7 | 8, _) => 0.95,
        _ => 1.0,
    };
    let mut share = 1.0;
    for (key, value) in count.of.iter().zip(values) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let list = self::values(definition, count, key);
        let place = list.iter().position(|listed| listed == value).unwrap_or_default() as f64;
        let count = list.len() as f64;
        share *= match *key {
            ERROR_TYPE => failure(&text, values, start),
            // A new version takes over within a quarter; a listed framework grows or fades.
            SERVICE_VERSION if text == "other" => 0.02 + 0.9 / (1.0 + (0.9 - years).mul_add(9.0, 0.0).exp()),
            SERVICE_VERSION => {
                let born = (count - 2.0 - place) * 0.45 + 0.15;
                let taken = 1.0 / (1.0 + ((years - born) * 22.0).exp());
                let gone = 1.0 / (1.0 + ((years - born + 0.45) * 22.0).exp());
                (taken - gone * 0.93).max(0.004)
            }
            _ if text == "other" => 0.012,
            key if key.ends_with("framework") => {
                let peak = 3.0 - place * 0.75;
                0.75 * (-((years - peak) / 1.3).powi(2)).exp() + 0.012
            }
            _ => {
                let share = rank(&text).unwrap_or_else(|| 0.66_f64.powf((place * 5.0) % count));
                0.86 * share * drift(&text, years)
            }
        };
    }
    let jitter = normal(&format!("{start}{values:?}")).mul_add(0.02, 1.0);
    growth * holidays * share * jitter
}

/// How common the example tool's commands are beside each other.
fn rank(text: &str) -> Option<f64> {
    Some(match text {
        "build" => 1.0,
        "restore" => 0.74,
        "run" => 0.63,
        "test" => 0.41,
        "new" => 0.27,
        "publish" => 0.15,
        "pack" => 0.06,
        _ => return None,
    })
}

fn drift(text: &str, years: f64) -> f64 {
    (hash(text) as f64 / u64::MAX as f64 - 0.5).mul_add(-0.4 * years, 1.0).clamp(0.25, 2.0)
}

/// The share of installations on which a command failed, with a bad release in March 2026.
fn failure(kind: &str, values: &[Value], start: Date) -> f64 {
    let command = values.first().and_then(Value::as_str).unwrap_or_default();
    let base = match command {
        "test" => 0.43,
        "build" => 0.31,
        "run" => 0.17,
        "restore" => 0.11,
        _ => 0.05,
    };
    let days = start.since(Date::constant(2026, 3, 9)).map_or(0, |span| span.get_days());
    let bad = if command == "restore" && (0..42).contains(&days) { 2.8 } else { 1.0 };
    if kind == "cut_off" { base * 0.09 } else { base * bad }
}

/// FNV-1a, and a finish that spreads it: the same text always gives the same number.
fn hash(text: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    for shift in [33, 29, 32] {
        hash = (hash ^ (hash >> shift)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }
    hash ^ (hash >> 31)
}

/// A number of the normal distribution with the standard deviation 1.
fn normal(text: &str) -> f64 {
    let unit = |salt: &str| (hash(&format!("{salt}{text}")) >> 11) as f64 / (1_u64 << 53) as f64;
    (-2.0 * (1.0 - unit("a")).ln()).sqrt() * (2.0 * PI * unit("b")).cos()
}
