//! Reads a `telemetry.toml`.

use std::path::Path;

use tool_telemetry_definition::{DataPoints, ParseErrors};

use crate::error::Error;

/// Larger than any file with 64 spans and 64 data points of 250 members each.
const MAX_SIZE: u64 = 4 << 20;

/// The file that is read if the arguments name none.
const DEFAULT_FILE: &str = "telemetry.toml";

/// The named definition, or the one in the current directory if there is one.
pub(crate) fn named_or_default(named: Option<&Path>) -> Result<Option<&'static DataPoints>, Error> {
    match named {
        Some(path) => read_valid(path).map(Some),
        None if Path::new(DEFAULT_FILE).is_file() => read_valid(Path::new(DEFAULT_FILE)).map(Some),
        None => Ok(None),
    }
}

/// Reads a definition that may have errors.
pub(crate) fn read(path: &Path) -> Result<Result<&'static DataPoints, ParseErrors>, Error> {
    Ok(DataPoints::parse(&read_text(path)?))
}

/// Reads a definition; its errors end the program.
pub(crate) fn read_valid(path: &Path) -> Result<&'static DataPoints, Error> {
    read(path)?.map_err(|errors| {
        Error::content(format!("{}Fix {} first.", diagnostics(path, &errors), path.display()))
    })
}

/// One line per error, in the format of compilers, so that editors can jump to the place.
pub(crate) fn diagnostics(path: &Path, errors: &ParseErrors) -> String {
    errors
        .iter()
        .map(|error| format!("{}:{}:{}: {}\n", path.display(), error.line(), error.column(), error.message()))
        .collect()
}

/// Reads the text of a definition, unless it is too large.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let advice = "Name the telemetry.toml in the tool's source code.";
    let unreadable = |error| Error::file("read", path, &error, advice);
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_SIZE {
        return Err(Error::usage(format!(
            "{} has {size} bytes, which is too large for a telemetry.toml. {advice}",
            path.display()
        )));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
