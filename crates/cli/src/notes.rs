//! Notes: memos, as the protocol calls them.

use std::io::Write;

use mosaic_client::domain::entity::{Diary, Entity, Memo, Resource};
use mosaic_client::domain::text::Tags;
use mosaic_client::domain::{DiaryDate, MemoId, TimeZone};
use mosaic_client::{Client, Record, SyncState};

use crate::Failure;
use crate::arguments::What;
use crate::days::day_of;

/// How much of an id is shown: its end, which is random.
const SHOWN: usize = 8;

pub(crate) fn note(
    client: &Client,
    text: &str,
    tags: Vec<String>,
    day: Option<DiaryDate>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let memo = Memo {
        content: text.to_owned().try_into()?,
        tags: Tags::new(tags)?,
        diary_date: day,
        ..Memo::default()
    };
    let id = MemoId::new(client.new_id());
    client.put(id, &memo)?;
    Ok(writeln!(out, "{}", end_of(id))?)
}

pub(crate) fn edit(client: &Client, id: &str, text: &str) -> Result<(), Failure> {
    let memo: Record<Memo> = find(client, id)?;
    let content = text.to_owned().try_into()?;
    Ok(client.edit::<Memo>(memo.key, |memo| memo.content = content)?)
}

pub(crate) fn remove(client: &Client, id: &str) -> Result<(), Failure> {
    let memo: Record<Memo> = find(client, id)?;
    Ok(client.delete::<Memo>(memo.key)?)
}

pub(crate) fn show(client: &Client, id: &str, out: &mut impl Write) -> Result<(), Failure> {
    let memo: Record<Memo> = find(client, id)?;
    writeln!(out, "{}", memo.content.content.as_str())?;
    for file in client.list::<Resource>()? {
        if file.content.memo_id == Some(memo.key) {
            writeln!(out, "{}", line(&file, "", file.content.filename.as_str()))?;
        }
    }
    Ok(())
}

pub(crate) fn list(
    client: &Client,
    what: What,
    zone: &TimeZone,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match what {
        What::Notes => write_notes(&client.list()?, zone, out),
        What::Days => {
            let mut days = client.list::<Diary>()?;
            days.sort_by_key(|day| std::cmp::Reverse(day.key));
            for day in days {
                let Diary {
                    mood_key,
                    mood_score,
                    summary,
                    ..
                } = &day.content;
                let said = format!(
                    "{} {}: {}",
                    mood_key.name(),
                    mood_score.get(),
                    first_line(summary.as_str())
                );
                writeln!(out, "{}  {said}{}", day.key, mark(&day.sync))?;
            }
            Ok(())
        }
        What::Files => {
            for file in client.list::<Resource>()? {
                let size = format!("{} bytes", file.content.file_size.get());
                writeln!(out, "{}", line(&file, &size, file.content.filename.as_str()))?;
            }
            Ok(())
        }
    }
}

pub(crate) fn search(
    client: &Client,
    query: &str,
    zone: &TimeZone,
    out: &mut impl Write,
) -> Result<(), Failure> {
    write_notes(&client.search(query)?, zone, out)
}

fn write_notes(notes: &[Record<Memo>], zone: &TimeZone, out: &mut impl Write) -> Result<(), Failure> {
    for note in notes {
        let day = day_of(note.created_at, zone).map(|day| day.to_string());
        let mut said = first_line(note.content.content.as_str()).to_owned();
        for tag in note.content.tags.iter() {
            said.push_str(" #");
            said.push_str(tag);
        }
        writeln!(out, "{}", line(note, &day.unwrap_or_default(), &said))?;
    }
    Ok(())
}

fn line<E: Entity>(record: &Record<E>, beside: &str, said: &str) -> String {
    format!(
        "{}  {beside:10}  {said}{}",
        end_of(record.key),
        mark(&record.sync)
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn mark(sync: &SyncState) -> String {
    match sync {
        SyncState::Settled => String::new(),
        SyncState::Pending => "  (not synced)".to_owned(),
        SyncState::Rejected(problem) => format!("  (refused: {problem})"),
    }
}

/// The end of an id, by which it can be named.
pub(crate) fn end_of(id: impl std::fmt::Display) -> String {
    let id = id.to_string();
    id[id.len().saturating_sub(SHOWN)..].to_owned()
}

/// The record whose id ends like this.
pub(crate) fn find<E: Entity>(client: &Client, id: &str) -> Result<Record<E>, Failure> {
    let mut found = client.list::<E>()?;
    // Every id ends in nothing.
    found.retain(|record| !id.is_empty() && record.key.to_string().ends_with(&id.to_lowercase()));
    match (found.pop(), found.len()) {
        (Some(record), 0) => Ok(record),
        (last, others) => Err(Failure::NotOne {
            id: id.to_owned(),
            count: others + usize::from(last.is_some()),
        }),
    }
}
