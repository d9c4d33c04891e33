//! `view`

mod file;
mod page;
mod status;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::error::Error;
use crate::exit_code::SUCCESS;
use crate::tool::ToolArguments;
use crate::{definition_file, output};

/// Show a tool's runs as a page in the browser
///
/// The page shows the pending runs, the last sent runs, what happened to all others, and whether telemetry is on and
/// why. It is a single file without scripts, and it loads nothing. By default it is written to a file that only you
/// can read, and replaces the previous page.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    tool: ToolArguments,
    /// The tool's telemetry.toml: the page explains each value and shows only what the file approves [default:
    /// ./telemetry.toml if it exists; otherwise the page shows the files as they are]
    #[arg(long, value_name = "FILE")]
    data_points: Option<PathBuf>,
    /// Write the page without opening it
    #[arg(long)]
    no_open: bool,
    /// The file to write; `-` writes to stdout [default: a file in your state directory]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let definition = definition_file::named_or_default(arguments.data_points.as_deref())?;
    let inspector = arguments.tool.inspect_known(definition)?;
    let html = page::render(&arguments.tool, definition, &inspector)?;
    let path = match &arguments.output {
        Some(path) if path == Path::new("-") => {
            output::print(&html);
            return Ok(ExitCode::from(SUCCESS));
        }
        Some(path) => path.clone(),
        None => file::default_path(&arguments.tool.name)?,
    };
    file::write(&path, &html)?;
    output::print(&format!("{}\n", path.display()));
    if !arguments.no_open && !file::open_in_browser(&path) {
        output::print("No browser could be started. Open the file yourself.\n");
    }
    Ok(ExitCode::from(SUCCESS))
}
