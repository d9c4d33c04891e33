//! TLS: rustls with the ring provider, the roots to trust, and the certificate to show.
//!
//! Nothing, instead of a configuration, means a file that cannot be read or used.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::upload::settings::{ClientIdentity, Settings};

/// Far more than a bundle of all public roots (0.3 MiB), so that a path to a device cannot fill the memory.
const MAX_PEM_BYTES: u64 = 8 * 1024 * 1024;

/// For HTTPS.
#[cfg(feature = "http")]
pub(crate) fn for_ureq(settings: &Settings) -> Option<ureq::tls::TlsConfig> {
    use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let owned = |certificates: Vec<CertificateDer<'_>>| -> Vec<_> {
        certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
    };
    let roots = match &settings.certificate {
        Some(path) => given_roots(&read(path)?)?,
        None => system_roots()?,
    };
    let client = match &settings.client {
        Some(client) => {
            let identity = Identity::read(client, &provider)?;
            let key = PrivateKey::from_pem(&identity.key_pem).ok()?;
            Some(ClientCert::new_with_certs(&owned(identity.chain), key))
        }
        None => None,
    };
    Some(
        TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::from(owned(roots)))
            .client_cert(client)
            .build(),
    )
}

/// For gRPC.
#[cfg(feature = "grpc")]
pub(crate) fn for_tonic(settings: &Settings) -> Option<tonic::transport::ClientTlsConfig> {
    use tonic::transport::{Certificate, ClientTlsConfig};

    let mut config = ClientTlsConfig::new();
    config = match &settings.certificate {
        Some(path) => {
            let pem = read(path)?;
            given_roots(&pem)?;
            config.ca_certificate(Certificate::from_pem(pem))
        }
        None => config.with_native_roots(),
    };
    if let Some(client) = &settings.client {
        let identity = Identity::read(client, &rustls::crypto::ring::default_provider())?;
        config = config.identity(tonic::transport::Identity::from_pem(identity.chain_pem, identity.key_pem));
    }
    Some(config)
}

/// The system's roots, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
#[cfg(feature = "http")]
fn system_roots() -> Option<Vec<CertificateDer<'static>>> {
    let roots = rustls_native_certs::load_native_certs().certs;
    (!roots.is_empty()).then_some(roots)
}

fn given_roots(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let roots = certificates(pem)?;
    let mut store = RootCertStore::empty();
    roots.iter().all(|root| store.add(root.clone()).is_ok()).then_some(roots)
}

/// A certificate chain and its key, which fit each other: ureq panics at others.
#[cfg_attr(
    not(all(feature = "http", feature = "grpc")),
    allow(dead_code, reason = "each reader has its own form")
)]
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    chain_pem: Vec<u8>,
    key_pem: Vec<u8>,
}

impl Identity {
    fn read(files: &ClientIdentity, provider: &CryptoProvider) -> Option<Self> {
        let (chain_pem, key_pem) = (read(&files.certificate)?, read(&files.key)?);
        let chain = certificates(&chain_pem)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).ok()?;
        CertifiedKey::from_der(chain.clone(), key, provider).ok()?;
        Some(Self { chain, chain_pem, key_pem })
    }
}

/// At least one certificate.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

/// A PEM file, as it is.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut pem = Vec::new();
    let length = File::open(path).ok()?.take(MAX_PEM_BYTES + 1).read_to_end(&mut pem).ok()?;
    (length as u64 <= MAX_PEM_BYTES).then_some(pem)
}

#[cfg(test)]
mod tests;
