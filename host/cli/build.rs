//! Has the crate rebuilt when a file that the binary carries changes: `include_dir!` can't tell cargo.

fn main() {
    // Relative to this package. Files named by `include_str!` are tracked without help.
    for folder in ["../../plugin-sdk", "../rules", "../../plugins/demo-crm"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
