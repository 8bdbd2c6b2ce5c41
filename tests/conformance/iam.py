"""How IAM decides, rule by rule. Beside each rule stands the page of the IAM User Guide that has it.

A key that a request does not carry is not the same as one that carries nothing, and neither is the same as one
that carries something else: half of AWS's surprises are there. `Request.context` holds what a request carries; a
key that is absent is not in it, or is None; one that is empty is "" or (). A tuple is a key of several values.
"""

import functools
import ipaddress
import re
from dataclasses import dataclass, field, replace


def as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


@dataclass(frozen=True)
class Request:
    """One action on one resource, as a service asks IAM about it."""

    action: str
    resource: str
    context: dict = field(default_factory=dict)
    #: The ARN of a role, or the name of a service: `sns.amazonaws.com`.
    principal: str = ""

    def value(self, key):
        """What the request carries for a key; None if it carries nothing of that name.

        "Context key names are not case-sensitive" (IAM JSON policy elements: Condition).
        """
        return next((v for k, v in self.context.items() if k.lower() == key.lower()), None)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy."""

    sid: str
    allows: bool
    actions: tuple
    resources: tuple
    conditions: dict = field(default_factory=dict)
    #: `actions` are those it is not about (NotAction).
    other_actions: bool = False
    #: `resources` are those it is not about (NotResource).
    other_resources: bool = False
    #: Whom it is about, in a policy of a resource; None in a policy of a role, which is about the role.
    principal: object = None

    @classmethod
    def of(cls, raw):
        """A statement as a policy document has it."""
        other_actions, other_resources = "NotAction" in raw, "NotResource" in raw
        if "NotPrincipal" in raw:
            raise NotImplementedError("NotPrincipal")
        # Only trust policies have no resource: they are about the role that they belong to.
        resources = raw["NotResource"] if other_resources else raw.get("Resource", "*")
        return cls(
            raw.get("Sid", "-"), raw["Effect"] == "Allow",
            tuple(as_list(raw["NotAction" if other_actions else "Action"])),
            tuple(as_list(resources)),
            raw.get("Condition", {}), other_actions, other_resources, raw.get("Principal"),
        )

    def matches(self, action, resource, context):
        """Whether the statement is about this action on this resource, whoever asks."""
        return self.is_about(Request(action, resource, context))

    def is_about(self, request):
        """Whether the statement is about this request, whoever asks."""
        return (
            any(_is_action(request.action, a) for a in self.actions) != self.other_actions
            and any(_is_resource(request, r) for r in self.resources) != self.other_resources
            and all(
                condition_holds(operator, key, as_list(values), request)
                # "All conditions must be met": a logical AND over operators and over keys (Conditions with multiple
                # context keys or values).
                for operator, keys in self.conditions.items()
                for key, values in keys.items()
            )
        )

    def names(self, principal):
        """Whether it is about this principal: "yes", "account" (about whoever the account lets), or None.

        AWS JSON policy elements: Principal. The account's root stands for the account, which gives the right on by
        policies of its own principals; a service is named by its own name.
        """
        if self.principal == "*":
            return "yes"
        found = [(kind, name) for kind, names in self.principal.items() for name in as_list(names)]
        if any(name == principal or (kind, name) == ("AWS", "*") for kind, name in found):
            return "yes"
        accounts = {_account_of(name) for kind, name in found if kind == "AWS"}
        return "account" if principal.startswith("arn:") and principal.split(":")[4] in accounts else None


def _account_of(name):
    """The account that an AWS principal stands for as a whole; None if it is one of its principals."""
    if re.fullmatch(r"\d{12}", name):
        return name
    found = re.fullmatch(r"arn:[^:]+:iam::(\d{12}):root", name)
    return found and found.group(1)


# --- actions and resources ---------------------------------------------------------------------------


@functools.cache
def _pattern(text, ignore_case=False):
    """A pattern with IAM's two wildcards, * and ?. Brackets are themselves."""
    parts = re.split(r"([*?])", text)
    expression = "".join({"*": ".*", "?": "."}.get(part, re.escape(part)) for part in parts)
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _is_action(action, pattern):
    # "The prefix and the action name are case insensitive" (IAM JSON policy elements: Action).
    return _pattern(pattern, True).fullmatch(action) is not None


def _is_resource(request, pattern):
    pattern = _substituted(pattern, request)
    return pattern is not None and (pattern == "*" or _is_arn(request.resource, pattern))


