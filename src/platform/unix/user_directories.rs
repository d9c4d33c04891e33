//! Where the user's files and the administrator's policy are.

use std::path::PathBuf;

use crate::env::{self, Environment};

/// The directory in which tools keep state.
pub(crate) fn state_home(environment: Environment<'_>) -> Option<PathBuf> {
    let default = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" };
    directory(environment, env::XDG_STATE_HOME, default)
}

/// The directory in which tools keep the user's settings.
pub(crate) fn config_home(environment: Environment<'_>) -> Option<PathBuf> {
    let default = if cfg!(target_os = "macos") { "Library/Preferences" } else { ".config" };
    directory(environment, env::XDG_CONFIG_HOME, default)
}

fn directory(environment: Environment<'_>, variable: &str, default: &str) -> Option<PathBuf> {
    let chosen = environment.absolute_path(variable);
    chosen.or_else(|| Some(environment.absolute_path(env::HOME)?.join(default)))
}

/// The administrator's policy for all tools.
pub(crate) fn policy_file() -> PathBuf {
    PathBuf::from("/etc/tool-telemetry/policy.toml")
}
