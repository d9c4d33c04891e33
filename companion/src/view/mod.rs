//! `view`: the runs of a tool as a page.
//!
//! `runs` reads what the library found into what the page shows, `status` says whether telemetry is on, `page` is the
//! page and `words` how it speaks; `file` writes it and opens it.

mod file;
mod page;
mod runs;
mod status;
mod words;

use std::path::Path;

use tool_telemetry::command::Look;
use tool_telemetry_definition::Definition;

use crate::Answer;
use crate::arguments::ViewArguments;
use crate::data_points_file::read_clean;
use crate::fault::Fault;
use crate::tables::{tables, text, tool_name};

/// The data points that are taken if none are named.
const USUAL_FILE: &str = "telemetry.toml";

pub(crate) fn run(arguments: &ViewArguments) -> Result<Answer, Fault> {
    let tool = tool_name(&arguments.tool)?;
    let definition = definition(arguments)?;
    let variables: Vec<&'static str> = arguments.opt_out_vars.iter().map(|name| text(name)).collect();
    let look = Look::at(tool, definition.as_ref().map(tables), &variables);
    if !look.has_home() {
        return Err(Fault::usage(
            "there is no home folder that belongs to you, so there are no runs. Set HOME to yours, and run this as \
             yourself and not with sudo.",
        ));
    }
    let html = page::render(tool, &variables, definition.as_ref(), &look)?;
    match arguments.output.as_deref() {
        Some(path) if path == Path::new("-") => Ok(Answer::from(html)),
        Some(path) => {
            file::write(path, &html)?;
            Ok(shown(path, arguments.no_open))
        }
        None => {
            let path = file::usual_path(tool)?;
            file::write(&path, &html)?;
            Ok(shown(&path, arguments.no_open))
        }
    }
}

/// The data points that were named, or those in this folder.
fn definition(arguments: &ViewArguments) -> Result<Option<Definition>, Fault> {
    match arguments.data_points.as_deref() {
        Some(path) => read_clean(path).map(Some),
        None if Path::new(USUAL_FILE).is_file() => read_clean(Path::new(USUAL_FILE)).map(Some),
        None => Ok(None),
    }
}

fn shown(path: &Path, no_open: bool) -> Answer {
    let mut text = format!("{}\n", path.display());
    if !no_open && !file::open(path) {
        text.push_str("No browser could be started; open the file yourself.\n");
    }
    Answer::from(text)
}
