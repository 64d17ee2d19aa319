//! Scanners ask for paths that nobody has.
