//! `view`: the runs of a tool as a page.
//!
//! `runs` reads what the library found into what the page shows, `status` says whether telemetry is on, `page` is the
//! page and `words` how it speaks; `file` writes it and opens it.

mod file;
mod page;
mod runs;
mod status;
pub(crate) mod words;

pub(crate) use runs::Run;

use std::path::Path;

use crate::Answer;
use crate::arguments::ViewArguments;
use crate::data_points_file::usual_or_named;
use crate::fault::Fault;
use crate::person;
use crate::tables::tables;

pub(crate) fn run(arguments: &ViewArguments) -> Result<Answer, Fault> {
    let definition = usual_or_named(arguments.data_points.as_deref())?;
    let look = person::look(&arguments.tool, definition.as_ref().map(tables))?;
    let tool = arguments.tool.tool.as_str();
    if !look.has_files() {
        return Err(Fault::nothing_here(tool));
    }
    let html = page::render(tool, &arguments.tool.opt_out_vars, definition.as_ref(), &look)?;
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

fn shown(path: &Path, no_open: bool) -> Answer {
    let mut text = format!("{}\n", path.display());
    if !no_open && !file::open(path) {
        text.push_str("No browser could be started; open the file yourself.\n");
    }
    Answer::from(text)
}
