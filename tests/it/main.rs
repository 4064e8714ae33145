//! The built program, the samples, the book and the sources themselves -> whether they keep their promises.

mod accuracy;
mod batch;
mod book;
mod browser;
mod captures;
mod cli;
mod clocks;
mod config;
#[cfg(all(unix, feature = "tui"))]
mod handover;
mod hostile;
mod house;
mod http2;
mod insight;
mod manners;
mod metamorphic;
mod outputs;
mod packets;
mod samples;
#[cfg(unix)]
mod services;
#[cfg(all(unix, feature = "tui"))]
mod sessions;
mod stacks;
mod subsets;
mod teaching;
#[cfg(all(unix, feature = "tui"))]
mod terminal;
mod timers;
#[cfg(all(unix, feature = "tui"))]
mod tour;
