//! What stands in the queue: of each boot the Hello that it would say, then its readings, each as the frame that would carry it behind
//! a head that says what it is. The queue has a checksum over both.

use tidegate_protocol::{
    BootId,
    frame::{FrameError, Up, decode_up, encode_up},
    id::SeqRange,
};

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hello(BootId),
    Readings(BootId, SeqRange),
}

/// Boot, first seq, count; a count of zero says Hello.
pub(super) const HEAD: usize = 8 + 8 + 2;

/// Writes a record; returns its length.
pub(super) fn write(boot: BootId, up: &Up<'_>, record: &mut [u8]) -> Result<usize, FrameError> {
    let (first, count) = match up {
        Up::Readings(readings) => (readings.first_seq.0, readings.count),
        _ => (0, 0),
    };
    let (head, frame) = record.split_at_mut_checked(HEAD).ok_or(FrameError::TooLong)?;
    let fields = boot.0.to_le_bytes().into_iter().chain(first.to_le_bytes()).chain(count.to_le_bytes());
    head.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    Ok(HEAD + encode_up(up, frame)?)
}

/// None for what this program did not write.
pub(super) fn kind(record: &[u8]) -> Option<Kind> {
    let (boot, rest) = record.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (count, _frame) = rest.split_first_chunk()?;
    let (boot, first) = (BootId(u64::from_le_bytes(*boot)), u64::from_le_bytes(*first));
    let count = u16::from_le_bytes(*count);
    let end = first.checked_add(u64::from(count))?;
    Some(if count == 0 { Kind::Hello(boot) } else { Kind::Readings(boot, SeqRange::new(first, end)) })
}

/// The frame of a record, read where it lies: once, since that undoes its stuffing.
pub(super) fn frame(record: &mut [u8]) -> Option<Up<'_>> {
    let (_zero, stuffed) = record.get_mut(HEAD..)?.split_last_mut()?;
    decode_up(stuffed).ok()
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{Tick, frame::Readings, id::Seq};

    use super::*;

    #[test]
    fn a_record_says_what_it_is_and_gives_its_frame_back() {
        let boot = BootId(0x0123_4567_89ab_cdef);
        let samples = [0, 1, 2, 0, 1, 4];
        let readings = Readings {
            boot: boot.tag(),
            first_seq: Seq(300),
            floor: Seq(300),
            next: Seq(302),
            base_tick: Tick(7),
            count: 2,
            samples: &samples,
        };
        let mut record = [0; 128];
        let len = write(boot, &Up::Readings(readings), &mut record).unwrap();
        assert_eq!(kind(&record[..len]), Some(Kind::Readings(boot, SeqRange::new(300, 302))));
        let Some(Up::Readings(read)) = frame(&mut record[..len]) else { panic!("not readings") };
        assert_eq!(read, readings);
        assert_eq!(write(boot, &Up::Readings(readings), &mut record[..30]), Err(FrameError::TooLong));
        for len in 0..HEAD {
            assert_eq!(kind(&record[..len]), None);
            assert!(frame(&mut record[..len]).is_none());
        }
    }
}
