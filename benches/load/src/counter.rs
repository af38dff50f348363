//! Counts the events in one stream's bytes: response head, chunked framing and SSE lines, whatever the boundaries at
//! which the bytes were read. It does not keep an event's text.
//!
//! Lines end in LF or CR LF; the lone CR, which SSE allows too, is sent by no server measured here.

use memchr::memchr;

use crate::tally::{Tally, number};

const HEAD_BYTES_MAX: usize = 16 << 10;
/// A line without an end within so many bytes is no event.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Why a stream's bytes made no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not HTTP.
    #[error("the response head is not HTTP")]
    Head,
    /// Chunk sizes that are no numbers, or chunks that don't end where they said.
    #[error("the chunked framing is broken")]
    Chunk,
    /// A line over a megabyte.
    #[error("a line has no end")]
    Line,
}

/// What has been read of one stream, and nothing of what was counted.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    stage: Stage,
    status: Option<u16>,
    /// The head so far, then a line whose end has not come.
    carry: Vec<u8>,
    block: Block,
    version: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Head,
    Size(Size),
    Data {
        left: u64,
    },
    AfterData,
    /// A body that ends with its connection.
    Plain,
    Ended,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    bytes: u64,
    digits: u32,
    /// After a `;`, a space or the CR, nothing is a digit of the size.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    has_data: bool,
    is_named: bool,
    version: Option<u64>,
}

impl Counter {
    /// The response's status, once its head was read whole.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether the body came to its end as its framing says.
    pub fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// Takes in what was read next, wherever that was cut.
    pub fn feed(&mut self, mut bytes: &[u8], tally: &mut Tally) -> Result<(), Broken> {
        while let Some(&first) = bytes.first() {
            match self.stage {
                Stage::Head => bytes = self.head(bytes)?,
                Stage::Size(size) => {
                    self.stage = size.with(first)?;
                    bytes = &bytes[1..];
                }
                Stage::Data { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.body(&bytes[..here], tally)?;
                    bytes = &bytes[here..];
                    let left = left - here as u64;
                    self.stage = if left == 0 { Stage::AfterData } else { Stage::Data { left } };
                }
                Stage::AfterData => {
                    self.stage = match first {
                        b'\r' => Stage::AfterData,
                        b'\n' => Stage::Size(Size::default()),
                        _ => return Err(Broken::Chunk),
                    };
                    bytes = &bytes[1..];
                }
                Stage::Plain => {
                    self.body(bytes, tally)?;
                    bytes = &[];
                }
                Stage::Ended => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes the head's share and returns what follows it.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Broken> {
        let before = self.carry.len();
        self.carry.extend_from_slice(bytes);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(&self.carry).map_err(|_| Broken::Head)?
        else {
            return if self.carry.len() > HEAD_BYTES_MAX { Err(Broken::Head) } else { Ok(&[]) };
        };
        let is_chunked = response.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("transfer-encoding")
                && header.value.to_ascii_lowercase().ends_with(b"chunked")
        });
        self.status = response.code;
        self.stage = if is_chunked { Stage::Size(Size::default()) } else { Stage::Plain };
        self.carry = Vec::new();
        // What was carried held no whole head, so the head's end is in these bytes.
        Ok(&bytes[length - before..])
    }

    fn body(&mut self, mut bytes: &[u8], tally: &mut Tally) -> Result<(), Broken> {
        if !self.carry.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
            let mut line = std::mem::take(&mut self.carry);
            line.extend_from_slice(&bytes[..end]);
            self.line(&line, tally);
            line.clear();
            self.carry = line;
            bytes = &bytes[end + 1..];
        }
        while let Some(end) = memchr(b'\n', bytes) {
            self.line(&bytes[..end], tally);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes)
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), Broken> {
        self.carry.extend_from_slice(rest);
        if self.carry.len() > LINE_BYTES_MAX { Err(Broken::Line) } else { Ok(()) }
    }

    fn line(&mut self, line: &[u8], tally: &mut Tally) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [] => self.end_block(tally),
            [b':', ..] => tally.comments += 1,
            b"data" | [b'd', b'a', b't', b'a', b':', ..] => {
                if !self.block.has_data && !self.block.is_named {
                    tally.message_data(line);
                }
                self.block.has_data = true;
            }
            [b'e', b'v', b'e', b'n', b't', b':', ..] => self.block.is_named = true,
            [b'i', b'd', b':', id @ ..] => self.block.version = version(id),
            _ => {}
        }
    }

    fn end_block(&mut self, tally: &mut Tally) {
        let Block { has_data, is_named, version } = std::mem::take(&mut self.block);
        tally.events += u64::from(has_data);
        tally.messages += u64::from(has_data && !is_named);
        // Version 0 is where a stream starts from, and no tick.
        let Some(version) = version.filter(|version| *version > 0) else { return };
        tally.ticks += self.version.map_or(1, |before| version.saturating_sub(before));
        self.version = self.version.max(Some(version));
    }
}

impl Size {
    fn with(mut self, byte: u8) -> Result<Stage, Broken> {
        match byte {
            b'\n' if self.digits == 0 => return Err(Broken::Chunk),
            b'\n' if self.bytes == 0 => return Ok(Stage::Ended),
            b'\n' => return Ok(Stage::Data { left: self.bytes }),
            _ if self.is_over => {}
            b'\r' | b';' | b' ' | b'\t' => self.is_over = true,
            _ => {
                let digit =
                    char::from(byte).to_digit(16).filter(|_| self.digits < 16).ok_or(Broken::Chunk)?;
                self.bytes = self.bytes << 4 | u64::from(digit);
                self.digits += 1;
            }
        }
        Ok(Stage::Size(self))
    }
}

