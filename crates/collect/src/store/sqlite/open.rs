//! Opening a store: one writer at a time, and an absent or damaged file is never taken for an empty store.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::SqliteStore;
use crate::store::{ErrorKind, StoreError};

/// The database, in the store's directory.
pub(super) const DATABASE: &str = "runs.sqlite";
/// Locked by the process that writes.
const LOCK: &str = "lock";
/// Written once the database exists: a store that has lost its database is not a new one.
const MARKER: &str = "STORE";
const MARKER_TEXT: &str =
    "A store of runs, made by `tool-telemetry collect`. The file runs.sqlite belongs to it.\n";
/// "tcol".
const APPLICATION_ID: i32 = 0x7463_6f6c;
/// A reader waits this long for a writer's short transaction, and the other way round.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// By date, each applied once.
const MIGRATIONS: [(&str, &str); 3] = [
    ("2026-11-28-first", include_str!("../migrations/2026-11-28-first.sql")),
    ("2026-11-28-second", include_str!("../migrations/2026-11-28-second.sql")),
    ("2026-11-28-third", include_str!("../migrations/2026-11-28-third.sql")),
];

/// Small checkpoints: a large one holds up the requests that wait behind it. 2,048 pages are 8 MB.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA wal_autocheckpoint = 2048;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
    PRAGMA trusted_schema = OFF;
";

impl SqliteStore {
    /// Opens the store in a directory to write, and makes one if there is none.
    ///
    /// # Errors
    /// If another process writes to it, a newer version made it, or it is damaged or cannot be written.
    pub fn create_or_open(directory: &Path) -> Result<Self, StoreError> {
        make_directory(directory)?;
        Self::open_to_write(directory, true)
    }

    /// Opens the store in a directory to write.
    ///
    /// # Errors
    /// As [`SqliteStore::create_or_open`], and if there is none.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        missing(directory)?;
        Self::open_to_write(directory, false)
    }

    /// Opens the store in a directory to read, also while another process writes to it.
    ///
    /// # Errors
    /// If there is none, a newer version made it, or it is damaged.
    pub fn open_to_read(directory: &Path) -> Result<Self, StoreError> {
        missing(directory)?;
        let path = directory.join(DATABASE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| at(&path, error))?;
        connection.busy_timeout(BUSY)?;
        // All that is read is of one moment.
        connection.execute_batch("BEGIN").map_err(|error| at(&path, error))?;
        if check(&connection, &path)? < MIGRATIONS.len() {
            return Err(StoreError::new(
                ErrorKind::Older,
                format!(
                    "{} was last changed by an older version of this program; start `collect` with this one first",
                    path.display()
                ),
            ));
        }
        Self::with(connection, directory, None)
    }

    fn open_to_write(directory: &Path, creates: bool) -> Result<Self, StoreError> {
        let lock = lock(directory)?;
        let path = directory.join(DATABASE);
        let is_new = !directory.join(MARKER).exists();
        if !is_new && std::fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            return Err(damaged(&path, "it is empty or gone, though the store has held runs"));
        }
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, creates && is_new);
        let mut connection = Connection::open_with_flags(&path, flags).map_err(|error| at(&path, error))?;
        connection.busy_timeout(BUSY)?;
        if is_new {
            create(&connection).map_err(|error| at(&path, error))?;
        }
        check(&connection, &path)?;
        connection.execute_batch(SETTINGS).map_err(|error| at(&path, error))?;
        migrate(&mut connection).map_err(|error| at(&path, error))?;
        if is_new {
            mark(directory)?;
        }
        Self::with(connection, directory, Some(lock))
    }

    fn with(connection: Connection, directory: &Path, lock: Option<File>) -> Result<Self, StoreError> {
        #[cfg(unix)]
        let file = file_of(directory)?;
        Ok(Self {
            connection,
            directory: directory.to_owned(),
            #[cfg(unix)]
            file,
            _lock: lock,
        })
    }
}

/// Settings that belong to the file. They change nothing once there is a table.
fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION_ID};
         PRAGMA journal_mode = WAL;
         CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"
    ))
}

/// Refuses what is not ours, what is damaged, and what a newer version made. Returns how many migrations were applied.
fn check(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i32>(0));
    let id = number("PRAGMA application_id").map_err(|error| at(path, error))?;
    if id != APPLICATION_ID {
        return Err(damaged(path, "it is a database of another program"));
    }
    let names = connection
        .prepare("SELECT name FROM migration")
        .and_then(|mut statement| {
            statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
        })
        .map_err(|error| at(path, error))?;
    match names.iter().find(|name| !MIGRATIONS.iter().any(|(known, _)| known == name)) {
        None => Ok(names.len()),
        Some(name) => Err(StoreError::new(
            ErrorKind::Newer,
            format!(
                "{} was changed by a newer version of this program ({name}); use that version",
                path.display()
            ),
        )),
    }
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    for (name, script) in MIGRATIONS {
        let transaction = connection.transaction()?;
        let query = "SELECT 1 FROM migration WHERE name = ?1";
        if transaction.query_row(query, [name], |_| Ok(())).optional()?.is_none() {
            transaction.execute_batch(script)?;
            transaction.execute("INSERT INTO migration VALUES (?1)", [name])?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// The device and inode of the database.
#[cfg(unix)]
pub(super) fn file_of(directory: &Path) -> Result<(u64, u64), StoreError> {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata(directory.join(DATABASE)) {
        Ok(file) => Ok((file.dev(), file.ino())),
        Err(_) => Err(replaced(directory)),
    }
}

#[cfg(unix)]
pub(super) fn replaced(directory: &Path) -> StoreError {
    let path = directory.join(DATABASE);
    StoreError::new(
        ErrorKind::Missing,
        format!(
            "{} was deleted or moved while it was in use; end the server and restore a backup",
            path.display()
        ),
    )
}

fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| StoreError::io("made", directory, &error))
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|error| StoreError::io("opened", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::new(
            ErrorKind::InUse,
            format!("another process writes to the store {}; end it first", directory.display()),
        )),
        Err(TryLockError::Error(error)) => Err(StoreError::io("locked", &path, &error)),
    }
}

fn mark(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join(MARKER);
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(MARKER_TEXT.as_bytes())?;
        file.sync_all()?;
        // The name of the database, too, must survive a power cut.
        #[cfg(unix)]
        File::open(directory)?.sync_all()?;
        Ok(())
    };
    write().map_err(|error| StoreError::io("written", &path, &error))
}

fn missing(directory: &Path) -> Result<(), StoreError> {
    if directory.join(MARKER).exists() || directory.join(DATABASE).exists() {
        return Ok(());
    }
    Err(StoreError::new(ErrorKind::Missing, format!("there is no store in {}", directory.display())))
}

fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::new(
        ErrorKind::Damaged,
        format!(
            "{} cannot be used: {why}. Move the directory aside, and restore a backup or start with a new one; what \
             can be read of the old one is had with `tool-telemetry export`",
            path.display()
        ),
    )
}

/// An error with the path that it is about.
fn at(path: &Path, error: rusqlite::Error) -> StoreError {
    let error = StoreError::from(error);
    match error.kind() {
        ErrorKind::Damaged => damaged(path, "it is damaged"),
        kind => StoreError::new(kind, format!("{}: {error}", path.display())),
    }
}
