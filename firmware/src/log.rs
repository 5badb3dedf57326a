//! What a node says to the engineer at its probe, by defmt. Without the feature nothing is left of it, not even the arguments.

#[cfg(feature = "defmt")]
pub(crate) use defmt::{debug, info, warn};

#[cfg(not(feature = "defmt"))]
macro_rules! nothing {
    ($($line:tt)*) => {{}};
}
#[cfg(not(feature = "defmt"))]
pub(crate) use {nothing as debug, nothing as info, nothing as warn};
