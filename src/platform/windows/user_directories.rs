//! Where the user's files and the administrator's policy are.

use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt as _;
use std::path::PathBuf;

use windows_sys::Win32::System::SystemInformation::GetSystemWindowsDirectoryW;

use crate::env::{self, Environment};

/// The directory in which tools keep state.
pub(crate) fn state_home(environment: Environment<'_>) -> Option<PathBuf> {
    directory(environment, env::XDG_STATE_HOME)
}

/// The directory in which tools keep the user's settings.
pub(crate) fn config_home(environment: Environment<'_>) -> Option<PathBuf> {
    directory(environment, env::XDG_CONFIG_HOME)
}

/// `SHGetKnownFolderPath` would know the directory without the variables, but every start of the tool would load
/// `shell32.dll`.
fn directory(environment: Environment<'_>, variable: &str) -> Option<PathBuf> {
    let chosen = environment.absolute_path(variable).or_else(|| environment.absolute_path(env::LOCALAPPDATA));
    chosen.or_else(|| Some(environment.absolute_path(env::USERPROFILE)?.join(r"AppData\Local")))
}

/// The administrator's policy for all tools. No variable that the user can set leads there.
pub(crate) fn policy_file() -> PathBuf {
    let windows = windows_directory().unwrap_or_else(|| PathBuf::from(r"C:\Windows"));
    windows.with_file_name(r"ProgramData\tool-telemetry\policy.toml")
}

/// The system's own directory, for example `C:\Windows`.
pub(super) fn windows_directory() -> Option<PathBuf> {
    let mut buffer = [0; 261];
    // SAFETY: the call writes at most the given number of characters.
    let length = unsafe { GetSystemWindowsDirectoryW(buffer.as_mut_ptr(), buffer.len() as u32) } as usize;
    let text = buffer.get(..length).filter(|text| !text.is_empty())?;
    Some(PathBuf::from(OsString::from_wide(text)))
}
