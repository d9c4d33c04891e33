//! Ready-made data points, which the library records by itself: their keys and closed lists.

/// The ready-made data points that [`standard`](crate#the-file) may name, and their keys.
pub const STANDARD: [(&str, &str); 8] = [
    ("exit_code", "process.exit.code"),
    ("os", OS),
    ("arch", ARCHITECTURE),
    ("ci", CI),
    ("container", CONTAINER),
    ("terminal", TERMINAL),
    ("libc", LIBC),
    ("agent", AGENT),
];

/// The operating system (OpenTelemetry's semantic conventions).
pub const OS: &str = "os.type";
/// The architecture that the tool was built for (OpenTelemetry's semantic conventions).
pub const ARCHITECTURE: &str = "host.arch";
/// Whether the run is in CI.
pub const CI: &str = "run.in_ci";
/// Whether the run is in a container.
pub const CONTAINER: &str = "run.in_container";
/// Whether standard output is a terminal.
pub const TERMINAL: &str = "run.on_terminal";
/// The C library that the tool was built for.
pub const LIBC: &str = "run.libc";
/// The coding agent that runs the tool.
pub const AGENT: &str = "run.agent";

/// The entries as a `telemetry.toml` has them, without `since`.
#[cfg(feature = "parse")]
pub(crate) const ENTRIES: &str = r#"
[[data_point]]
key = "process.exit.code"
on = ["run"]
kind = "exit_code"
sentence = "The exit code of the command"
why = "To know what fails."
audience = "maker"
until = "never"

[[data_point]]
key = "os.type"
on = ["run"]
kind = "set"
values = ["linux", "darwin", "windows", "freebsd", "netbsd", "openbsd", "dragonflybsd", "solaris", "aix"]
sentence = "The operating system, such as Linux, macOS, or Windows"
why = "To know which systems to test and support."
audience = "maker"
until = "never"

[[data_point]]
key = "host.arch"
on = ["run"]
kind = "set"
values = ["amd64", "arm64", "arm32", "x86", "ppc64", "ppc32", "s390x", "riscv64", "loongarch64"]
sentence = "The processor architecture that the program was built for"
why = "To know which architectures to build and test for."
audience = "maker"
until = "never"

[[data_point]]
key = "run.in_ci"
on = ["run"]
kind = "bool"
sentence = "Whether the command runs in continuous integration (CI)"
why = "To tell automation from people, and to look at each on its own."
audience = "maker"
until = "never"

[[data_point]]
key = "run.in_container"
on = ["run"]
kind = "bool"
sentence = "Whether the command runs in a container"
why = "To know whether containers need more support."
audience = "maker"
until = "never"

[[data_point]]
key = "run.on_terminal"
on = ["run"]
kind = "bool"
sentence = "Whether the output is shown on a terminal"
why = "To know whether people or programs read the output."
audience = "maker"
until = "never"

[[data_point]]
key = "run.libc"
on = ["run"]
kind = "set"
values = ["glibc", "musl", "bionic", "uclibc", "msvc", "mingw"]
sentence = "The C library that the program was built for"
why = "To know which builds are used."
audience = "maker"
until = "never"

[[data_point]]
key = "run.agent"
on = ["run"]
kind = "set"
values = [
    "none", "claude-code", "codex", "cursor", "gemini-cli", "copilot", "opencode", "amp", "goose", "cline", "augment",
    "qwen-code", "trae", "kiro", "devin", "antigravity", "pi",
]
sentence = "The coding agent that runs the command, or none"
why = "To know how much of the use comes from coding agents."
audience = "maker"
until = "never"
"#;
