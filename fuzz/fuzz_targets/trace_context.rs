//! Reads `TRACEPARENT`: an accepted id is the one in the variable.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tool_telemetry::fuzzing::trace_context(text));
