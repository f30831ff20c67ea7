"""What every test can ask for: the real services, and the release before. Fixtures of one folder's own live
in that folder's conftest.py.
"""

pytest_plugins = ["tests.services.fixtures", "tests.releases.fixtures"]
