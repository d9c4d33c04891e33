//! The site: one directory of static files, made of releases and of nothing else.
//!
//! - `timeline` finds what is in effect of each period, after corrections and withdrawals.
//! - `series` turns tables of releases into rows over time.
//! - `chart` computes the geometry of a chart, `page` the text around it, and the templates print both.
//! - `data` writes each table as CSV, JSON, and Parquet, and `metadata` describes these files for other programs.
//! - `shown` reads the numbers of a page back, for `verify`.
//! - `files` puts everything in place, one whole file after the other.
//!
//! Nothing here reads a clock, an environment, or a network: the same releases give the same bytes.

mod chart;
mod data;
mod data_table;
mod file;
mod files;
mod labels;
mod metadata;
mod page;
mod parquet;
mod section;
mod series;
mod shown;
mod timeline;

use std::io;
use std::path::Path;

use tool_telemetry_definition::{DataPoints, Publisher};

use self::file::File;
use self::timeline::Timeline;
use crate::release::{Release, Withdrawal};

/// What a site shows of one tool.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The tool, as users type it.
    pub tool: &'a str,
    /// The newest telemetry.toml: its publisher signs the site, and its sentences explain the numbers.
    pub definition: &'a DataPoints,
    /// Environment variables of the tool's own that opt out, in addition to those that every tool has.
    pub opt_out_vars: &'a [&'a str],
    /// All releases of the ledger, in any order. Of each period the one with the highest number is in effect.
    pub releases: &'a [&'a Release],
    /// What was withdrawn, and why.
    pub withdrawals: &'a [&'a Withdrawal],
    /// The sentence that says what the noise promises.
    pub promise: &'a str,
    /// A warning above everything else, such as that the numbers are synthetic.
    pub warning: Option<&'a str>,
    /// The files of the ledger, each with its name and its bytes, which the site copies into its directory `ledger`.
    pub ledger: &'a [(&'a str, &'a [u8])],
}

/// Writes the site of a tool to a directory.
///
/// A directory that does not exist appears as a whole. In a directory that already holds a site of the same tool, each file
/// is replaced as a whole, the page last, and data files of tables that no longer exist are deleted.
///
/// # Errors
/// If `out` holds anything but a site of the same tool, if a release cannot be shown (another tool's, an invalid date, or a
/// text that telemetry.toml does not admit), if the definition names no publisher, or if a file cannot be written.
pub fn write(site: &Site<'_>, out: &Path) -> io::Result<()> {
    let publisher =
        site.definition.publisher().ok_or_else(|| invalid("telemetry.toml names no publisher"))?;
    files::put(site.tool, &metadata::package_name(site.tool), &content(site, publisher)?, out)
}

/// All files of the site with their paths, the page last.
fn content(site: &Site<'_>, publisher: &Publisher) -> io::Result<Vec<File>> {
    let timeline = Timeline::new(site)?;
    let series = series::tables(&timeline);
    let tables = data::tables(&timeline, &series);
    let data = data::files(&tables)?;
    let description =
        metadata::Description { site, publisher, timeline: &timeline, tables: &tables, files: &data };
    let json_ld = metadata::json_ld(&description);
    let after = [
        File::new("datapackage.json", metadata::data_package(&description)),
        File::new("croissant.json", metadata::croissant(&description)),
        File::new("LICENSE", metadata::licence(&description)),
        File::new("style.css", include_str!("../../templates/site/style.css")),
        File::new("index.html", page::render(site, &description, &series, &json_ld)?),
    ];
    let ledger = site.ledger.iter().map(|(name, bytes)| File::new(format!("ledger/{name}"), *bytes));
    Ok(ledger.chain(data).chain(after).collect())
}

/// What a site says that its ledger does not: files of `data/`, and numbers and shares on its page, each in words.
///
/// # Errors
/// If a release cannot be shown.
pub fn misstatements(
    tool: &str,
    releases: &[&Release],
    withdrawals: &[&Withdrawal],
    directory: &Path,
) -> io::Result<Vec<String>> {
    let site = Site {
        tool,
        definition: &DataPoints::EMPTY,
        opt_out_vars: &[],
        releases,
        withdrawals,
        promise: "",
        warning: None,
        ledger: &[],
    };
    let timeline = Timeline::new(&site)?;
    let series = series::tables(&timeline);
    let data = data::files(&data::tables(&timeline, &series))?;
    let mut wrong = files::differences(&data, "data", directory);
    match std::fs::read_to_string(directory.join("index.html")) {
        Ok(page) => {
            let sections = section::sections(&DataPoints::EMPTY, &timeline, &series);
            let shown = shown::misstated(&sections, &page);
            wrong.extend(shown.into_iter().map(|what| format!("index.html: {what}")));
        }
        Err(error) => wrong.push(format!("index.html cannot be read: {error}")),
    }
    Ok(wrong)
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
