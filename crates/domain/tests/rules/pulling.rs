//! A pull loop over any interleaving of writes and page reads delivers exactly the right records (P1 to P6).

use std::collections::{BTreeMap, BTreeSet};

use mosaic_domain::pull::PageLimits;
use mosaic_domain::write::RecordEdit;
use mosaic_domain::{PerEntity, RecordKey, Stamp, UnixMillis};
use mosaic_testkit::{Device, Model, pulled};
use proptest::prelude::*;

use crate::support::{any_edits, config};

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<RecordEdit>),
    Pull(usize),
    ClockBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => proptest::collection::vec(any_edits(), 1..5).prop_map(Step::Write),
        4 => (0..2_usize).prop_map(Step::Pull),
        1 => Just(Step::ClockBack),
    ];
    proptest::collection::vec(step, 1..40)
}

fn pull(model: &Model, device: &mut Device) -> bool {
    device.take(&model.pull(&device.request(), device.limits()))
}

proptest! {
    #![proptest_config(config(384))]

    /// The device itself refuses what P1, P2, P3, P4 and P5 forbid, page by page.
    #[test]
    fn p3_any_interleaving_of_writes_and_pages_delivers_exactly_what_is_there(steps in steps(), page in 1..5_usize) {
        let mut model = Model::default();
        let mut devices = [Device::with_page_of("small", page), Device::with_page_of("one", 1)];
        let mut now = 1_000;
        let mut written: BTreeSet<(RecordKey, Stamp)> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Write(edits) => {
                    now += 1;
                    let plan = model.write(UnixMillis::clamped(now), &edits).unwrap();
                    written.extend(plan.records.iter().map(|record| (record.key, record.stamp)));
                }
                Step::Pull(which) => {
                    pull(&model, &mut devices[which]);
                }
                Step::ClockBack => now -= 500,
            }
        }
        for mut device in devices {
            while pull(&model, &mut device) {}
            prop_assert_eq!(device.records(), pulled(&model.live()));
            prop_assert!(device.delivered().is_subset(&written), "something was delivered that was never written");
            let latest: BTreeSet<_> = model.records().map(|record| (record.key, record.stamp)).collect();
            prop_assert!(latest.is_subset(device.delivered()), "P3: a change was left out");
        }
    }

    /// P6: the request's cursors are the truth. Whatever page was lost, asking again delivers it or newer states.
    #[test]
    fn p6_the_same_cursors_give_the_same_records_again(
        before in proptest::collection::vec(any_edits(), 1..40), after in proptest::collection::vec(any_edits(), 0..10),
        page in 1..5_usize,
    ) {
        let mut model = Model::default();
        model.write(UnixMillis::clamped(1_000), &before).unwrap();
        let limits = PageLimits { records: page, ..PageLimits::PROTOCOL };
        let device = Device::with_page_of("phone", page);
        let request = device.request();
        let lost = model.pull(&request, limits);
        prop_assert_eq!(&model.pull(&request, limits), &lost);
        model.write(UnixMillis::clamped(2_000), &after).unwrap();
        let mut device = device;
        while pull(&model, &mut device) {}
        prop_assert_eq!(device.records(), pulled(&model.live()));
    }

    /// Stamps are unique and increasing across types and over writes (S1, S3), whatever the clock does (S2).
    #[test]
    fn s1_s3_no_two_changes_share_a_stamp(writes in proptest::collection::vec((any_edits(), 0..50_i64), 1..40)) {
        let mut model = Model::default();
        let mut last = Stamp::ZERO;
        for (edit, now) in writes {
            let before = model.clock();
            let plan = model.write(UnixMillis::clamped(now), &[edit]).unwrap();
            for record in &plan.records {
                prop_assert!(record.stamp > last);
                last = record.stamp;
            }
            let end = if plan.records.is_empty() { before } else { last };
            prop_assert_eq!(plan.clock, end);
        }
        let mut by_stamp = BTreeMap::new();
        for record in model.records() {
            prop_assert!(by_stamp.insert(record.stamp, record.key).is_none());
        }
    }

    /// What the foreign keys of clients rest on (P5, W9).
    #[test]
    fn w9_a_live_resource_never_has_a_memo_that_is_not_live(writes in proptest::collection::vec(any_edits(), 1..60)) {
        let mut model = Model::default();
        for (now, edit) in (0..).zip(writes) {
            model.write(UnixMillis::clamped(now), &[edit]).unwrap();
            for record in model.live() {
                if let Some(memo) = record.parent() {
                    let memo = model.record(RecordKey::Memo(memo));
                    prop_assert!(memo.is_some_and(|memo| !memo.is_deleted()), "{} hangs in the air", record.key);
                }
            }
        }
    }

    /// P2: a device at rest holds four equal cursors, the user's clock, and its next pull finds nothing to read.
    #[test]
    fn p2_a_device_at_rest_finds_nothing_to_do(edits in proptest::collection::vec(any_edits(), 0..30)) {
        let mut model = Model::default();
        model.write(UnixMillis::clamped(1_000), &edits).unwrap();
        let mut device = Device::with_page_of("phone", 3);
        while pull(&model, &mut device) {}
        let clock = model.clock();
        prop_assert_eq!(&device.cursors, &PerEntity::from_fn(|_| clock.into()));
        let request = device.request();
        let start = request.start(clock, model.pull(&request, device.limits()).epoch);
        prop_assert!(start.behind(request.entities, clock).is_empty());
        prop_assert!(!model.pull(&request, device.limits()).moves(&request));
    }
}
