//! Licences that make data open.

/// The SPDX identifiers of the licences for data that the Open Definition or their own text calls open.
const OPEN: [&str; 17] = [
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "CDLA-Sharing-1.0",
    "DL-DE-BY-2.0",
    "DL-DE-ZERO-2.0",
    "NLOD-2.0",
    "ODC-By-1.0",
    "ODbL-1.0",
    "OGL-UK-2.0",
    "OGL-UK-3.0",
    "PDDL-1.0",
    "etalab-2.0",
];

/// Whether a licence is open: anyone may use, change, and share the data for any purpose.
pub fn is_open(licence: &str) -> bool {
    OPEN.contains(&licence)
}
