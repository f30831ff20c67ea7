"""The pages in a real browser, headless: Debian's Chromium and its driver, installed as the services are."""
