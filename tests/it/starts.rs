//! The uploader where it is hard to start, or is ended with whoever started it.

use tool_telemetry::receiver::{Answer, Receiver};

use crate::person::{NOBODY, PATIENCE, Person, example, shim};

/// The uploader's name, as `ps` tells it.
fn name(uploader: u32) -> String {
    std::fs::read_to_string(format!("/proc/{uploader}/comm")).unwrap_or_default()
}

#[test]
fn the_uploader_goes_the_way_of_the_tools_proxifier() {
    let receiver = Receiver::start().expect("a receiver");
    let port = receiver.http_endpoint().rsplit_once(':').expect("a port").1.to_owned();
    // Whoever connects directly finds nobody there.
    let person = Person::sending_to(NOBODY);
    let shim = shim(&person, "through_somebody_else.c");
    let shim = shim.strip_prefix(person.home()).expect("in the home");
    let person = person
        .with("PROXYCHAINS_SOCKS5_PORT", &port)
        // Found from where the tool runs.
        .with("LD_PRELOAD", &format!("./{}", shim.display()));
    assert!(person.frob(["build"]).status.success());
    receiver.wait_for(1, PATIENCE).expect("it arrives through the shim");
}

#[test]
fn the_uploader_carries_the_tools_name_and_stands_in_no_folder() {
    let receiver = Receiver::builder().always(Answer::Hang).start().expect("a receiver");
    // A library that is not there: the loader complains to nobody, and goes on.
    let person = Person::sending_to(&receiver.http_endpoint()).with("LD_LIBRARY_PATH", "lib");
    assert!(person.frob(["build"]).status.success());
    receiver.wait_until(|receiver| receiver.requests().len() == 1, PATIENCE).expect("a request");
    let uploaders = person.uploaders();
    assert_eq!(uploaders.iter().map(|uploader| name(*uploader)).collect::<Vec<_>>(), ["frob\n"]);
    let folder = std::fs::read_link(format!("/proc/{}/cwd", uploaders[0])).expect("a link");
    assert_eq!(folder.to_str(), Some("/"));
}

#[test]
fn a_flush_learns_its_uploaders_end_also_where_nobody_hears_of_children() {
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = receiver.http_endpoint();
    let person = Person::sending_to(&endpoint).backing_off(&endpoint);
    assert!(person.frob(["build"]).status.success());
    let script = format!("trap '' CHLD; exec {} telemetry flush", example("frob").display());
    let flushed = person.command("sh").args(["-c", &script]).output().expect("a shell");
    assert_eq!((flushed.status.code(), person.count("delivered")), (Some(0), 1), "{}", person.status());
}
