//! `check`: what a reviewer needs.

use tool_telemetry::command::check_policy;
use tool_telemetry_definition::{Audience, Change, Definition, Difference, compare};

use crate::Answer;
use crate::arguments::{CheckArguments, FAULTS, FINE, WIDER};
use crate::data_points_file::{read, read_clean, told};
use crate::fault::Fault;

pub(crate) fn run(arguments: &CheckArguments) -> Result<Answer, Fault> {
    let is_policy = arguments.file.file_name().is_some_and(|name| name.eq_ignore_ascii_case("policy.toml"));
    if arguments.policy || is_policy {
        return policy(arguments);
    }
    let definition = match read(&arguments.file)? {
        Ok(definition) => definition,
        Err(faults) => {
            let count = faults.iter().count();
            let text = format!("{}{}\n", told(&arguments.file, &faults), counted(count, "fault"));
            return Ok(Answer { text, code: FAULTS });
        }
    };
    let mut text = format!("{}: {}\n", arguments.file.display(), summary(&definition));
    let mut code = FINE;
    if let Some(old) = &arguments.against {
        let differences = compare(&read_clean(old)?, &definition);
        code = judge(&differences);
        for difference in &differences {
            text.push_str(&format!("{difference}\n"));
        }
        text.push_str(match code {
            FAULTS => "More is collected than before, and nobody is told of some of it: raise the `since` of each such entry.\n",
            WIDER => "More is collected than before. People are told before it is recorded.\n",
            _ if differences.is_empty() => "Nothing changed.\n",
            _ => "Nothing more is collected than before.\n",
        });
    }
    Ok(Answer { text, code })
}

/// The policy of a machine, as the tools on it read it.
fn policy(arguments: &CheckArguments) -> Result<Answer, Fault> {
    let path = &arguments.file;
    if arguments.against.is_some() {
        return Err(Fault::usage("--against compares data points; a policy has none to compare."));
    }
    std::fs::symlink_metadata(path)
        .map_err(|error| Fault::file("read", path, &error, "Name the policy of a machine."))?;
    let checked = check_policy(path);
    let mut text: String = checked
        .errors
        .iter()
        .map(|fault| match fault.line() {
            0 => format!("{}: {}\n", path.display(), fault.message()),
            line => format!("{}:{line}: {}\n", path.display(), fault.message()),
        })
        .collect();
    if !checked.errors.is_empty() {
        let count = counted(checked.errors.len(), "fault");
        text.push_str(&format!("{count}; telemetry is off for the tools that it concerns\n"));
        return Ok(Answer { text, code: FAULTS });
    }
    let all = if checked.is_for_all { "every tool" } else { "no tool in general" };
    let tools = counted(checked.tools.len(), "tool");
    Ok(format!("{}: a policy for {all}, and for {tools} by name; no fault\n", path.display()).into())
}

fn judge(differences: &[Difference]) -> u8 {
    if differences.iter().any(|difference| difference.is_untold) {
        FAULTS
    } else if differences.iter().any(|difference| matches!(difference.change, Change::New | Change::Wider)) {
        WIDER
    } else {
        FINE
    }
}

fn summary(definition: &Definition) -> String {
    let (spans, data_points) = (&definition.spans, &definition.data_points);
    let of_operators = spans.iter().filter(|span| span.audience == Audience::Operator).count()
        + data_points.iter().filter(|data_point| data_point.audience == Audience::Operator).count();
    let mut text =
        format!("{} and {}", counted(data_points.len(), "data point"), counted(spans.len(), "span"));
    if of_operators > 0 {
        text.push_str(&format!(", {of_operators} of them for operators only"));
    }
    text.push_str("; no fault");
    if definition.publisher.is_none() {
        text.push_str(". There is no [publisher]: the tool can have no endpoint of its own");
    }
    text
}

/// `1 fault`, `2 faults`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
