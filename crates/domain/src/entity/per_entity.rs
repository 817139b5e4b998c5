//! One value for each entity type, and some of the types.

use super::EntityType;

/// One value per entity type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerEntity<T>([T; EntityType::ALL.len()]);

impl<T> PerEntity<T> {
    /// One value for each type.
    pub fn from_fn(mut value: impl FnMut(EntityType) -> T) -> Self {
        Self(EntityType::ALL.map(&mut value))
    }

    /// The pairs, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (EntityType, &T)> {
        EntityType::ALL.into_iter().zip(&self.0)
    }

    /// The pairs, parents first, the values given away.
    pub fn into_pairs(self) -> impl Iterator<Item = (EntityType, T)> {
        EntityType::ALL.into_iter().zip(self.0)
    }

    /// The same shape with other values.
    pub fn map<U>(self, mut value: impl FnMut(EntityType, T) -> U) -> PerEntity<U> {
        let mut entities = EntityType::ALL.into_iter();
        PerEntity(self.0.map(|old| {
            let entity = entities.next().unwrap_or(EntityType::ALL[0]);
            value(entity, old)
        }))
    }
}

impl<T> std::ops::Index<EntityType> for PerEntity<T> {
    type Output = T;
    fn index(&self, entity: EntityType) -> &T {
        &self.0[entity.index()]
    }
}

impl<T> std::ops::IndexMut<EntityType> for PerEntity<T> {
    fn index_mut(&mut self, entity: EntityType) -> &mut T {
        &mut self.0[entity.index()]
    }
}

/// Some of the entity types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntitySet(u32);

impl EntitySet {
    /// No type.
    pub const NONE: Self = Self(0);

    /// Every type.
    pub fn all() -> Self {
        EntityType::ALL.into_iter().collect()
    }

    /// Whether the type is one of them.
    pub const fn contains(self, entity: EntityType) -> bool {
        self.0 & (1 << entity.index()) != 0
    }

    /// Adds a type.
    pub fn insert(&mut self, entity: EntityType) {
        self.0 |= 1 << entity.index();
    }

    /// Whether it has no type.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The types, parents first.
    pub fn iter(self) -> impl Iterator<Item = EntityType> {
        EntityType::ALL
            .into_iter()
            .filter(move |entity| self.contains(*entity))
    }
}

impl FromIterator<EntityType> for EntitySet {
    fn from_iter<I: IntoIterator<Item = EntityType>>(entities: I) -> Self {
        let mut set = Self::NONE;
        entities.into_iter().for_each(|entity| set.insert(entity));
        set
    }
}
