//! Encrypted connections.

#[cfg(feature = "tls")]
use std::path::Path;

use crate::address::Security;
use crate::error::Fault;

/// How connections are encrypted.
#[derive(Clone)]
pub(crate) enum Encryption {
    /// Not at all.
    Off,
    /// The server has to prove that it is the host that was asked for.
    #[cfg(feature = "tls")]
    Tls(tokio_postgres_rustls::MakeRustlsConnect),
}

impl Encryption {
    #[cfg(not(feature = "tls"))]
    pub(crate) fn of(security: &Security) -> Result<Self, Fault> {
        let Security { is_required, roots, client } = security;
        match *is_required || roots.is_some() || client.is_some() {
            false => Ok(Self::Off),
            true => Err(Fault::Unusable(
                "TLS is asked for, and this program was built without it; add the feature `postgres-tls` of \
                 `throughline`, or `tls` of `throughline-postgres`"
                    .to_owned(),
            )),
        }
    }

    /// Reads the certificates that are trusted.
    #[cfg(feature = "tls")]
    pub(crate) fn of(security: &Security) -> Result<Self, Fault> {
        use std::sync::Arc;

        use rustls::pki_types::PrivateKeyDer;
        use rustls::pki_types::pem::PemObject as _;
        use rustls::{ClientConfig, RootCertStore};

        if !security.is_required {
            return Ok(Self::Off);
        }
        let mut roots = RootCertStore::empty();
        match &security.roots {
            Some(file) => {
                for certificate in certificates(file)? {
                    roots
                        .add(certificate)
                        .map_err(|_| unusable(file, "has a certificate that can't be used"))?;
                }
            }
            None => {
                // Some that can't be read are no reason to refuse the others; without any, no server is trusted.
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        if roots.is_empty() {
            return Err(Fault::Unusable(
                "TLS is asked for, and there are no certificates to trust: install those of the system \
                 (ca-certificates), or name a file with sslrootcert=…"
                    .to_owned(),
            ));
        }
        // Not the provider of the process: another library may have chosen one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| Fault::Unusable("this build has no version of TLS that is safe".to_owned()))?
            .with_root_certificates(roots);
        let config = match &security.client {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let secret = PrivateKeyDer::from_pem_file(key)
                    .map_err(|_| unusable(key, "has no private key, as PEM, that can be read"))?;
                config
                    .with_client_auth_cert(certificates(certificate)?, secret)
                    .map_err(|_| unusable(key, "is not the key of the certificate in sslcert"))?
            }
        };
        Ok(Self::Tls(tokio_postgres_rustls::MakeRustlsConnect::new(config)))
    }
}

#[cfg(feature = "tls")]
fn certificates(file: &Path) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, Fault> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|_| unusable(file, "can't be read as certificates in PEM"))?;
    match certificates.is_empty() {
        true => Err(unusable(file, "has no certificate, as PEM")),
        false => Ok(certificates),
    }
}

#[cfg(feature = "tls")]
fn unusable(file: &Path, what: &str) -> Fault {
    Fault::Unusable(format!("the file {} {what}", file.display()))
}
