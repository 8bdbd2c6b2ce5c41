"""CloudWatch Logs Insights, as much of it as the saved queries and the dashboard ask: fields, filter, stats, sort and limit,
one command after the other ("CloudWatch Logs Insights language query syntax", CloudWatch Logs user guide)."""

import re
import statistics

#: What a query may be made of. Anything else is an error, not a guess.
TOKEN = re.compile(r"""\s*(?:(?P<text>"[^"]*")|(?P<pattern>/(?:\\.|[^/\\])+/)|(?P<number>\d+(?:\.\d+)?)|
                       (?P<name>@?[A-Za-z_][\w.]*)|(?P<sign>!=|>=|<=|[=<>(),\[\]*]))""", re.X)


def ask(query, events):
    """The rows of a query over events: dicts with @timestamp (milliseconds), @message and the event's own fields."""
    rows, shown = [dict(event) for event in events], None
    for command in re.split(r"\s*\|\s*(?=(?:fields|filter|stats|sort|limit|SOURCE)\b)", query.strip()):
        word, _, rest = command.partition(" ")
        if word == "SOURCE":
            continue
        if word == "fields":
            shown = [name.strip() for name in rest.split(",")]
        elif word == "filter":
            condition = _Parser(rest).whole()
            rows = [row for row in rows if condition(row)]
        elif word == "stats":
            rows, shown = _stats(rest, rows), None
        elif word == "sort":
            name, direction = rest.split()
            assert direction in ("asc", "desc")
            there = [row for row in rows if row.get(name) is not None]
            rows = sorted(there, key=lambda row: row[name], reverse=direction == "desc") + [
                row for row in rows if row.get(name) is None]
        else:
            assert word == "limit" and int(rest) <= 10_000, command
            rows = rows[:int(rest)]
    return rows if shown is None else [{name: row.get(name) for name in shown} for row in rows]


def _stats(text, rows):
    made, _, by = text.partition(" by ")
    keys = [key.strip() for key in by.split(",")] if by else []
    groups = {}
    for row in sorted(rows, key=lambda row: row["@timestamp"]):
        groups.setdefault(tuple(_key(key, row) for key in keys), []).append(row)
    answers = []
    for group, members in groups.items():
        answer = dict(zip(keys, group))
        for function, argument, more, name in re.findall(r"(\w+)\(([\w.*@]+)(?:, (\d+))?\) as (\w+)", made):
            answer[name] = _figure(function, argument, more, members)
        assert len(answer) == len(keys) + made.count(" as "), f"not all of {made!r} is known here"
        answers.append(answer)
    return answers


def _key(key, row):
    if key == "bin(1d)":
        return row["@timestamp"] // 86_400_000
    assert re.fullmatch(r"[\w.@]+", key), key
    return row.get(key)


def _figure(function, argument, more, rows):
    values = [row[argument] for row in rows if row.get(argument) is not None] if argument != "*" else rows
    if function == "count":
        return len(values)
    if not values:
        return None
    if function == "latest":
        return values[-1]
    if function == "pct":
        return sorted(values)[max(0, round(float(more) / 100 * len(values)) - 1)]
    return {"avg": statistics.fmean, "max": max, "min": min, "sum": sum}[function](values)


class _Parser:
    """A condition: comparisons joined by and, or; `and` binds closer."""

    def __init__(self, text):
        self.tokens = []
        position = 0
        while text[position:].strip():
            found = TOKEN.match(text, position)
            assert found, f"{text[position:]!r} is not known here"
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            position = found.end()

    def whole(self):
        condition = self._either()
        assert not self.tokens, f"{self.tokens} is left of a condition"
        return condition

    def _next(self, word=None):
        kind, token = self.tokens.pop(0)
        assert word is None or token == word, f"{token!r}, not {word!r}"
        return kind, token

    def _is(self, word):
        return bool(self.tokens) and self.tokens[0][1] == word

    def _either(self):
        parts = [self._both()]
        while self._is("or"):
            self._next()
            parts.append(self._both())
        return lambda row: any(part(row) for part in parts)

    def _both(self):
        parts = [self._one()]
        while self._is("and"):
            self._next()
            parts.append(self._one())
        return lambda row: all(part(row) for part in parts)

    def _one(self):
        _, name = self._next()
        if name == "(":
            inside = self._either()
            self._next(")")
            return inside
        if name == "ispresent":
            self._next("(")
            _, field = self._next()
            self._next(")")
            return lambda row: row.get(field) is not None
        _, operator = self._next()
        if operator == "in":
            self._next("[")
            values = []
            while not self._is("]"):
                values.append(self._value())
                if self._is(","):
                    self._next()
            self._next("]")
            return lambda row: row.get(name) in values
        value = self._value()
        if operator == "like":
            return lambda row: row.get(name) is not None and re.search(value, str(row[name])) is not None
        assert operator in ("=", "!="), operator
        return lambda row: (row.get(name) == value) is (operator == "=")

    def _value(self):
        kind, token = self._next()
        return {"text": lambda: token[1:-1], "pattern": lambda: token[1:-1], "number": lambda: float(token)}[kind]()
