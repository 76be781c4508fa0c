//! Queries are checked against the data that travels with the sources, whatever `DATABASE_URL` says.

fn main() {
    println!("cargo:rustc-env=SQLX_OFFLINE=true");
    println!("cargo:rerun-if-changed=build.rs");
}
