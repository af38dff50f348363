//! What this process uses, as Prometheus' standard `process_*` metrics, read from Linux' `/proc` (elsewhere there are
//! none); and what it may use, raised and named at the start.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tracing::{info, warn};

use crate::http::server::BACKLOG;

/// Descriptors that are no client's: venues, files, listeners, and a few connections that only ask something.
const DESCRIPTORS_RESERVED: u64 = 200;

/// Reads the figures whenever metrics are asked for.
#[derive(Debug)]
pub(crate) struct Usage;

/// Clock ticks a second in `/proc/self/stat`: 100 on every Linux that Rust runs on (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

impl Collector for Usage {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(seconds) = cpu_seconds() {
            let cpu = ConstCounter::new(seconds);
            let about = "User and system CPU time spent in seconds";
            cpu.encode(encoder.encode_descriptor("process_cpu_seconds", about, None, cpu.metric_type())?)?;
        }
        if let Some(seconds) = started_at() {
            let gauge = ConstGauge::new(seconds);
            let (name, about) = ("process_start_time_seconds", "Start of the process since 1970 in seconds");
            gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)?;
        }
        let mut gauge = |name: &str, about: &str, value: Option<i64>| -> Result<(), std::fmt::Error> {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, about, None, gauge.metric_type())?)
        };
        let resident = resident_bytes().and_then(|bytes| i64::try_from(bytes).ok());
        gauge("process_resident_memory_bytes", "Resident memory size in bytes", resident)?;
        gauge("process_open_fds", "Number of open file descriptors", open_descriptors())?;
        gauge("process_max_fds", "Maximum number of open file descriptors", descriptors_max())
    }
}

/// Raises the number of descriptors as far as this user may, and names what will not hold as many streams as the config
/// allows.
pub fn make_room(streams_max: u32) {
    if let Some(descriptors) = raise_descriptors() {
        let room = descriptors.saturating_sub(DESCRIPTORS_RESERVED);
        if room < streams_max.into() {
            warn!(
                descriptors,
                streams = room,
                streams_total = streams_max,
                "the limit of open files allows fewer streams than the config: raise it (ulimit -Hn, LimitNOFILE=)"
            );
        }
    }
    let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    if let Some(somaxconn) = somaxconn.and_then(|text| text.trim().parse::<u64>().ok())
        && somaxconn < BACKLOG.into()
    {
        info!(
            somaxconn,
            wanted = BACKLOG,
            "the kernel lets fewer clients wait to be accepted than they may be at once after a restart: raise \
             net.core.somaxconn"
        );
    }
}

/// Returns how many there may be now; `None` where that cannot be known.
fn raise_descriptors() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                soft, hard, "the limit of open files stays as it is"
            );
            Some(soft)
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    // utime and stime.
    Some((in_stat(14)? + in_stat(15)?) / TICKS_PER_SECOND)
}

/// Since 1970. The kernel counts from its own start, whose second it tells.
fn started_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse::<f64>().ok()?;
    Some(boot + in_stat(22)? / TICKS_PER_SECOND)
}

/// A field of `/proc/self/stat` by its number in proc(5), from 4.
fn in_stat(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command name, which is field 2, may hold blanks; it ends at the last parenthesis.
    stat.rsplit_once(')')?.1.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// What the process has resident; `None` where the system does not tell.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn open_descriptors() -> Option<i64> {
    // The listing itself holds one.
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)).ok()
}

fn descriptors_max() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
