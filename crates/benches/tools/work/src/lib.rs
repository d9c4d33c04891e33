//! The work of every tool: nothing, in four steps. One root span with 7 attributes has 4 children with 3 attributes.

use std::time::Instant;

/// The name of all tools.
pub const TOOL: &str = "bench-tool";
/// The exit code of all tools.
pub const EXIT_CODE: u8 = 7;
/// The first attribute of each child.
pub const STEPS: [&str; 4] = ["restore", "compile", "link", "copy"];

/// Measures the time from the first statement of `main` to the start of the tool's work.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Call this first.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Prints the nanoseconds if `BENCH_PRINT_START` is set.
    pub fn print(self) {
        let nanoseconds = self.0.elapsed().as_nanos();
        if std::env::var_os("BENCH_PRINT_START").is_some() {
            println!("{nanoseconds}");
        }
    }
}

/// The work without telemetry.
pub fn plain() {
    for (position, step) in STEPS.into_iter().enumerate() {
        std::hint::black_box((position, step));
    }
}

/// The work, in child spans of the current span.
#[cfg(feature = "spans")]
pub fn children() {
    for (position, step) in STEPS.into_iter().enumerate() {
        let span = tracing::info_span!(
            target: "bench_tool",
            "step",
            "step.kind" = step,
            "step.cached" = true,
            "step.files" = position as u64,
        );
        let _entered = span.enter();
        std::hint::black_box((position, step));
    }
}

/// The work, in a root span of the tool's own.
#[cfg(feature = "spans")]
pub fn traced() {
    let root = tracing::info_span!(
        target: "bench_tool",
        "bench-tool",
        "process.executable.name" = TOOL,
        "process.exit.code" = tracing::field::Empty,
        "tool.command" = "build",
        "tool.profile" = "release",
        "tool.color" = "auto",
        "tool.offline" = false,
        "tool.jobs" = 8,
    );
    let _entered = root.enter();
    children();
    root.record("process.exit.code", i64::from(EXIT_CODE));
}
