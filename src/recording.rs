//! Reads recordings: JSON lines `{"t", "dir", "frame", "op", "enc"}`, one frame each. A line that is none costs
//! that line only.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tickcast_feeds::number::parse_decimal;
use tickcast_feeds::{Frame, UnixNanos};

/// Longer lines are refused and passed over without being kept. The longest seen has 1.3 MB.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// How the names of compressed recordings end.
pub const EXTENSION: &str = "jsonl.zst";
/// What each zstd frame starts with.
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Opens a recording, compressed by zstd or not: its first bytes tell, whatever it is called.
pub fn open(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::new(File::open(path)?);
    if !file.fill_buf()?.starts_with(&ZSTD) {
        return Ok(Box::new(file));
    }
    Ok(Box::new(BufReader::new(zstd::Decoder::with_buffer(file)?)))
}

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the venue.
    In,
    /// To the venue.
    Out,
    /// A new connection; the frame is its URL. What a codec knew does not outlive it.
    Open,
}

/// A frame's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Of a text frame.
    Text(String),
    /// Of a binary frame.
    Binary(Vec<u8>),
}

impl Content {
    /// The frame as a codec takes it.
    pub fn frame(&self) -> Frame<'_> {
        match self {
            Self::Text(text) => Frame::Text(text),
            Self::Binary(bytes) => Frame::Binary(bytes),
        }
    }
}

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// The recorder's clock, what is beyond nanoseconds cut off; `None` where none was kept.
    pub t: Option<UnixNanos>,
    /// Which way the frame went.
    pub direction: Direction,
    /// What it holds.
    pub content: Content,
}

