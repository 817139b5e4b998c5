"""What Schemathesis can't know by itself: how to log in, how the bytes of an upload are sent, and what is listed in expected.txt."""

import base64
import json
import os
import uuid
from pathlib import Path

import requests
import schemathesis

BASE = os.environ["MOSAIC_URL"]
PASSWORD = os.environ["MOSAIC_ADMIN_PASSWORD"]
# Where the operations that succeeded are written down.
SUCCEEDED = os.environ["MOSAIC_SUCCEEDED"]
HERE = Path(__file__).parent


class Account:
    """The administrator that everything is done as, whose name may change on the way."""

    def __init__(self):
        self.name = "admin"
        self.log_in()

    def log_in(self):
        login = {"username": self.name, "password": PASSWORD}
        answer = requests.post(f"{BASE}/auth/login", json=login, timeout=30)
        answer.raise_for_status()
        self.token = answer.json()["accessToken"]
        self.id = answer.json()["user"]["id"]
        return answer.json()["refreshToken"]


ACCOUNT = Account()


@schemathesis.auth(refresh_interval=None)
class Login:
    def get(self, case, ctx):
        return ACCOUNT.token

    def set(self, case, data, ctx):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.serializer("application/offset+octet-stream")
def as_bytes(ctx, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


def ask(method, path, headers=(), **content):
    def answer():
        with_token = {"Authorization": f"Bearer {ACCOUNT.token}", **dict(headers)}
        return requests.request(method, f"{BASE}{path}", headers=with_token, timeout=30, **content)

    answered = answer()
    if answered.status_code == 401:
        # The request before ended the login.
        ACCOUNT.log_in()
        answered = answer()
    answered.raise_for_status()
    return answered


def with_history(path, before, after):
    """A record that has been changed once."""
    record = ask("POST", path, json=before).json()
    name = "date" if "date" in record else "id"
    one = path if name == "date" else f"{path}/{record['id']}"
    ask("PUT", one, json=after)
    return {name: record[name], "revision": ask("GET", f"{one}/revisions").json()[0]["id"]}


def picture():
    png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
    return {"id": ask("POST", "/resources/upload", files={"file": ("dot.png", png)}).json()["id"]}


def upload():
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000000", "Upload-Metadata": "filename Zg=="}
    return {"id": ask("POST", "/uploads", tus).headers["Location"].rsplit("/", 1)[-1]}


def user():
    somebody = {"username": f"user-{uuid.uuid4()}", "password": PASSWORD}
    return {"id": ask("POST", "/admin/users", json=somebody).json()["id"]}


def invite():
    return ask("POST", "/admin/invites", json={}).json()


HISTORIES = {
    "Memo": with_history("/memos", {"content": "a"}, {"content": "b", "tags": ["c"]}),
    "Diary": with_history("/diaries/2026-05-16", {"summary": "a"}, {"summary": "b"}),
    "Resource": with_history("/resources", {"filename": "a", "fileSize": 0}, {"filename": "b"}),
    "Bot": with_history("/bots", {"name": "a"}, {"name": "b"}),
}
PICTURE = picture()
# The path parameters that positive requests get: ids that are made up find nothing.
FOUND = {
    **dict.fromkeys(("showUpload", "continueUpload", "continueUploadByPost", "endUpload"), upload),
    **dict.fromkeys(("changeUser", "removeUser"), user),
    "revokeInvite": lambda: {"id": invite()["invite"]["id"]},
    **dict.fromkeys(("downloadResource", "resourceThumbnail"), lambda: PICTURE),
    **{f"get{entity}Revision": lambda one=one: one for entity, one in HISTORIES.items()},
    **{f"restore{entity}Revision": lambda one=one: one for entity, one in HISTORIES.items()},
}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    operation = operation_of(case)
    if case.meta.generation.mode.is_positive:
        case.path_parameters.update(FOUND.get(operation, dict)())
        if operation in ("continueUpload", "continueUploadByPost"):
            case.headers["Upload-Offset"] = "0"
        elif operation == "createUser":
            # The names that Schemathesis makes up first are those of `register`.
            case.body["username"] = f"user-{uuid.uuid4()}"
        elif operation == "acceptInvite":
            case.body.update(username=f"user-{uuid.uuid4()}", secret=invite()["secret"])
        elif operation == "login":
            case.body.update(username=ACCOUNT.name, password=PASSWORD)
        elif operation == "changePassword":
            case.body.update(oldPassword=PASSWORD, newPassword=PASSWORD)
        elif operation == "refresh":
            case.body["refreshToken"] = ACCOUNT.log_in()
    if operation in ("changeUser", "removeUser") and case.path_parameters.get("id") == ACCOUNT.id:
        # The account that everything is done as is still needed.
        case.path_parameters["id"] = str(uuid.UUID(int=0))


# The operations that have succeeded, and of each record the case whose answer was the first to show it.
DONE = set()
FIRST_SHOWN = {}


@schemathesis.hook
def after_call(ctx, case, response):
    body = body_of(response)
    if response.status_code < 300:
        note_success(operation_of(case))
        for key in keys_of(body):
            FIRST_SHOWN.setdefault(key, case.id)
    if body.get("code") == "login_ended":
        # A device that a pull named as its own was forgotten: its login has ended with it.
        ACCOUNT.log_in()
    elif (case.method.upper(), case.path, response.status_code) == ("PUT", "/auth/update-user", 200):
        ACCOUNT.name = body["username"]


@schemathesis.check
def every_code_is_listed(ctx, response, case):
    """Apps go by the codes that the answers of an operation list, or that any may have."""
    code = body_of(response).get("code")
    if response.status_code >= 400 and code:
        listed = case.operation.definition.raw["responses"].get(str(response.status_code), {}).get("description", "")
        anywhere = case.operation.schema.raw_schema["components"]["responses"]["AnyProblem"]["description"]
        assert f"`{code}`" in listed + anywhere, f"{code} is not in the answers of {operation_of(case)}"


def note_success(operation):
    if operation not in DONE:
        DONE.add(operation)
        with open(SUCCEEDED, "a", encoding="utf-8") as file:
            file.write(f"{operation}\n")


def keys_of(body):
    """The keys of the records that an answer shows."""
    results = body.get("results")
    pushed = [result for of_type in results.values() for result in of_type] if isinstance(results, dict) else []
    return [record["id"] for record in (body, *pushed) if "id" in record]


def expected():
    """The lines of expected.txt: which failure of which operations, answered with which code, is right."""
    for line in (HERE / "expected.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            failure, code, operations, _reason = (part.strip() for part in line.split("|"))
            for operation in operations.split(","):
                yield failure, code, operation.strip()


EXPECTED = frozenset(expected())


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    def is_expected(code):
        return any((type(failure).__name__, code, name) in EXPECTED for name in (operation_of(case), "*"))

    problems = problems_of(response)
    return not (any(map(is_expected, circumstances(case, response))) or problems and all(map(is_expected, problems)))


def problems_of(response):
    """The codes of what is wrong: of each field where it is fields, and the status where there is no body to say it."""
    body = body_of(response)
    if response.status_code >= 400 and not response.content:
        return [str(response.status_code)]
    if body.get("code") == "validation_failed":
        return [error["code"] for error in body["errors"]]
    return [body["code"]] if "code" in body else []


def circumstances(case, response):
    """What explains an answer besides its code: see expected.txt."""
    if "x-schemathesis-unknown-property" in response.request.headers:
        yield "unknown_header"
    body = body_of(response)
    results = body.get("results")
    if isinstance(results, dict) and any(
        result["outcome"] == "rejected" for of_type in results.values() for result in of_type
    ):
        yield "rejected"
    if FIRST_SHOWN.get(body.get("id"), case.id) != case.id:
        yield "stored"
    if response.request.headers.get("X-HTTP-Method-Override") in ("HEAD", "DELETE") and response.status_code < 300:
        yield "overridden"


def operation_of(case):
    return case.operation.definition.raw["operationId"]


def body_of(response):
    """The JSON object that was answered, or an empty one."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}
