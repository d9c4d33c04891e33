//! What differs between operating systems. Apart from one line of `layer.rs`, all `unsafe` code is here. Each block is
//! one system call, with the reason why it is sound.
//!
//! The code for Linux is tested, parts of the code for Windows are tested under Wine, and the code for macOS and FreeBSD has never been
//! run (docs/platforms.md).

mod container;
mod files;
pub(crate) use container::{ContainerSigns, is_container};
pub(crate) use files::*;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;
