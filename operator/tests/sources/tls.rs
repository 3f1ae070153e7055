//! TLS, certificates and the CA of a source.
