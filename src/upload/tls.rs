//! TLS: rustls with the ring provider, the trusted roots, and the client certificate.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore};

use crate::consent::endpoint::Endpoint;
use crate::env;
use crate::upload::failure::{FailureKind, Setting, SettingError, TlsFailure};
use crate::upload::otlp_settings::{IdentityFiles, OtlpSettings, read_file};

/// Far more than a bundle of all public roots (0.3 MiB). A path to a device cannot fill the memory.
const MAX_PEM_BYTES: u64 = 8 * 1024 * 1024;

/// The most files that are read in `SSL_CERT_DIR`. A system has 150, each with one or two links to it.
const MAX_FILES: usize = 2_000;

/// For HTTPS.
#[cfg(feature = "http")]
pub(crate) fn for_ureq(settings: &OtlpSettings) -> Result<ureq::tls::TlsConfig, FailureKind> {
    use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let owned = |certificates: Vec<CertificateDer<'_>>| -> Vec<_> {
        certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
    };
    let roots = Roots::of(settings)?.usable;
    let client = match &settings.client {
        Some(client) => {
            let identity = Identity::read(client, &provider)?;
            let key = PrivateKey::from_pem(&identity.key_pem)
                .map_err(|_| FailureKind::Settings(Setting::ClientKey, SettingError::NoKey))?;
            Some(ClientCert::new_with_certs(&owned(identity.chain), key))
        }
        None => None,
    };
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::from(owned(roots)))
        .client_cert(client)
        .build())
}

/// For gRPC.
#[cfg(feature = "grpc")]
pub(crate) fn for_tonic(settings: &OtlpSettings) -> Result<tonic::transport::ClientTlsConfig, FailureKind> {
    use tonic::transport::ClientTlsConfig;

    let mut config = ClientTlsConfig::new().trust_anchors(Roots::of(settings)?.store().roots);
    if let Some(client) = &settings.client {
        let identity = Identity::read(client, &rustls::crypto::ring::default_provider())?;
        config = config.identity(tonic::transport::Identity::from_pem(identity.chain_pem, identity.key_pem));
    }
    Ok(config)
}

/// Checks the files of the settings. Returns the number of roots that cannot be used.
pub(crate) fn check(settings: &OtlpSettings) -> Result<usize, FailureKind> {
    let roots = Roots::of(settings)?;
    if let Some(client) = &settings.client {
        Identity::read(client, &rustls::crypto::ring::default_provider())?;
    }
    // The user cannot fix the system's own roots.
    Ok(if settings.certificate.is_some() { roots.unusable } else { 0 })
}

/// The trusted roots. A broken certificate is left out, and the others are trusted anyway.
#[derive(Default)]
struct Roots {
    usable: Vec<CertificateDer<'static>>,
    unusable: usize,
}

impl Roots {
    /// The roots of the settings, or else those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or else the system's.
    fn of(settings: &OtlpSettings) -> Result<Self, FailureKind> {
        if let Some(path) = &settings.certificate {
            let certificate_error = |error| FailureKind::Settings(Setting::Certificate, error);
            let mut roots = Self::default();
            roots.add_pem(&read_file(path, MAX_PEM_BYTES).map_err(certificate_error)?);
            return roots.unless_empty(certificate_error(SettingError::NoCertificate));
        }
        let roots_error = |error| FailureKind::Settings(Setting::Roots, error);
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let (file, directories) = (variable(env::SSL_CERT_FILE), variable(env::SSL_CERT_DIR));
        let roots = if file.is_none() && directories.is_none() {
            let mut roots = Self::default();
            roots.add(rustls_native_certs::load_native_certs().certs.into_iter().map(Some));
            roots
        } else {
            let directories: Vec<PathBuf> = directories
                .iter()
                .flat_map(std::env::split_paths)
                .filter(|path| !path.as_os_str().is_empty())
                .collect();
            Self::named(file.map(PathBuf::from).as_deref(), &directories).map_err(roots_error)?
        };
        roots.unless_empty(roots_error(SettingError::Missing))
    }

    fn unless_empty(self, kind: FailureKind) -> Result<Self, FailureKind> {
        if self.usable.is_empty() { Err(kind) } else { Ok(self) }
    }

