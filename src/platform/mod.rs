//! What differs between operating systems, and the only place with `unsafe` code: each block is one call of the
//! platform's, with the reason why it is sound.
//!
//! Linux is where everything is run and shown. What macOS and Windows do otherwise is written from their
//! documentation and has not been run.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::*;
