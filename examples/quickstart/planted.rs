//! A project with things in it that are nobody's business, and the search for them.

use std::path::Path;

use crate::Fault;

/// The project's folder, below the home: a path that tells something.
pub(crate) const FOLDER: &str = "takeover-of-northwind/ledger";
/// A project that cannot be read.
pub(crate) const BROKEN: &str = "takeover-of-northwind/broken";

const NAME: &str = "Fabrikam.TakeoverLedger";
const AUTHOR: &str = "Wilhelmina Oakenshield";

/// Each of these would be a leak. A search for the shorter ones finds the longer ones too.
const SECRETS: [&str; 6] = [NAME, AUTHOR, "Wilhelmina", "northwind", "ledger", "broken"];

/// Writes both projects.
pub(crate) fn write(home: &Path) -> Result<(), Fault> {
    let project = format!(
        r#"{{
    // Comments and trailing commas are usual in these files.
    "name": "{NAME}",
    "authors": ["{AUTHOR}"],
    "testRunner": "xunit",
    "frameworks": {{ "net451": {{}}, "netcoreapp1.1": {{}} }},
    "runtimes": {{ "debian.8-x64": {{}} }},
}}
"#
    );
    let broken = format!("{{ \"name\": \"{NAME}\", \"authors\": [\"{AUTHOR}\" }}\n");
    for (folder, content) in [(FOLDER, project), (BROKEN, broken)] {
        let folder = home.join(folder);
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("project.json"), content))
            .map_err(|error| format!("the project cannot be written: {error}"))?;
    }
    Ok(())
}

/// What is not told by the tool at all shows nothing by its absence: its own log must have it.
pub(crate) fn expect_in(log: &[u8]) -> Result<(), Fault> {
    let log = String::from_utf8_lossy(log);
    match [NAME, AUTHOR, FOLDER].iter().all(|secret| log.contains(secret)) {
        true => Ok(()),
        false => Err("the tool's own log does not tell what was planted".to_owned()),
    }
}

/// Looks for everything planted in all of this, and tells how many bytes there were.
pub(crate) fn look_for(places: impl Iterator<Item = (&'static str, Vec<u8>)>) -> Result<usize, Fault> {
    let mut looked_through = 0;
    for (place, bytes) in places {
        looked_through += bytes.len();
        let lower = bytes.to_ascii_lowercase();
        for secret in SECRETS {
            let secret = secret.to_ascii_lowercase();
            if lower.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                return Err(format!("something of what was planted is in {place}"));
            }
        }
    }
    Ok(looked_through)
}
