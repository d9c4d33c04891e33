//! Puts the files of a report in place, readable by their owner alone.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::file::ReportFile;
use crate::failure::Failure;

/// The file by which a report is recognised, and which says what it is to whoever finds the directory.
pub const MARK: &str = "NOT-FOR-PUBLICATION.txt";
const MARK_TEXT: &str = "This directory holds exact numbers, which are not for publication: they would undo the noise of what is published.\n\
    Say the published numbers instead.\n";
/// If it is put on a web server anyway, no search engine shows it.
const ROBOTS: &str = "# Not for publication.\nUser-agent: *\nDisallow: /\n";
const STYLE: &str = concat!("/* Not for publication. */\n", include_str!("../../templates/site/style.css"));

pub(super) fn put(files: &[ReportFile], out: &Path) -> Result<(), Failure> {
    check_place(out)?;
    create_directory(out)?;
    create_directory(&out.join("data"))?;
    // The mark comes first, so that no number is ever there without it.
    let first = [
        ReportFile::new(MARK, MARK_TEXT),
        ReportFile::new("robots.txt", ROBOTS),
        ReportFile::new("style.css", STYLE),
    ];
    for file in first.iter().chain(files) {
        let path = out.join(&file.path);
        write(&path, &file.content).map_err(|error| Failure::file("written", &path, &error))?;
    }
    Ok(())
}

/// Refuses a directory of something else, and one that is published.
fn check_place(out: &Path) -> Result<(), Failure> {
    let absolute = std::path::absolute(out).map_err(|error| Failure::file("found", out, &error))?;
    // A link may lead into a site.
    let resolved = nearest(&absolute).unwrap_or(absolute);
    for above in resolved.ancestors() {
        if above.join("datapackage.json").exists() || above.join("ledger").join("index.json").exists() {
            return Err(Failure::usage(format!(
                "{} lies in the site {}, and a report is not for publication",
                out.display(),
                above.display()
            )));
        }
    }
    let is_empty = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(Failure::file("read", out, &error)),
    };
    if is_empty || out.join(MARK).is_file() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} is not empty and holds no report; name a new directory, or delete that one",
        out.display()
    )))
}

/// The path with its links followed, as far as it exists.
fn nearest(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    })
}

fn create_directory(path: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| Failure::file("created", path, &error))
}

/// A temporary file is private, and stays so under its new name.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut staged = tempfile::Builder::new().prefix(".report-").tempfile_in(parent)?;
    staged.write_all(content)?;
    staged.persist(path).map_err(|error| error.error)?;
    Ok(())
}
