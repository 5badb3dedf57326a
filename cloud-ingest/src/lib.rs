//! The Tidegate cloud ingest.
//!
//! ```text
//! query    what the API asks           view   what it shows
//! ```

pub mod query;
pub mod view;
