//! The tests of `publish` and `verify`, as one binary.

mod clickhouse; // ClickHouse that does not answer, and ClickHouse over TLS
mod closing; // a period closes once: repeated, raced, restored, corrected, withdrawn
mod fixture; // stores with known counts, and the program
mod https; // the published ledger is read over https, from a server that is trusted
#[cfg(target_os = "linux")]
mod kills; // a ledger is whole wherever the program is killed
mod noise; // the noise that is published is the noise that ε asks for
mod report; // exact numbers are marked, private, and never in a site
mod site; // the page, the files beside it, and how they are put in place
mod synthetic; // fixture: synthetic releases, which the example `published` shares
mod verifying; // what `verify` finds
