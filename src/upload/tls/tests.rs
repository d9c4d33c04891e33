use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use rustls::ALL_VERSIONS;
use tempfile::TempDir;

use super::*;
use crate::fixtures::{self, Authority};
use crate::upload::delivery::DeliveryOutcome;
use crate::upload::otlp_settings::Protocol;
use crate::upload::transport::OtlpTransport;

/// A directory with PEM files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

fn settings(address: SocketAddr) -> OtlpSettings {
    fixtures::settings(format!("https://{address}/v1/traces"), Protocol::HttpProtobuf)
}

fn send(settings: &OtlpSettings) -> DeliveryOutcome {
    let spans = fixtures::spans();
    OtlpTransport::open(settings).send(&fixtures::batch(&spans), SystemTime::UNIX_EPOCH)
}

fn ok() -> Vec<u8> {
    fixtures::answer("200 OK", fixtures::PROTOBUF, b"")
}

#[test]
fn a_given_root_is_trusted_with_either_version() {
    let (authority, files) = (Authority::new(), Files::new());
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let (address, server) = authority.serve(None, versions, ok());
        let mut settings = settings(address);
        settings.certificate = Some(files.write("root.pem", &authority.root));
        assert_eq!(send(&settings), DeliveryOutcome::DELIVERED);
        assert!(server.join().expect("a server").is_some());
    }
}

fn failed(failure: TlsFailure) -> DeliveryOutcome {
    DeliveryOutcome::retry(FailureKind::Tls(failure))
}

#[test]
fn an_untrusted_server_gets_nothing() {
    let (authority, stranger, files) = (Authority::new(), Authority::new(), Files::new());
    let strangers_root = files.write("root.pem", &stranger.root);
    for certificate in [None, Some(strangers_root)] {
        let (address, server) = authority.serve(None, ALL_VERSIONS, ok());
        let mut settings = settings(address);
        settings.certificate = certificate;
        assert_eq!(send(&settings), failed(TlsFailure::UnknownIssuer));
        assert!(server.join().expect("a server").is_none());
    }
    // The certificate is for 127.0.0.1.
    let (address, server) = authority.serve(None, ALL_VERSIONS, ok());
    let mut settings = settings(address);
    settings.certificate = Some(files.write("root.pem", &authority.root));
    settings.endpoint = format!("https://localhost:{}/v1/traces", address.port());
    assert_eq!(send(&settings), failed(TlsFailure::OtherName));
    assert!(server.join().expect("a server").is_none());
}

#[test]
fn a_self_signed_certificate_is_its_own_root_unless_it_is_an_authority() {
    let files = Files::new();
    for (is_ca, wanted) in [(false, DeliveryOutcome::DELIVERED), (true, failed(TlsFailure::RootAsServer))] {
        let (root, address, server) = Authority::serve_self_signed(is_ca, ok());
        let mut settings = settings(address);
        settings.certificate = Some(files.write("root.pem", &root));
        assert_eq!(send(&settings), wanted);
        assert_eq!(server.join().expect("a server").is_some(), !is_ca);
    }
}

#[test]
fn the_usable_certificates_of_a_bundle_are_trusted() {
    let (authority, files) = (Authority::new(), Files::new());
    let bundle = format!("{BROKEN}\n# ours\n{}{BROKEN}", authority.root);
    let (address, server) = authority.serve(None, ALL_VERSIONS, ok());
    let mut settings = settings(address);
    settings.certificate = Some(files.write("root.pem", &bundle));
    assert_eq!(check(&settings), Ok(2));
    assert_eq!(send(&settings), DeliveryOutcome::DELIVERED);
    assert!(server.join().expect("a server").is_some());
}

#[test]
fn the_ssl_cert_variables_are_read_without_blocking() {
    let (authority, other, files) = (Authority::new(), Authority::new(), Files::new());
    let file = files.write("file.pem", &authority.root);
    let directory = files.0.path().join("certs");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(directory.join("0123abcd.0"), &other.root).expect("a file");
    std::fs::write(directory.join("4567abcd.0"), &authority.root).expect("a file");
    std::fs::write(directory.join("broken.0"), BROKEN).expect("a file");
    let fifo = directory.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let found = |file: Option<&Path>, directories: &[PathBuf]| {
        Roots::named(file, directories).map(|roots| (roots.usable.len(), roots.unusable))
    };
    assert_eq!(found(Some(&file), &[]), Ok((1, 0)));
    assert_eq!(found(Some(&file), std::slice::from_ref(&directory)), Ok((2, 1)));
    assert_eq!(found(None, &[directory.clone(), files.0.path().join("missing")]), Ok((2, 1)));
    assert_eq!(found(Some(&fifo), &[]), Err(SettingError::NotAFile));
    assert_eq!(found(Some(&fifo), &[directory]), Ok((2, 1)));
}

