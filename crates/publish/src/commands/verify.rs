//! `verify`: checks what was published, as anyone can.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::failure::Failure;
use crate::ledger::{releases, withdrawals};
use crate::verify::{NOT_CHECKED, verify};

/// Check a published site, or a ledger
///
/// Checks the hashes, what each file may hold, that the noise's parameters give the stated ε, that each period was released
/// once, and that no number is below its threshold; of a site also that its data files, and the numbers and shares on its page,
/// are those of the ledger. Prints what it cannot check.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all is right; 1 something is wrong; 2 there is nothing to check.")]
pub struct VerifyArguments {
    /// The directory of the site, or of the ledger
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &VerifyArguments) -> Result<ExitCode, Failure> {
    let report = verify(&arguments.directory)?;
    let mut text = format!(
        "{} files, {} releases, {} withdrawals\n",
        report.files.len(),
        releases(&report.files).count(),
        withdrawals(&report.files).count()
    );
    for release in releases(&report.files) {
        let privacy = &release.privacy;
        text.push_str(&format!(
            "{} {} days, release {}: ε {} at δ {}, Σm {}, σ {}\n",
            release.start,
            release.days,
            release.number,
            privacy.epsilon,
            privacy.delta,
            privacy.counts_per_installation,
            privacy.sigma
        ));
    }
    for wrong in &report.wrong {
        text.push_str(&format!("WRONG: {wrong}\n"));
    }
    text.push_str(if report.wrong.is_empty() { "All is right. " } else { "" });
    text.push_str("Nobody can check from outside:\n");
    for not_checked in NOT_CHECKED {
        text.push_str(&format!("- {not_checked}\n"));
    }
    stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::usage(format!("the output cannot be written: {error}")))?;
    Ok(ExitCode::from(u8::from(!report.wrong.is_empty())))
}
