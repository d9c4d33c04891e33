//! recorded = delivered + pending + dropped. The test counts the runs that it starts.

use tool_telemetry_receiver::{Answer, Receiver};

use crate::test_user::{DEAD_ENDPOINT, TestUser};

/// All runs that `status` accounts for.
fn total(user: &TestUser) -> u64 {
    user.count("pending") + user.count("delivered") + user.count("dropped")
}

#[test]
fn counts_add_up_after_every_outcome() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    let mut recorded = 0;
    let run = |recorded: &mut u64, end: &str| {
        user.run_frob(["build", "--end", end]);
        *recorded += 1;
    };

    run(&mut recorded, "return=0");
    run(&mut recorded, "abort");
    assert!(user.flush());
    assert_eq!((user.count("delivered"), total(&user)), (2, recorded));

    // Refused.
    receiver.answer_next([Answer::status(400)]);
    run(&mut recorded, "return=0");
    assert!(user.flush());
    assert_eq!((user.dropped("refused"), total(&user)), (1, recorded));

    // Partly accepted: delivered, and the rejected spans are counted.
    receiver.answer_next([Answer::partial_success(2, "too many")]);
    run(&mut recorded, "return=0");
    assert!(user.flush());
    assert_eq!((user.count("delivered"), total(&user)), (3, recorded));
    assert!(user.status().contains("2 spans rejected by the receiver"), "{}", user.status());

    // A busy server: the run stays pending.
    receiver.answer_next([Answer::status(503).with_retry_after("1")]);
    run(&mut recorded, "return=0");
    user.flush();
    assert_eq!((user.count("pending"), total(&user)), (1, recorded));

    // Deleted by the user: one sealed run, and one that was cut off.
    run(&mut recorded, "abort");
    user.run_frob(["telemetry", "purge"]);
    assert_eq!((user.dropped("purged"), total(&user)), (2, recorded));

    // Off and on again.
    run(&mut recorded, "return=0");
    user.run_frob(["telemetry", "off"]);
    user.run_frob(["build"]);
    user.run_frob(["telemetry", "on"]);
    assert_eq!((user.dropped("opted_out"), total(&user)), (1, recorded));
}

#[test]
fn unreadable_runs_are_counted_as_damaged() {
    let receiver = Receiver::start().expect("a receiver");
    let user = TestUser::sending_to(&receiver.http_endpoint());
    receiver.answer_next([Answer::status(503).with_retry_after("1")]);
    for end in ["return=0", "signal=KILL"] {
        user.run_frob(["build", "--end", end]);
    }
    crate::test_user::eventually("the uploader was refused", || user.status().contains("http 503"));
    for path in user.pending_runs() {
        std::fs::write(path, "<html>\n").expect("it is there");
    }
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert!(user.flush());
    assert_eq!((user.dropped("damaged"), total(&user)), (2, 2));
    assert!(receiver.traces().is_empty());
}

#[test]
fn damaged_counters_are_reported_and_kept() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    user.run_frob(["build"]);
    assert!(user.flush());
    let counters = user.spool(&endpoint).join("counters");
    let whole = std::fs::read(&counters).expect("there are counters");
    std::fs::write(&counters, &whole[..whole.len() / 2]).expect("they can be written");
    assert!(user.status().contains("was damaged: counting began again"), "{}", user.status());
    user.run_frob(["build"]);
    assert!(user.flush());
    assert!(user.status().contains("was damaged: counting began again"), "{}", user.status());
    assert_eq!(user.count("delivered"), 1);
    let kept = std::fs::read(user.spool(&endpoint).join("counters.damaged")).expect("they are kept");
    assert_eq!(kept, &whole[..whole.len() / 2]);
}

#[test]
fn truncated_or_corrupted_state_files_are_harmless() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let user = TestUser::sending_to(&endpoint);
    user.run_frob(["build", "--spans", "1"]);
    assert!(user.flush());
    let spool = user.spool(&endpoint);
    std::fs::write(spool.join("backoff"), "until=1000 failures=2 asked=no\n").expect("it can be written");
    let run =
        std::fs::read_dir(spool.join("sent")).expect("a directory").flatten().next().expect("a run").path();
    let waiting = spool.join("runs").join(run.file_name().expect("a name"));
    std::fs::copy(&run, &waiting).expect("it can be written");
    let choice = user.home().join(".config/frob/telemetry.toml");
    let files = [spool.join("counters"), spool.join("backoff"), choice, waiting];
    let files = files.map(|file| (std::fs::read(&file).expect("it is there"), file));
    for (whole, file) in files {
        let step = whole.len() / 4 + 1;
        for position in (0..whole.len()).step_by(step) {
            let mut changed = whole.clone();
            changed[position] ^= 0x55;
            for content in [&whole[..position], &changed[..]] {
                std::fs::write(&file, content).expect("it can be written");
                let output = user.run_frob(["build"]);
                assert_eq!(
                    (output.status.code(), &output.stdout[..]),
                    (Some(0), &b"working\n"[..]),
                    "{file:?}"
                );
                // A choice file that lost the notice's receiver shows the notice again.
                let stderr = String::from_utf8_lossy(&output.stderr);
                let is_notice = file.ends_with("telemetry.toml")
                    && stderr.starts_with("From the next run on, frob reports");
                assert!(stderr.is_empty() || is_notice, "{file:?} {position}: {output:?}");
                let status = user.run_frob(["telemetry", "status"]);
                assert!(status.status.success(), "{file:?} {position}");
                let _ = user.flush();
            }
        }
        std::fs::write(&file, &whole).expect("it can be written");
    }
    assert!(receiver.outside_contract().is_empty());
    assert_eq!(receiver.rejected(), 0);
}

#[test]
fn status_without_a_spool_counts_nothing() {
    let user = TestUser::sending_to(DEAD_ENDPOINT);
    assert_eq!(total(&user), 0);
}
