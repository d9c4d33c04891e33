//! The approved data points: static tables that `data_points!` makes from `telemetry.toml` at compile time.

pub(crate) use tool_telemetry_definition::standard;
pub use tool_telemetry_definition::{
    ApprovedSpan, Audience, Count, DataPoint, DataPoints, Kind, Level, MAX_DATA_POINTS, MAX_SPANS, OTHER,
    Period, Publisher, Times, Version, is_tool_name,
};
pub(crate) use tool_telemetry_definition::{ERROR_TYPE, ERROR_TYPES, SERVICE_VERSION, Value};

/// The level as `tracing` has it.
pub(crate) fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FROB: DataPoints = crate::data_points!("tests/data/telemetry.toml");

    #[test]
    fn the_macro_makes_what_the_file_says() {
        let data_point = |key| FROB.data_points.iter().find(|data_point| data_point.key == key).unwrap();
        let framework = data_point("frob.framework");
        assert_eq!(Some(framework.since), Version::parse("1.1.0-rc.1"));
        assert_eq!(framework.until, None);
        let version = data_point("frob.compiler_version");
        assert_eq!((version.audience, version.until), (Audience::Operator, Version::parse("2.0.0")));
        let input = &FROB.spans[1];
        assert_eq!((input.name, input.target, input.level), ("read_input", "frob::input", Level::Debug));
        let keys = |positions| FROB.at(positions).map(|data_point| data_point.key).collect::<Vec<_>>();
        assert_eq!(keys(input.data_points), ["frob.compiler_version"]);
        assert_eq!(keys(FROB.on_run), ["frob.command", "process.exit.code", "frob.color", "frob.verbose"]);
    }

    #[test]
    fn a_span_is_identified_by_its_name_and_target() {
        assert_eq!(FROB.span("read_input", "frob::input"), Some(1));
        assert_eq!(FROB.span("read_input", "frob::input::lines"), Some(1));
        for (name, target) in
            [("read_input", "frob"), ("read_input", "frob::inputs"), ("read", "frob::input"), ("run", "frob")]
        {
            assert_eq!(FROB.span(name, target), None, "{name} of {target}");
        }
    }
}
