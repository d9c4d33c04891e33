//! Reads a `telemetry.toml`.

use std::path::Path;

use tool_telemetry_definition::{Definition, Faults};

use crate::fault::Fault;

/// Larger than any file with 64 spans and 64 data points of 250 members.
const LARGEST: u64 = 4 << 20;

/// The data points that are taken if none are named.
const USUAL_FILE: &str = "telemetry.toml";

/// The data points that were named, or those in this folder.
pub(crate) fn usual_or_named(named: Option<&Path>) -> Result<Option<Definition>, Fault> {
    match named {
        Some(path) => read_clean(path).map(Some),
        None if Path::new(USUAL_FILE).is_file() => read_clean(Path::new(USUAL_FILE)).map(Some),
        None => Ok(None),
    }
}

/// What a file says, or what is wrong with what it says.
pub(crate) fn read(path: &Path) -> Result<Result<Definition, Faults>, Fault> {
    Ok(Definition::parse(&text(path)?))
}

/// What a file says; its faults end the program.
pub(crate) fn read_clean(path: &Path) -> Result<Definition, Fault> {
    read(path)?.map_err(|faults| {
        Fault::content(format!(
            "{}{} cannot be used before that is put right.",
            told(path, &faults),
            path.display()
        ))
    })
}

/// Each fault as compilers tell theirs, so that editors find the place.
pub(crate) fn told(path: &Path, faults: &Faults) -> String {
    faults
        .iter()
        .map(|fault| format!("{}:{}:{}: {}\n", path.display(), fault.line(), fault.column(), fault.message()))
        .collect()
}

fn text(path: &Path) -> Result<String, Fault> {
    let advice = "Name the telemetry.toml in the tool's source.";
    let unreadable = |error| Fault::file("read", path, &error, advice);
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > LARGEST {
        return Err(Fault::usage(format!(
            "{} has {length} bytes, which no telemetry.toml has. {advice}",
            path.display()
        )));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
