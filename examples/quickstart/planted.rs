//! Projects with secrets, and the search for the secrets.

use std::path::Path;

use crate::Failure;

/// The project's directory below the home directory. The path itself is a secret.
pub(crate) const DIRECTORY: &str = "takeover-of-northwind/ledger";
/// A project that cannot be read.
pub(crate) const BROKEN: &str = "takeover-of-northwind/broken";

const NAME: &str = "Fabrikam.TakeoverLedger";
const AUTHOR: &str = "Wilhelmina Oakenshield";

/// Each of these would be a leak.
const SECRETS: [&str; 6] = [NAME, AUTHOR, "Wilhelmina", "northwind", "ledger", "broken"];

/// Writes both projects.
pub(crate) fn write(home: &Path) -> Result<(), Failure> {
    let project = format!(
        r#"{{
    // Comments and trailing commas are common in these files.
    "name": "{NAME}",
    "authors": ["{AUTHOR}"],
    "testRunner": "xunit",
    "frameworks": {{ "net451": {{}}, "netcoreapp1.1": {{}} }},
    "runtimes": {{ "debian.8-x64": {{}} }},
}}
"#
    );
    let broken = format!("{{ \"name\": \"{NAME}\", \"authors\": [\"{AUTHOR}\" }}\n");
    for (directory, content) in [(DIRECTORY, project), (BROKEN, broken)] {
        let directory = home.join(directory);
        std::fs::create_dir_all(&directory)
            .and_then(|()| std::fs::write(directory.join("project.json"), content))
            .map_err(|error| format!("the project cannot be written: {error}"))?;
    }
    Ok(())
}

/// Checks that the tool's own log has the secrets. Otherwise their absence elsewhere would prove nothing.
pub(crate) fn expect_in_log(log: &[u8]) -> Result<(), Failure> {
    let log = String::from_utf8_lossy(log);
    match [NAME, AUTHOR, DIRECTORY].iter().all(|secret| log.contains(secret)) {
        true => Ok(()),
        false => Err("the tool's own log does not contain the secrets".to_owned()),
    }
}

/// Searches for the secrets, and returns how many bytes it searched.
pub(crate) fn search(places: impl Iterator<Item = (&'static str, Vec<u8>)>) -> Result<usize, Failure> {
    let mut searched = 0;
    for (place, bytes) in places {
        searched += bytes.len();
        let lower = bytes.to_ascii_lowercase();
        for secret in SECRETS {
            let secret = secret.to_ascii_lowercase();
            if lower.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                return Err(format!("a secret is in {place}"));
            }
        }
    }
    Ok(searched)
}
