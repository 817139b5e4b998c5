//! What was written, to hold against what was delivered.

use std::collections::{BTreeMap, BTreeSet};

use mosaic_domain::write::WritePlan;
use mosaic_domain::{RecordKey, Stamp};

use crate::device::Device;

/// Every change that was acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    written: BTreeSet<(RecordKey, Stamp)>,
}

impl Ledger {
    /// Notes what a write did.
    pub fn note(&mut self, plan: &WritePlan) {
        self.written
            .extend(plan.records.iter().map(|record| (record.key, record.stamp)));
    }

    /// Notes what another ledger holds.
    pub fn merge(&mut self, other: Self) {
        let (all, others) = (self.written.len(), other.written.len());
        self.written.extend(other.written);
        assert_eq!(self.written.len(), all + others, "S1: a stamp was given twice");
    }

    /// How many changes there were.
    pub fn len(&self) -> usize {
        self.written.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Asserts that the device was delivered the latest change of every record, tombstones included, and nothing that
    /// was not written (P3). That nothing came twice the device sees itself.
    pub fn assert_delivered_to(&self, device: &Device) {
        let latest: BTreeMap<_, _> = self.written.iter().copied().collect();
        for change in latest {
            assert!(
                device.delivered().contains(&change),
                "P3: {change:?} was left out"
            );
        }
        for change in device.delivered() {
            assert!(self.written.contains(change), "P3: {change:?} was never written");
        }
    }
}
