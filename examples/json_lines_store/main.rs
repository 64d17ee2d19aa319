//! A store of one's own: a folder with a file of JSON lines for each run.
fn main() {}
