//! Bodies of requests, within one budget of memory for all of them.

use std::io::Read as _;
use std::sync::Arc;

use axum::body::Body;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroize as _;

use super::refusal::Refusal;

/// Bytes that one permit stands for.
const UNIT: usize = 1 << 10;
/// Compressed bodies above this are unpacked on a thread of their own, so that short requests do not wait.
const SHORT: usize = 64 << 10;

/// Memory for the bodies of all requests.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    largest: usize,
}

/// A body that takes from the budget until it is dropped, and is then overwritten with zeros.
#[derive(Debug)]
pub(super) struct BodyBuffer {
    bytes: Vec<u8>,
    start: usize,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl BodyBuffer {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The same body without its first bytes.
    pub(super) fn without_start(mut self, length: usize) -> Self {
        self.start += length;
        self
    }
}

impl Drop for BodyBuffer {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Budget {
    pub(super) fn new(bytes: usize, largest: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(bytes / UNIT)), largest }
    }

    /// Takes room for so many bytes, or refuses at once: waiting senders would hold what they have.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let permits = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.permits).try_acquire_many_owned(permits).map_err(|_| Refusal::BUSY)
    }

    /// Takes room for what is made of a body.
    pub(super) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        self.take(bytes)
    }

    /// Reads a body.
    pub(super) async fn read(&self, mut body: Body) -> Result<BodyBuffer, Refusal> {
        let announced = hyper::body::Body::size_hint(&body).lower();
        if announced > self.largest as u64 {
            return Err(Refusal::too_large(self.largest));
        }
        // Only what has come takes room: a length that is announced costs the sender nothing.
        let mut held = BodyBuffer { bytes: Vec::new(), start: 0, _permits: Vec::new() };
        let mut room = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::GONE)?;
            let Some(data) = frame.data_ref() else { continue };
            let length = held.bytes.len() + data.len();
            if length > self.largest {
                return Err(Refusal::too_large(self.largest));
            }
            if length > room {
                // By doubling, as the vector grows.
                let more = (length - room).max(room);
                held._permits.push(self.take(more)?);
                room += more;
                let mut larger = Vec::with_capacity(room);
                larger.extend_from_slice(&held.bytes);
                held.bytes.zeroize();
                held.bytes = larger;
            }
            held.bytes.extend_from_slice(data);
        }
        Ok(held)
    }

    /// Unpacks gzip, up to the limit, whatever the compressed bytes promise.
    pub(super) async fn unpack(&self, packed: BodyBuffer) -> Result<BodyBuffer, Refusal> {
        // The unpacked size is not known before, and the vector grows by doubling.
        let permit = self.take((2 * self.largest).min(1_032 * packed.bytes.len() + UNIT))?;
        let largest = self.largest;
        let is_short = packed.bytes.len() <= SHORT;
        let unpack = move || {
            let mut bytes = Vec::new();
            let read = MultiGzDecoder::new(packed.bytes()).take(largest as u64 + 1).read_to_end(&mut bytes);
            let held = BodyBuffer { bytes, start: 0, _permits: vec![permit] };
            match read {
                Err(_) => Err(Refusal::bad("the body is not gzip")),
                Ok(length) if length > largest => Err(Refusal::too_large(largest)),
                Ok(_) => Ok(held),
            }
        };
        if is_short {
            return unpack();
        }
        tokio::task::spawn_blocking(unpack).await.unwrap_or(Err(Refusal::BUSY))
    }
}
