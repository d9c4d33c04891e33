//! The discrete Gaussian distribution, drawn exactly: with integers only, by Canonne, Kamath, and Steinke's algorithms 1
//! to 3. Floating point would leak through its rounding.

use super::budget::Variance;
use super::randomness::Randomness;
use crate::failure::Failure;

/// Thousandths in 1, as in [`Variance`].
const STEPS: u128 = 1_000;

/// A draw of the noise of one cell.
///
/// # Errors
/// If the operating system gives no random bytes.
pub fn draw(variance: Variance, random: &mut Randomness) -> Result<i64, Failure> {
    let variance = u128::from(variance.thousandths());
    // Any scale is right. This one rejects least.
    let scale = (variance / STEPS).isqrt() + 1;
    loop {
        let laplace = discrete_laplace(scale, random)?;
        // exp(-(|x| - σ²/t)² / 2σ²), in integers. A draw of the Laplace distribution is above 2^40 once in e^10^7 times.
        let distance = (laplace.unsigned_abs() as u128 * STEPS * scale).abs_diff(variance);
        let keep = Fraction { top: distance * distance, bottom: 2 * STEPS * scale * scale * variance };
        if exponential(keep, random)? {
            return Ok(laplace);
        }
    }
}

/// A fraction that is not negative.
#[derive(Debug, Clone, Copy)]
struct Fraction {
    top: u128,
    bottom: u128,
}

/// A draw of the discrete Laplace distribution with this scale.
fn discrete_laplace(scale: u128, random: &mut Randomness) -> Result<i64, Failure> {
    loop {
        let rest = random.below(scale)?;
        if !exponential(Fraction { top: rest, bottom: scale }, random)? {
            continue;
        }
        let mut whole = 0;
        while exponential(Fraction { top: 1, bottom: 1 }, random)? {
            whole += 1;
        }
        let magnitude = (rest + scale * whole) as i64;
        let is_negative = random.below(2)? == 1;
        // 0 would be twice as likely.
        if !(is_negative && magnitude == 0) {
            return Ok(if is_negative { -magnitude } else { magnitude });
        }
    }
}

/// True with the probability exp(−x).
fn exponential(x: Fraction, random: &mut Randomness) -> Result<bool, Failure> {
    for _ in 0..x.top / x.bottom {
        if !exponential_to_one(Fraction { top: 1, bottom: 1 }, random)? {
            return Ok(false);
        }
    }
    exponential_to_one(Fraction { top: x.top % x.bottom, bottom: x.bottom }, random)
}

/// True with the probability exp(−x), where x is at most 1.
fn exponential_to_one(x: Fraction, random: &mut Randomness) -> Result<bool, Failure> {
    let mut round = 1;
    while random.below(x.bottom * round)? < x.top {
        round += 1;
    }
    Ok(round % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability of each number in the discrete Gaussian distribution.
    fn probability(variance: f64, number: i64) -> f64 {
        let weight = |number: i64| (-(number as f64).powi(2) / (2.0 * variance)).exp();
        let all: f64 = (-2_000..=2_000).map(weight).sum();
        weight(number) / all
    }

    /// χ² of draws against the distribution, with the degrees of freedom.
    fn chi_squared(variance: Variance, draws: u32) -> (f64, u32) {
        let mut random = Randomness::system();
        let edge = (variance.sigma() * 3.5) as i64 + 1;
        let mut seen = vec![0_u32; 2 * edge as usize + 1];
        for _ in 0..draws {
            seen[(draw(variance, &mut random).unwrap().clamp(-edge, edge) + edge) as usize] += 1;
        }
        let mut sum = 0.0;
        for (place, seen) in seen.iter().enumerate() {
            let number = place as i64 - edge;
            let tail = |numbers: std::ops::RangeInclusive<i64>| -> f64 {
                numbers.map(|number| probability(variance.number(), number)).sum()
            };
            let chance = if number == -edge {
                tail(-2_000..=number)
            } else if number == edge {
                tail(number..=2_000)
            } else {
                probability(variance.number(), number)
            };
            let expected = chance * f64::from(draws);
            sum += (f64::from(*seen) - expected).powi(2) / expected;
        }
        (sum, seen.len() as u32 - 1)
    }

    #[test]
    fn draws_fit_the_distribution() {
        for variance in [0.25, 1.0, 5.673, 141.799] {
            let (sum, freedom) = chi_squared(Variance::of(variance).unwrap(), 40_000);
            // Six standard deviations of χ²: a sampler that is right fails once in 10^7 times.
            let freedom = f64::from(freedom);
            assert!(sum < freedom + 6.0 * (2.0 * freedom).sqrt() + 12.0, "{variance}: {sum}");
        }
    }

    #[test]
    fn known_randomness_repeats_and_the_systems_does_not() {
        let variance = Variance::of(141.799).unwrap();
        let draws = |mut random: Randomness| -> Vec<i64> {
            (0..20).map(|_| draw(variance, &mut random).unwrap()).collect()
        };
        assert_eq!(draws(Randomness::known("a")), draws(Randomness::known("a")));
        assert_ne!(draws(Randomness::known("a")), draws(Randomness::known("b")));
        assert_ne!(draws(Randomness::system()), draws(Randomness::system()));
    }

    #[test]
    fn numbers_below_a_bound_are_even() {
        let mut random = Randomness::system();
        let mut seen = [0_u32; 5];
        for _ in 0..50_000 {
            seen[random.below(5).unwrap() as usize] += 1;
        }
        assert!(seen.iter().all(|seen| (9_400..10_600).contains(seen)), "{seen:?}");
        assert_eq!(random.below(1).unwrap(), 0);
    }
}
