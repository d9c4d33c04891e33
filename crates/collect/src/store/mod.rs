//! The store: what it can do, whatever holds it.
//!
//! A [`Change`] is made as a whole or not at all, and is durable when [`Store::apply`] returns. Everything else reads.

mod error;
mod sqlite;

use crate::cell::Cell;
use crate::counts::CountCell;
use crate::index::Group;
use crate::marks::Mark;
use crate::row::PackedRow;
use crate::time::{Day, Week};
use crate::trace::TraceId;

pub use error::{ErrorKind, StoreError};
pub use sqlite::SqliteStore;

/// What a store does.
pub trait Store: Send {
    /// Makes a change, durably.
    ///
    /// # Errors
    /// Nothing was changed, and a later change is not harmed.
    fn apply(&mut self, change: &Change) -> Result<(), StoreError>;

    /// All groups.
    ///
    /// # Errors
    /// If they cannot be read.
    fn groups(&self) -> Result<Vec<GroupEntry>, StoreError>;

    /// The rows of a group, in no order that says anything.
    ///
    /// # Errors
    /// If they cannot be read.
    fn rows(&self, group: Group) -> Result<Vec<StoredRow>, StoreError>;

    /// Calls `each` with the id, the group, and the packed trace ids of every row.
    ///
    /// # Errors
    /// If they cannot be read.
    fn each_ids(&self, each: &mut dyn FnMut(RowId, Group, &[u8])) -> Result<(), StoreError>;

    /// The traces of a group that have been written again elsewhere.
    ///
    /// # Errors
    /// If they cannot be read.
    fn stale(&self, group: Group) -> Result<Vec<TraceId>, StoreError>;

    /// Deletes up to `limit` rows of dead groups, and returns whether any are left.
    ///
    /// # Errors
    /// If they cannot be deleted.
    fn sweep(&mut self, limit: u32) -> Result<bool, StoreError>;

    /// Puts a row aside that does not hold what was written to it.
    ///
    /// # Errors
    /// If it cannot be moved.
    fn put_aside(&mut self, row: RowId) -> Result<(), StoreError>;

    /// All cells with their numbers, in order.
    ///
    /// # Errors
    /// If they cannot be read.
    fn cells(&self) -> Result<Vec<(Cell, i64)>, StoreError>;

    /// All cells of installations with their numbers, in order.
    ///
    /// # Errors
    /// If they cannot be read.
    fn count_cells(&self) -> Result<Vec<(CountCell, i64)>, StoreError>;

    /// Spans that were rejected, by their tool, the week of their arrival, and the reason. The tool is empty if it was not
    /// known.
    ///
    /// # Errors
    /// If they cannot be read.
    fn rejections(&self) -> Result<Vec<(Rejection, i64)>, StoreError>;

    /// The cells that an operator should look at, or has looked at.
    ///
    /// # Errors
    /// If they cannot be read.
    fn marks(&self) -> Result<Vec<Mark>, StoreError>;

    /// All counters, in order.
    ///
    /// # Errors
    /// If they cannot be read.
    fn counters(&self) -> Result<Vec<(String, i64)>, StoreError>;

    /// The value of a setting.
    ///
    /// # Errors
    /// If it cannot be read.
    fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// The last week that takes no more runs and counts: its cells no longer grow, nor do those before it.
    ///
    /// # Errors
    /// If it cannot be read.
    fn closed_through(&self) -> Result<Week, StoreError> {
        Ok(self.setting(CLOSED)?.and_then(|week| week.parse().ok()).map_or(Week(0), Week))
    }

    /// Each telemetry.toml that judged a run, the newest of a tool behind its others.
    ///
    /// # Errors
    /// If they cannot be read.
    fn definitions(&self) -> Result<Vec<StoredDefinition>, StoreError>;

    /// Bytes and rows, for people.
    ///
    /// # Errors
    /// If they cannot be read.
    fn size(&self) -> Result<StoreSize, StoreError>;

    /// Gives back a part of the space of deleted rows. When all of it is given back, overwrites what the log still holds
    /// of them.
    ///
    /// # Errors
    /// If that fails; nothing is lost then.
    fn tidy(&mut self) -> Result<TidyProgress, StoreError>;
}

