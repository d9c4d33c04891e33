"""Judges synthetic sites with programs of others.

    site.py PUBLISHED NODE_MODULES [SCREENSHOTS]     PUBLISHED is the example of that name
"""

import importlib.machinery
import importlib.util
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import duckdb
import frictionless
import mlcroissant
import pandas
import pyarrow
import pyarrow.parquet

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TIME_LIMIT = 600
MAX_SIZE = 300_000
EXAMPLE = ROOT / "examples/dotnet/telemetry.toml"
MANY = ROOT / "crates/publish/tests/it/many.toml"
# The name of a site, its weeks, and its definition.
SITES = [("example", 64, EXAMPLE), ("five-years", 260, MANY), ("one-week", 1, MANY), ("nothing", 0, MANY)]
SCHEMA_ORG = {"name", "description", "url", "license", "creator", "distribution", "isAccessibleForFree", "keywords"}
AXE = """axe.run(document, {resultTypes: ['violations']}).then(result => JSON.stringify(result.violations.map(
    violation => [violation.id, violation.nodes.length, violation.nodes[0].html.slice(0, 200)])))"""


def load_page():
    loader = importlib.machinery.SourceFileLoader("page", str(ROOT / ".ci/page"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("page", loader))
    loader.exec_module(module)
    return module


page = load_page()


def check(holds, what):
    if not holds:
        sys.exit(f"site.py: {what}")
    print(f"ok: {what}", flush=True)


def main():
    # A browser that hangs must not block the gate.
    signal.alarm(TIME_LIMIT)
    published, modules = sys.argv[1], pathlib.Path(sys.argv[2])
    screenshots = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    # Chromium's children may still write to its profile for a moment.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        sites = []
        for name, weeks, definition in SITES:
            out = pathlib.Path(directory) / name
            subprocess.run([published, out, str(weeks), definition], check=True, stdout=subprocess.DEVNULL)
            sites.append((name, out))
        markup(modules, [out for _, out in sites])
        for name, out in sites:
            size = sum((out / file).stat().st_size for file in ("index.html", "style.css"))
            check(size < MAX_SIZE, f"{name}: the page has {size:,} bytes, under {MAX_SIZE:,}")
            data(name, out)
            descriptions(name, out)
        browser = page.Browser(pathlib.Path(directory) / "profile")
        try:
            axe = (modules / "axe-core/axe.min.js").read_text()
            for name, out in sites:
                rendered(browser, axe, name, out)
            if screenshots:
                take(browser, sites[0][1], screenshots)
        finally:
            browser.end()
    print("1 passed, 0 failed")


def markup(modules, sites):
    files = [file for site in sites for file in (site / "index.html", site / "style.css")]
    done = subprocess.run(["java", "-jar", modules / "vnu-jar/build/dist/vnu.jar", "--format", "json", "--also-check-css",
                           *files], capture_output=True, text=True)
    messages = json.loads(done.stderr)["messages"]
    # The validator's list of CSS properties does not have this one of SVG 2, which every browser knows.
    errors = [message for message in messages if message["type"] == "error" and "“vector-effect”" not in message["message"]]
    check(not errors, f"the validator finds no error in {len(files)} files: {errors[:3]}")


def data(name, out):
    """Each table is the same in all formats, for each reader."""
    tables = 0
    for file in sorted((out / "data").glob("*.csv")):
        tables += 1
        schema = pyarrow.parquet.read_schema(file.with_suffix(".parquet"))
        parquet = pyarrow.parquet.read_table(file.with_suffix(".parquet")).to_pylist()
        assert schema.field("period_start").type == pyarrow.date32(), schema
        query = f"SELECT * FROM read_parquet('{file.with_suffix('.parquet')}')"
        found = duckdb.sql(query)
        duck = [dict(zip(found.columns, row)) for row in found.fetchall()]
        assert parquet == duck, f"{file}: pyarrow and DuckDB differ"
        dates = [field.name for field in schema if field.type == pyarrow.date32()]
        texts = {field.name: str for field in schema if field.type == pyarrow.string()}
        frame = pandas.read_csv(file, parse_dates=dates, dtype=texts, keep_default_na=False, na_values=[""])
        columns = list(frame.columns)
        csv = [{column: plain(value) for column, value in zip(columns, row)} for row in frame.itertuples(index=False)]
        assert csv == [{key: plain(value) for key, value in row.items()} for row in parquet], f"{file}: CSV and Parquet differ"
        rows = json.loads(file.with_suffix(".json").read_text())
        assert rows == [{key: value.isoformat() if key in dates and value else value for key, value in row.items()}
                        for row in parquet], f"{file}: JSON and Parquet differ"
    check(tables > 0, f"{name}: CSV (pandas), JSON, and Parquet (pyarrow, DuckDB) agree on {tables} tables")


def plain(value):
    if value is None or pandas.isna(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()[:10]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def descriptions(name, out):
    report = frictionless.validate(str(out / "datapackage.json"))
    problems = report.flatten(["type", "note"])
    check(report.valid and report.stats["tasks"] > 0, f"{name}: frictionless accepts {report.stats['tasks']} tables: {problems[:3]}")
    dataset = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    # A site without a release has no day of publication, which is recommended.
    warnings = issues.warnings if name != "nothing" else []
    check(not issues.errors and not warnings, f"{name}: mlcroissant accepts the description: {issues.report()[:500]}")
    records = {record_set.uuid: sum(1 for _ in dataset.records(record_set.uuid)) for record_set in dataset.metadata.record_sets}
    lines = {file.stem: len(file.read_text().splitlines()) - 1 for file in (out / "data").glob("*.csv")}
    check(records == lines, f"{name}: mlcroissant reads {sum(records.values()):,} records")
    text = (out / "index.html").read_text()
    dataset = json.loads(text.split('ld+json">', 1)[1].split("</script>", 1)[0])
    missing = SCHEMA_ORG - dataset.keys()
    check(dataset["@type"] == "Dataset" and not missing and 50 <= len(dataset["description"]) <= 5000,
          f"{name}: schema.org's Dataset has what a search engine requires: {missing}")


def rendered(browser, axe, name, out):
    index = out / "index.html"
    loaded = [index.as_uri(), (out / "style.css").as_uri()]
    for width, height, dark, phone in ((1280, 900, False, False), (1280, 900, True, False), (360, 740, False, True)):
        what = f"{name}, {width} wide, {'dark' if dark else 'light'}"
        browser.ask("Emulation.setScriptExecutionDisabled", value=True)
        browser.resize(width, height, dark, phone)
        browser.open(index)
        check(page.requests(browser) == loaded and not page.errors(browser), f"{what}: it loads nothing else")
        browser.value("document.querySelectorAll('details').forEach(details => details.open = true)")
        wide = browser.value("document.documentElement.scrollWidth")
        check(wide <= width, f"{what}: nothing is wider than the screen: {wide}")
        poor = browser.value(page.CONTRAST)
        check(not poor, f"{what}: every text has a contrast of at least 4.5: {poor}")
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)
        browser.value(axe + "; 0")
        frame = browser.ask("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = browser.ask("Page.createIsolatedWorld", frameId=frame)["executionContextId"]
        for expression in (axe, AXE):
            result = browser.ask("Runtime.evaluate", expression=expression, contextId=world, awaitPromise=True,
                                 returnByValue=True)["result"]
        check(result.get("value") == "[]", f"{what}: axe finds no violation: {result}")
        check(browser.value("document.title") != "hit", f"{what}: no text runs")
    browser.resize(1280, 900, True, False)
    browser.open(index)
    browser.ask("Emulation.setEmulatedMedia", media="print",
                features=[{"name": "prefers-color-scheme", "value": "dark"}])
    colour = browser.value("getComputedStyle(document.body).backgroundColor")
    check(colour == "rgb(255, 255, 255)", f"{name}: it is printed on white also if the screen is dark: {colour}")
    browser.ask("Emulation.setEmulatedMedia", media="", features=[])
    if browser.value("document.querySelectorAll('details').length"):
        for _ in range(200):
            browser.key("Tab", 9)
            if browser.value("document.activeElement.localName == 'summary'"):
                break
        browser.key("Enter", 13, "\r")
        check(browser.value("!!document.querySelector('details[open] table')"), f"{name}: the keyboard opens the numbers")


def take(browser, out, screenshots):
    screenshots.mkdir(parents=True, exist_ok=True)
    for name, width, height, dark, phone in (("desktop", 1280, 1180, False, False), ("desktop-dark", 1280, 1180, True, False),
                                             ("phone", 390, 844, False, True)):
        browser.resize(width, height, dark, phone)
        browser.open(out / "index.html")
        time.sleep(0.3)
        browser.screenshot(screenshots / f"{name}.png")


main()
