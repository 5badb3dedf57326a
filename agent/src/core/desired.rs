//! What the cloud wants of channels: kept here, told to boards, and answered for.
//!
//! A board forgets its settings when it starts anew, so a new boot is told again, also while the cloud is away: what is
//! wanted is committed. The cloud names channels; their indices are those of the boot on the link. At most [`WINDOW`]
//! settings of a device wait for an answer, and heartbeats repeat them until it comes: a small board takes few frames at
//! a time. The cloud asks until it has an answer, so one that is lost on its way up costs time only.
//!
//! At most [`MAX_DESIRED`] channels are kept, those of devices that were heard here before others; of what finds no
//! room the cloud gets no answer.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_protocol::{
    BootId, ChannelIndex, ChannelName, DeviceId,
    block::Description,
    frame::{Down, SettingsResult},
    settings::{
        ChannelSettings, DesiredChannel, DesiredSettings, MAX_SETTINGS, ReportedChannel, ReportedSettings,
        SettingsOutcome,
    },
};

use super::{
    Core,
    event::{Effect, LinkId},
    origin::Slot,
    time::Time,
};

/// How many channels' settings are kept at most.
pub const MAX_DESIRED: usize = 1_024;
/// How many of a device are on their way to it at most.
const WINDOW: usize = 4;
/// When they are written again after a disk that did not take them. Deletes and losses must not wait for them.
const SAVE_AGAIN_MS: u64 = 60_000;

#[derive(Debug, Default)]
pub(super) struct Desired {
    devices: BTreeMap<DeviceId, BTreeMap<ChannelName, Wanted>>,
    /// They differ from what is on the disk, and are to be written from then on.
    save_at: Option<Time>,
    /// The batch that was made last holds them.
    saving: bool,
}

#[derive(Debug)]
struct Wanted {
    revision: u32,
    settings: ChannelSettings,
    told: Option<Told>,
}

/// Who was told last, and the answer. A boot that comes by another link may have been with a gateway that has older settings.
#[derive(Clone, Copy, Debug)]
struct Told {
    boot: BootId,
    link: LinkId,
    answer: Option<SettingsOutcome>,
}

impl Wanted {
    fn is_told(&self, boot: BootId, link: LinkId) -> bool {
        self.told.is_some_and(|told| (told.boot, told.link) == (boot, link))
    }

    /// What the boot on this link is known to make of them.
    fn answer_of(&self, boot: BootId, link: LinkId) -> Option<SettingsOutcome> {
        self.told.filter(|_| self.is_told(boot, link))?.answer
    }
}

impl Desired {
    pub fn recovered(channels: Vec<DesiredChannel>) -> Self {
        let mut desired = Self::default();
        for DesiredChannel { device, channel, revision, settings } in channels {
            if let Some(settings) = settings {
                let wanted = Wanted { revision, settings, told: None };
                desired.devices.entry(device).or_default().insert(channel, wanted);
            }
        }
        desired
    }

    fn get(&self, device: DeviceId, channel: ChannelName) -> Option<&Wanted> {
        self.devices.get(&device)?.get(&channel)
    }

    fn len(&self) -> usize {
        self.devices.values().map(BTreeMap::len).sum()
    }

    /// Keeps what is newer than what is kept, or was decided anew under the same number after a restore of the cloud. Says
    /// whether that changed anything.
    fn take(&mut self, wanted: &DesiredChannel, is_heard: impl Fn(DeviceId) -> bool) -> bool {
        let DesiredChannel { device, channel, revision, settings } = *wanted;
        let known = self.get(device, channel);
        if known.is_some_and(|known| {
            known.revision > revision || (known.revision, Some(known.settings)) == (revision, settings)
        }) {
            return false;
        }
        let Some(settings) = settings else { return self.forget(device, channel) };
        if known.is_none() && self.len() >= MAX_DESIRED && !self.make_room_for(device, is_heard) {
            return false;
        }
        let wanted = Wanted { revision, settings, told: None };
        self.devices.entry(device).or_default().insert(channel, wanted);
        true
    }

    fn forget(&mut self, device: DeviceId, channel: ChannelName) -> bool {
        let Some(channels) = self.devices.get_mut(&device) else { return false };
        let was_there = channels.remove(&channel).is_some();
        if channels.is_empty() {
            self.devices.remove(&device);
        }
        was_there
    }

    /// A device that is heard here may take the place of one that is not.
    fn make_room_for(&mut self, device: DeviceId, is_heard: impl Fn(DeviceId) -> bool) -> bool {
        let unheard = self.devices.keys().copied().find(|other| !is_heard(*other));
        match unheard.filter(|_| is_heard(device)) {
            Some(unheard) => self.devices.remove(&unheard).is_some(),
            None => false,
        }
    }

    pub fn must_be_saved(&self, now: Time) -> bool {
        self.save_at.is_some_and(|at| now >= at)
    }

    pub const fn save_at(&self) -> Option<Time> {
        self.save_at
    }

    /// What the next batch is to hold; none when nothing is new.
    pub fn save(&mut self, now: Time) -> Option<Vec<DesiredChannel>> {
        self.saving = self.must_be_saved(now);
        if !self.saving {
            return None;
        }
        self.save_at = None;
        let channels = self.devices.iter().flat_map(|(&device, channels)| {
            channels.iter().map(move |(&channel, wanted)| {
                let (revision, settings) = (wanted.revision, Some(wanted.settings));
                DesiredChannel { device, channel, revision, settings }
            })
        });
        Some(channels.collect())
    }

