//! Encrypted connections: a certificate and its key from files, read again when they change.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where certificate and key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TlsFiles {
    /// The certificate and those that lead to its issuer, in PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, in PEM: PKCS#8, SEC1 or PKCS#1.
    pub(crate) key: PathBuf,
}

/// Why a certificate cannot be used. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFault {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
}

/// Certificate and key as they are now.
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    contents: Contents,
}

/// What the files hold, as a hash.
type Contents = [u8; 32];

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// Which file is wrong, and in what way.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsFault> {
        let current = read(&files)?;
        Ok(Self { files, current: RwLock::new(current) })
    }

    /// What new connections are encrypted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(current.config.clone())
    }

    /// Reads the files again. What is wrong with them is logged, and the certificate from before stays in use. Says
    /// whether there is a new one.
    pub(crate) fn reload(&self) -> bool {
        match read(&self.files) {
            Ok(read) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                if current.contents == read.contents {
                    return false;
                }
                *current = read;
                tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is in use");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the certificate was not replaced: the one from before stays in use");
                false
            }
        }
    }

    /// Looks at the files now and then, for as long as it runs, and takes what is new. What cannot be used is logged
    /// once, not at every look; a certificate that came before its key is looked at again when the key is there.
    pub(crate) async fn keep_current(self: Arc<Self>) {
        let mut seen = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                let found = contents(&tls.files).ok().map(|(_, _, contents)| contents);
                if found != seen && found != Some(tls.contents()) {
                    tls.reload();
                }
                found
            });
            seen = looked.await.unwrap_or(None);
        }
    }

    fn contents(&self) -> Contents {
        self.current.read().unwrap_or_else(PoisonError::into_inner).contents
    }
}

fn read(files: &TlsFiles) -> Result<Current, TlsFault> {
    let (certificate, key, contents) = contents(files)?;
    let unfit = |path: &Path, why: String| TlsFault::Unfit { path: path.to_owned(), why };
    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unfit(&files.certificate, unread(&error)))?;
    if chain.is_empty() {
        let why = "it holds no certificate: it is in PEM and begins with -----BEGIN CERTIFICATE-----";
        return Err(unfit(&files.certificate, why.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
        let why = "it holds no private key: it is in PEM, without a password, and begins with -----BEGIN PRIVATE KEY-----";
        unfit(&files.key, why.to_owned())
    })?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| {
            let why = match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("the key in {} is another certificate's", files.key.display())
                }
                error => format!("certificate or key cannot be used: {error}"),
            };
            unfit(&files.certificate, why)
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Current { config: Arc::new(config), contents })
}

/// Why a file of certificates cannot be read, with none of what it says: it may be the wrong one, and hold a key.
fn unread(error: &pem::Error) -> String {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => {
            "it is cut short: a line -----END CERTIFICATE----- is missing, write the whole file again"
        }
        pem::Error::IllegalSectionStart { .. } => {
            "it is no PEM: a line that begins with -----BEGIN does not end with -----"
        }
        pem::Error::Base64Decode(_) => {
            "it is no PEM: what is between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- is not Base64"
        }
        _ => "it is no PEM: certificates begin with -----BEGIN CERTIFICATE-----",
    };
    why.to_owned()
}

/// What certificate and key say, and the hash of both.
fn contents(files: &TlsFiles) -> Result<(Vec<u8>, Vec<u8>, Contents), TlsFault> {
    let certificate = bytes_of(&files.certificate)?;
    let key = bytes_of(&files.key)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(certificate.len() as u64).to_le_bytes()).update(&certificate).update(&key);
    Ok((certificate, key, *hasher.finalize().as_bytes()))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, TlsFault> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| TlsFault::Unreadable { path: path.to_owned(), source })?;
    Ok(bytes)
}
