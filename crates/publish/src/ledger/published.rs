//! The ledger that is published already: it must be where this one began.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::LedgerFile;
use crate::failure::Failure;

/// The name of the list of a ledger's files, in the directory `ledger` of a site.
pub const INDEX: &str = "index.json";
/// Larger than the list of a hundred years.
const LARGEST: u64 = 4 << 20;
/// How long a web server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The files of a ledger, in order, also withdrawn ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The format of this file: 1.
    pub format: u32,
    /// The files.
    pub files: Vec<IndexedFile>,
}

/// A file of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexedFile {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

impl Index {
    /// The list of a ledger's files.
    pub fn new(files: &[LedgerFile]) -> Self {
        let files =
            files.iter().map(|file| IndexedFile { name: file.name.clone(), sha256: file.sha256.clone() });
        Self { format: 1, files: files.collect() }
    }

    /// Its text.
    pub fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Checks that a ledger begins with these files.
    ///
    /// # Errors
    /// If it does not: it is older, or a second one.
    pub fn check(&self, files: &[LedgerFile], place: &str) -> Result<(), Failure> {
        let own = Self::new(files);
        if own.files.starts_with(&self.files) {
            return Ok(());
        }
        let why = if self.files.starts_with(&own.files) { "is ahead of this one" } else { "is another one" };
        Err(Failure::failed(format!(
            "the ledger that is published at {place} {why}. Nothing is drawn; copy the files of its directory `ledger` to \
             the ledger, and start again"
        )))
    }
}

/// The list of the ledger that a site has, which is in a directory or at an https address. `None` if there is none yet.
///
/// # Errors
/// If that cannot be found out.
pub fn fetch(site: &str) -> Result<Option<Index>, Failure> {
    let Some(bytes) = bytes_of(site)? else { return Ok(None) };
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::failed(format!("{site} has no list of a ledger: {error}")))?;
    Ok(Some(index))
}

fn bytes_of(site: &str) -> Result<Option<Vec<u8>>, Failure> {
    if site.starts_with("https://") || is_loopback(site) {
        return get(&format!("{}/ledger/{INDEX}", site.trim_end_matches('/')));
    }
    if site.contains("://") && !site.starts_with("file://") {
        return Err(Failure::usage(format!("{site} is neither an https address nor a directory")));
    }
    let path = Path::new(site.strip_prefix("file://").unwrap_or(site)).join("ledger").join(INDEX);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("read", &path, &error)),
    }
}

fn is_loopback(site: &str) -> bool {
    ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"].iter().any(|start| site.starts_with(start))
}

fn get(address: &str) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |why: String| Failure::failed(format!("{address} cannot be read: {why}"));
    let roots: Vec<Certificate<'static>> = (rustls_native_certs::load_native_certs().certs.iter())
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent.get(address).call().map_err(|error| failed(error.to_string()))?;
    match response.status().as_u16() {
        200 => {}
        404 | 410 => return Ok(None),
        status => return Err(failed(format!("the server answers {status}"))),
    }
    let body = response.body_mut().with_config().limit(LARGEST).read_to_vec();
    body.map(Some).map_err(|error| failed(error.to_string()))
}
