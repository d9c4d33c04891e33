//! Decodes protobuf as the receiver does, checks it, and finds fields outside the contract.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tool_telemetry_receiver::read(bytes, false));
