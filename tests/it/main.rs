//! All integration tests, in one binary: it links once, and the tests share their fixtures.

mod accounting; // recorded = delivered + pending + dropped
mod bad_disk; // a disk that is full, read-only, or corrupted
mod ci; // CI jobs and containers
mod clock; // a clock that jumps
mod contract; // the wire contract of `proto/`
#[cfg(target_os = "linux")]
mod counting_user; // fixture: a tool that counts installations, and a clock
#[cfg(target_os = "linux")]
mod counts; // counts of installations
mod deletion; // `off` and `purge`
mod delivery; // from a command to its own destination, over every protocol
mod destination_settings; // headers, certificates, timeouts, and proxies
#[cfg(target_os = "linux")]
mod detachment; // the uploader holds nothing of the tool's, and survives its terminal
#[cfg(target_os = "linux")]
mod documents; // the tables of the documents, and the tests behind them
mod dotnet; // the example tool `dotnet`
#[cfg(target_os = "linux")]
mod effects; // what each setting leaves: files, processes, sockets, and system calls
mod examples; // the other examples
mod explain; // `<TOOL>_TELEMETRY=explain`
mod grpc_responses; // unusual responses over gRPC
mod killed_uploader; // an uploader that is killed
mod limits; // the limits on a run and on the spool
#[cfg(target_os = "linux")]
mod no_locks; // a file system without locks, and an uploader that is frozen
mod notice; // the first-run notice
mod off; // opting out while runs are written and sent
mod opt_out; // the opt-out variables
mod other_layers; // other layers see the same with and without telemetry
mod otlp; // fixture: senders that do not use our contract
#[cfg(target_os = "linux")]
mod planted_files; // files that another program planted
#[cfg(target_os = "linux")]
mod policy_page; // the examples of docs/policy.md
#[cfg(target_os = "linux")]
mod precedence; // which of the settings wins
mod preview; // `<TOOL>_TELEMETRY=log` and `=trace`
mod process_ends; // every way in which a process can end
#[cfg(windows)]
mod process_list; // fixture: the processes of this machine
mod receiver; // the OTLP receiver
mod receiver_answers; // the answers of the OTLP receiver
mod recording_server; // fixture: a server that keeps every byte it gets
mod responses; // what the uploader makes of each response
mod rooms; // imports in `src` go one way
mod runs; // each command is a run
mod secrets; // secrets reach neither the disk nor the network
#[cfg(target_os = "linux")]
mod snapshots; // the texts that users read
mod spans; // parents, threads, and spans that are never closed
mod spool; // the spool's own files
mod standard; // ready-made data points
mod status; // `telemetry status`, and errors that say what to do
#[cfg(target_os = "linux")]
mod suggested_commands; // messages suggest only commands that the tool has
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod system_calls; // fixture: traces a program's system calls, and refuses some
mod test_user; // fixture: a user with a home directory, who runs the tests' tool
mod testing; // `tool_telemetry::testing`
mod times; // how exact the times are that a destination receives
#[cfg(target_os = "linux")]
mod unusable_home; // no home directory, or one that cannot be used
mod uploader; // the uploader ends, works alone, stays small, and isolates a bad run
#[cfg(target_os = "linux")]
mod uploader_start; // where an uploader is hard to start
mod versions; // several versions of a tool, and a tool that is replaced
#[cfg(windows)]
mod windows; // what only Windows has: jobs, consoles, handles, reserved names, and long paths
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod year_of_counts; // a year of installations, with everything that goes wrong
