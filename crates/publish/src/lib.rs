//! Publishes counts of a tool's installations on a site, with noise that is drawn once.
//!
//! A [`release::Release`] is what is published about one period of one tool. The ledger holds the releases, and the site is
//! made from them alone.
//!
//! # The way of a count
//! A [source](sources) has exact counts. A [`plan`] says which cells are published and how much noise they need, from
//! [ε](privacy::budget) and nothing else. [`publication`] adds [noise](privacy::noise) to each cell, and the [`ledger`] makes
//! that durable before anyone can see it.
//!
//! Imports go up this list and never down: `failure`, `release`, `licence` < `calendar`, `privacy` < `sources`, `ledger`,
//! `site` < `plan` < `publication`, [`report`] < `output`, `verify` < `commands`.

pub mod calendar;
pub mod commands;
pub mod failure;
pub mod ledger;
pub mod licence;
pub mod output;
pub mod plan;
pub mod privacy;
pub mod publication;
pub mod release;
pub mod report;
pub mod site;
pub mod sources;
pub mod verify;
