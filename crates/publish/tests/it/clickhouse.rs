//! ClickHouse that does not answer, and ClickHouse over TLS. What it answers is compared by `.ci/clickhouse`.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::fixture::*;
use crate::https;

const FIRST: [&str; 4] = ["--first", "2026-06-29", "--today", "2026-08-03"];

fn publish(directory: &Path, address: &str, more: &[&str]) -> Command {
    std::fs::write(directory.join("telemetry.toml"), definition(COMMANDS)).unwrap();
    let mut command = program();
    command.current_dir(directory).args(["publish", "--clickhouse", address]).args(more).args(FIRST);
    command.args(["--data-points", "telemetry.toml", "--ledger", "ledger", "--out", "site"]);
    command.env_remove("CLICKHOUSE_USER").env_remove("CLICKHOUSE_PASSWORD");
    command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
    command
}

#[test]
fn a_query_that_takes_long_is_told_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    // Connections are accepted by the kernel, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/otel", listener.local_addr().unwrap());
    let output = publish(directory.path(), &address, &["--clickhouse-timeout", "14"]).output().unwrap();
    let said = refused(&output);
    assert!(said.contains("waiting for ClickHouse since 1"), "{said}");
    assert!(
        said.contains("has not answered within 14 s: the columns of its table. Nothing is drawn"),
        "{said}"
    );
    assert!(!directory.path().join("ledger").exists());
}

#[test]
fn a_server_over_tls_must_be_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (address, certificate) = https::serve(directory.path().to_owned());
    let address = address.replace("/frob/", "/otel");
    let trusted = directory.path().join("trusted.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let unknown = refused(&publish(directory.path(), &address, &[]).output().unwrap());
    assert!(unknown.contains("cannot be read") && unknown.contains("certificate"), "{unknown}");
    // That server knows nothing of ClickHouse, but the request reached it.
    let known = publish(directory.path(), &address, &[]).env("SSL_CERT_FILE", &trusted).output().unwrap();
    let known = refused(&known);
    assert!(known.contains("refuses") && known.contains("404"), "{known}");
}

#[test]
fn a_password_is_never_an_argument() {
    let directory = tempfile::tempdir().unwrap();
    let mut inside = publish(directory.path(), "https://reader:secret@127.0.0.1/otel", &[]);
    let said = refused(&inside.output().unwrap());
    assert!(said.contains("the user and the password have options of their own"), "{said}");
    let missing = ["--clickhouse-password-file", "missing"];
    let said = refused(&publish(directory.path(), "http://127.0.0.1:9/otel", &missing).output().unwrap());
    assert!(said.contains("missing cannot be read"), "{said}");
}