/// A line that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("line {number} of the recording")]
pub struct BadLine {
    /// Its number, from 1.
    pub number: u64,
    /// What is wrong with it.
    #[source]
    pub reason: BadLineReason,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum BadLineReason {
    /// The recording could not be read on: this is the last item.
    #[error("could not be read")]
    Read(#[source] io::Error),
    /// Too long to be kept.
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    Long,
    /// Not the JSON of a recording.
    #[error("not a line of a recording")]
    Json(#[source] serde_json::Error),
    /// `t` is no time between the years 1678 and 2261.
    #[error("`t` is no time in seconds since 1970")]
    Time,
    /// `frame` is said to be base64 and is not.
    #[error("`frame` is not base64")]
    Base64(#[source] base64::DecodeError),
}

/// The lines of a recording, blank ones left out. It goes on after a bad line.
#[derive(Debug)]
pub struct Recording<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Recording<R> {
    /// Reads from `input`, one line at a time.
    pub fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, ended: false }
    }

    /// Reads one line into `self.line`; `false` at the end.
    fn read(&mut self) -> Result<bool, BadLineReason> {
        self.line.clear();
        let mut limited = self.input.by_ref().take(LINE_BYTES_MAX);
        let len = limited.read_until(b'\n', &mut self.line).map_err(BadLineReason::Read)?;
        if limited.limit() == 0 && self.line.last() != Some(&b'\n') {
            self.line = Vec::new();
            self.input.skip_until(b'\n').map_err(BadLineReason::Read)?;
            return Err(BadLineReason::Long);
        }
        Ok(len > 0)
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = Result<Line, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            self.number += 1;
            let number = self.number;
            let line = match self.read() {
                Ok(false) => {
                    self.ended = true;
                    continue;
                }
                Ok(true) if self.line.trim_ascii().is_empty() => continue,
                Ok(true) => parse(number, &self.line),
                Err(reason) => {
                    self.ended = matches!(reason, BadLineReason::Read(_));
                    Err(reason)
                }
            };
            return Some(line.map_err(|reason| BadLine { number, reason }));
        }
        None
    }
}

/// A line as it is written.
#[derive(Deserialize)]
struct Written<'l> {
    #[serde(borrow)]
    t: Option<&'l RawValue>,
    dir: Direction,
    #[serde(borrow)]
    frame: Cow<'l, str>,
    #[serde(default)]
    op: Option<Op>,
    #[serde(default)]
    enc: Option<Enc>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Text,
    Binary,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Enc {
    Base64,
}

fn parse(number: u64, line: &[u8]) -> Result<Line, BadLineReason> {
    let written: Written<'_> = serde_json::from_slice(line).map_err(BadLineReason::Json)?;
    let t = match written.t.map(RawValue::get) {
        None | Some("null") => None,
        Some(text) => Some(time(text).ok_or(BadLineReason::Time)?),
    };
    let content = match (written.enc, written.op) {
        (Some(Enc::Base64), _) => {
            Content::Binary(BASE64.decode(written.frame.as_bytes()).map_err(BadLineReason::Base64)?)
        }
        (None, Some(Op::Binary)) => Content::Binary(written.frame.into_owned().into_bytes()),
        (None, _) => Content::Text(written.frame.into_owned()),
    };
    Ok(Line { number, t, direction: written.dir, content })
}

/// Seconds with decimals, from the text: through a float the microseconds would be guesses.
fn time(text: &str) -> Option<UnixNanos> {
    // Plain digits, whatever the exponent was.
    let plain = parse_decimal(text).ok()??.to_string();
    let (secs, decimals) = plain.split_once('.').unwrap_or((&plain, ""));
    let nanos: String = decimals.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos: i64 = nanos.parse().ok()?;
    let negative = secs.starts_with('-');
    let whole = UnixNanos::from_secs(secs.parse().ok()?)?.0;
    let nanos = if negative { whole.checked_sub(nanos) } else { whole.checked_add(nanos) };
    nanos.map(UnixNanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Line, BadLine>> {
        Recording::new(text.as_bytes()).collect()
    }

    #[test]
    fn a_bad_line_costs_that_line_and_numbers_go_on() {
        let lines = read(concat!(
            "{\"t\":null,\"dir\":\"open\",\"frame\":\"wss://x\"}\n",
            "not json\n",
            "\n",
            "{\"t\":1,\"dir\":\"sideways\",\"frame\":\"\"}\n",
            "{\"t\":\"soon\",\"dir\":\"in\",\"frame\":\"\"}\n",
            "{\"t\":1,\"dir\":\"in\"}\n",
            "{\"t\":1,\"dir\":\"in\",\"frame\":\"%\",\"enc\":\"base64\"}\n",
            "{\"dir\":\"out\",\"frame\":\"\\u007b}\",\"more\":[]}",
        ));
        let numbers: Vec<_> = lines
            .iter()
            .map(|line| line.as_ref().map_or_else(|bad| bad.number, |line| line.number))
            .collect();
        assert_eq!(numbers, [1, 2, 4, 5, 6, 7, 8]);
        assert!(lines[1..6].iter().all(Result::is_err));
        assert!(matches!(lines[3].as_ref().unwrap_err().reason, BadLineReason::Time));
        assert!(matches!(lines[5].as_ref().unwrap_err().reason, BadLineReason::Base64(_)));
        let last = lines[6].as_ref().unwrap();
        assert_eq!((last.t, last.direction, last.content.frame()), (None, Direction::Out, Frame::Text("{}")));
    }

    #[test]
    fn m55_the_time_is_exact_to_the_nanosecond() {
        let cases = [
            ("1633998512.0633569", 1_633_998_512_063_356_900),
            ("1633998512", 1_633_998_512_000_000_000),
            ("1.6339985120633569e9", 1_633_998_512_063_356_900),
            ("1633998512.1234567899", 1_633_998_512_123_456_789),
            ("0.5", 500_000_000),
            ("-0.5", -500_000_000),
            ("-1.5", -1_500_000_000),
        ];
        for (text, nanos) in cases {
            let lines = read(&format!("{{\"t\":{text},\"dir\":\"in\",\"frame\":\"\"}}"));
            assert_eq!(lines[0].as_ref().unwrap().t, Some(UnixNanos(nanos)), "{text}");
        }
        for text in ["1e300", "99999999999", "true", "[]"] {
            assert!(read(&format!("{{\"t\":{text},\"dir\":\"in\",\"frame\":\"\"}}"))[0].is_err(), "{text}");
        }
    }

    #[test]
    fn binary_frames_are_told_from_text() {
        let lines = read(concat!(
            "{\"t\":1,\"dir\":\"in\",\"frame\":\"aGk=\",\"op\":\"binary\",\"enc\":\"base64\"}\r\n",
            "{\"t\":1,\"dir\":\"in\",\"frame\":\"hi\",\"op\":\"binary\"}\n",
            "{\"t\":1,\"dir\":\"in\",\"frame\":\"hi\",\"op\":\"text\"}\n",
        ));
        let frames: Vec<_> = lines.iter().map(|line| line.as_ref().unwrap().content.frame()).collect();
        assert_eq!(frames, [Frame::Binary(b"hi"), Frame::Binary(b"hi"), Frame::Text("hi")]);
    }

    #[test]
    fn what_is_no_text_is_a_bad_line() {
        let mut lines = Recording::new(&b"\xff\xfe\n{\"dir\":\"in\",\"frame\":\"\"}\n"[..]);
        assert!(matches!(lines.next().unwrap().unwrap_err().reason, BadLineReason::Json(_)));
        assert_eq!(lines.next().unwrap().unwrap().number, 2);
        assert!(lines.next().is_none());
    }

    #[test]
    fn a_read_error_is_told_once_and_ends_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let mut lines = Recording::new(io::BufReader::new(Broken));
        assert!(matches!(lines.next().unwrap().unwrap_err().reason, BadLineReason::Read(_)));
        assert!(lines.next().is_none());
    }
}
