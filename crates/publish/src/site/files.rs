//! Puts the files of a site in place, so that a reader never sees half of one.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::file::File;
use super::invalid;
use super::parquet;

/// The directories that belong to the site as a whole, so that files that it no longer has are deleted there.
const OWN_DIRECTORIES: [&str; 2] = ["data", "ledger"];

/// `package` is the name of the data package of the site of `tool`.
pub(super) fn put(tool: &str, package: &str, files: &[File], out: &Path) -> io::Result<()> {
    match fs::read_dir(out) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                check_is_site(tool, package, out)?;
            }
            replace(files, out)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(files, out),
        Err(error) => Err(at(out, error)),
    }
}

/// A directory with anything else in it is not ours to write to.
fn check_is_site(tool: &str, package: &str, out: &Path) -> io::Result<()> {
    let text = fs::read_to_string(out.join("datapackage.json")).unwrap_or_default();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    if found["name"] == package {
        return Ok(());
    }
    Err(invalid(format!(
        "{} is not empty and holds no site of {tool}; name a new directory, or delete that one",
        out.display()
    )))
}

fn create(files: &[File], out: &Path) -> io::Result<()> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| at(parent, error))?;
    let staged =
        tempfile::Builder::new().prefix(".site-").tempdir_in(parent).map_err(|error| at(parent, error))?;
    for file in files {
        let path = staged.path().join(&file.path);
        create_parent(&path)?;
        fs::write(&path, &file.content).map_err(|error| at(&path, error))?;
    }
    // A temporary directory is private; a site is public.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(staged.path().join("index.html"))?.permissions().mode();
        // A directory may be entered by whoever may read the files.
        let mode = mode | ((mode & 0o444) >> 2);
        fs::set_permissions(staged.path(), fs::Permissions::from_mode(mode))?;
    }
    fs::rename(staged.path(), out).map_err(|error| at(out, error))?;
    // Nothing is left at the old name.
    let _ = staged.keep();
    Ok(())
}

fn replace(files: &[File], out: &Path) -> io::Result<()> {
    for file in files {
        let path = out.join(&file.path);
        if fs::read(&path).is_ok_and(|content| content == file.content) {
            continue;
        }
        let parent = create_parent(&path)?;
        let mut staged = tempfile::Builder::new()
            .prefix(".site-")
            .make_in(&parent, |path| fs::File::create_new(path))
            .map_err(|error| at(&path, error))?;
        staged.write_all(&file.content).map_err(|error| at(&path, error))?;
        staged.persist(&path).map_err(|error| at(&path, error.error))?;
    }
    for directory in OWN_DIRECTORIES {
        let Ok(entries) = fs::read_dir(out.join(directory)) else { continue };
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| {
                files.iter().any(|file| {
                    file.path.strip_prefix(directory).is_some_and(|rest| rest.strip_prefix('/') == Some(name))
                })
            });
            if !is_ours {
                fs::remove_file(entry.path()).map_err(|error| at(&entry.path(), error))?;
            }
        }
    }
    Ok(())
}

/// How the files of a directory of the site differ from these, in words.
pub(super) fn differences(files: &[File], directory: &str, site: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        match fs::read(site.join(&file.path)) {
            Ok(content) if parquet::is_same(&content, &file.content) => {}
            Ok(_) => wrong.push(format!("{} does not say what the releases say", file.path)),
            Err(error) => wrong.push(format!("{} cannot be read: {error}", file.path)),
        }
    }
    let entries = fs::read_dir(site.join(directory)).into_iter().flatten().flatten();
    let names = entries.map(|entry| format!("{directory}/{}", entry.file_name().display()));
    let unknown = names.filter(|name| files.iter().all(|file| file.path != *name));
    wrong.extend(unknown.map(|name| format!("{name} is of no table of the ledger")));
    wrong
}

fn create_parent(path: &Path) -> io::Result<PathBuf> {
    let parent = path.parent().unwrap_or(Path::new(".")).to_path_buf();
    fs::create_dir_all(&parent).map_err(|error| at(&parent, error))?;
    Ok(parent)
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
