"""A report's page, read as a browser without scripts would: its figures, its tables and what each row opens."""

from html.parser import HTMLParser


class Row:
    """A row of a table: its fields by their column, and its record as names and values, if it opens one."""

    def __init__(self):
        self.fields, self.record = {}, []

    def __getitem__(self, column):
        return self.fields[column]

    def opened(self, name):
        """The first value of this name in its record."""
        return next(value for known, value in self.record if known == name)


class Page(HTMLParser):
    """`figures`: label to value and what it is a part of. `tables`: id of a section to its rows. `bars`: the words of what
    the charts show, by section. `alone` are the elements of HTML that have no end."""

    alone = {"meta", "input"}

    def __init__(self, text):
        super().__init__()
        self.figures, self.tables, self.bars, self.columns = {}, {}, {}, {}
        self._open, self._text, self._section, self._row, self._column, self._term = [], None, None, None, None, None
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in self.alone:
            self._open.append((tag, attributes))
        if tag == "section":
            self._section = attributes.get("id")
            self.tables[self._section], self.bars[self._section], self.columns[self._section] = [], [], []
        elif tag == "tbody":
            self._row = Row()
            self.tables[self._section].append(self._row)
        elif tag == "td" and "data-title" in attributes:
            self._column, self._text = attributes["data-title"], ""
        elif tag in ("dt", "dd", "b", "span", "th", "title") and self._column is None:
            self._text = ""

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag, f"</{tag}> ends what is not open"
        text, inside = self._text, [name for name, _ in self._open]
        if tag == "td" and self._column is not None:
            self._row.fields[self._column], self._column = text, None
        elif self._column is not None:
            return
        elif tag == "th":
            self.columns[self._section].append(text)
        elif tag == "title" and "svg" in inside:
            self.bars[self._section].append(text)
        elif tag == "dt":
            self._term = text
        elif tag == "dd" and "table" in inside:
            self._row.record.append((self._term, text))
        elif tag == "b" and "dd" in inside and "table" not in inside:
            self.figures[self._term] = (text, None)
        elif tag == "span" and "dd" in inside and "table" not in inside:
            self.figures[self._term] = (self.figures[self._term][0], text)

    def handle_data(self, data):
        if self._text is not None:
            self._text += data


def minutes(value):
    """Minutes in the page's words."""
    if value is None:
        return "–"
    size = abs(value)
    if size < 1:
        return f"{value * 60:.0f} s"
    for end, factor, unit in ((90, 1, "min"), (48 * 60, 60, "h"), (1e9, 24 * 60, "days")):
        if size < end:
            return f"{value / factor:.1f} {unit}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)} min"


def percent(share):
    """Percent in the page's words: of all alone a hundred is said."""
    return "–" if share is None else f"{share if share == 100 else min(share, 99.9):.1f} %"
