//! What every tool of the benchmark does: nothing, in four steps. One root span with 7 attributes, 4 children with 3.

use std::time::Instant;

/// The name that all of them have.
pub const TOOL: &str = "bench-tool";
/// What they exit with.
pub const EXIT_CODE: u8 = 7;
/// The children, by the value of their first attribute.
pub const STEPS: [&str; 4] = ["restore", "compile", "link", "copy"];

/// The time from the first statement of `main` to here, where the tool's own work begins.
pub struct Started(Instant);

impl Started {
    /// To be called first.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Tells the nanoseconds to who asked for them with a variable.
    pub fn tell(self) {
        let nanoseconds = self.0.elapsed().as_nanos();
        if std::env::var_os("BENCH_TELL_START").is_some() {
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

/// The work in spans that hang under the current one.
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

/// The work in spans below a root span of the tool's own.
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
