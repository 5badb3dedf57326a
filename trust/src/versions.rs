//! Which versions of TLS are spoken.

use serde::Deserialize;
use tidegate_service::SettingsError;
use tokio_rustls::rustls::{SupportedProtocolVersion, version};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Version {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// One at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    v1_2: bool,
    v1_3: bool,
}

impl Versions {
    /// `key` is where the list stands in `file`.
    pub fn validate(file: &std::path::Path, key: &str, list: &[Version]) -> Result<Self, SettingsError> {
        if list.is_empty() {
            let remedy = "give [\"1.3\"], or [\"1.2\", \"1.3\"]";
            return Err(SettingsError::invalid(file, key, "no version of TLS is left", remedy));
        }
        Ok(Self { v1_2: list.contains(&Version::V1_2), v1_3: list.contains(&Version::V1_3) })
    }

    pub(crate) fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        let (newest, older) = BOTH.split_at(1);
        match (self.v1_2, self.v1_3) {
            (true, true) => &BOTH,
            (true, false) => older,
            (false, _) => newest,
        }
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self { v1_2: false, v1_3: true }
    }
}
