//! What a change of a `telemetry.toml` means, for its reviewer.
