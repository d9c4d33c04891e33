//! What differs between operating systems, and the only place with `unsafe` code but for one line of `layer.rs`: each
//! block is one call of the platform's, with the reason why it is sound.
//!
//! Linux is where everything is run and shown. What macOS and Windows do otherwise is written from their
//! documentation and has not been run.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(unix)]
mod program;
#[cfg(unix)]
pub(crate) use program::*;

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::*;

/// Creates a directory and the missing ones above it, for their owner alone.
///
/// The nearest one that exists must belong to this user. `sudo -E` keeps the caller's `XDG_CONFIG_HOME`, and a
/// directory that root left there would shut the caller out.
///
/// # Errors
///
/// That directory is another user's, or the system refused.
pub(crate) fn create_private_dir(path: &std::path::Path) -> std::io::Result<()> {
    use std::io::{Error, ErrorKind};

    let mut above = path;
    let nearest = loop {
        match std::fs::metadata(above) {
            Ok(metadata) => break metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                above = above.parent().ok_or(ErrorKind::NotFound)?;
            }
            Err(error) => return Err(error),
        }
    };
    if !nearest.is_dir() || !is_own(&nearest) {
        let what = format!("{} is not a directory of this user", above.display());
        return Err(Error::new(ErrorKind::PermissionDenied, what));
    }
    if above == path { Ok(()) } else { make_private_dirs(path) }
}
