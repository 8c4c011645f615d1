//! The one place that chooses a TLS provider for the process.

/// Installs ring for every TLS client and server of this process; again has no effect.
pub fn install_provider() {
    // An error says that a provider is there already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
