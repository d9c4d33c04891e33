//! The reader of `telemetry.toml`: a definition or faults with lines, never a panic.
#![no_main]

use tool_telemetry_definition::{Definition, compare};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Definition::parse(text) {
        Ok(definition) => assert!(compare(&definition, &definition).is_empty(), "it differs from itself"),
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
});
