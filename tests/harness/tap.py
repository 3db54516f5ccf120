# SPDX-License-Identifier: LGPL-2.1-or-later
"""pytest -p harness.tap: prints TAP, so that meson shows each case, and failures to standard error.

With CI=true a skip is a failure: a test that runs nowhere is none.
"""

import os
import sys

import pytest

CI = os.environ.get("CI") == "true"


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(Tap(), "tap-printer")


class Tap:
    def __init__(self):
        # Tests may capture or close the standard ones.
        self._out = os.fdopen(os.dup(sys.__stdout__.fileno()), "w", buffering=1)
        self._error = os.fdopen(os.dup(sys.__stderr__.fileno()), "w", buffering=1)
        self._number = 0
        self._result: tuple[str, str] | None = None   # of the case that runs: word, details

    def _print(self, text: str):
        print(text, file=self._out)

    def _complain(self, report):
        print(f"\n=== {report.nodeid}\n{report.longreprtext}", file=self._error)
        for title, text in report.sections:
            print(f"--- {title}\n{text}", file=self._error)

    def pytest_collectreport(self, report):
        if report.failed:
            self._complain(report)

    def pytest_collection_finish(self, session):
        if session.testsfailed:
            self._print("Bail out! Tests cannot be loaded")
        else:
            self._print(f"1..{len(session.items)}")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            # Set-up, the test, and its end may each fail; it counts once.
            self._result = "not ok", ""
            self._complain(report)
        elif report.skipped and self._result is None:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            reason = reason.removeprefix("Skipped: ")
            self._result = ("not ok", f" skipped: {reason}") if CI else ("ok", f" # SKIP {reason}")
        if report.when == "teardown":
            word, details = self._result or ("ok", "")
            self._number += 1
            self._result = None
            name = report.nodeid.rpartition("::")[2].replace("#", "_")
            self._print(f"{word} {self._number} {name}{details}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        if CI and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
