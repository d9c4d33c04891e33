//! The published ledger is read over https, from a server that the machine trusts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::fixture::*;

const FIRST: &str = "2026-06-29";

/// Serves a directory over TLS until the process ends. Returns its address, and its certificate.
pub(crate) fn serve(site: PathBuf) -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}/frob/", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut request = [0; 4096];
            // A client that does not trust the certificate sends no request.
            let Ok(length) = stream.read(&mut request) else { continue };
            let request = text(&request[..length]);
            let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches("/frob/").to_owned();
            let (status, body) = match fs::read(site.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.into_bytes(), body].concat());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, cert.pem())
}

#[test]
fn the_published_ledger_is_read_over_https_and_only_from_a_server_that_is_trusted() {
    let publisher = Publisher::with_weeks(&["2026-W27", "2026-W28", "2026-W29"]);
    let (address, certificate) = serve(publisher.path("ledger-site"));
    let trusted = publisher.path("trusted.pem");
    fs::write(&trusted, certificate).unwrap();
    let publish = |ledger: &str, day: &str, first: &[&str], is_trusted: bool| {
        let mut command = publisher.command(ledger, day, first);
        command.args(["--published-at", &address]);
        command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        if is_trusted {
            command.env("SSL_CERT_FILE", &trusted);
        }
        command.output().unwrap()
    };
    succeeded(&publish("ledger", "2026-08-03", &["--first", FIRST], true));
    succeeded(&publish("ledger", "2026-08-10", &[], true));
    let second = refused(&publish("second", "2026-08-10", &["--first", FIRST], true));
    assert!(second.contains("is ahead of this one"), "{second}");
    let untrusted = refused(&publish("ledger", "2026-08-17", &[], false));
    assert!(untrusted.contains("cannot be read"), "{untrusted}");
    assert_eq!(entries(&publisher.path("ledger")).len(), 2);
}
