//! What a board remembers over a power cut besides readings: how often it has started, and the settings of its channels. Settings lie
//! under the names of their channels, whose index may be another in the next firmware.

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use sequential_storage::{
    cache::{Cache, Uncached},
    map::{MapConfig, MapStorage},
};
use tidegate_protocol::{
    BootId, ChannelDecl, Tick,
    frame::{Down, MAX_DOWN_FRAME, Settings, decode_down, encode_down},
};

use super::wear::{Counted, Wear};
use crate::{backing::Backing, log, node::Node, window::after};

/// The longest name of a channel; no channel is called by zeros.
type Key = [u8; 32];
const BOOTS: Key = [0; 32];
/// After an error of the flash nothing is tried for so long.
const REST_MS: u32 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    #[error("the range of flash begins or ends within a page, or has less than two pages")]
    BadRange,
    #[error("the flash cannot be read or written, or what is in it makes no sense")]
    Flash,
}

/// In a range of its own, of at least two pages.
pub struct Memory<F: NorFlash> {
    map: MapStorage<Key, Counted<F>, Cache<Uncached, Uncached, Uncached, Key>>,
    buffer: Buffer,
    saving: Option<Saving>,
    rest_until: Tick,
    failures: u32,
}

/// Flash drivers that copy by words want their buffers at words.
#[repr(align(4))]
struct Buffer([u8; 2 * MAX_DOWN_FRAME]);

struct Saving {
    settings: Settings,
    key: Key,
    is_saved: bool,
}

impl<F: NorFlash> Memory<F> {
    pub fn new(flash: F, range: Range<u32>) -> Result<Self, MemoryError> {
        match MapConfig::try_new(range) {
            Ok(config) => Ok(Self {
                map: MapStorage::new(Counted::new(flash), config, Cache::new_uncached()),
                buffer: Buffer([0; 2 * MAX_DOWN_FRAME]),
                saving: None,
                rest_until: Tick(0),
                failures: 0,
            }),
            Err(_) => Err(MemoryError::BadRange),
        }
    }

    /// A boot id that was never used: one more than the last, stored before it is returned. A flash that is empty begins at `fresh` in
    /// the upper half, which should be random where the chip can: whoever erases the chip begins to count anew.
    pub async fn next_boot(&mut self, fresh: impl FnOnce() -> u32) -> Result<BootId, MemoryError> {
        let last =
            self.map.fetch_item::<u64>(&mut self.buffer.0, &BOOTS).await.map_err(|_| MemoryError::Flash)?;
        let next = last.unwrap_or_else(|| u64::from(fresh()) << 32).wrapping_add(1);
        self.map.store_item(&mut self.buffer.0, &BOOTS, &next).await.map_err(|_| MemoryError::Flash)?;
        Ok(BootId(next))
    }

    /// Gives the node the settings that its channels had; returns how many. Those that do not suit the channel any more are left.
    pub async fn restore<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
    ) -> Result<usize, MemoryError> {
        let mut restored = 0;
        for (declared, index) in node.declared().iter().zip(0_u8..) {
            let found = self.map.fetch_item::<&[u8]>(&mut self.buffer.0, &key(declared)).await;
            let mut frame = [0; MAX_DOWN_FRAME];
            let Some(stored) = found.map_err(|_| MemoryError::Flash)? else { continue };
            let Some(frame) = frame.get_mut(..stored.len()) else { continue };
            frame.copy_from_slice(stored);
            let stuffed = frame.split_last_mut().map(|(_zero, stuffed)| stuffed);
            if let Some(Ok(Down::Settings { settings, .. })) = stuffed.map(decode_down)
                && node.restore_settings(&Settings { channel: index, ..settings })
            {
                restored += 1;
            }
        }
        Ok(restored)
    }

    /// Erasures and bytes written since this board's start.
    pub const fn wear(&mut self) -> Wear {
        self.map.flash().wear
    }

    /// Errors of the flash since this board's start.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.map.destroy().0.into_inner()
    }
}

impl<F: NorFlash> Backing for Memory<F> {
    fn prepare<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &Node<'_, CHANNELS, S>,
        now: Tick,
    ) -> bool {
        let unsaved = node.unsaved_settings().filter(|_| now >= self.rest_until);
        self.saving = unsaved.and_then(|settings| {
            let declared = node.declared().get(usize::from(settings.channel))?;
            Some(Saving { settings, key: key(declared), is_saved: false })
        });
        self.saving.is_some()
    }

    async fn work(&mut self) {
        let Some(saving) = &mut self.saving else { return };
        let mut frame = [0; MAX_DOWN_FRAME];
        let Ok(len) =
            encode_down(&Down::Settings { boot: BootId(0).tag(), settings: saving.settings }, &mut frame)
        else {
            return;
        };
        let frame = frame.get(..len).unwrap_or_default();
        saving.is_saved = self.map.store_item(&mut self.buffer.0, &saving.key, &frame).await.is_ok();
    }

    fn report<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
        now: Tick,
        _out: &mut [u8],
    ) -> Option<usize> {
        match self.saving.take() {
            Some(Saving { settings, is_saved: true, .. }) => node.settings_are_saved(&settings),
            Some(_) => {
                log::warn!("settings cannot be saved in flash");
                self.failures = self.failures.wrapping_add(1);
                self.rest_until = after(now, REST_MS);
            }
            None => {}
        }
        None
    }
}

fn key(declared: &ChannelDecl<&str>) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(declared.name.as_str().bytes()).for_each(|(byte, letter)| *byte = letter);
    key
}
