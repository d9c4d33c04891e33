//! The receiver's decoder of JSON, its checks, and the walk that finds what lies outside the contract.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_telemetry_receiver::read(bytes, true));
