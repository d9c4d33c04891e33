//! What `tool-telemetry` needs to be the uploader of a program that its subcommand `exec` runs.

use crate::consent::user_paths::UserPaths;
use crate::env::{self, Environment};
use crate::spool::directory::SpoolDirectory;
use crate::spool::program_file;

/// The tool and the destination's directory, if this process is the uploader of a program.
#[doc(hidden)]
pub fn program_to_upload() -> Option<(String, String)> {
    let environment = Environment::process();
    Some((environment.text(env::PROGRAM)?, environment.text(env::UPLOADER)?))
}

/// The settings that [`Builder::program`](crate::Builder::program) kept with the runs for a destination, given by its
/// directory.
#[doc(hidden)]
pub fn program_settings(tool: &str, destination: &str) -> Option<String> {
    let paths = UserPaths::find(tool, Environment::process())?;
    let is_name = !destination.contains(['/', '\\']) && destination != "." && destination != "..";
    let spool = is_name.then(|| SpoolDirectory::new(&paths.state_home, tool, destination))?;
    program_file::read(&spool).ok()
}
