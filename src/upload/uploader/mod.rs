//! The uploader of one spool: `work` is its loop, `recovery` seals the runs of dead processes, `queue` reads pending
//! runs into batches, `send` sends a batch and records the outcomes, and `state` has the types that they share.

mod queue;
mod recovery;
mod send;
mod state;
mod work;

pub(crate) use state::{CountingRole, Uploader, UploaderExit};
pub(crate) use work::note_panic;
