//! A run's randomness: everything that a guest draws comes from the run's seed.
//!
//! BLAKE3 keyed with the seed, read as an endless stream: as unpredictable as the seed, and the same
//! again in a replay, on every machine and in every version of Tidegate.

use std::convert::Infallible;

use rand_core::TryRng;
use tidegate_engine::cassette::Seed;
use wasmtime_wasi::WasiCtxBuilder;

/// One of the streams of a seed.
struct Stream(blake3::OutputReader);

impl Stream {
    fn new(seed: Seed, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&seed.0);
        hasher.update(name.as_bytes());
        Self(hasher.finalize_xof())
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// Let all of `wasi:random` come from `seed`.
pub(crate) fn seed(wasi: &mut WasiCtxBuilder, seed: Seed) {
    let word = u128::from_le_bytes(Stream::new(seed, "insecure-seed").bytes());
    wasi.secure_random(Stream::new(seed, "random"))
        .insecure_random(Stream::new(seed, "insecure"))
        .insecure_random_seed(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_whatever_the_pieces() {
        let mut whole = [0; 64];
        let mut pieces = [0; 64];
        let seed = Seed([7; 32]);
        Stream::new(seed, "random")
            .try_fill_bytes(&mut whole)
            .unwrap();
        let mut stream = Stream::new(seed, "random");
        for piece in pieces.chunks_mut(10) {
            stream.try_fill_bytes(piece).unwrap();
        }
        assert_eq!(whole, pieces);
        let other: [u8; 64] = Stream::new(seed, "insecure").bytes();
        assert_ne!(whole, other);
        let other: [u8; 64] = Stream::new(Seed([8; 32]), "random").bytes();
        assert_ne!(whole, other);
        // What old cassettes were recorded with stays what it is.
        let first: [u8; 4] = Stream::new(seed, "random").bytes();
        assert_eq!(hex(&first), FIRST);
    }

    const FIRST: &str = "36f43219";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
