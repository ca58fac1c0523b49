"""Reading rules: every fault is one line with file, line and what to do."""

from __future__ import annotations

import pytest
from cedarpy import Schema

from gateway.errors import PolicyError
from gateway.policy import default_directory
from gateway.policy.rules import CONSENTS, Part, read_rules, split_statements

TEXT = (default_directory() / "us_only.cedar").read_text("utf-8")
SCHEMA = Schema.from_str((default_directory() / "us_only.cedarschema").read_text("utf-8"))


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as caught:
        read_rules(text, SCHEMA, name="p.cedar")
    return caught.value.problems


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_shipped_rules_know_their_lines() -> None:
    """A rule's line is where its @id stands."""
    for rule in read_rules(TEXT, SCHEMA, name="p.cedar"):
        assert TEXT.splitlines()[rule.line - 1] == f'@id("{rule.id}")'


@pytest.mark.parametrize(
    ("was", "becomes", "expected"),
    [
        ('@id("no-plan")', "", "no @id; name the rule"),
        ('@id("no-plan")', '@id("no-plans")', "@id 'no-plans' is unknown; expected one of customer-own-data"),
        ('@clause("Special terms, consent 1")', "", "crm-account has no @clause; say where"),
        ("context.own_customer", "context.own_custommer", "does not fit the schema: attribute `own_custommer`"),
        ('context.location == "home"', 'context.location == "hme"', 'context.location is never "hme"; expected one of'),
        ('context.scope == "one"', 'context.scope == "home"', 'context.scope is never "home"; expected one of many'),
        ('context.data == "crm_account"', '["crm"].contains(context.data)', '"crm" is a value of no fact'),
        ('context.data == "crm_account"', '"crm" == "crm_account"', '"crm" is a value of no fact'),
        ("permit (principal is CustomerUser", "permit (principal is CustomUser", "does not fit the schema"),
        ("permit (principal is CustomerUser", "permitt (principal is CustomerUser", "not Cedar"),
        ("permit (principal is CustomerUser", "forbid (principal is CustomerUser", "is written as forbid"),
        ('principal is CustomerUser, action in Action::"access"', "principal is CustomerUser, action", "does not fit"),
        (
            'action == Action::"read", resource)\nwhen { context.data',
            "action, resource)\nwhen { context.data",
            "schema",
        ),
        ('action == Action::"oblige", resource)', 'action == Action::"explain", resource)', "is written as permit (…"),
        ("(principal is CustomerUser,", "(principal == ?principal,", "a template"),
    ],
)
def test_fault_is_told_with_its_line(was: str, becomes: str, expected: str) -> None:
    """What is wrong stands beside where the rule begins."""
    assert was in TEXT
    told = problems(TEXT.replace(was, becomes, 1))
    assert expected in told[0]
    assert told[0].startswith("p.cedar:")
    assert int(told[0].split(":")[1]) in range(line_of(TEXT, was) - 9, line_of(TEXT, was) + 2)


def test_head_without_an_action_is_refused() -> None:
    """A rule that would answer every question at once answers none."""
    told = problems('@id("role") @clause("x")\nforbid (principal, action, resource);')
    assert told == (
        'p.cedar:1: the head names no action; expected Action::"access" (or read, write, …), "explain" or "oblige"',
    )


def test_list_of_actions_is_understood() -> None:
    """A rule may name some of the actions; a mix of questions is refused."""
    good = TEXT.replace('action == Action::"write"', 'action in [Action::"write", Action::"delete"]')
    assert len(read_rules(good, SCHEMA, name="p.cedar")) == 18
    mixed = TEXT.replace('action == Action::"oblige"', 'action in [Action::"oblige", Action::"explain"]', 1)
    assert any("the head names no action" in problem for problem in problems(mixed))


def test_forbidding_explanation_is_refused() -> None:
    """Reasons and obligations are permits; a forbid there would hide them."""
    text = TEXT.replace(
        'permit (principal, action == Action::"explain"', 'forbid (principal, action == Action::"explain"'
    )
    assert len(problems(text)) == 3


def test_id_twice_is_refused() -> None:
    """One rule, one place."""
    again = TEXT + '\n@id("role") @clause("x")\nforbid (principal, action in Action::"access", resource);\n'
    line = again.count("\n") - 1
    assert problems(again) == (f"p.cedar:{line}: role stands here a second time; join its conditions with ||",)


def test_missing_rule_is_refused_unless_it_is_a_consent() -> None:
    """A plan may consent to less; it may not forget what denies."""
    without = {rule.id: TEXT.replace(rule.text, "") for rule in read_rules(TEXT, SCHEMA, name="p.cedar")}
    for name, text in without.items():
        if name in CONSENTS:
            assert len(read_rules(text, SCHEMA, name="p.cedar")) == 17
        else:
            assert problems(text) == (f"p.cedar:1: the rule {name} is missing; the contract needs it",)


def test_empty_file_is_refused() -> None:
    """No rules at all is thirteen missing ones."""
    assert len(problems("// nothing\n")) == 18 - len(CONSENTS)


def test_every_fault_is_told() -> None:
    """Two wrong rules, two lines."""
    assert len(problems(TEXT.replace('"home"', '"hme"').replace('@clause("Special terms, consent 1")', ""))) > 2


def test_statements_end_at_semicolons_outside_comments_and_strings() -> None:
    """Semicolons in a comment or a string are text, and an unfinished statement is kept to be refused."""
    text = '// a;\npermit(";\\";");\n\n  // b\nforbid(); rest'
    assert list(split_statements(text)) == [(2, 'permit(";\\";");'), (5, "forbid();"), (5, "rest")]


def test_unfinished_rule_is_refused() -> None:
    """A file cut short is not a shorter policy."""
    assert "not Cedar" in problems(TEXT.rstrip().rstrip(";"))[0]


def test_parts_follow_from_effect_and_action() -> None:
    """Eight permits, five forbids, three reasons, two obligations."""
    parts = [rule.part for rule in read_rules(TEXT, SCHEMA, name="p.cedar")]
    assert [parts.count(part) for part in Part] == [8, 5, 3, 2]
