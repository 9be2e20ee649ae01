"""Makes `.venv`, the development environment, with the standard library alone.

Run by every `make` target.  It does nothing when the environment is ready, and otherwise

1. goes over to a newer `python3.x` on PATH if this one is too old,
2. creates the environment.  Debian ships Python without `ensurepip` unless the package
   python3-venv is installed; pip then comes from the package index,
3. installs the project, editable, and its `dev` dependency group.

`make_env.py GROUP` then also installs another dependency group, for what not everybody needs.

Nothing is written outside the checkout.  pip's own settings (`PIP_INDEX_URL`, `PIP_CERT`, …)
are honoured.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path

OLDEST = (3, 11)
NEWEST_TRIED = (3, 20)

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "ready"
TMP = ROOT / ".cache" / "tmp"

INDEX_TIMEOUT_S = 60


def main() -> None:
    """Makes the environment unless it is ready."""
    if sys.version_info < OLDEST:
        become_newer_python()
    os.environ.update(TMPDIR=str(TMP), PIP_NO_CACHE_DIR="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    TMP.mkdir(parents=True, exist_ok=True)
    if not is_done(STAMP):
        print(f"Making .venv with Python {sys.version.split()[0]} …", flush=True)
        create()
        install("--editable", str(ROOT), *group("dev"))
        STAMP.write_text(describe(), encoding="utf-8")
    for name in sys.argv[1:]:
        add(name)


def is_done(stamp: Path) -> bool:
    """Whether what a stamp stands for was done, and nothing that it depends on was changed."""
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == describe()


def add(name: str) -> None:
    """Installs one more dependency group, unless it is there."""
    stamp = VENV / f"ready-{name}"
    if not is_done(stamp):
        # What needs a compiler and minutes to be made is rather not there.
        install("--only-binary=:all:", *group(name))
        stamp.write_text(describe(), encoding="utf-8")


def become_newer_python() -> None:
    """Replaces this process by the newest suitable Python on PATH.

    Raises:
        SystemExit: there is none.
    """
    for minor in range(NEWEST_TRIED[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        # A version manager puts shims on PATH that only print an error.
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(found, [found, *sys.argv])
    oldest, this = "{}.{}".format(*OLDEST), sys.version.split()[0]
    sys.exit(f"plainstate needs Python {oldest} or newer on PATH; `python3` is {this}.")


def describe() -> str:
    """Everything that a ready environment depends on.

    The folder is part of it because the scripts in an environment hold absolute paths.
    """
    inputs = (ROOT / "pyproject.toml", Path(__file__))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in inputs]
    return "\n".join([str(VENV), sys.base_prefix, sys.version, *digests])


def create() -> None:
    """Makes an environment with pip in it."""
    import venv  # not needed when the environment is ready

    try:
        import ensurepip  # noqa: F401 (only to see whether it is there)
    except ImportError:
        venv.create(VENV, clear=True, symlinks=True)
        wheel = fetch_pip()
        # A wheel is a zip file that Python can run.
        run(VENV_PYTHON, wheel / "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
        wheel.unlink()
    else:
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)


def group(name: str) -> list[str]:
    """The requirements of a dependency group."""
    import tomllib  # absent from the older Pythons that this file must start on

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    requirements: list[str] = project["dependency-groups"][name]
    return requirements


def install(*what: str) -> None:
    """Installs into the environment."""
    run(VENV_PYTHON, "-m", "pip", "install", "--quiet", *what)


def run(*command: str | Path) -> None:
    """Runs a command.

    Raises:
        SystemExit: it failed; its own output says why.
    """
    code = subprocess.call([str(part) for part in command], cwd=ROOT)
    if code != 0:
        shown = " ".join(map(str, command[1:]))
        sys.exit(f"Could not make .venv: `{Path(command[0]).name} {shown}` failed ({code}).")


class Links(HTMLParser):
    """The links of one page of a package index (PEP 503), in `found`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser for each opening tag."""
        if tag == "a":
            self.found.append({name: value or "" for name, value in attrs})


def fetch_pip() -> Path:
    """Downloads the newest pip that runs here and checks it against the index's digest.

    Returns:
        The path of a wheel.

    Raises:
        SystemExit: the index cannot be reached, or has no such pip.
    """
    index = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    index = index.rstrip("/") + "/pip/"
    try:
        page_url, page = get(index)
        links = Links()
        links.feed(page.decode())
        name, url, digest = newest_pip(links.found, page_url)
        _, wheel = get(url)
    except (OSError, ValueError, LookupError, HTTPException) as error:
        sys.exit(f"Could not get pip from {index}: {error}. Or: apt install python3-venv")
    if hashlib.sha256(wheel).hexdigest() != digest:
        sys.exit(f"{url} does not have the digest that {index} states; it was not used.")
    path = TMP / name
    path.write_bytes(wheel)
    return path


def newest_pip(links: list[dict[str, str]], page_url: str) -> tuple[str, str, str]:
    """Chooses among the links of an index page.

    Returns:
        File name, URL and SHA-256 of the newest final release for this Python.

    Raises:
        LookupError: there is none.
    """
    candidates = []
    for link in links:
        url, _, fragment = urllib.parse.urljoin(page_url, link.get("href", "")).partition("#")
        name = url.rpartition("/")[2]
        version = re.fullmatch(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl", name)
        oldest = re.search(r">=\s*3\.(\d+)", link.get("data-requires-python", ""))
        if (
            version
            and fragment.startswith("sha256=")
            and "data-yanked" not in link
            and not (oldest and int(oldest[1]) > sys.version_info.minor)
        ):
            order = [int(number) for number in version[1].split(".")]
            candidates.append((order, name, url, fragment.removeprefix("sha256=")))
    if not candidates:
        message = "no wheel of pip with a SHA-256 for this Python"
        raise LookupError(message)
    _, name, url, digest = max(candidates)
    return name, url, digest


def get(url: str) -> tuple[str, bytes]:
    """Downloads what is at a URL.

    Returns:
        The URL after redirections, and the bytes.

    Raises:
        OSError: it cannot be reached.
    """
    accept = "application/vnd.pypi.simple.v1+html, text/html;q=0.2, */*;q=0.1"
    request = urllib.request.Request(url, headers={"Accept": accept})
    trust = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    with urllib.request.urlopen(request, timeout=INDEX_TIMEOUT_S, context=trust) as response:
        return response.geturl(), response.read()


if __name__ == "__main__":
    main()
