"""IAM's rules as the IAM User Guide has them, each with a key that is there, absent and empty."""

import pytest

from iam import Request, Statement, is_allowed, refusal

ROLE, ACCOUNT = "arn:aws:iam::111111111111:role/function", "111111111111"
ABSENT = object()


def holds(operator, wanted, known):
    """Whether a condition of one line holds for a request that carries this for its key."""
    condition = {operator: {"k": wanted}}
    statement = Statement.of({"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": condition})
    context = {} if known is ABSENT else {"k": known}
    return is_allowed([statement], "a:B", "arn:aws:a:r:1:x", context)


A, B = "arn:aws:sns:r:1:a", "arn:aws:sns:r:1:b"

#: Operator, what the policy says, what the request carries, and whether the line holds.
CONDITIONS = [
    # Present, absent, empty: an operator that wants a match; one that wants none is true where nothing is there.
    *[(operator, wanted, known, result) for operator, wanted, present, others in [
        ("StringEquals", "x", "x", False), ("StringEqualsIgnoreCase", "X", "x", False),
        ("StringLike", "x*", "xyz", False), ("ArnEquals", A, A, False), ("ArnLike", "arn:aws:sns:*:1:a", A, False),
        ("Bool", "true", "true", False),
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", False), ("NumericEquals", "1", "1", False),
        ("NumericLessThan", "2", "1", False), ("NumericLessThanEquals", "1", "1", False),
        ("NumericGreaterThan", "0", "1", False), ("NumericGreaterThanEquals", "1", "1", False),
        ("StringNotEquals", "x", "y", True), ("StringNotEqualsIgnoreCase", "X", "y", True),
        ("StringNotLike", "x*", "y", True), ("ArnNotEquals", A, B, True), ("ArnNotLike", A, B, True),
        ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", True), ("NumericNotEquals", "1", "2", True),
    ] for known, result in [(present, True), (ABSENT, others), ("", others)]],
    # …IfExists: true where the key is absent, and no more. An empty key is there.
    *[(f"{operator}IfExists", wanted, known, result) for operator, wanted in [
        ("StringEquals", "x"), ("StringLike", "x"), ("Bool", "x"), ("StringEqualsIgnoreCase", "X")]
        for known, result in [("x", True), ("z", False), (ABSENT, True), ("", False)]],
    ("ArnLikeIfExists", A, ABSENT, True), ("ArnLikeIfExists", A, B, False),
    ("IpAddressIfExists", "10.0.0.0/8", ABSENT, True), ("StringNotEqualsIfExists", "x", ABSENT, True),
    ("StringNotEqualsIfExists", "x", "x", False),
    # Null: whether there is a value. What is empty is as good as absent.
    ("Null", "true", ABSENT, True), ("Null", "true", "", True), ("Null", "true", (), True),
    ("Null", "true", "x", False),
    ("Null", "false", ABSENT, False), ("Null", "false", "", False), ("Null", "false", (), False),
    ("Null", "false", "x", True), ("Null", "false", ("x", "y"), True), ("Null", True, ABSENT, True),
    # Several values in the policy: one suffices; for a negated operator none may match.
    ("StringEquals", ["x", "y"], "y", True), ("StringEquals", ["x", "y"], "z", False),
    ("StringNotEquals", ["x", "y"], "y", False), ("StringNotEquals", ["x", "y"], "z", True),
    # Sets: every value must match, true where there is none; one must match, false where there is none.
    *[("ForAllValues:StringEquals", ["x", "y"], known, result) for known, result in [
        (("x",), True), (("x", "y"), True), (("x", "z"), False), (ABSENT, True), ((), True), ("", True),
        (("",), True), ("x", True)]],
    *[("ForAnyValue:StringEquals", ["x", "y"], known, result) for known, result in [
        (("x",), True), (("x", "z"), True), (("z",), False), (ABSENT, False), ((), False), ("", False)]],
    *[("ForAllValues:StringNotEquals", "x", known, result) for known, result in [
        (("y",), True), (("x", "y"), False), (ABSENT, True), ((), True)]],
    *[("ForAnyValue:StringNotEquals", "x", known, result) for known, result in [
        (("y",), True), (("x", "y"), True), (("x",), False), (ABSENT, False), ((), False)]],
    ("ForAllValues:StringLike", "x*", ("xa", "xb"), True), ("ForAllValues:StringLike", "x*", ("xa", "yb"), False),
    # Letters, wildcards, parts of an ARN.
    ("StringEquals", "x", "X", False), ("StringEquals", "x*", "xyz", False), ("StringLike", "x?z", "xyz", True),
    ("StringLike", "x?z", "xyyz", False), ("StringLike", "[x]", "[x]", True), ("StringLike", "[x]", "x", False),
    ("StringNotLike", "x*", "xyz", False), ("Bool", "true", "True", True), ("Bool", True, "true", True),
    ("StringLike", "arn:aws:s:*:1:f/*", "arn:aws:s:r:9:x:1:f/d", True),
    ("ArnLike", "arn:aws:s:*:1:f/*", "arn:aws:s:r:9:x:1:f/d", False),
    ("ArnLike", "arn:aws:s:*:1:f/*", "arn:aws:s:r:1:f/d:e", True),
    ("ArnEquals", "arn:aws:sns:*:1:*", A, True), ("ArnNotEquals", "arn:aws:sns:*:1:*", A, False),
    ("ArnLike", A, A.upper(), False), ("ArnLike", "*", "no-arn", False),
    # Addresses and numbers.
    ("IpAddress", "10.0.0.0/8", "11.0.0.1", False), ("NotIpAddress", "10.0.0.0/8", "10.0.0.1", False),
    ("NumericLessThan", "2", "2", False), ("NumericGreaterThan", "2", "10", True), ("NumericEquals", "1", "no", False),
]


