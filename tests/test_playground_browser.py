"""What a person does: `bobbin playground`, in a real browser."""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, FilePayload, Locator, Page, async_playwright, expect

from bot.manifest import manifest
from bot.playground.slack import LocalSlack

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: Nothing of the browser's own goes out.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Machines are slow: no test is about the clock.
expect.set_options(timeout=30_000)
_READY = re.compile(rb"http://127\.0\.0\.1:\d+/")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    if _CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("there is no Chromium, and on CI this test is never skipped; .ci/run installs it")
        pytest.skip("there is no Chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(20_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if _is_error(message) else None)
        yield page
        await browser.close()
        assert not errors


def _is_error(message: ConsoleMessage) -> bool:
    # While the playground is stopped, the page knocks until it is there again.
    return message.type == "error" and "ERR_CONNECTION_REFUSED" not in message.text


@contextlib.asynccontextmanager
async def playground(folder: Path) -> AsyncIterator[str]:
    """`bobbin playground` in a process of its own; yields the page's URL, and ends it as Ctrl-C does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "playground", "--port", "0", "--folder", str(folder),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            while not (ready := _READY.search(line := await process.stdout.readline())):
                assert line, "the playground ended before it was ready"
        yield ready[0].decode()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            await process.communicate()
    assert process.returncode == 0


async def say(page: Page, box: str, text: str) -> None:
    await page.get_by_test_id(box).fill(text)
    await page.get_by_test_id(box).press("Enter")


def bot_answers(page: Page) -> Locator:
    return page.get_by_test_id("thread").locator('[data-testid=message][data-user="bobbin"]')


async def lengths_while_growing(answer: Locator) -> set[int]:
    """The lengths of an answer that one sees until it is whole."""
    seen = set()
    while "streaming" in (await answer.get_attribute("class") or ""):
        seen.add(len(await answer.inner_text()))
    return seen


async def test_tools_and_what_waits_can_be_seen_without_a_key(page: Page, tmp_path: Path) -> None:
    async with playground(tmp_path) as url:
        await page.goto(url)
        await say(page, "composer", "@Bobbin plot y = x^2 - 3")
        await expect(page.get_by_test_id("thread").get_by_role("img")).to_be_visible()
        await say(page, "composer", "/assistant use toolbox")
        await expect(page.get_by_test_id("ephemeral").last).to_contain_text("Toolbox answers in this channel")
        await say(page, "composer", "@Bobbin draw lots among Ada, Grace and Linus")
        approve = page.get_by_test_id("thread").get_by_role("button", name="Approve")
        await expect(approve).to_be_visible()
        await say(page, "thread-composer", "what does the handbook say?")
        await expect(page.get_by_test_id("thread").locator(".reaction")).to_have_text("⏳ 1")
        await approve.click()
        await expect(page.get_by_test_id("thread")).to_contain_text(re.compile("The lot fell on (Ada|Grace|Linus)"))
        await expect(page.get_by_test_id("thread")).to_contain_text("bobbin-handbook.txt")

        await page.get_by_test_id("channel-random").click()
        await say(page, "composer", "@Bobbin hello")
        await expect(page.get_by_test_id("ephemeral")).to_contain_text("You mentioned @Bobbin, but they’re not in this")


async def test_the_first_paragraph_of_what_a_person_does(page: Page, tmp_path: Path) -> None:
    async with playground(tmp_path) as url:
        await page.goto(url)
        await say(page, "composer", "@Bobbin I need to solve the equation `3x + 11 = 14`. Can you help me?")
        answer = bot_answers(page).first
        await expect(answer).to_be_visible()
        assert len(await lengths_while_growing(answer)) >= 3
        await expect(answer).to_contain_text("x = 1")

        await say(page, "thread-composer", "and what is 2x + 1?")
        await expect(bot_answers(page).nth(1)).to_contain_text("2x + 1 = 3")

        await say(page, "composer", "/assistant use math-tutor")
        await expect(page.get_by_test_id("ephemeral").last).to_contain_text("Math tutor answers in this channel")
        await say(page, "composer", "/assistant")
        await page.get_by_test_id("ephemeral").last.get_by_role("combobox").select_option("editor")
        await expect(page.get_by_test_id("ephemeral").last).to_contain_text("Writing editor answers")
        await say(page, "thread-composer", "/reset")
        await expect(page.get_by_role("alert")).to_contain_text("not supported in threads")

        await page.get_by_test_id("channel-dm").click()
        await expect(page.get_by_test_id("prompt").first).to_be_visible()
        await say(page, "composer", "what is 17 * 23?")
        await expect(bot_answers(page).first).to_contain_text("391")
        await say(page, "composer", "/reset")
        await expect(page.get_by_test_id("ephemeral").last).to_contain_text("forgotten")

    async with playground(tmp_path) as url:
        await page.goto(url)
        await page.get_by_test_id("channel-general").click()
        await page.get_by_test_id("reply-count").first.click()
        await expect(bot_answers(page)).to_have_count(2)
        await say(page, "thread-composer", "what did I ask first?")
        await expect(bot_answers(page).nth(2)).to_contain_text("3x + 11 = 14")


async def test_writing_editing_deleting_and_going_about(page: Page) -> None:
    """Without an app: what the page does by itself."""
    async with LocalSlack(manifest=manifest()) as slack:
        await page.goto(slack.page_url)
        composer, messages = page.get_by_test_id("composer"), page.get_by_test_id("message")

        await composer.press_sequentially("hello @bob")
        await composer.press("Tab")
        await composer.press_sequentially("in `@Bobbin`")
        await composer.press("Shift+Enter")
        await composer.press_sequentially("<b onclick=alert(1)>&amp;")
        await composer.press("Enter")
        await expect(messages.first.locator(".mention")).to_have_text("@Bobbin")
        await expect(messages.first.locator(".words")).to_have_text("hello @Bobbin in @Bobbin<b onclick=alert(1)>&amp;")
        [said] = slack.messages("C0GENERAL")
        assert said["text"] == "hello <@U0BOBBIN> in `@Bobbin`\n&lt;b onclick=alert(1)&gt;&amp;amp;"

        await expect(page.get_by_test_id("thread")).to_be_visible()
        await page.reload()
        await expect(page.get_by_test_id("thread").get_by_test_id("message")).to_have_count(1)
        await page.get_by_test_id("thread-composer").press("Escape")
        await expect(page.get_by_test_id("thread")).to_be_hidden()

        await messages.first.hover()
        await messages.first.get_by_title("More actions").click()
        await messages.first.get_by_role("button", name="Edit message").click()
        await messages.first.get_by_role("textbox").fill("hello, all")
        await messages.first.get_by_role("textbox").press("Enter")
        await expect(messages.first).to_contain_text("(edited)")
        await expect(messages.first).to_contain_text("hello, all")

        await page.get_by_test_id("person").select_option("grace")
        await say(page, "composer", "hello, Ada")
        await expect(messages).to_have_count(2)
        await messages.first.hover()
        await messages.first.get_by_title("More actions").click()
        await expect(messages.first.get_by_role("button", name="Reset this thread")).to_be_visible()
        await expect(messages.first.get_by_role("button", name="Delete message")).to_have_count(0)
        await messages.last.hover()
        await messages.last.get_by_title("More actions").click()
        await messages.last.get_by_role("button", name="Delete message").click()
        await expect(messages).to_have_count(1)

        await say(page, "composer", "/nonsense")
        await expect(page.get_by_role("alert")).to_have_text("/nonsense is not a valid command.")


async def test_the_list_stays_where_a_person_reads(page: Page) -> None:
    """Only who is at the newest is taken along to the next."""
    async with LocalSlack(manifest=manifest()) as slack:
        for number in range(60):
            await slack.post("grace", "C0RANDOM", f"line {number}")
        await page.goto(f"{slack.page_url}#C0RANDOM")
        messages = page.get_by_test_id("message")
        await expect(messages.last).to_be_in_viewport()
        await slack.post("grace", "C0RANDOM", "the newest")
        await expect(messages.last).to_contain_text("the newest")
        await expect(messages.last).to_be_in_viewport()
        await messages.first.scroll_into_view_if_needed()
        await slack.post("grace", "C0RANDOM", "newer still")
        await expect(messages).to_have_count(62)
        await expect(messages.first).to_be_in_viewport()
        await expect(messages.last).not_to_be_in_viewport()


#: A picture of two by two pixels.
_PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGOItl8BRAwQCgAiEgUJf3CG0gAAAABJRU5ErkJggg=="
)
#: What a browser does when files are dropped on an element.
_DROP = """(element, { name, text }) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], name));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
  }
}"""


async def test_files_are_attached_and_shown(page: Page) -> None:
    """By the button, by dropping them, and away again; pictures are shown, other files saved."""
    async with LocalSlack(manifest=manifest()) as slack:
        await page.goto(slack.page_url)
        composer = page.locator("#composer")
        async with page.expect_file_chooser() as choosing:
            await composer.get_by_role("button", name="Attach files").click()
        chooser = await choosing.value
        picture: FilePayload = {"name": "plot.png", "mimeType": "image/png", "buffer": _PICTURE}
        wrong: FilePayload = {"name": "wrong.txt", "mimeType": "text/plain", "buffer": b"x"}
        await chooser.set_files([picture, wrong])
        await composer.get_by_role("button", name="Take wrong.txt away").click()
        await page.locator("main").evaluate(_DROP, {"name": "table.csv", "text": "1,2"})
        await expect(composer.locator(".attached li")).to_have_count(2)
        await say(page, "composer", "look")
        await expect(composer.locator(".attached li")).to_have_count(0)

        message = page.get_by_test_id("message").first
        await expect(message.locator(".words")).to_have_text("look")
        shown = message.get_by_role("img", name="plot.png")
        await expect(shown).to_be_visible()
        assert await shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 2
        async with page.expect_download() as saving:
            await message.get_by_role("link", name="table.csv").click()
        saved = await (await saving.value).path()
        assert saved.read_bytes() == b"1,2"
        assert [file["name"] for file in slack.messages("C0GENERAL")[0]["files"]] == ["plot.png", "table.csv"]

        await message.hover()
        await message.get_by_title("Reply in thread").click()
        await page.locator("aside").evaluate(_DROP, {"name": "reply.txt", "text": "x"})
        await page.get_by_test_id("thread-composer").press("Enter")
        await expect(page.get_by_test_id("thread").get_by_role("link", name="reply.txt")).to_be_visible()
        [_, reply] = slack.messages("C0GENERAL")
        assert (reply["text"], reply["files"][0]["name"]) == ("", "reply.txt")
