//! What the operating system offers and the standard library has no call for. The whole workspace reads `/proc` and
//! replaces files by these functions alone.

mod file;
pub mod proc;

pub use file::{Durability, replace_file};
