//! TLS: the certificate, which is read again when its files change, and the handshake, which has to come to an end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::config::TlsFiles;
use crate::http::link::Progress;

/// A handshake has to be over within this.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How often the files are looked at. A pair that was written is in use within two of these.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, may not be read, or holds no PEM of that kind.
    #[error("[http] {key}: could not read {}: {}", path.display(), told(source))]
    Unreadable {
        /// The config's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The files are of two minds, or of a kind that rustls does not know.
    #[error("[http] tls_cert, tls_key: {} and {} are no pair: {source}", cert.display(), key.display())]
    NoPair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// There is no version of TLS to speak.
    #[error("no TLS: {0}")]
    Unusable(#[from] rustls::Error),
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it holds nothing of that kind as PEM".to_owned(),
        other => other.to_string(),
    }
}

/// What a client and we agreed on.
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(super) fn of<S>(socket: &TlsStream<S>) -> Self {
        // Who names none is a client from before HTTP/2.
        if socket.get_ref().1.alpn_protocol() == Some(HTTP2) { Self::Http2 } else { Self::Http1 }
    }
}

/// How connections are made secure.
pub struct Tls {
    acceptor: TlsAcceptor,
    pair: Arc<Pair>,
}

impl Tls {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    ///
    /// [`TlsError`] where they cannot be used.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let stamp = Stamp::of(files);
        let current = RwLock::new(Arc::new(read(files, &provider)?));
        let pair = Arc::new(Pair { files: files.clone(), loaded: stamp, provider, current });
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&pair.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&pair) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), pair })
    }

    pub(super) async fn accept(
        &self,
        socket: Progress<TcpStream>,
    ) -> io::Result<TlsStream<Progress<TcpStream>>> {
        let slow = |_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long");
        timeout(HANDSHAKE_MAX, self.acceptor.accept(socket)).await.map_err(slow)?
    }

    /// Looks at the files, for ever. What they hold by then is what the next handshake shows; open connections keep
    /// theirs.
    pub(super) async fn follow_files(self: Arc<Self>) {
        let mut loaded = self.pair.loaded;
        let mut seen = loaded;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let pair = Arc::clone(&self.pair);
            // A file system may hang.
            let looked = tokio::task::spawn_blocking(move || {
                let stamp = Stamp::of(&pair.files);
                // One file is written after the other: what changed since the last look may be half of a change.
                let is_news = stamp != loaded && stamp == seen;
                (stamp, is_news.then(|| read(&pair.files, &pair.provider)))
            });
            let Ok((stamp, result)) = looked.await else { continue };
            seen = stamp;
            let Some(result) = result else { continue };
            // Also where it is of no use: it is told once.
            loaded = stamp;
            match result {
                Ok(pair) => {
                    *self.pair.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                    info!("the certificate was read again");
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "the new certificate is of no use; the old one stays"
                ),
            }
        }
    }
}

/// The certificate in use, and where it comes from.
#[derive(Debug)]
struct Pair {
    files: TlsFiles,
    /// The files as they were when they were first read.
    loaded: Stamp,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Pair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// How two files look from outside; nothing of one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp([Option<(SystemTime, u64)>; 2]);

impl Stamp {
    fn of(files: &TlsFiles) -> Self {
        Self([&files.cert, &files.key].map(|path| {
            let about = fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len()))
        }))
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let unreadable = |key, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Unreadable { key, path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(unreadable("tls_cert", &files.cert))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable("tls_key", &files.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::NoPair {
        cert: files.cert.clone(),
        key: files.key.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test looks at its tasks from the other end")]

    use std::fs::File;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::http::link::Link;

    /// A folder for two files, gone with the test.
    struct Folder {
        path: PathBuf,
        files: TlsFiles,
        writes: u64,
    }

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tickcast-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            let files = TlsFiles { cert: path.join("cert.pem"), key: path.join("key.pem") };
            Self { path, files, writes: 0 }
        }

        /// Writes both, each time at another moment: a file system's clock may be too coarse to tell two tests' steps.
        fn write(&mut self, cert: &str, key: &str) {
            self.writes += 1;
            for (path, text) in [(&self.files.cert, cert), (&self.files.key, key)] {
                fs::write(path, text).expect("writable");
                let at = SystemTime::UNIX_EPOCH + Duration::from_secs(self.writes);
                File::options().write(true).open(path).and_then(|file| file.set_modified(at)).expect("ours");
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.path));
        }
    }

    fn pair() -> (String, String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
        (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().clone())
    }

    fn shown(tls: &Tls) -> CertificateDer<'static> {
        tls.pair.current.read().expect("not poisoned").cert[0].clone()
    }

    #[test]
    fn files_that_are_no_pair_are_told_by_name() {
        let mut folder = Folder::new("no-pair");
        let (cert, key, _) = pair();
        let told = |folder: &Folder| Tls::load(&folder.files).err().map(|error| error.to_string());
        let (at_cert, at_key) =
            (folder.files.cert.display().to_string(), folder.files.key.display().to_string());
        let missing = told(&folder).expect("refused");
        assert!(
            missing.starts_with(&format!("[http] tls_cert: could not read {at_cert}: No such file")),
            "{missing}"
        );
        folder.write(&key, &key);
        let nothing = "it holds nothing of that kind as PEM";
        assert_eq!(told(&folder), Some(format!("[http] tls_cert: could not read {at_cert}: {nothing}")));
        folder.write(&cert, &cert);
        assert_eq!(told(&folder), Some(format!("[http] tls_key: could not read {at_key}: {nothing}")));
        folder.write(&cert, &pair().1);
        let other = told(&folder).expect("refused");
        assert!(
            other.contains(&at_cert) && other.contains(&at_key) && other.contains("are no pair"),
            "{other}"
        );
        folder.write(&cert, &key);
        assert_eq!(told(&folder), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_certificate_is_used_and_one_of_no_use_is_not() {
        let mut folder = Folder::new("reload");
        let [(cert, key, first), (new_cert, new_key, second)] = [pair(), pair()];
        folder.write(&cert, &key);
        let tls = Arc::new(Tls::load(&folder.files).expect("a pair"));
        let following = tokio::spawn(Arc::clone(&tls).follow_files());
        folder.write(&new_cert, &key);
        tokio::time::sleep(LOOK_EVERY * 5).await;
        assert_eq!(shown(&tls), first);
        drop(fs::remove_file(&folder.files.key));
        tokio::time::sleep(LOOK_EVERY * 5).await;
        assert_eq!(shown(&tls), first);
        folder.write(&new_cert, &new_key);
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert_eq!(shown(&tls), second);
        following.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_does_not_come_is_given_up() {
        let mut folder = Folder::new("handshake");
        let (cert, key, _) = pair();
        folder.write(&cert, &key);
        let tls = Tls::load(&folder.files).expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("open");
        let (socket, _) = listener.accept().await.expect("a connection");
        let start = Instant::now();
        let failure = tls.accept(Progress::new(socket, Link::default(), Duration::from_secs(30))).await;
        assert_eq!(failure.expect_err("nothing came").kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), HANDSHAKE_MAX);
        assert_eq!(client.read(&mut [0]).await.expect("closed in order"), 0);
    }
}
