//! What the core decides where something is wrong: descriptions, clocks, holes, failed looks; and what the store makes of it.

mod bringing;
mod clocks;
mod clone_seeds;
mod credit;
mod damage;
mod descriptions;
mod epochs;
mod grouping;
mod half_known;
mod history;
mod holes;
mod lifecycle;
mod lifecycle_seeds;
mod live;
mod presence;
mod retiring;
mod rolling;
mod room;
mod sealing;
mod settings;
mod silence;
mod support;
mod system;
mod verdicts;
mod verifying;
mod versions;
