//! How a body's bytes are put on a connection: as they are, for who frames them itself, or as HTTP/1.1 chunks.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

/// What is around each piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing: hyper frames it.
    Bare,
    /// A chunk (RFC 9112, section 7.1), with its length as hyper writes it.
    Chunked,
}

/// What ends a body of chunks.
pub const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");
/// More than any chunk's frame takes: sixteen digits of length and two ends of line.
const FRAME_BYTES_MAX: usize = 20;

impl Framing {
    /// One piece of exactly so many bytes, at least one, that `fill` writes.
    pub fn piece(self, bytes: usize, fill: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut out = BytesMut::with_capacity(bytes + FRAME_BYTES_MAX);
        if self == Self::Chunked {
            write!(out, "{bytes:X}\r\n").expect("a BytesMut grows");
        }
        let start = out.len();
        fill(&mut out);
        debug_assert_eq!(out.len() - start, bytes, "another length would break the connection");
        if self == Self::Chunked {
            out.put_slice(b"\r\n");
        }
        out.freeze()
    }

    /// One piece that is there already.
    pub fn wrap(self, piece: Bytes) -> Bytes {
        match self {
            Self::Bare => piece,
            Self::Chunked => self.piece(piece.len(), |out| out.put_slice(&piece)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_its_length_in_upper_case_hexadecimal_before_it() {
        assert_eq!(Framing::Bare.wrap(Bytes::from_static(b"abc")), "abc");
        assert_eq!(Framing::Chunked.wrap(Bytes::from_static(b"abc")), "3\r\nabc\r\n");
        let long = Framing::Chunked.piece(0xAB, |out| out.put_bytes(b'x', 0xAB));
        assert!(long.starts_with(b"AB\r\nx") && long.ends_with(b"x\r\n"));
        assert_eq!(long.len(), 0xAB + 6);
    }
}
