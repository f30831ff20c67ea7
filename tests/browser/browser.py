"""What a person does with a browser, and what an accessibility checker says of a page.

In: addresses, labels, texts as a person sees them. Out: what the page shows. Blocking, as Selenium is: an
asynchronous test calls it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

LIMIT_S = 90.0

AXE = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
CHECK = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  found => done(found.violations.map(one =>
    `${one.impact} ${one.id}: ${one.help}: ` + one.nodes.slice(0, 3).map(node => node.html.slice(0, 120)))),
  error => done([String(error)]));
"""


class Browser:
    """One window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        self.driver.get(address)

    @property
    def text(self) -> str:
        """What is to be read on the page."""
        return " ".join(self.driver.find_element(By.TAG_NAME, "body").text.split())

    @property
    def title(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "h1").text

    @property
    def path(self) -> str:
        return self.driver.execute_script("return location.pathname + location.search")  # type: ignore[no-any-return]

    def part(self, css: str) -> str:
        """The text of one part of the page."""
        return " ".join(self.driver.find_element(By.CSS_SELECTOR, css).text.split())

    def follow(self, text: str) -> None:
        """The link that holds that text."""
        self.click(By.PARTIAL_LINK_TEXT, text)

    def click(self, how: str, what: str) -> None:
        """On what leads to another page."""
        with self._leaving():
            self.driver.find_element(how, what).click()

    def fill(self, name: str, text: str, within: str = "main") -> WebElement:
        """The field of that name."""
        field = self.driver.find_element(By.CSS_SELECTOR, f"{within} input[name='{name}']")
        field.clear()
        field.send_keys(text)
        return field

    def search(self, text: str) -> None:
        """By the keyboard alone."""
        field = self.fill("q", text)
        with self._leaving():
            field.send_keys(Keys.ENTER)

    def sign_in(self, site: str, who: str, token: str) -> None:
        self.open(f"{site}/sign-in")
        self.fill("who", who)
        field = self.fill("token", token)
        with self._leaving():
            field.send_keys(Keys.ENTER)

    def act(self, form: str, reason: str) -> None:
        """Fill in that form's reason and send it."""
        self.fill("reason", reason, f"form[action='{form}']")
        self.click(By.CSS_SELECTOR, f"form[action='{form}'] button")

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """Ends when another page is there: a driver may say that it clicked before the page knows."""
        left = self.driver.find_element(By.TAG_NAME, "html")
        yield
        waiting = WebDriverWait(self.driver, LIMIT_S, 0.05)
        waiting.until(expected_conditions.staleness_of(left))
        waiting.until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def size(self, width: int, height: int) -> None:
        """Of the page itself: a window has a least width, a telephone's screen has not."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """`light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def overflow(self) -> int:
        """By how much the page is wider than the screen."""
        script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.driver.execute_script(script))

    def tab(self) -> dict[str, Any]:
        """Go on by the keyboard: what has the focus then, and whether that can be seen."""
        self.driver.switch_to.active_element.send_keys(Keys.TAB)
        found: dict[str, Any] = self.driver.execute_script(
            "const one = document.activeElement, box = one.getBoundingClientRect();"
            "return {tag: one.tagName, text: one.innerText || one.name || '', left: box.left,"
            " outline: getComputedStyle(one).outlineStyle}"
        )
        return found

    def accessibility(self) -> list[str]:
        """What axe-core finds."""
        self.driver.execute_script(AXE)
        found: list[str] = self.driver.execute_async_script(CHECK)
        return found

    def dialog(self) -> bool:
        """Whether a script of somebody else's is at work."""
        return bool(self.driver.execute_script("return window.hacked === true"))

    def complaints(self) -> list[str]:
        """What the console says, answers with an error status aside: those are asked for."""
        entries = self.driver.get_log("browser")
        return [
            one["message"] for one in entries if "the server responded with a status" not in one["message"]
        ]
