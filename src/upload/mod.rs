//! The uploader: how runs leave the spool.

pub(crate) mod answer;
pub(crate) mod settings;
