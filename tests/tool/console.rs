//! Signals to every process of this process's console.
#![allow(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tool_telemetry::Telemetry;
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, GenerateConsoleCtrlEvent, SetConsoleCtrlHandler,
};

/// Handles every signal, so that it does not end this process.
unsafe extern "system" fn ignore(_signal: u32) -> i32 {
    1
}

/// Runs a command, after which an uploader starts, and sends signals for half a second.
pub(crate) fn storm(telemetry: &Telemetry) -> ExitCode {
    // SAFETY: the handler only returns a number.
    assert_ne!(unsafe { SetConsoleCtrlHandler(Some(ignore), 1) }, 0);
    let code = telemetry.command("build", || println!("storm"));
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        // SAFETY: the calls take numbers. Zero stands for all processes of this console.
        unsafe {
            assert_ne!(GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0), 0);
            // Wine 8 sends only Ctrl-C to a whole console.
            GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, 0);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    code
}
