//! Reads a run file: every value is approved, and the spans are written and read back unchanged.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_telemetry::fuzzing::run_file(bytes));
