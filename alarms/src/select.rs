//! Which channels a rule watches: by their names, by the device's tag, by labels that the rules file gives.

use alloc::{string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};
use tidegate_protocol::{ChannelName, DeviceId, SiteId};

use crate::{digest::Digest, glob::Glob};

/// Patterns that all must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    pub names: Names,
    /// Each label must be there and fit.
    pub labels: Vec<LabelPattern>,
    /// Who has such labels: of the file's `[[labels]]` what gives any of those asked for, in their order. With them in it, a
    /// rule is complete in itself, and changes when they do. Shared by rules that ask for the same labels.
    pub given: Arc<[GivenLabel]>,
}

/// Patterns on what a channel is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    pub site: Glob,
    pub device: Glob,
    pub channel: Glob,
    /// On the device's free text; a device without one has the empty text.
    pub tag: Glob,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelPattern {
    pub key: String,
    pub value: Glob,
}

/// A label for all channels whose names fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenLabel {
    pub to: Names,
    pub key: String,
    pub value: String,
}

impl Names {
    pub fn fit(&self, site: SiteId, device: DeviceId, channel: ChannelName, tag: &str) -> bool {
        self.channel.matches(channel.as_str())
            && self.device.matches(device.as_str())
            && self.site.matches(site.as_str())
            && self.tag.matches(tag)
    }

    fn digested(&self, digest: Digest) -> Digest {
        let digest = digest.text(self.site.as_str()).text(self.device.as_str()).text(self.channel.as_str());
        // Not said of those that ask for no tag: their revisions are older than tags.
        if self.tag.as_str() == "*" { digest } else { digest.text("tag").text(self.tag.as_str()) }
    }
}

impl Selector {
    pub fn selects(&self, site: SiteId, device: DeviceId, channel: ChannelName, tag: &str) -> bool {
        self.names.fit(site, device, channel, tag)
            && self.labels.iter().all(|wanted| {
                // Of several that give the same label, the last in the file does.
                let mut given = self.given.iter().rev().filter(|given| given.key == wanted.key);
                let given = given.find(|given| given.to.fit(site, device, channel, tag));
                given.is_some_and(|given| wanted.value.matches(&given.value))
            })
    }

    pub(crate) fn digested(&self, digest: Digest) -> Digest {
        let digest = self.names.digested(digest);
        let digest = self.labels.iter().fold(digest, |digest, wanted| {
            digest.text("label").text(&wanted.key).text(wanted.value.as_str())
        });
        self.given.iter().fold(digest, |digest, given| {
            given.to.digested(digest.text("given")).text(&given.key).text(&given.value)
        })
    }
}
