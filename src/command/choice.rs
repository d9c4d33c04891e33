//! `telemetry on`, `off`, and `purge`.

use crate::consent::choice::{Choice, ChoiceFile, LockTimeout};
use crate::consent::notice::notice_version;
use crate::consent::preflight::Preflight;
use crate::consent::user_paths::UserPaths;
use crate::env::Environment;
use crate::error::Error;
use crate::spool::discard::{DeletedRuns, DeletionErrors, discard_all};
use crate::spool::outcome::Outcome;
use crate::telemetry::Telemetry;

impl Telemetry {
    /// `telemetry on`: saves that the user wants telemetry, which counts as having seen the notice. It does not change what
    /// this process records.
    ///
    /// # Errors
    ///
    /// There is no home directory, or the choice cannot be written.
    pub fn enable(&self) -> Result<(), Error> {
        self.require_command();
        self.save_choice(&self.user_paths()?, true)
    }

    /// `telemetry off`: saves that the user does not want telemetry, and deletes pending runs, sent runs, and runs that are
    /// being written, for every destination. This process records nothing more.
    ///
    /// # Errors
    ///
    /// There is no home directory, the choice cannot be written, or a file cannot be deleted. If the choice cannot be written,
    /// the runs are deleted anyway. The error names the file.
    pub fn disable(&self) -> Result<DeletedRuns, Error> {
        self.require_command();
        let paths = self.user_paths()?;
        // The choice is saved first, so that no new runs appear, and is saved again if that failed, because the deletion may
        // have made room on a full disk.
        let saved = self.save_choice(&paths, false);
        let (deleted, errors) = self.discard_spools(&paths, Outcome::OptedOut);
        if saved.is_err() {
            Choice::force_off(&paths.choice_file, self.settings().name)
                .map_err(|error| Error::file("write", &paths.choice_file, error))?;
        }
        match errors.is_empty() {
            true => Ok(deleted),
            false => Err(Error::not_deleted("telemetry is off, but ", errors)),
        }
    }

    /// `telemetry purge`: deletes pending runs, sent runs, and runs that are being written, and changes nothing else.
    ///
    /// # Errors
    ///
    /// There is no home directory, or something cannot be deleted. The error names the file.
    pub fn purge(&self) -> Result<DeletedRuns, Error> {
        self.require_command();
        match self.discard_spools(&self.user_paths()?, Outcome::Purged) {
            (deleted, errors) if errors.is_empty() => Ok(deleted),
            (_, errors) => Err(Error::not_deleted("", errors)),
        }
    }

    fn user_paths(&self) -> Result<UserPaths, Error> {
        UserPaths::find(self.settings().name, Environment::process()).ok_or_else(Error::no_home)
    }

    fn save_choice(&self, paths: &UserPaths, is_on: bool) -> Result<(), Error> {
        let settings = self.settings();
        let destination = Preflight::run(settings, Environment::process()).destination;
        // The companion does not know what the tool collects, so it adds no notice.
        let version = match settings.is_companion {
            true => None,
            false => settings.data_points.and_then(notice_version),
        };
        // A choice also replaces an invalid file.
        Choice::change(&paths.choice_file, settings.name, LockTimeout::WriteAnyway, |read| {
            let notices = match read {
                ChoiceFile::Valid(before) if is_on => before.notices,
                _ => Vec::new(),
            };
            let choice = Choice { telemetry: Some(is_on), notices, printed: None };
            Some(match (destination, version) {
                (Ok(Some(destination)), Some(version)) if is_on => choice.with_notice(&destination, version),
                _ => choice,
            })
        })
        .map_err(|error| Error::file("write", &paths.choice_file, error))?;
        Ok(())
    }

    fn discard_spools(&self, paths: &UserPaths, outcome: Outcome) -> (DeletedRuns, DeletionErrors) {
        // Our own runs come first, because only this process has their descriptors.
        let own = self.discard_all(outcome);
        let (mut deleted, errors) = discard_all(&paths.state_home, self.settings().name, outcome);
        deleted.pending += own.len() as u64;
        deleted.bytes += own.iter().sum::<u64>();
        (deleted, errors)
    }
}
