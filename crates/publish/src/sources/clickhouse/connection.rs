//! A connection to ClickHouse: one query after the other, each with a limit on its time and a line for whoever waits.

use std::error::Error as _;
use std::io::{Write as _, stderr};
use std::time::{Duration, Instant, SystemTime};

use clickhouse::query::Query;
use clickhouse::{Client, RowOwned, RowRead, error::Error};
use tokio::runtime::{Builder, Runtime};

use super::address::Address;
use crate::failure::Failure;

/// After this long a person wants to know that something goes on, and again after each further one.
const NEWS: Duration = Duration::from_secs(10);
/// How long the question for progress may take. It is not worth waiting for.
const NEWS_PATIENCE: Duration = Duration::from_secs(3);

/// A server, with the user who asks.
pub(super) struct Connection {
    client: Client,
    runtime: Runtime,
    patience: Duration,
    /// Scheme, host, and port, for messages.
    origin: String,
    database: String,
    queries: u32,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(
        address: &Address,
        user: &str,
        password: Option<&str>,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::usage(format!("no connection can be made: {error}")))?;
        let mut client = Client::default()
            .with_url(&address.origin)
            .with_database(&address.database)
            .with_user(user)
            .with_product_info("tool-telemetry", env!("CARGO_PKG_VERSION"));
        if let Some(password) = password {
            client = client.with_password(password);
        }
        let (origin, database) = (address.origin.clone(), address.database.clone());
        Ok(Self { client, runtime, patience, origin, database, queries: 0 })
    }

    /// A query, whose parameters the caller binds.
    pub(super) fn query(&self, sql: &str) -> Query {
        self.client.query(&without_comments(sql))
    }

    /// The rows of a query. `what` says what is read, for messages.
    pub(super) fn rows<R: RowOwned + RowRead>(
        &mut self,
        query: Query,
        what: &str,
    ) -> Result<Vec<R>, Failure> {
        self.queries += 1;
        // Unique on the server, so that its progress can be asked for.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let id = format!("tool-telemetry-{now}-{}-{}", std::process::id(), self.queries);
        let query = query.with_setting("query_id", &id);
        let work = watched(&self.client, query.fetch_all::<R>(), &id, what);
        let limited = async { tokio::time::timeout(self.patience, work).await };
        match self.runtime.block_on(limited) {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(self.failure(&error, what)),
            Err(_) => Err(Failure::failed(format!(
                "{} has not answered within {} s: {what}. Nothing is drawn; allow it more with --clickhouse-timeout",
                self.origin,
                self.patience.as_secs()
            ))),
        }
    }

    /// What went wrong, and what a person can do about it.
    fn failure(&self, error: &Error, what: &str) -> Failure {
        let Self { origin, database, .. } = self;
        let Error::BadResponse(text) = error else {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            return Failure::failed(format!("{origin} cannot be read: {what}: {text}"));
        };
        let advice = match code(text) {
            Some(516 | 192 | 193 | 194) => {
                "the user or the password is wrong: --clickhouse-user and --clickhouse-password-file"
                    .to_owned()
            }
            Some(81) => format!("there is no database {database}: it is the path of the address"),
            Some(497) => format!("the user may not read it: GRANT SELECT ON {database}.* TO the user"),
            Some(159 | 160) => "the server's own limit on the time of a query was reached".to_owned(),
            Some(241) => "the server's limit on the memory of a query was reached".to_owned(),
            _ => what.to_owned(),
        };
        let first = text.lines().next().unwrap_or_default();
        Failure::failed(format!("{origin} refuses: {advice}: {first}"))
    }
}

/// Waits for a query, and tells from time to time that it waits.
async fn watched<T>(
    client: &Client,
    work: impl Future<Output = Result<T, Error>>,
    id: &str,
    what: &str,
) -> Result<T, Error> {
    let mut work = std::pin::pin!(work);
    let started = Instant::now();
    loop {
        if let Ok(done) = tokio::time::timeout(NEWS, work.as_mut()).await {
            return done;
        }
        let progress = client.query(&without_comments(include_str!("progress.sql"))).bind(id);
        let asked = tokio::time::timeout(NEWS_PATIENCE, progress.fetch_optional::<(u64, u64)>()).await;
        let rows = match asked {
            Ok(Ok(Some((read, all)))) => format!(", {read} of some {all} rows read"),
            _ => String::new(),
        };
        let _ = writeln!(
            stderr(),
            "waiting for ClickHouse since {} s: {what}{rows}",
            started.elapsed().as_secs()
        );
    }
}

/// The number in `Code: 516. DB::Exception: …`.
fn code(text: &str) -> Option<u32> {
    let after = text.split_once("Code: ")?.1;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The crate takes each `?` for a parameter, also in a comment.
fn without_comments(sql: &str) -> String {
    let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_found_in_its_text() {
        assert_eq!(code("Code: 516. DB::Exception: default: Authentication failed"), Some(516));
        assert_eq!(code("Poco::Exception. Code: 1000, e.code() = 111"), Some(1_000));
        assert_eq!(code("502 Bad Gateway"), None);
    }
}
