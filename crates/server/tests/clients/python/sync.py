"""A device of somebody's, with the client that openapi-python-client makes of the document: mypy checks it strictly."""

import datetime
import os
import time
from uuid import UUID

from mosaic_client import AuthenticatedClient, Client
from mosaic_client.api.auth import login
from mosaic_client.api.memos import edit_memo, list_memo_revisions, list_memos
from mosaic_client.api.sync import pull, push
from mosaic_client.models import (
    Bot,
    Cursors,
    DeletedMemo,
    EditMemo,
    KeptObject,
    Login,
    LoginBody,
    Memo,
    MemoEdits,
    MemoPushResult,
    MemoTombstone,
    MemoWithResources,
    MemoWithResourcesPage,
    BotEdits,
    Problem,
    PullRequest,
    PullResponse,
    PushChanges,
    PushOutcome,
    PushRequest,
    PushResponse,
    PushedBot,
    PushedMemo,
)

URL = os.environ["MOSAIC_URL"]
PASSWORD = os.environ["MOSAIC_ADMIN_PASSWORD"]
DEVICE = "python"
ID, BOT_ID = UUID("0198f3a2-7b1c-7def-8000-000000000003"), UUID("0198f3a2-7b1c-7def-8000-000000000004")
NOW = int(time.time() * 1000)

anonymous = Client(base_url=URL)
stranger = AuthenticatedClient(base_url=URL, token="nobody's")
refused = pull.sync(client=stranger, body=PullRequest(client_id=DEVICE))
assert isinstance(refused, Problem) and refused.status == 401 and refused.code == "invalid_token", refused

logged_in = login.sync(client=anonymous, body=LoginBody(username="admin", password=PASSWORD, client_id=DEVICE))
assert isinstance(logged_in, Login), logged_in
client = AuthenticatedClient(base_url=URL, token=logged_in.access_token)

# What the device holds.
memos: dict[UUID, Memo] = {}
bots: dict[UUID, Bot] = {}


def pull_all() -> None:
    cursors, more = Cursors(), True
    while more:
        page = pull.sync(client=client, body=PullRequest(client_id=DEVICE, cursors=cursors))
        assert isinstance(page, PullResponse), page
        if page.changes.memo:
            memos.update({memo.id: memo for memo in page.changes.memo.updated})
        if page.changes.bot:
            bots.update({bot.id: bot for bot in page.changes.bot.updated})
        cursors = page.cursors
        more = any(page.has_more.to_dict().values())


def send(changes: PushChanges) -> PushResponse:
    answer = push.sync(client=client, body=PushRequest(client_id=DEVICE, changes=changes))
    assert isinstance(answer, PushResponse), answer
    return answer


def send_memo(memo: PushedMemo) -> MemoPushResult:
    results = send(PushChanges(memo=MemoEdits(updated=[memo]))).results.memo
    assert results, "an outcome"
    return results[0]


settings = KeptObject.from_dict({"temperature": 0.5, "stop": ["a", None], "nested": {"deep": [1]}})
bot = send(PushChanges(bot=BotEdits(updated=[PushedBot(id=BOT_ID, name="Ada", ai_config=settings)]))).results.bot
assert bot and bot[0].outcome == PushOutcome.APPLIED, bot
day = datetime.date(2026, 5, 16)
first = send_memo(PushedMemo(id=ID, content="first", diary_date=day, tags=["a"], updated_at=NOW - 5000))
assert first.outcome == PushOutcome.APPLIED, first

pull_all()
assert memos[ID].diary_date == day, memos
kept = bots[BOT_ID].ai_config
assert isinstance(kept, KeptObject) and kept["stop"] == ["a", None] and kept["nested"] == {"deep": [1]}, kept

# A field is cleared.
cleared = edit_memo.sync(ID, client=client, body=EditMemo(diary_date=None, updated_at=NOW - 4000))
assert isinstance(cleared, MemoWithResources) and cleared.diary_date is None, cleared

# An older edit loses, and is answered the winner.
lost = send_memo(PushedMemo(id=ID, content="late", updated_at=NOW - 9000))
assert lost.outcome == PushOutcome.SUPERSEDED and isinstance(lost.current, Memo), lost
assert lost.current.content == "first" and lost.current.diary_date is None, lost
problem = edit_memo.sync(ID, client=client, body=EditMemo(content="late", updated_at=NOW - 8000))
assert isinstance(problem, Problem) and problem.code == "superseded", problem
assert isinstance(problem.current, Memo) and problem.current.content == "first", problem

# What lost is kept, with its content.
revisions = list_memo_revisions.sync(ID, client=client)
assert isinstance(revisions, list) and "late" in [revision.content for revision in revisions], revisions

# A deleted memo wins as a tombstone.
send(PushChanges(memo=MemoEdits(deleted=[DeletedMemo(id=ID, updated_at=NOW - 1000)])))
gone = send_memo(PushedMemo(id=ID, content="late", updated_at=NOW - 2000)).current
assert isinstance(gone, MemoTombstone) and gone.is_deleted, gone

page = list_memos.sync(client=client, page_size=5)
assert isinstance(page, MemoWithResourcesPage) and ID not in [memo.id for memo in page.items], page
