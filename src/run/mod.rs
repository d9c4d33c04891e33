//! The run of this process. Without the feature `spool` there is none, and there cannot be.

#[cfg(feature = "spool")]
mod enabled;
#[cfg(feature = "spool")]
mod fork;
#[cfg(feature = "spool")]
pub(crate) use enabled::*;

#[cfg(not(feature = "spool"))]
mod disabled;
#[cfg(not(feature = "spool"))]
pub(crate) use disabled::*;
