//! Differential privacy: how much noise a release needs, and drawing it.
//!
//! Nothing here reads a count. [`budget`] computes with parameters, [`noise`] draws from the discrete Gaussian
//! distribution, and [`randomness`] is where its bits come from.

pub mod budget;
pub mod noise;
pub mod randomness;
