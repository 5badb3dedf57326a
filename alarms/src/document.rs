//! Rules on their way to gateways: of the rules of channels what concerns a site, closed like every message
//! ([`tidegate_protocol::sealed`]).
//!
//! A gateway judges what is live, so a rule travels with its newest [`MAX_REVISIONS`] revisions, and not at all once it is
//! retired. Rules of silence and of groups are the cloud's to judge, and stay there.

use alloc::vec::Vec;

use tidegate_protocol::{
    SiteId,
    rules::MAX_RULES_BYTES,
    sealed::{SealError, seal, unseal_counted},
};

use crate::{
    book::RuleBook,
    revised::RevisedRule,
    rule::{Rule, RuleKind},
    settings::MAX_RULES,
};

/// How many revisions of a rule travel.
pub const MAX_REVISIONS: usize = 8;

impl RuleBook {
    /// The rules that gateways of a site judge by.
    pub fn for_site(&self, site: SiteId) -> Self {
        let judged = |rule: &Rule| {
            rule.rule_kind() == RuleKind::Channel && rule.selector().names.site.matches(site.as_str())
        };
        let rules = self.rules().filter(|rule| rule.at(None).is_some());
        Self::restore(rules.filter_map(|rule| rule.newest_few(MAX_REVISIONS, judged)))
    }

    /// As it travels; the same rules give the same bytes.
    pub fn document(&self) -> Result<Vec<u8>, SealError> {
        let rules: Vec<_> = self.rules().map(AsRef::as_ref).collect();
        seal(&rules, MAX_RULES_BYTES)
    }

    /// Of bytes from anywhere.
    pub fn from_document(bytes: &[u8]) -> Result<Self, SealError> {
        let rules: Vec<RevisedRule> = unseal_counted(bytes, MAX_RULES_BYTES, MAX_RULES)?;
        let count = rules.len();
        let is_sound = rules.iter().all(|rule| rule.is_sound(MAX_REVISIONS));
        let book = Self::restore(rules);
        if is_sound && book.rules().count() == count { Ok(book) } else { Err(SealError::Malformed) }
    }
}
