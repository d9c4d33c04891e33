//! The tests of `collect`, as one binary.

mod answers; // what senders are told: encodings, limits, refusals, tokens, TLS
mod counts; // counts of installations: which are taken, and the cells that they are added to
mod fixture; // traces, stores, and what is in them
#[cfg(target_os = "linux")]
mod hostile; // nobody hurts the server: slow senders, bombs, endless bodies, floods
mod keeping; // each trace once, whatever is repeated, restarted, merged, or closed
#[cfg(target_os = "linux")]
mod kills; // what was answered is there once, wherever the server is killed
mod marks; // floods: what is held, marked, and left out
#[cfg(target_os = "linux")]
mod power_cut; // what was answered survives a power cut
mod privacy; // nothing unapproved, and nothing of the sender, reaches the store, the log, or the metrics
mod program; // fixture: the server as a process, and senders
mod starting; // what the server says when it cannot start, and how it ends
mod store_commands; // export, import, recount, forget, status, and demo
