//! Rebuild when a migration is added: the macro that embeds them is not told.

fn main() {
    println!("cargo:rerun-if-changed=orchestrator");
    println!("cargo:rerun-if-changed=participant");
}
