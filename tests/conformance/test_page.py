"""A report's page in a browser: Chromium, driven by Playwright, and axe looks through it.

CLI names the restore-proof binary, CHROMIUM the browser, DEMO_PAGE the page that the demo has left.
"""

import datetime
import json
import os
import re
import subprocess
import zlib

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from page import Page
from test_athena import SHORT, TODAY, attempt, check, record

#: What somebody would write who wants the page to do something.
HOSTILE = ["<script>document.title = 'taken'</script>", "\"><img src=x onerror=\"document.title = 'taken'\">", "</style></script><h1>",
           "'; alert(1) //", "{{ 7 * 7 }}", "\u202egnp.exe", "a\nb\tc", "javascript:alert(1)", "arn:aws:rds:eu-central-1:2:db:" + "x" * 900,
           "🛒 Füße 数据库 قاعدة", "&lt;b&gt;", ""]


def hostile():
    """Records whose every text is hostile, or longer than a line, and whose numbers are huge."""
    for number, text in enumerate(HOSTILE * 2):
        verdict = ["passed", "failed", "copy_failed", "inconclusive", "restore_failed"][number % 5]
        yield record(
            f"h{number:019}", 1 + number % 28, verdict, source_resource_arn=f"arn:aws:rds:eu-central-1:222233334444:db:{text}",
            source_account=text, resource_type=text or None, verdict_reason=text * 3, fault_class=text or None, policy_rule=text,
            recovery_point_arn=f"arn:{text}", backup_vault_name=text, restored_class=text, findings=[text, text], copy_job_id=text,
            recovery_time=1e300 if number % 2 else 1e-9, data_age=1e300, cleanup="left_behind", cleanup_reason=text,
            restored_resource_arn=text, restore_job_id=f"job {text}", attempts=[attempt("1"), attempt("2")],
            checks=[check(text, "failed", detail=text), check("there", "passed"), check(text, "errored", detail=text * 2)],
            usage=[{"what": text, "amount": 1e300, "unit": text}])


def thousand():
    """A thousand resources; days, times and verdicts in no order."""
    for number in range(1000):
        verdict = ["passed", "passed", "passed", "failed", "not_tested"][number % 5]
        columns = {"recovery_time": (number * 7919 % 1000) + 0.5} if verdict == "passed" else {}
        yield record(f"v{number:019}", 1 + number * 31 % 28, verdict, f"db-{zlib.crc32(bytes(str(number), 'ascii')):08x}",
                     source_account=f"{number % 9:012}", **columns)


HISTORIES = {"short": SHORT, "hostile": list(hostile()), "empty": [], "thousand": list(thousand())}
WIDTHS = (320, 375, 768, 1024, 1025, 1280, 1920)
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def pages(tmp_path_factory, cli_binary):
    """The file of each page, by its name; that of the demo among them."""
    files = {"demo": os.environ["DEMO_PAGE"]}
    for name, records in HISTORIES.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "records.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
        files[name] = str(folder / "report.html")
        inventory = []
        if name == "short":
            (folder / "inventory.csv").write_text("arn,owner,target\narn:rds:orders,Anna,5d\narn:rds:ghost,Ben,7d\n")
            inventory = ["--inventory", folder / "inventory.csv"]
        subprocess.run([cli_binary, "report", "--records", folder, "--form", "html", "--output", files[name], "--last", "30d",
                        "--to", str(TODAY), *inventory], check=True, timeout=120)
    return files


