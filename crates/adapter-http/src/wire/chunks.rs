//! The framing of a chunked body (RFC 9112, 7.1), followed to find where it ends. actix reads what is in it.

/// The most digits of a chunk's size.
const DIGITS: u8 = 15;
/// The most bytes that are no content, between two chunks.
const OVERHEAD: u16 = 8 * 1024;

/// The framing is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// How far a body was followed.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    overhead: u16,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
            overhead: 0,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size {
        size: u64,
        digits: u8,
    },
    /// What may follow a size, to the end of its line.
    Extension {
        size: u64,
    },
    SizeEnd {
        size: u64,
    },
    Content {
        left: u64,
    },
    ContentReturn,
    ContentEnd,
    /// The beginning of a line after the last chunk.
    Line,
    Trailer,
    TrailerEnd,
    LastEnd,
}

impl Chunks {
    /// How many of these bytes belong to the body, and whether it ends with them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let State::Content { left } = self.state {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                let left = left - taken as u64;
                self.state = if left == 0 {
                    State::ContentReturn
                } else {
                    State::Content { left }
                };
                self.overhead = 0;
                at += taken;
                continue;
            }
            at += 1;
            self.overhead += 1;
            match self.state.after(*byte) {
                Some(state) if self.overhead <= OVERHEAD => self.state = state,
                None if matches!((self.state, byte), (State::LastEnd, b'\n')) => return Ok((at, true)),
                _ => return Err(Malformed),
            }
        }
        Ok((at, false))
    }
}

impl State {
    /// What a byte that is no content leads to.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < DIGITS => Self::Size {
                size: size * 16 + u64::from(char::from(byte).to_digit(16)?),
                digits: digits + 1,
            },
            (Self::Size { size, digits: 1.. } | Self::Extension { size }, b'\r') => Self::SizeEnd { size },
            (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Self::Extension { size },
            (Self::Extension { size }, byte) if byte != b'\n' => Self::Extension { size },
            (Self::SizeEnd { size: 0 } | Self::TrailerEnd, b'\n') => Self::Line,
            (Self::SizeEnd { size }, b'\n') => Self::Content { left: size },
            (Self::ContentReturn, b'\r') => Self::ContentEnd,
            (Self::ContentEnd, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::Line, b'\r') => Self::LastEnd,
            (Self::Trailer, b'\r') => Self::TrailerEnd,
            (Self::Line | Self::Trailer, byte) if byte != b'\n' => Self::Trailer,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_its_framing_says_however_it_is_cut() {
        let body =
            b"4;name=value\r\nwiki\r\n5\r\npedia\r\nA \r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\nTrailer: x\r\n\r\n";
        let body = &body[..];
        for cut in 0..body.len() {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.take(&body[..cut]), Ok((cut, false)), "{cut}");
            let rest = [&body[cut..], b"GET / HTTP/1.1"].concat();
            assert_eq!(chunks.take(&rest), Ok((body.len() - cut, true)), "{cut}");
        }
    }

    #[test]
    fn other_framing_is_malformed() {
        for body in [
            &b"\r\n"[..],
            b"x\r\n",
            b";\r\n",
            b"4\nwiki\r\n0\r\n\r\n",
            b"4\r\nwikix",
            b"4\r\nwiki\n0",
            b"0\r\n\n",
            b"0\r\nTrailer: x\n",
            b"0;a\n",
            b"0000000000000001\r\n",
            b"ffffffffffffffff\r\n",
            b"-1\r\n",
        ] {
            assert_eq!(Chunks::default().take(body), Err(Malformed), "{body:?}");
        }
        let endless = [&b"1;"[..], &[b'x'; 10_000]].concat();
        assert_eq!(Chunks::default().take(&endless), Err(Malformed));
    }
}
