//! TLS for HTTPS: rustls with the ring provider, the roots to trust, and the certificate to show.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::upload::settings::{ClientIdentity, Settings};

/// Far more than a bundle of all public roots (0.3 MiB), so that a path to a device cannot fill the memory.
const MAX_PEM_BYTES: u64 = 8 * 1024 * 1024;

/// Nothing if a file cannot be read or used; ureq would panic at a certificate and key that do not fit.
pub(crate) fn config(settings: &Settings) -> Option<TlsConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match &settings.certificate {
        Some(path) => given_roots(path)?,
        None => system_roots()?,
    };
    let client = match &settings.client {
        Some(identity) => Some(client_cert(identity, &provider)?),
        None => None,
    };
    let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned());
    Some(
        TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::from(roots))
            .client_cert(client)
            .build(),
    )
}

/// The system's roots, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn system_roots() -> Option<Vec<CertificateDer<'static>>> {
    let roots = rustls_native_certs::load_native_certs().certs;
    (!roots.is_empty()).then_some(roots)
}

fn given_roots(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let roots = certificates(&read(path)?)?;
    let mut store = RootCertStore::empty();
    roots.iter().all(|root| store.add(root.clone()).is_ok()).then_some(roots)
}

fn client_cert(identity: &ClientIdentity, provider: &rustls::crypto::CryptoProvider) -> Option<ClientCert> {
    let chain = certificates(&read(&identity.certificate)?)?;
    let key_pem = read(&identity.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).ok()?;
    CertifiedKey::from_der(chain.clone(), key, provider).ok()?;
    let chain: Vec<_> =
        chain.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Some(ClientCert::new_with_certs(&chain, PrivateKey::from_pem(&key_pem).ok()?))
}

/// At least one certificate.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

/// A PEM file, as it is.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let mut pem = Vec::new();
    let length = File::open(path).ok()?.take(MAX_PEM_BYTES + 1).read_to_end(&mut pem).ok()?;
    (length as u64 <= MAX_PEM_BYTES).then_some(pem)
}