/// How far [`Store::tidy`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TidyProgress {
    /// There is more to give back.
    More,
    /// All is given back and overwritten.
    Done,
    /// All is given back, but another process reads the log, such as `export`. Nothing waits for it.
    LogInUse,
}

/// The setting behind [`Store::closed_through`].
pub const CLOSED: &str = "closed_through";

/// What was rejected, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rejection {
    /// `service.name`, or nothing if no telemetry.toml of the tool was loaded.
    pub tool: String,
    /// The week of arrival: senders choose the start.
    pub week: Week,
    /// One of a fixed number of names.
    pub reason: String,
}

/// The id of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub i64);

/// The state of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// It holds traces.
    Live = 0,
    /// It will hold the traces of a day that is being merged.
    Staged = 1,
    /// Its rows are to be deleted.
    Dead = 2,
}

/// A group of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEntry {
    /// Its number.
    pub id: Group,
    /// Its state.
    pub state: GroupState,
    /// The day of arrival, until that day is merged.
    pub day: Option<Day>,
    /// The tool and the week of all its traces, once merged.
    pub part: Option<(String, Week)>,
}

/// A row as it is stored.
#[derive(Debug)]
pub struct StoredRow {
    /// Its id.
    pub id: RowId,
    /// Its blobs.
    pub packed: PackedRow,
}

/// A row to store.
#[derive(Debug)]
pub struct NewRow {
    /// The group that it belongs to.
    pub group: Group,
    /// How many traces it has.
    pub traces: usize,
    /// How many spans it has.
    pub spans: usize,
    /// Its blobs.
    pub packed: PackedRow,
}

/// A telemetry.toml that judges runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDefinition {
    /// The content hash of the text.
    pub hash: [u8; 16],
    /// `service.name`.
    pub tool: String,
    /// The file's text.
    pub text: String,
}

/// A change that is made as a whole or not at all.
#[derive(Debug, Default)]
pub struct Change {
    /// Groups to add, or to replace.
    pub groups: Vec<GroupEntry>,
    /// Rows to add.
    pub rows: Vec<NewRow>,
    /// Rows to delete.
    pub removed_rows: Vec<RowId>,
    /// Traces of groups that are written again elsewhere.
    pub stale: Vec<(Group, TraceId)>,
    /// Groups that no longer hold any of their stale traces.
    pub settled: Vec<Group>,
    /// Numbers to add to cells.
    pub cells: Vec<(Cell, i64)>,
    /// Numbers to add to cells of installations.
    pub count_cells: Vec<(CountCell, i64)>,
    /// Numbers to add to what was rejected.
    pub rejections: Vec<(Rejection, i64)>,
    /// Marks to add, or of which the state changes.
    pub marks: Vec<Mark>,
    /// Tools of which all cells before a week are deleted.
    pub expired_cells: Vec<(String, Week)>,
    /// Whether all cells are deleted before any number is added.
    pub clears_cells: bool,
    /// Numbers to add to counters.
    pub counters: Vec<(String, i64)>,
    /// Settings to replace.
    pub settings: Vec<(String, String)>,
    /// Definitions to add.
    pub definitions: Vec<StoredDefinition>,
}

impl Change {
    /// Whether it changes anything.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.rows.is_empty()
            && self.removed_rows.is_empty()
            && self.stale.is_empty()
            && self.settled.is_empty()
            && self.cells.is_empty()
            && self.count_cells.is_empty()
            && self.rejections.is_empty()
            && self.marks.is_empty()
            && self.expired_cells.is_empty()
            && !self.clears_cells
            && self.counters.is_empty()
            && self.settings.is_empty()
            && self.definitions.is_empty()
    }
}

/// Bytes and rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Bytes of the store's files.
    pub bytes: u64,
    /// Rows of live groups.
    pub rows: u64,
    /// Traces in them, each as often as it was written.
    pub traces: u64,
    /// Spans in them, likewise.
    pub spans: u64,
    /// Rows that were put aside.
    pub damaged_rows: u64,
}
