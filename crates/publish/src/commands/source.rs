//! Where a command reads exact numbers from.

use std::path::PathBuf;

use clap::Args;

use super::versions::Versions;
use crate::failure::Failure;
use crate::sources::{Source, StoreSource};

/// Where exact numbers come from, and which tool and versions they are of.
#[derive(Debug, Args)]
pub(super) struct SourceArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// The tool, if there are several
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// The telemetry.toml of each version whose counts are published, the newest last [default: those that the store has
    /// been used with]
    #[arg(long, value_name = "FILE")]
    data_points: Vec<PathBuf>,
}

impl SourceArguments {
    /// Opens the source, and reads the telemetry.toml files.
    pub(super) fn open(&self) -> Result<(Box<dyn Source>, Versions), Failure> {
        let source = StoreSource::open(&self.store)?;
        let versions = if self.data_points.is_empty() {
            Versions::of_store(&source.definitions()?, self.tool.as_deref())?
        } else {
            Versions::of_files(&self.data_points, self.tool.as_deref())?
        };
        Ok((Box::new(source), versions))
    }
}
