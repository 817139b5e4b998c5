//! Commits whose answer was lost: were they carried out?
//!
//! Running the write again would be wrong for an edit without a time (W1): it would win once more, as a new version. Saying
//! that it succeeded without knowing would be worse. So the store looks, under the user's lock, for what the plan leaves
//! behind, and mostly knows:
//!
//! * A record of the plan that is stored with exactly its stamp, version and content was written by it; and so were all
//!   others, because a transaction is written whole.
//! * If the user's clock has not moved, or a record of the plan is missing or has an older stamp, it was not.
//! * Else others have overwritten all its records since. A live record that is overwritten is always kept as a revision
//!   (H1), in the same transaction: one that is kept was there, one that is not kept never was.
//! * Only of a plan of nothing but tombstones, all overwritten since, no trace is left. Then the store says that it does not
//!   know, and the device sends its edits again, which is free (W3).
//!
//! A transaction identifier would not do: after a crash the database gives the identifiers that never reached its log to
//! others, and after a failover another database answers.

use std::collections::BTreeSet;

use mosaic_domain::write::{Locked, WritePlan, WriteScope};
use mosaic_domain::{Record, Revision, RevisionReason, Stamp, UnixMillis, UserId};

/// What is known of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitState {
    /// It was carried out.
    Committed,
    /// It was not.
    NotCommitted,
    /// Nothing tells.
    Undecidable,
}

/// What has to be loaded for a [`commit_state`].
pub(crate) fn scope(user: UserId, plan: &WritePlan) -> WriteScope {
    let versions = plan
        .records
        .iter()
        .map(|record| (record.key, record.version.clone()));
    WriteScope {
        user,
        // It was looked at before the commit was tried.
        login: None,
        keys: plan.records.iter().map(|record| record.key).collect(),
        counted: BTreeSet::new(),
        children_of: BTreeSet::new(),
        sort_groups: BTreeSet::new(),
        history: versions.collect(),
        bytes: 0,
    }
}

/// Whether a plan, made when `before` was the user's last stamp, has been carried out.
pub(crate) fn commit_state(plan: &WritePlan, before: Stamp, now: &Locked) -> CommitState {
    // A plan that only keeps revisions draws no stamp, and can be run again: they are kept once (H1, W3).
    if plan.records.is_empty() || now.clock.last() <= before {
        return CommitState::NotCommitted;
    }
    let stored = |record: &Record| now.records.get(&record.key);
    if plan.records.iter().any(|record| stored(record) == Some(record)) {
        return CommitState::Committed;
    }
    if plan
        .records
        .iter()
        .any(|record| stored(record).is_none_or(|stored| stored.stamp <= before))
    {
        return CommitState::NotCommitted;
    }
    let mut live = plan.records.iter().filter_map(as_revision).peekable();
    if live.peek().is_none() {
        return CommitState::Undecidable;
    }
    if live.any(|lost| now.revisions.iter().any(|kept| kept.id == lost.id)) {
        CommitState::Committed
    } else {
        CommitState::NotCommitted
    }
}

