//! Carries a node's readings to flash and back, one step at a time.

use core::ops::Range;

use embedded_storage_async::nor_flash::{MultiwriteNorFlash, NorFlash};
use sequential_storage::{
    Error,
    cache::{Cache, Uncached},
    queue::{QueueConfig, QueueStorage},
};
use tidegate_protocol::{
    BootId, Tick,
    frame::{Up, encoded_len},
    id::{Seq, SeqRange},
};

use super::{
    records::{self, Kind},
    wear::{Counted, Wear},
};
use crate::{
    backing::Backing,
    log,
    node::{Fetch, Node, READINGS_HEAD},
    window::after,
};

/// After an error of the flash nothing is tried for so long.
const REST_MS: u32 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    #[error("the range of flash begins or ends within a page, or has less than two pages")]
    BadRange,
    #[error(
        "a record of {have} bytes is too short for this node's Hello, or for what an earlier firmware kept: it takes {need}"
    )]
    RecordTooShort { have: usize, need: usize },
}

type Queue<F> = QueueStorage<Counted<F>, Cache<Uncached, Uncached, Uncached, ()>>;

/// `RECORD`: bytes of the longest record, a multiple of 32. 256 is enough for three channels; as long as the transmit buffer is best.
pub struct Keeper<F: NorFlash, const RECORD: usize> {
    queue: Queue<F>,
    record: Record<RECORD>,
    step: Step,
    done: Done,
    /// The former boot that the node was told of.
    former: Option<BootId>,
    /// Something is in flash, as far as is known.
    is_occupied: bool,
    /// There is no room for more, until something is taken out.
    is_full: bool,
    /// What may be forgotten, as of the last time.
    released: [Option<(BootId, Seq)>; 2],
    /// The boot whose Hello was written last, and how many records since.
    written: Option<(BootId, usize)>,
    rest_until: Tick,
    failures: u32,
}

/// Flash drivers that copy by words want their buffers at words.
#[derive(Debug)]
#[repr(align(4))]
struct Record<const N: usize>([u8; N]);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    FindFormer { present: Option<BootId>, done: Option<BootId> },
    Release,
    WriteHello { boot: BootId, len: usize },
    WriteReadings { boot: BootId, up_to: Seq, len: usize },
    Fetch(Fetch),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    Former(Option<(BootId, SeqRange)>),
    Kept(BootId, Seq),
    /// The record's length; none when there is none.
    Fetched(Fetch, Option<usize>),
    Failed(Trouble),
}

/// Why a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Flash,
    /// An earlier firmware wrote a record that is longer than this one's.
    LongRecord(usize),
}

impl Trouble {
    fn of<E>(error: Error<E>) -> Self {
        match error {
            Error::BufferTooSmall(need) => Self::LongRecord(need),
            _ => Self::Flash,
        }
    }
}

impl<F: MultiwriteNorFlash, const RECORD: usize> Keeper<F, RECORD> {
    /// So many records of readings follow a Hello before it is written again, about a page: the page that has a boot's last Hello cannot
    /// be used anew.
    const RECORDS_PER_HELLO: usize = F::ERASE_SIZE.div_ceil(RECORD);

