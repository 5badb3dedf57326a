//! Counts what is done to a flash on its way there.

use embedded_storage_async::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};

/// What has been done to the flash since this board's start. A page stands 10,000 to 100,000 erasures; its data sheet says how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    pub erased_pages: u32,
    pub written_bytes: u32,
}

#[derive(Debug)]
pub(super) struct Counted<F> {
    flash: F,
    pub(super) wear: Wear,
}

impl<F> Counted<F> {
    pub(super) const fn new(flash: F) -> Self {
        Self { flash, wear: Wear { erased_pages: 0, written_bytes: 0 } }
    }

    pub(super) fn into_inner(self) -> F {
        self.flash
    }
}

impl<F: ErrorType> ErrorType for Counted<F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Counted<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.flash.read(offset, bytes).await
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<F: NorFlash> NorFlash for Counted<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        let pages = to.saturating_sub(from) / F::ERASE_SIZE as u32;
        self.wear.erased_pages = self.wear.erased_pages.wrapping_add(pages);
        self.flash.erase(from, to).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.wear.written_bytes = self.wear.written_bytes.wrapping_add(bytes.len() as u32);
        self.flash.write(offset, bytes).await
    }
}

impl<F: MultiwriteNorFlash> MultiwriteNorFlash for Counted<F> {}
