//! Publishes how a tool is used: counts of installations, with noise that is drawn once, and a site that shows them.
//!
//! A [`release::Release`] is what one period of one tool says. The ledger holds the releases; the site is made of them and
//! of nothing else.

pub mod failure;
pub mod privacy;
pub mod release;
pub mod site;
