//! The `telemetry.toml` format.