    /// Reads the roots that the two variables name, like `rustls-native-certs`, but does not block on a FIFO.
    fn named(file: Option<&Path>, directories: &[PathBuf]) -> Result<Self, SettingError> {
        let mut roots = Self::default();
        if let Some(file) = file {
            match read_file(file, MAX_PEM_BYTES) {
                Ok(pem) => roots.add_pem(&pem),
                Err(error) if directories.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        let entries = directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten();
        for entry in entries.flatten().take(MAX_FILES) {
            if let Ok(pem) = read_file(&entry.path(), MAX_PEM_BYTES) {
                roots.add_pem(&pem);
            }
        }
        roots.usable.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        roots.usable.dedup();
        Ok(roots)
    }

    fn add_pem(&mut self, pem: &[u8]) {
        self.add(CertificateDer::pem_slice_iter(pem).map(Result::ok));
    }

    fn add(&mut self, certificates: impl Iterator<Item = Option<CertificateDer<'static>>>) {
        for certificate in certificates {
            match certificate.filter(|root| RootCertStore::empty().add(root.clone()).is_ok()) {
                Some(root) => self.usable.push(root),
                None => self.unusable += 1,
            }
        }
    }

    fn store(self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.usable);
        store
    }
}

/// A certificate chain and its matching key. ureq panics if they do not match.
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
    fn read(files: &IdentityFiles, provider: &CryptoProvider) -> Result<Self, FailureKind> {
        let certificate_error = |error| FailureKind::Settings(Setting::ClientCertificate, error);
        let key_error = |error| FailureKind::Settings(Setting::ClientKey, error);

        let chain_pem = read_file(&files.certificate, MAX_PEM_BYTES).map_err(certificate_error)?;
        let key_pem = read_file(&files.key, MAX_PEM_BYTES).map_err(key_error)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain_pem)
            .collect::<Result<_, _>>()
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or(certificate_error(SettingError::NoCertificate))?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| key_error(SettingError::NoKey))?;
        CertifiedKey::from_der(chain.clone(), key, provider).map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => certificate_error(SettingError::NoCertificate),
            rustls::Error::InconsistentKeys(_) => key_error(SettingError::OtherKey),
            _ => key_error(SettingError::NoKey),
        })?;
        Ok(Self { chain, chain_pem, key_pem })
    }
}

/// The failure that tells the user what to fix after a TLS error.
pub(crate) fn failure(error: &rustls::Error) -> TlsFailure {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            // An authority that was created again under its old name has another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFailure::UnknownIssuer,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFailure::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::OtherName
            }
            // rustls does not export the crate of this type.
            CertificateError::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
                TlsFailure::RootAsServer
            }
            _ => TlsFailure::Other,
        },
        // The alerts of a server that requires a client certificate, or another one.
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::CertificateRequired,
        ) => TlsFailure::ClientRefused,
        rustls::Error::InvalidMessage(_) => TlsFailure::NoTls,
        _ => TlsFailure::Other,
    }
}

/// Whether a server that has just closed the connection requests a client certificate.
///
/// With TLS 1.3 it rejects the client after the handshake, while the request is on its way, and the connection's reset
/// can overtake its alert. This function makes one more handshake and sends nothing.
pub(crate) fn requests_certificate(settings: &OtlpSettings) -> bool {
    #[derive(Debug, Default)]
    struct CertificateRequest(AtomicBool);

    impl ResolvesClientCert for CertificateRequest {
        fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            self.0.store(true, Ordering::Relaxed);
            None
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    let request = Arc::new(CertificateRequest::default());
    let handshake = || -> Option<()> {
        let patience = settings.timeout.min(Duration::from_secs(3));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(Roots::of(settings).ok()?.store())
            .with_client_cert_resolver(Arc::clone(&request) as Arc<dyn ResolvesClientCert>);
        let (host, port) = Endpoint::parse(&settings.endpoint, false, false).ok()?.https_host_and_port()?;
        let name = ServerName::try_from(host.clone()).ok()?;
        let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
        let address = (host, port).to_socket_addrs().ok()?.next()?;
        let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.set_write_timeout(Some(patience)).ok()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).ok()?;
        }
        Some(())
    };
    let _ = handshake();
    request.0.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
