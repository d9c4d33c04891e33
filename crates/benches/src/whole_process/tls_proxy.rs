//! A TLS proxy in front of a receiver without TLS.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The system's certificates, which a program with HTTPS always loads.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The receivers' certificate and its authority.
#[derive(Debug)]
pub(crate) struct Authority(Arc<ServerConfig>);

impl Authority {
    /// Creates an authority and writes all trusted certificates to `file`.
    pub(crate) fn new(file: &Path) -> Result<Self, Box<dyn Error>> {
        let authority_key = rcgen::KeyPair::generate()?;
        let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = parameters.self_signed(&authority_key)?;
        let issuer = rcgen::Issuer::new(parameters, authority_key);
        let key = rcgen::KeyPair::generate()?;
        let certificate =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
        let system = std::fs::read_to_string(SYSTEM).unwrap_or_default();
        std::fs::write(file, system + &authority.pem())?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(certificate.der().to_vec())],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )?;
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(settings)))
    }
}

/// Listens until this program ends.
#[derive(Debug)]
pub(crate) struct TlsProxy {
    port: u16,
}

impl TlsProxy {
    pub(crate) fn start(authority: &Authority, behind: &str) -> io::Result<Self> {
        let behind = behind.trim_start_matches("http://").to_owned();
        let acceptor = TlsAcceptor::from(Arc::clone(&authority.0));
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                while let Ok((client, _)) = listener.accept().await {
                    let (acceptor, behind) = (acceptor.clone(), behind.clone());
                    tokio::spawn(async move {
                        let mut client = acceptor.accept(client).await?;
                        let mut server = TcpStream::connect(behind).await?;
                        server.set_nodelay(true)?;
                        tokio::io::copy_bidirectional(&mut client, &mut server).await
                    });
                }
            });
        });
        Ok(Self { port })
    }

    /// The certificate is valid for the name, not for the address.
    pub(crate) fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}
