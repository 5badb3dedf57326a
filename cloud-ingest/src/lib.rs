//! The Tidegate cloud ingest.
//!
//! ```text
//! query    what the API asks           view   what it shows
//! events   alarm events on their way   api    HTTP: JSON, event stream, metrics, page
//! ```

pub mod api;
pub mod core;
pub mod events;
pub mod failpoint;
pub mod lake;
pub mod query;
pub mod readings;
pub mod store;
pub mod view;
