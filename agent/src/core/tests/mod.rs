//! The core on a virtual clock: by itself (one point of its duty each), and in a world that loses, breaks and kills.

mod admission;
mod alarms;
mod backlog;
mod bench;
mod board;
mod boards;
mod caps;
mod clock;
mod cloud;
mod custody;
mod desired;
mod failure;
mod lanes;
mod local_alarms;
mod quota;
mod retire;
mod rollback;
mod rules;
mod simulation;
mod twins;
mod world;