/// The revision that a live record becomes when it is overwritten.
fn as_revision(record: &Record) -> Option<Revision> {
    let content = record.live_content()?.clone();
    let (version, created_at) = (record.version.clone(), record.created_at);
    let reason = RevisionReason::Overwritten;
    Some(Revision::new(
        record.key,
        version,
        created_at,
        content,
        reason,
        UnixMillis::ZERO,
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mosaic_domain::SyncClock;
    use mosaic_domain::write::{RecordEdit, decide};
    use mosaic_testkit::{EditExt as _, by, delete, memo, memo_key, patch_memo, put};
    use uuid::Uuid;

    use super::*;

    /// A user's records without a database.
    #[derive(Default)]
    struct Model {
        records: BTreeMap<mosaic_domain::RecordKey, Record>,
        revisions: Vec<Revision>,
        last: Stamp,
    }

    impl Model {
        fn locked(&self) -> Locked {
            Locked {
                clock: SyncClock::new(self.last, UnixMillis::clamped(1_000)),
                records: self.records.clone(),
                children: BTreeMap::new(),
                last_places: BTreeMap::new(),
                revisions: self.revisions.clone(),
                bytes: 0,
                quota: mosaic_domain::Quota::Default,
            }
        }

        fn plan(&self, edits: &[RecordEdit]) -> WritePlan {
            decide(&self.locked(), edits).unwrap()
        }

        fn carry_out(&mut self, plan: &WritePlan) {
            self.last = plan.clock;
            self.revisions.extend(plan.revisions.iter().cloned());
            self.records
                .extend(plan.records.iter().map(|record| (record.key, record.clone())));
        }

        fn write(&mut self, edits: &[RecordEdit]) {
            self.carry_out(&self.plan(edits));
        }
    }

    /// The verdicts on some edits, with and without having been committed, when others wrote something since.
    fn verdicts(before: &[RecordEdit], edits: &[RecordEdit], since: &[RecordEdit]) -> [CommitState; 2] {
        [true, false].map(|committed| {
            let mut model = Model::default();
            model.write(before);
            let (last, plan) = (model.last, model.plan(edits));
            if committed {
                model.carry_out(&plan);
            }
            if !since.is_empty() {
                model.write(since);
            }
            commit_state(&plan, last, &model.locked())
        })
    }

    const KNOWN: [CommitState; 2] = [CommitState::Committed, CommitState::NotCommitted];

    #[test]
    fn what_nobody_touched_since_is_known() {
        let new = put(memo_key(1), memo("x"));
        assert_eq!(verdicts(&[], std::slice::from_ref(&new), &[]), KNOWN);
        assert_eq!(
            verdicts(std::slice::from_ref(&new), &[patch_memo(1, "y")], &[]),
            KNOWN
        );
        assert_eq!(verdicts(&[new], &[delete(memo_key(1))], &[]), KNOWN);
    }

    #[test]
    fn a_record_that_was_overwritten_since_is_known_by_its_revision() {
        let new = put(memo_key(1), memo("x"));
        let other = [patch_memo(1, "z").by("tablet")];
        assert_eq!(
            verdicts(std::slice::from_ref(&new), &[patch_memo(1, "y")], &other),
            KNOWN
        );
        assert_eq!(
            verdicts(
                std::slice::from_ref(&new),
                &[patch_memo(1, "y")],
                &[delete(memo_key(1))]
            ),
            KNOWN
        );
        let both = [delete(memo_key(1)), put(memo_key(2), memo("y"))];
        let over_both = [put(memo_key(1), memo("z")).at(9_000), patch_memo(2, "z")];
        assert_eq!(verdicts(&[new], &both, &over_both)[0], CommitState::Committed);
    }

    #[test]
    fn a_write_elsewhere_decides_nothing() {
        let new = put(memo_key(1), memo("x"));
        let elsewhere = [put(memo_key(2), memo("z"))];
        assert_eq!(
            verdicts(std::slice::from_ref(&new), &[patch_memo(1, "y")], &elsewhere),
            KNOWN
        );
        assert_eq!(verdicts(&[], &[new], &elsewhere), KNOWN);
    }

    #[test]
    fn a_tombstone_that_was_brought_back_since_leaves_no_trace() {
        let new = put(memo_key(1), memo("x"));
        let back = [put(memo_key(1), memo("z")).at(9_000)];
        assert_eq!(
            verdicts(&[new], &[delete(memo_key(1))], &back),
            [CommitState::Undecidable; 2]
        );
    }

    #[test]
    fn a_plan_that_only_keeps_revisions_is_run_again() {
        let new = put(memo_key(1), memo("x")).at(900);
        let late = [put(memo_key(1), memo("y")).at(800)];
        assert_eq!(verdicts(&[new], &late, &[]), [CommitState::NotCommitted; 2]);
    }

    #[test]
    fn the_question_names_the_records_and_their_versions() {
        let plan = Model::default().plan(&[put(memo_key(1), memo("x")).at(900)]);
        let user = UserId::new(Uuid::nil());
        let scope = scope(user, &plan);
        assert_eq!(scope.user, user);
        assert!(scope.keys.contains(&memo_key(1)));
        let (key, version) = scope.history.first().unwrap();
        assert_eq!(
            (*key, version.time.get(), &version.author),
            (memo_key(1), 900, &by("phone"))
        );
    }
}
