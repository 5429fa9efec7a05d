"""Operations on repositories, branches, commits, files and roles."""

from __future__ import annotations

from tests.simulator import git_facts, responses
from tests.simulator.messages import Call, Refused, Response
from tests.simulator.routes_app import paging

_MAX_INLINE_FILE_BYTES = 1_048_576  # bytes; of a larger file the API gives no content


def list_repositories(call: Call) -> Response:
    token, installation = call.actor.token, call.actor.installation
    assert token is not None
    assert installation is not None
    found = [repo for repo in installation.repositories if token.reaches(repo)]
    everything = installation.selected is None and token.repository_ids is None
    shown = {
        "total_count": len(found),
        "repository_selection": "all" if everything else "selected",
        "repositories": [responses.repository(repo) for repo in call.page(found)],
    }
    return Response(200, shown, paging(call, "/installation/repositories", len(found)))


def get_repository(call: Call) -> Response:
    return Response(200, responses.repository(call.repository))


def get_branch(call: Call) -> Response:
    name = call.values["branch"]
    sha = call.repository.head(name)
    if sha is None:
        raise Refused(404, "Branch not found")
    return Response(200, responses.branch(call.repository, name, sha))


def get_commit(call: Call) -> Response:
    sha = commit_of(call, call.values["ref"])
    if "application/vnd.github.sha" in call.accept or "application/vnd.github.v3.sha" in call.accept:
        return Response(200, sha.encode(), {"content-type": "application/vnd.github.sha; charset=utf-8"})
    return Response(200, responses.commit(call.repository, sha))


def get_file(call: Call) -> Response:
    repo, path = call.repository, call.values["path"]
    if repo.is_empty:
        raise Refused(404, "This repository is empty.")
    sha = git_facts.resolve(repo.git_dir, call.query.get("ref", repo.default_branch))
    if sha is None:
        raise Refused(404, f"No commit found for the ref {call.query.get('ref')}")
    found = git_facts.read_path(repo.git_dir, sha, path)
    if found is None:
        raise Refused(404, "Not Found")
    blob_id, content = found
    if "application/vnd.github.raw" in call.accept:
        return Response(200, content, {"content-type": "application/vnd.github.raw; charset=utf-8"})
    shown = responses.content_file(repo, sha, path, blob_id, content)
    if len(content) > _MAX_INLINE_FILE_BYTES:
        shown.update(content="", encoding="none")
    return Response(200, shown)


def get_role(call: Call) -> Response:
    person = call.github.accounts.get(call.values["username"].lower())
    if person is None:
        raise Refused(404, f"{call.values['username']} is not a user")
    return Response(200, responses.role(call.repository, person))


def commit_of(call: Call, ref: str) -> str:
    """Resolve a ref. Raises Refused: 409 for an empty repository, 422 for an unknown ref."""
    repo = call.repository
    if repo.is_empty:
        raise Refused(409, "Git Repository is empty.")
    sha = git_facts.resolve(repo.git_dir, ref)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {ref}", errors=[])
    return sha