/// The decimal number after the last dot of an id.
fn version(id: &[u8]) -> Option<u64> {
    let digits = id.rsplit(|byte| *byte == b'.').next()?.trim_ascii();
    number(digits).filter(|(_, length)| *length == digits.len()).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    /// 600 µs after the first stamp below.
    const NOW: u64 = 1_764_039_600_101_600;

    fn now() -> u64 {
        NOW
    }

    fn chunk(text: &str) -> String {
        format!("{:x}\r\n{text}\r\n", text.len())
    }

    fn message(version: u64, recv_us: u64) -> String {
        format!(
            "data: {{\"symbol\":\"S000\",\"price\":\"1.10\",\"recv_us\":{recv_us}}}\nid: 7f3a.{version}\n\n"
        )
    }

    /// One of everything: a hello, a message a chunk, three in one, one cut by a chunk's end, CR LF, comments, `hb`.
    fn run() -> String {
        let cut = message(9, NOW);
        let (one, other) = cut.split_at(30);
        [
            HEAD.to_owned(),
            chunk("retry: 2317\nevent: hello\ndata: {\"limits\":{}}\nid: 7f3a.0\n\n"),
            chunk(&message(4, NOW - 600)),
            chunk(&[message(5, NOW), message(6, NOW), message(8, NOW)].concat()),
            format!("{:X};name=\"value\"\r\n{one}\r\n", one.len()),
            chunk(other),
            chunk(": hb\n"),
            chunk("event: hb\ndata: {\"time\":1}\nid: 7f3a.12\n\n"),
            chunk("data: no price\r\ndata: but two lines\r\n\r\n"),
            chunk("id: 7f3a.13\n\n"),
            chunk("data: never ended\n"),
            "0\r\n\r\n".to_owned(),
        ]
        .concat()
    }

    #[derive(Debug, PartialEq)]
    struct Counts {
        events: u64,
        messages: u64,
        comments: u64,
        ticks: u64,
        untimed: u64,
        samples: u64,
        status: Option<u16>,
        has_ended: bool,
    }

    fn count(parts: &[&[u8]]) -> Counts {
        let (mut counter, mut tally) = (Counter::default(), Tally::new(1, now));
        parts.iter().for_each(|part| counter.feed(part, &mut tally).unwrap());
        Counts {
            events: tally.events,
            messages: tally.messages,
            comments: tally.comments,
            ticks: tally.ticks,
            untimed: tally.untimed,
            samples: tally.latency.percentiles().samples,
            status: counter.status(),
            has_ended: counter.has_ended(),
        }
    }

    #[test]
    fn every_kind_of_block_is_counted_as_what_it_is() {
        let wanted = Counts {
            events: 8,
            messages: 6,
            comments: 1,
            // 4 is the first, then up to 13, of which two came without a message.
            ticks: 10,
            // `no price`, and the one that never ended.
            untimed: 2,
            samples: 5,
            status: Some(200),
            has_ended: true,
        };
        assert_eq!(count(&[run().as_bytes()]), wanted);
    }

    #[test]
    fn a_stream_cut_anywhere_into_three_has_the_same_counts() {
        let run = run();
        let run = run.as_bytes();
        let whole = count(&[run]);
        for first in 0..run.len() {
            for second in (first..run.len()).step_by(31) {
                let parts = [&run[..first], &run[first..second], &run[second..]];
                assert_eq!(count(&parts), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_stream_in_pieces_of_any_one_size_has_the_same_counts() {
        let run = run();
        let whole = count(&[run.as_bytes()]);
        for size in 1..200 {
            assert_eq!(count(&run.as_bytes().chunks(size).collect::<Vec<_>>()), whole, "pieces of {size}");
        }
    }

    #[test]
    fn without_chunks_the_body_ends_with_its_connection() {
        let text = format!("HTTP/1.1 200 OK\r\n\r\n{}{}", message(1, NOW), message(2, NOW));
        let counts = count(&[text.as_bytes()]);
        assert_eq!((counts.messages, counts.ticks, counts.has_ended), (2, 2, false));
    }

    #[test]
    fn delay_is_arrival_after_the_stamp() {
        let (mut counter, mut tally) = (Counter::default(), Tally::new(2, now));
        let text = [HEAD, &chunk(&message(1, NOW)), &chunk(&message(2, NOW - 600))].concat();
        counter.feed(text.as_bytes(), &mut tally).unwrap();
        let percentiles = tally.latency.percentiles();
        assert_eq!((percentiles.samples, percentiles.max_ms), (1, Some(0.6)), "the second of two is timed");
    }

    #[test]
    fn a_stream_goes_on_over_the_start_of_a_window() {
        let (mut counter, mut tally) = (Counter::default(), Tally::new(1, now));
        let text = [HEAD, &chunk(&message(7, NOW))].concat();
        counter.feed(text.as_bytes(), &mut tally).unwrap();
        tally.clear();
        counter.feed(chunk(&message(10, NOW)).as_bytes(), &mut tally).unwrap();
        assert_eq!((tally.messages, tally.ticks), (1, 3));
    }

    #[test]
    fn broken_framing_is_an_error_and_no_count() {
        for (text, wanted) in [
            (format!("{HEAD}zz\r\n"), Broken::Chunk),
            (format!("{HEAD}\r\n"), Broken::Chunk),
            (format!("{HEAD}2\r\nabc"), Broken::Chunk),
            (format!("{HEAD}11111111111111111\r\n"), Broken::Chunk),
            ("SSH-2.0-OpenSSH\r\n".to_owned(), Broken::Head),
        ] {
            let (mut counter, mut tally) = (Counter::default(), Tally::new(1, now));
            assert_eq!(counter.feed(text.as_bytes(), &mut tally), Err(wanted), "{text}");
            assert_eq!(tally.events, 0);
        }
    }
}
