//! One request of an upload at a time, on this instance. A phone that lost its network asks how far it came while the server still waits for
//! the rest of the request before: that one is told to end, keeps what it has, and the new one goes on from there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mosaic_domain::UploadId;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep_until};

use crate::error::AppError;

/// How long a request waits for the one before it, which may be putting the upload together.
const PATIENCE: Duration = Duration::from_secs(10);
/// A request that has to give way to another one still takes what has arrived: it ends when nothing came for so long,
const SILENCE: Duration = Duration::from_millis(50);
/// and after so long at the latest.
const LONGEST_STAY: Duration = Duration::from_secs(2);

/// The requests of all uploads.
#[derive(Debug)]
pub(super) struct UploadLocks {
    queues: Mutex<HashMap<UploadId, Weak<Queue>>>,
    patience: Duration,
}

impl Default for UploadLocks {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
            patience: PATIENCE,
        }
    }
}

/// The requests of one upload.
#[derive(Debug)]
struct Queue {
    /// How many there have been.
    came: watch::Sender<u64>,
    busy: Arc<tokio::sync::Mutex<()>>,
}

/// The right to work on an upload.
#[derive(Debug)]
pub(super) struct UploadLock {
    number: u64,
    came: watch::Receiver<u64>,
    /// Since when another request wants to go on.
    wanted_at: Option<Instant>,
    _queue: Arc<Queue>,
    _busy: OwnedMutexGuard<()>,
}

impl UploadLocks {
    /// Tells the request that works on the upload to end, and waits for it.
    ///
    /// # Errors
    /// [`AppError::UploadBusy`] where it does not end in time.
    pub(super) async fn take(&self, upload: UploadId) -> Result<UploadLock, AppError> {
        let queue = self.queue(upload);
        queue.came.send_modify(|came| *came += 1);
        let came = queue.came.subscribe();
        let number = *came.borrow();
        let busy = tokio::time::timeout(self.patience, Arc::clone(&queue.busy).lock_owned()).await;
        let busy = busy.map_err(|_| AppError::UploadBusy)?;
        Ok(UploadLock {
            number,
            came,
            wanted_at: None,
            _queue: queue,
            _busy: busy,
        })
    }

    fn queue(&self, upload: UploadId) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(&upload).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Queue {
            came: watch::Sender::new(0),
            busy: Arc::default(),
        });
        queues.insert(upload, Arc::downgrade(&queue));
        queue
    }
}

impl UploadLock {
    /// Waits until the request has to end: another one wants to go on, and no bytes came for a while since this was called, or
    /// it took them for long enough.
    pub(super) async fn gives_way(&mut self) {
        self.is_wanted().await;
        let now = Instant::now();
        let wanted_at = *self.wanted_at.get_or_insert(now);
        sleep_until((now + SILENCE).min(wanted_at + LONGEST_STAY)).await;
    }

    async fn is_wanted(&mut self) {
        let number = self.number;
        // The sender lives as long as this lock does.
        self.came.wait_for(|came| *came > number).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn who_comes_later_is_waited_for_and_what_does_not_end_is_busy() {
        let mut locks = UploadLocks::default();
        let [upload, another] = [1, 2].map(|n| UploadId::new(Uuid::from_u128(n)));
        let mut first = locks.take(upload).await.unwrap();
        assert!(poll!(pin!(first.is_wanted())).is_pending());
        let ends = async {
            first.is_wanted().await;
            assert!(
                poll!(pin!(first.gives_way())).is_pending(),
                "what is on its way comes"
            );
            first.gives_way().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(locks.take(upload), ends);
        let second = second.unwrap();
        locks.patience = Duration::from_millis(1);
        assert!(matches!(locks.take(upload).await, Err(AppError::UploadBusy)));
        assert!(locks.take(another).await.is_ok());
        assert!(matches!(locks.take(upload).await, Err(AppError::UploadBusy)));
        drop(second);
        assert!(locks.take(upload).await.is_ok());
        assert_eq!(locks.queues.lock().unwrap().len(), 1, "what ended is forgotten");
    }
}
