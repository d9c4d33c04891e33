//! The tests of the `telemetry.toml` format.

/// Which values each kind admits, and how they are rendered.
mod admission;
/// No text makes the parser panic, and every accepted file keeps its promises.
mod any_text;
/// The differences that a reviewer sees.
mod changes;
/// What installations are counted by: the tables, the periods, and their errors.
mod counts;
/// Defaults and ready-made data points.
mod defaults;
/// Each check: a file that fails it, and the line and the text of the error.
mod errors;
/// A valid file, key by key.
mod reading;

/// A valid file that has each kind once. The tests break it in one place.
const GOOD: &str = r#"
format = 1

[publisher]
name = "Example Tools"
contact = "privacy@example.com"
privacy = "https://example.com/privacy"
retention_days = 365
licence = "CC-BY-4.0"

[[span]]
name = "target"
target = "dotnet::build"
level = "debug"
sentence = "Each framework that is built"
why = "Span's why."
audience = "maker"
since = "1.0.0"
until = "2.0"

[[span]]
name = "phase"
target = "dotnet"
sentence = "Each phase of a build"
why = "Phase's why."
audience = "operator"
since = "1.0.0-rc.1"
until = "never"

[[data_point]]
key = "dotnet.framework"
on = ["target"]
sentence = "The framework used"
why = "Framework's why."
kind = "moniker"
prefixes = ["net", "netcoreapp"]
suffixes = ["-windows"]
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "dotnet.command"
on = ["run"]
sentence = "The command being used"
why = "Command's why."
kind = "command"
values = ["build", "test"]
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "process.exit.code"
on = ["run"]
sentence = "The exit code"
why = "Exit code's why."
kind = "exit_code"
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "dotnet.runner"
on = ["run", "target"]
sentence = "The test runner"
why = "Runner's why."
kind = "set"
values = ["xunit", "mstest"]
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "dotnet.projects"
on = ["phase"]
sentence = "How many projects"
why = "Projects' why."
kind = "integer"
min = 0
max = 9999
audience = "operator"
since = "1.0.0"
until = "never"

[[data_point]]
key = "dotnet.runtimes"
on = ["target"]
sentence = "Whether runtimes are named"
why = "Runtimes' why."
kind = "bool"
audience = "maker"
since = "1.0.0"
until = "never"

[[data_point]]
key = "dotnet.compiler"
on = ["phase", "target"]
sentence = "The version of the compiler"
why = "Compiler's why."
kind = "version"
audience = "maker"
since = "1.0.0"
until = "never"
"#;
