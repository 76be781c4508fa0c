//! The sources of `amends` with bugs of the protocol that can be planted, one at a time: the proof
//! that the checkers of its fault matrix can fail. A bug is an edit in a file of `bugs/`; all edits
//! are made, when this package is built, in one copy of the sources, where each asks whether its bug
//! is planted.

#![cfg(test)]
#![allow(
    clippy::all,
    clippy::unwrap_used,
    missing_docs,
    unexpected_cfgs,
    unused,
    reason = "the copy is as it is"
)]

mod hunt;
mod seam;

include!(concat!(env!("OUT_DIR"), "/amends/lib.rs"));
