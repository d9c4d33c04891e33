//! A period closes once, and the ledger decides.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use tool_telemetry_collect::marks::MarkState;
use tool_telemetry_publish::release::Entry;

use crate::fixture::*;

const WEEKS: [&str; 3] = ["2026-W27", "2026-W28", "2026-W29"];
const FIRST: &str = "2026-06-29";

#[test]
fn a_period_closes_28_days_after_its_end_and_publishing_again_changes_no_byte() {
    let publisher = Publisher::with_weeks(&WEEKS);
    let early = refused(&publisher.publish("ledger", "2026-08-02", &["--first", FIRST]));
    assert!(early.contains("the period of 2026-06-29 closes on 2026-08-03"), "{early}");
    publisher.begin("ledger", "2026-08-03", FIRST);
    assert_eq!(releases(&publisher.path("ledger")).len(), 1);
    succeeded(&publisher.publish("ledger", "2026-08-17", &[]));
    let starts: Vec<String> =
        releases(&publisher.path("ledger")).into_iter().map(|release| release.start).collect();
    assert_eq!(starts, ["2026-06-29", "2026-07-06", "2026-07-13"]);
    let before = ["ledger", "ledger-site"].map(|name| files(&publisher.path(name)));
    assert!(succeeded(&publisher.publish("ledger", "2026-08-18", &[])).contains("no period is due"));
    // The store no longer decides: what arrives later is not published.
    publisher.add(WEEKS[0], r#"["frob.command"]"#, &[(r#"["run"]"#, 5_000)]);
    succeeded(&publisher.publish("ledger", "2026-08-18", &[]));
    assert_eq!(before, ["ledger", "ledger-site"].map(|name| files(&publisher.path(name))));
}

#[test]
fn without_its_ledger_nothing_is_published() {
    let publisher = Publisher::with_weeks(&WEEKS);
    let missing = refused(&publisher.publish("ledger", "2026-08-03", &[]));
    assert!(missing.contains("there is no ledger"), "{missing}");
    publisher.begin("ledger", "2026-08-03", FIRST);
    let second = refused(&publisher.publish("ledger", "2026-08-03", &["--first", FIRST]));
    assert!(second.contains("holds a ledger already"), "{second}");
    fs::remove_dir_all(publisher.path("ledger")).unwrap();
    // Also with `--first`, because the site still has the old one.
    let lost = refused(&publisher.publish("ledger", "2026-08-03", &["--first", FIRST]));
    assert!(lost.contains("is ahead of this one"), "{lost}");
    assert_eq!(entries(&publisher.path("ledger")).len(), 0);
}

#[test]
fn a_ledger_that_is_older_than_the_published_one_or_another_one_draws_nothing() {
    let publisher = Publisher::with_weeks(&WEEKS);
    publisher.begin("ledger", "2026-08-03", FIRST);
    copy(&publisher.path("ledger"), &publisher.path("backup"));
    succeeded(&publisher.publish("ledger", "2026-08-10", &[]));
    let site = publisher.path("ledger-site");
    let published = ["--published-at", site.to_str().unwrap()];
    let older = refused(&publisher.publish("backup", "2026-08-10", &published));
    assert!(older.contains("is ahead of this one. Nothing is drawn"), "{older}");
    let mut with_first = published.to_vec();
    with_first.extend(["--first", FIRST]);
    let second = refused(&publisher.publish("second", "2026-08-10", &with_first));
    assert!(second.contains("Nothing is drawn"), "{second}");
    assert_eq!(entries(&publisher.path("backup")).len(), 1);
    // With the files of the site it goes on where that was.
    copy(&site.join("ledger"), &publisher.path("backup"));
    succeeded(&publisher.publish("backup", "2026-08-17", &published));
    assert_eq!(entries(&publisher.path("backup")).len(), 3);
}

/// Answers requests with the file that each asks for, until the process ends.
fn serve(site: std::path::PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/frob", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or_default();
            let request = text(&request[..length]);
            let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches("/frob/").to_owned();
            let answer = match fs::read(site.join(path)) {
                Ok(body) => [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), body].concat(),
                Err(_) => {
                    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
                }
            };
            let _ = stream.write_all(&answer);
        }
    });
    address
}

