//! What a value may be, as a condition of OTTL.

use tool_telemetry_definition::{Count, DataPoint, DataPoints, ERROR_TYPE, ERROR_TYPES, Kind, OTHER};

use super::ottl::{literal, matches, one_of, version};

/// Holds if the path has a value that the data point approves, in the one way in which the library writes it.
pub(super) fn is_admitted(data_point: &DataPoint, path: &str) -> String {
    match &data_point.kind {
        Kind::Bool => format!("IsBool({path})"),
        Kind::Integer { min, max } => is_between(path, *min, *max),
        // Of any platform. Windows has 32 bits, read as signed or unsigned.
        Kind::ExitCode => is_between(path, i64::from(i32::MIN), i64::from(u32::MAX)),
        Kind::Command(members) | Kind::Set(members) => is_listed(path, members),
        Kind::Version => matches(path, &format!("{}|{OTHER}", version())),
        Kind::Moniker { prefixes, suffixes } => {
            let prefix = one_of(prefixes.iter().copied());
            let suffix: String = suffixes.iter().map(|suffix| format!("|{}", literal(suffix))).collect();
            matches(path, &format!("(?:{prefix}){}(?:{suffix})|{OTHER}", version()))
        }
    }
}

/// Holds if the path has a value of the key that the table counts.
pub(super) fn is_counted(table: &Count, definition: &DataPoints, key: &str, path: &str) -> String {
    if key == ERROR_TYPE {
        return is_error_type(path);
    }
    match (table.listed(definition, key), definition.keyed(key)) {
        // Against a list every value is a text, also a number.
        (Some(list), _) => is_listed(path, list),
        (None, Some(data_point)) => is_admitted(data_point, path),
        (None, None) => "false".to_owned(),
    }
}

/// Holds if the path has a value of `error.type`.
pub(super) fn is_error_type(path: &str) -> String {
    matches(path, &one_of(ERROR_TYPES))
}

fn is_listed(path: &str, list: &[&'static str]) -> String {
    matches(path, &one_of(list.iter().copied().chain([OTHER])))
}

/// A comparison alone would also hold for a double.
fn is_between(path: &str, min: i64, max: i64) -> String {
    // OTTL reads the digits before the sign, and those of the smallest number are too large.
    let from = if min == i64::MIN { String::new() } else { format!(" and {path} >= {min}") };
    format!("IsInt({path}){from} and {path} <= {max}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_integer_is_no_bound() {
        let path = "span.attributes[\"k\"]";
        assert_eq!(is_between(path, i64::MIN, -9), format!("IsInt({path}) and {path} <= -9"));
        assert_eq!(is_between(path, -1, 9), format!("IsInt({path}) and {path} >= -1 and {path} <= 9"));
    }
}
