use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use rustls::ALL_VERSIONS;
use tempfile::TempDir;

use super::*;
use crate::upload::answer::{self, Answer, DELIVERED, FailureKind};
use crate::upload::settings::Protocol;
use crate::upload::testing::{self, Authority};
use crate::upload::transport::Transport;

/// A folder with PEM files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

fn settings(address: SocketAddr) -> Settings {
    testing::settings(format!("https://{address}/v1/traces"), Protocol::HttpProtobuf)
}

fn send(settings: &Settings) -> Answer {
    let spans = testing::spans();
    Transport::open(settings).send(&testing::batch(&spans), SystemTime::UNIX_EPOCH)
}

fn ok() -> Vec<u8> {
    testing::answer("200 OK", testing::PROTOBUF, b"")
}

#[test]
fn a_given_root_is_trusted_with_either_version() {
    let (authority, files) = (Authority::new(), Files::new());
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let (address, server) = authority.serve(None, versions, ok());
        let mut settings = settings(address);
        settings.certificate = Some(files.write("root.pem", &authority.root));
        assert_eq!(send(&settings), DELIVERED);
        assert!(server.join().expect("a server").is_some());
    }
}

#[test]
fn what_is_not_trusted_gets_nothing() {
    let (authority, stranger, files) = (Authority::new(), Authority::new(), Files::new());
    let strangers_root = files.write("root.pem", &stranger.root);
    for certificate in [None, Some(strangers_root)] {
        let (address, server) = authority.serve(None, ALL_VERSIONS, ok());
        let mut settings = settings(address);
        settings.certificate = certificate;
        assert_eq!(send(&settings), answer::retry(FailureKind::Tls));
        assert!(server.join().expect("a server").is_none());
    }
    // The certificate is for 127.0.0.1.
    let (address, server) = authority.serve(None, ALL_VERSIONS, ok());
    let mut settings = settings(address);
    settings.certificate = Some(files.write("root.pem", &authority.root));
    settings.endpoint = format!("https://localhost:{}/v1/traces", address.port());
    assert_eq!(send(&settings), answer::retry(FailureKind::Tls));
    assert!(server.join().expect("a server").is_none());
}

#[test]
fn a_server_without_tls_gets_nothing() {
    let (address, server) = testing::serve_by(|mut stream| {
        use std::io::Write as _;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert_eq!(send(&settings(address)), answer::retry(FailureKind::Tls));
    server.join().expect("a server");
}

/// What `openssl ec` writes: in PKCS#8 the key of a P-256 pair is such a structure behind a head of one length.
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
fn shows_its_certificate_to_a_server_that_asks() {
    let (authority, clients, files) = (Authority::new(), Authority::new(), Files::new());
    let (certificate, key) = clients.issue("weave.invalid");
    let mut settings = settings(([127, 0, 0, 1], 0).into());
    settings.certificate = Some(files.write("root.pem", &authority.root));
    for key in [Some(key.serialize_pem()), Some(sec1(&key)), None] {
        let (address, server) = authority.serve(Some(&clients), ALL_VERSIONS, ok());
        settings.endpoint = format!("https://{address}/v1/traces");
        settings.client = key.as_ref().map(|key| ClientIdentity {
            certificate: files.write("client.pem", &certificate.pem()),
            key: files.write("client.key", key),
        });
        match send(&settings) {
            DELIVERED => assert!(key.is_some(), "it was let in"),
            // With TLS 1.3 the server's reason may be lost in the reset of the connection.
            Answer::Retry { after: None, kind: FailureKind::Tls | FailureKind::Connection } => {
                assert!(key.is_none())
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(server.join().expect("a server").is_some(), key.is_some());
    }
}

#[test]
fn files_that_cannot_be_used_are_a_matter_of_settings() {
    let (authority, files) = (Authority::new(), Files::new());
    let (certificate, key) = authority.issue("weave.invalid");
    let (_, other_key) = authority.issue("weave.invalid");
    let endpoint = ([127, 0, 0, 1], 1).into();
    let is_unusable = |settings: &Settings| assert_eq!(send(settings), answer::retry(FailureKind::Settings));

    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["", "no PEM", broken, &key.serialize_pem()] {
        let mut settings = settings(endpoint);
        settings.certificate = Some(files.write("root.pem", text));
        is_unusable(&settings);
    }
    let mut missing = settings(endpoint);
    missing.certificate = Some(files.0.path().join("missing.pem"));
    is_unusable(&missing);

    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    for (certificate, key) in [
        (&*certificate, ""),
        (&*certificate, &*certificate),
        (&*certificate, &*other_key.serialize_pem()),
        ("", &*key),
        (broken, &*key),
    ] {
        let mut settings = settings(endpoint);
        settings.client = Some(ClientIdentity {
            certificate: files.write("client.pem", certificate),
            key: files.write("client.key", key),
        });
        is_unusable(&settings);
    }
}