    /// The last batch was not written.
    pub fn not_saved(&mut self, now: Time) {
        if self.saving {
            self.save_at = Some(now.plus_ms(SAVE_AGAIN_MS));
        }
    }
}

impl Core {
    /// The cloud says what it wants, or asks again: boards are told, and it is answered.
    pub(super) fn settings_wanted(&mut self, wanted: &DesiredSettings) {
        let mut changed = BTreeSet::new();
        for channel in &wanted.channels {
            let is_heard = |device| self.origins.current(device).is_some();
            if self.desired.take(channel, is_heard) {
                self.desired.save_at.get_or_insert(self.now.at);
                changed.insert(channel.device);
            }
        }
        for device in changed {
            self.tell_board(device, false);
        }
        let answers = wanted.channels.iter().filter_map(|channel| self.answer_for(channel));
        let answers = answers.collect();
        self.report(answers);
    }

    /// What is known of the settings that were asked for, or of newer ones; nothing where there was no room for them.
    fn answer_for(&self, asked: &DesiredChannel) -> Option<ReportedChannel> {
        let DesiredChannel { device, channel, .. } = *asked;
        let Some(wanted) = self.desired.get(device, channel) else {
            let (revision, outcome) = (asked.revision, SettingsOutcome::Cleared);
            return asked.settings.is_none().then_some(ReportedChannel {
                device,
                channel,
                revision,
                outcome,
            });
        };
        let current = self.origins.current(device).and_then(|slot| self.origins.get(slot));
        let is_local = current.is_some_and(|state| state.local_flush_ms.is_some() && !state.closed);
        // In the boot that is there it may be under way; of one that has gone the last word holds.
        let linked = current.and_then(|state| Some((state.boot(), state.link?)));
        let answer = match linked {
            Some((boot, link)) => wanted.answer_of(boot, link),
            None => wanted.told.and_then(|told| told.answer),
        };
        let outcome = match answer {
            _ if is_local => SettingsOutcome::NotSettable,
            answer => answer.unwrap_or(SettingsOutcome::Held),
        };
        Some(ReportedChannel { device, channel, revision: wanted.revision, outcome })
    }

    /// A board has said who it is: a new boot knows nothing.
    pub(super) fn tell_new_boot(&mut self, device: DeviceId) {
        self.tell_board(device, false);
    }

    /// The board of this link is there, and may not have heard.
    pub(super) fn tell_again(&mut self, link: LinkId) {
        let slot = self.origins.linked(link);
        if let Some(device) = slot.and_then(|slot| self.origins.get(slot)).map(|state| state.origin().device)
        {
            self.tell_board(device, true);
        }
    }

    /// Sends a device's board what it has not answered, what it was sent before only if `again`. For channels that its boot does not
    /// have the answer is known.
    fn tell_board(&mut self, device: DeviceId, again: bool) {
        let state = self.origins.current(device).and_then(|slot| self.origins.get(slot));
        let Some((state, link)) = state.and_then(|state| Some((state, state.link?))) else { return };
        let Some(channels) = self.desired.devices.get_mut(&device) else { return };
        let boot = state.boot();
        let (mut under_way, mut unknown) = (0, Vec::new());
        let open = channels.iter_mut().filter(|(_, wanted)| wanted.answer_of(boot, link).is_none());
        for (&channel, wanted) in open {
            let Some(index) = index_of(&state.description, channel) else {
                let outcome = SettingsOutcome::UnknownChannel;
                wanted.told = Some(Told { boot, link, answer: Some(outcome) });
                unknown.push(ReportedChannel { device, channel, revision: wanted.revision, outcome });
                continue;
            };
            under_way += 1;
            if under_way > WINDOW {
                continue;
            }
            if again || !wanted.is_told(boot, link) {
                let settings = wanted.settings.for_board(index, wanted.revision);
                let frame = Down::Settings { boot: boot.tag(), settings };
                self.effects.push_back(Effect::Send { link, frame });
            }
            wanted.told = Some(Told { boot, link, answer: None });
        }
        self.report(unknown);
    }

    /// A board's answer, once per boot and link: the cloud is told, and the board what else there is. An answer to older settings was
    /// overtaken, or another gateway on this line set the board back: it is told again.
    pub(super) fn settings_answered(&mut self, link: LinkId, slot: Slot, result: SettingsResult) {
        let Some(state) = self.origins.get(slot) else { return };
        let (device, boot) = (state.origin().device, state.boot());
        let Some(declared) = state.description.channels.get(usize::from(result.channel)) else { return };
        let channel = declared.name;
        let channels = self.desired.devices.get_mut(&device);
        let Some(wanted) = channels.and_then(|channels| channels.get_mut(&channel)) else { return };
        if result.revision < wanted.revision {
            wanted.told = None;
            return self.tell_board(device, false);
        }
        if result.revision > wanted.revision || wanted.answer_of(boot, link).is_some() {
            return;
        }
        let outcome = SettingsOutcome::from(result.code);
        wanted.told = Some(Told { boot, link, answer: Some(outcome) });
        self.report(vec![ReportedChannel { device, channel, revision: result.revision, outcome }]);
        self.tell_board(device, false);
    }

    fn report(&mut self, answers: Vec<ReportedChannel>) {
        for channels in answers.chunks(MAX_SETTINGS) {
            self.effects.push_back(Effect::Report(ReportedSettings { channels: channels.to_vec() }));
        }
    }
}

fn index_of(description: &Description, channel: ChannelName) -> Option<ChannelIndex> {
    let at = description.channels.iter().position(|declared| declared.name == channel)?;
    u8::try_from(at).ok().map(ChannelIndex)
}
