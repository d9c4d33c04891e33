//! Starting the uploader: the same program, detached, with an environment that we construct.

use std::ffi::{OsStr, OsString};
use std::io;

use crate::consent::destination::Destination;
use crate::env::{self, Environment};
use crate::model::chooser::Chooser;
use crate::model::settings::Settings;
use crate::platform::{self, native_text};

/// Who waits for the uploader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadMode {
    /// No process waits for it.
    Detached,
    /// A command waits briefly for it, so it does not linger.
    Awaited,
    /// A command waits for its exit code.
    Flush,
}

impl UploadMode {
    fn name(self) -> &'static str {
        match self {
            UploadMode::Detached => "detached",
            UploadMode::Awaited => "awaited",
            UploadMode::Flush => "flush",
        }
    }

    fn is_awaited(self) -> bool {
        self != UploadMode::Detached
    }
}

/// Whether this process was started as an uploader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessRole {
    Tool,
    Uploader(UploadMode),
    /// The process has an uploader's environment but other arguments. The tool's own code runs, but records and starts
    /// nothing, so that no uploader ever starts another.
    Inert,
}

impl ProcessRole {
    pub(crate) fn of(
        environment: Environment<'_>,
        arguments: &mut dyn Iterator<Item = std::ffi::OsString>,
    ) -> Self {
        if environment.raw(env::UPLOADER).is_none() {
            return ProcessRole::Tool;
        }
        let word = arguments.nth(1);
        if word.as_deref() != Some(OsStr::new(env::UPLOADER_ARGUMENT)) || arguments.next().is_some() {
            return ProcessRole::Inert;
        }
        match environment.text(env::UPLOADER_PURPOSE).as_deref() {
            Some("flush") => ProcessRole::Uploader(UploadMode::Flush),
            Some("awaited") => ProcessRole::Uploader(UploadMode::Awaited),
            _ => ProcessRole::Uploader(UploadMode::Detached),
        }
    }
}

/// What an uploader sends, and to where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UploadTask<'a> {
    /// The name of the destination's directory.
    pub(crate) directory: &'a str,
    /// The destination, if an operator chose it. Its settings are in no file.
    pub(crate) operator: Option<&'a Destination>,
    /// The tool, if `tool-telemetry exec` runs it and so is its uploader.
    pub(crate) program: Option<&'a str>,
    pub(crate) mode: UploadMode,
}

/// Starts this tool's uploader for one destination.
pub(crate) fn start(
    settings: &Settings,
    environment: Environment<'_>,
    destination: &Destination,
    mode: UploadMode,
) -> io::Result<platform::DetachedProcess> {
    let operator = (destination.chosen_by == Chooser::Operator).then_some(destination);
    let program = settings.program.map(|_| settings.name);
    start_self(environment, UploadTask { directory: &destination.directory_name(), operator, program, mode })
}

/// Starts this program as an uploader.
pub(crate) fn start_self(
    environment: Environment<'_>,
    task: UploadTask<'_>,
) -> io::Result<platform::DetachedProcess> {
    // A multi-call program chooses its tool by this name.
    let own_name = std::env::args_os().next().unwrap_or_default();
    let start = |program| spawn(program, &own_name, environment, task);
    match start(platform::current_program(environment.has_loader_variable())?) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            start(platform::current_program_without_proc()?)
        }
        started => started,
    }
}

/// Starts another program, given by its path and its `argv[0]`, as an uploader.
pub(crate) fn start_program(
    (program, name): (&OsStr, &OsStr),
    environment: Environment<'_>,
    task: UploadTask<'_>,
) -> io::Result<platform::DetachedProcess> {
    let program = platform::Program { path: native_text(program)?, loader_arguments: None };
    spawn(program, name, environment, task)
}

fn spawn(
    program: platform::Program,
    name: &OsStr,
    environment: Environment<'_>,
    task: UploadTask<'_>,
) -> io::Result<platform::DetachedProcess> {
    // The path of a preloaded library may be relative to this directory. The uploader changes to `/` once it runs.
    let keeps_directory = environment.has_loader_variable() || program.loader_arguments.is_some();
    let mut arguments = match program.loader_arguments {
        Some(arguments) => arguments,
        None => vec![native_text(name)?],
    };
    arguments.push(native_text(OsStr::new(env::UPLOADER_ARGUMENT))?);
    platform::spawn_detached(&platform::DetachedCommand {
        program: program.path,
        arguments,
        environment: uploader_environment(environment, task)?,
        keeps_directory,
        is_awaited: task.mode.is_awaited(),
    })
}

/// The uploader's whole environment: its task, and of the tool's environment only the variables that lead to the user's
/// files, to the network, and to the libraries that the tool was loaded with.
fn uploader_environment(
    environment: Environment<'_>,
    UploadTask { directory, operator, program, mode }: UploadTask<'_>,
) -> io::Result<Vec<platform::NativeText>> {
    let mut variables = Vec::with_capacity(24);
    let mut set = |name: &OsStr, value: &OsStr| -> io::Result<()> {
        let mut variable = OsString::from(name);
        variable.push("=");
        variable.push(value);
        variables.push(native_text(&variable)?);
        Ok(())
    };
    set(env::UPLOADER.as_ref(), directory.as_ref())?;
    set(env::UPLOADER_PURPOSE.as_ref(), mode.name().as_ref())?;
    set(env::UPLOADER_STARTER.as_ref(), std::process::id().to_string().as_ref())?;
    if let Some(tool) = program {
        set(env::PROGRAM.as_ref(), tool.as_ref())?;
    }
    if mode.is_awaited() {
        set(env::UPLOADER_AWAITED.as_ref(), "3".as_ref())?;
    }
    // The uploader's own environment shows neither.
    if operator.is_none() && (environment.is_ci() || environment.is_in_container()) {
        set(env::UPLOADER_UNCOUNTED.as_ref(), "1".as_ref())?;
    }
    let paths = [
        env::HOME,
        env::XDG_STATE_HOME,
        env::XDG_CONFIG_HOME,
        env::LOCALAPPDATA,
        env::USERPROFILE,
        env::SYSTEMROOT,
    ];
    for name in paths.into_iter().chain(env::NETWORK).chain(env::LOADER) {
        if let Some(value) = environment.raw(name) {
            let is_path = [env::SSL_CERT_FILE, env::SSL_CERT_DIR].contains(&name);
            set(name.as_ref(), &if is_path { absolute(value) } else { value })?;
        }
    }
    if environment.has_loader_variable() {
        for (name, value) in env::for_preloaded() {
            set(&name, &value)?;
        }
    }
    if let Some(destination) = operator {
        set(format!("{}ENDPOINT", env::UPLOADER_OTLP).as_ref(), destination.endpoint.address.as_ref())?;
        for (setting, value) in &destination.settings {
            set(format!("{}{setting}", env::UPLOADER_OTLP).as_ref(), value.as_ref())?;
        }
    }
    Ok(variables)
}

/// Makes the paths of a list absolute, because the uploader runs in `/`. Only a relative path costs a system call.
fn absolute(list: OsString) -> OsString {
    let paths = std::env::split_paths(&list)
        .filter(|path| !path.as_os_str().is_empty())
        .map(|path| std::path::absolute(&path).unwrap_or(path));
    std::env::join_paths(paths).unwrap_or(list)
}
