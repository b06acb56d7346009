//! How TLS is spoken: with *ring*, whatever else the process has chosen for itself, and as those say whom to trust.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::builder::BuildError;

/// TLS 1.2 and 1.3. Trusted are the authorities in this PEM, or those of the operating system.
pub(crate) fn config(authorities: Option<&[u8]>) -> Result<ClientConfig, BuildError> {
    let unusable = |error: rustls::Error| BuildError::Client(error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(unusable)?;
    let mut config = match authorities {
        Some(pem) => config.with_root_certificates(roots(pem)?).with_no_client_auth(),
        None => {
            let config = config.with_platform_verifier();
            config.map_err(|error| BuildError::SystemAuthorities(error.to_string()))?.with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| BuildError::Authorities)?).map_err(|_| BuildError::Authorities)?;
    }
    if roots.is_empty() { Err(BuildError::Authorities) } else { Ok(roots) }
}
