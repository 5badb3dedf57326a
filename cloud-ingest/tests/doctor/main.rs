//! What `tidegate-ingest backup`, `restore` and `journal …` do to a data folder.

mod backups;
#[path = "../formats/contents.rs"]
mod contents;
mod journals;
#[path = "../formats/made.rs"]
mod made;

const MAP_BYTES: u64 = 64 << 20;
