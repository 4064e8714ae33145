//! The built program, the samples, the book and the sources themselves -> whether they keep their promises.

mod accuracy;
mod book;
mod cli;
mod house;
mod http2;
mod insight;
mod outputs;
mod packets;
mod samples;
#[cfg(all(unix, feature = "tui"))]
mod sessions;
mod teaching;
#[cfg(all(unix, feature = "tui"))]
mod terminal;
