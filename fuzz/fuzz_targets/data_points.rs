//! Parses `telemetry.toml`: the result is data points, or errors with lines, and never a panic.
#![no_main]

use tool_telemetry_definition::{DataPoints, compare};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match DataPoints::parse(text) {
        Ok(data_points) => assert!(compare(data_points, data_points).is_empty(), "it differs from itself"),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});