#[test]
fn a_server_without_tls_gets_nothing() {
    let (address, server) = fixtures::serve_by(|mut stream| {
        use std::io::Write as _;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert_eq!(send(&settings(address)), failed(TlsFailure::NoTls));
    server.join().expect("a server");
}

/// The key in the form that `openssl ec` writes. In PKCS#8, a P-256 key is the same structure after a fixed header.
fn sec1(key: &rcgen::KeyPair) -> String {
    const HEAD: usize = 29;
    let encoded = pem_body(&key.serialize_der()[HEAD..]);
    format!("-----BEGIN EC PRIVATE KEY-----\n{encoded}\n-----END EC PRIVATE KEY-----\n")
}

fn pem_body(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[test]
fn the_client_certificate_is_sent_on_request() {
    let (authority, clients, files) = (Authority::new(), Authority::new(), Files::new());
    let (certificate, key) = clients.issue("weave.invalid");
    let mut settings = settings(([127, 0, 0, 1], 0).into());
    settings.certificate = Some(files.write("root.pem", &authority.root));
    for key in [key.serialize_pem(), sec1(&key)] {
        let (address, server) = authority.serve(Some(&clients), ALL_VERSIONS, ok());
        settings.endpoint = format!("https://{address}/v1/traces");
        settings.client = Some(IdentityFiles {
            certificate: files.write("client.pem", &certificate.pem()),
            key: files.write("client.key", &key),
        });
        assert_eq!(send(&settings), DeliveryOutcome::DELIVERED);
        assert!(server.join().expect("a server").is_some());
    }
}

/// With TLS 1.3, the connection's reset may overtake the server's alert, so each case is repeated.
#[test]
fn a_missing_or_rejected_client_certificate_is_reported() {
    let (authority, clients, files) = (Authority::new(), Authority::new(), Files::new());
    let (certificate, key) = authority.issue("weave.invalid");
    let strangers = IdentityFiles {
        certificate: files.write("client.pem", &certificate.pem()),
        key: files.write("client.key", &key.serialize_pem()),
    };
    let root = files.write("root.pem", &authority.root);
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        for _ in 0..5 {
            let (address, server) = authority.serve_after(Some(&clients), versions, 1, ok());
            let mut settings = settings(address);
            settings.certificate = Some(root.clone());
            assert_eq!(send(&settings), failed(TlsFailure::ClientCertificate));
            assert!(server.join().expect("a server").is_none());
        }
        let (address, server) = authority.serve(Some(&clients), versions, ok());
        let mut settings = settings(address);
        settings.certificate = Some(root.clone());
        settings.client = Some(strangers.clone());
        match send(&settings) {
            DeliveryOutcome::Retry { after: None, kind: FailureKind::Connection } => {}
            other => assert_eq!(other, failed(TlsFailure::ClientRefused)),
        }
        assert!(server.join().expect("a server").is_none());
    }
}

const BROKEN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn unusable_files_are_reported() {
    let (authority, files) = (Authority::new(), Files::new());
    let (certificate, key) = authority.issue("weave.invalid");
    let (_, other_key) = authority.issue("weave.invalid");
    let endpoint = ([127, 0, 0, 1], 1).into();
    let is_unusable = |settings: &OtlpSettings, setting, error| {
        let kind = FailureKind::Settings(setting, error);
        assert_eq!(send(settings), DeliveryOutcome::retry(kind));
        assert_eq!(check(settings), Err(kind));
    };
    for text in ["", "no PEM", BROKEN, &key.serialize_pem()] {
        let mut settings = settings(endpoint);
        settings.certificate = Some(files.write("root.pem", text));
        is_unusable(&settings, Setting::Certificate, SettingError::NoCertificate);
    }
    let mut missing = settings(endpoint);
    missing.certificate = Some(files.0.path().join("missing.pem"));
    is_unusable(&missing, Setting::Certificate, SettingError::Missing);

    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    for (certificate, key, setting, error) in [
        (&*certificate, "", Setting::ClientKey, SettingError::NoKey),
        (&*certificate, &*certificate, Setting::ClientKey, SettingError::NoKey),
        (&*certificate, &*other_key.serialize_pem(), Setting::ClientKey, SettingError::OtherKey),
        ("", &*key, Setting::ClientCertificate, SettingError::NoCertificate),
        (BROKEN, &*key, Setting::ClientCertificate, SettingError::NoCertificate),
    ] {
        let mut settings = settings(endpoint);
        settings.certificate = Some(files.write("root.pem", &authority.root));
        settings.client = Some(IdentityFiles {
            certificate: files.write("client.pem", certificate),
            key: files.write("client.key", key),
        });
        is_unusable(&settings, setting, error);
    }
}
