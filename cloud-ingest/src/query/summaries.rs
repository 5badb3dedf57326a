//! Pages of what stands for a device's thinned readings.

use super::{MAX_READINGS_PAGE, QueryError, Selection, selected_owners};
use crate::{
    core::batch::OriginNo,
    store::{
        Look,
        summaries::{Made, from_channel},
    },
    view::{SummariesView, SummaryView},
};

/// A page of summaries; all channels, or those of the name in the selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummariesRequest {
    pub selection: Selection,
    /// 1 to [`MAX_READINGS_PAGE`]; more is cut to that.
    pub limit: usize,
    pub cursor: Option<String>,
}

pub(super) fn page(look: &Look<'_>, request: &SummariesRequest) -> Result<SummariesView, QueryError> {
    let limit = request.limit.clamp(1, MAX_READINGS_PAGE);
    let from = request.cursor.as_deref().map(read_cursor).transpose()?.unwrap_or_default();
    let mut view = SummariesView::default();
    for (no, owner) in selected_owners(look, &request.selection)? {
        if from_channel(no, tidegate_protocol::ChannelIndex(u8::MAX)) < from {
            continue;
        }
        let channels = look.description(no)?.map(|description| description.channels).unwrap_or_default();
        look.summaries(no, &from, |key, Made { gateway, summary }| {
            let channel = channels.get(usize::from(summary.channel.0));
            if request
                .selection
                .channel
                .is_some_and(|wanted| channel.is_none_or(|known| known.name != wanted))
            {
                return Ok(true);
            }
            if view.summaries.len() == limit {
                view.next_cursor = Some(hex(key));
                return Ok(false);
            }
            let unix_ms = |tick| owner.anchor.map(|anchor| anchor.unix_ms_at(tick));
            let figure = |figure: f64| Some(figure).filter(|figure| figure.is_finite());
            view.summaries.push(SummaryView {
                site: owner.site,
                device: owner.origin.device,
                channel: channel.map(|known| known.name),
                channel_index: summary.channel.0,
                unit: channel.map(|known| known.unit.clone()).unwrap_or_default(),
                boot: owner.origin.boot,
                gateway,
                range: (summary.range.start, summary.range.end),
                ticks_ms: (summary.ticks.0.0, summary.ticks.1.0),
                first_unix_ms: unix_ms(summary.ticks.0),
                last_unix_ms: unix_ms(summary.ticks.1),
                count: summary.count,
                min: figure(summary.min),
                max: figure(summary.max),
                mean: figure(summary.mean),
                crossings: summary.crossings,
            });
            Ok(true)
        })?;
        if view.next_cursor.is_some() {
            break;
        }
    }
    Ok(view)
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_cursor(text: &str) -> Result<Vec<u8>, QueryError> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    // An origin, a channel, a gateway and a seq.
    let key: Option<Vec<u8>> = digits.collect();
    key.filter(|key| (15..=64).contains(&key.len())).ok_or(QueryError::Cursor)
}

/// How many stand for readings of one origin; looked at only where some were thinned.
pub(super) fn count(look: &Look<'_>, no: OriginNo, thinned: bool) -> Result<u64, QueryError> {
    Ok(if thinned { look.summary_count(no)? } else { 0 })
}
