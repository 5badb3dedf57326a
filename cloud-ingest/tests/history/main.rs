//! Alarm history under late data, through the real core and store.

mod cost;
mod late;
mod revisions;
mod world;
