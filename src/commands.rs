//! The commands besides `serve`: each a function from its input to its output.

pub mod check;
pub mod decode;
pub mod key;
pub mod openapi;
pub mod watch;
