//! `<tool> telemetry …` as plain functions. The feature `clap` adds a subcommand and a flag for them. No message names
//! either one unless the author sets it with [`Builder::telemetry_command`](crate::Builder::telemetry_command).
//!
//! Files import only files that stand further left: `choice`, `counts`, `flush`, `show`, `status` < `inspect`; `status` <
//! `status::text`, `status::json` < `subcommand` < `flag`.

mod choice;
mod counts;
#[cfg(feature = "clap")]
mod flag;
mod flush;
mod inspect;
mod program;
mod show;
mod status;
#[cfg(feature = "clap")]
mod subcommand;

/// For the companion's `check`.
#[doc(hidden)]
pub use crate::consent::policy::{PolicyCheck, PolicyError, check as check_policy};
pub use counts::WaitingCount;
#[cfg(feature = "clap")]
pub use flag::TelemetryFlag;
pub use flush::{FlushOutcome, FlushProgress};
#[doc(hidden)]
pub use inspect::{InspectedRun, SpoolInspector};
#[doc(hidden)]
pub use program::{program_settings, program_to_upload};
pub use show::{RunStatus, StoredRun};
pub use status::{CountStatus, DestinationStatus, Failure, Status};
#[cfg(feature = "clap")]
pub use subcommand::TelemetryCommand;
