//! The uploader, and what it knows while it works.

use std::collections::HashSet;
use std::time::Duration;

use crate::model::allowlist::Allowlist;
use crate::model::settings::Limits;
use crate::spool::backoff::Backoff;
use crate::spool::directory::SpoolDirectory;
use crate::spool::listing::SpooledRun;
use crate::spool::read::RecordedRun;
use crate::spool::run_file::MAX_RUN_BYTES;
use crate::upload::counts::InstallationCounter;
use crate::upload::launch::UploadMode;

/// A larger file is not a run file of ours.
pub(super) const MAX_FILE_BYTES: u64 = MAX_RUN_BYTES + (64 << 10);
/// Spans in one request, unless a single run has more. It bounds the memory of a request.
pub(super) const MAX_SPANS: usize = 4096;

/// The uploader of one spool.
pub(crate) struct Uploader<'a> {
    pub(crate) spool: &'a SpoolDirectory,
    /// The data points that may be sent now.
    pub(crate) allowlist: Allowlist,
    pub(crate) tool: &'a str,
    /// The tool's version. A newer version's run with unknown content stays for an uploader of that version.
    pub(crate) version: &'a str,
    pub(crate) limits: Limits,
    pub(crate) mode: UploadMode,
    /// How long the command that started it waits, if it waits.
    pub(crate) awaited_for: Duration,
    /// The process that started it.
    pub(crate) starter: Option<u32>,
    pub(crate) counting: CountingRole<'a>,
    /// Checks consent. Called before each request.
    pub(crate) may_send: &'a dyn Fn() -> bool,
}

/// What an uploader does about counts of installations.
#[derive(Debug)]
pub(crate) enum CountingRole<'a> {
    /// It counts nothing: the tool has no counts, its runs go to an operator, or a CI job started it.
    None,
    /// It counts nothing, and no later uploader counts the runs that it finds. They may come from this container, which a
    /// command cannot tell if no variable shows it.
    Withdraw,
    Count(InstallationCounter<'a>),
}

/// How an uploader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploaderExit {
    /// No run is left that could be delivered.
    NothingLeft,
    /// Some runs are pending until a backoff ends, consent is given, or another uploader sends them.
    StillPending,
}

/// Why an uploader stops while runs are pending.
pub(super) enum StopReason {
    /// A backoff is in effect, or the spool cannot be read.
    BackingOff,
    /// The backoff could not be written.
    UnsavedBackoff(Backoff),
    /// The user or the policy turned telemetry off.
    NotAllowed,
}

/// How the server treated the requests of this uploader.
#[derive(Debug, Default)]
pub(super) struct ServerHistory {
    /// Refused requests since the last success.
    pub(super) refusals: u32,
    /// A request was too large, so only the next uploader tries larger ones again.
    pub(super) is_too_large: bool,
    /// The number of spans in the largest request that was accepted.
    pub(super) accepted: usize,
}

/// The random numbers of the runs that this uploader has tried to send, or cannot read or recover. It tries each run
/// once, so that it never sends the same runs in a loop; if their files remain, the next uploader tries them again.
pub(super) type SkippedRuns = HashSet<u128>;

/// A run with its entry in the spool.
pub(super) struct LoadedRun {
    pub(super) entry: SpooledRun,
    pub(super) run: RecordedRun,
}

/// The most spans in one request while this backoff applies.
pub(super) fn max_spans(backoff: Option<Backoff>) -> usize {
    backoff.and_then(|backoff| backoff.most_spans).unwrap_or(MAX_SPANS)
}
