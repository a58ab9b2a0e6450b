//! Plugins and their authors: new crates, builds, and the SDK that the binary carries.
//!
//! | module | its one job |
//! |---|---|
//! | [`sdk`] | where the SDK is: the checkout, or the copy inside the binary |
//! | [`scaffold`] | a new plugin crate from the templates |
//! | [`toolchain`] | cargo, rustc and rustup as a crate's own folder chooses them |
//! | [`package`] | a plugin's crate, found |
//! | [`compile`] | a plugin's crate, compiled to a component |
//! | [`component`] | a component inspected, and shown to its author |
//! | [`program`] | how to type this program's name in a command to try next |

pub(crate) mod compile;
pub(crate) mod component;
pub(crate) mod package;
pub(crate) mod program;
pub(crate) mod scaffold;
pub(crate) mod sdk;
mod toolchain;
