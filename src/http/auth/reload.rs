//! Reads the keys file, or the JWKS file, again when it changes. A broken one keeps what was: a slip of the pen must not
//! lock everybody out.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::Auth;

/// How often the file is looked at. It is read once it has been the same for two looks, so that one that is being written is
/// not read in halves: a change counts after one to two seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another, also where it was replaced by a file of the same length within the clock's
/// grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Which states of the file were seen.
#[derive(Debug, Default)]
struct Looks {
    read: Option<Stamp>,
    last: Option<Stamp>,
}

impl Looks {
    /// Notes a look; `true` where the file is to be read now: it is another than what was read, and has been the same twice.
    fn note(&mut self, stamp: Option<Stamp>) -> bool {
        let is_settled = self.last == stamp;
        self.last = stamp;
        if !is_settled || stamp == self.read {
            return false;
        }
        self.read = stamp;
        true
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Watches for ever.
pub async fn watch(auth: Arc<Auth>) {
    let Some(path) = auth.file().map(Path::to_owned) else { return std::future::pending().await };
    let mut looks = Looks::default();
    let mut beat = interval(LOOK_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        // A disk, or a network behind it, may take its time: not on a thread that serves streams.
        let look = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || std::fs::metadata(path).ok().as_ref().map(Stamp::from))
        };
        let Ok(stamp) = look.await else { continue };
        // Also the first time: it may have changed since the config was read.
        if looks.note(stamp) {
            let auth = Arc::clone(&auth);
            let again = tokio::task::spawn_blocking(move || auth.read_again());
            match again.await {
                Ok(Ok(read)) if read.is_change() => {
                    let (keys, added, changed, revoked) = (read.keys, read.added, read.changed, read.revoked);
                    info!(path = %path.display(), keys, added, changed, revoked, "credentials read again");
                }
                Ok(Ok(_)) => {}
                Ok(Err(problem)) => warn!(problem, "credentials not read again; what was read before stays"),
                Err(error) => warn!(error = &error as &dyn std::error::Error, "credentials not read again"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(bytes: u64) -> Stamp {
        Stamp { inode: 1, bytes, modified: (0, 0), changed: (0, 0) }
    }

    #[test]
    fn a_file_is_read_once_it_has_been_the_same_twice() {
        let mut looks = Looks::default();
        // 0 is a look that found no file.
        let all = [1, 1, 1, 2, 3, 3, 0, 0, 0, 3, 3];
        let read = all.map(|bytes| looks.note((bytes > 0).then(|| stamp(bytes))));
        assert_eq!(read, [false, true, false, false, false, true, false, true, false, false, true]);
    }
}
