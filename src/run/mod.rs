//! The runs of this process. Without the feature `spool` there is none, and there cannot be.

#[cfg(feature = "spool")]
mod enabled;
#[cfg(feature = "spool")]
mod fork;
#[cfg(feature = "spool")]
mod one;
mod place;
#[cfg(feature = "spool")]
pub(crate) use enabled::*;
#[cfg(feature = "spool")]
pub(crate) use one::{Ended, Sealed};
pub(crate) use place::{Place, RunId};

#[cfg(not(feature = "spool"))]
mod disabled;
#[cfg(not(feature = "spool"))]
pub(crate) use disabled::*;
