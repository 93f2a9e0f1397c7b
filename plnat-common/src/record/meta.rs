//! `META`: one record that says what the pinned maps were made with, so that a new daemon takes over the right ones.

use bytemuck::{Pod, Zeroable};

/// Written once, when the maps are made.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Meta {
    /// [`crate::ABI_VERSION`].
    pub abi: u32,
    /// Number of lines in `SESSIONS`, the spare window at the end not counted.
    pub lines: u32,
    /// Secret of the session table's hash and of Maglev's choice.
    pub seed: [u64; 2],
    /// Identity of the store whose slots the records use.
    pub store: [u64; 2],
}

const _: () = assert!(size_of::<Meta>() == 40);
