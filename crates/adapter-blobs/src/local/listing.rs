//! Which blobs there are, in order, a folder at a time.

use std::collections::BinaryHeap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mosaic_domain::UserId;
use mosaic_ports::{BlobError, BlobInfo, BlobName};
use uuid::Uuid;

use super::error::failed;
use super::{info, shard_of};
use crate::name::parse_uuid;

/// The blobs after one, at most `limit`. Whatever else lies in the folders is passed over.
///
/// In memory are the users, the folders of one of them, and at most `limit` names of one folder.
pub(crate) fn list(root: &Path, after: Option<BlobName>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
    let mut listed = Vec::new();
    let from_user = after.map(|after| after.user.uuid());
    let mut users = names_in(root, parse_uuid)?;
    users.retain(|user| from_user.is_none_or(|from| *user >= from));
    users.sort_unstable();
    for user in users {
        let user = UserId::new(user);
        let after = after.filter(|after| after.user == user).map(|after| after.id);
        let dir = root.join(user.to_string());
        list_user(&dir, user, after, limit, &mut listed)?;
        if listed.len() >= limit {
            break;
        }
    }
    Ok(listed)
}

fn list_user(
    dir: &Path,
    user: UserId,
    mut after: Option<Uuid>,
    limit: usize,
    listed: &mut Vec<BlobInfo>,
) -> Result<(), BlobError> {
    let from_shard = after.map(shard_of);
    let mut shards = names_in(dir, |name| is_shard(name).then(|| name.to_owned()))?;
    shards.retain(|shard| from_shard.as_ref().is_none_or(|from| shard >= from));
    shards.sort_unstable();
    for shard in shards {
        let dir = dir.join(&shard);
        loop {
            let wanted = limit - listed.len();
            if wanted == 0 {
                return Ok(());
            }
            let ids = first_ids(&dir, &shard, after, wanted)?;
            for id in &ids {
                listed.extend(look_at(&dir, BlobName { user, id: *id })?);
            }
            // A full batch from which something was removed meanwhile leaves room for what comes after it.
            after = ids.last().copied().or(after);
            if ids.len() < wanted {
                break;
            }
        }
    }
    Ok(())
}

/// The first ids after one, in order, at most `wanted`.
fn first_ids(dir: &Path, shard: &str, after: Option<Uuid>, wanted: usize) -> Result<Vec<Uuid>, BlobError> {
    let mut first = BinaryHeap::new();
    visit(dir, |name| {
        let id = parse_uuid(name)
            .filter(|id| shard_of(*id) == shard)
            .filter(|id| after.is_none_or(|after| *id > after));
        if let Some(id) = id {
            first.push(id);
            if first.len() > wanted {
                first.pop();
            }
        }
    })?;
    Ok(first.into_sorted_vec())
}

fn look_at(dir: &Path, name: BlobName) -> Result<Option<BlobInfo>, BlobError> {
    let path: PathBuf = dir.join(name.id.to_string());
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(Some(info(name, &found).map_err(failed("look at", &path))?)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", &path)(error)),
    }
}

fn names_in<T>(dir: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, BlobError> {
    let mut names = Vec::new();
    visit(dir, |name| names.extend(parse(name)))?;
    Ok(names)
}

/// Shows every name in a folder. One that is no folder, or no longer there, has none.
fn visit(dir: &Path, mut visit: impl FnMut(&str)) -> Result<(), BlobError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(failed("read", dir)(error)),
    };
    for entry in entries {
        let name = entry.map_err(failed("read", dir))?.file_name();
        if let Some(name) = name.to_str() {
            visit(name);
        }
    }
    Ok(())
}

fn is_shard(name: &str) -> bool {
    name.len() == 4
        && name
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}
