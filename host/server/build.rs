//! Has the crate rebuilt when a file that the binary carries changes: `include_dir!` can't tell cargo.

fn main() {
    // Relative to this package. Files named by `include_str!` are tracked without help.
    for path in [
        "../../plugin-sdk/src",
        "../../plugin-sdk/wit",
        "../../plugins/demo-crm/src",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
}
