//! What differs between operating systems, and the only place with `unsafe` code but for one line of `layer.rs`: each
//! block is one call of the platform's, with the reason why it is sound.
//!
//! Linux is where everything is run and shown. What macOS and Windows do otherwise is written from their
//! documentation and has not been run.

mod files;
pub(crate) use files::*;

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
