//! Encrypted connections.

/// Sees to it that the process has the code for TLS, unless the program has chosen some: without it, and without this, a
/// program that has the code of two providers could not connect.
pub(crate) fn provide() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
