//! The rules, their log, and what changes them.

use jiff::Timestamp;
use tidegate_alarms::RuleBook;

use super::{Query, QueryError};
use crate::{
    core::rulebook::{RulesDone, RulesOrder},
    orders::OrderError,
    rules::{RuleView, RulesChangeView, RulesLogView, RulesRequest, RulesView},
};

impl Query {
    /// All of them, retired ones too.
    pub fn rules(&self) -> Result<RulesView, QueryError> {
        let look = self.store.look()?;
        let now = Timestamp::now().as_millisecond();
        let rules = look.rules()?;
        Ok(RulesView {
            edition: look.rules_edition()?,
            owner: if self.rules_file.is_some() { "file" } else { "api" },
            rules: rules.iter().filter_map(|rule| RuleView::new(rule, now)).collect(),
        })
    }

    /// One of them, and the edition of all.
    pub fn rule(&self, id: &str) -> Result<(RuleView, u64), QueryError> {
        let RulesView { edition, rules, .. } = self.rules()?;
        let found = rules.into_iter().find(|rule| rule.id.as_str() == id);
        Ok((found.ok_or(QueryError::UnknownRule)?, edition))
    }

    pub fn rules_log(&self, limit: usize) -> Result<RulesLogView, QueryError> {
        let log = self.store.look()?.rules_log()?;
        Ok(RulesLogView { log: log.into_iter().rev().take(limit).collect() })
    }

    /// Changes the rules, or only says what that would change; answers once it is committed.
    pub fn put_rules(&self, request: &RulesRequest) -> Result<RulesChangeView, QueryError> {
        if request.dry_run {
            return self.would_change(request);
        }
        if let Some(file) = &self.rules_file {
            return Err(QueryError::RulesOfFile { file: file.to_string() });
        }
        let order = RulesOrder {
            rules: request.rules.clone(),
            operator: request.operator.clone(),
            reason: request.reason.clone(),
            expected: request.expected.clone(),
            unix_ms: 0,
        };
        match self.orders.change_rules(order)? {
            RulesDone::Done { changes, edition } => Ok(RulesChangeView::new(changes, edition, request)),
            RulesDone::Changed { edition } => Err(QueryError::RulesChanged { edition }),
            RulesDone::NotCommitted => Err(OrderError::NotCommitted.into()),
        }
    }

