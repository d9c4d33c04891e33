//! Where the bits of the noise come from.

use hmac_sha256::HMAC;

use crate::failure::Failure;

/// Bytes that are fetched at once: a draw takes about 60.
const BUFFER: usize = 4_096;

/// Random bytes from the operating system. Only this program's tests use a seed.
#[derive(Debug)]
pub struct Randomness {
    buffer: Vec<u8>,
    known: Option<SeededBytes>,
}

/// Bytes that anyone can compute again. What is drawn from them must not be published.
#[derive(Debug)]
struct SeededBytes {
    seed: String,
    blocks: u64,
}

impl Randomness {
    /// The operating system's.
    pub fn system() -> Self {
        Self { buffer: Vec::new(), known: None }
    }

    /// The same bytes for the same seed. For tests: a release that is made with them says so.
    pub fn known(seed: &str) -> Self {
        Self { buffer: Vec::new(), known: Some(SeededBytes { seed: seed.to_owned(), blocks: 0 }) }
    }

    /// Whether anyone can compute the bytes again.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// A number below `bound`, each as likely as every other.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn below(&mut self, bound: u128) -> Result<u128, Failure> {
        debug_assert!(bound > 0);
        let bits = u128::BITS - (bound - 1).leading_zeros();
        let bytes = bits.div_ceil(8) as usize;
        let mask = if bits == 0 { 0 } else { u128::MAX >> (u128::BITS - bits) };
        loop {
            let number =
                self.bytes(bytes)?.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)) & mask;
            // More than half of the numbers are below.
            if number < bound {
                return Ok(number);
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        if self.buffer.len() < count {
            self.fetch()?;
        }
        Ok(self.buffer.split_off(self.buffer.len() - count))
    }

    fn fetch(&mut self) -> Result<(), Failure> {
        match &mut self.known {
            None => {
                self.buffer.resize(BUFFER, 0);
                getrandom::fill(&mut self.buffer).map_err(|error| {
                    self.buffer.clear();
                    Failure::failed(format!("the operating system gives no random bytes: {error}"))
                })?;
            }
            Some(known) => {
                known.blocks += 1;
                self.buffer.extend(HMAC::mac(known.blocks.to_be_bytes(), &known.seed));
            }
        }
        Ok(())
    }
}
