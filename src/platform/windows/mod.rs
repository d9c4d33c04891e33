//! Windows.
//!
//! There is no exit hook: the C library's `atexit` handlers do not learn the exit code. Directories in the user's profile
//! are private by their inherited access lists.

#![allow(unsafe_code)]

mod files;
mod process;
mod spawn;
mod user_directories;

pub(crate) use files::*;
pub(crate) use process::*;
pub(crate) use spawn::*;
pub(crate) use user_directories::*;
