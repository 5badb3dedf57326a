//! Alarm history under late data, through the real core and store.

mod cost;
mod late;
mod overlapping;
mod revisions;
mod world;
