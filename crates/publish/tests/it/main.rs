//! What is published, checked from outside.

/// The site: the page, the files beside it, and how they are put in place.
mod site;
/// Synthetic releases, which the example `published` shares.
mod synthetic;