@functools.cache
def _is_arn(arn, pattern):
    """Each of the six parts of an ARN is compared alone; the last may hold colons.

    "You can't use a wildcard to match the service segment of the ARN", and a * in one part does not reach into the
    next one; missing parts of a pattern are completed by * (IAM JSON policy elements: Resource; Condition operators,
    ARN).
    """
    given, wanted = arn.split(":", 5), pattern.split(":", 5)
    wanted += ["*"] * (6 - len(wanted))
    if len(given) != 6:
        return False  # asked about everything ("*"): a pattern of something is not about it
    return all(_pattern(w).fullmatch(g) for g, w in zip(given, wanted))


_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def _substituted(text, request):
    """A policy's text with its variables replaced; None if one of them has no value, and nothing matches.

    IAM policy elements: Variables and tags. A default stands behind a comma.
    """
    if "${" not in text:
        return text
    found = []

    def value(match):
        name, _, default = (part.strip() for part in match.group(1).partition(","))
        known = request.value(name)
        if isinstance(known, (tuple, list)):
            known = None  # "Policy variables can't be multivalued keys".
        if known is None and default:
            known = default.strip("'")
        if name in "*?$" or re.search(r"[*?]", known or ""):
            raise NotImplementedError(f"a wildcard's character in {text}")
        found.append(known)
        return known or ""

    replaced = re.sub(r"\$\{([^}]+)\}", value, text)
    return None if None in found else replaced


# --- conditions --------------------------------------------------------------------------------------


def condition_holds(operator, key, wanted, request):
    """One line of a condition: an operator, a key, and the values in the policy."""
    known = request.value(key)
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if name == "Null":
        # "true (the key doesn't exist, it is null) or false (the key exists and its value is not null)" (Condition
        # operators, Null). What is empty is null: see `_values`.
        missing = not _values(known)
        return any(missing == (str(value).lower() == "true") for value in wanted)
    wanted = [text for value in wanted if (text := _substituted(str(value), request)) is not None]
    positive, compare = OPERATORS[name] if name in OPERATORS else _unknown(operator)

    def holds(value):
        # Several values in the policy: one must match; with a negated operator none may ("logical NOR"; Conditions
        # with multiple context keys or values).
        matched = any(compare(value, text) for text in wanted)
        return matched if positive else not matched

    match quantifier:
        case "ForAllValues":
            # "It also returns true if there are no context keys in the request, or if the context key value resolves
            # to a null dataset, such as an empty string" (Set operators for multivalued context keys).
            return all(holds(value) for value in _values(known))
        case "ForAnyValue" if if_exists:
            # The page promises true for a missing key, iam-simulate (cloud-copilot) found false.
            _unknown(operator)
        case "ForAnyValue":
            # "For no matching context key or if the context key value resolves to a null dataset, the condition
            # returns false" (same page), negated operators included.
            return any(holds(value) for value in _values(known))
        case "":
            pass
        case _:
            _unknown(operator)
    if known is None:
        # "If the key that you specify in a policy condition is not present in the request context, the values do not
        # match and the condition is false. If the policy condition requires that the key is not matched, such as
        # StringNotLike or ArnNotLike, and the right key is not present, the condition is true" (Condition operators).
        # So a Deny with StringNotEquals denies what does not say. IfExists: "if the key is not present, evaluate the
        # condition element as true".
        return if_exists or not positive
    if isinstance(known, (tuple, list)):
        # "Multivalued context keys require a condition set operator"; without one AWS promises nothing.
        raise ValueError(f"{key} has several values and {operator} no set operator")
    return holds(known)


def _values(known):
    """The values of a key as a set operator sees them: a missing key and an empty one have none."""
    return [] if known is None else [value for value in as_list(known) if value != ""]


def _unknown(operator):
    raise NotImplementedError(f"{operator} in a condition")


def _number(compare):
    def compared(known, text):
        try:
            return compare(float(known), float(text))
        except ValueError:
            return False
    return compared


def _address(known, text):
    try:
        return ipaddress.ip_address(known) in ipaddress.ip_network(text)
    except ValueError:
        return False


def _arn(known, text):
    # "Each of the six colon-delimited components of the ARN is checked separately"; ArnEquals and ArnLike "behave
    # identically" (Condition operators, ARN).
    return known.count(":") >= 5 and _is_arn(known, text)


