//! Numbers and byte strings in values: LEB128 and length-prefixed.

use super::Corrupt;

/// Append `number` as LEB128: 7 bits a byte, lowest first.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Append a byte string with its length in front.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Append the distance from `from` to `to`, in either direction.
pub(crate) fn put_distance(out: &mut Vec<u8>, from: u64, to: u64) {
    let distance = to.wrapping_sub(from).cast_signed();
    put_number(out, ((distance << 1) ^ (distance >> 63)).cast_unsigned());
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Corrupt> {
        let (first, rest) = self
            .0
            .split_first()
            .ok_or(Corrupt("a value ends too early"))?;
        self.0 = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, Corrupt> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Corrupt("a number is too long"))
    }

    pub(crate) fn distance(&mut self, from: u64) -> Result<u64, Corrupt> {
        let number = self.number()?;
        let distance = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        Ok(from.wrapping_add(distance.cast_unsigned()))
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Corrupt("a value ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let len = self.number()?;
        self.take(usize::try_from(len).map_err(|_| Corrupt("a length is too large"))?)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| Corrupt("a value ends too early"))
    }

    /// The version byte that each value begins with.
    pub(crate) fn version(&mut self, version: u8) -> Result<(), Corrupt> {
        if self.byte()? == version {
            Ok(())
        } else {
            Err(Corrupt("an unknown version of a value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_distance(&mut out, 1000, number);
            put_bytes(&mut out, b"abc");
            let mut reader = Reader(&out);
            assert_eq!(reader.number(), Ok(number));
            assert_eq!(reader.distance(1000), Ok(number));
            assert_eq!(reader.bytes(), Ok(&b"abc"[..]));
            assert!(reader.is_empty());
            assert!(reader.byte().is_err());
        }
    }
}
