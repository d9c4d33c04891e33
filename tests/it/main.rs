//! All integration tests, as one binary: it links once, and a test finds its neighbours' fixtures.

mod accounting; // recorded = delivered + pending + dropped, whatever happens
mod bad_disk; // a disk that is full, cannot be written, or gives back something else
mod ci; // build machines: what is said, waited for and left
mod contract; // the wire contract of `proto/`: generated code, and what requests carry beyond it
mod deletion; // `off` and `purge` reach everything that is ours, and name what they could not delete
mod delivery; // from a command to a receiver, and only to the run's own destination
mod destination_settings; // settings that cannot be used are named, and runs wait
mod detachment; // nobody waits for the uploader, nothing reaches it, nothing of ours gets into the tool's files
mod documents; // the documents say what is there
mod dotnet; // the example tool, as people run it
mod effects;
mod examples; // every example runs, and the receiver gets what it promises
mod hostile_ground; // no home, no space, no rights, and planted files
mod killed_uploader; // a claim dies with its owner, and nothing is lost with it
mod limits; // how much may wait, and how large a run may be
mod no_locks; // a file system without locks, and an uploader that is frozen
mod notice; // the first-run notice, on a terminal, in a pipe and in CI
mod off; // `telemetry off` in the middle of everything, and looking without sending
mod opt_out; // opted out means absent
mod other_layers; // beside the layer nobody notices it
mod otlp; // fixture: spans and senders that know nothing of our own contract
mod policy_page; // the examples of docs/policy.md, on machines of their own
mod precedence; // what variables, policy, choice and default make of each other
mod process_ends; // a run is reported however its process ends
mod receiver; // the OTLP receiver over real sockets: answers, limits, trees
mod recording_server; // fixture: a server that keeps every byte that reaches it
mod responses; // what the uploader makes of each answer, and when it comes back
mod runs; // each command is a run, and what is none
mod secrets; // secrets left anywhere reach neither the disk nor the wire
mod side_by_side; // versions, upgrades, clocks, and people who change their minds
mod spans; // spans on other threads, with explicit parents, recorded twice, never closed
mod spool; // the spool's own files: names that are not ours, and what a user deletes
mod status; // `telemetry status`, for people and for programs, and what errors say
mod suggested_commands; // texts name only what the tool has
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod system_calls; // fixture: the system calls of a program, and what becomes of one
mod test_user; // fixture: a user with a home of their own, who runs the tool of the tests
mod uploader; // the uploader always ends, is alone, is small, and no refused run holds up another
mod uploader_start; // the uploader where it is hard to start, or is ended with whoever started it // every wish, and what is observed of it: files, processes, sockets, calls
