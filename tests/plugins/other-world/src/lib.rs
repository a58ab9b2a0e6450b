//! A component of another world: it prints, and knows nothing of Tidegate.

/// Called by nobody: it makes the component import what printing needs.
#[unsafe(no_mangle)]
pub extern "C" fn greet() {
    println!("Hello");
}