    /// Takes over what an earlier run left in `range` of the flash, before the node's link is up.
    pub async fn open<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        flash: F,
        range: Range<u32>,
        node: &mut Node<'_, CHANNELS, S>,
    ) -> Result<Self, KeepError> {
        let need = (records::HEAD + node.transmit_len()).next_multiple_of(32);
        if RECORD < need || !RECORD.is_multiple_of(32) {
            return Err(KeepError::RecordTooShort { have: RECORD, need });
        }
        // With one page, what is in it would go before something new is written.
        if range.end.saturating_sub(range.start) < 2 * F::ERASE_SIZE as u32 {
            return Err(KeepError::BadRange);
        }
        let config = QueueConfig::try_new(range).map_err(|_| KeepError::BadRange)?;
        let mut keeper = Self {
            queue: QueueStorage::new(Counted::new(flash), config, Cache::new_uncached()),
            record: Record([0; RECORD]),
            step: Step::Nothing,
            done: Done::Nothing,
            former: None,
            is_occupied: true,
            is_full: false,
            released: [None; 2],
            written: None,
            rest_until: Tick(0),
            failures: 0,
        };
        node.expect_former();
        if keeper.prepare(node, Tick(0)) {
            keeper.work().await;
            if let Done::Failed(Trouble::LongRecord(need)) = keeper.done {
                return Err(KeepError::RecordTooShort { have: RECORD, need: need.next_multiple_of(32) });
            }
            keeper.report(node, Tick(0), &mut []);
        }
        Ok(keeper)
    }

    /// Erasures and bytes written since this board's start.
    pub const fn wear(&mut self) -> Wear {
        self.queue.flash().wear
    }

    /// Errors of the flash since this board's start. After each the keeper rests, and the node goes on with its ring alone.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.queue.destroy().0.into_inner()
    }

    fn next_step<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &Node<'_, CHANNELS, S>,
        now: Tick,
    ) -> Step {
        if node.wants_former() {
            return Step::FindFormer { present: node.boot(), done: self.former };
        }
        let boots = [node.former(), node.boot()];
        let released = boots.map(|boot| boot.and_then(|boot| Some((boot, node.released(boot)?))));
        if self.is_occupied && released != self.released {
            self.released = released;
            return Step::Release;
        }
        if let Some(boot) = node.boot().filter(|_| !self.is_full)
            && let Some(readings) = node.to_keep(now, samples_in(RECORD))
        {
            if !matches!(self.written, Some((of, count)) if of == boot && count < Self::RECORDS_PER_HELLO) {
                let hello = node.hello_to_keep().map(Up::Hello);
                let len = hello.and_then(|hello| records::write(boot, &hello, &mut self.record.0).ok());
                return len.map_or(Step::Nothing, |len| Step::WriteHello { boot, len });
            }
            let up_to = readings.next;
            let len = records::write(boot, &Up::Readings(readings), &mut self.record.0).ok();
            return len.map_or(Step::Nothing, |len| Step::WriteReadings { boot, up_to, len });
        }
        node.fetch(now).map_or(Step::Nothing, Step::Fetch)
    }

    /// Whether there was room.
    async fn write(&mut self, len: usize) -> Result<bool, Trouble> {
        let record = self.record.0.get(..len).unwrap_or_default();
        match self.queue.push(record, false).await {
            Ok(()) => {
                self.is_occupied = true;
                Ok(true)
            }
            Err(Error::FullStorage | Error::ItemTooBig) => {
                log::warn!("the queue in flash is full");
                self.is_full = true;
                Ok(false)
            }
            Err(error) => Err(Trouble::of(error)),
        }
    }

    /// Takes out what is left of `done`, and of whatever cannot be read; then the first boot that is not the present one.
    async fn find_former(
        &mut self,
        present: Option<BootId>,
        done: Option<BootId>,
    ) -> Result<Option<(BootId, SeqRange)>, Trouble> {
        let mut queue = self.queue.iter().await.map_err(Trouble::of)?;
        let mut found: Option<(BootId, SeqRange)> = None;
        while let Some(entry) = queue.next(&mut self.record.0).await.map_err(Trouble::of)? {
            let is_over = |boot| Some(boot) == done && Some(boot) != present;
            match (records::kind(&entry), &mut found) {
                (Some(Kind::Hello(boot) | Kind::Readings(boot, _)), None) if is_over(boot) => {
                    entry.pop().await.map_err(Trouble::of)?;
                    self.is_full = false;
                }
                (None, None) => {
                    entry.pop().await.map_err(Trouble::of)?;
                }
                (Some(Kind::Readings(boot, range)), None) if Some(boot) != present => {
                    found = Some((boot, range));
                }
                (Some(Kind::Readings(boot, range)), Some((former, all))) if boot == *former => {
                    all.end = range.end;
                }
                (Some(Kind::Readings(..)), Some(_)) => break,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Takes out the readings that are acknowledged, and Hellos that nothing follows.
    async fn take_out_released(&mut self) -> Result<(), Trouble> {
        let released = self.released;
        let is_released = |boot: BootId, range: SeqRange| {
            released.iter().flatten().any(|(of, floor)| *of == boot && range.end <= floor.0)
        };
        let mut queue = self.queue.iter().await.map_err(Trouble::of)?;
        while let Some(entry) = queue.next(&mut self.record.0).await.map_err(Trouble::of)? {
            match records::kind(&entry) {
                Some(Kind::Readings(boot, range)) if is_released(boot, range) => {
                    entry.pop().await.map_err(Trouble::of)?;
                    self.is_full = false;
                }
                Some(Kind::Readings(..)) => break,
                Some(Kind::Hello(_)) | None => {}
            }
        }
        while self.first_is_a_needless_hello().await? {
            self.queue.pop(&mut self.record.0).await.map_err(Trouble::of)?;
            self.is_full = false;
        }
        Ok(())
    }

    /// The oldest record is a Hello, and no readings need it: another Hello follows, or nothing.
    async fn first_is_a_needless_hello(&mut self) -> Result<bool, Trouble> {
        let mut queue = self.queue.iter().await.map_err(Trouble::of)?;
        let mut kinds = [None; 2];
        for kind in &mut kinds {
            if let Some(entry) = queue.next(&mut self.record.0).await.map_err(Trouble::of)? {
                *kind = Some(records::kind(&entry));
            }
        }
        match kinds {
            [None, _] => {
                self.is_occupied = false;
                Ok(false)
            }
            [Some(Some(Kind::Hello(_))), None] => {
                self.written = None;
                Ok(true)
            }
            [Some(Some(Kind::Hello(_))), Some(Some(Kind::Hello(_)))] => Ok(true),
            _ => Ok(false),
        }
    }

    /// The length of the record that is asked for, which then lies in the buffer.
    async fn find(&mut self, fetch: Fetch) -> Result<Option<usize>, Trouble> {
        let mut queue = self.queue.iter().await.map_err(Trouble::of)?;
        while let Some(entry) = queue.next(&mut self.record.0).await.map_err(Trouble::of)? {
            let is_it = match (fetch, records::kind(&entry)) {
                (Fetch::Hello(wanted), Some(Kind::Hello(boot))) => boot == wanted,
                (Fetch::Readings(wanted, from), Some(Kind::Readings(boot, range))) => {
                    boot == wanted && range.end > from.0
                }
                _ => false,
            };
            if is_it {
                return Ok(Some(entry.len()));
            }
        }
        Ok(None)
    }
}

impl<F: MultiwriteNorFlash, const RECORD: usize> Backing for Keeper<F, RECORD> {
    fn prepare<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &Node<'_, CHANNELS, S>,
        now: Tick,
    ) -> bool {
        self.step = if now < self.rest_until { Step::Nothing } else { self.next_step(node, now) };
        self.step != Step::Nothing
    }

    async fn work(&mut self) {
        let done = match self.step {
            Step::Nothing => Ok(Done::Nothing),
            Step::FindFormer { present, done } => self.find_former(present, done).await.map(Done::Former),
            Step::Release => self.take_out_released().await.map(|()| Done::Nothing),
            Step::WriteHello { boot, len } => self.write(len).await.map(|is_written| {
                if is_written {
                    self.written = Some((boot, 0));
                }
                Done::Nothing
            }),
            Step::WriteReadings { boot, up_to, len } => self.write(len).await.map(|is_written| {
                if let Some((_, count)) = self.written.as_mut().filter(|_| is_written) {
                    *count += 1;
                    return Done::Kept(boot, up_to);
                }
                Done::Nothing
            }),
            Step::Fetch(fetch) => self.find(fetch).await.map(|len| Done::Fetched(fetch, len)),
        };
        self.done = done.unwrap_or_else(Done::Failed);
    }

    fn report<const CHANNELS: usize, S: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        node: &mut Node<'_, CHANNELS, S>,
        now: Tick,
        out: &mut [u8],
    ) -> Option<usize> {
        self.step = Step::Nothing;
        match core::mem::replace(&mut self.done, Done::Nothing) {
            Done::Nothing => None,
            Done::Former(former) => {
                self.former = former.map(|(boot, _)| boot);
                node.set_former(now, former);
                None
            }
            // Under a boot that the gateway gave meanwhile, the numbers are others.
            Done::Kept(boot, up_to) => {
                if node.boot() == Some(boot) {
                    node.kept(up_to);
                }
                None
            }
            Done::Fetched(fetch, len) => {
                let record = len.and_then(|len| self.record.0.get_mut(..len));
                let found = record.and_then(records::frame);
                node.transmit_fetched(now, fetch, found.as_ref(), out)
            }
            Done::Failed(_) => {
                log::warn!("the flash failed");
                // What was to be taken out still is.
                self.released = [None; 2];
                self.failures = self.failures.wrapping_add(1);
                self.rest_until = after(now, REST_MS);
                None
            }
        }
    }
}

/// How many bytes of samples a record of `record` bytes holds.
const fn samples_in(record: usize) -> usize {
    record.saturating_sub(records::HEAD + encoded_len(READINGS_HEAD))
}
