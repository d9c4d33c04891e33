//! `check`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tool_telemetry::command::check_policy;
use tool_telemetry_definition::{Audience, Change, DataPoints, Difference, compare};

use crate::definition_file::{diagnostics, read, read_valid};
use crate::error::Error;
use crate::exit_code::{COLLECTS_MORE, FAILURE, SUCCESS};
use crate::output;
use crate::wording::count;

/// Check a telemetry.toml and compare it with an earlier version, or check a machine's policy
///
/// Each error is printed with its line and a remedy. With --against, each difference is printed as new, wider,
/// narrower, gone, or reworded. A file named policy.toml is read as the policy of a machine, as every tool on the
/// machine reads it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:\n  \
    0  The file is valid, and nothing more is collected than before.\n  \
    1  The file has errors, or more is collected without notifying users: raise `since`.\n  \
    2  The arguments are wrong, or a file cannot be read.\n  \
    3  More is collected than before, and users are notified of new spans and data points first:\n     \
    a reviewer should approve it.")]
pub(crate) struct Arguments {
    /// The file to check
    file: PathBuf,
    /// An earlier version of the file, for example that of the last release
    #[arg(long, value_name = "OLD", conflicts_with = "policy")]
    against: Option<PathBuf>,
    /// Read the file as the policy of a machine, whatever its name is
    #[arg(long)]
    policy: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let file = arguments.file.as_path();
    let is_policy = file.file_name().is_some_and(|name| name.eq_ignore_ascii_case("policy.toml"));
    let (text, code) = match (arguments.policy || is_policy, &arguments.against) {
        (true, Some(_)) => {
            return Err(Error::usage(
                "--against compares the data points of two files, but a policy defines no data points.",
            ));
        }
        (true, None) => policy(file)?,
        (false, against) => definition(file, against.as_deref())?,
    };
    output::print(&text);
    Ok(ExitCode::from(code))
}

fn definition(file: &Path, against: Option<&Path>) -> Result<(String, u8), Error> {
    let definition = match read(file)? {
        Ok(definition) => definition,
        Err(errors) => {
            let total = count(errors.iter().count() as u64, "error");
            return Ok((format!("{}{total}\n", diagnostics(file, &errors)), FAILURE));
        }
    };
    let mut text = format!("{}: {}\n", file.display(), summary(definition));
    let Some(old) = against else {
        return Ok((text, SUCCESS));
    };
    let differences = compare(read_valid(old)?, definition);
    for difference in &differences {
        text.push_str(&format!("{difference}\n"));
    }
    let code = exit_code(&differences);
    text.push_str(match code {
        FAILURE => "More is collected than before, and users are not notified of some of it. Raise `since` of each such entry.\n",
        COLLECTS_MORE => "More is collected than before. Users are notified of new spans and data points before they are recorded.\n",
        _ if differences.is_empty() => "Nothing changed.\n",
        _ => "Nothing more is collected than before.\n",
    });
    Ok((text, code))
}

fn exit_code(differences: &[Difference]) -> u8 {
    if differences.iter().any(|difference| difference.is_unannounced) {
        FAILURE
    } else if differences.iter().any(|difference| matches!(difference.change, Change::New | Change::Wider)) {
        COLLECTS_MORE
    } else {
        SUCCESS
    }
}

fn summary(definition: &DataPoints) -> String {
    let (spans, data_points) = (definition.spans, &definition.data_points);
    let for_operators = spans.iter().filter(|span| span.audience == Audience::Operator).count()
        + data_points.iter().filter(|data_point| data_point.audience == Audience::Operator).count();
    let mut text = format!(
        "{} and {}",
        count(data_points.len() as u64, "data point"),
        count(spans.len() as u64, "span")
    );
    if for_operators > 0 {
        text.push_str(&format!(", {for_operators} of them for operators only"));
    }
    text.push_str("; no errors");
    if definition.publisher.is_none() {
        text.push_str(". Without a [publisher], the tool cannot have an endpoint of its own");
    }
    text
}

/// Checks the policy of a machine, as the tools on the machine read it.
fn policy(file: &Path) -> Result<(String, u8), Error> {
    std::fs::symlink_metadata(file)
        .map_err(|error| Error::file("read", file, &error, "Name the policy of a machine."))?;
    let checked = check_policy(file);
    if checked.errors.is_empty() {
        let scope = if checked.is_for_all { "every tool" } else { "no tool in general" };
        let tools = count(checked.tools.len() as u64, "tool");
        let text = format!("{}: a policy for {scope}, and for {tools} by name; no errors\n", file.display());
        return Ok((text, SUCCESS));
    }
    let mut text = String::new();
    for error in &checked.errors {
        text.push_str(&match error.line() {
            0 => format!("{}: {}\n", file.display(), error.message()),
            line => format!("{}:{line}: {}\n", file.display(), error.message()),
        });
    }
    let errors = count(checked.errors.len() as u64, "error");
    text.push_str(&format!("{errors}; telemetry is off for the tools that the errors concern\n"));
    Ok((text, FAILURE))
}
