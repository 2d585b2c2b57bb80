//! TLS of a connection.

use std::sync::Arc;

use agent_common::settings::{BrokerAccess, Content};
use rumqttc::tokio_rustls::rustls::{self, ClientConfig, RootCertStore, pki_types};

use pki_types::pem::PemObject as _;
use pki_types::{CertificateDer, PrivateKeyDer};

use crate::failure::{Failure, FailureKind};

/// rustls with the *ring* provider, named here: a library must not set a process-wide default.
pub(crate) fn tls(broker: &BrokerAccess) -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::new(FailureKind::Config, format!("TLS: {e}")))?
        .with_root_certificates(roots(broker.ca.as_ref())?);
    match (&broker.cert, &broker.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let chain = certificates("client certificate", cert)?;
            let wrong = |e: &dyn std::fmt::Display| Failure::unreadable("client key", key, e);
            let pem = key.read().map_err(|e| wrong(&e))?;
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| wrong(&e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| wrong(&e))
        }
        _ => Err(Failure::new(
            FailureKind::Config,
            "TLS: a client certificate needs its key, and the other way round",
        )),
    }
}

/// Trusted authorities: the configured ones, or the system's.
fn roots(ca: Option<&Content>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates("CA file", ca)? {
            roots.add(certificate).map_err(|e| Failure::unreadable("CA file", ca, &e))?;
        }
        if roots.is_empty() {
            return Err(Failure::unreadable("CA file", ca, &"no certificate in it"));
        }
    } else {
        // Systems carry the odd certificate that cannot be parsed; the others still count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Failure::new(
                FailureKind::Config,
                "TLS: this system has no CA certificates (install ca-certificates, or name a CA file)",
            ));
        }
    }
    Ok(roots)
}

fn certificates(what: &str, content: &Content) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = content.read().map_err(|e| Failure::unreadable(what, content, &e))?;
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::unreadable(what, content, &e))
}
