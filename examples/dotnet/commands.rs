//! The commands. They simulate their work.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::process;

use tool_telemetry::Telemetry;
use tracing::{debug, field, info_span};

use crate::arguments::{Options, ProjectCommand};
use crate::project::{self, Project};

/// Runs a command, prints its error, and returns the exit code.
pub(crate) fn run(command: &ProjectCommand, telemetry: &Telemetry) -> u8 {
    let done = match command {
        ProjectCommand::New(options) => new(options),
        ProjectCommand::Restore(options) => restore(options),
        ProjectCommand::Build(options) => build(options, "Built"),
        ProjectCommand::Test(options) => build(options, "Tested"),
        ProjectCommand::Publish(options) => build(options, "Published"),
        ProjectCommand::Pack(options) => build(options, "Packed"),
        ProjectCommand::Run(options) => build(options, "Built").and_then(|_| run_program(options, telemetry)),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("dotnet: {failure}");
        failure.exit_code
    })
}

/// A message and an exit code.
struct Failure {
    message: String,
    exit_code: u8,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn failure(message: impl fmt::Display) -> Failure {
    Failure { message: message.to_string(), exit_code: 1 }
}

/// Writes a project.json. Never overwrites one.
fn new(options: &Options) -> Result<u8, Failure> {
    let file = project::file(options.project.as_deref());
    let framework = options.framework.as_deref().unwrap_or("netcoreapp1.1");
    let content = serde_json::json!({
        "version": "1.0.0-*",
        "buildOptions": { "emitEntryPoint": true },
        "frameworks": { framework: {} },
    });
    let write = || -> io::Result<()> {
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut new = OpenOptions::new().write(true).create_new(true).open(&file)?;
        writeln!(new, "{content:#}")
    };
    write().map_err(|error| {
        let path = file.display();
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure(format_args!(
                "{path}: a project exists already; remove it first, or name another directory with `--project`"
            )),
            _ => failure(format_args!(
                "{path}: the project cannot be written: {error}; name another directory with `--project`"
            )),
        }
    })?;
    println!("Wrote {}", file.display());
    Ok(0)
}

fn restore(options: &Options) -> Result<u8, Failure> {
    let project = read(options)?;
    let _span = info_span!("restore", packages = project.dependencies.len()).entered();
    for package in &project.dependencies {
        debug!(package, "fetched");
    }
    println!("Restored {} packages", project.dependencies.len());
    Ok(0)
}

/// The commands that build, for each target framework or for the chosen one.
fn build(options: &Options, done: &str) -> Result<u8, Failure> {
    let project = read(options)?;
    let chosen = match &options.framework {
        None => project.frameworks,
        Some(framework) if project.frameworks.is_empty() || project.frameworks.contains(framework) => {
            vec![framework.clone()]
        }
        Some(framework) => {
            return Err(failure(format_args!(
                "the project is not for {framework}; choose one of: {}",
                project.frameworks.join(", ")
            )));
        }
    };
    for framework in &chosen {
        let _target = info_span!("target", dotnet.target.framework = %framework).entered();
        let _phase = info_span!("compile").entered();
        println!("{done} for {framework}");
    }
    if chosen.is_empty() {
        println!("{done}");
    }
    Ok(0)
}

/// Reads the project. The event and the fields that are not approved are for the log only.
fn read(options: &Options) -> Result<Project, Failure> {
    let file = project::file(options.project.as_deref());
    let span = info_span!(
        "project",
        dotnet.project.test_runner = field::Empty,
        dotnet.project.runtimes = field::Empty,
        path = %file.display(),
        name = field::Empty,
    )
    .entered();
    let project = Project::read(&file).map_err(failure)?;
    if let Some(test_runner) = &project.test_runner {
        span.record("dotnet.project.test_runner", test_runner.as_str());
    }
    span.record("dotnet.project.runtimes", project.has_runtimes);
    span.record("name", name(&project, &file));
    debug!(authors = ?project.authors, dependencies = ?project.dependencies, "read the project");
    Ok(project)
}

/// The project's name, or the name of its directory.
fn name<'a>(project: &'a Project, file: &'a Path) -> &'a str {
    let directory = || file.parent()?.file_name()?.to_str();
    project.name.as_deref().or_else(directory).unwrap_or_default()
}

/// Runs the program and returns its exit code, as a shell does: 126 and 127 if it cannot be started, and 128 + n if
/// signal n ends it. If the program has telemetry too, its run belongs to this one.
fn run_program(options: &Options, telemetry: &Telemetry) -> Result<u8, Failure> {
    let Some((program, arguments)) = options.program.split_first() else {
        return Ok(0);
    };
    debug!(?program, ?arguments, "starting");
    let mut program_command = process::Command::new(program);
    program_command.args(arguments).envs(telemetry.child_environment());
    let status = program_command.status().map_err(|error| {
        let (what, exit_code) = match error.kind() {
            io::ErrorKind::NotFound => ("no such program; check its name and PATH".to_owned(), 127),
            _ => (format!("the program cannot be started: {error}"), 126),
        };
        Failure { message: format!("{}: {what}", Path::new(program).display()), exit_code }
    })?;
    Ok(exit_code(status))
}

#[cfg(unix)]
fn exit_code(status: process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;

    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.map_or(1, |code| (code & 0xff) as u8)
}

#[cfg(not(unix))]
fn exit_code(status: process::ExitStatus) -> u8 {
    status.code().map_or(1, |code| (code & 0xff) as u8)
}
