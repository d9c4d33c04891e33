//! Where a command reads exact numbers from.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::versions::Versions;
use crate::failure::Failure;
use crate::sources::{Address, ClickHouseSource, Definition, Settings, Source, StoreSource};

/// The table that the Collector's exporter makes.
const TABLE: &str = "otel_traces";
/// The variables that ClickHouse's own client reads.
const USER: &str = "CLICKHOUSE_USER";
const PASSWORD: &str = "CLICKHOUSE_PASSWORD";

/// Where exact numbers come from, and which tool and versions they are of.
#[derive(Debug, Args)]
pub(super) struct SourceArguments {
    /// The directory of the store
    #[arg(long, value_name = "DIRECTORY", required_unless_present = "clickhouse")]
    store: Option<PathBuf>,
    /// A ClickHouse server and its database, https://HOST:PORT/DATABASE, into which the OpenTelemetry Collector writes
    #[arg(long, value_name = "ADDRESS", conflicts_with = "store", requires = "data_points")]
    clickhouse: Option<Address>,
    /// Its user, who only has to read the table [default: CLICKHOUSE_USER of the environment, or default]
    #[arg(long, value_name = "NAME", requires = "clickhouse")]
    clickhouse_user: Option<String>,
    /// A file with the user's password [default: CLICKHOUSE_PASSWORD of the environment, or none]
    #[arg(long, value_name = "FILE", requires = "clickhouse")]
    clickhouse_password_file: Option<PathBuf>,
    /// The table of the Collector's exporter
    #[arg(long, value_name = "NAME", requires = "clickhouse", default_value = TABLE)]
    clickhouse_table: String,
    /// How long one query may take
    #[arg(long, value_name = "SECONDS", requires = "clickhouse", default_value = "600",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    clickhouse_timeout: u64,
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
        if let Some(address) = &self.clickhouse {
            return self.open_clickhouse(address);
        }
        let source = StoreSource::open(self.store.as_deref().unwrap_or(".".as_ref()))?;
        let versions = if self.data_points.is_empty() {
            Versions::of_store(&source.definitions()?, self.tool.as_deref())?
        } else {
            Versions::of_files(&self.data_points, self.tool.as_deref())?
        };
        Ok((Box::new(source), versions))
    }

    fn open_clickhouse(&self, address: &Address) -> Result<(Box<dyn Source>, Versions), Failure> {
        let versions = Versions::of_files(&self.data_points, self.tool.as_deref())?;
        let settings = Settings {
            address: address.clone(),
            user: self.clickhouse_user.clone().or_else(|| variable(USER)).unwrap_or("default".to_owned()),
            password: self.password()?,
            table: self.clickhouse_table.clone(),
            patience: Duration::from_secs(self.clickhouse_timeout),
        };
        let definitions = versions.texts.iter().map(|text| Definition::parse(&versions.tool, text));
        // They were parsed before.
        let definitions = definitions.collect::<Result<_, _>>();
        let definitions = definitions.map_err(|errors| Failure::usage(errors.to_string()))?;
        let source = ClickHouseSource::open(&settings, definitions)?;
        Ok((Box::new(source), versions))
    }

    fn password(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.clickhouse_password_file else { return Ok(variable(PASSWORD)) };
        let text = fs::read_to_string(file).map_err(|error| Failure::file("read", file, &error))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
