//! Where a user's files are.

use std::path::PathBuf;

use crate::env::{self, Environment};
use crate::platform;

/// Where a user's files for one tool are.
#[derive(Debug, Clone)]
pub(crate) struct UserPaths {
    pub(crate) state_home: PathBuf,
    pub(crate) choice_file: PathBuf,
}

impl UserPaths {
    /// Returns `None` if there is no home directory or another user owns it. `sudo` may keep the caller's `HOME`, and
    /// must not leave root's files there.
    pub(crate) fn find(tool: &str, environment: Environment<'_>) -> Option<Self> {
        if platform::has_elevated_rights() {
            return None;
        }
        let state_home = platform::state_home(environment)?;
        let config_home = platform::config_home(environment)?;
        if let Some(home) = environment.absolute_path(env::HOME) {
            std::fs::metadata(home).ok().filter(|home| home.is_dir() && platform::is_own(home))?;
        }
        Some(Self { state_home, choice_file: config_home.join(tool).join("telemetry.toml") })
    }
}
