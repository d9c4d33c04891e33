//! The reader of run files: nothing unapproved comes out, and what comes out is read again as it was written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_telemetry::fuzzing::run_file(bytes));