    fn would_change(&self, request: &RulesRequest) -> Result<RulesChangeView, QueryError> {
        let look = self.store.look()?;
        let edition = look.rules_edition()?;
        if request.expected.as_ref().is_some_and(|expected| !expected.contains(&edition)) {
            return Err(QueryError::RulesChanged { edition });
        }
        let mut book = RuleBook::restore(look.rules()?);
        let changes = book.merge(&request.rules, Timestamp::now().as_millisecond());
        Ok(RulesChangeView::new(changes, edition, request))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidegate_alarms::{RuleSet, RulesSettings};

    use super::*;

    fn served(folder: &Path) -> Query {
        super::super::served::served(folder, RuleSet::default(), None).0
    }

    fn request(rules: serde_json::Value) -> RulesRequest {
        let settings: RulesSettings = serde_json::from_value(serde_json::json!({ "rule": rules })).unwrap();
        let rules = RuleSet::from_settings(settings).unwrap();
        let (operator, reason) = ("eva".to_owned(), "tried".to_owned());
        RulesRequest { rules, operator, reason, expected: None, dry_run: false }
    }

    fn hot(limit: u32) -> RulesRequest {
        request(serde_json::json!([{ "id": "hot", "above": limit, "priority": "high" }]))
    }

    fn ids(ids: &[tidegate_alarms::RuleId]) -> Vec<&str> {
        ids.iter().map(tidegate_alarms::RuleId::as_str).collect()
    }

    #[test]
    fn rules_are_put_shown_through_time_and_logged() {
        let folder = tempfile::tempdir().unwrap();
        let query = served(folder.path());
        let none = query.rules().unwrap();
        assert_eq!((none.edition, none.owner, none.rules.len()), (0, "api", 0));

        let put = query.put_rules(&hot(60)).unwrap();
        assert_eq!((put.edition, put.dry_run, ids(&put.added)), (1, false, vec!["hot"]));
        let again = query.put_rules(&hot(60)).unwrap();
        assert_eq!((again.edition, again.added.len(), again.changed.len()), (1, 0, 0), "it says the same");
        let put = query.put_rules(&hot(80)).unwrap();
        assert_eq!((put.edition, ids(&put.changed)), (2, vec!["hot"]));

        let (rule, edition) = query.rule("hot").unwrap();
        assert_eq!((edition, rule.state, rule.condition.as_str()), (2, "in-force", "above = 80"));
        let [first, second] = rule.revisions.as_slice() else { panic!("{rule:?}") };
        assert_eq!(first.effective_from_unix_ms, None, "what comes first is in force at all times");
        assert!(second.effective_from_unix_ms.is_some() && !second.dated);
        let condition =
            |says: &Option<crate::rules::SaysView>| says.as_ref().map(|says| says.condition.clone());
        assert_eq!(condition(&first.says).as_deref(), Some("above = 60"));
        assert_ne!(first.revision, second.revision);

        let put = query.put_rules(&request(serde_json::json!([]))).unwrap();
        assert_eq!((put.edition, ids(&put.retired)), (3, vec!["hot"]));
        let (rule, _) = query.rule("hot").unwrap();
        assert_eq!((rule.state, rule.condition.as_str()), ("retired", "above = 80"));
        assert!(rule.revisions.last().is_some_and(|last| last.revision.is_none() && last.says.is_none()));
        let log = query.rules_log(2).unwrap().log;
        let lines: Vec<_> = log.iter().map(|line| (line.edition, line.retired.len())).collect();
        assert_eq!(lines, [(3, 1), (2, 0)], "the newest two");
        assert_eq!((log[0].operator.as_str(), log[0].reason.as_str()), ("eva", "tried"));
        assert!(matches!(query.rule("cold"), Err(QueryError::UnknownRule)));
    }

    #[test]
    fn what_was_changed_within_a_millisecond_or_after_the_clock_was_set_back_is_shown_as_changed() {
        let (now, earlier) = (1_790_000_000_000, 1_789_999_000_000);
        let mut book = RuleBook::default();
        book.merge(&hot(60).rules, now);
        book.merge(&hot(80).rules, now);
        let shown = |book: &RuleBook, at| {
            let rule = RuleView::new(book.rules().next().unwrap(), at).unwrap();
            (rule.state, rule.condition)
        };
        assert_eq!(shown(&book, now), ("in-force", "above = 80".to_owned()));
        book.merge(&RuleSet::default(), now);
        assert_eq!(shown(&book, now), ("retired", "above = 80".to_owned()));
        book.merge(&hot(90).rules, earlier);
        assert_eq!(shown(&book, earlier), ("in-force", "above = 90".to_owned()));
    }

    #[test]
    fn what_is_announced_is_shown_as_that() {
        let folder = tempfile::tempdir().unwrap();
        let query = served(folder.path());
        let from = "2999-01-01T00:00:00Z";
        query
            .put_rules(&request(serde_json::json!([{ "id": "hot", "above": 1, "effective_from": from }])))
            .unwrap();
        let (rule, _) = query.rule("hot").unwrap();
        assert_eq!((rule.state, rule.condition.as_str()), ("announced", "above = 1"));
        let unix_ms = from.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(rule.revisions[0].effective_from_unix_ms, Some(unix_ms));
        assert!(rule.revisions[0].dated);
    }

    #[test]
    fn a_dry_run_says_what_an_order_then_does() {
        let folder = tempfile::tempdir().unwrap();
        let query = served(folder.path());
        query.put_rules(&hot(60)).unwrap();
        let next = request(serde_json::json!([
            { "id": "hot", "above": 70 },
            { "id": "odd", "above": 1, "unit": "degC",
              "quiet_hours": { "from": "22:00", "to": "06:00", "zone": "Mars/Olympus" } },
        ]));
        let told = query.put_rules(&RulesRequest { dry_run: true, ..next.clone() }).unwrap();
        assert_eq!((told.dry_run, told.edition), (true, 1));
        assert_eq!((ids(&told.added), ids(&told.changed)), (vec!["odd"], vec!["hot"]));
        let [unit, zone] = told.warnings.as_slice() else { panic!("{told:?}") };
        assert!(
            unit.contains("degC") && zone.contains("\"odd\"") && zone.contains("Mars/Olympus"),
            "{told:?}"
        );
        assert_eq!(query.rules().unwrap().edition, 1, "nothing was changed");
        let done = query.put_rules(&next).unwrap();
        assert_eq!(done, RulesChangeView { dry_run: false, edition: 2, ..told });
    }

    #[test]
    fn whoever_saw_another_edition_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let query = served(folder.path());
        query.put_rules(&hot(60)).unwrap();
        for dry_run in [true, false] {
            let late = RulesRequest { expected: Some(vec![0, 7]), dry_run, ..hot(70) };
            let refused = query.put_rules(&late);
            assert!(matches!(refused, Err(QueryError::RulesChanged { edition: 1 })), "{refused:?}");
        }
        assert_eq!(query.rule("hot").unwrap().0.condition, "above = 60");
        let in_time = RulesRequest { expected: Some(vec![1]), ..hot(70) };
        assert_eq!(query.put_rules(&in_time).unwrap().edition, 2);
    }

    #[test]
    fn where_a_file_owns_the_rules_it_is_named_and_only_a_dry_run_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let query = served(folder.path()).with_rules_file(Some(Path::new("/etc/tidegate/rules.toml")));
        assert_eq!(query.rules().unwrap().owner, "file");
        let refused = query.put_rules(&hot(60)).map_err(|error| error.to_string());
        assert!(refused.as_ref().is_err_and(|said| said.contains("/etc/tidegate/rules.toml")), "{refused:?}");
        let told = query.put_rules(&RulesRequest { dry_run: true, ..hot(60) }).unwrap();
        assert_eq!(ids(&told.added), ["hot"]);
        assert_eq!(query.rules().unwrap().edition, 0);
    }
}
