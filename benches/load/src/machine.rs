//! What Linux says about processes and the machine: CPU time, resident memory, open descriptors.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;

/// Clock ticks of `/proc` in a second: fixed by Linux towards user space.
const TICKS_PER_SECOND: u64 = 100;

/// A server: processes by number, and all that they started.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pids: Vec<u32>,
}

impl Server {
    /// These processes and their children, as they are now: who is started later is not in it.
    pub fn with_children(roots: &[u32]) -> Self {
        let parents: Vec<(u32, u32)> =
            processes().filter_map(|pid| Some((pid, parent(&stat(pid)?)?))).collect();
        let mut pids = roots.to_vec();
        let mut next = 0;
        while let Some(&parent) = pids.get(next) {
            let children = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
            let new: Vec<_> = children.filter(|pid| !pids.contains(pid)).collect();
            pids.extend(new);
            next += 1;
        }
        Self { pids }
    }

    /// Whether a process is named at all, so that the other answers mean something.
    pub fn is_known(&self) -> bool {
        !self.pids.is_empty()
    }

    /// User and system time so far, of those that still run.
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self.pids.iter().filter_map(|pid| cpu_ticks(&stat(*pid)?)).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let statuses =
            self.pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
        statuses.filter_map(|status| rss_kib(&status)).sum()
    }

    /// Open descriptors, sockets among them.
    pub fn descriptors(&self) -> usize {
        let folders = self.pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok());
        folders.map(Iterator::count).sum()
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// The fields behind the name, which may hold spaces and brackets itself.
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    stat.rsplit_once(") ").map(|(_, rest)| rest.split(' '))
}

fn parent(stat: &str) -> Option<u32> {
    fields(stat)?.nth(1)?.parse().ok()
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut times = fields(stat)?.skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The time that all CPUs together have been busy; zero where the system does not say.
pub fn busy() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    Duration::from_millis(busy_ticks(&text).unwrap_or(0) * 1000 / TICKS_PER_SECOND)
}

fn busy_ticks(stat: &str) -> Option<u64> {
    let times = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let times: Vec<u64> = times.map_while(|time| time.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq
    times.get(..7).map(|times| times[..3].iter().sum::<u64>() + times[5] + times[6])
}

/// User and system time of this process.
pub fn own_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(us.unsigned_abs())
}

/// Raises the limit on open descriptors as far as this process may, and returns it.
pub fn raise_descriptors() -> nix::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 1 0 100 1000000 200";

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        assert_eq!(parent(STAT), Some(7));
        assert_eq!(cpu_ticks(STAT), Some(300));
    }

    #[test]
    fn resident_memory_and_busy_time_are_read_from_their_lines() {
        assert_eq!(rss_kib("VmHWM:\t  9 kB\nVmRSS:\t    5120 kB\nThreads: 1\n"), Some(5120));
        assert_eq!(busy_ticks("cpu  10 1 20 500 3 4 5 6 0 0\ncpu0 1 1 1\n"), Some(40));
        assert_eq!(busy_ticks("cpu  10 1\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_has_itself_and_its_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let server = Server::with_children(&[std::process::id()]);
        assert!(server.pids.contains(&child.id()) && server.pids.contains(&std::process::id()));
        assert!(server.rss_kib() > 100 && server.descriptors() > 2);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