#: Each operator: whether it is true when something matches, and how one value is compared with one of the policy.
#: "Exact matching, case sensitive", and so on (Condition operators). No template uses dates or binary values.
OPERATORS = {
    "StringEquals": (True, lambda known, text: known == text),
    "StringEqualsIgnoreCase": (True, lambda known, text: known.lower() == text.lower()),
    "StringLike": (True, lambda known, text: _pattern(text).fullmatch(known) is not None),
    "ArnEquals": (True, _arn), "ArnLike": (True, _arn),
    "Bool": (True, lambda known, text: known.lower() == text.lower()),
    "IpAddress": (True, _address),
    "NumericEquals": (True, _number(lambda a, b: a == b)),
    "NumericLessThan": (True, _number(lambda a, b: a < b)),
    "NumericLessThanEquals": (True, _number(lambda a, b: a <= b)),
    "NumericGreaterThan": (True, _number(lambda a, b: a > b)),
    "NumericGreaterThanEquals": (True, _number(lambda a, b: a >= b)),
}
OPERATORS |= {
    negated: (False, OPERATORS[positive][1])
    for negated, positive in (
        ("StringNotEquals", "StringEquals"), ("StringNotEqualsIgnoreCase", "StringEqualsIgnoreCase"),
        ("StringNotLike", "StringLike"), ("ArnNotEquals", "ArnEquals"), ("ArnNotLike", "ArnLike"),
        ("NotIpAddress", "IpAddress"), ("NumericNotEquals", "NumericEquals"),
    )
}


# --- several policies --------------------------------------------------------------------------------


def is_allowed(statements, action, resource, context):
    """Whether a role's own policies allow it: one statement does, and none denies it."""
    return refusal(Request(action, resource, context), identity=statements) is None


def refusal(request, identity=None, resource=None, endpoint=None):
    """Why a request is refused, in words; None if it is allowed.

    `identity` are the statements of the caller's role, None for a service that calls under its own name; `resource`
    those of what is called, None if they are not asked; `endpoint` those of the VPC endpoint on the way, None if there
    is none.

    Policy evaluation logic: "an explicit deny in any of these policies overrides the allow". Within one account, a
    resource's policy alone suffices, and so does a role's ("Identity-based policies and resource-based policies").
    An endpoint's policy "does not override or replace identity-based policies or resource-based policies" (AWS
    PrivateLink guide, Control access to VPC endpoints using endpoint policies): it must allow as well.
    """
    named = [(s, s.names(request.principal)) for s in resource or []]
    sources = {
        "the role's policies": list(identity or []),
        "the resource's policy": [s for s, how in named if how],
        "the endpoint's policy": [s for s in endpoint or [] if s.names(request.principal)],
    }
    about = {where: [s for s in found if s.is_about(request)] for where, found in sources.items()}
    for where, found in about.items():
        denial = next((s for s in found if not s.allows), None)
        if denial:
            return f"denied by {where} ({denial.sid})"
    if endpoint is not None and not about["the endpoint's policy"]:
        return "the endpoint's policy does not allow it"
    # "Both the resource-based policy and the identity-based policy must allow" across accounts (Cross-account policy
    # evaluation logic).
    across = request.principal.startswith("arn:") and _other_account(request)
    direct, by_account = (
        any(s.allows and s.is_about(request) for s, how in named if how == wanted) for wanted in ("yes", "account")
    )
    by_role = bool(about["the role's policies"])
    if request.action.startswith("kms:") and resource is not None:
        # "Unless the key policy explicitly allows it, you cannot use IAM policies to allow access to a KMS key" (AWS
        # KMS developer guide, Key policies): the statement about the account is what lets a role's policy count.
        if direct or by_account and by_role:
            return None
        return "the role's policies do not allow it" if by_account else "the key's policy does not allow it"
    if across and not (direct or by_account):
        return "the resource's policy does not allow it to another account"
    if by_role or direct and not across:
        return None
    return "the role's policies do not allow it" if identity is not None else "the resource's policy does not allow it"


def _other_account(request):
    """Whether the resource belongs to another account than who asks; ARNs of S3 say of none."""
    parts = request.resource.split(":", 5)
    return len(parts) == 6 and bool(parts[4]) and parts[4] != request.principal.split(":")[4]


def without(statements, action):
    """The statements with one action taken out of those that allow it: a planted fault."""
    return [
        replace(s, actions=tuple(a for a in s.actions if a.lower() != action.lower())) if s.allows else s
        for s in statements
    ]
