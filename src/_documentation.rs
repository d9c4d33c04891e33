//! Documents about the crate, which are part of its repository too.

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/comparison.md")]
pub mod comparison {}

#[doc = include_str!("../docs/telemetry-toml.md")]
pub mod telemetry_toml {}

#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
