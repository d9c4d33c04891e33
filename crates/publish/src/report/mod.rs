//! The internal report: exact numbers for the tool's author. Every file says that it is not for publication, and nothing
//! here writes to a ledger or to a site.
//!
//! - `content` is what a report says.
//! - `durations` finds quantiles in histograms.
//! - `tables` turns cells into rows over weeks.
//! - `page` prints them, and the templates are in `templates/report`.
//! - `data` writes the same numbers as CSV.
//! - `files` puts everything in place, readable by its owner alone.

mod content;
mod data;
pub mod durations;
mod file;
mod files;
mod page;
mod tables;

use std::path::Path;

use crate::failure::Failure;

pub use content::{Installations, Published, Report};
pub use files::MARK;

/// Writes a report to a directory, which is made, or which holds an earlier report.
///
/// # Errors
/// If the directory holds anything else or lies in a site, or if a file cannot be written.
pub fn write(report: &Report<'_>, out: &Path) -> Result<(), Failure> {
    let mut all = data::files(report)?;
    all.push(file::ReportFile::new("index.html", page::render(report)?));
    files::put(&all, out)
}
