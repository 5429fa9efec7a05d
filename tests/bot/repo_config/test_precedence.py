"""Operator, organization, repository: a lower level may only tighten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.records import Permission
from bot.repo_config.keys import PERMISSIONS
from bot.repo_config.precedence import Ceiling, EffectiveConfig, combine
from bot.repo_config.repository_config import RepositoryConfig
from pipeline.classify.overlay import NO_OVERLAY, Overlay

Config = RepositoryConfig

BOOLEANS = st.one_of(st.none(), st.booleans())
LISTS = st.one_of(st.none(), st.lists(st.sampled_from("abc"), max_size=3, unique=True).map(tuple))
MODELS = st.sampled_from(["a/small", "a/large", "b/other"])
CONFIGS = st.builds(
    Config,
    bug_labels=LISTS,
    fix_patterns=LISTS,
    exclude=LISTS,
    permission=st.one_of(st.none(), st.sampled_from(PERMISSIONS)),
    finetune_enabled=BOOLEANS,
    finetune_base_model=st.one_of(st.none(), MODELS),
    finetune_max_minutes=st.one_of(st.none(), st.integers(1, 9)),
    quiet=BOOLEANS,
    publish_ranking=BOOLEANS,
    share_outcomes=BOOLEANS,
)
CEILINGS = st.builds(
    Ceiling,
    permission=st.sampled_from(PERMISSIONS),
    finetune=st.booleans(),
    base_models=st.lists(MODELS, max_size=2, unique=True).map(tuple),
    max_minutes=st.one_of(st.none(), st.integers(1, 9)),
    quiet=st.booleans(),
    publish_ranking=st.booleans(),
    share_outcomes=st.booleans(),
)


def rank(permission: Permission) -> int:
    return PERMISSIONS.index(permission)


@given(CEILINGS, CONFIGS, CONFIGS)
def test_the_result_is_never_looser_than_any_higher_level(ceiling: Ceiling, above: Config, below: Config) -> None:
    found, without = combine(ceiling, above, below), combine(ceiling, above)
    assert rank(found.permission) >= rank(ceiling.permission)
    assert above.permission is None or rank(found.permission) >= rank(without.permission) >= rank(above.permission)
    assert found.finetune <= without.finetune <= ceiling.finetune
    assert not (found.finetune and above.finetune_enabled is False)
    assert found.base_model is None or not ceiling.base_models or found.base_model in ceiling.base_models
    assert without.base_model in (None, found.base_model)
    for most in (ceiling.max_minutes, above.finetune_max_minutes):
        assert most is None or (found.max_minutes is not None and found.max_minutes <= most)
    assert found.quiet >= without.quiet >= ceiling.quiet
    assert not (found.publish_ranking and above.publish_ranking is False)
    assert found.share_outcomes <= without.share_outcomes <= ceiling.share_outcomes


@given(CEILINGS, CONFIGS, CONFIGS)
def test_exactly_what_does_not_apply_is_reported(ceiling: Ceiling, above: Config, below: Config) -> None:
    found = combine(ceiling, above, below)
    overruled = {(o.level, o.key) for o in found.overruled}
    assert len(overruled) == len(found.overruled)
    assert (("repository", "permission") in overruled) == (
        below.permission is not None and below.permission != found.permission
    )
    assert (("repository", "finetune.max_minutes") in overruled) == (
        below.finetune_max_minutes is not None and below.finetune_max_minutes != found.max_minutes
    )
    assert (("repository", "finetune.base_model") in overruled) == (
        below.finetune_base_model is not None and below.finetune_base_model != found.base_model
    )
    assert (("repository", "quiet") in overruled) == (below.quiet is False and found.quiet)
    assert (("repository", "share_outcomes") in overruled) == bool(below.share_outcomes and not found.share_outcomes)


@given(CEILINGS, CONFIGS)
def test_an_empty_file_changes_nothing(ceiling: Ceiling, config: Config) -> None:
    from_above, from_below = combine(ceiling, config, Config()), combine(ceiling, Config(), config)
    assert (from_above.overlay, from_above.permission, from_above.max_minutes, from_above.base_model) == (
        (from_below.overlay, from_below.permission, from_below.max_minutes, from_below.base_model)
    )


@given(CEILINGS, CONFIGS, CONFIGS)
def test_each_list_is_the_repositorys_or_else_the_organizations(ceiling: Ceiling, above: Config, below: Config) -> None:
    found = combine(ceiling, above, below).overlay
    assert found.bug_labels == (above if below.bug_labels is None else below).bug_labels
    assert found.exclude == ((above if below.exclude is None else below).exclude or ())


def test_the_defaults_apply_if_nothing_is_set() -> None:
    assert combine(Ceiling()) == EffectiveConfig(
        overlay=NO_OVERLAY,
        permission="maintain",
        finetune=True,
        base_model=None,
        max_minutes=None,
        quiet=False,
        publish_ranking=False,
        share_outcomes=False,
    )


def test_a_repository_may_require_less_than_the_default_if_the_operator_allows_it() -> None:
    assert combine(Ceiling(), repository=Config(permission="write")).permission == "write"
    strict = combine(Ceiling(permission="maintain"), repository=Config(permission="write"))
    assert strict.permission == "maintain"
    assert [str(o) for o in strict.overruled] == [
        "permission in the repository's configuration: write is weaker than maintain, which a higher level requires: "
        "maintain applies"
    ]


def test_an_empty_list_of_the_repository_replaces_the_organizations() -> None:
    found = combine(Ceiling(), Config(fix_patterns=("^BUG",), exclude=("a",)), Config(fix_patterns=()))
    assert found.overlay == Overlay(exclude=("a",))


def test_a_ranking_is_published_if_one_level_wants_it_and_neither_file_forbids_it(subtests: pytest.Subtests) -> None:
    cases: list[tuple[bool, bool | None, bool | None, bool]] = [
        (False, None, None, False),
        (True, None, None, True),
        (False, None, True, True),
        (False, True, None, True),
        (True, None, False, False),
        (True, False, True, False),
        (False, True, False, False),
    ]
    for operator, organization, repository, published in cases:
        with subtests.test(operator=operator, organization=organization, repository=repository, published=published):
            found = combine(
                Ceiling(publish_ranking=operator),
                Config(publish_ranking=organization),
                Config(publish_ranking=repository),
            )
            assert found.publish_ranking is published


def test_only_the_organization_can_enable_sharing_and_a_repository_can_opt_out(subtests: pytest.Subtests) -> None:
    cases: list[tuple[bool, bool | None, bool | None, bool, list[str]]] = [
        (True, None, None, False, []),
        (True, True, None, True, []),
        (True, True, True, True, []),
        (True, True, False, False, []),
        (True, None, True, False, ["repository"]),
        (True, False, True, False, ["repository"]),
        (False, True, None, False, ["organization"]),
        (False, True, True, False, ["organization", "repository"]),
        (False, None, False, False, []),
    ]
    for operator, organization, repository, shares, told in cases:
        with subtests.test(
            operator=operator, organization=organization, repository=repository, shares=shares, told=told
        ):
            found = combine(
                Ceiling(share_outcomes=operator), Config(share_outcomes=organization), Config(share_outcomes=repository)
            )
            assert found.share_outcomes is shares
            assert [overruled.level for overruled in found.overruled] == told


def test_a_model_named_above_is_the_only_one_below() -> None:
    ceiling = Ceiling(base_models=("a/small", "a/large"))
    found = combine(ceiling, Config(finetune_base_model="a/small"), Config(finetune_base_model="a/large"))
    assert found.base_model == "a/small"
    assert [o.key for o in found.overruled] == ["finetune.base_model"]
