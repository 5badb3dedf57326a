//! What is wanted of channels.

use super::{StoreError, keys, lmdb::Table, look::Look};
use crate::core::desired::{ChannelKey, SettingsRecord};

impl Look<'_> {
    /// Of every channel that anything was ever wanted of, by site, device and name.
    pub fn settings(&self) -> Result<Vec<(ChannelKey, SettingsRecord)>, StoreError> {
        let mut settings = Vec::new();
        for pair in self.reader().scan(Table::Settings, &[])? {
            let (key, value) = pair?;
            settings.push((keys::read_channel(key)?, keys::decode(value)?));
        }
        Ok(settings)
    }

    pub fn settings_of(&self, key: ChannelKey) -> Result<Option<SettingsRecord>, StoreError> {
        self.reader().get(Table::Settings, &keys::channel(key))?.map(keys::decode).transpose()
    }
}