@pytest.mark.parametrize(("operator", "wanted", "known", "result"), CONDITIONS)
def test_a_condition_holds(operator, wanted, known, result):
    assert holds(operator, wanted, known) is result


@pytest.mark.parametrize("operator", [
    "NumericAbout", "DateLessThan", "BinaryEquals", "ForSomeValues:StringEquals", "ForAnyValue:StringEqualsIfExists"])
def test_what_is_not_known_here_is_no_guess(operator):
    with pytest.raises(NotImplementedError):
        holds(operator, "x", "x")


def test_several_values_want_a_set_operator():
    with pytest.raises(ValueError, match="set operator"):
        holds("StringEquals", "x", ("x", "y"))


def test_all_lines_must_hold_and_keys_have_no_case():
    both = Statement.of({"Effect": "Allow", "Action": "a:B", "Resource": "*", "Condition": {
        "StringEquals": {"aws:SourceAccount": "1", "aws:SourceArn": "2"}, "Null": {"l": "false"}}})
    good = {"AWS:SourceAccount": "1", "aws:sourcearn": "2", "l": "x"}
    assert is_allowed([both], "a:B", "*", good)
    for key in good:
        assert not is_allowed([both], "a:B", "*", {name: value for name, value in good.items() if name != key})


@pytest.mark.parametrize(("effect", "known", "allowed"), [
    ("Deny", "required", True), ("Deny", "optional", False), ("Deny", "", False), ("Deny", ABSENT, False),
])
def test_a_denial_by_a_negated_operator_denies_what_does_not_say(effect, known, allowed):
    statements = [Statement.of({"Effect": "Allow", "Action": "*", "Resource": "*"}), Statement.of({
        "Effect": effect, "Action": "ec2:RunInstances", "Resource": "*",
        "Condition": {"StringNotEquals": {"ec2:MetadataHttpTokens": "required"}}})]
    context = {} if known is ABSENT else {"ec2:MetadataHttpTokens": known}
    assert is_allowed(statements, "ec2:RunInstances", "*", context) is allowed


# --- actions, resources, variables -------------------------------------------------------------------

DB = "arn:aws:rds:r:1:db:"


