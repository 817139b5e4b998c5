//! The devices of a user: what they were served, when they were there, and forgetting one (D1, D2).

use std::collections::BTreeMap;
use std::sync::Arc;

use mosaic_domain::activity::{ActivityKind, Doer, Origin};
use mosaic_domain::text::DisplayName;
use mosaic_domain::{ClientId, Cursor, EntityType, Stamp, UnixMillis, UserId};
use mosaic_ports::{ChangeFeed, Clock, DeviceCursors, RecordReader, RefreshTokens, SyncDigest};

use crate::activity::Trail;
use crate::error::{AppError, Unauthenticated};

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name for itself.
    pub client: ClientId,
    /// What its user calls it.
    pub name: Option<DisplayName>,
    /// Up to where it was served, per type.
    pub cursors: BTreeMap<EntityType, Cursor>,
    /// Its last pull that brought something.
    pub last_pulled_at: Option<UnixMillis>,
    /// When it was there last, as far as the server knows: its last pull that brought something, or the last time that its
    /// login was renewed.
    pub last_seen_at: Option<UnixMillis>,
    /// Whether it has a login that works.
    pub signed_in: bool,
    /// How far behind it is, in milliseconds of the user's history: the user's clock less its oldest cursor. Zero at rest.
    /// `None` where it never pulled every type.
    pub behind_ms: Option<i64>,
}

/// Lists and forgets devices, and tells what they should hold.
#[derive(Clone)]
pub struct Devices {
    cursors: Arc<dyn DeviceCursors>,
    tokens: Arc<dyn RefreshTokens>,
    feed: Arc<dyn ChangeFeed>,
    reader: Arc<dyn RecordReader>,
    clock: Arc<dyn Clock>,
    trail: Trail,
}

impl Devices {
    /// Devices over these ports.
    pub fn new(
        cursors: Arc<dyn DeviceCursors>,
        tokens: Arc<dyn RefreshTokens>,
        feed: Arc<dyn ChangeFeed>,
        reader: Arc<dyn RecordReader>,
        clock: Arc<dyn Clock>,
        trail: Trail,
    ) -> Self {
        Self {
            cursors,
            tokens,
            feed,
            reader,
            clock,
            trail,
        }
    }

    /// The same devices, for what is asked for from there.
    #[must_use]
    pub fn asked_from(&self, origin: Origin) -> Self {
        Self {
            trail: self.trail.asked_from(origin),
            ..self.clone()
        }
    }

    /// Every device that pulled or is logged in, the one that was there last first.
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`] where the account is gone, or a store's error.
    pub async fn list(&self, user: UserId) -> Result<Vec<Device>, AppError> {
        let now = self.clock.now();
        let clock = self.feed.clock(user, None).await??;
        let mut devices: BTreeMap<ClientId, Device> = BTreeMap::new();
        for row in self.cursors.cursors(user).await? {
            let device = entry(&mut devices, row.client);
            device.cursors.insert(row.entity_type, row.last_sync_at);
            device.last_pulled_at = device.last_pulled_at.max(Some(row.served_at));
            device.last_seen_at = device.last_pulled_at;
        }
        for login in self.tokens.logins(user, now).await? {
            let device = entry(&mut devices, login.client);
            device.signed_in = true;
            if device.name.is_none() {
                device.name = login.device_name;
            }
            device.last_seen_at = device.last_seen_at.max(Some(login.issued_at));
        }
        let mut devices: Vec<Device> = devices.into_values().collect();
        for device in &mut devices {
            device.behind_ms = behind(device, clock);
        }
        devices.sort_by(|a, b| (b.last_seen_at, &a.client).cmp(&(a.last_seen_at, &b.client)));
        Ok(devices)
    }

    /// Forgets a device and ends its logins (D2): their tokens stop working at once, on every instance.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where the user has no such device.
    pub async fn forget(&self, user: UserId, client: &ClientId) -> Result<(), AppError> {
        let (this, client) = (self.clone(), client.clone());
        let work = async move {
            // The logins first: a device that is forgotten half-way can be forgotten again.
            let ended = this.tokens.end_client(user, &client).await?;
            let known = this.cursors.forget(user, &client).await?;
            if !known && ended.is_empty() {
                return Err(AppError::NotFound);
            }
            let (kind, by) = (ActivityKind::DeviceForgotten, Doer::User(user));
            this.trail.note(user, kind, by, Some(client.as_str())).await;
            Ok(())
        };
        crate::joined(tokio::spawn(work).await)
    }

    /// What the user's records come to.
    ///
    /// # Errors
    /// [`Unauthenticated::LoginEnded`] where the account is gone, or a store's error.
    pub async fn digest(&self, user: UserId) -> Result<SyncDigest, AppError> {
        let digest = self.reader.digest(user).await?;
        Ok(digest.ok_or(Unauthenticated::LoginEnded)?)
    }
}

fn entry(devices: &mut BTreeMap<ClientId, Device>, client: ClientId) -> &mut Device {
    devices.entry(client.clone()).or_insert_with(|| Device {
        client,
        name: None,
        cursors: BTreeMap::new(),
        last_pulled_at: None,
        last_seen_at: None,
        signed_in: false,
        behind_ms: None,
    })
}

fn behind(device: &Device, clock: Stamp) -> Option<i64> {
    let cursors = EntityType::ALL.map(|entity| device.cursors.get(&entity));
    let oldest = cursors
        .into_iter()
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .min()?;
    Some((clock.get() - oldest.get()).max(0))
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Devices")
    }
}
