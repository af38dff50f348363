//! Keeps raw frames as they came, with their receive times: one recording for each venue, compressed, cut into
//! files of a certain size. A disk that is too slow costs frames of the recording, which are counted, and never
//! a price.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::value::RawValue;
use tickcast_feeds::{Frame, UnixNanos, Venue};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info};

use crate::config::Record;
use crate::metrics::Metrics;
use crate::recording::{Direction, EXTENSION};

/// Frames waiting for the disk; at 1 KB each some 16 MB. What does not fit is left out and counted.
const WAITING_MAX: usize = 16_384;
/// What a crash may cost of the recording.
const FLUSH: Duration = Duration::from_secs(1);
/// Quick, and a fifth of the size.
const LEVEL: i32 = 3;

/// Where a venue's connections put their frames. Every clone is the same.
#[derive(Clone, Debug)]
pub struct Recorder {
    lines: mpsc::Sender<Vec<u8>>,
    refused: Counter,
}

/// The other end: writes what was put in.
#[derive(Debug)]
pub struct Writer {
    venue: Venue,
    config: Record,
    lines: mpsc::Receiver<Vec<u8>>,
}

#[derive(Serialize)]
struct Line<'l> {
    t: &'l RawValue,
    dir: Direction,
    frame: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enc: Option<&'static str>,
}

/// A recorder of one venue's frames, and what writes them: a blocking task.
pub fn recorder(venue: Venue, config: Record, metrics: &Arc<Metrics>) -> (Recorder, Writer) {
    let (sender, lines) = mpsc::channel(WAITING_MAX);
    let refused = metrics.record_refused.get_or_create(&venue.into()).clone();
    (Recorder { lines: sender, refused }, Writer { venue, config, lines })
}

impl Recorder {
    /// Puts a frame into the recording, or counts it as left out where the disk cannot follow.
    pub fn note(&self, direction: Direction, frame: Frame<'_>, t: UnixNanos) {
        // Reserved first, so that a full queue costs no line.
        match self.lines.try_reserve() {
            Ok(place) => place.send(line(direction, frame, t)),
            Err(_) => _ = self.refused.inc(),
        }
    }
}

fn line(dir: Direction, frame: Frame<'_>, t: UnixNanos) -> Vec<u8> {
    let (secs, nanos) = (t.0.div_euclid(1_000_000_000), t.0.rem_euclid(1_000_000_000));
    let t = RawValue::from_string(format!("{secs}.{nanos:09}")).expect("digits and a dot are a number");
    let t = &*t;
    let line = match frame {
        Frame::Text(frame) => serde_json::to_vec(&Line { t, dir, frame, op: None, enc: None }),
        Frame::Binary(bytes) => {
            let frame = &BASE64.encode(bytes);
            serde_json::to_vec(&Line { t, dir, frame, op: Some("binary"), enc: Some("base64") })
        }
    };
    let mut line = line.expect("text and numbers serialize");
    line.push(b'\n');
    line
}

impl Writer {
    /// Writes until every recorder is gone. A disk that fails ends the recording and nothing else.
    pub fn run(mut self) {
        if let Err(error) = self.write() {
            let dir = self.config.dir.display();
            error!(venue = %self.venue, %dir, error = &error as &dyn std::error::Error, "recording ended");
        }
    }

    fn write(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.config.dir)?;
        while let Some(first) = self.lines.blocking_recv() {
            let path = self.next_path();
            info!(venue = %self.venue, path = %path.display(), "recording");
            let mut file = Part::create(&path)?;
            file.write(&first)?;
            while let Some(line) = self.lines.blocking_recv() {
                file.write(&line)?;
                if file.bytes()? >= self.config.bytes_max {
                    break;
                }
            }
            file.finish()?;
            self.forget_oldest()?;
        }
        Ok(())
    }

    /// `coinbase-1790000000123.jsonl.zst`: the names of one venue sort by time.
    fn next_path(&self) -> PathBuf {
        let millis = crate::clock::wall().as_millis();
        let free = (millis..).map(|millis| format!("{}-{millis}.{EXTENSION}", self.venue));
        let mut free = free.map(|name| self.config.dir.join(name)).filter(|path| !path.exists());
        free.next().unwrap_or_else(|| self.config.dir.join(format!("{}.{EXTENSION}", self.venue)))
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let parts = parts(&self.config.dir, self.venue)?;
        let over = parts.len().saturating_sub(self.config.files_max);
        parts[..over].iter().try_for_each(fs::remove_file)
    }
}

