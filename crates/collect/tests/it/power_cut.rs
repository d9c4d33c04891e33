//! What was answered survives a power cut: a library that the server is loaded with keeps only what was synced.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::*;

/// Compiles the library once for each test, with the C compiler that built SQLite.
fn library(directory: &Path) -> PathBuf {
    let library = directory.join("power_cut.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_cut.c");
    let status =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(status.unwrap().success(), "this test needs a C compiler");
    library
}

/// The runs that were answered, and those that are there after the power cut.
fn cut(ignored: Option<&str>) -> (Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let (memory, disk) = (directory.path().join("memory"), directory.path().join("disk"));
    std::fs::create_dir(&disk).unwrap();
    let mut command = collect(&memory);
    command.env("LD_PRELOAD", library(directory.path())).env("POWER_CUT_DISK", &disk);
    if let Some(ignored) = ignored {
        command.env("POWER_CUT_IGNORE", ignored);
    }
    let mut server = Server::spawn(&mut command);
    let mut answered = Vec::new();
    for round in 0..60_u32 {
        // Large requests too, so that the log is copied into the database now and then.
        let runs: Vec<u32> =
            (0..if round % 20 == 19 { 4_000 } else { 3 }).map(|run| round * 10_000 + run).collect();
        assert!(server.send(&runs));
        answered.extend(runs);
    }
    server.kill();
    // What a server finds when the power is back.
    let server = Server::try_spawn(&mut collect(&disk));
    let Some(server) = server else { return (ids(answered), Vec::new()) };
    drop(server);
    (ids(answered), exported(&disk))
}

#[test]
fn what_was_answered_survives_a_power_cut() {
    let (answered, there) = cut(None);
    assert_eq!(answered, there);
}

/// Without this, the test above could pass on a disk that keeps everything.
#[test]
fn without_fsync_of_the_log_a_power_cut_loses_runs() {
    let (answered, there) = cut(Some("-wal"));
    assert!(there.len() < answered.len(), "{} of {}", there.len(), answered.len());
}
