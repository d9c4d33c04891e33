//! The names that requests give to servers (OTLP exporter specification, "User Agent").

use crate::model::span::{SCOPE_NAME, SCOPE_VERSION};

/// The version of `opentelemetry-otlp`. A test compares it with the lock file.
#[cfg(feature = "http")]
const EXPORTER_VERSION: &str = "0.33.1";

/// Our name and the exporter's, for HTTP.
#[cfg(feature = "http")]
pub(crate) fn with_exporter() -> String {
    format!("{} OTel-OTLP-Exporter-Rust/{EXPORTER_VERSION}", own())
}

/// Our name. Over gRPC, tonic adds its own.
pub(crate) fn own() -> String {
    format!("{SCOPE_NAME}/{SCOPE_VERSION}")
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use crate::model::span::SDK_VERSION;

    #[test]
    fn the_named_versions_are_those_of_the_lock_file() {
        let lock = include_str!("../../Cargo.lock");
        for (name, version) in [("opentelemetry-otlp", EXPORTER_VERSION), ("opentelemetry_sdk", SDK_VERSION)]
        {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "{name} {version}");
        }
    }
}
