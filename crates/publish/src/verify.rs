//! What anyone can check of a published ledger, without the store.

use std::path::Path;

use crate::calendar::Interval;
use crate::failure::Failure;
use crate::ledger::published::{INDEX, Index};
use crate::ledger::{self, LedgerFile};
use crate::privacy::budget::{self, Variance};
use crate::publication::ROUNDING;
use crate::release::{Release, Withdrawal};
use crate::site::misstatements;

/// What nobody can check from outside.
pub const NOT_CHECKED: [&str; 5] = [
    "that the counts were true: anyone may send reports, and the publisher may add or leave out any",
    "that the noise was drawn, and from the operating system's randomness",
    "that it was drawn once: a publisher may keep a second ledger and choose between the two",
    "that installations ran the unmodified sender, which counts each cell once a period",
    "what a withdrawn file said",
];

/// What was found in a ledger.
#[derive(Debug)]
pub struct Report {
    /// Files, also withdrawn ones.
    pub files: Vec<LedgerFile>,
    /// What is wrong, each with the file that it concerns.
    pub wrong: Vec<String>,
}

/// Checks the ledger in a directory, or a site with a directory `ledger`: its data and its page too.
///
/// # Errors
/// If there is none, or if its files do not follow each other.
pub fn verify(directory: &Path) -> Result<Report, Failure> {
    let (site, inside) = (directory, directory.join("ledger"));
    let has_site = inside.is_dir();
    let directory = if has_site { inside } else { directory.to_owned() };
    let files = ledger::read(&directory)?;
    if files.is_empty() {
        return Err(Failure::usage(format!("there is no ledger in {}", directory.display())));
    }
    let mut wrong = Vec::new();
    for file in &files {
        if let Some(release) = file.release() {
            let of_file = check_release(release, &files);
            wrong.extend(of_file.into_iter().map(|what| format!("{}: {what}", file.name)));
        }
    }
    wrong.extend(check_periods(&files));
    wrong.extend(check_withdrawals(&files));
    if has_site {
        wrong.extend(check_site(&files, site)?);
    }
    if let Ok(text) = std::fs::read(directory.join(INDEX))
        && text != Index::new(&files).text()
    {
        wrong.push(format!("{INDEX} does not list the files that are there"));
    }
    Ok(Report { files, wrong })
}

/// The data and the page of a site, which its releases alone decide.
fn check_site(files: &[LedgerFile], site: &Path) -> Result<Vec<String>, Failure> {
    let releases: Vec<&Release> = ledger::releases(files).collect();
    let withdrawals: Vec<&Withdrawal> = ledger::withdrawals(files).collect();
    let tool = files.iter().find_map(|file| Some(file.entry.as_ref()?.tool())).unwrap_or_default();
    misstatements(tool, &releases, &withdrawals, site)
        .map_err(|error| Failure::failed(format!("the releases cannot be shown: {error}")))
}

/// The file and the parameters of a release.
fn check_release(release: &Release, files: &[LedgerFile]) -> Vec<String> {
    let mut wrong = Vec::new();
    if release.format != 1 {
        wrong.push(format!("its format is {}", release.format));
    }
    if Interval::parse(&release.start, release.days).is_none_or(|interval| {
        release.released.parse::<jiff::civil::Date>().map_or(true, |day| day < interval.due())
    }) {
        wrong.push("it is not of a period, or was released before the period closed".to_owned());
    }
    if release.noise_is_known {
        wrong.push("its noise is known: it was made by a test".to_owned());
    }
    if release.correction.is_some() != (release.number == 2) || !(1..=2).contains(&release.number) {
        wrong.push("it is neither a first release nor the one correction".to_owned());
    }
    wrong.extend(check_parameters(release, files));
    wrong.extend(check_tables(release));
    wrong
}

