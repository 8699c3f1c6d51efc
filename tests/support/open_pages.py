"""Report pages opened in a browser."""

import pytest
from html_cases import rendered


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens a page from disk; asserts at the end that it asked for nothing and said no error."""
    contexts, asked, problems = [], [], []

    def opened(html=None, fragment="", **options):
        file = tmp_path / f"report-{len(contexts)}.html"
        file.write_text(html or rendered(), encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
        page.goto(file.as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert len(asked) == len(contexts)
    assert all(url.startswith("file:") for url in asked)
    assert problems == []
