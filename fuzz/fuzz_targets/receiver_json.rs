//! Decodes JSON as the receiver does, checks it, and finds keys outside the contract.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_telemetry_receiver::read(bytes, true));