@pytest.mark.parametrize(("statement", "action", "resource", "about"), [
    ({"Action": "rds:Delete*"}, "RDS:deleteDBInstance", DB + "x", True),
    ({"Action": "rds:Delete?"}, "rds:DeleteDBInstance", DB + "x", False),
    ({"Action": "*"}, "rds:DeleteDBInstance", DB + "x", True),
    ({"NotAction": ["rds:Describe*", "ec2:*"]}, "rds:DeleteDBInstance", DB + "x", True),
    ({"NotAction": ["rds:Describe*", "ec2:*"]}, "rds:DescribeDBInstances", DB + "x", False),
    ({"Action": "*", "Resource": DB + "ours-*"}, "rds:X", DB + "ours-1", True),
    ({"Action": "*", "Resource": DB + "ours-*"}, "rds:X", DB + "Ours-1", False),
    ({"Action": "*", "Resource": DB + "ours-*"}, "rds:X", "*", False),
    ({"Action": "*", "Resource": "arn:aws:rds:*:1:db:x"}, "rds:X", "arn:aws:rds:r:2:cluster:1:db:x", False),
    ({"Action": "*", "Resource": "arn:aws:s3:::b/*"}, "s3:X", "arn:aws:s3:::b/a:c/d", True),
    ({"Action": "*", "Resource": "arn:aws:s3:::b/*"}, "s3:X", "arn:aws:s3:::b", False),
    ({"Action": "*", "Resource": "arn:aws:rds"}, "rds:X", DB + "x", True),
    ({"Action": "*", "NotResource": [DB + "ours-*", DB + "other"]}, "rds:X", DB + "ours-1", False),
    ({"Action": "*", "NotResource": [DB + "ours-*", DB + "other"]}, "rds:X", DB + "theirs", True),
    ({"Action": "*", "NotResource": DB + "ours-*"}, "rds:X", "*", True),
])
def test_what_a_statement_is_about(statement, action, resource, about):
    known = Statement.of({"Effect": "Allow", "Resource": "*"} | statement if "NotResource" not in statement
                         else {"Effect": "Allow"} | statement)
    assert known.matches(action, resource, {}) is about


@pytest.mark.parametrize(("text", "context", "about"), [
    ("arn:aws:s3:::b/${aws:username}/*", {"aws:username": "anna"}, True),
    ("arn:aws:s3:::b/${aws:username}/*", {"aws:username": "ben"}, False),
    ("arn:aws:s3:::b/${aws:username}/*", {}, False),
    ("arn:aws:s3:::b/${aws:username, 'anna'}/*", {}, True),
    ("arn:aws:s3:::b/${aws:username}/*", {"aws:username": ("anna",)}, False),
])
def test_policy_variables(text, context, about):
    statement = Statement.of({"Effect": "Allow", "Action": "*", "Resource": text})
    assert statement.matches("s3:X", "arn:aws:s3:::b/anna/x", context) is about


def test_policy_variables_in_conditions():
    statement = Statement.of({"Effect": "Allow", "Action": "*", "Resource": "*",
                              "Condition": {"StringEquals": {"k": "${aws:PrincipalAccount}"}}})
    assert statement.matches("a:B", "*", {"k": ACCOUNT, "aws:PrincipalAccount": ACCOUNT})
    assert not statement.matches("a:B", "*", {"k": ACCOUNT})


# --- several policies --------------------------------------------------------------------------------

QUEUE = "arn:aws:sqs:r:111111111111:q"


def says(effect, **more):
    return Statement.of({"Sid": effect, "Effect": effect, "Action": "*", "Resource": "*"} | more)


