//! From ε to the variance of the noise, and back.
//!
//! The noise of one release is ρ-zCDP (zero-concentrated differential privacy) with ρ = Σm / 2σ², where one installation
//! changes at most Σm cells by one. ρ-zCDP implies (ε, δ)-differential privacy with
//!
//! ```text
//! δ = min over α > 1 of exp((α − 1)(αρ − ε)) / (α − 1) · (1 − 1/α)^α
//! ```
//!
//! which is Corollary 13 of Canonne, Kamath, and Steinke, "The Discrete Gaussian for Differential Privacy" (2020). The
//! bound for the continuous Gaussian has a σ that is some 6 % smaller, but it is not proved for the discrete one in several cells.

use std::fmt;

use tool_telemetry_definition::Period;

/// δ of a period, and of a year.
pub const DELTA: f64 = 1e-6;

/// Steps of 0.001 in 1: the variance of the noise is a multiple of it, so that the noise can be drawn exactly.
const STEPS: f64 = 1_000.0;

/// The variance of the noise, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variance(u64);

impl Variance {
    /// The largest variance, which `epsilon = 0.1` does not reach.
    const MAX: u64 = 1_000_000_000;

    /// The smallest variance at which installations that change `counts` cells have at most this ρ.
    pub fn at_rho(counts: u32, rho: f64) -> Self {
        // Rounding up more than makes up for the errors of floating point, which are below 1e-12.
        let thousandths = (STEPS * f64::from(counts) / (2.0 * rho)).ceil() + 1.0;
        Self((thousandths as u64).min(Self::MAX))
    }

    /// Reads a number with at most three decimal places.
    pub fn of(number: f64) -> Option<Self> {
        let thousandths = (number * STEPS).round();
        let is_variance = (1.0..=Self::MAX as f64).contains(&thousandths);
        (is_variance && (thousandths / STEPS - number).abs() < 1e-9).then_some(Self(thousandths as u64))
    }

    /// Thousandths.
    pub fn thousandths(self) -> u64 {
        self.0
    }

    /// As a number.
    pub fn number(self) -> f64 {
        self.0 as f64 / STEPS
    }

    /// The standard deviation.
    pub fn sigma(self) -> f64 {
        self.number().sqrt()
    }

    /// ρ of one release in which installations change `counts` cells.
    pub fn rho(self, counts: u32) -> f64 {
        f64::from(counts) / (2.0 * self.number())
    }

    /// A number below this is not shown: 5 σ, or 6 σ where the list of values is open, rounded up.
    pub fn threshold(self, is_open: bool) -> u64 {
        (self.sigma() * if is_open { 6.0 } else { 5.0 }).ceil() as u64
    }
}

/// δ that ρ-zCDP implies at ε.
pub fn delta(rho: f64, epsilon: f64) -> f64 {
    if rho <= 0.0 {
        return 0.0;
    }
    let exponent = |alpha: f64| {
        (alpha - 1.0) * (alpha * rho - epsilon) - (alpha - 1.0).ln() + alpha * (-1.0 / alpha).ln_1p()
    };
    // Every α gives a valid δ, so an imprecise minimum errs towards more noise. It lies below the minimum of the first
    // term by far more than 1/ρ.
    let (mut low, mut high) = (1.0 + 1e-9, 2.0 + (epsilon + 100.0) / rho);
    for _ in 0..200 {
        let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if exponent(left) < exponent(right) {
            high = right;
        } else {
            low = left;
        }
    }
    exponent((low + high) / 2.0).exp().min(1.0)
}

/// The largest ρ whose δ at ε is at most [`DELTA`], rounded down.
pub fn rho(epsilon: f64) -> f64 {
    // ε = ρ if δ is 1.
    bisect(0.0, epsilon, |rho| delta(rho, epsilon) <= DELTA).0 * (1.0 - 1e-9)
}

/// The smallest ε at which ρ-zCDP has at most [`DELTA`], rounded up.
pub fn epsilon(rho: f64) -> f64 {
    // The simpler bound of Bun and Steinke is above it.
    let most = rho + 2.0 * (rho * (1.0 / DELTA).ln()).sqrt();
    bisect(0.0, most, |epsilon| delta(rho, epsilon) > DELTA).1 * (1.0 + 1e-9)
}

/// ε of a year, for an installation that is counted in each of its 52 weeks or 13 periods of four weeks.
pub fn yearly_epsilon(rho: f64, period: Period) -> f64 {
    let periods = match period {
        Period::Week => 52.0,
        Period::FourWeeks => 13.0,
    };
    epsilon(periods * rho)
}

/// The last number for which `holds` is true, and the first for which it is not.
fn bisect(low: f64, high: f64, holds: impl Fn(f64) -> bool) -> (f64, f64) {
    let (mut low, mut high) = (low, high);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// What is promised, in one sentence.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// ε of a period.
    pub epsilon: f64,
    /// ρ of a period.
    pub rho: f64,
    /// The period.
    pub period: Period,
    /// Days that the maker keeps runs. `None` if telemetry.toml names no publisher.
    pub retention_days: Option<u32>,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Week => "week",
            Period::FourWeeks => "period of four weeks",
        };
        let yearly = (yearly_epsilon(self.rho, self.period) * 10.0).ceil() / 10.0;
        write!(
            f,
            "For one user account on one machine that keeps its state and runs our unmodified sender, each {period} is \
             ({}, 10⁻⁶)-differentially private; over a year ε is at most {yearly:.1}. Nothing is promised against the \
             maker, who holds the runs",
            self.epsilon
        )?;
        match self.retention_days {
            Some(days) => write!(f, " for {days} days."),
            None => f.write_str("."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_that_of_the_second_implementation() {
        // From tests/checks/privacy.py, which computes with 50 digits.
        for (stated, expected, year) in [
            (0.5, 0.006_641_524_3, 4.240_580_2),
            (2.0, 0.088_152_688_3, 19.454_526_6),
            (4.0, 0.311_064_955, 44.623_293),
        ] {
            let found = rho(stated);
            assert!((found / expected - 1.0).abs() < 1e-6, "{stated}: {found}");
            assert!(delta(found, stated) <= DELTA);
            assert!((epsilon(found) - stated).abs() < 1e-6);
            assert!((yearly_epsilon(found, Period::Week) / year - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_variance_never_promises_more_than_it_holds() {
        for counts in 1..=25 {
            for stated in [0.1, 0.5, 1.0, 2.0, 8.0] {
                let variance = Variance::at_rho(counts, rho(stated));
                assert!(epsilon(variance.rho(counts)) <= stated, "{counts} {stated}");
                assert_eq!(Variance::of(variance.number()), Some(variance));
            }
        }
        assert!(Variance::at_rho(25, rho(0.1)).0 < Variance::MAX);
        assert_eq!([0.0, -1.0, 1.0005, f64::NAN].map(Variance::of), [None; 4]);
    }

    #[test]
    fn the_sentence_names_the_settings() {
        let promise =
            Promise { epsilon: 2.0, rho: rho(2.0), period: Period::Week, retention_days: Some(365) };
        let text = promise.to_string();
        assert!(
            text.contains("each week is (2, 10⁻⁶)-differentially private; over a year ε is at most 19.5."),
            "{text}"
        );
        assert!(text.ends_with("for 365 days."), "{text}");
    }
}
