//! Bodies of requests, within one budget of memory for all of them.

use std::io::Read as _;
use std::sync::Arc;

use axum::body::Body;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// Bytes that one permit stands for.
const UNIT: usize = 1 << 10;
/// Compressed bodies above this are unpacked on a thread of their own, so that short requests do not wait.
const SHORT: usize = 64 << 10;
/// Bytes that are unpacked at once.
const CHUNK: usize = 8 << 10;

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
    permits: Vec<OwnedSemaphorePermit>,
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

impl BodyBuffer {
    fn new(permits: Vec<OwnedSemaphorePermit>) -> Self {
        Self { bytes: Vec::new(), start: 0, permits }
    }

    /// Appends bytes. A vector that grows by itself would leave its old bytes behind.
    fn extend(&mut self, data: &[u8]) {
        let length = self.bytes.len() + data.len();
        if length > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(length.max(2 * self.bytes.capacity()));
            larger.extend_from_slice(&self.bytes);
            overwrite(&mut self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(data);
    }
}

impl Drop for BodyBuffer {
    fn drop(&mut self) {
        overwrite(&mut self.bytes);
    }
}

/// Overwrites with zeros, also where the compiler sees that nobody reads them.
fn overwrite(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

impl Budget {
    pub(super) fn new(bytes: usize, largest: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(bytes / UNIT)), largest }
    }

    /// Takes room for so many bytes, or refuses at once. A sender that waited for room would hold the room that it has.
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
        let mut held = BodyBuffer::new(Vec::new());
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
                held.permits.push(self.take(more)?);
                room += more;
            }
            held.extend(data);
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
            let mut held = BodyBuffer::new(vec![permit]);
            let mut decoder = MultiGzDecoder::new(packed.bytes());
            let mut chunk = [0; CHUNK];
            let result = loop {
                match decoder.read(&mut chunk) {
                    Ok(0) => break Ok(held),
                    Ok(length) if held.bytes.len() + length > largest => {
                        break Err(Refusal::too_large(largest));
                    }
                    Ok(length) => held.extend(&chunk[..length]),
                    Err(_) => break Err(Refusal::bad("the body is not gzip")),
                }
            };
            overwrite(&mut chunk);
            result
        };
        if is_short {
            return unpack();
        }
        tokio::task::spawn_blocking(unpack).await.unwrap_or(Err(Refusal::BUSY))
    }
}
