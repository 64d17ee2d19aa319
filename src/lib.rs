//! The examples and end-to-end tests of Throughline.
