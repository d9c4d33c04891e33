//! What is written for others: the site, with a copy of the ledger.

use std::path::Path;

use tool_telemetry_definition::DataPoints;

use crate::failure::Failure;
use crate::ledger::published::{INDEX, Index};
use crate::ledger::{Ledger, releases, withdrawals};
use crate::plan::Plan;
use crate::privacy::budget::Promise;
use crate::release::{Release, Withdrawal};
use crate::site::{Site, write as write_site};

/// Above everything else on a site whose noise a test chose.
const KNOWN: &str = "These numbers were made by a test: anyone can compute their noise.";

/// Writes the site of a ledger.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    ledger: &Ledger,
    tool: &str,
    newest: &DataPoints,
    plan: &Plan,
    out: &Path,
) -> Result<(), Failure> {
    let all: Vec<&Release> = releases(ledger.files()).collect();
    let gone: Vec<&Withdrawal> = withdrawals(ledger.files()).collect();
    let promise = Promise {
        epsilon: plan.epsilon,
        rho: plan.variance.rho(plan.counts),
        period: plan.period,
        retention_days: newest.publisher().map(|publisher| publisher.retention_days),
    };
    let index = Index::new(ledger.files()).text();
    let standing = ledger.files().iter().filter(|file| file.entry.is_some());
    let files: Vec<(&str, &[u8])> =
        standing.map(|file| (file.name.as_str(), &file.bytes[..])).chain([(INDEX, &index[..])]).collect();
    let is_known = all.iter().any(|release| release.noise_is_known);
    let site = Site {
        tool,
        definition: newest,
        opt_out_vars: &[],
        releases: &all,
        withdrawals: &gone,
        promise: &promise.to_string(),
        warning: is_known.then_some(KNOWN),
        ledger: &files,
    };
    write_site(&site, out).map_err(|error| Failure::usage(format!("the site cannot be written: {error}")))
}
