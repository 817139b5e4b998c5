//! The migrations lie outside of this crate: a new file there must rebuild it.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations/postgres");
}
