//! Certificates: the operator's, or one that we sign ourselves.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_common::settings::server::{Certificate, Http};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::secret;

/// Our own certificate and key in the state directory. They stay: whoever compared the fingerprint once need not do it again.
const CERTIFICATE_FILE: &str = "http.crt";
const KEY_FILE: &str = "http.key";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operator's files.
    #[error("{what}: {why}")]
    Files {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key do not belong together.
    #[error("certificate and key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// Our own certificate.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// Its file.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// TLS as it is spoken.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, as browsers show it: `AB:CD:…`.
    pub(super) fingerprint: String,
}

impl Tls {
    /// With the operator's certificate.
    pub(super) fn of_operator(certificate: &Certificate) -> Result<Self, TlsError> {
        let read = |content: &agent_common::settings::Content, what| {
            let text = content.read().map_err(|error| TlsError::Files { what, why: error.to_string() })?;
            Ok::<_, TlsError>(text.into_owned())
        };
        let chain = read(&certificate.chain, "server.http.cert_file")?;
        Self::of_pem(&chain, &read(&certificate.key, "server.http.key_file")?)
    }

    /// With our own, which is made where there is none, or one for other names.
    pub(super) fn self_signed(state_dir: &Path, http: &Http) -> Result<Self, TlsError> {
        let names = names(http);
        let first = format!("s7mpa: {}", names.join(" "));
        let (cert_file, key_file) = (state_dir.join(CERTIFICATE_FILE), state_dir.join(KEY_FILE));
        if let (Ok(cert), Ok(key)) = (std::fs::read_to_string(&cert_file), std::fs::read_to_string(&key_file))
            && cert.lines().next() == Some(first.as_str())
            && let Ok(tls) = Self::of_pem(&cert, &key)
        {
            return Ok(tls);
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "s7mpa");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let cert = format!("{first}\n{}", params.self_signed(&key)?.pem());
        let key = key.serialize_pem();
        for (path, text) in [(key_file, &key), (cert_file, &cert)] {
            secret::write(&path, text.as_bytes()).map_err(|source| TlsError::Write { path, source })?;
        }
        Self::of_pem(&cert, &key)
    }

    fn of_pem(chain: &str, key: &str) -> Result<Self, TlsError> {
        let wrong = |what, why: rustls::pki_types::pem::Error| TlsError::Files { what, why: why.to_string() };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|why| wrong("the certificate", why))?;
        let Some(first) = chain.first() else {
            let why = "there is no PEM certificate in it".to_owned();
            return Err(TlsError::Files { what: "the certificate", why });
        };
        let digest: [u8; 32] = Sha256::digest(first.as_ref()).into();
        let fingerprint = digest.map(|byte| format!("{byte:02X}")).join(":");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|why| wrong("the key", why))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
    }
}

/// Names and addresses that the certificate is for.
fn names(http: &Http) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let own: IpAddr = http.listen.ip();
    names.extend((!own.is_unspecified()).then(|| own.to_string()));
    names.extend(host_name());
    names.extend(http.hosts.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// What the kernel calls this host.
pub(super) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_certificate_stays_until_its_names_change() {
        let dir = tempfile::tempdir().unwrap();
        let mut http = Http { listen: "0.0.0.0:7676".parse().unwrap(), ..Http::default() };
        let first = Tls::self_signed(dir.path(), &http).unwrap().fingerprint;
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(Tls::self_signed(dir.path(), &http).unwrap().fingerprint, first);
        http.hosts.push("monitor.example".to_owned());
        assert_ne!(Tls::self_signed(dir.path(), &http).unwrap().fingerprint, first);
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let content = |text: &str| agent_common::settings::Content::Text(text.to_owned());
        let wrong = Certificate { chain: content("nothing"), key: content("nothing") };
        let error = Tls::of_operator(&wrong).err().unwrap().to_string();
        assert!(error.contains("no PEM certificate"), "{error}");
    }
}
