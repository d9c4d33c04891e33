//! The reader of `TRACEPARENT`: what it accepts is what stands there.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tool_telemetry::fuzzing::trace_context(text));