ALLOW, DENY = says("Allow"), says("Deny")
ANYBODY, NOBODY = says("Allow", Principal="*"), says("Deny", Principal={"AWS": "*"})
THE_ROLE = says("Allow", Principal={"AWS": [ROLE]})
THE_ACCOUNT = says("Allow", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
BY_NUMBER = says("Allow", Principal={"AWS": ACCOUNT})
ANOTHER = says("Allow", Principal={"AWS": "arn:aws:iam::222222222222:root"})
THE_SERVICE = says("Allow", Principal={"Service": ["sns.amazonaws.com", "events.amazonaws.com"]})


@pytest.mark.parametrize(("principal", "policies", "allowed"), [
    # A role: its own policies or the resource's, and no denial anywhere.
    (ROLE, {"identity": [ALLOW]}, True), (ROLE, {"identity": []}, False), (ROLE, {"identity": [ALLOW, DENY]}, False),
    (ROLE, {"identity": [], "resource": [THE_ROLE]}, True), (ROLE, {"identity": [], "resource": [ANYBODY]}, True),
    (ROLE, {"identity": [ALLOW], "resource": [NOBODY]}, False),
    (ROLE, {"identity": [DENY], "resource": [THE_ROLE]}, False),
    # The account stands for what its own policies give.
    (ROLE, {"identity": [], "resource": [THE_ACCOUNT]}, False),
    (ROLE, {"identity": [ALLOW], "resource": [THE_ACCOUNT]}, True),
    (ROLE, {"identity": [], "resource": [BY_NUMBER]}, False),
    (ROLE, {"identity": [], "resource": [ANOTHER]}, False), (ROLE, {"identity": [], "resource": [THE_SERVICE]}, False),
    # An endpoint's policy must allow as well, and gives nothing.
    (ROLE, {"identity": [ALLOW], "endpoint": [ANYBODY]}, True), (ROLE, {"identity": [ALLOW], "endpoint": []}, False),
    (ROLE, {"identity": [], "endpoint": [ANYBODY]}, False), (ROLE, {"identity": [ALLOW], "endpoint": [THE_ROLE]}, True),
    (ROLE, {"identity": [ALLOW], "endpoint": [ANYBODY, NOBODY]}, False),
    (ROLE, {"identity": [], "resource": [THE_ROLE], "endpoint": []}, False),
    # A service: the resource's policy alone.
    ("sns.amazonaws.com", {"resource": [THE_SERVICE]}, True), ("sns.amazonaws.com", {"resource": [THE_ACCOUNT]}, False),
    ("s3.amazonaws.com", {"resource": [THE_SERVICE]}, False), ("s3.amazonaws.com", {"resource": [ANYBODY]}, True),
    ("sns.amazonaws.com", {"resource": [THE_SERVICE, NOBODY]}, False), ("sns.amazonaws.com", {}, False),
])
def test_policies_together(principal, policies, allowed):
    why = refusal(Request("sqs:SendMessage", QUEUE, {}, principal), **policies)
    assert (why is None) is allowed, why


@pytest.mark.parametrize(("policies", "allowed"), [
    ({"identity": [ALLOW]}, False), ({"identity": [], "resource": [ANYBODY]}, False),
    ({"identity": [ALLOW], "resource": [ANYBODY]}, True), ({"identity": [ALLOW], "resource": [THE_ACCOUNT]}, True),
    ({"identity": [ALLOW], "resource": [BY_NUMBER]}, True), ({"identity": [ALLOW], "resource": [ANOTHER]}, False),
    ({"identity": [ALLOW], "resource": [ANYBODY, NOBODY]}, False),
])
def test_across_accounts_both_policies_must_allow(policies, allowed):
    request = Request("events:PutEvents", "arn:aws:events:r:999999999999:event-bus/b", {}, ROLE)
    assert (refusal(request, **policies) is None) is allowed


@pytest.mark.parametrize(("policies", "allowed"), [
    ({"identity": [ALLOW], "resource": []}, False), ({"identity": [ALLOW], "resource": [THE_ACCOUNT]}, True),
    ({"identity": [], "resource": [THE_ACCOUNT]}, False), ({"identity": [], "resource": [THE_ROLE]}, True),
    ({"identity": [ALLOW], "resource": [THE_ACCOUNT, NOBODY]}, False),
])
def test_a_key_asks_its_own_policy_first(policies, allowed):
    request = Request("kms:Decrypt", "arn:aws:kms:r:111111111111:key/k", {}, ROLE)
    assert (refusal(request, **policies) is None) is allowed
