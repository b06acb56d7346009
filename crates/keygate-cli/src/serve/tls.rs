//! The certificate the server speaks TLS with, and its private key.

use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error as TlsError, ServerConfig};

use crate::args::ServeArgs;
use crate::desk::Setting;
use crate::failure::Failure;

const CERTIFICATE: &str = "KEYGATE_TLS_CERT";
const KEY: &str = "KEYGATE_TLS_KEY";

/// Where certificate and key are, and what connections are taken with now.
#[derive(Debug)]
pub(super) struct Tls {
    certificate: Setting,
    key: Setting,
    config: RustlsConfig,
}

impl Tls {
    /// Reads the files that are named, if they are.
    pub(super) fn read(args: &ServeArgs) -> Result<Option<Self>, Failure> {
        let setting = |variable| Setting::of(variable, args.flag(variable));
        match (setting(CERTIFICATE)?, setting(KEY)?) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                let config = RustlsConfig::from_config(load(&certificate, &key)?);
                Ok(Some(Self { certificate, key, config }))
            }
            (Some(certificate), None) => {
                Err(certificate
                    .wrong(format_args!("is set without the certificate's private key: set --tls-key ({KEY})")))
            }
            (None, Some(key)) => Err(
                key.wrong(format_args!("is set without the certificate it belongs to: set --tls-cert ({CERTIFICATE})"))
            ),
        }
    }

    /// What connections are taken with; it follows what is read again.
    pub(super) fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Reads the files again, for the connections from now on. What was read before stands where that fails.
    pub(super) fn reload(&self) -> Result<(), Failure> {
        self.config.reload_from_config(load(&self.certificate, &self.key)?);
        Ok(())
    }
}

fn load(certificate: &Setting, key: &Setting) -> Result<Arc<ServerConfig>, Failure> {
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate.unusable(error))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| match error {
            TlsError::InconsistentKeys(_) => {
                key.unusable(format_args!("it is not the private key of the certificate in {}", certificate.value))
            }
            TlsError::General(problem) => key.unusable(problem),
            error => certificate.unusable(error),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(setting: &Setting) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let text = setting.read_file()?;
    let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(setting.unusable("there is no certificate in it, in PEM")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(setting.unusable(format_args!("it is no PEM: {error}"))),
    }
}

fn private_key(setting: &Setting) -> Result<PrivateKeyDer<'static>, Failure> {
    let text = setting.read_file()?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        PemError::NoItemsFound => setting.unusable(
            "there is no private key in it, in PEM; one under a password is none here: take the password away first",
        ),
        // What could not be read may be a part of the key.
        _ => setting.unusable("it is no PEM"),
    })
}

impl Setting {
    /// The file it names, whole.
    fn read_file(&self) -> Result<Vec<u8>, Failure> {
        std::fs::read(&self.value).map_err(|error| self.unusable(error))
    }

    /// The file it names is there, or not, and of no use.
    fn unusable(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::refused(format!("{} cannot be used: {}: {problem}", self.name(), self.value))
    }
}
