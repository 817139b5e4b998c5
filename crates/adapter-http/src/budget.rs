//! How many bytes of memory bodies and answers may take together, and how many of them one user.
//!
//! Bytes are counted as they arrive, are unpacked, are parsed and are written, never as they are announced. There is no waiting:
//! whoever holds some and can't have more is refused at once and gives back what it has, so two that need each other's share
//! can't wait for each other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::{HttpMessage, HttpRequest};
use mosaic_domain::UserId;

use crate::limits::network;
use crate::problem::{Problem, ProblemCode};
use crate::{caller, client_addr};

/// How long a client waits before it tries again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// Somebody who is signed in.
    User(UserId),
    /// Somebody who is not: all from one network together.
    Network(IpAddr),
}

impl Holder {
    /// Whoever makes the request, as far as it is known by now.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let stranger = || Self::Network(network(client_addr::of(request)));
        caller::known(request).map_or_else(stranger, Self::User)
    }
}

/// The memory that bodies and answers may take. A clone is the same budget.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    total: usize,
    share: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    by_holder: HashMap<Holder, usize>,
}

impl MemoryBudget {
    /// So many times the bytes of a body are counted: as they came, and as what they become.
    pub(crate) const BODY_FACTOR: usize = 2;

    /// So many bytes for all, and a quarter of them for each; but always enough for the largest body there may be.
    pub(crate) fn new(total: usize, largest_body: usize) -> Self {
        let share = (total / 4).max(largest_body.saturating_mul(Self::BODY_FACTOR));
        Self(Arc::new(Counted {
            total: total.max(share),
            share,
            held: Mutex::default(),
        }))
    }

    /// An account of what one request holds: nothing so far.
    pub(crate) fn lease(&self, holder: Holder) -> Lease {
        Lease {
            budget: Some(self.clone()),
            holder,
            bytes: 0,
        }
    }
}

impl Counted {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, holder: Holder, bytes: usize) -> bool {
        let mut held = self.lock();
        let all = held.bytes.saturating_add(bytes);
        let own = held.by_holder.get(&holder).copied().unwrap_or_default();
        let own = own.saturating_add(bytes);
        let fits = all <= self.total && own <= self.share;
        if fits && bytes > 0 {
            held.bytes = all;
            held.by_holder.insert(holder, own);
        }
        fits
    }

    fn give_back(&self, holder: Holder, bytes: usize) {
        let mut held = self.lock();
        held.bytes -= bytes;
        if let Some(own) = held.by_holder.get_mut(&holder) {
            *own -= bytes;
            if *own == 0 {
                held.by_holder.remove(&holder);
            }
        }
    }
}

/// What one request holds of the budget. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Lease {
    /// `None`: nobody counts.
    budget: Option<MemoryBudget>,
    holder: Holder,
    bytes: usize,
}

impl Lease {
    /// An account of what this request holds. In an app without a budget nothing is counted.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let holder = Holder::of(request);
        match request.app_data::<MemoryBudget>() {
            Some(budget) => budget.lease(holder),
            None => Self {
                budget: None,
                holder,
                bytes: 0,
            },
        }
    }

    /// Takes more.
    ///
    /// # Errors
    /// 503 `busy` with `Retry-After`; what it has it keeps until it is dropped.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        if let Some(budget) = &self.budget {
            if !budget.0.take(self.holder, bytes) {
                return Err(busy());
            }
            self.bytes += bytes;
        }
        Ok(())
    }

    /// Keeps it for as long as the request is answered: until the handler is done.
    pub(crate) fn keep(self, request: &HttpRequest) {
        request.extensions_mut().insert(self);
    }

    /// What the body of a request holds.
    pub(crate) fn of_body(request: &HttpRequest) -> usize {
        request.extensions().get::<Self>().map_or(0, |lease| lease.bytes)
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives some of it back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        if let Some(budget) = &self.budget
            && bytes > 0
        {
            budget.0.give_back(self.holder, bytes);
            self.bytes -= bytes;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// The server has enough to do.
pub(crate) fn busy() -> Problem {
    Problem::new(
        ProblemCode::Busy,
        "the server has as much to do as it can, try again in a moment",
    )
    .retry_after(AGAIN_AFTER)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> Holder {
        Holder::User(UserId::new(Uuid::from_u128(number)))
    }

    fn refused(grown: Result<(), Problem>) -> bool {
        grown.is_err_and(|problem| problem.code() == ProblemCode::Busy)
    }

    #[test]
    fn one_holder_has_a_quarter_and_all_together_have_all() {
        let budget = MemoryBudget::new(400, 10);
        let mut leases: Vec<Lease> = (0..5).map(|n| budget.lease(user(n))).collect();
        for lease in &mut leases[..4] {
            lease.grow(60).unwrap();
            lease.grow(40).unwrap();
            assert!(refused(lease.grow(1)), "more than a quarter");
        }
        assert!(refused(leases[4].grow(1)), "more than there is");
        leases[0].shrink(30);
        leases[4].grow(30).unwrap();
        assert!(refused(leases[0].grow(1)));
        drop(leases);
        let held = budget.0.lock();
        assert_eq!((held.bytes, held.by_holder.len()), (0, 0));
    }

    #[test]
    fn requests_of_one_holder_share_and_a_refused_one_keeps_what_it_has() {
        let budget = MemoryBudget::new(400, 10);
        let network = Holder::Network(Ipv4Addr::LOCALHOST.into());
        let (mut one, mut other) = (budget.lease(network), budget.lease(network));
        one.grow(70).unwrap();
        other.grow(30).unwrap();
        assert!(refused(other.grow(1)));
        drop(one);
        other.grow(70).unwrap();
        assert_eq!(budget.0.lock().bytes, 100);
    }

    #[test]
    fn the_largest_body_always_fits() {
        let budget = MemoryBudget::new(1, 1000);
        budget
            .lease(user(1))
            .grow(1000 * MemoryBudget::BODY_FACTOR)
            .unwrap();
    }
}
