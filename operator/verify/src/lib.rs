//! Pure verification engine.