NAMES = ("demo", *HISTORIES)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # As root there is no sandbox, and what is opened is ours.
        chromium = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"], timeout=120_000)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, pages):
    """Opens pages; in the end none has asked for anything or complained."""
    contexts, trouble = [], []

    def opened(name, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        # A machine may be busy with other things.
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
        address = f"file://{pages[name]}"
        page.on("request", lambda request: request.url == address or trouble.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []


def lines(page, section):
    """The lines of a table that are shown, from above: the text of each field."""
    return page.evaluate("""section => [...document.querySelectorAll(`#${section} tbody`)].filter(body => body.checkVisibility())
        .map(body => [...body.rows[0].cells].map(cell => cell.textContent.trim()))""", section)


def column(page, section, title):
    titles = page.locator(f"#{section} th").all_text_contents()
    return [line[titles.index(title)] for line in lines(page, section)]


def sort(page, section, title):
    page.evaluate("([section, title]) => [...document.querySelectorAll(`#${section} th button`)]"
                  ".find(button => button.textContent === title).click()", [section, title])


# --- What it is made of ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_it_asks_for_nothing_and_complains_of_nothing(name, open_page):
    page = open_page(name)
    assert page.title().startswith("Recovery tests from ")
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_its_policy_lets_no_other_script_or_style_in(pages, browser, tmp_path):
    """As a hole in the escaping would be used."""
    text = open(pages["short"], encoding="utf-8").read()
    for inside, broken in (
            ("<h1>", "<script>document.title = 'taken'</script><h1>"), ("<h1>", "<h1 onclick=\"document.title = 'taken'\">"),
            ("<h1>", "<h1 style=\"color: red\">"), ("<h1>", "<img src='https://outside.example/pixel.png'><h1>"),
            ("</title>", "</title><link rel=stylesheet href='https://outside.example/style.css'>"),
            ("<h1>", "<form action='https://outside.example'><button id=send>send</button></form><h1>")):
        file = tmp_path / "broken.html"
        file.write_text(text.replace(inside, broken, 1), encoding="utf-8")
        page = browser.new_page()
        page.set_default_timeout(120_000)
        refused = []
        page.on("console", lambda message: refused.append(message.text))
        page.goto(f"file://{file}")
        page.locator("#send" if "send" in broken else "h1").dispatch_event("click")
        page.wait_for_timeout(100)
        assert page.title() != "taken" and page.url.startswith("file://")
        assert any("Content Security Policy" in words for words in refused), broken
        page.close()


def test_what_records_say_is_text(open_page):
    page = open_page("hostile")
    for tag, count in (("script", 1), ("style", 1), ("img", 0), ("h1", 1), ("a:not(nav a)", 0)):
        assert page.locator(tag).count() == count, tag
    shown = {line[0] for line in lines(page, "proofs")}
    for text in HOSTILE:
        assert " ".join(f"arn:aws:rds:eu-central-1:222233334444:db:{text}".split()) in {" ".join(one.split()) for one in shown}, text


# --- Sorting, filtering, opening ------------------------------------------------------------------------------


def number_of(field):
    """What a field is sorted by, from what it shows; None for text."""
    units = {"s": 1 / 60, "min": 1, "h": 60, "days": 24 * 60, "%": 1, "USD": 1}
    found = re.fullmatch(r"([+−-]?)([\d.]+(?:e\d+)?)(?: (\w+|%))?(?: on another class)?", field)
    if not found:
        return None
    sign = -1 if found[1] in ("−", "-") else 1
    return sign * float(found[2]) * units[found[3] or "%"]


@pytest.mark.parametrize("name", ["demo", "short", "thousand"])
def test_every_column_is_sorted_both_ways(name, open_page):
    page = open_page(name)
    sorted_columns = 0
    for section in page.evaluate("[...document.querySelectorAll('section[id]')].map(section => section.id)"):
        for details in page.locator(f"#{section} > details").all():
            details.evaluate("details => details.open = true")
        for title in page.locator(f"#{section} th").all_text_contents():
            before = lines(page, section)
            if len(before) < 2:
                continue
            sorted_columns += 1
            is_number = page.evaluate(
                "([section, title]) => [...document.querySelectorAll(`#${section} th`)].find(th => th.textContent === title)"
                ".classList.contains('number')", [section, title])
            for way in ("ascending", "descending"):
                sort(page, section, title)
                assert page.locator(f"#{section} th[aria-sort]").get_attribute("aria-sort") == way
                shown = column(page, section, title)
                assert sorted(lines(page, section)) == sorted(before), "the same lines"
                if way == "descending":
                    shown.reverse()
                if is_number:
                    numbers = [number_of(field) for field in shown]
                    known = [one for one in numbers if one is not None]
                    # Fields are rounded to a tenth of their unit, and days without a proof are the longest.
                    assert all(a <= b + 0.06 * max(1, b) for a, b in zip(known, known[1:])), (section, title, shown)
                    assert None not in numbers[:len(known)] or title in ("estimate",), (section, title, shown)
                else:
                    expected = page.evaluate("fields => fields.sort(new Intl.Collator('en').compare)", list(shown))
                    assert shown == expected, (section, title)
    assert sorted_columns > 15


def test_sorting_is_that_of_the_records(open_page):
    page = open_page("thousand")
    times = {one["source_resource_arn"]: one.get("recovery_time") for one in HISTORIES["thousand"]}
    page.locator("#proofs").get_by_role("button", name="recovery time").click()
    proved = [arn for arn in column(page, "proofs", "resource") if times[arn] is not None]
    assert proved == sorted(proved, key=times.get) and len(proved) == 600
    sort(page, "proofs", "recovery time")
    assert column(page, "proofs", "resource")[-600:] == sorted(proved, key=lambda arn: -times[arn])
    sort(page, "proofs", "resource")
    assert column(page, "proofs", "resource") == sorted(times), "plain ASCII"


def test_the_filter_leaves_what_has_the_text_and_counts_it(open_page):
    page = open_page("thousand")
    section = page.locator("#proofs")
    field, told = section.get_by_role("searchbox"), section.get_by_role("status")
    assert told.text_content() == ""
    wanted = {one["source_resource_arn"] for one in HISTORIES["thousand"] if "7a" in one["source_resource_arn"]}
    field.fill(" 7A ")
    shown = column(page, "proofs", "resource")
    assert wanted <= set(shown) and len(shown) < 1000
    everything = Page(page.content()).tables["proofs"]
    text = {row["resource"]: str([*row.fields.values(), *row.record]).lower() for row in everything}
    assert all("7a" in text[arn] for arn in shown) and sum("7a" in one for one in text.values()) == len(shown)
    assert told.text_content() == f"{len(shown)} of 1000 rows, those with “7A”"
    # Sorted, the same are shown.
    sort(page, "proofs", "resource")
    assert column(page, "proofs", "resource") == sorted(shown)
    field.fill("in no row")
    assert column(page, "proofs", "resource") == [] and told.text_content() == "0 of 1000 rows, those with “in no row”"
    # It finds what only the record says, such as the id of a validation.
    field.fill("v0000000000000000042")
    assert len(column(page, "proofs", "resource")) == 1
    field.fill("")
    assert len(column(page, "proofs", "resource")) == 1000 and told.text_content() == ""


def test_a_row_opens_its_record(open_page):
    page = open_page("short")
    row = page.locator("#failed tbody", has_text="a3")
    opened = row.locator("dl")
    assert not opened.is_visible()
    row.get_by_role("group").locator("summary").click()
    assert opened.is_visible()
    facts = dict(Page(page.content()).tables["failed"][1].record)
    assert facts["validation"] == "a3" and facts["its record"] == "records/dt=2026-11-28/a3.json"
    assert facts["verdict"] == "failed: why a3" and facts["check failed"] == "fresh"
    # It stands below its row, as wide as the table, and moves nothing sideways.
    table, record_box = page.locator("#failed table").bounding_box(), opened.bounding_box()
    assert record_box["width"] > 0.9 * table["width"]
    fields = row.locator("tr:first-child td").first.bounding_box()
    assert record_box["y"] >= fields["y"] + fields["height"] - 1
    # A click on its first field opens and closes, too.
    row.locator("tr:first-child td").first.click()
    assert not opened.is_visible()
    row.locator("tr:first-child td").first.click()
    assert opened.is_visible()
    # All at once.
    section = page.locator("#proofs")
    every = section.locator("dl")
    section.get_by_role("button", name="Open all").click()
    assert every.count() == 6 and all(one.is_visible() for one in every.all())
    section.get_by_role("button", name="Close all").click()
    assert not any(one.is_visible() for one in every.all())


def test_the_keyboard_is_enough(open_page):
    page = open_page("short")
    at = """() => { const at = document.activeElement;
        return [at.tagName, at.textContent, getComputedStyle(at).outlineStyle, at.matches(':focus-visible')]; }"""
    reached, opened_by_key = [], None
    for _ in range(400):
        page.keyboard.press("Tab")
        tag, text, outline, is_visible = page.evaluate(at)
        if tag == "BODY":
            break
        assert is_visible and outline != "none", f"{tag} {text} shows no focus"
        reached.append((tag, text.strip()))
        if tag == "SUMMARY" and opened_by_key is None:
            page.keyboard.press("Enter")
            opened_by_key = page.evaluate("document.activeElement.parentElement.open")
            page.keyboard.press("Space")
            assert not page.evaluate("document.activeElement.parentElement.open")
        if (tag, text) == ("BUTTON", "standing"):
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.textContent") == "standing", "the focus stays"
            assert page.locator("#proofs th[aria-sort=ascending]").text_content() == "standing"
            page.keyboard.press("Space")
            assert page.locator("#proofs th[aria-sort=descending]").text_content() == "standing"
    assert opened_by_key
    everything = page.evaluate("""[...document.querySelectorAll('a, button, input, summary, select')]
        .filter(one => one.checkVisibility()).length""")
    assert len(reached) == everything


# --- Themes, small screens, paper, no scripts -----------------------------------------------------------------


def colours(page):
    return page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, "
                         "getComputedStyle(document.documentElement).colorScheme]")


def test_both_themes_by_the_system_and_by_the_button(open_page):
    light, dark = (colours(open_page("short", color_scheme=theme)) for theme in THEMES)
    assert light[0] != dark[0] and light[1] != dark[1]
    for theme, here, there in (("light", light, dark), ("dark", dark, light)):
        page = open_page("short", color_scheme=theme)
        button = page.get_by_role("button", name="Light or dark")
        assert colours(page)[:2] == here[:2]
        button.click()
        assert colours(page)[:2] == there[:2] and colours(page)[2] != theme
        button.click()
        assert colours(page)[:2] == here[:2]


#: The levels A and AA of WCAG 2.0, 2.1 and 2.2, and what axe calls good practice beyond.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["demo", "short", "hostile", "empty"])
def test_axe_finds_nothing(name, theme, width, open_page):
    page = open_page(name, width, color_scheme=theme)
    # With all that can be opened.
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    results = Axe().run(page, options=RULES).response
    assert len(results["passes"]) > 15, "it looked at something"
    assert [(one["impact"], one["id"], one["nodes"][0]["html"][:200]) for one in results["violations"]] == []


def test_axe_would_find_something(open_page):
    page = open_page("short")
    page.evaluate("document.querySelector('#theme').textContent = ''")
    page.evaluate("document.documentElement.lang = ''")
    found = {one["id"] for one in Axe().run(page, options=RULES).response["violations"]}
    assert {"button-name", "html-has-lang"} <= found


@pytest.mark.parametrize("name", NAMES)
def test_nothing_scrolls_sideways(name, open_page):
    page = open_page(name)
    for opened in (False, True):
        page.evaluate(f"document.querySelectorAll('details').forEach(details => details.open = {str(opened).lower()})")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width, width
            # No field is cut off, and no table has to be pushed.
            hidden = page.evaluate("""[...document.querySelectorAll('.wide, td, dd, dt, .figures div, h1, h2, p, button')]
                .filter(one => one.checkVisibility() && one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1)
                .map(one => one.outerHTML.slice(0, 150))""")
            assert hidden == [], width


def test_a_phone_says_what_each_field_is_and_sorts_by_a_list(open_page):
    page = open_page("thousand", 375)
    assert not page.locator("#proofs thead").is_visible()
    before = page.locator("#proofs tbody td").nth(1).evaluate("td => getComputedStyle(td, '::before').content")
    assert before == '"standing"'
    order = page.locator("#proofs").get_by_role("combobox")
    order.select_option(label="resource ▼")
    arns = [one["source_resource_arn"] for one in HISTORIES["thousand"]]
    assert column(page, "proofs", "resource") == sorted(arns, reverse=True)
    order.select_option(label="resource ▲")
    assert column(page, "proofs", "resource") == sorted(arns)
    # What is touched is large enough for a finger (WCAG 2.5.8).
    for control in page.locator("#proofs button, #proofs input, #proofs select, #proofs summary").all()[:8]:
        if control.is_visible():
            assert control.bounding_box()["height"] >= 24


def pdf_pages(pdf):
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", NAMES)
def test_paper_has_all_of_it_and_no_controls(name, theme, open_page):
    page = open_page(name, 720, color_scheme=theme)
    if theme == "dark":
        page.get_by_role("button", name="Light or dark").click()
        page.get_by_role("button", name="Light or dark").click()
    page.emulate_media(media="print")
    assert colours(page)[:2] == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    for control in page.locator("button:not(th button), input, select, nav, summary").all()[:50]:
        assert not control.is_visible()
    # Every line, also of what is folded on a screen, with the titles of its columns.
    parsed = Page(page.content())
    for section, rows in parsed.tables.items():
        if rows:
            assert len(lines(page, section)) == len(rows), section
            assert page.locator(f"#{section} thead").is_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 720
    assert not page.locator(".record dl").first.is_visible() if page.locator(".record dl").count() else True
    pdf = page.pdf(format="A4", margin={"top": "12mm", "bottom": "12mm", "left": "12mm", "right": "12mm"})
    assert pdf.startswith(b"%PDF-") and pdf_pages(pdf) >= (3 if name != "empty" else 1)


def test_paper_shows_what_was_opened_and_says_what_was_left_out(open_page):
    page = open_page("thousand", 720)
    closed = pdf_pages(page.pdf())
    section = page.locator("#proofs")
    section.get_by_role("button", name="Open all").click()
    assert pdf_pages(page.pdf()) > 2 * closed
    section.get_by_role("searchbox").fill("v0000000000000000042")
    page.emulate_media(media="print")
    assert section.locator("dl:visible").count() == 1
    assert section.get_by_role("status").is_visible(), "nobody takes a part for the whole"
    page.emulate_media(media=None)
    assert pdf_pages(page.pdf()) < closed


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_without_scripts(name, open_page):
    with_scripts, without = open_page(name), open_page(name, java_script_enabled=False)
    # Playwright's own questions are no scripts of the page.
    for control in ("button", "input", "select"):
        assert not any(one.is_visible() for one in without.locator(control).all()), control
    texts = [Page(page.content()) for page in (with_scripts, without)]
    assert texts[0].figures == texts[1].figures
    for section, rows in texts[1].tables.items():
        assert len(rows) == len(texts[0].tables[section])
    for section in without.locator("section").all():
        assert section.is_visible()
    summaries = without.locator("summary")
    if summaries.count():
        summaries.first.click()
        assert without.locator("details").first.get_attribute("open") is not None
    assert without.locator("svg").count() == with_scripts.locator("svg").count()


def test_charts_show_what_stands_beside_them(open_page):
    """The heights of a day's bars are as its verdicts, and none leaves the picture."""
    page = open_page("thousand")
    svg = page.locator("#totals svg")
    bars = svg.evaluate("""svg => [...svg.querySelectorAll('rect')].map(bar => [bar.querySelector('title').textContent,
        bar.height.baseVal.value, bar.y.baseVal.value])""")
    heights = set()
    for words, height, top in bars:
        day, count, verdict = re.fullmatch(r"(\S+): (\d+) (\w+)", words).groups()
        there = [one for one in HISTORIES["thousand"] if one["opened_time"].startswith(day) and one["verdict"] == verdict]
        assert len(there) == int(count)
        heights.add(round(height / len(there), 1))
        assert 0 <= top and top + height <= svg.evaluate("svg => svg.viewBox.baseVal.height")
    assert max(heights) - min(heights) <= 0.1 and len(bars) > 28 * 2
    assert svg.get_attribute("aria-label").startswith("Verdicts by day: passed (600)")
    today = datetime.date.fromisoformat(str(TODAY))
    assert page.locator("h1").text_content().split()[-1] == str(today)
