//! The commands beside `join`, for whoever prepares it: they ask nobody and write nothing but their answer.

mod ca_hash;
mod check;
mod print_config;
mod verify;

pub use ca_hash::ca_hash;
pub use check::check;
pub use print_config::print_config;
pub use verify::verify;
