//! The devices that a question selects.

use std::collections::BTreeMap;

use tidegate_protocol::{DeviceId, SiteId};

use super::Selection;
use crate::{
    core::batch::{OriginNo, OriginRecord},
    store::{Look, StoreError, look::Owner},
};

/// The boot of each selected device that is shown as its present one: the one first heard of last among those that no other
/// boot has superseded.
pub(super) fn current_boots(
    look: &Look<'_>,
    selection: &Selection,
) -> Result<Vec<(OriginNo, OriginRecord)>, StoreError> {
    let mut current: BTreeMap<(SiteId, DeviceId), (OriginNo, OriginRecord)> = BTreeMap::new();
    for (no, record) in selected(look, selection)? {
        let known =
            current.entry((record.site, record.origin.device)).or_insert_with(|| (no, record.clone()));
        if known.1.superseded || !record.superseded {
            *known = (no, record);
        }
    }
    Ok(current.into_values().collect())
}

pub(super) fn selected(
    look: &Look<'_>,
    selection: &Selection,
) -> Result<impl Iterator<Item = (OriginNo, OriginRecord)> + use<>, StoreError> {
    let selection = *selection;
    let origins = look.origins()?.into_iter();
    Ok(origins.filter(move |(_, record)| selects(&selection, record.site, record.origin.device)))
}

/// As [`selected`], sealed origins included.
pub(super) fn selected_owners(
    look: &Look<'_>,
    selection: &Selection,
) -> Result<impl Iterator<Item = (OriginNo, Owner)> + use<>, StoreError> {
    let selection = *selection;
    let owners = look.owners()?.into_iter();
    Ok(owners.filter(move |(_, owner)| selects(&selection, owner.site, owner.origin.device)))
}

pub(super) fn selects(selection: &Selection, site: SiteId, device: DeviceId) -> bool {
    selection.site.is_none_or(|wanted| wanted == site)
        && selection.device.is_none_or(|wanted| wanted == device)
}