#[test]
fn the_published_ledger_is_read_over_the_network_and_an_unreachable_one_stops_everything() {
    let publisher = Publisher::with_weeks(&WEEKS);
    let address = serve(publisher.path("ledger-site"));
    succeeded(&publisher.publish("ledger", "2026-08-03", &["--first", FIRST, "--published-at", &address]));
    let second =
        refused(&publisher.publish("second", "2026-08-03", &["--first", FIRST, "--published-at", &address]));
    assert!(second.contains("is ahead of this one"), "{second}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down =
        refused(&publisher.publish("ledger", "2026-08-10", &["--published-at", &format!("http://{nobody}")]));
    assert!(down.contains("cannot be read"), "{down}");
    let plain =
        refused(&publisher.publish("ledger", "2026-08-10", &["--published-at", "http://example.org"]));
    assert!(plain.contains("neither an https address nor a directory"), "{plain}");
    assert_eq!(entries(&publisher.path("ledger")).len(), 1);
}

#[test]
fn a_ledger_that_has_begun_is_compared_with_a_published_one_or_draws_nothing() {
    let publisher = Publisher::with_weeks(&WEEKS);
    publisher.begin("ledger", "2026-08-03", FIRST);
    let empty = tempfile::tempdir().unwrap();
    let address = serve(empty.path().to_owned());
    let nowhere = empty.path().join("misspelt").display().to_string();
    for place in [&address, &nowhere] {
        let said = refused(&publisher.publish("ledger", "2026-08-10", &["--published-at", place]));
        assert!(said.contains(&format!("nothing is published at {place}")), "{said}");
    }
    assert_eq!(entries(&publisher.path("ledger")).len(), 1);
    // Until it is uploaded, the site is where it was written.
    let site = publisher.path("ledger-site").display().to_string();
    succeeded(&publisher.publish("ledger", "2026-08-10", &["--published-at", &site]));
    assert_eq!(entries(&publisher.path("ledger")).len(), 2);
}

#[test]
fn two_jobs_at_once_draw_once() {
    let publisher = Publisher::with_weeks(&WEEKS);
    publisher.begin("ledger", "2026-08-03", FIRST);
    let first = files(&publisher.path("ledger"));
    let mut jobs: Vec<_> = (0..6)
        .map(|_| {
            let mut job = publisher.command("ledger", "2026-08-17", &[]);
            job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let successes =
        jobs.iter_mut().filter_map(|job| job.wait().ok()).filter(|status| status.success()).count();
    assert!(successes >= 1);
    let releases = releases(&publisher.path("ledger"));
    let starts: Vec<&str> = releases.iter().map(|release| release.start.as_str()).collect();
    assert_eq!(starts, ["2026-06-29", "2026-07-06", "2026-07-13"]);
    assert!(files(&publisher.path("ledger")).contains(&first[0]));
}

#[test]
fn a_correction_has_fresh_noise_happens_once_and_adds_to_epsilon() {
    let publisher = Publisher::with_weeks(&WEEKS);
    publisher.begin("ledger", "2026-08-17", FIRST);
    let correct = ["--correct", "2026-07-06", "--reason", "A flood was counted"];
    let said = succeeded(&publisher.publish("ledger", "2026-08-20", &correct));
    let all = releases(&publisher.path("ledger"));
    let correction = &all[3];
    assert_eq!((correction.number, correction.correction.as_deref()), (2, Some("A flood was counted")));
    assert!(correction.privacy.epsilon > 2.8 && correction.privacy.epsilon < 3.0, "{:?}", correction.privacy);
    assert!(said.contains(&format!("ε of this period is now {}", correction.privacy.epsilon)), "{said}");
    let again = refused(&publisher.publish("ledger", "2026-08-20", &correct));
    assert!(again.contains("was corrected once already"), "{again}");
    let never =
        refused(&publisher.publish("ledger", "2026-08-20", &["--correct", "2026-07-20", "--reason", "x"]));
    assert!(never.contains("was never released"), "{never}");
    let mute = refused(&publisher.publish("ledger", "2026-08-20", &["--correct", "2026-07-06"]));
    assert!(mute.contains("--reason"), "{mute}");
}

#[test]
fn a_withdrawal_leaves_a_tombstone_and_never_opens_the_period_again() {
    let publisher = Publisher::with_weeks(&WEEKS);
    publisher.begin("ledger", "2026-08-17", FIRST);
    for start in ["2026-07-06", FIRST] {
        succeeded(&publisher.publish(
            "ledger",
            "2026-08-20",
            &["--withdraw", start, "--reason", "Wrong store"],
        ));
    }
    succeeded(&publisher.publish("ledger", "2026-08-21", &[]));
    let entries = entries(&publisher.path("ledger"));
    let kinds: Vec<&str> = (entries.iter())
        .map(|entry| match entry {
            Entry::Release(release) => release.start.as_str(),
            Entry::Withdrawal(withdrawal) => withdrawal.reason.as_str(),
        })
        .collect();
    assert_eq!(kinds, ["2026-07-13", "Wrong store", "Wrong store"]);
    let verify = program().arg("verify").arg(publisher.path("ledger")).output().unwrap();
    assert!(succeeded(&verify).contains("5 files, 1 releases, 2 withdrawals"));
    assert!(!files(&publisher.path("ledger-site")).iter().any(|(name, _)| name.contains("000001-")));
}

#[test]
fn a_licence_that_is_not_open_must_be_said_twice() {
    let closed = definition(COMMANDS).replace("CC-BY-4.0", "CC-BY-NC-4.0");
    let publisher = Publisher::new(&closed);
    let once = refused(&publisher.publish("ledger", "2026-08-03", &["--first", FIRST]));
    assert!(once.contains("add `--licence CC-BY-NC-4.0`"), "{once}");
    succeeded(&publisher.publish("ledger", "2026-08-03", &["--first", FIRST, "--licence", "CC-BY-NC-4.0"]));
}

#[test]
fn a_week_that_the_store_still_takes_waits_and_what_is_published_before_it_is_shown() {
    // The store has closed 2026-W40.
    let publisher = Publisher::with_weeks(&["2026-W40", "2026-W41"]);
    publisher.begin("ledger", "2026-11-02", "2026-09-28");
    std::fs::remove_dir_all(publisher.path("ledger-site")).unwrap();
    let output = publisher.publish("ledger", "2026-11-16", &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let waits = "2026-10-05: due, but not released: the store still takes counts of 2026-W41";
    assert!(said.starts_with(waits), "{said}");
    assert_eq!(entries(&publisher.path("ledger")).len(), 1);
    let site = publisher.path("ledger-site");
    let periods = fs::read_to_string(site.join("data/periods.csv")).unwrap();
    assert!(periods.contains("2026-09-28,7,1,") && !periods.contains("2026-10-05"), "{periods}");
    succeeded(&program().arg("verify").arg(site).output().unwrap());
}

#[test]
fn a_ledger_does_not_begin_with_a_week_that_the_store_still_takes() {
    let publisher = Publisher::with_weeks(&["2026-W41"]);
    let output = publisher.publish("ledger", "2026-11-16", &["--first", "2026-10-05"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("the store still takes counts of 2026-W41"));
    assert_eq!(entries(&publisher.path("ledger")).len(), 0);
    assert!(!publisher.path("ledger-site").exists());
}

#[test]
fn a_held_cell_keeps_its_period_from_being_published_until_a_person_decides() {
    let publisher = Publisher::with_weeks(&WEEKS);
    publisher.mark(WEEKS[1], MarkState::Held);
    publisher.begin("ledger", "2026-08-03", FIRST);
    let before = files(&publisher.path("ledger"));
    let held = publisher.publish("ledger", "2026-08-10", &[]);
    assert_eq!(held.status.code(), Some(1));
    let told = text(&held.stdout);
    assert!(
        told.contains(r#"2026-07-06: due, but not released: the cell ["frob.command"] ["build"]"#),
        "{told}"
    );
    assert_eq!(files(&publisher.path("ledger")), before);
    publisher.mark(WEEKS[1], MarkState::Released);
    succeeded(&publisher.publish("ledger", "2026-08-10", &[]));
    assert_eq!(releases(&publisher.path("ledger")).len(), 2);
}
