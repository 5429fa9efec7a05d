"""Repositories, their branches, commits, files and the roles of people in them."""

from __future__ import annotations

from tests.simulator import answers, git_facts
from tests.simulator.messages import Answer, Call, Refused
from tests.simulator.routes_app import paging

_LONGEST_INLINE_FILE = 1_048_576  # bytes; of a larger file the API gives no content


def list_repositories(call: Call) -> Answer:
    token, installation = call.actor.token, call.actor.installation
    assert token is not None
    assert installation is not None
    found = [repo for repo in installation.repositories if token.reaches(repo)]
    everything = installation.selected is None and token.repository_ids is None
    shown = {
        "total_count": len(found),
        "repository_selection": "all" if everything else "selected",
        "repositories": [answers.repository(repo) for repo in call.page(found)],
    }
    return Answer(200, shown, paging(call, "/installation/repositories", len(found)))


def show_repository(call: Call) -> Answer:
    return Answer(200, answers.repository(call.repository))


def show_branch(call: Call) -> Answer:
    name = call.values["branch"]
    sha = call.repository.head(name)
    if sha is None:
        raise Refused(404, "Branch not found")
    return Answer(200, answers.branch(call.repository, name, sha))


def show_commit(call: Call) -> Answer:
    sha = commit_of(call, call.values["ref"])
    if "application/vnd.github.sha" in call.accept or "application/vnd.github.v3.sha" in call.accept:
        return Answer(200, sha.encode(), {"content-type": "application/vnd.github.sha; charset=utf-8"})
    return Answer(200, answers.commit(call.repository, sha))


def show_file(call: Call) -> Answer:
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
        return Answer(200, content, {"content-type": "application/vnd.github.raw; charset=utf-8"})
    shown = answers.content_file(repo, sha, path, blob_id, content)
    if len(content) > _LONGEST_INLINE_FILE:
        shown.update(content="", encoding="none")
    return Answer(200, shown)


def show_role(call: Call) -> Answer:
    person = call.github.accounts.get(call.values["username"].lower())
    if person is None:
        raise Refused(404, f"{call.values['username']} is not a user")
    return Answer(200, answers.role(call.repository, person))


def commit_of(call: Call, ref: str) -> str:
    """Raises Refused: 409 of an empty repository, 422 of a ref that is none."""
    repo = call.repository
    if repo.is_empty:
        raise Refused(409, "Git Repository is empty.")
    sha = git_facts.resolve(repo.git_dir, ref)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {ref}", errors=[])
    return sha