/// The venue's files, the oldest first.
fn parts(dir: &Path, venue: Venue) -> io::Result<Vec<PathBuf>> {
    let start = format!("{venue}-");
    let is_part = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let middle =
            name.and_then(|name| name.strip_prefix(&start)?.strip_suffix(EXTENSION)?.strip_suffix('.'));
        middle.is_some_and(|middle| middle.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut parts: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    parts.retain(is_part);
    parts.sort();
    Ok(parts)
}

/// One file that is being written.
struct Part {
    encoder: zstd::Encoder<'static, File>,
    flushed: Instant,
}

impl Part {
    fn create(path: &Path) -> io::Result<Self> {
        let encoder = zstd::Encoder::new(File::create_new(path)?, LEVEL)?;
        Ok(Self { encoder, flushed: Instant::now() })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.encoder.write_all(line)?;
        if self.flushed.elapsed() >= FLUSH {
            self.encoder.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// Bytes in the file by now; what the encoder holds back is not among them.
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.encoder.get_ref().metadata()?.len())
    }

    fn finish(self) -> io::Result<()> {
        self.encoder.finish()?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{self, Recording};

    #[test]
    fn what_is_recorded_is_read_back_whole_over_several_files_and_the_oldest_go() {
        const LINES: usize = 10_000;
        let dir = std::env::temp_dir().join(format!("tickcast-record-{}", std::process::id()));
        let metrics = Arc::new(Metrics::default());
        let config = Record { dir: dir.clone(), bytes_max: 2000, files_max: 3 };
        let (recorder, writer) = recorder(Venue::Kraken, config, &metrics);
        let written: Vec<String> =
            (0..LINES).map(|n| format!("{{\"n\":{n},\"x\":\"{:0>80}\"}}", n * 7919)).collect();
        for (index, text) in written.iter().enumerate() {
            let frame = if index % 2 == 0 { Frame::Text(text) } else { Frame::Binary(text.as_bytes()) };
            recorder.note(
                Direction::In,
                frame,
                UnixNanos(1_790_000_000_000_000_001 + i64::try_from(index).unwrap()),
            );
        }
        drop(recorder);
        writer.run();
        let parts = parts(&dir, Venue::Kraken).unwrap();
        let mut read = Vec::new();
        for part in &parts {
            for line in Recording::new(recording::open(part).unwrap()) {
                let line = line.unwrap();
                let index = usize::try_from(line.t.unwrap().0 - 1_790_000_000_000_000_001).unwrap();
                let frame = match line.content.frame() {
                    Frame::Text(text) if index % 2 == 0 => text.to_owned(),
                    Frame::Binary(bytes) if index % 2 == 1 => String::from_utf8(bytes.to_vec()).unwrap(),
                    other => panic!("{index}: {other:?}"),
                };
                assert_eq!(frame, written[index]);
                read.push(index);
            }
        }
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(parts.len(), 3, "{parts:?}");
        let first = read[0];
        assert!(first > 0 && read == (first..LINES).collect::<Vec<_>>(), "what is left has no holes");
    }

    #[test]
    fn a_disk_that_cannot_follow_costs_frames_of_the_recording_that_are_counted() {
        let metrics = Arc::new(Metrics::default());
        let config = Record { dir: PathBuf::from("unused"), bytes_max: 1, files_max: 1 };
        let (recorder, _writer) = recorder(Venue::Kraken, config, &metrics);
        for _ in 0..WAITING_MAX + 5 {
            recorder.note(Direction::In, Frame::Text("{}"), UnixNanos(0));
        }
        assert_eq!(recorder.refused.get(), 5);
    }
}
