//! The API keys that are good, by their hashes.

use std::collections::HashMap;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use tickcast_feeds::UnixNanos;

use super::Read;
use super::lease::Standing;
use crate::config::{ApiKey, KeyHash};

/// The keys of a file, at one moment.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    /// By the first bytes of the hash, so that a look-up is one whatever the number of keys. Who times it learns bits of the
    /// hash of what he sent himself; the rest is compared in constant time.
    by_start: HashMap<u64, Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    key: ApiKey,
    standing: Arc<Standing>,
}

/// A key that somebody showed.
#[derive(Debug)]
pub(super) struct Found<'k> {
    pub(super) id: &'k str,
    pub(super) plan: Option<&'k str>,
    pub(super) expires: Option<UnixNanos>,
    pub(super) standing: &'k Arc<Standing>,
}

/// What a key hashes to.
pub fn hash(key: &str) -> KeyHash {
    let mut hash = KeyHash([0; 32]);
    hash.0.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    hash
}

fn start(hash: &KeyHash) -> u64 {
    hash.0[..8].iter().fold(0, |start, &byte| (start << 8) | u64::from(byte))
}

impl Keyring {
    /// The keys of a file that replaces `before`. A key that stands in both as it was keeps its streams; one that is gone, or
    /// has another hash, is revoked, and one whose plan or end is another is changed. Their streams are told by
    /// [`settle`](Self::settle), once the new ring is where requests look: else one could slip through between.
    pub(super) fn new(keys: Vec<ApiKey>, before: &Self) -> Self {
        let mut by_start: HashMap<u64, Vec<Held>> = HashMap::with_capacity(keys.len());
        for key in keys {
            let same = before.held(&key.hash).filter(|held| held.key == key);
            let standing = same.map(|held| Arc::clone(&held.standing)).unwrap_or_default();
            by_start.entry(start(&key.hash)).or_default().push(Held { key, standing });
        }
        Self { by_start }
    }

    /// Ends the streams of keys that this ring, which replaced `before`, does not hold as they were.
    pub(super) fn settle(&self, before: &Self) -> Read {
        let mut read = Read { keys: self.all().count(), ..Read::default() };
        for held in before.all() {
            match self.held(&held.key.hash) {
                Some(now) if now.key == held.key => {}
                Some(now) if now.key.id == held.key.id => {
                    held.standing.change();
                    read.changed += 1;
                }
                _ => {
                    held.standing.revoke();
                    read.revoked += 1;
                }
            }
        }
        let is_new = |held: &&Held| before.held(&held.key.hash).is_none_or(|old| old.key.id != held.key.id);
        read.added = self.all().filter(is_new).count();
        read
    }

    /// The key that this is, if it is one, expired or not.
    pub(super) fn find(&self, key: &str) -> Option<Found<'_>> {
        let Held { key, standing } = self.held(&hash(key))?;
        Some(Found { id: &key.id, plan: key.plan.as_deref(), expires: key.expires, standing })
    }

    fn held(&self, hash: &KeyHash) -> Option<&Held> {
        let candidates = self.by_start.get(&start(hash))?;
        candidates.iter().find(|held| bool::from(held.key.hash.0.ct_eq(&hash.0)))
    }

    fn all(&self) -> impl Iterator<Item = &Held> {
        self.by_start.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::lease::{Lease, LeaseEnd};
    use super::*;

    fn key(id: &str, secret: &str) -> ApiKey {
        ApiKey { id: id.to_owned(), hash: hash(secret), plan: None, expires: None }
    }

    #[test]
    fn a_key_is_known_by_its_hash_alone() {
        // The example of FIPS 180-2, appendix B.1.
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash("abc").to_string(), known);
        let ring = Keyring::new(vec![key("one", "abc"), key("two", "abd")], &Keyring::default());
        assert_eq!(ring.find("abc").map(|found| found.id), Some("one"));
        assert_eq!(ring.find("abd").map(|found| found.id), Some("two"));
        for wrong in ["", "ab", "abcd", known] {
            assert!(ring.find(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn p66_a_new_file_ends_the_streams_of_what_it_took_out_or_changed_and_of_nothing_else() {
        let none = Keyring::default();
        let names = ["kept", "gone", "rolled", "plan", "renamed"];
        let before = Keyring::new(names.map(|name| key(name, name)).to_vec(), &none);
        let lease = |ring: &Keyring, name: &str| {
            Lease::new(None, Arc::clone(ring.find(name).expect("a key").standing))
        };
        let leases = names.map(|name| lease(&before, name));
        let planned = ApiKey { plan: Some("gold".to_owned()), ..key("plan", "plan") };
        let keys = vec![
            key("new", "new"),
            key("kept", "kept"),
            key("rolled", "other"),
            planned,
            key("other", "renamed"),
        ];
        let after = Keyring::new(keys, &before);
        let now = Instant::now();
        assert!(leases.iter().all(|lease| lease.end(now).is_none()), "not before the new ring is in place");
        assert_eq!(after.settle(&before), Read { keys: 5, added: 3, changed: 1, revoked: 3 });
        let ends = leases.map(|lease| lease.end(now));
        let revoked = Some(LeaseEnd::Revoked);
        assert_eq!(ends, [None, revoked, revoked, Some(LeaseEnd::Changed), revoked]);
        assert_eq!(lease(&after, "plan").end(now), None, "what is opened now has the new terms");
    }
}
