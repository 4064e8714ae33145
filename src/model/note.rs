//! What a user keeps of a connection: a mark, and a few words.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Note {
    #[serde(default)]
    pub marked: bool,
    /// What the user wrote; empty = nothing.
    #[serde(default)]
    pub text: String,
}

impl Note {
    pub const fn is_empty(&self) -> bool {
        !self.marked && self.text.is_empty()
    }
}

/// By the id of the connection: ids are made of a connection's own data, so notes hold over runs and machines.
pub type Notes = BTreeMap<String, Note>;
