//! Linux, macOS, and other Unix systems.

#![allow(unsafe_code)]

mod files;
mod process;
mod program;
mod spawn;
mod user_directories;

pub(crate) use files::*;
pub(crate) use process::*;
pub(crate) use program::*;
pub(crate) use spawn::*;
pub(crate) use user_directories::*;