/// From the variance to ρ, σ, and ε.
fn check_parameters(release: &Release, files: &[LedgerFile]) -> Vec<String> {
    let stated = &release.privacy;
    let Some(variance) = Variance::of(stated.variance) else {
        return vec!["its variance is not a multiple of 0.001".to_owned()];
    };
    let mut wrong = Vec::new();
    let counts: u32 = release.tables.iter().map(|table| table.at_most).sum();
    if counts != stated.counts_per_installation {
        wrong.push(format!(
            "its tables take {counts} counts of an installation, not {}",
            stated.counts_per_installation
        ));
    }
    let rho = variance.rho(counts);
    if !is_near(rho, stated.rho) || (variance.sigma() - stated.sigma).abs() > 1e-3 {
        wrong.push(format!("its variance gives ρ = {rho} and σ = {}", variance.sigma()));
    }
    let spent = rho + if release.number == 2 { rho_of_first(release, files) } else { 0.0 };
    let epsilon = budget::epsilon(spent);
    if stated.delta.to_bits() != budget::DELTA.to_bits() || epsilon > stated.epsilon {
        wrong.push(format!("its noise gives ε = {epsilon} at δ = {}, not {}", budget::DELTA, stated.epsilon));
    }
    wrong
}

/// ρ of the first release of a corrected period.
fn rho_of_first(correction: &Release, files: &[LedgerFile]) -> f64 {
    let is_of = |start: &str, number: u32| start == correction.start && number == 1;
    let standing = ledger::releases(files)
        .filter(|release| is_of(&release.start, release.number))
        .map(|release| release.privacy.rho);
    let withdrawn =
        ledger::withdrawals(files).filter(|gone| is_of(&gone.start, gone.number)).map(|gone| gone.rho);
    // A correction without a first release spends what no ε states.
    standing.chain(withdrawn).next().unwrap_or(f64::INFINITY)
}

fn check_tables(release: &Release) -> Vec<String> {
    let mut wrong = Vec::new();
    for table in &release.tables {
        let name = table.of.join(" and ");
        let thresholds = Variance::of(release.privacy.variance)
            .map(|variance| [false, true].map(|is_open| variance.threshold(is_open)));
        if thresholds.is_none_or(|thresholds| !thresholds.contains(&table.threshold)) {
            wrong.push(format!("the threshold of {name} is {}", table.threshold));
        }
        let mut cells: Vec<String> =
            table.cells.iter().map(|cell| crate::plan::cell_text(&cell.values)).collect();
        cells.sort_unstable();
        cells.dedup();
        let is_complete = table.cells.iter().all(|cell| cell.values.len() == table.of.len());
        if cells.len() != table.cells.len() || !is_complete {
            wrong.push(format!("a cell of {name} is there twice, or does not have its keys"));
        }
        let step = ROUNDING.unsigned_abs();
        let is_published = |number: u64| number.is_multiple_of(step) && number + step / 2 >= table.threshold;
        if !table.cells.iter().filter_map(|cell| cell.installations).all(is_published) {
            wrong.push(format!("a number of {name} is not a multiple of {step}, or below its threshold"));
        }
    }
    wrong
}

/// One release a period, periods one after the other, and one correction each.
fn check_periods(files: &[LedgerFile]) -> Vec<String> {
    let closed = ledger::closed(files);
    let mut wrong = Vec::new();
    for pair in closed.windows(2) {
        let [(before, first), (after, second)] = pair else { continue };
        let start = after.start();
        if before == after {
            if (*first, *second) != (1, 2) {
                wrong.push(format!("the period of {start} was released twice"));
            }
        } else if before.overlaps(*after) {
            wrong.push(format!("the period of {start} overlaps the one before it"));
        } else if before.period() == after.period() && before.end() != start {
            wrong.push(format!("a period before {start} was skipped"));
        }
    }
    wrong
}

fn check_withdrawals(files: &[LedgerFile]) -> Vec<String> {
    let is_kept =
        |gone: &&Withdrawal| files.iter().any(|file| file.entry.is_some() && file.sha256 == gone.sha256);
    ledger::withdrawals(files)
        .filter(is_kept)
        .map(|gone| format!("{} was withdrawn, but is still there", gone.file))
        .collect()
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}
